"""Whether options, model and cases fit together, as far as it can be told without loading a model or an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from medcontext.batch.case import BatchCase
from medcontext.batch.options import BatchOptions
from medcontext.batch.record import RunRecord, model_identity
from medcontext.batch_ledger import DONE, Layout, Row
from medcontext.card_schema import ModelCard
from medcontext.cards import resolve
from medcontext.errors import InputError, MedContextError
from medcontext.io.headers import look_at
from medcontext.library.read import check_segments, read_card

LOOKED_AT = 16
"""Cases whose headers are read; a wrong model is wrong for all of them."""


def read_model_card(model: str) -> ModelCard:
    """The card of a model that segments images.

    Raises:
        InputError: there is no such model, it is broken, or of another kind.
    """
    card = read_card(resolve(model))
    check_segments(card)
    return card


def check_division(options: BatchOptions) -> None:
    """Refuse a run that is divided in two ways, or by a cluster that cannot be meant.

    Raises:
        InputError: as above, or a package for clusters is missing.
    """
    if options.cluster is None:
        return
    from medcontext.batch.cluster_config import read_target

    if options.shard is not None:
        raise InputError(
            "A run is divided by --shard or by --cluster, not by both.", "Leave out one of them."
        )
    read_target(options.cluster)


def check_same(
    before: RunRecord | None,
    cases: Sequence[BatchCase],
    card: ModelCard,
    options: BatchOptions,
    ledger: Mapping[str, Row],
    layout: Layout,
) -> None:
    """Refuse to replace what another model or other options gave, and to name cases in two ways in one folder.

    Args:
        before: of the earlier run into the folder, where there was one.
        cases, card, options: of the run that begins.
        ledger: the newest row of each case.
        layout: of the output folder.

    Raises:
        InputError: that is what would happen.
    """
    if before is None:
        return
    named = before.options.keep_identifiers
    dicom = any(case.is_dicom or any(case.more_series) for case in cases)
    if named != options.keep_identifiers and ledger and dicom:
        raise InputError(
            f"{layout.root} holds a run {'with' if named else 'without'} --keep-identifiers: its DICOM cases have "
            "other names, and would be in there twice.",
            f"{'Add' if named else 'Leave out'} --keep-identifiers, or choose another output folder.",
        )
    if options.overwrite or before.matches(card, options):
        return
    made = sum(row["state"] == DONE for case in cases if (row := ledger.get(case.id)))
    if made:
        other = f"by another model ({before.model.id} {before.model.version})"
        by = "with other options" if before.model.identity == model_identity(card) else other
        raise InputError(
            f"{layout.root} holds results of these cases made {by}: {made} of {len(cases)}.",
            "Choose another output folder, or add --overwrite to compute them anew.",
        )


def check_fit(cases: Sequence[BatchCase], card: ModelCard) -> None:
    """Refuse a model that takes another number of channels than all cases have whose headers can be read.

    Raises:
        InputError: it does; single cases that do not fit fail for themselves.
    """
    needed = len(card.input.channels)
    step = max(1, len(cases) // LOOKED_AT)
    counts = [count for case in cases[::step] if (count := _channels(case)) is not None]
    if counts and needed not in counts:
        names = ", ".join(f"{channel.name} ({channel.modality})" for channel in card.input.channels)
        raise InputError(
            f"The cases have {counts[0]} channel(s), the model '{card.title}' needs {needed}: {names}.",
            "Choose another model, or give one file for each channel: NAME_0000, NAME_0001, or a manifest.",
        )


def _channels(case: BatchCase) -> int | None:
    """Channels by the headers; None where they cannot be read."""
    if case.is_dicom:
        return len(case.paths)
    try:
        return sum(look_at(path).channels for path in case.paths)
    except (MedContextError, OSError, ValueError):
        return None
