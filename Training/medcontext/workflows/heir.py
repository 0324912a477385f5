"""The labels and the cases of a training, after what its parent knows was taken into account."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from medcontext.card_schema import ModelCard
from medcontext.data.splits import Split
from medcontext.data.store import CaseStore
from medcontext.devices import Device, choose_precision
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.labels import LabelSet
from medcontext.library import LoadedModel
from medcontext.plan import Plan
from medcontext.workflows.encoder_start import Origin
from medcontext.workflows.inheritance import Inheritance, decide, from_scratch
from medcontext.workflows.parents_answer import Parent, converted
from medcontext.workflows.request import PreparedData, TrainRequest


@dataclass(frozen=True)
class Heir:
    """What a training may take over.

    Attributes:
        request, store, split, device: of the training.
        labels: of the data set, as they were when the training began.
        plan: for all of these labels.
        data: prepared by it.
        parent: what the training starts from.
        reporter: told of the progress and of what was decided.
    """

    request: TrainRequest
    store: CaseStore
    split: Split
    labels: LabelSet
    plan: Plan
    data: PreparedData
    device: Device
    parent: Origin | None
    reporter: Reporter

    def decided(self, path: Path, reads: bool) -> Inheritance:
        """Which classes the child has and where they come from.

        Args:
            path: where this is kept while the training lasts.
            reads: whether it is there already.

        Raises:
            InputError: no label can be learnt, or the parent is not the one that the run began from.
        """
        if self.parent is not None and reads:
            return Inheritance.read(path, self.parent.sha256)
        whole = isinstance(self.parent, LoadedModel)
        learnt = learnt_labels(self.request, self.labels, self.split, whole)
        if self.parent is None:
            return from_scratch(self.labels, learnt)
        inheritance = self._from_parent(self.parent, learnt)
        self.reporter.info(inheritance.told)
        inheritance.write(path, self.parent.sha256)
        return inheritance

    def _from_parent(self, parent: Origin, learnt: tuple[int, ...]) -> Inheritance:
        labels = self.labels
        if not isinstance(parent, LoadedModel):
            told = f"Starting from the encoder '{parent.card.title}'; every structure is learnt anew."
            return replace(from_scratch(labels, learnt), told=told)
        if not teaches(parent.card):
            told = f"The network of '{parent.card.title}' is taken over; every structure starts anew."
            return replace(from_scratch(labels, learnt), told=told)
        glance = self._ask(parent).glance(self.data.labelled, learnt)
        return decide(labels, learnt, parent.card.label_set, self.request.keep, glance, parent.card.title)

    def prepared(self, inheritance: Inheritance) -> PreparedData:
        """The cases with the child's classes."""
        data = self.data
        if not inheritance.kept and inheritance.labels == self.labels:
            return data
        if isinstance(self.parent, LoadedModel) and inheritance.kept:
            labelled = self._ask(self.parent).teach(data.labelled, inheritance)
        else:
            labelled = [converted(case, inheritance) for case in data.labelled]
        others = (data.validation, data.unlabelled, data.monitor)
        return PreparedData(labelled, *([converted(c, inheritance) for c in part] for part in others))

    def _ask(self, parent: LoadedModel) -> Parent:
        precision = choose_precision(self.device, self.request.precision)
        return Parent(
            parent.networks[0],
            parent.sha256,
            self.plan.patch_size,
            self.device,
            precision,
            self.reporter,
        )


def teaches(card: ModelCard) -> bool:
    """Whether a parent knows structures that exclude each other; else only its network is taken over."""
    return (
        card.kind == "segmentation"
        and card.activation == "softmax"
        and not card.regions
        and bool(card.labels)
    )


def learnt_labels(request: TrainRequest, labels: LabelSet, split: Split, has_parent: bool) -> tuple[int, ...]:
    """The classes of the data set that are learnt: those that were asked for.

    With a parent those that nobody looked for in any case are left to it.

    Raises:
        InputError: there is no such label, or nobody looked for any of them.
    """
    wanted = {labels.named(name).value for name in request.labels} or set(labels.values)
    if has_parent:
        spoken_of = [case.annotated.labels for case in split.train]
        wanted = {v for v in wanted if any(values is None or v in values for values in spoken_of)}
    if not wanted:
        raise InputError(
            "No case to learn from says anything about these labels.", "Annotate one, or name others."
        )
    return tuple(place for place, value in enumerate(labels.values, start=1) if value in wanted)
