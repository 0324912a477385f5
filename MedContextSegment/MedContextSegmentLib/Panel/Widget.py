"""The panel of the module: builds its sections, joins them, and follows the life of the scene."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import slicer
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleWidget
from slicer.util import VTKObservationMixin

from medcontext.cards import CardSummary
from medcontext.errors import InputError
from MedContextSegmentLib.Panel.AdvancedPanel import AdvancedPanel
from MedContextSegmentLib.Panel.BatchSection import BatchSection
from MedContextSegmentLib.Panel.EditorLink import EditorLink
from MedContextSegmentLib.Panel.ExploreSection import ExploreSection
from MedContextSegmentLib.Panel.ExportPanel import ExportPanel
from MedContextSegmentLib.Panel.LearnPanel import LearnPanel
from MedContextSegmentLib.Panel.Lifecycle import SceneEvents
from MedContextSegmentLib.Panel.ModelLibrary import ModelLibrary
from MedContextSegmentLib.Panel.Parameters import parametersOf
from MedContextSegmentLib.Panel.QtHelpers import parameterWidgets, quiet, showText
from MedContextSegmentLib.Panel.RedoPanel import RedoPanel
from MedContextSegmentLib.Panel.ReviewPanel import ReviewPanel
from MedContextSegmentLib.Panel.RunActions import RunActions
from MedContextSegmentLib.Panel.RunControl import RunControl
from MedContextSegmentLib.Panel.SegmentPanel import SegmentPanel
from MedContextSegmentLib.Panel.WarmUp import WarmUp
from MedContextSegmentLib.Run.Logic import MedContextSegmentLogic
from MedContextSegmentLib.Run.Models import listEncoders, listModels
from MedContextSegmentLib.Run.RunInputs import SegmentRequest
from MedContextSegmentLib.Setup import Doctor, Install
from MedContextSegmentLib.Setup.Settings import Settings


@dataclass
class Collaborators:
    """What the panel works with; tests put others in.

    Attributes:
        makeLogic: gives a :class:`Logic.MedContextSegmentLogic`.
        makeSettings: gives a :class:`Settings.Settings`.
        install: the module :mod:`Install`.
        doctor: the module :mod:`Doctor`.
        models: gives the cards of the models that segment.
        encoders: gives the cards of the encoders, which trainings can start from.
    """

    makeLogic: Callable[[], Any] = MedContextSegmentLogic
    makeSettings: Callable[[], Any] = Settings
    install: Any = Install
    doctor: Any = Doctor
    models: Callable[[], list[CardSummary]] = listModels
    encoders: Callable[[], list[CardSummary]] = listEncoders


class SegmentWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel; the module's file gives it the name that Slicer looks for."""

    def __init__(self, parent: Any = None, collaborators: Collaborators | None = None) -> None:
        self._with = collaborators or Collaborators()
        self._parameters: Any = None
        self._guiTag: Any = None
        self._reasons = ("", "")
        self._entered = self._warmed = self._updating = self._redone = False
        VTKObservationMixin.__init__(self)
        ScriptedLoadableModuleWidget.__init__(self, parent)

    def setup(self) -> None:
        """Build the panel."""
        ScriptedLoadableModuleWidget.setup(self)
        root = slicer.util.loadUI(self.resourcePath("UI/MedContextSegment.ui"))
        self.layout.addWidget(root)
        self.ui = ui = slicer.util.childWidgetVariables(root)
        self.logic = self._with.makeLogic()
        self.settings = self._with.makeSettings()
        self.editor = EditorLink(ui.segmentEditorWidget)
        root.setMRMLScene(slicer.mrmlScene)
        self.warmUp = WarmUp(self.logic, self.settings)
        self.control = RunControl(ui.progressBar, self._onRunChanged, self._showStatus)
        self.actions = RunActions(
            self.logic, self.settings, self._with.install, self.control, self.editor, self._onResult
        )
        self.segmentPanel = SegmentPanel(ui, self._onInputChanged, self._with.models)
        self.library = ModelLibrary(self, root, self._with)
        self.advancedPanel = AdvancedPanel(
            ui, self.settings, self._onInstall, self._onOfflinePack, self._onDoctor
        )
        self.reviewPanel = ReviewPanel(ui, self.editor, self)
        self.redoPanel = RedoPanel(ui, self.editor, self._volume, self.update, self._with.models)
        self.exportPanel = ExportPanel(ui, self.logic, self._with.install, self._segmentation, self._volume)
        self.learn = LearnPanel(self, self._with)
        self.explore = ExploreSection(self, self._with, self.learn)
        self.batch = BatchSection(self, self._with, self.learn)
        self._sections = (self.learn, self.explore, self.batch)
        ui.segmentButton.connect("clicked()", self.onSegment)
        ui.redoButton.connect("clicked()", self.onRedo)
        self._scene = SceneEvents(
            self, self._onSceneStartClose, self._onSceneEndClose, self._onNodes, self._readScene
        )
        self._setParameters(parametersOf(self.logic.getParameterNode()))

    def enter(self) -> None:
        """The module is shown."""
        self._entered = True
        self.editor.enter()
        if self._parameters is None or self._parameters.parameterNode.GetScene() is None:
            self._readScene()
        self.advancedPanel.refresh()
        self.refresh()
        for section in self._sections:
            section.enter()

    def exit(self) -> None:
        """Another module is shown; a run goes on."""
        self._entered = False
        for section in self._sections:
            section.leave()
        self.editor.exit()

    def cleanup(self) -> None:
        """The panel goes away."""
        self._scene.stop()
        self.control.forget()
        volumes = self.reviewPanel.volumes
        for part in (self.warmUp, self.library, self.exportPanel, volumes, self.learn, self.explore):
            part.stop()
        self._setParameters(None)
        try:
            self.batch.stop()  # which may have to write what was changed
        finally:
            self.removeObservers()
            self.editor.exit()
            self.logic.close()

    def onReload(self) -> None:
        """Reload the module with its own library, for developers."""
        for name in [name for name in sys.modules if name.partition(".")[0] == "MedContextSegmentLib"]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def onSegment(self) -> None:
        """*Segment* or *Cancel* was clicked."""
        if self.control.running:
            self.control.cancelByClick()
            return
        self._redone = False
        models = self.segmentPanel.models
        key, title = models.key, models.title
        self.refresh()

        def makeRequest() -> SegmentRequest:
            if key and models.key != key:  # never another model than the one that was read when clicking
                text = _("The model '{title}' is no longer in the library. Choose another one.")
                raise InputError(text.format(title=title))
            return self.segmentPanel.request()

        self.actions.segment(makeRequest, self.segmentPanel.allFrames)
        self.update()

    def onRedo(self) -> None:
        """*Redo this region* or *Cancel* was clicked."""
        if self.control.running:
            self.control.cancelByClick()
            return
        self._redone = True
        self.actions.segment(self._redoRequest)
        self.update()

    def refresh(self) -> None:
        """Show what the model library and the scene hold now."""
        self.segmentPanel.refresh()
        self.redoPanel.refresh()
        self.update()

    def update(self) -> None:
        """Show what can be done now, and why not."""
        if self._updating or self._parameters is None:
            return
        self._updating = True
        try:
            running = self.control.running
            reason = self.segmentPanel.update()
            self.reviewPanel.show(self._segmentation(), self._volume())
            redoReason = self.redoPanel.update(self.segmentPanel.models.card)
            redoReason = self.segmentPanel.inputReason(self.segmentPanel.findings(redo=True)) or redoReason
            for panel in (self.segmentPanel, self.library, self.redoPanel, self.exportPanel):
                panel.setEnabled(not running)
            self._showButton(self.ui.segmentButton, _("Segment"), reason)
            self._showButton(self.ui.redoButton, _("Redo this region"), redoReason)
            outcome = self.actions.outcome
            self._reasons = reason or outcome, redoReason or (outcome if self._redone else "")
            self._showStatus()
            self.exportPanel.update()
            for section in self._sections:
                section.update()
        finally:
            self._updating = False
        self._warmOnce(reason)

    def _showButton(self, button: Any, title: str, reason: str) -> None:
        running = self.control.running
        button.text = _("Cancel") if running else title
        button.enabled = not self.control.cancelling if running else not reason
        button.toolTip = _("Stop; nothing is changed.") if running else reason or title

    def _showStatus(self) -> None:
        """The two lines that say what is going on, or why a button cannot be clicked."""
        texts = self._reasons
        if self.control.running:
            texts = ("\n".join([self.control.text, *self.control.notes]),) * 2
        showText(self.ui.statusLabel, texts[0])
        showText(self.ui.redoStatusLabel, texts[1])

    def _warmOnce(self, reason: str) -> None:
        """Let the worker get ready while the person still looks at the panel."""
        if self._entered and not self._warmed and not reason:
            self._warmed = True
            if not self._with.install.missingPackages():
                self.warmUp.begin(self.segmentPanel.models.key)

    def _segmentation(self) -> Any:
        return self.ui.segmentationSelector.currentNode()

    def _volume(self) -> Any:
        return next(iter(self.segmentPanel.channels.nodes()), None)

    def _redoRequest(self) -> SegmentRequest:
        return self.segmentPanel.redoRequest(self.redoPanel.request())

    def _onResult(self, run: Any) -> None:
        if self._parameters is not None:
            self._parameters.segmentation = run.segmentationNode
        with quiet(self.ui.segmentationSelector):
            self.ui.segmentationSelector.setCurrentNode(run.segmentationNode)
        self.reviewPanel.show(run.segmentationNode, self._volume())
        self.reviewPanel.showResult(run)

    def _onInputChanged(self) -> None:
        if not self._updating and not self.control.running:
            self.actions.outcome = ""  # it was about another input
        self.update()

    def _onRunChanged(self) -> None:
        self.advancedPanel.refresh()  # a run may have ended with another plan for memory
        self.update()

    def _onInstall(self) -> None:
        if self._with.install.ensureInstalled():
            slicer.util.infoDisplay(_("All packages that segmenting needs are installed."))
        self.update()

    def _onOfflinePack(self) -> None:
        self._with.install.installFromPack()
        self.refresh()

    def _onDoctor(self) -> None:
        self._with.doctor.showReport(self.logic)

    # The scene

    def _setParameters(self, parameters: Any) -> None:
        if self._parameters is not None:
            self._parameters.disconnectGui(self._guiTag)
        self._parameters = parameters
        if parameters is not None:
            # Slicer's connectGui() gives no tag to disconnect by
            self._guiTag = parameters.connectParametersToGui(parameterWidgets(self.ui))
        self.segmentPanel.setParameters(parameters)
        self.redoPanel.setParameters(parameters)
        self.learn.setParameters(parameters)
        self.update()

    def _onSceneStartClose(self) -> None:
        self.exportPanel.stop()
        for section in reversed(self._sections):
            section.sceneCloses()
        self._setParameters(None)
        self.editor.sceneCloses()

    def _onSceneEndClose(self) -> None:
        self.actions.outcome = ""
        self._readScene()

    def _readScene(self) -> None:
        """Take over what the scene remembers of the panel."""
        self.editor.selectNode()
        self._setParameters(parametersOf(self.logic.getParameterNode()))

    def _onNodes(self) -> None:
        if self._parameters is None:
            return
        if self._parameters.parameterNode.GetScene() is None:  # somebody removed it
            self._readScene()
        self.segmentPanel.preselectVolumes()
        self.update()
