"""*Propose regions*: on the slice of a view or inside a ROI; the button becomes *Cancel*."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from medcontext.errors import CancelledError, MedContextError
from MedContextSegmentLib.Explore.Planes import planeOf, shownVolume
from MedContextSegmentLib.Explore.ProposedRegions import ProposedRegions
from MedContextSegmentLib.Explore.RegionsRun import NETWORK, SUPERPIXELS, RegionsRequest, RegionsRun
from MedContextSegmentLib.Panel.ExploreViews import FollowedViews
from MedContextSegmentLib.Panel.QtHelpers import comboData, fillCombo, showRow, showText
from MedContextSegmentLib.Panel.RunControl import RunControl
from MedContextSegmentLib.Run.RunListener import RunListener
from MedContextSegmentLib.Scene.Rois import isEmptyRoi, placeRoi
from MedContextSegmentLib.Scene.VolumeReader import readChannels, volumeProblem
from MedContextSegmentLib.Setup.Packages import SURFACES

SLICE, ROI = "slice", "roi"
LAST_SCROLLED = "last scrolled"
ROI_VOXELS = 96
"""Side of a new ROI; more are looked at in a smaller copy."""


class ExplorePanel:
    """What to look at and how, the button, and what came of it.

    Args:
        ui: the widgets of Explore.ui.
        logic: a :class:`Logic.MedContextSegmentLogic`, whose worker looks for regions.
        settings: a :class:`Settings.Settings`.
        install: has ``ensureInstalled()``, see :mod:`Install`.
        busy: whether the worker is at work for another part of the panel.
        onProposed: called with the :class:`ProposedRegions.ProposedRegions`.

    Attributes:
        control: keeps the run going.
    """

    def __init__(
        self,
        ui: Any,
        logic: Any,
        settings: Any,
        install: Any,
        busy: Callable[[], bool],
        onProposed: Callable[[ProposedRegions], None],
    ) -> None:
        self._ui, self._logic, self._settings, self._install = ui, logic, settings, install
        self._busy, self._onProposed = busy, onProposed
        self._run: RegionsRun | None = None
        self._outcome = ""
        self._offered: list[tuple[str, str, str]] = []
        self.control = RunControl(ui.exploreProgressBar, self.update, self.update)
        self.views = FollowedViews(self.update)
        where = [(_("The slice that a view shows"), SLICE, ""), (_("A region of interest (ROI)"), ROI, "")]
        fillCombo(ui.exploreWhereSelector, where, SLICE)
        network = _("Learns to group the pixels of this image alone, within seconds; nothing else is learnt.")
        quick = _("Groups patches of like color, at once; blind to texture.")
        methods = [(_("A small network"), NETWORK, network), (_("Superpixels (quick)"), SUPERPIXELS, quick)]
        fillCombo(ui.exploreMethodSelector, methods, NETWORK)
        for combo in (ui.exploreWhereSelector, ui.exploreViewSelector, ui.exploreMethodSelector):
            combo.connect("currentIndexChanged(int)", self._changed)
        ui.exploreKindsSpinBox.connect("valueChanged(int)", self._changed)
        ui.exploreRoiSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._roiChanged)
        ui.exploreButton.connect("clicked()", self._startOrCancel)

    def update(self) -> None:
        """Show what can be done, and why not."""
        ui, running = self._ui, self.control.running
        self._offerViews()
        showRow(ui, "exploreRoiSelector", comboData(ui.exploreWhereSelector) == ROI)
        for name in ("Where", "View", "Roi", "Method"):
            getattr(ui, f"explore{name}Selector").enabled = not running
        ui.exploreKindsSpinBox.enabled = not running
        reason = "" if running else self._reason()
        button = ui.exploreButton
        button.text = _("Cancel") if running else _("Propose regions")
        button.enabled = not self.control.cancelling if running else not reason
        tip = _("Divide the image into regions without any model, to pick from. Nothing is changed.")
        button.toolTip = _("Stop; nothing is changed.") if running else reason or tip
        showText(ui.exploreStatusLabel, self._progressText() if running else reason or self._outcome)

    def giveWay(self) -> None:
        """A person waits for something else now, and the worker does one thing at a time."""
        if self._run is not None:
            self._run.giveWay()

    def leave(self) -> None:
        """Another module is shown; a run goes on."""
        self.views.stop()

    def sceneCloses(self) -> None:
        """Let go of what is in the scene."""
        self.views.stop()
        self.control.cancel()
        self._outcome = ""

    def stop(self) -> None:
        """The panel goes away."""
        self.views.stop()
        self.control.forget()
        self._run = None

    def _offerViews(self) -> None:
        names = list(self.views.nodes())
        items = [(name, name, "") for name in names]
        if names:
            last = self.views.lastScrolled if self.views.lastScrolled in names else names[0]
            items.insert(0, (_("Scrolled last ({view})").format(view=last), LAST_SCROLLED, ""))
        if items != self._offered:
            self._offered = items
            fillCombo(self._ui.exploreViewSelector, items, comboData(self._ui.exploreViewSelector))

    def _sliceNode(self) -> Any:
        """Of the chosen view; None where no slice view is on the screen."""
        nodes = self.views.nodes()
        chosen = comboData(self._ui.exploreViewSelector)
        if chosen == LAST_SCROLLED:
            chosen = self.views.lastScrolled
        return nodes.get(chosen) or next(iter(nodes.values()), None)

    def _volume(self) -> Any:
        node = self._sliceNode()
        return shownVolume(node) if node is not None else None

    def _reason(self) -> str:
        """Why nothing can be proposed, as a sentence; "" when it can."""
        node = self._sliceNode()
        if node is None:
            return _("There is no slice view on the screen.")
        volume = shownVolume(node)
        if volume is None:
            return _("The view {view} shows no image.").format(view=node.GetLayoutName())
        problem = volumeProblem(volume, dims=2, colors=True)
        if not problem and self._roiWanted() and self._ui.exploreRoiSelector.currentNode() is None:
            problem = _("Choose or create the ROI to look inside.")
        if not problem and self._busy():
            problem = _("Wait for what is running.")
        return problem

    def _roiWanted(self) -> bool:
        return comboData(self._ui.exploreWhereSelector) == ROI

    def _startOrCancel(self) -> None:
        if self.control.running:
            self.control.cancelByClick()
            return
        try:
            if not self._reason() and self._installed():
                self._start()
        except MedContextError as error:
            self._tell(error)
        self.update()

    def _installed(self) -> bool:
        quick = comboData(self._ui.exploreMethodSelector) == SUPERPIXELS
        return bool(
            self._install.ensureInstalled() and (not quick or self._install.ensureInstalled(purpose=SURFACES))
        )

    def _start(self) -> None:
        channels = readChannels(self._volume())
        roi, kinds = self._roiWanted(), self._ui.exploreKindsSpinBox
        request = RegionsRequest(
            channels=channels,
            plane=None if roi else planeOf(self._sliceNode(), channels[0]),
            roi=self._ui.exploreRoiSelector.currentNode() if roi else None,
            method=comboData(self._ui.exploreMethodSelector),
            clusters=int(kinds.value) if kinds.value > kinds.minimum else None,
            device=self._settings.device,
        )

        def begin(listener: RunListener) -> RegionsRun:
            self._run = RegionsRun(self._logic.worker, request, listener, self._logic.exchangeRoot)
            return self._run

        self._outcome = ""
        self.control.start(begin, self._ended)

    def _ended(self, run: RegionsRun) -> None:
        self._run = None
        if run.error is not None:
            self._tell(run.error)
            return
        proposal = run.result.proposal
        text = _("{count} regions in {seconds:.1f} s.")
        if len(proposal.facts) == 1:
            text = _("The image was not divided: all of it is one region. Choose more kinds.")
        text = text.format(count=len(proposal.facts), seconds=proposal.seconds)
        self._outcome = "\n".join([text, *self.control.notes])
        self._onProposed(run.result)

    def _tell(self, error: MedContextError) -> None:
        self._outcome = error.message
        if not isinstance(error, CancelledError):
            self._outcome = str(error)
            slicer.util.errorDisplay(str(error))

    def _progressText(self) -> str:
        parts = [self.control.text]
        if self._run is not None and self._run.iteration is not None and not self.control.cancelling:
            done, most = self._run.iteration
            parts.append(_("iteration {done} of at most {most}").format(done=done, most=most))
        return "\n".join([", ".join(parts), *self.control.notes])

    def _changed(self, _index: int) -> None:
        if not self.control.running:
            self._outcome = ""
        self.update()

    def _roiChanged(self, roi: Any) -> None:
        node, volume = self._sliceNode(), self._volume()
        if roi is not None and isEmptyRoi(roi) and volume is not None:
            matrix = node.GetSliceToRAS()
            center = [matrix.GetElement(axis, 3) for axis in range(3)]
            placeRoi(roi, volume, center, ROI_VOXELS)
        self._changed(0)
