"""SNOMED CT meaning of segments, in the one-line form in which Slicer keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import slicer
import vtk

from medcontext.labels import UNCODED, Terminology


def terminologyText(terminology: Mapping[str, Any] | None) -> str:
    """What ``vtkSegment.SetTerminology`` takes: context~category~type~modifier~context~region~region modifier.

    Args:
        terminology: {category, type, modifier, region} of codes {scheme, value, meaning}; None for a label without
            codes, which becomes *Tissue* as in Slicer, because DICOM export needs a code for each segment.
    """
    return (Terminology.from_json(dict(terminology)) if terminology else UNCODED).to_slicer_text()


def segmentTerminology(segment: Any) -> dict[str, Any] | None:
    """The codes of a ``vtkSegment`` as :func:`terminologyText` takes them; None if it has none."""
    text = vtk.mutable("")
    segment.GetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), text)
    terminology = Terminology.from_slicer_text(str(text))
    return terminology.to_json() if terminology else None


def setTerminology(segment: Any, terminology: Mapping[str, Any] | None) -> None:
    """Give a ``vtkSegment`` its codes."""
    segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), terminologyText(terminology))
