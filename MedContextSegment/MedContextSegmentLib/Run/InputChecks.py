"""What a person should know before a run: does the image fit the model? Quick: few voxels are looked at."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from medcontext.cards import CardSummary
from medcontext.errors import InputError
from medcontext.geometry import Geometry
from MedContextSegmentLib.Run.Models import channelTitle, modalityOf, sizesText
from MedContextSegmentLib.Scene.OrientedImage import imageArray
from MedContextSegmentLib.Scene.VolumeReader import volumeProblem

ERROR, WARNING, INFO = "error", "warning", "info"

LARGEST_FIELD_OF_VIEW = 2.0
"""The worker refuses images that are larger than the training images by more than this on two axes."""

SMALLEST_FIELD_OF_VIEW = 0.5
"""An image smaller than the training images by more than this on one axis may cut the structure off."""

SPACING_FACTOR = 2.0
"""Spacing beyond the trained range by more than this is warned of."""

LATTICE = 32
"""Voxels looked at along each axis: all of a large scan take a quarter of a second, on the main thread."""

AIR_HU = -900
"""CT shows air as about -1000; MR and PET hold nothing of the kind."""


@dataclass(frozen=True)
class Finding:
    """One thing found.

    Attributes:
        severity: "error" (the run would be refused), "warning" or "info".
        text: one sentence for the person.
        hint: what to do about it; may be empty.
    """

    severity: str
    text: str
    hint: str = ""


def check(
    volumeNodes: Sequence[Any], card: CardSummary, boxed: bool = False, roiNode: Any = None
) -> list[Finding]:
    """Everything that can be said before a run, errors first.

    Args:
        volumeNodes: a volume node or None for each input channel of the model.
        card: the model.
        boxed: whether the run is restricted to an ROI or to a segment.
        roiNode: that ROI, where there is one: what is said of the extent is then said of it.
    """
    errors = _channelErrors(volumeNodes, card)
    if errors:
        return errors
    geometries = [geometryOf(node) for node in volumeNodes]
    findings = [*_modalityFindings(volumeNodes, card), *_gridFindings(volumeNodes, geometries)]
    if geometries[0] is not None:
        extent = roiExtent(roiNode, geometries[0]) if roiNode is not None else None
        findings += _extentFindings(geometries[0], card, extent) if not boxed or extent else []
        findings += _spacingFindings(geometries[0], card)
    return sorted(findings, key=lambda finding: (ERROR, WARNING, INFO).index(finding.severity))


def geometryOf(volumeNode: Any) -> Geometry | None:
    """The voxel grid in LPS world coordinates, linear parent transforms applied; None where it spans no volume."""
    toRas = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(toRas)
    affine = slicer.util.arrayFromVTKMatrix(toRas)
    transform = volumeNode.GetParentTransformNode()
    if transform is not None and transform.IsTransformToWorldLinear():
        toWorld = vtk.vtkMatrix4x4()
        transform.GetMatrixTransformToWorld(toWorld)
        affine = slicer.util.arrayFromVTKMatrix(toWorld) @ affine
    i, j, k = volumeNode.GetImageData().GetDimensions()
    try:
        return Geometry((k, j, i), np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine)
    except InputError:
        return None


def roiExtent(roiNode: Any, geometry: Geometry) -> list[float] | None:
    """What an ROI covers of an image, mm along ``(K, J, I)``; None where it covers nothing or has no size yet."""
    half = np.array(roiNode.GetSize()) / 2
    if roiNode.GetNumberOfControlPoints() == 0 or half.min() <= 0:
        return None
    toWorld = slicer.util.arrayFromVTKMatrix(roiNode.GetObjectToWorldMatrix())
    signs = np.array(list(itertools.product((-1, 1), repeat=3)))
    corners = (signs * half) @ toWorld[:3, :3].T + toWorld[:3, 3]
    index = geometry.lps_to_index(corners * [-1, -1, 1])
    low = np.maximum(index.min(axis=0), -0.5)
    high = np.minimum(index.max(axis=0), np.array(geometry.shape) - 0.5)
    return None if (high <= low).any() else list((high - low) * geometry.spacing)


def _channelErrors(volumeNodes: Sequence[Any], card: CardSummary) -> list[Finding]:
    """What each selector needs before anything else can be said."""
    found = []
    for index in range(len(card.channels)):
        node = volumeNodes[index] if index < len(volumeNodes) else None
        if node is None and len(card.channels) > 1:
            text = _("Channel {channel} has no volume.").format(channel=channelTitle(card, index))
            found.append(Finding(ERROR, text, _("Choose one for each channel.")))
            continue
        problem = volumeProblem(node, card.dims)
        if problem:
            found.append(Finding(ERROR, problem))
    if len(volumeNodes) > len(card.channels):
        text = _("The model '{title}' takes {count} volume(s).")
        found.append(Finding(ERROR, text.format(title=card.title, count=len(card.channels))))
    given = [node.GetID() for node in volumeNodes if node is not None]
    for node in volumeNodes:
        if node is not None and given.count(node.GetID()) > 1:
            text = _("The volume '{name}' is chosen for several channels.").format(name=node.GetName())
            found.append(Finding(ERROR, text, _("Choose another one for each.")))
            break
    return found


def _modalityFindings(volumeNodes: Sequence[Any], card: CardSummary) -> list[Finding]:
    """Warn where the volume is clearly of another modality: by its DICOM data, else by values only CT can have."""
    found = []
    for index, node in enumerate(volumeNodes):
        wanted = modalityOf(card.modalities[index]) or modalityOf(card.channels[index])
        known = modalityOf(dicomModality(node))
        if not wanted or wanted == known:
            continue
        names = {"name": node.GetName(), "wanted": wanted, "given": known}
        if known:
            text = _("'{name}' is a {given} image, the model was trained on {wanted} images.")
        elif wanted == "CT" and smallestValue(node) >= 0:
            text = _("'{name}' has no negative values, as CT images in Hounsfield units have.")
        elif wanted != "CT" and smallestValue(node) <= AIR_HU:
            text = _("'{name}' has values like a CT image, the model was trained on {wanted} images.")
        else:
            continue
        found.append(Finding(WARNING, text.format(**names), _("The result will probably be wrong.")))
    return found


def smallestValue(volumeNode: Any) -> float:
    """The smallest of the voxels that lie on a coarse lattice: air and fat fill more than one of its points."""
    array = imageArray(volumeNode.GetImageData())
    steps = tuple(slice(None, None, -(-size // LATTICE)) for size in array.shape)
    return float(array[steps].min())


def dicomModality(volumeNode: Any) -> str:
    """The DICOM modality of the volume's series; "" where it did not come from DICOM."""
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    item = hierarchy.GetItemByDataNode(volumeNode) if hierarchy is not None else 0
    if not item:
        return ""
    attribute = slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMSeriesModalityAttributeName()
    return str(hierarchy.GetItemAttribute(item, attribute) or "")


def _gridFindings(volumeNodes: Sequence[Any], geometries: Sequence[Geometry | None]) -> list[Finding]:
    """The other channels are resampled to the grid of the first; say so, and warn where they lie elsewhere."""
    found = []
    first = geometries[0]
    for node, geometry in list(zip(volumeNodes, geometries, strict=True))[1:]:
        if first is None or geometry is None or first.same_grid(geometry):
            continue
        names = {"name": node.GetName(), "first": volumeNodes[0].GetName()}
        if _overlaps(first, geometry):
            text = _("'{name}' has another voxel grid than '{first}': it will be resampled.")
            found.append(Finding(INFO, text.format(**names)))
        else:
            text = _("'{name}' does not overlap '{first}'.")
            found.append(Finding(ERROR, text.format(**names), _("Choose images of one examination.")))
    return found


def _overlaps(one: Geometry, other: Geometry) -> bool:
    """Whether the boxes around both, along the axes of the patient, share a part."""
    a, b = one.corners(), other.corners()
    return bool((a.min(0) <= b.max(0)).all() and (b.min(0) <= a.max(0)).all())


def _inModelAxes(values: Sequence[float], geometry: Geometry, card: CardSummary) -> list[float]:
    try:
        permutation, _flips = geometry.reorientation(card.orientation)
    except InputError:  # a model of images as they are stored, or a card that says no orientation
        permutation = (0, 1, 2)
    return [values[permutation[axis]] for axis in card.transpose]


def _extentFindings(geometry: Geometry, card: CardSummary, roi: Sequence[float] | None) -> list[Finding]:
    """What is to be said of the extent of the image, or of the ``roi``, mm, where there is one."""
    if card.field_of_view_range is None:
        return []
    low, high = card.field_of_view_range
    whole = [n * s for n, s in zip(geometry.shape, geometry.spacing, strict=True)]
    extent = _inModelAxes(whole if roi is None else roi, geometry, card)
    larger = sum(e > LARGEST_FIELD_OF_VIEW * h for e, h in zip(extent, high, strict=True))
    if larger >= 2:
        middle = [(a + b) / 2 for a, b in zip(low, high, strict=True)]
        text = _(
            "The image measures {extent} mm; the model '{title}' was trained on images of about {middle} mm "
            "(at most {high} mm)."
        )
        sizes = {"extent": sizesText(extent), "middle": sizesText(middle), "high": sizesText(high)}
        hint = _("Choose an ROI of that size around the structure to segment.")
        if roi is not None:
            text = _(
                "The region measures {extent} mm; the model '{title}' was trained on images of about {middle} mm "
                "(at most {high} mm)."
            )
            hint = _("Choose a smaller region.")
        return [Finding(ERROR, text.format(title=card.title, **sizes), hint)]
    if roi is None and any(e < SMALLEST_FIELD_OF_VIEW * a for e, a in zip(extent, low, strict=True)):
        text = _("The image measures {extent} mm, the model was trained on images of at least {low} mm.")
        hint = _("Structures may be cut off: look closely at the result.")
        return [Finding(WARNING, text.format(extent=sizesText(extent), low=sizesText(low)), hint)]
    return []


def _spacingFindings(geometry: Geometry, card: CardSummary) -> list[Finding]:
    if card.spacing_range is None:
        return []
    low, high = card.spacing_range
    spacing = _inModelAxes(geometry.spacing, geometry, card)
    limits = zip(spacing, low, high, strict=True)
    if all(a / SPACING_FACTOR <= s <= b * SPACING_FACTOR for s, a, b in limits):
        return []
    text = _("The image has a spacing of {spacing} mm, the model was trained on {low} to {high} mm.")
    if sizesText(low) == sizesText(high):
        text = _("The image has a spacing of {spacing} mm, the model was trained on {low} mm.")
    sizes = {"spacing": sizesText(spacing), "low": sizesText(low), "high": sizesText(high)}
    return [Finding(WARNING, text.format(**sizes), _("Look closely at the result."))]
