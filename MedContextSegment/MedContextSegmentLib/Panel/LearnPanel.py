"""The section Learn, and what learns in Review: loads the parts, joins them, and passes on what happens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import slicer

from MedContextSegmentLib.Panel.CasesPanel import CasesPanel
from MedContextSegmentLib.Panel.CorrectionPanel import CorrectionPanel
from MedContextSegmentLib.Panel.EditorLink import EditorLink
from MedContextSegmentLib.Panel.FineTunePanel import FineTunePanel
from MedContextSegmentLib.Panel.LearnContext import LearnContext
from MedContextSegmentLib.Panel.PretrainPanel import PretrainPanel
from MedContextSegmentLib.Panel.QtHelpers import showText
from MedContextSegmentLib.Panel.SuggestPanel import SuggestPanel


class Host(Protocol):
    """The panel around this section: a :class:`Widget.SegmentWidget`."""

    ui: Any
    logic: Any
    settings: Any
    editor: EditorLink
    segmentPanel: Any
    control: Any

    def resourcePath(self, name: str) -> str: ...
    def refresh(self) -> None: ...
    def onSegment(self) -> None: ...


class LearnPanel:
    """Holds the parts of *Learn*, and *Learn from this correction* of *Review*.

    Each part is made of a .ui file, whose widgets it gets as ``ui``, and has ``refresh()``, ``update()``,
    ``setParameters()``, ``sceneCloses()`` and ``stop()``.

    Args:
        host: the panel around.
        collaborators: what the panel works with, see :class:`Widget.Collaborators`.

    Attributes:
        context: what the parts know of each other.
        cases: the case store.
        suggest: what to annotate next.
        pretrain: encoders from scans without labels.
        fineTune: models from cases.
        correction: adapts a model to one corrected scan.
    """

    def __init__(self, host: Host, collaborators: Any) -> None:
        self._host, self._with = host, collaborators
        self._parts: list[Any] = []
        self.context = self._makeContext()
        self.cases = self._add(CasesPanel, "LearnCases", host.ui.casesPlace)
        self.suggest = self._add(SuggestPanel, "Suggest", host.ui.suggestSection)
        self.pretrain = self._add(PretrainPanel, "Pretrain", host.ui.pretrainSection)
        self.fineTune = self._add(FineTunePanel, "FineTune", host.ui.fineTuneSection)
        self.correction = self._add(CorrectionPanel, "Correction", host.ui.correctionSection)
        self._openWhenFound(self.pretrain, host.ui.pretrainSection)
        self._openWhenFound(self.fineTune, host.ui.fineTuneSection)
        self.cases.onStoreChanged = self._storeChanged
        self.cases.onBusyChanged = self.update
        self.cases.show()
        showText(host.ui.learnStatusLabel, "")
        host.ui.learnSection.connect("contentsCollapsed(bool)", self._collapsed)
        host.ui.modelSelector.connect("activated(int)", lambda _index: self.fineTune.modelChosen())

    def refresh(self) -> None:
        """Show what the store, the library and the jobs hold now; nothing is read for a closed section."""
        for part in self._parts:
            if self.context.shown() or part not in (self.cases, self.suggest):
                part.refresh()

    def enter(self) -> None:
        """The module is shown."""
        self.refresh()

    def leave(self) -> None:
        """Another module is shown."""
        self.cases.leave()

    def update(self) -> None:
        """Show what can be done now, and why not."""
        for part in self._parts:
            part.update()

    def setParameters(self, parameters: Any) -> None:
        """Show what a parameter node says; None lets go of it."""
        for part in self._parts:
            part.setParameters(parameters)

    def sceneCloses(self) -> None:
        """Let go of what is in the scene."""
        for part in self._parts:
            part.sceneCloses()

    def stop(self) -> None:
        """The panel goes away; jobs go on."""
        for part in self._parts:
            part.stop()

    def _add(self, kind: Any, file: str, place: Any) -> Any:
        """Make a part and put it into its place."""
        host = self._host
        root = slicer.util.loadUI(host.resourcePath(f"UI/{file}.ui"))
        place.layout().addWidget(root)
        root.setMRMLScene(slicer.mrmlScene)
        ui = slicer.util.childWidgetVariables(root)
        if hasattr(ui, "trainingPlace"):  # what all trainings have in common
            ui.trainingPlace.layout().addWidget(slicer.util.loadUI(host.resourcePath("UI/Training.ui")))
            ui = slicer.util.childWidgetVariables(root)
        part = kind(ui, host.logic, host.settings, self._with.install, self.context)
        part.ui = ui
        self._parts.append(part)
        return part

    def _openWhenFound(self, part: Any, section: Any) -> None:
        """Let a person see a training that was found."""

        def open_() -> None:
            section.collapsed = False

        part.onFound = open_
        if part.job is not None:
            open_()

    def _storeChanged(self) -> None:
        for part in self._parts:
            if part is not self.cases:
                part.refresh()

    def _collapsed(self, collapsed: bool) -> None:
        if collapsed:
            self.cases.leave()
        else:
            self.refresh()

    def _makeContext(self) -> LearnContext:
        host = self._host
        return LearnContext(
            editor=host.editor,
            shown=lambda: not host.ui.learnSection.collapsed,
            store=lambda: self.cases.store(),
            storeFolder=lambda: self.cases.storeFolder(),
            models=self._with.models,
            encoders=self._with.encoders,
            chosenModel=lambda: host.segmentPanel.models.card,
            selectModel=self._selectModel,
            startFrom=self._startFrom,
            refreshModels=self._refreshModels,
            refreshCases=lambda select="": self.cases.reread(select),
            volumes=host.segmentPanel.channels.nodes,
            volume=lambda: next(iter(host.segmentPanel.channels.nodes()), None),
            segmentation=host.ui.segmentationSelector.currentNode,
            choose=self._choose,
            segment=self._segment,
            busy=lambda: bool(host.control.running or self.cases.control.running),
            addCase=lambda: self.cases.addCase(),
            openCase=lambda case: self.cases.openCase(case),
            notify=lambda text: showText(host.ui.learnStatusLabel, text),
        )

    def _startFrom(self, key: str) -> None:
        self._host.ui.fineTuneSection.collapsed = False
        self.fineTune.options.startFrom(key)
        self.update()

    def _refreshModels(self) -> None:
        self.fineTune.options.refresh()
        self._host.refresh()

    def _selectModel(self, key: str) -> None:
        combo = self._host.ui.modelSelector
        index = combo.findData(key)
        if index >= 0:
            combo.setCurrentIndex(index)

    def _choose(self, volumes: Sequence[Any], segmentation: Any) -> None:
        for selector, node in zip(self._host.segmentPanel.channels.selectors, volumes, strict=False):
            selector.setCurrentNode(node)
        self._host.ui.segmentationSelector.setCurrentNode(segmentation)

    def _segment(self) -> bool:
        if not self._host.control.running:
            self._host.onSegment()
        return bool(self._host.control.running)
