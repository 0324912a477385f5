"""What a user relies on: batches are the same however a run is split or resumed, and labels stay on the image."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from medcontext.data.augment.config import AugmentConfig
from medcontext.data.preprocess import PreparedCase
from medcontext.engine.batches import BatchSource
from medcontext.engine.config import EngineConfig
from medcontext.engine.loop import Run
from medcontext.engine.method import Batch, Stage, Views
from medcontext.engine.task import Shard
from medcontext.labels import IGNORE
from medcontext.plan import Plan

STILL = AugmentConfig.preset("none")
MOVING = STILL.model_copy(
    update={"rotation_probability": 1.0, "scale_probability": 1.0, "elastic_probability": 1.0}
    | {"translation_probability": 1.0, "flip_probability": 0.5}
)
LABELLED = Stage("labelled", 0.5, 1.0, labelled=2, weak_view=True)
JOINED = Stage("joined", 0.5, 0.5, labelled=2, unlabelled=1, weak_view=True)


def a_source(run: Run, shard: Shard | None = None, **changes: object) -> BatchSource:
    """Batches over the cases of a run, with the full augmentation unless told otherwise."""
    parts = {"labelled": run.task.labelled, "unlabelled": run.task.unlabelled, "plan": run.task.plan}
    parts |= {"config": run.config, "seed": 0, "shard": shard or Shard()}
    return BatchSource(**(parts | changes))  # type: ignore[arg-type]


def still_source(case: PreparedCase, plan: Plan, augment: AugmentConfig) -> BatchSource:
    return BatchSource([case], [], plan, EngineConfig(augment=augment), 0, Shard())


def tensors(batch: Batch) -> list[Tensor]:
    """Every tensor of a batch."""
    found = [t for views in (batch.labelled, batch.unlabelled) if views for t in vars(views).values()]
    return [t for t in found if t is not None]


def assert_same(first: Batch, second: Batch) -> None:
    assert (first.unlabelled is None) == (second.unlabelled is None)
    assert len(tensors(first)) == len(tensors(second))
    assert all(torch.equal(a, b) for a, b in zip(tensors(first), tensors(second), strict=True))


@pytest.fixture
def run(tmp_path, run_of: Callable[..., Run]) -> Run:
    return run_of(tmp_path)


@pytest.mark.parametrize("processes", [2, 4])
def test_the_shares_of_several_processes_together_are_the_batch_of_one(run: Run, processes: int) -> None:
    stage = Stage("joined", 1.0, 1.0, labelled=4, unlabelled=4, weak_view=True)
    whole = a_source(run).make(3, stage)
    parts = [a_source(run, Shard(rank, processes)).make(3, stage) for rank in range(processes)]
    together = [torch.cat(pieces) for pieces in zip(*map(tensors, parts), strict=True)]
    assert all(len(part.labelled.image) == 4 // processes for part in parts)
    assert whole.labelled.samples.tolist() == [0, 1, 2, 3]
    for mine, theirs in zip(tensors(whole), together, strict=True):
        torch.testing.assert_close(theirs, mine, rtol=0, atol=1e-5)


def test_batches_made_ahead_are_those_of_their_step_and_stage_also_when_resumed(run: Run) -> None:
    source, stages = a_source(run), [LABELLED, JOINED]
    whole = [source.make(step, stages[step >= 3]) for step in range(6)]
    ahead = list(source.iterate(0, 6, stages))
    resumed = list(a_source(run).iterate(2, 6, stages))
    assert [batch.unlabelled is not None for batch in ahead] == [False] * 3 + [True] * 3
    assert len(resumed) == 4
    for batch, again in zip([*whole, *whole[2:]], [*ahead, *resumed], strict=True):
        assert_same(batch, again)


def test_steps_samples_seeds_and_streams_differ(run: Run) -> None:
    case = run.task.labelled[0]
    source = a_source(run, labelled=[case], unlabelled=[case])
    first = source.make(0, JOINED)
    assert first.unlabelled is not None
    other_seed = a_source(run, labelled=[case], seed=1).make(0, LABELLED)
    images = [*first.labelled.image, *first.unlabelled.image]
    images += [*source.make(1, LABELLED).labelled.image, *other_seed.labelled.image]
    assert all(not torch.equal(a, b) for n, a in enumerate(images) for b in images[:n])


def test_a_batch_holds_what_a_network_takes(run: Run) -> None:
    batch = a_source(run).make(0, JOINED)
    assert batch.unlabelled is not None
    for views, count in ((batch.labelled, 2), (batch.unlabelled, 1)):
        assert views.image.shape == (count, 1, *run.task.plan.patch_size)
        assert views.image.dtype == torch.float32
        assert torch.isfinite(views.image).all()
        assert views.labels.shape == (count, *run.task.plan.patch_size)
        assert views.labels.dtype == torch.int64
        assert views.known.shape == (count, 3)
    assert set(batch.labelled.labels.unique().tolist()) <= {0, 1, 2, IGNORE}
    assert (batch.unlabelled.labels == IGNORE).all()


def a_ramp(axis: int) -> PreparedCase:
    """Three channels that hold the position of each voxel, and labels that hold it along one axis."""
    size = (44, 44, 44)
    position = np.stack(np.meshgrid(*map(np.arange, size), indexing="ij")).astype(np.float16)
    middle = [np.full((1, 3), 22, np.int16)]
    labels = position[axis].astype(np.uint8)
    return PreparedCase("ramp", position, labels, np.ones(2, bool), [np.zeros((0, 3), np.int16), *middle], "")


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_labels_follow_the_image_through_every_movement(run: Run, axis: int) -> None:
    plan = run.task.plan.model_copy(
        update={"channels": run.task.plan.channels * 3, "allowed_flips": [0, 1, 2]}
    )
    config = EngineConfig(augment=MOVING, foreground_share=1.0)
    source = BatchSource([a_ramp(axis)], [], plan, config, 0, Shard())
    views = source.make(0, Stage("one", 1.0, 1.0, labelled=4, weak_view=True)).labelled
    seen = views.labels != IGNORE
    assert seen.float().mean() > 0.95
    away = (views.image[:, axis] - views.labels)[seen].abs()
    assert float(away.max()) < 0.51  # a label belongs to the nearest voxel
    assert float(away.mean()) > 0.1  # the patches were moved by more than whole voxels
    assert views.weak is not None
    assert torch.equal(views.weak, views.image)


def test_brightness_changes_leave_labels_and_places_alone_and_spare_the_teacher(run: Run) -> None:
    everything = {name: 1.0 for name in AugmentConfig.model_fields if name.endswith("_probability")}
    still = {f"{name}_probability": 0.0 for name in ("rotation", "scale", "elastic", "translation", "flip")}
    loud = EngineConfig(augment=AugmentConfig(**(everything | still)))
    quiet = EngineConfig(augment=STILL)
    stage = Stage("one", 1.0, 1.0, labelled=4, weak_view=True)
    strong = a_source(run, config=loud).make(0, stage).labelled
    plain = a_source(run, config=quiet).make(0, stage).labelled
    assert torch.equal(strong.labels, plain.labels)
    assert strong.weak is not None
    assert 0 < (strong.weak - plain.image).abs().mean() < (strong.image - plain.image).abs().mean()
    assert torch.equal(plain.image, plain.weak if plain.weak is not None else plain.image[:0])


def test_no_teacher_view_is_made_where_none_is_wanted(run: Run) -> None:
    assert a_source(run).make(0, Stage("one", 1.0, 1.0, labelled=2)).labelled.weak is None


def a_pair() -> PreparedCase:
    """A structure on each side, of which only the first was annotated; the image shows which is which."""
    labels = np.zeros((16, 16, 16), np.uint8)
    labels[3:6, 4:9, 2:6] = 1
    labels[9:12, 4:9, 9:14] = 2
    image = labels[None].astype(np.float16)
    locations = [np.argwhere(labels == value).astype(np.int16) for value in range(3)]
    return PreparedCase("pair", image, labels, np.array([True, True, False]), locations, "")


def sided(plan: Plan, axis: int, orientation: str = "LPS") -> Plan:
    labels = [{"value": 3, "name": "left kidney"}, {"value": 7, "name": "right kidney"}]
    changes = {"labels": labels, "flip_pairs": [(3, 7)], "allowed_flips": [axis], "orientation": orientation}
    return plan.model_copy(update=changes)


def mirrored(plan: Plan) -> Views:
    """A patch that was surely mirrored and not changed otherwise."""
    augment = STILL.model_copy(update={"flip_probability": 1.0})
    return still_source(a_pair(), plan, augment).make(0, Stage("one", 1.0, 1.0, labelled=1)).labelled


@pytest.mark.parametrize(("orientation", "axis"), [("LPS", 2), ("RAS", 2), ("SPL", 0), ("PRS", 1)])
def test_mirroring_left_and_right_swaps_paired_labels_and_what_is_known_of_them(
    run: Run, orientation: str, axis: int
) -> None:
    views, case = mirrored(sided(run.task.plan, axis, orientation)), a_pair()
    assert case.labels is not None
    assert np.array_equal(views.image[0], np.flip(case.image, axis + 1))
    swapped = np.array([0, 2, 1])[np.flip(case.labels, axis)]
    assert np.array_equal(views.labels[0], swapped)
    assert views.known.tolist() == [[True, False, True]]


@pytest.mark.parametrize(("orientation", "axis"), [("LPS", 0), ("LPS", 1), ("SPL", 2)])
def test_mirroring_another_axis_swaps_nothing(run: Run, orientation: str, axis: int) -> None:
    views, case = mirrored(sided(run.task.plan, axis, orientation)), a_pair()
    assert case.labels is not None
    assert np.array_equal(views.labels[0], np.flip(case.labels, axis))
    assert views.known.tolist() == [[True, True, False]]


def test_axes_that_the_plan_does_not_allow_are_never_mirrored(run: Run) -> None:
    plan = sided(run.task.plan, 2).model_copy(update={"allowed_flips": []})
    assert np.array_equal(mirrored(plan).image[0], a_pair().image)


def test_without_pairs_a_mirrored_label_keeps_its_meaning(run: Run) -> None:
    plan = sided(run.task.plan, 2).model_copy(update={"flip_pairs": []})
    views, case = mirrored(plan), a_pair()
    assert case.labels is not None
    assert np.array_equal(views.labels[0], np.flip(case.labels, 2))
    assert views.known.tolist() == [[True, True, False]]
