"""How a DICOM SEG says what a segment is: code, colour, name, and what made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from medcontext.labels import UNCODED, Code, Label

if TYPE_CHECKING:
    from highdicom.seg import SegmentDescription

MAKER = "MedContext"
_LONG = 64  # characters that DICOM allows in a description, a name or the meaning of a code


@dataclass(frozen=True)
class Algorithm:
    """What made the segments.

    Attributes:
        name: of the model.
        version: of the model.
        facts: further facts, such as the hash of its weights, the device, the software versions.
    """

    name: str
    version: str
    facts: Mapping[str, str] = field(default_factory=dict)


def describe_segment(number: int, label: Label, algorithm: Algorithm | None) -> SegmentDescription:
    """What a DICOM SEG says of segment ``number``; a person made it where ``algorithm`` is None."""
    from highdicom.color import CIELabColor
    from highdicom.content import AlgorithmIdentificationSequence
    from highdicom.seg import SegmentAlgorithmTypeValues, SegmentDescription
    from pydicom.sr.codedict import codes
    from pydicom.uid import generate_uid

    terminology = label.terminology or UNCODED
    made_by = {
        "algorithm_type": SegmentAlgorithmTypeValues.MANUAL
        if algorithm is None
        else SegmentAlgorithmTypeValues.AUTOMATIC
    }
    if algorithm is not None:
        made_by["algorithm_identification"] = AlgorithmIdentificationSequence(
            name=short_text(algorithm.name),
            family=codes.DCM.ArtificialIntelligence,
            version=short_text(algorithm.version),
            source=MAKER,
            parameters={str(key): str(value) for key, value in algorithm.facts.items()} or None,
        )
    description = SegmentDescription(
        segment_number=number,
        segment_label=short_text(label.name),
        segmented_property_category=_concept(terminology.category),
        segmented_property_type=_concept(terminology.type),
        tracking_uid=generate_uid(prefix=None),
        tracking_id=short_text(label.name),
        anatomic_regions=[_concept(terminology.region)] if terminology.region else None,
        display_color=CIELabColor(*_cielab(label.color)),
        **made_by,
    )
    if terminology.modifier:
        kind = description.SegmentedPropertyTypeCodeSequence[0]
        kind.SegmentedPropertyTypeModifierCodeSequence = [_concept(terminology.modifier)]
    return description


def _concept(code: Code) -> Any:
    from highdicom.sr import CodedConcept

    return CodedConcept(code.value, code.scheme, short_text(code.meaning))


def short_text(text: str) -> str:
    """Text as DICOM allows it in one line; a backslash would separate values."""
    return " ".join(text.replace("\\", "/").split())[:_LONG].strip() or MAKER


def _cielab(color: tuple[int, int, int]) -> tuple[float, float, float]:
    """CIELab (white point D65) of an sRGB colour."""
    srgb = np.array(color) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750]])
    to_xyz = np.vstack([to_xyz, [0.0193339, 0.1191920, 0.9503041]])
    xyz = to_xyz @ linear / to_xyz.sum(axis=1)
    x, y, z = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return float(np.clip(116 * y - 16, 0, 100)), float(500 * (x - y)), float(200 * (y - z))
