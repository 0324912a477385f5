"""What a parent sees in the cases that its child learns from, and how that becomes the child's target."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from medcontext.data.cache import CACHE_VERSION
from medcontext.data.preprocess import PreparedCase, class_locations
from medcontext.devices import Device
from medcontext.events import Reporter
from medcontext.home import home
from medcontext.inference.accumulate import predict_planes
from medcontext.inference.forward import network_forward
from medcontext.inference.windows import WindowGrid
from medcontext.io.atomic import replacing
from medcontext.labels import IGNORE
from medcontext.networks import SegmentationNetwork
from medcontext.plan import Size
from medcontext.workflows.heads import Glance
from medcontext.workflows.inheritance import Inheritance

LOOKED_AT = 8
"""Cases that decide what becomes of the labels; more say the same."""
TAUGHT = 16
"""Cases in which the parent teaches what is kept: its answer to a whole scan may take a minute on a processor."""
SURE = 0.2
"""Least difference in probability between what the parent takes a voxel for and what is next to it."""
NOTED = 4000
"""Voxels of each class in each case whose scores are noted."""
OVERLAP = 0.5


@dataclass(frozen=True)
class Answer:
    """What a parent takes the voxels of a case for.

    Attributes:
        best: its class of each voxel, ``(K, J, I)`` uint8.
        rival: the next class where that is nearly as likely, else the same.
    """

    best: np.ndarray
    rival: np.ndarray


class Parent:
    """A parent that is asked about prepared cases.

    Args:
        network: its network.
        sha256: hash of its weights.
        patch_size: window size in voxels.
        device: where it runs.
        precision: "fp32", "bf16" or "fp16".
        reporter: told of the progress; asked whether to stop.
    """

    def __init__(
        self,
        network: SegmentationNetwork,
        sha256: str,
        patch_size: Size,
        device: Device,
        precision: str,
        reporter: Reporter,
    ) -> None:
        self._network = network
        self.sha256, self.classes = sha256, network.classes
        self._patch_size, self._device, self._precision = patch_size, device, precision
        self._reporter = reporter
        self._answers: dict[str, Answer] = {}

    def glance(self, cases: Sequence[PreparedCase], learnt: Sequence[int]) -> Glance:
        """Look at a few of the cases.

        Args:
            cases: of the data set, in its classes.
            learnt: the classes of the data set that the child learns.
        """
        glances = [self._glance(case, learnt) for case in _telling(cases, learnt)]
        return Glance(
            *(np.sum([getattr(glance, name) for glance in glances], axis=0) for name in ("seen", "asked")),
            *(
                np.concatenate([getattr(glance, name) for glance in glances])
                for name in ("scores", "targets", "stands_for", "known")
            ),
        )

    def _glance(self, case: PreparedCase, learnt: Sequence[int]) -> Glance:
        mine = _in_childs_classes(case.labels, learnt)
        chosen = _some_voxels(mine, len(learnt) + 1)
        answer, scores = self._look(case, chosen)
        self._answers[case.id] = answer
        shape = (len(learnt) + 1, self.classes)
        looked_at = mine != IGNORE
        share = np.bincount(mine.ravel(), minlength=256) / np.maximum(
            1, np.bincount(mine[chosen], minlength=256)
        )
        pairs = mine[looked_at].astype(np.int64) * self.classes + answer.best[looked_at]
        known = np.array([True, *(bool(case.known[place]) for place in learnt)])
        seen = np.bincount(pairs, minlength=shape[0] * shape[1]).reshape(shape)
        return Glance(
            seen,
            known[:, None] * seen.sum(0),
            scores,
            mine[chosen],
            share[mine[chosen]],
            np.tile(known, (len(scores), 1)),
        )

    def answer(self, case: PreparedCase) -> Answer:
        """What it sees in one case."""
        if case.id not in self._answers:
            return self._look(case, np.zeros(case.image.shape[1:], bool))[0]
        return self._answers[case.id]

    @torch.inference_mode()
    def _look(self, case: PreparedCase, chosen: np.ndarray) -> tuple[Answer, np.ndarray]:
        """Its answer, and its logits ``(n, classes)`` of the voxels chosen, in their order."""
        image = torch.from_numpy(np.asarray(case.image, dtype=np.float32))
        grid = WindowGrid.cover(case.image.shape[1:], self._patch_size, OVERLAP)
        answer = Answer(np.zeros(grid.inner, np.uint8), np.zeros(grid.inner, np.uint8))
        order = np.cumsum(chosen).reshape(chosen.shape) - 1
        scores = np.zeros((int(chosen.sum()), self.classes), np.float32)
        axis, device = grid.slab_axis, self._device.torch_device
        best, rival, wanted, order = (
            np.moveaxis(array, axis, 0) for array in (answer.best, answer.rival, chosen, order)
        )
        forward = network_forward(self._network.to(device).eval(), self._precision)
        planes = predict_planes(
            forward,
            image,
            grid,
            axis=axis,
            device=device,
            batch=1,
            before_call=lambda _share: self._reporter.check_cancelled(),
        )
        for index, sums, weight in planes:
            logits = sums / weight
            two = logits.softmax(0).topk(2, dim=0)
            first, second = two.indices.to(torch.uint8)
            sure = two.values[0] - two.values[1] >= SURE
            best[index] = first.cpu().numpy()
            rival[index] = torch.where(sure, first, second).cpu().numpy()
            if wanted[index].any():
                scores[order[index][wanted[index]]] = logits.cpu().numpy()[:, wanted[index]].T
        return answer, scores

    def teach(self, cases: Sequence[PreparedCase], inheritance: Inheritance) -> list[PreparedCase]:
        """The cases in the child's classes, in the first of them with what is kept as the parent sees it."""
        taught = []
        for index, case in enumerate(cases):
            share = index / len(cases)
            self._reporter.check_cancelled()
            self._reporter.progress("ask the parent", share)
            taught.append(self._taught(case, inheritance) if index < TAUGHT else converted(case, inheritance))
        self._reporter.progress("ask the parent", 1)
        return taught

    def _taught(self, case: PreparedCase, inheritance: Inheritance) -> PreparedCase:
        path = _place(case, inheritance, self.sha256)
        if not path.exists():
            _write(path, lesson(np.asarray(case.labels), self.answer(case), inheritance))
        return _with_labels(case, inheritance, np.load(path, mmap_mode="r"), taught=True)


def lesson(labels: np.ndarray, answer: Answer, inheritance: Inheritance) -> np.ndarray:
    """Targets of a case in the child's classes, ``(K, J, I)`` uint8.

    Where a person saw none of the structures that are learnt and the parent sees one that is kept, it is the target;
    where it hesitates between such a structure and something else nothing is, and nowhere else does it have a say.

    Args:
        labels: classes of the data set, 255 where nobody looked.
        answer: of the parent.
        inheritance: of the child.
    """
    target = _in_childs_classes(labels, inheritance.learnt)
    lookup = np.zeros(256, np.uint8)
    for parent, child in inheritance.kept.items():
        lookup[parent] = child
    best, rival = lookup[answer.best], lookup[answer.rival]
    best[best != rival] = IGNORE
    return np.where((target == 0) & (best > 0), best, target)


def converted(case: PreparedCase, inheritance: Inheritance) -> PreparedCase:
    """A case in the child's classes, without a word on what is kept; without labels it stays as it is."""
    if case.labels is None:
        return replace(case, known=np.ones(len(inheritance.labels) + 1, bool))
    if inheritance.learnt == tuple(range(1, len(case.locations))):
        return _with_labels(case, inheritance, case.labels, taught=False)
    path = _place(case, inheritance, "")
    if not path.exists():
        _write(path, _in_childs_classes(case.labels, inheritance.learnt))
    return _with_labels(case, inheritance, np.load(path, mmap_mode="r"), taught=False)


def _with_labels(
    case: PreparedCase, inheritance: Inheritance, labels: np.ndarray, *, taught: bool
) -> PreparedCase:
    known = [True, *(bool(case.known[place]) for place in inheritance.learnt)]
    known += [taught] * (len(inheritance.labels) - len(inheritance.learnt))
    locations = class_locations(np.asarray(labels), len(known))
    return replace(case, labels=labels, known=np.array(known), locations=locations)


def _in_childs_classes(labels: np.ndarray | None, learnt: Sequence[int]) -> np.ndarray:
    """Classes of the data set as classes of the child; what is not learnt is background."""
    lookup = np.zeros(256, np.uint8)
    lookup[list(learnt)] = np.arange(1, len(learnt) + 1)
    lookup[IGNORE] = IGNORE
    return lookup[np.asarray(labels)]


def _some_voxels(classes: np.ndarray, count: int) -> np.ndarray:
    """Where to note what the parent thinks: as many voxels of each class as are worth it, ``(K, J, I)`` bool."""
    chosen = np.zeros(classes.shape, bool)
    for place in class_locations(classes, count):
        generator = np.random.default_rng(0)
        kept = place if len(place) <= NOTED else place[generator.permutation(len(place))[:NOTED]]
        chosen[tuple(kept.T)] = True
    return chosen


def _telling(cases: Sequence[PreparedCase], learnt: Sequence[int]) -> list[PreparedCase]:
    """A few of the cases, such that each structure that is learnt is in one of them if it is in any."""
    chosen = list(cases[:LOOKED_AT])
    for place in learnt:
        showing = [case for case in cases if len(case.locations[place])]
        if showing and not any(len(case.locations[place]) for case in chosen):
            chosen.append(showing[0])
    return chosen


def _place(case: PreparedCase, inheritance: Inheritance, sha256: str) -> Path:
    """Where the targets of a case are kept: the same question has the same answer, also in a run that goes on."""
    digest = hashlib.sha256(
        repr((inheritance.learnt, sorted(inheritance.kept.items()), sha256, SURE)).encode()
    )
    for array in (case.image, np.asarray(case.labels)):
        digest.update(repr(array.shape).encode())
        digest.update(np.ascontiguousarray(array).data)
    return home() / "cache" / f"lessons-{CACHE_VERSION}" / f"{digest.hexdigest()[:32]}.npy"


def _write(path: Path, labels: np.ndarray) -> None:
    with replacing(path) as scratch, scratch.open("wb") as stream:
        np.save(stream, labels)
