"""Asks before a batch does finished results again."""

from __future__ import annotations

from dataclasses import replace

import slicer
from slicer.i18n import tr as _

from MedContextSegmentLib.Batch.BatchCommand import BatchRequest
from MedContextSegmentLib.Batch.BatchTexts import replacingText
from MedContextSegmentLib.Batch.Replacing import GOING_ON, wouldReplace


def allowed(request: BatchRequest) -> BatchRequest | None:
    """What may be started instead of a request: replaces results only where a person said so; None for nothing.

    Raises:
        InputError: the folder of the results cannot be read.
    """
    replaced = wouldReplace(request)
    if replaced is None:
        return request
    text = replacingText(replaced, request.output)
    if replaced.why == GOING_ON:
        return replace(request, overwrite=bool(slicer.util.confirmYesNoDisplay(text, _("Batch"))))
    return replace(request, overwrite=True) if slicer.util.confirmOkCancelDisplay(text, _("Batch")) else None
