"""The section Learn, and what learns in Review: loads the parts, joins them, and passes on what happens."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any, Protocol

import slicer

from MedContextSegmentLib.Panel.EditorLink import EditorLink
from MedContextSegmentLib.Panel.LearnContext import LearnContext
from MedContextSegmentLib.Panel.QtHelpers import showText


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
    """Holds the parts of *Learn*: ``cases``, ``suggest``, ``fineTune`` and ``correction``.

    Each part is made of a .ui file, whose widgets it gets as ``ui``, and has ``refresh()``, ``update()``,
    ``setParameters()``, ``sceneCloses()`` and ``stop()``.

    Args:
        host: the panel around.
        with_: what the panel works with, see :class:`Widget.Collaborators`.
    """

    PARTS = (
        # name, module and class, .ui file, section
        ("cases", "CasesPanel", "LearnCases", "casesPlace"),
        ("suggest", "SuggestPanel", "Suggest", "suggestSection"),
        ("fineTune", "FineTunePanel", "FineTune", "fineTuneSection"),
        ("correction", "CorrectionPanel", "Correction", "correctionSection"),
    )

    def __init__(self, host: Host, with_: Any) -> None:
        self._host, self._with = host, with_
        self._parts: dict[str, Any] = {}
        self.context = self._makeContext()
        for name, module, file, section in self.PARTS:
            path = f"MedContextSegmentLib.Panel.{module}"
            try:  # until all parts have landed
                importlib.import_module(path)
            except ModuleNotFoundError as error:
                print(f"{module}: {error}", file=sys.stderr)
                continue
            root = slicer.util.loadUI(host.resourcePath(f"UI/{file}.ui"))
            getattr(host.ui, section).layout().addWidget(root)
            ui = slicer.util.childWidgetVariables(root)
            if hasattr(root, "setMRMLScene"):
                root.setMRMLScene(slicer.mrmlScene)
            kind = getattr(importlib.import_module(path), module)
            self._parts[name] = kind(ui, host.logic, host.settings, with_.install, self.context)
            self._parts[name].ui = ui
        if "cases" in self._parts:
            self.cases.onStoreChanged = self._storeChanged
        showText(host.ui.learnStatusLabel, "")
        host.ui.learnSection.connect("contentsCollapsed(bool)", self._collapsed)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["_parts"][name]
        except KeyError:
            raise AttributeError(name) from None

    def refresh(self) -> None:
        """Show what the store, the library and the jobs hold now."""
        for part in self._parts.values():
            part.refresh()

    def leave(self) -> None:
        """Another module is shown."""
        if "cases" in self._parts:
            self.cases.leave()

    def update(self) -> None:
        """Show what can be done now, and why not."""
        for part in self._parts.values():
            part.update()

    def setParameters(self, parameters: Any) -> None:
        """Show what a parameter node says; None lets go of it."""
        for part in self._parts.values():
            part.setParameters(parameters)

    def sceneCloses(self) -> None:
        """Let go of what is in the scene."""
        for part in self._parts.values():
            part.sceneCloses()

    def stop(self) -> None:
        """The panel goes away; jobs go on."""
        for part in self._parts.values():
            part.stop()

    def _storeChanged(self) -> None:
        for name, part in self._parts.items():
            if name != "cases":
                part.refresh()

    def _collapsed(self, collapsed: bool) -> None:
        if not collapsed:
            self.refresh()

    def _makeContext(self) -> LearnContext:
        host = self._host
        cases: Any = lambda name: getattr(self._parts.get("cases"), name, lambda *_args: None)  # noqa: E731
        return LearnContext(
            editor=host.editor,
            store=lambda: cases("store")(),
            storeFolder=lambda: cases("storeFolder")(),
            models=self._with.models,
            chosenModel=lambda: host.segmentPanel.models.card,
            selectModel=self._selectModel,
            refreshModels=host.refresh,
            refreshCases=lambda select="": cases("reread")(select),
            volumes=host.segmentPanel.channels.nodes,
            volume=lambda: next(iter(host.segmentPanel.channels.nodes()), None),
            segmentation=host.ui.segmentationSelector.currentNode,
            choose=self._choose,
            segment=self._segment,
            busy=lambda: host.control.running,
            addCase=lambda: cases("addCase")(),
            openCase=lambda case: cases("openCase")(case),
            notify=lambda text: showText(host.ui.learnStatusLabel, text),
        )

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
