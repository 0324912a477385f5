"""Where a segmentation comes from, kept with it: attributes of the node (in the scene) and tags of its segments.

Tags go into ``.seg.nrrd`` as well; the tags ``MedContext.Model`` and ``MedContext.Label`` also say which segments a
model may replace when it runs again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import vtk

from MedContextSegmentLib.Worker.Results import SegmentationResult

PREFIX = "MedContext."
REDONE_PREFIX = "MedContext.Redone."
MODEL, LABEL = PREFIX + "Model", PREFIX + "Label"
SEPARATOR = "|"  # between the tags of a segment in .seg.nrrd


def modelKey(model: Mapping[str, Any]) -> str:
    """``<id>@<sha256>``: the same for two results only if the same weights made them."""
    return _clean(f"{model['id']}@{model.get('sha256') or ''}")


def provenanceOf(result: SegmentationResult, settings: Mapping[str, Any] | None = None) -> dict[str, str]:
    """What made a result, as short texts by name.

    Args:
        result: the result.
        settings: what the person chose, such as the region; values that JSON can hold.
    """
    model = result.model
    facts = {
        "Model": modelKey(model),
        "ModelTitle": model.get("title") or model["id"],
        "ModelVersion": model.get("version") or "",
        "ModelLicense": model.get("license") or "",
        "Software": ", ".join(f"{name} {version}" for name, version in sorted(result.software.items())),
        "Device": result.device,
        "Precision": result.precision,
        "Time": datetime.now(UTC).isoformat(timespec="seconds"),
        "Seconds": f"{sum(result.seconds.values()):.3f}",
        "Settings": json.dumps(dict(settings or {}), sort_keys=True, default=str).replace(
            SEPARATOR, "\\u007c"
        ),
    }
    return {name: _clean(str(text)) for name, text in facts.items()}


def writeToNode(segmentationNode: Any, provenance: Mapping[str, str], prefix: str = PREFIX) -> None:
    """Keep it as attributes of a segmentation node: those of the latest run."""
    for name, text in provenance.items():
        segmentationNode.SetAttribute(prefix + name, text)


def writeToSegment(segment: Any, provenance: Mapping[str, str], prefix: str = PREFIX) -> None:
    """Keep it as tags of a ``vtkSegment``."""
    for name, text in provenance.items():
        segment.SetTag(prefix + name, text)


def readFromNode(segmentationNode: Any) -> dict[str, str]:
    """What :func:`writeToNode` kept; empty for a segmentation that no model made."""
    names = segmentationNode.GetAttributeNames()
    return {
        name.removeprefix(PREFIX): segmentationNode.GetAttribute(name)
        for name in names
        if name.startswith(PREFIX) and not name.startswith(REDONE_PREFIX)
    }


def tagOf(segment: Any, name: str) -> str:
    """A tag of a ``vtkSegment``; empty if it has none of that name."""
    text = vtk.mutable("")
    return str(text) if segment.GetTag(name, text) else ""


def labelOf(segment: Any, key: str = "") -> int | None:
    """The label that a model wrote into a segment.

    Args:
        segment: ``vtkSegment``.
        key: of the model (:func:`modelKey`); empty for any.

    Returns:
        None if it was made by hand, or by another model than ``key``.
    """
    model, label = tagOf(segment, MODEL), tagOf(segment, LABEL)
    if not model or not label.isdigit() or (key and model != key):
        return None
    return int(label)


def _clean(text: str) -> str:
    return " ".join(text.replace(SEPARATOR, "/").split())
