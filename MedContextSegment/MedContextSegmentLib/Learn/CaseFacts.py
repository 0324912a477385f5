"""What a case store is told about a case besides its voxels.

Names of nodes and of the scene, which may be those of patients, stay here. Paths of the scan's own files do not: by
them a scan is known again, and they may say who it is, as may the name of the volume, of which the id is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import slicer

from MedContextSegmentLib.Learn.LabelMapping import MappingRow
from MedContextSegmentLib.Run.InputChecks import dicomModality
from MedContextSegmentLib.Run.Models import modalityOf, sequenceOf
from MedContextSegmentLib.Scene import Provenance
from MedContextSegmentLib.Scene.ScanFiles import scanFiles

IMAGE = "image"


def channelsFor(volumes: Iterable[Any]) -> tuple[tuple[str, str], ...]:
    """Name and modality of each input channel of a store that begins with these volumes.

    A channel is named after the sequence or the modality that DICOM or the volume's name says, else "image"; the
    name of one scan says nothing of the next one.
    """
    channels: list[tuple[str, str]] = []
    for node in volumes:
        text = node.GetName() or ""
        modality = modalityOf(dicomModality(node)) or modalityOf(text)
        name = sequenceOf(text) or modality or IMAGE
        taken = sum(other == name or other.startswith(f"{name} ") for other, _modality in channels)
        channels.append((f"{name} {taken + 1}" if taken else name, modality))
    return tuple(channels)


def caseProvenance(volumes: Sequence[Any], segmentation: Any, rows: Iterable[MappingRow]) -> dict[str, Any]:
    """Where a case came from.

    Args:
        volumes: a node for each channel.
        segmentation: the node that was read; None for a scan without labels.
        rows: what its segments became.
    """
    facts: dict[str, Any] = {
        "application": f"3D Slicer {slicer.app.applicationVersion}",
        "modality": modalityOf(dicomModality(volumes[0])),
        "files": [str(file) for node in volumes for file in scanFiles(node)],
    }
    if segmentation is not None:
        chosen = [row for row in rows if row.target is not None]
        facts["models"] = _modelsByLabel(segmentation, chosen)
    return {name: value for name, value in facts.items() if value}


def _modelsByLabel(segmentation: Any, rows: Iterable[MappingRow]) -> dict[str, list[str]]:
    """The models that made the segments of a label, as ``id@sha256``; labels that were painted are not in it."""
    models: dict[str, list[str]] = {}
    for row in rows:
        segment = segmentation.GetSegmentation().GetSegment(row.segmentId)
        for prefix in (Provenance.PREFIX, Provenance.REDONE_PREFIX):
            key = Provenance.tagOf(segment, f"{prefix}Model") if segment is not None else ""
            if key and row.target is not None and key not in models.setdefault(row.target.name, []):
                models[row.target.name].append(key)
    return {label: keys for label, keys in models.items() if keys}
