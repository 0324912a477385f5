"""Which unlabelled scan to annotate next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medcontext.card_schema import ModelCard
from medcontext.cards import resolve
from medcontext.data.case import Case
from medcontext.data.reading import voxel_hash
from medcontext.data.store import CaseStore
from medcontext.errors import CancelledError, InputError, MedContextError
from medcontext.events import Reporter
from medcontext.library import (
    LoadedModel,
    check_segments,
    check_state,
    load_model,
    load_state,
    read_card,
)
from medcontext.library.read import build_network
from medcontext.workflows.ranking import Suggestion, rank

if TYPE_CHECKING:
    from medcontext.inference.second_look import Look, SecondLook
    from medcontext.networks import SegmentationNetwork


@dataclass(frozen=True)
class Suggestions:
    """What to annotate next, best first.

    Attributes:
        ranking: the scans that were looked at.
        unlabelled: number of scans that could have been suggested.
        skipped: why a scan was not looked at, by its id.
    """

    ranking: list[Suggestion]
    unlabelled: int
    skipped: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "ranking": [suggestion.to_json() for suggestion in self.ranking],
            "looked_at": len(self.ranking),
            "unlabelled": self.unlabelled,
            "skipped": [{"case": case, "reason": reason} for case, reason in self.skipped.items()],
        }


def suggest(
    data: Path,
    model: str | Path | LoadedModel,
    *,
    limit: int | None = None,
    candidates: Sequence[str] | None = None,
    device: str = "auto",
    precision: str = "auto",
    seed: int = 0,
    reporter: Reporter | None = None,
) -> Suggestions:
    """Rank the unlabelled scans of a case store by what annotating them would teach the model.

    *Uncertainty* is the disagreement of views of a scan with hidden parts with the clean view, of the members of an
    ensemble where the model is one, and of the teacher where the model folder holds its weights (training keeps one
    set, so that today it is the masked views that speak); see :class:`SecondLook`. *Novelty* is the distance of the
    pooled encoder features from the nearest case that is annotated, and the *gain* of a scan is by how much annotating
    it would bring all scans nearer to an annotated one. The score is uncertainty times gain, as a share of that of the
    first. Scans are chosen one after another, and each counts as annotated from then on, so that the first suggestions
    differ from each other.

    Args:
        data: case store or Decathlon folder.
        model: library id, folder, or a model that is loaded already.
        limit: look at so many scans at most, drawn at random; all when None.
        candidates: ids of the cases to rank, labelled ones as if they were not; the unlabelled ones when None.
        device: ``auto``, ``cuda``, ``cuda:1``, ``mps`` or ``cpu``.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        seed: of the draw.
        reporter: told of progress; asked between views of a window whether to stop.

    Raises:
        InputError: there is no scan to suggest, the model does not fit the store, or no scan could be read.
        CancelledError: someone asked to stop.
    """
    reporter = reporter or Reporter()
    if limit is not None and limit < 1:
        raise InputError(f"At least one scan has to be looked at, not {limit}.", "Leave the limit out.")
    store = CaseStore.open(data)
    pool, skipped = _pool(store, candidates)
    _check_fit(model.card if isinstance(model, LoadedModel) else read_card(resolve(model)), store)
    # Loaded only now: a wrong path should not cost the seconds that torch takes.
    loaded = model if isinstance(model, LoadedModel) else _load(model, reporter)
    chosen = _drawn(pool, limit, seed)
    if len(chosen) < len(pool):
        reporter.info(f"Looking at {len(chosen)} of {len(pool)} unlabelled scans, drawn at random.")
    taken = {case.id for case in pool}
    annotated = [case for case in store.cases if case.trainable and case.id not in taken]
    # Whoever loaded the model has said where it computes.
    told = reporter.silent() if isinstance(model, LoadedModel) else reporter
    looker = _Looker(store, _second_look(loaded, device, precision, told), reporter)
    looker.look_at(chosen, _drawn(annotated, limit, seed), [case.voxels for case in annotated])
    skipped |= looker.skipped
    if not looker.looks:
        first = next(iter(looker.skipped.items()))
        raise InputError(f"None of {len(chosen)} scans could be looked at; {first[0]}: {first[1]}")
    return Suggestions(rank(looker.looks, looker.known, seed), len(pool), skipped)


def _pool(store: CaseStore, candidates: Sequence[str] | None) -> tuple[list[Case], dict[str, str]]:
    """The cases that may be suggested, and why others may not.

    Raises:
        InputError: there is none, or one that was named is not in the store.
    """
    if candidates is None:
        wanted = [case for case in store.cases if case.label is None and case.split != "test"]
    else:
        wanted = [store.case(case_id) for case_id in candidates]
    kept_apart = {case.patient for case in store.cases if case.held_out or case.split == "test"}
    pool = [case for case in wanted if case.patient not in kept_apart]
    skipped = {
        case.id: "Its patient is held out for scoring." for case in wanted if case.patient in kept_apart
    }
    if not pool:
        why = f"; {len(skipped)} belong to patients that are held out" if skipped else ""
        raise InputError(
            f"{store.folder} holds no unlabelled scan that could be annotated{why}.",
            "Add scans without labels with 'medcontext data add'.",
        )
    return pool, skipped


def _drawn(cases: list[Case], limit: int | None, seed: int) -> list[Case]:
    """So many of the cases at random, in their order."""
    if limit is None or len(cases) <= limit:
        return cases
    numbers = np.random.default_rng(seed).choice(len(cases), limit, replace=False)
    return [cases[number] for number in sorted(numbers)]


def _load(model: str | Path, reporter: Reporter) -> LoadedModel:
    reporter.progress("load model", 0)
    loaded = load_model(model)
    reporter.progress("load model", 1)
    return loaded


def _check_fit(card: ModelCard, store: CaseStore) -> None:
    """Refuse a model that could not look at any scan of the store."""
    check_segments(card)
    if len(card.input.channels) != len(store.channels):
        names = ", ".join(channel.name for channel in card.input.channels)
        raise InputError(
            f"The model '{card.title}' takes {len(card.input.channels)} channel(s), {names}; the scans of "
            f"{store.folder} have {len(store.channels)}.",
            "Choose a model of these images.",
        )


def _second_look(loaded: LoadedModel, device: str, precision: str, reporter: Reporter) -> SecondLook:
    from medcontext.devices import choose_device, tune_cpu
    from medcontext.inference.second_look import SecondLook

    chosen = choose_device(device, reporter)
    if chosen.kind == "cpu":
        tune_cpu()
    reporter.info(f"Looking at scans on {chosen.name}: {chosen.reason}", device=chosen.name)
    return SecondLook(
        loaded.networks,
        loaded.card,
        chosen,
        precision,
        masked=loaded.masked_network,
        teacher=_teacher(loaded),
    )


def _teacher(loaded: LoadedModel) -> SegmentationNetwork | None:
    """The teacher, where the model folder holds its weights beside those it delivers."""
    entry = loaded.card.teacher_weights
    if entry is None:
        return None
    network, state = build_network(loaded.card), load_state(loaded.folder, entry)
    check_state(state, network.state_dict(), f"{loaded.folder / entry.file} does not fit the network")
    network.load_state_dict(state)
    return network


class _Looker:
    """Reads scans and looks at them; goes on where one is broken.

    Attributes:
        looks: the scans to suggest.
        known: features of annotated cases.
        skipped: why a scan was not looked at.
    """

    def __init__(self, store: CaseStore, look: SecondLook, reporter: Reporter) -> None:
        self._store, self._look, self._reporter = store, look, reporter
        self.looks: list[tuple[Case, Look]] = []
        self.known: list[np.ndarray] = []
        self.skipped: dict[str, str] = {}
        self._done = self._total = 0
        self._seen: set[str] = set()

    def look_at(self, pool: Sequence[Case], annotated: Sequence[Case], seen: Sequence[str]) -> None:
        """Look at the annotated cases, then at those to suggest; hashes of images ``seen`` are not suggested."""
        self._total = len(pool) + len(annotated)
        self._seen = set(seen) - {""}
        for case in annotated:
            found = self._one(case, views=False)
            if isinstance(found, str):
                self._reporter.warning(f"The annotated case {case.id} was left out: {found}")
            else:
                self.known.append(found.features)
        for case in pool:
            found = self._one(case, views=True)
            if isinstance(found, str):
                self.skipped[case.id] = found
            else:
                self.looks.append((case, found))
        self._reporter.progress("suggest", 1)

    def _one(self, case: Case, views: bool) -> Look | str:
        """What was seen, or why nothing was."""
        self._reporter.check_cancelled()
        self._reporter.progress("suggest", self._done / self._total)
        self._done += 1
        try:
            image = self._store.read_image(case)
            content = voxel_hash(image)
            if views and content in self._seen:
                return "The same image is in the store with labels."
            self._seen |= set() if views else {content}
            return self._look(image, views=views, reporter=self._reporter)
        except CancelledError:
            raise
        except MedContextError as error:
            return str(error)
