"""Proposed regions in the scene: a segmentation of their own, which is only looked at and picked from.

It is not saved with the scene, and no selector and no tree shows it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from medcontext.errors import InputError
from medcontext.geometry import IndexBox as Box
from medcontext.labels import default_color
from MedContextSegmentLib.Explore.Holes import filled
from MedContextSegmentLib.Scene.OrientedImage import orientedImage, starts
from MedContextSegmentLib.Scene.SegmentationTarget import LABELMAP, adopt, modifying
from MedContextSegmentLib.Scene.VolumeReader import EXCLUDE_FROM_HIERARCHY, VolumeSnapshot

FILL, BRIGHT_FILL = 0.2, 0.6
"""Opacity of a region, and of the one below the pointer."""


@dataclass(frozen=True)
class RegionFacts:
    """What is known of a region.

    Attributes:
        size: its area or volume, in words.
        share: of the image, 0 to 1.
        means: its mean value in each channel.
    """

    size: str
    share: float
    means: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Proposal:
    """What the worker found.

    Attributes:
        regions: uint8 ``(K, J, I)`` of the box: 1 to n, the largest first.
        box: what was looked at, index ranges ``(K, J, I)`` of the scan.
        scan: the volume; of a colored one the first channel.
        facts: of each region, by its number.
        method: how it was found.
        seconds: how long that took.
        iterations: how long the network learnt; 0 without one.
        reduced: a sentence where a smaller copy was looked at, else "".
    """

    regions: np.ndarray
    box: Box
    scan: VolumeSnapshot
    facts: dict[int, RegionFacts]
    method: str
    seconds: float
    iterations: int = 0
    reduced: str = ""


class ProposedRegions:
    """Regions that are shown in the views.

    Args:
        proposal: what to show.

    Attributes:
        proposal: what is shown.
        node: the ``vtkMRMLSegmentationNode``.
        key: tells these regions from all others.

    Raises:
        InputError: the volume was deleted meanwhile.
    """

    def __init__(self, proposal: Proposal) -> None:
        self.proposal = proposal
        self.key = uuid.uuid4().hex
        self._bright = 0
        if self.volume is None:
            text = _("The volume '{name}' was deleted meanwhile: there is nothing to propose.")
            raise InputError(text.format(name=proposal.scan.name))
        self.node = _hiddenSegmentation(proposal)

    @property
    def volume(self) -> Any:
        """The volume node; None once it is gone."""
        return slicer.mrmlScene.GetNodeByID(self.proposal.scan.nodeId)

    @property
    def shown(self) -> bool:
        """Whether the regions are still there, and so is the volume."""
        return self.node.GetScene() is not None and self.volume is not None

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of all regions, the largest region first."""
        return tuple(self.proposal.facts)

    def regionAt(self, ras: Sequence[float]) -> int:
        """The number of the region at a place in the world, mm RAS; 0 where there is none."""
        local = [0.0, 0.0, 0.0]
        self.node.TransformPointFromWorld(list(ras), local)
        ijk = (np.linalg.inv(self.proposal.scan.ijkToRas) @ [*local, 1.0])[:3]
        place = [int(np.floor(value + 0.5)) for value in ijk[::-1]]
        index = tuple(n - start for n, start in zip(place, starts(self.proposal.box), strict=True))
        if any(not 0 <= n < size for n, size in zip(index, self.proposal.regions.shape, strict=True)):
            return 0
        return int(self.proposal.regions[index])

    def brighten(self, number: int) -> None:
        """Let one region stand out, and the one before no more; 0 for none."""
        if number == self._bright or self.node.GetScene() is None:
            return
        display = self.node.GetDisplayNode()
        with modifying(display):
            for region, opacity in ((self._bright, FILL), (number, BRIGHT_FILL)):
                if region:
                    display.SetSegmentOpacity2DFill(_segmentId(region), opacity)
        self._bright = number

    def describe(self, number: int) -> str:
        """What is known of a region, in words."""
        facts = self.proposal.facts[number]
        text = _("Region {number}: {size} ({share:.1f} %), mean {mean}")
        means = ", ".join(f"{value:.4g}" for value in facts.means)
        return text.format(number=number, size=facts.size, share=100 * facts.share, mean=means)

    def color(self, number: int) -> tuple[float, float, float]:
        """Red, green and blue, each 0 to 1."""
        return _color(number)

    def mask(self, number: int, fillHoles: bool = False) -> np.ndarray:
        """The voxels of a region, bool ``(K, J, I)`` of the box; with what it encloses if wanted."""
        mask: np.ndarray = self.proposal.regions == number
        return filled(mask) if fillHoles else mask

    def discard(self) -> None:
        """Take the regions out of the scene."""
        if self.node.GetScene() is not None:
            slicer.mrmlScene.RemoveNode(self.node)


def readFacts(entries: Iterable[Mapping[str, Any]]) -> dict[int, RegionFacts]:
    """The worker's facts, by the number of the region."""
    return {int(entry["value"]): _facts(entry) for entry in entries}


def _facts(entry: Mapping[str, Any]) -> RegionFacts:
    area, volume = entry.get("area_mm2"), entry.get("volume_ml")
    size = (
        _("{area} mm²").format(area=f"{float(area):.3g}")
        if area is not None
        else _("{volume} mL").format(volume=f"{float(volume or 0.0):.3g}")
    )
    return RegionFacts(size, float(entry["share"]), tuple(float(value) for value in entry["mean"]))


def _hiddenSegmentation(proposal: Proposal) -> Any:
    node = slicer.vtkMRMLSegmentationNode()
    node.SetName(_("Proposed regions"))
    node.SetHideFromEditors(True)
    node.SetSaveWithScene(False)
    node.SetAttribute(EXCLUDE_FROM_HIERARCHY, "1")
    slicer.mrmlScene.AddNode(node)
    with modifying(node):
        adopt(node, proposal.scan)
        node.GetSegmentation().SetSourceRepresentationName(LABELMAP)
        image = orientedImage(proposal.regions, proposal.scan.ijkToRas, starts(proposal.box))
        for number in proposal.facts:
            segment = slicer.vtkSegment()
            segment.SetName(_("Region {number}").format(number=number))
            segment.SetColor(*_color(number))
            segment.AddRepresentation(LABELMAP, image)
            segment.SetLabelValue(number)
            node.GetSegmentation().AddSegment(segment, _segmentId(number))
        display = node.GetDisplayNode()
        display.SetSaveWithScene(False)
        display.SetVisibility3D(False)
        display.SetOpacity2DFill(1.0)
        for number in proposal.facts:
            display.SetSegmentOpacity2DFill(_segmentId(number), FILL)
    return node


def _segmentId(number: int) -> str:
    return f"region_{number}"


def _color(number: int) -> tuple[float, float, float]:
    """That of the picture which the command draws."""
    red, green, blue = default_color(number)
    return red / 255, green / 255, blue / 255
