"""The teacher follows as its preset says, and what a step gives depends on what it should only."""

from __future__ import annotations

import pytest
import torch

from medcontext import networks
from medcontext.config import StrictModel
from medcontext.errors import InputError
from medcontext.methods import (
    make_config,
    make_method,
    make_pretraining,
    names,
    preset_names,
    pretraining_names,
)
from medcontext.methods.voco.config import CropChanges, VoCoConfig
from medcontext.methods.voco.method import VoCo


def weights(module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in module.named_parameters()}


def shaken(small) -> None:
    """Change the student as a step would."""
    with torch.no_grad():
        for parameter in small.student.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))


def same(first, second) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


def test_the_teacher_begins_as_the_students_copy_and_in_the_repository_on_its_own(built):
    fixed, repo = built(), built("repo")
    assert same(weights(fixed.teacher), weights(fixed.student))
    mine, other = weights(repo.student), weights(repo.teacher)
    differ = [name for name in mine if mine[name].dim() > 1 and not torch.allclose(mine[name], other[name])]
    assert len(differ) == len([name for name in mine if mine[name].dim() > 1])


@pytest.mark.parametrize("teacher", ["copy", "projector"])
@pytest.mark.parametrize("from_student", ["true", "false"])
def test_the_teacher_is_on_the_device_of_the_network(plan_of, teacher, from_student):
    plan = plan_of()
    network = networks.build(plan.network, 1, plan.classes).to("meta")
    method = VoCo(VoCoConfig().updated([f"teacher={teacher}", f"teacher_from_student={from_student}"]))
    method.build(network, plan)
    assert {value.device.type for value in method.state_dict()["teacher"].values()} == {"meta"}


def test_the_teacher_has_no_gradient_and_follows_by_its_momentum(built):
    small = built("default", "ema=0.7")
    sum(small.loss(small.batch()).values()).backward()
    assert all(p.grad is None and not p.requires_grad for p in small.teacher.parameters())
    before = weights(small.teacher)
    shaken(small)
    small.method.after_step(small.student, 0.123)
    after, student = weights(small.teacher), weights(small.student)
    for name, value in after.items():
        torch.testing.assert_close(value, 0.7 * before[name] + 0.3 * student[name])


def test_nothing_moves_the_teacher_but_a_step(built):
    small = built()
    shaken(small)
    before = weights(small.teacher)
    small.loss(small.batch())
    small.student.eval()
    with torch.no_grad():
        small.loss(small.batch())
    small.method.embed(small.batch())
    assert same(before, weights(small.teacher))


def test_repo_every_forward_moves_the_teacher_before_it_is_asked_even_where_nothing_is_learnt(built):
    small = built("repo", "ema=0.7")
    shaken(small)
    before, student = weights(small.teacher), weights(small.student)
    asked = []
    small.teacher.register_forward_pre_hook(lambda module, _: asked.append(weights(module)))
    small.student.eval()
    with torch.no_grad():
        small.loss(small.batch())
    for name, value in asked[0].items():
        torch.testing.assert_close(value, 0.7 * before[name] + 0.3 * student[name])
    after = weights(small.teacher)
    small.method.after_step(small.student, 0.5)
    assert same(after, weights(small.teacher))


def test_looking_at_a_run_moves_no_teacher(built):
    small = built("repo")
    before = weights(small.teacher)
    small.method.embed(small.batch())
    assert same(before, weights(small.teacher))


def test_v2_averages_the_projector_alone(built):
    small = built("v2")
    assert set(weights(small.teacher)) == set(weights(small.student.projector))
    before = weights(small.teacher)
    shaken(small)
    small.method.after_step(small.student, 0.5)
    student = weights(small.student.projector)
    for name, value in weights(small.teacher).items():
        torch.testing.assert_close(value, 0.9 * before[name] + 0.1 * student[name])


def test_the_paper_has_no_teacher(built):
    small = built("paper")
    mine, taught = small.method.embed(small.batch())
    assert small.teacher is None
    assert torch.equal(mine.base, taught.base)
    assert small.method.state_dict() == {}
    sum(small.loss(small.batch()).values()).backward()


@pytest.mark.parametrize(
    ("name", "terms"),
    [
        ("default", {"position", "negative", "regularisation"}),
        ("repo", {"position", "negative", "regularisation"}),
        ("paper", {"position", "regularisation"}),
        ("v2", {"position", "negative", "inter", "regularisation"}),
    ],
)
def test_each_preset_has_its_terms_and_weights_scale_them(built, name, terms):
    small = built(name)
    assert set(small.loss(small.batch())) == terms
    heavier = built(name, "w_regularisation=3", "w_position=2", "w_negative=2", "ema_in_forward=false")
    plainer = built(name, "ema_in_forward=false")
    light, heavy = (s.loss(s.batch()) for s in (plainer, heavier))
    assert heavy["regularisation"].item() == pytest.approx(3 * light["regularisation"].item(), rel=1e-5)
    assert heavy["position"].item() == pytest.approx(2 * light["position"].item(), rel=1e-5)


def rows_before_projector(small, batch) -> tuple[torch.Tensor, torch.Tensor]:
    """What the projectors of student and teacher see, and the pooled features."""
    seen = []
    for module in (small.student.projector, small.teacher):
        module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    small.loss(batch)
    return seen[0], seen[1]


def test_v2_the_dropout_takes_whole_crops_away_from_the_student_and_lets_the_others_grow(built):
    small = built("v2", "dropped_rows=0.4")
    batch = small.batch(8)
    mine, taught = rows_before_projector(small, batch)
    dropped = (mine == 0).all(dim=1)
    assert mine.shape == (8 * (2 + 9), small.student.features)
    assert 0.3 < dropped.float().mean() < 0.5
    torch.testing.assert_close(mine[~dropped], taught[~dropped] / 0.6)
    assert (taught[dropped] != 0).any(dim=1).all()


def test_v2_drops_a_fifth_and_the_same_crops_wherever_the_run_is_resumed_or_split(built):
    small = built("v2")
    assert small.method.config.dropped_rows == 0.2
    batch = small.batch(4)
    kept = small.method._kept(batch, small.clock(7))
    assert torch.equal(kept, small.method._kept(batch, small.clock(7)))
    assert not torch.equal(kept, small.method._kept(batch, small.clock(8)))
    last = type(batch)(batch.base[2:], batch.random[2:], batch.overlap[2:], batch.samples[2:])
    alone = small.method._kept(last, small.clock(7))
    assert torch.equal(alone[: 2 * 2], kept[2 * 2 : 4 * 2])
    assert torch.equal(alone[2 * 2 :], kept[4 * 2 + 2 * 9 :])


@pytest.mark.parametrize("name", ["default", "repo", "paper", "v2"])
def test_one_scan_a_step_is_enough(built, name):
    small = built(name)
    terms = small.loss(small.batch(volumes=1))
    sum(terms.values()).backward()
    assert all(torch.isfinite(value) for value in terms.values())


def test_with_layer_norm_scans_do_not_depend_on_each_other(built):
    """With batch norm they do: statistics are shared over all crops."""
    for norm, free in (("layer", True), ("batch", False)):
        small = built("default", f"projector.norm={norm}")
        batch = small.batch(3)
        turned = type(batch)(
            *(t[[2, 0, 1]] for t in (batch.base, batch.random, batch.overlap, batch.samples))
        )
        first = type(batch)(*(t[:1] for t in (batch.base, batch.random, batch.overlap, batch.samples)))
        whole, moved, alone = (small.method.embed(b)[0] for b in (batch, turned, first))
        assert torch.allclose(whole.base[[2, 0, 1]], moved.base, atol=1e-5)
        assert torch.allclose(whole.base[:1], alone.base, atol=1e-5) == free


def test_the_checkpoint_holds_the_teacher(built):
    small, other = built(), built(seed=1)
    shaken(small)
    small.method.after_step(small.student, 0.5)
    other.method.load_state_dict(small.method.state_dict())
    assert same(weights(small.teacher), weights(other.teacher))


def test_the_network_that_was_given_is_delivered(built):
    small = built()
    assert small.method.deliver() is small.network
    assert small.method.mask_token() is None


def test_crops_that_the_network_does_not_take_are_refused(built, plan_of):
    plan = plan_of().model_copy(update={"patch_size": (8, 8, 9)})
    with pytest.raises(InputError, match="cannot take a patch of 8 x 8 x 9"):
        built(plan=plan)


def test_the_repository_as_published():
    config = make_config("voco", "repo")
    assert (config.grid, config.random_crops, config.cells) == ((1, 4, 4), 2, 16)
    assert (config.resize_volume, config.cell, config.crop_size) == ((96, 384, 384), 96, 64)
    assert config.region((64, 64, 64)) == config.resize_volume
    assert (config.window, config.foreground) == ((-175, 250), 0.3)
    assert (config.ema, config.teacher_from_student, config.ema_in_forward) == (0.9, False, True)
    assert (config.teacher, config.halves, config.prediction, config.negative) == (
        "copy",
        "both",
        "split",
        "l2",
    )
    assert (config.regularisation_power, config.symmetric_regularisation) == (2, False)
    projector = config.projector
    assert (projector.layers, projector.hidden, projector.out, projector.norm) == (3, 2048, 2048, "batch")
    assert config.changes == CropChanges(flip=0.2, rotate=0.2, shift=0.1, shift_probability=0.1)
    optimiser = config.engine.optimiser
    assert (optimiser.learning_rate, optimiser.amsgrad, optimiser.weight_decay) == (1e-4, True, 0.01)
    assert (optimiser.warmup, optimiser.gradient_clip) == (5000 / 250_000, 1e6)


def test_v2_as_published():
    config = make_config("voco", "v2")
    assert (config.grid, config.random_crops, config.crop_size, config.cell) == ((1, 3, 3), 2, 64, None)
    assert (config.spacing, config.resize_volume) == (1.5, None)
    assert (config.teacher, config.halves, config.prediction) == ("projector", "student", "split")
    assert (config.negative, config.w_inter, config.dropped_rows) == ("log", 1, 0.2)
    assert (config.regularisation_power, config.symmetric_regularisation) == (2, False)
    projector = config.projector
    assert (projector.layers, projector.hidden, projector.out, projector.norm) == (2, 1024, 1024, "batch")
    assert config.changes == CropChanges(flip=0.2, rotate=0.2, shift=0.1, shift_probability=0.5)
    optimiser = config.engine.optimiser
    assert (optimiser.learning_rate, optimiser.amsgrad, optimiser.weight_decay) == (1e-4, True, 0.01)
    assert (optimiser.warmup, optimiser.gradient_clip) == (5000 / 2_000_000, 1e6)


def test_presets_and_methods_are_known_by_name():
    assert pretraining_names() == ["mae", "voco"]
    assert names() == ["medcontext", "supervised"]
    assert preset_names("voco") == ["default", "teacher", "repo", "paper", "v2"]
    assert make_config("voco", "teacher") == make_config("voco") == VoCoConfig()
    for method in pretraining_names():
        config = make_config(method)
        assert isinstance(config, StrictModel)
        assert make_method(method, config).name == make_pretraining(method, config).name == method
    with pytest.raises(InputError, match=r"has no preset 'v3'.*default, teacher, repo, paper, v2"):
        make_config("voco", "v3")
    with pytest.raises(InputError, match=r"no method of pre-training 'medcontext'.*mae, voco"):
        make_pretraining("medcontext", None)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (["grid=[1,1,1]"], "at least two base crops"),
        (["grid=[0,3,3]"], "greater than 0"),
        (["random_crops=0"], "greater than 0"),
        (["crop_size=4"], "at least 8 voxels"),
        (["cell=96", "grid=[1,4,4]", "resize_volume=[96,380,384]"], "more than resize_volume"),
        (["window=[250,-175]"], "must be below"),
        (["teacher=none"], "without a teacher"),
        (["ema=1.5"], "less than or equal to 1"),
        (["dropped_rows=1"], "less than 1"),
        (["taps=[]"], "at least one output"),
        (["projector.norm=instance"], "'batch' or 'layer'"),
        (["regularisation_power=3"], "1 or 2"),
        (["foreground=2"], "less than or equal to 1"),
        (["lambda=2"], "no setting 'lambda'"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, reason):
    with pytest.raises(InputError, match=reason):
        VoCoConfig().updated(settings)
