"""One case in three stages: reading it, asking the network, writing what became of it.

In one process each stage has a thread of its own; a worker of a cluster does all three in a row. A case that fails
becomes a row that says why: only a request to stop, and an output disk without room, end the work on all cases.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from medcontext.batch import reading, rows
from medcontext.batch.case import BatchCase
from medcontext.batch.exports import write_outputs
from medcontext.batch.identifiers import scrub
from medcontext.batch.memory import check_room
from medcontext.batch.numbers import mean_certainty, scores, voxels
from medcontext.batch.options import BatchOptions
from medcontext.batch.reading import read_case
from medcontext.batch.record import model_identity
from medcontext.batch.thumbnail import write_thumbnail
from medcontext.batch.voice import CaseReporter
from medcontext.batch_ledger import Layout, Row
from medcontext.card_schema import ModelCard
from medcontext.data.hashing import files_hash
from medcontext.errors import CancelledError, InputError, MedContextError, ResourceError, is_disk_full
from medcontext.events import Reporter
from medcontext.geometry import Geometry, Volume
from medcontext.inference.checks import check_contrast
from medcontext.inference.predictor import Prediction, Predictor
from medcontext.inference.prepare import PreparedImage, prepare
from medcontext.labels import LabelSet
from medcontext.library import LoadedModel
from medcontext.workflows.roi import box_of

NOTHING_FOUND = "No structure was found in this image."
LESS_MEMORY = "Memory ran out: tried again with nothing beside it and one window at a time."


class OutputFullError(ResourceError):
    """The disk that takes the results is full, so that no further case could be kept either."""


@dataclass(frozen=True)
class CaseInput:
    """A case that was read.

    Attributes:
        image: ``(C, K, J, I)``, for the thumbnail.
        native: the planes of the DICOM series where ``image`` lies on another grid; else None.
        prepared: what the network sees.
        facts: ``inputs`` and ``input_sha256`` of the row.
        seconds: by stage.
    """

    image: Volume
    native: Geometry | None
    prepared: PreparedImage
    facts: Mapping[str, Any]
    seconds: Mapping[str, float]


@dataclass(frozen=True)
class Computed:
    """A case that the network has seen; what only the network needed is gone.

    Attributes:
        prediction: labels and certainty on the grid of ``image``.
        image, native, facts, seconds: as of :class:`CaseInput`.
    """

    prediction: Prediction
    image: Volume
    native: Geometry | None
    facts: Mapping[str, Any]
    seconds: Mapping[str, float]


def read(case: BatchCase, card: ModelCard, options: BatchOptions, reporter: Reporter) -> CaseInput:
    """Read a case, hash its files and bring it to the model's grid.

    Raises:
        InputError: a file is missing or damaged, changes while it is read, or the image does not fit the model or into
            any memory of this computer.
    """
    for remark in case.remarks:
        reporter.warning(remark)
    began = time.perf_counter()
    reporter.progress("read", 0)
    before = None
    with suppress(InputError):  # reading says it better
        before = rows.input_facts(case)
    check_room(case)
    found = read_case(case, reporter, odd=options.odd)
    reporter.progress("read", 1)
    was_read = time.perf_counter()
    facts = {"inputs": before, "input_sha256": files_hash(case.files)}
    if rows.input_facts(case) != before:
        raise InputError(
            f"The files of {case.id} changed while they were read.",
            "Wait until they are copied; the same command tries it again.",
        )
    hashed = time.perf_counter()
    check_contrast(found.image, card)
    box = None if case.roi is None else box_of(case.roi, found.image.geometry, reporter)
    prepared = prepare(found.image, card, box=box, reporter=reporter)
    seconds = {
        "read": was_read - began,
        "hash": hashed - was_read,
        "preprocess": time.perf_counter() - hashed,
    }
    return CaseInput(found.image, found.native, prepared, facts, seconds)


def compute(
    predictor: Predictor, given: CaseInput, options: BatchOptions, reporter: Reporter, *, frugal: bool = False
) -> Computed:
    """Ask the network.

    Args:
        frugal: the way that takes least memory.

    Raises:
        CancelledError: someone asked to stop.
        ResourceError: memory ran out on every way.
    """
    prediction = predictor.segment(
        given.prepared, certainty=options.certainty, reporter=reporter, frugal=frugal
    )
    return Computed(prediction, given.image, given.native, given.facts, given.seconds)


def export(
    computed: Computed,
    case: BatchCase,
    layout: Layout,
    options: BatchOptions,
    model: LoadedModel,
    reporter: Reporter,
) -> dict[str, Any]:
    """Write the files of a case; what the row says of it.

    Raises:
        InputError: the place cannot be written, or nothing that was wanted can be had.
        OutputFullError: the disk is full.
    """
    began = time.perf_counter()
    prediction, labels = computed.prediction, model.card.label_set
    counts = voxels(prediction.labelmap, labels)
    if not any(counts.values()):
        reporter.warning(NOTHING_FOUND)
    against = scores(case, prediction.labelmap, computed.native, labels, reporter)
    try:
        written = write_outputs(
            layout,
            case,
            prediction.labelmap,
            prediction.certainty if options.certainty_map else None,
            model.card,
            model.sha256,
            options.formats,
            computed.native,
            reporter,
        )
        _draw(case, computed, layout, labels, reporter)
    except ResourceError as error:  # of what writes, only a disk without room says this
        raise OutputFullError(error.message, error.hint) from error
    voxel_ml = prediction.labelmap.geometry.voxel_ml
    facts = {
        "device": prediction.device,
        "volumes_ml": {name: round(count * voxel_ml, 4) for name, count in counts.items()},
        "voxels": counts,
        "certainty": mean_certainty(prediction),
        **against,
        **computed.facts,
        "outputs": rows.output_facts(layout, written),
        "plan": vars(prediction.execution),
        "text": case.text,
    }
    seconds = {**computed.seconds, **prediction.seconds, "export": time.perf_counter() - began}
    return {**facts, "seconds": {**_rounded(seconds), "total": round(sum(seconds.values()), 3)}}


def process_case(
    predictor: Predictor,
    model: LoadedModel,
    case: BatchCase,
    layout: Layout,
    options: BatchOptions,
    reporter: Reporter,
    *,
    frugal: str = "",
) -> Row:
    """All three stages; gives the row, also of a case that failed. A row "running" must be in the ledger before.

    Args:
        frugal: why the way is taken that needs least memory, for the warnings; empty where it is not.

    Raises:
        CancelledError: someone asked to stop.
        OutputFullError: the disk that takes the results is full.
    """
    voice, row = CaseReporter(reporter, case), rows.running(case, options, model_identity(model.card))
    try:
        computed = None
        try:
            if not frugal:
                computed = _computed(predictor, model, case, options, voice, False)
        except Exception as error:
            if not ran_out_of_memory(error):
                raise
        if computed is None:  # only now is gone what the traceback held
            voice.warning(frugal or LESS_MEMORY)
            computed = _computed(predictor, model, case, options, voice, True)
        facts = export(computed, case, layout, options, model, voice)
    except CancelledError:
        raise
    except Exception as error:  # one damaged scan must not end a run over thousands of others
        raise_if_all_fail(error)
        return rows.failed(row, case, tell_failure(error, case), {"warnings": voice.warnings})
    return rows.done(row, {**facts, "warnings": voice.warnings})


def _computed(
    predictor: Predictor,
    model: LoadedModel,
    case: BatchCase,
    options: BatchOptions,
    reporter: Reporter,
    frugal: bool,
) -> Computed:
    given = read(case, model.card, options, reporter)
    return compute(predictor, given, options, reporter, frugal=frugal)


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether main memory, or that of a device, was not enough."""
    if isinstance(error, ResourceError):
        return not isinstance(error, OutputFullError)
    return reading.ran_out_of_memory(error)


def raise_if_all_fail(error: BaseException) -> None:
    """Raise where the next cases would fail for the same reason.

    Raises:
        OutputFullError: the disk that takes the results is full.
    """
    if isinstance(error, OutputFullError):
        raise error
    if isinstance(error, OSError) and is_disk_full(error):
        raise OutputFullError(
            f"The disk is full: {error.filename or 'a result'} was not written.", "Free some space."
        ) from error


def tell_failure(error: BaseException, case: BatchCase) -> BaseException:
    """The error for the row. What nobody foresaw goes to the log, with where it happened and without identifiers."""
    if isinstance(error, MedContextError):
        return error
    if ran_out_of_memory(error):
        return ResourceError(
            "Memory ran out, even with nothing beside this case and one window at a time.",
            "Close other programs, give a region of interest, or work on a computer with more memory.",
        )
    lines = "".join(traceback.format_exception(error))
    logging.getLogger(__name__).error("Case %s failed:\n%s", case.id, scrub(lines, case))
    return error


def _draw(case: BatchCase, computed: Computed, layout: Layout, labels: LabelSet, reporter: Reporter) -> None:
    """The picture for the report; a result without it is still one.

    Raises:
        ResourceError: the disk is full.
    """
    try:
        write_thumbnail(layout.thumbnail(case.id), computed.image, computed.prediction.labelmap, labels)
    except (InputError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        tell_failure(error, case)
        reporter.warning(f"The report shows no picture of this case: {error}")


def _rounded(seconds: Mapping[str, float]) -> dict[str, float]:
    return {stage: round(value, 3) for stage, value in seconds.items()}
