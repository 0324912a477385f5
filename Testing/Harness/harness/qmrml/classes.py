"""All classes that the slicer namespace gets from the Qt part of Slicer."""

from __future__ import annotations

from harness.qmrml.node_combo import qMRMLNodeComboBox
from harness.qmrml.plot_view import qMRMLPlotView
from harness.qmrml.segment_editor import qMRMLSegmentEditorWidget
from harness.qmrml.segment_widgets import qMRMLSegmentationShow3DButton, qMRMLSegmentSelectorWidget
from harness.qmrml.segments_table import qMRMLSegmentsTableView
from harness.qmrml.widget import qMRMLWidget
from harness.scripted import qSlicerScriptedLoadableModule, qSlicerScriptedLoadableModuleWidget

CLASSES = (
    qMRMLNodeComboBox,
    qMRMLPlotView,
    qMRMLSegmentEditorWidget,
    qMRMLSegmentSelectorWidget,
    qMRMLSegmentationShow3DButton,
    qMRMLSegmentsTableView,
    qMRMLWidget,
    qSlicerScriptedLoadableModule,
    qSlicerScriptedLoadableModuleWidget,
)
