"""All classes that the slicer namespace gets from the Qt part of Slicer."""

from __future__ import annotations

from harness.qmrml.node_combo import qMRMLNodeComboBox
from harness.qmrml.widget import qMRMLWidget
from harness.scripted import qSlicerScriptedLoadableModule, qSlicerScriptedLoadableModuleWidget

CLASSES = (
    qMRMLNodeComboBox,
    qMRMLWidget,
    qSlicerScriptedLoadableModule,
    qSlicerScriptedLoadableModuleWidget,
)
