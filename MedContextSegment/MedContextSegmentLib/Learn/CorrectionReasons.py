"""Whether *Learn from this correction* can begin, and with what."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import slicer
from slicer.i18n import tr as _

from medcontext.cards import CardSummary
from medcontext.correction_facts import offered_for
from MedContextSegmentLib.Learn.Correction import CorrectionRequest
from MedContextSegmentLib.Run.Models import modelKey
from MedContextSegmentLib.Run.Redo import makerOf
from MedContextSegmentLib.Scene.ModelAnswer import answerOf, isCorrected, segmentsOfModel
from MedContextSegmentLib.Scene.Provenance import readFromNode
from MedContextSegmentLib.Scene.Sequences import isSequence


def correctionReason(segmentationNode: Any, volumes: Sequence[Any], models: Sequence[CardSummary]) -> str:
    """Why nothing can be learnt from what was corrected, as a sentence; "" where it can.

    Args:
        segmentationNode: what is reviewed, or None.
        volumes: the volumes that are chosen, None where none is.
        models: the library.
    """
    if segmentationNode is None:
        return _("Segment the image first, or choose a segmentation as output above.")
    key = keyOf(segmentationNode)
    if not key or not segmentsOfModel(segmentationNode, key):
        return _("No model made these segments: there is nothing that could have been corrected.")
    card = _maker(segmentationNode, models)
    if card is None:
        text = _("The model '{model}', which made this segmentation, is not in the library.")
        return text.format(model=makerOf(segmentationNode))
    if not offered_for(card):
        text = _("Learning from a correction did not help models like '{title}' when it was measured.")
        return text.format(title=card.title)
    answer = answerOf(segmentationNode)
    if answer is not None and not isCorrected(segmentationNode, answer):
        return _("Nothing is corrected yet: paint or erase in a slice or two first.")
    found = _volumes(segmentationNode, volumes, card)
    if found is None:
        return _("Choose above the volumes that were segmented.")
    if isSequence(found[0]):
        return _("Frames of a sequence are not learnt from.")
    return ""


def correctionRequest(
    segmentationNode: Any, volumes: Sequence[Any], models: Sequence[CardSummary], **options: Any
) -> CorrectionRequest | None:
    """What a click asks for; None where :func:`correctionReason` says why not.

    Args:
        segmentationNode, volumes, models: as there.
        options: further attributes of :class:`Correction.CorrectionRequest`.
    """
    if correctionReason(segmentationNode, volumes, models):
        return None
    card = _maker(segmentationNode, models)
    found = _volumes(segmentationNode, volumes, card) if card is not None else None
    if card is None or found is None:
        return None
    return CorrectionRequest(
        segmentation=segmentationNode,
        volumes=found,
        card=card,
        key=keyOf(segmentationNode),
        box=_boxOf(segmentationNode),
        **options,
    )


def keyOf(segmentationNode: Any) -> str:
    """The model that made a segmentation, as :func:`Provenance.modelKey`; "" where none did."""
    return readFromNode(segmentationNode).get("Model", "")


def _maker(segmentationNode: Any, models: Sequence[CardSummary]) -> CardSummary | None:
    made = makerOf(segmentationNode)
    return next((card for card in models if modelKey(card) == made and not card.problem), None)


def _volumes(segmentationNode: Any, chosen: Sequence[Any], card: CardSummary) -> tuple[Any, ...] | None:
    """What was segmented; what is chosen now where that is not known."""
    answer = answerOf(segmentationNode)
    nodes = tuple(chosen)
    if answer is not None:
        nodes = tuple(slicer.mrmlScene.GetNodeByID(nodeId) for nodeId in answer.volumeIds)
    return nodes if len(nodes) == len(card.channels) and all(nodes) else None


def _boxOf(segmentationNode: Any) -> Any:
    """What the model had looked at, as the provenance says; None for everything."""
    text = readFromNode(segmentationNode).get("Settings", "")
    try:
        settings = json.loads(text) if text else {}
    except ValueError:  # a scene that somebody edited
        settings = {}
    return settings.get("box") if isinstance(settings, dict) else None
