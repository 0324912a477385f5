"""The checks that tie MedContext to its definition: special cases, gradients, leaks, teacher."""

import itertools

import pytest
import torch
from torch import nn

from medcontext import networks
from medcontext.engine.config import EngineConfig
from medcontext.engine.ema import AveragedNetwork
from medcontext.engine.method import Batch, Clock, Stage, Views
from medcontext.engine.schedule import ema_momentum
from medcontext.losses.dice_cross_entropy import DiceCrossEntropy
from medcontext.masking.cells import MaskConfig
from medcontext.masking.network import MaskedNetwork
from medcontext.methods import make_config, make_method
from medcontext.methods.medcontext.config import MedContextConfig, TeacherConfig
from medcontext.methods.medcontext.method import MedContext
from medcontext.methods.medcontext.mixing import by_origin, exchange, pseudo_labels
from medcontext.methods.medcontext.presets import REPO_MOMENTUM
from medcontext.methods.medcontext.teacher import momentum_at

PATCH = (16, 16, 16)
CLOCK = Clock(10, 100, Stage("labelled", 1.0, 1.0, 2), 0, 0.1, seed=0)
STRIDES = [[1, 1, 1], [2, 2, 2], [2, 2, 2]]


def a_network() -> networks.SegmentationNetwork:
    torch.manual_seed(0)
    return networks.build("dynunet", 1, 3, filters=[4, 8, 8], strides=STRIDES, kernels=[[3, 3, 3]] * 3)


def some_views(seed: int = 0) -> Views:
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(2, 1, *PATCH, generator=generator)
    labels = torch.randint(0, 3, (2, *PATCH), generator=generator)
    return Views(image, image + 0.01, labels, torch.ones(2, 3, dtype=torch.bool), torch.tensor([0, 1]))


def a_method(**changes) -> tuple[MedContext, nn.Module]:
    method = MedContext(MedContextConfig(**changes))
    return method, method.build(a_network(), None)


def total(terms) -> torch.Tensor:
    return sum(terms.values())


def supervised_loss(student: nn.Module, views: Views) -> torch.Tensor:
    return DiceCrossEntropy().deep(student(views.image), views.labels, views.known)


def test_without_masked_terms_the_loss_is_the_supervised_one_bit_for_bit():
    method, student = a_method(masked_weight=0, consistency_weight=0)
    views = some_views()
    terms = method.loss(student, Batch(views, None), CLOCK)
    assert torch.equal(total(terms), supervised_loss(student, views))


def test_without_masked_terms_the_weights_follow_the_plain_trainer():
    plain = make_method("supervised", make_config("supervised"))
    states = []
    for method in (MedContext(MedContextConfig(masked_weight=0, consistency_weight=0)), plain):
        student = method.build(a_network(), None)
        parameters = list(student.network.parameters())
        optimiser = torch.optim.AdamW(parameters, 1e-2)
        for step in range(3):
            optimiser.zero_grad()
            total(method.loss(student, Batch(some_views(step), None), CLOCK)).backward()
            optimiser.step()
        states.append([p.detach().clone() for p in parameters])
    assert all(torch.equal(a, b) for a, b in zip(*states, strict=True))


def test_hiding_nothing_doubles_the_supervised_loss():
    method, student = a_method(views="paired", mask=MaskConfig(ratio=0), consistency_weight=0)
    views = some_views()
    loss = total(method.loss(student, Batch(views, None), CLOCK))
    assert loss.item() == pytest.approx(2 * supervised_loss(student, views).item(), rel=1e-6)


@pytest.mark.parametrize("views", ["paired", "split"])
def test_teacher_equal_to_student_without_mask_has_no_consistency_loss(views):
    method, student = a_method(views=views, mask=MaskConfig(ratio=0))
    batch = some_views()
    batch.weak = batch.image
    terms = method.loss(student.eval(), Batch(batch, None), CLOCK)
    # One forward of two halves and one of a half round differently in the last bit.
    assert terms["consistency"].item() < 1e-10


def test_paired_forward_equals_two_forwards():
    method, student = a_method(views="paired", consistency_weight=0.1)
    views = some_views()
    terms = method.loss(student, Batch(views, None), CLOCK)
    mask = method._mask(views, method.config.mask, CLOCK, 101)
    alone = DiceCrossEntropy().deep(student(views.image, mask), views.labels, views.known)
    assert terms["masked"].item() == pytest.approx(alone.item(), rel=1e-6)
    assert terms["supervised"].item() == pytest.approx(supervised_loss(student, views).item(), rel=1e-6)


def test_masks_differ_within_a_batch_only_when_asked_to():
    views = some_views()
    for per_sample in (True, False):
        method, _ = a_method(mask_per_sample=per_sample)
        first, second = method._mask(views, MaskConfig(ratio=0.5, geometry="random", cell=4), CLOCK, 101)
        assert torch.equal(first, second) is not per_sample


def test_the_teacher_has_no_gradient_and_is_not_optimised():
    method, student = a_method(views="paired")
    total(method.loss(student, Batch(some_views(), None), CLOCK)).backward()
    teacher = list(method.deliver().parameters())
    assert all(p.grad is None and not p.requires_grad for p in teacher)
    mine = {id(p) for p in student.parameters()}
    assert not mine & {id(p) for p in teacher}


def test_the_mask_token_learns_only_when_something_is_hidden():
    for ratio, learns in ((0.0, False), (0.5, True)):
        mask = MaskConfig(ratio=ratio, geometry="random", cell=4)
        method, student = a_method(views="paired", mask=mask, mask_space="token")
        total(method.loss(student, Batch(some_views(), None), CLOCK)).backward()
        assert bool(student.mask_token.grad.any()) is learns


def test_masking_leaves_no_hook_behind():
    student = MaskedNetwork(a_network()).eval()
    image = some_views().image
    clean = student(image)[0]
    mask = torch.zeros(2, *PATCH, dtype=torch.bool)
    mask[:, :8] = True
    assert not torch.equal(student(image, mask)[0], clean)
    assert torch.equal(student(image)[0], clean)


def test_hooks_are_removed_when_the_network_fails():
    student = MaskedNetwork(a_network())
    with pytest.raises(RuntimeError):
        student(torch.zeros(2, 1, *PATCH), torch.ones(3, *PATCH, dtype=torch.bool))
    image = some_views().image
    assert torch.equal(student(image)[0], student.network.forward_deep(image)[0])


def test_tokens_are_hidden_where_a_network_has_them_and_voxels_otherwise():
    for network, space in ((unetr(), "token"), (a_network(), "input")):
        assert MedContext(MedContextConfig()).build(network, None).space == space


@pytest.mark.parametrize("space", ["token", "input"])
def test_what_is_hidden_everywhere_cannot_reach_the_logits(space):
    student = MaskedNetwork(a_network(), space).eval()
    everything = torch.ones(2, *PATCH, dtype=torch.bool)
    a, b = (student(some_views(seed).image, everything)[0] for seed in (1, 2))
    assert torch.equal(a, b)


def unetr() -> networks.SegmentationNetwork:
    torch.manual_seed(0)
    kwargs = networks.default_kwargs("unetr", (32, 32, 32), (1.0, 1.0, 1.0), "small")
    return networks.build("unetr", 1, 3, **kwargs)


@pytest.mark.parametrize("blank_skips", [True, False])
def test_unetr_leaks_the_image_through_its_full_resolution_skip_unless_blanked(blank_skips):
    student = MaskedNetwork(unetr(), mask_image_skips=blank_skips).eval()
    everything = torch.ones(1, 32, 32, 32, dtype=torch.bool)
    torch.manual_seed(1)
    a, b = (student(torch.randn(1, 1, 32, 32, 32), everything)[0] for _ in range(2))
    assert torch.equal(a, b) is blank_skips


def test_ema_of_a_constant_student_is_geometric():
    source = nn.Linear(3, 3)
    averaged = AveragedNetwork(nn.Linear(3, 3))
    start = averaged.network.weight.clone()
    for _ in range(5):
        averaged.update(source, 0.9)
    expected = 0.9**5 * start + (1 - 0.9**5) * source.weight
    assert torch.allclose(averaged.network.weight, expected, atol=1e-6)


def test_default_momentum_is_a_mean_first_and_then_exponential():
    assert ema_momentum(0, 1000, None) == 0
    assert ema_momentum(1, 1000, None) == 0.5
    assert ema_momentum(999, 1000, None) == 0.99
    assert ema_momentum(10**6, 10**6, None) == 0.9995
    assert ema_momentum(10**6, 10**6, 0.9) == 0.9


def test_published_momentum_rises_from_0996_to_1():
    config = TeacherConfig(schedule="linear_cosine")
    values = [momentum_at(config, step, 1000, 0.0) for step in range(1001)]
    assert values[0] == pytest.approx(0.996)
    assert values[-1] == pytest.approx(1.0)
    assert all(a <= b for a, b in itertools.pairwise(values))


def test_the_repo_preset_updates_the_teacher_once_an_epoch_at_0019():
    config = make_config("medcontext", "repo")
    momenta = [momentum_at(config.teacher, step, 1000, 0.5) for step in range(36)]
    assert [m for m in momenta if m is not None] == [REPO_MOMENTUM] * 2
    assert momenta[17] == REPO_MOMENTUM
    warmup_cosine = TeacherConfig(schedule="linear_cosine", warmup=50 * 18)
    assert momentum_at(warmup_cosine, 17, 5000 * 18, 0.0) == pytest.approx(REPO_MOMENTUM, abs=5e-4)


def test_the_repo_consistency_hardly_reaches_the_student():
    """Its gradient at the logits is a thousandth of the supervised one: what the specification measured."""
    method = MedContext(make_config("medcontext", "repo"))
    student = method.build(unetr(), None)
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, 1, 32, 32, 32, generator=generator)
    labels = torch.randint(0, 3, (1, 32, 32, 32), generator=generator)
    views = Views(image, None, labels, torch.ones(1, 3, dtype=torch.bool), torch.tensor([0]))
    terms = method.loss(student, Batch(views, None), CLOCK)
    parameters = [p for p in student.network.parameters() if p.requires_grad]

    def norm(loss):
        gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
        return torch.stack([g.norm() for g in gradients if g is not None]).norm().item()

    assert norm(terms["consistency"]) < 0.01 * norm(terms["supervised"] + terms["masked"])


def test_exchange_swaps_the_box_in_both_directions():
    a, b = torch.zeros(1, 1, 2, 2, 2), torch.ones(1, 1, 2, 2, 2)
    box = torch.zeros(1, 2, 2, 2, dtype=torch.bool)
    box[:, 0] = True
    mixed = exchange(a, b, box)
    assert mixed[0, 0, 0].eq(1).all()
    assert mixed[0, 0, 1].eq(0).all()
    assert mixed[1, 0, 0].eq(0).all()
    assert mixed[1, 0, 1].eq(1).all()


def test_each_voxel_of_a_mixture_is_scored_by_its_origin_exactly_once():
    labels, pseudo = torch.full((1, 2, 2, 2), 1), torch.full((1, 2, 2, 2), 2)
    box = torch.rand(1, 2, 2, 2, generator=torch.Generator().manual_seed(0)) > 0.5
    real, guessed = by_origin(labels, pseudo, box)
    assert ((real == 255) ^ (guessed == 255)).all()
    assert real[0][~box[0]].eq(1).all()
    assert guessed[0][box[0]].eq(2).all()
    assert real[1][box[0]].eq(1).all()


def test_pseudo_labels_ignore_what_lies_between_two_structures_only():
    probability = torch.tensor([[0.1, 0.5, 0.4], [0.1, 0.85, 0.05], [0.9, 0.05, 0.05]])
    logits = probability.log().T.reshape(1, 3, 3, 1, 1)
    assert pseudo_labels(logits, 0.5).flatten().tolist() == [255, 1, 0]
    assert pseudo_labels(logits, 0.0).flatten().tolist() == [1, 1, 0]


@pytest.mark.parametrize("term", ["consistency", "pseudo", "mix"])
def test_unlabelled_scans_add_terms_whose_weight_ramps_up(term):
    method = MedContext(
        MedContextConfig(
            unlabelled={"term": term, "start": 0.0, "least_steps": 0, "ramp": 0.5, "weight": 0.5}
        )
    )
    student = method.build(a_network(), None)
    stage = method.stages(2, 5, 100)[-1]
    values = []
    for step in (0, 50):
        clock = Clock(step, 100, stage, 0, step / 100, 0)
        terms = method.loss(student, Batch(some_views(), some_views(1)), clock)
        name = {"consistency": "unlabelled_consistency", "pseudo": "pseudo", "mix": "mixed_pseudo"}[term]
        values.append(terms[name].item())
    assert values[0] == 0
    assert values[1] > 0


def test_unlabelled_scans_join_when_the_teacher_has_converged():
    method = MedContext(MedContextConfig())
    assert [stage.unlabelled for stage in method.stages(2, 0, 2000)] == [0]
    assert [stage.unlabelled for stage in method.stages(2, 7, 2000)] == [0, 1]
    assert sum(stage.share for stage in method.stages(2, 7, 2000)) == 1


def test_a_run_too_short_for_the_teacher_to_converge_leaves_unlabelled_scans_out():
    method = MedContext(MedContextConfig())
    assert [stage.unlabelled for stage in method.stages(2, 7, 500)] == [0]
    labelled, joined = method.stages(2, 7, 800)
    assert (labelled.share, joined.share) == (pytest.approx(0.75), pytest.approx(0.25))


def test_the_default_preset_trains_with_the_default_engine():
    assert make_config("medcontext").engine == EngineConfig()


def test_whole_tokens_are_hidden_whatever_cell_is_asked_for():
    """A cell of half a token would hide every token it touches: 30 % of the voxels became 94 % of the tokens."""
    method = MedContext(MedContextConfig(mask=MaskConfig(ratio=0.3, geometry="random", cell=8)))
    method.build(unetr(), None)
    views = some_views()
    views.image = torch.zeros(2, 1, 64, 64, 64)
    hidden = method._mask(views, method.config.mask, CLOCK, 101).float()
    tokens = torch.nn.functional.avg_pool3d(hidden[:, None], 16)
    assert set(tokens.unique().tolist()) == {0.0, 1.0}
    assert tokens.mean().item() == pytest.approx(0.3, abs=0.02)


NETWORKS = {
    "dynunet": (16, 16, 16),
    "unetr": (32, 32, 32),
    "swin_unetr": (64, 64, 64),
    "nnformer": (16, 16, 16),
    "segresnet": (16, 16, 16),
    "mednext": (16, 16, 16),
    "nnunet": (16, 16, 16),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_learns_from_clean_and_masked_views(name):
    torch.manual_seed(0)
    kwargs = networks.default_kwargs(name, NETWORKS[name], (1.0, 1.0, 1.0), "small")
    method = MedContext(MedContextConfig())
    size = networks.round_patch(name, kwargs, NETWORKS[name])
    student = method.build(networks.build(name, 1, 3, **kwargs), None)
    image, labels = torch.randn(2, 1, *size), torch.randint(0, 3, (2, *size))
    views = Views(image, image, labels, torch.ones(2, 3, dtype=torch.bool), torch.tensor([0, 1]))
    optimiser = torch.optim.AdamW(student.parameters(), 1e-3)
    values = []
    for _ in range(2):
        terms = method.loss(student, Batch(views, None), CLOCK)
        optimiser.zero_grad()
        total(terms).backward()
        optimiser.step()
        method.after_step(student, 0.5)
        values.append(total(terms).item())
    assert values[1] < values[0]
    assert set(terms) == {"supervised", "masked", "consistency"}
    assert student.mask_token is None or student.mask_token.grad.any()


def test_the_more_a_network_knows_the_less_it_is_changed():
    knows_nothing, knows_half, knows_all = (
        make_config("medcontext", ready=ready).engine for ready in (0, 0.5, 1)
    )
    assert knows_nothing == make_config("medcontext").engine
    rates = [engine.optimiser.learning_rate for engine in (knows_nothing, knows_half, knows_all)]
    assert rates[0] > rates[1] > rates[2]
    assert [engine.trained_share for engine in (knows_nothing, knows_half, knows_all)] == [1, 1, 0.25]
