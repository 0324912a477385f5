"""S3-Net as a method of the engine: its terms, its stop rules, its answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from medcontext.engine.method import Clock
from medcontext.engine.single_image import ImageBatch
from medcontext.methods import make_config
from medcontext.methods.s3net.config import S3NetConfig
from medcontext.methods.s3net.method import S3NetMethod, make_network
from medcontext.methods.s3net.picture import prepare

SMALL = ["channels=8", "clusters=8", "blocks=1", "size=32", "balanced=false", "start=random", "own=largest"]
"""A network that learns in moments, from its own clusters only."""


def config_of(preset: str = "default", *settings: str) -> S3NetConfig:
    config = make_config("s3net", preset).updated([*SMALL, *settings])
    assert isinstance(config, S3NetConfig)
    return config


def terms_and_gradients(
    config: S3NetConfig, picture: Tensor, clock: Clock, term: str | None = None
) -> tuple[dict[str, Tensor], dict[str, Tensor | None]]:
    """The loss terms, and the gradient of their sum, or of one."""
    network, method = make_network(config, picture, seed=0), S3NetMethod(config)
    terms = dict(method.loss(network.train(), ImageBatch(picture), clock))
    total = sum(terms.values()) if term is None else terms[term]
    total.backward()  # type: ignore[union-attr]
    return terms, {name: p.grad for name, p in network.named_parameters()}


def test_the_published_spatial_term_changes_no_gradient(picture: Tensor, clock: Callable[..., Clock]) -> None:
    terms, whole = terms_and_gradients(config_of("repo"), picture, clock())
    assert terms["spatial"] > 0
    assert not terms["spatial"].requires_grad
    _, without = terms_and_gradients(config_of("repo", "w_spatial=0"), picture, clock())
    for name, gradient in whole.items():
        assert gradient is not None
        assert torch.equal(gradient, without[name]), name  # type: ignore[arg-type]


@pytest.mark.parametrize("spatial", ["total_variation", "soft_sobel"])
def test_the_mended_spatial_term_teaches(picture: Tensor, clock: Callable[..., Clock], spatial: str) -> None:
    config = config_of("default", f"spatial={spatial}")
    _, gradients = terms_and_gradients(config, picture, clock(), "spatial")
    learning = [name for name, g in gradients.items() if g is not None and g.abs().max() > 0]
    assert any(name.startswith("stem") for name in learning)
    assert any(name.startswith("main") for name in learning)


def test_the_published_affine_term_is_the_unturned_one_and_the_mended_one_is_not(
    picture: Tensor, clock: Callable[..., Clock]
) -> None:
    config = config_of("repo", "w_affine=1")
    network = make_network(config, picture, seed=0)
    main, aux = network(picture)
    unturned = functional.cross_entropy(aux, main.argmax(1)).item()
    values = {}
    for transform in ("output", "input"):
        method = S3NetMethod(config.updated([f"transform={transform}"]))
        values[transform] = method.loss(network, ImageBatch(picture), clock())["affine"].item()
    assert values["output"] == pytest.approx(unturned, abs=1e-6)
    assert values["input"] != pytest.approx(unturned, abs=1e-3)


def test_an_image_that_does_not_change_gives_the_unturned_term(
    picture: Tensor, clock: Callable[..., Clock]
) -> None:
    still = config_of("default", "changes={turn: 0, flip: 0, scale: 0}")
    plain = still.updated(["transform=output"])
    found, expected = (terms_and_gradients(c, picture, clock())[0]["affine"].item() for c in (still, plain))
    assert found == pytest.approx(expected, abs=1e-4)


def test_each_step_sees_another_change_and_the_same_step_the_same(
    picture: Tensor, clock: Callable[..., Clock]
) -> None:
    config = config_of()

    def value(step: int, seed: int) -> float:
        return terms_and_gradients(config, picture, clock(step, seed))[0]["affine"].item()

    assert value(1, 0) == value(1, 0)
    assert len({value(1, 0), value(2, 0), value(1, 7)}) == 3


def test_weights_scale_terms_and_zero_leaves_them_out(picture: Tensor, clock: Callable[..., Clock]) -> None:
    terms, _ = terms_and_gradients(config_of(), picture, clock())
    assert list(terms) == ["self", "affine", "spatial"]
    doubled, _ = terms_and_gradients(
        config_of("default", "w_self=7", "w_affine=0.4", "w_spatial=8"), picture, clock()
    )
    config = config_of()
    for name, ratio in (
        ("self", 7 / config.w_self),
        ("affine", 0.4 / config.w_affine),
        ("spatial", 8 / config.w_spatial),
    ):
        assert doubled[name].item() == pytest.approx(ratio * terms[name].item(), rel=1e-4)
    alone, _ = terms_and_gradients(config_of("default", "w_affine=0", "w_spatial=0"), picture, clock())
    assert list(alone) == ["self"]


class Kim(nn.Module):
    """The network of Kim et al., small: one answer."""

    def __init__(self, dims: int = 2) -> None:
        super().__init__()
        conv, norm = (nn.Conv3d, nn.BatchNorm3d) if dims == 3 else (nn.Conv2d, nn.BatchNorm2d)
        self.layers = nn.Sequential(conv(3, 6, 3, padding=1), nn.ReLU(), norm(6), conv(6, 6, 1), norm(6))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layers(x)
        return found


def test_without_the_other_terms_it_is_the_loop_of_kim_et_al(
    picture: Tensor, learn: Callable[..., Any]
) -> None:
    config = config_of(
        "repo", "w_self=1", "w_affine=0", "w_spatial=0", "most_iterations=8", "least_iterations=8"
    )
    torch.manual_seed(1)
    mine, theirs = Kim(), Kim()
    theirs.load_state_dict(mine.state_dict())
    learnt = learn(picture, config, network=mine)
    optimiser = torch.optim.SGD(theirs.parameters(), lr=0.2, momentum=0.9)
    for _ in range(8):
        answer = theirs(picture)
        optimiser.zero_grad()
        functional.cross_entropy(answer, answer.argmax(1)).backward()
        optimiser.step()
    for name, value in mine.named_parameters():
        torch.testing.assert_close(value, theirs.get_parameter(name), atol=1e-5, rtol=1e-4)
    assert torch.equal(learnt.labels, theirs(picture).argmax(1)[0])


@pytest.mark.parametrize("dims", [2, 3])
def test_any_network_that_gives_logits_can_be_taught(learn: Callable[..., Any], dims: int) -> None:
    image = torch.randn(1, 3, *[8] * dims)
    learnt = learn(image, config_of("default", "most_iterations=6"), network=Kim(dims))
    assert learnt.labels.shape == (8,) * dims
    assert 1 <= learnt.method.clusters_left <= 6


def test_the_same_seed_gives_the_same_labels(lesion: np.ndarray, learn: Callable[..., Any]) -> None:
    config = config_of("default", "most_iterations=6")
    image = prepare(lesion, config)
    first, second, other = (learn(image, config, seed=seed).labels for seed in (0, 0, 1))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert first.dtype == torch.int64
    assert first.shape == image.shape[2:]
    assert 0 <= first.min() <= first.max() < config.clusters


@pytest.mark.parametrize(
    ("preset", "shape"),
    [
        ("repo", (3, 48, 64)),
        ("default", (1, 48, 64)),
        ("default", (1, 20, 24, 16)),
        ("repo", (1, 20, 24, 16)),
    ],
)
def test_it_learns_from_colour_grey_and_volumes(
    learn: Callable[..., Any], preset: str, shape: tuple[int, ...]
) -> None:
    config = config_of(preset, "most_iterations=6")
    image = prepare(np.random.default_rng(0).normal(100, 20, shape), config)
    learnt = learn(image, config)
    assert learnt.labels.shape == image.shape[2:]
    assert 1 <= learnt.method.clusters_left <= 8


def test_it_never_stops_before_the_least_iterations_and_then_at_once(
    picture: Tensor, learn: Callable[..., Any]
) -> None:
    config = config_of("default", "least_iterations=4", "most_iterations=9", "least_clusters=8")
    assert learn(picture, config).outcome.steps == 4
    assert learn(picture, config.updated(["least_clusters=1", "least_iterations=9"])).outcome.steps == 9


def test_the_published_stop_rule_asks_after_the_sixth_iteration() -> None:
    method = S3NetMethod(S3NetConfig.parse(make_config("s3net", "repo").model_dump(), "repo"))
    method.clusters_left = 3
    assert [method.finished(steps) for steps in (1, 5, 6, 7)] == [False, False, True, True]
    method.clusters_left = 4
    assert [method.finished(steps) for steps in (6, 49, 50)] == [False, False, True]


def test_it_stops_when_hardly_a_voxel_changes_its_cluster() -> None:
    method = S3NetMethod(config_of("default", "least_iterations=2", "settled_share=0.01"))
    method.clusters_left = 8
    method.changed_share = 0.02
    assert not method.finished(2)
    method.changed_share = 0.01
    assert not method.finished(1)
    assert method.finished(2)
    never = S3NetMethod(config_of("default", "least_iterations=2", "settled_share=0"))
    never.clusters_left, never.changed_share = 8, 0.0
    assert not never.finished(2)


def test_what_the_stop_rules_look_at(picture: Tensor, clock: Callable[..., Clock]) -> None:
    method = S3NetMethod(config_of("default", "w_affine=0"))
    network = Kim()
    for step, clusters in ((0, {0, 2, 3}), (1, {0, 2})):
        answer = torch.full((1, 6, 4, 4), -1.0)
        for n, cluster in enumerate(sorted(clusters)):
            answer[:, cluster, n:] = n + 1.0
        network.forward = lambda _, answer=answer: answer.requires_grad_()  # type: ignore[method-assign,misc]
        method.loss(network, ImageBatch(picture), clock(step))
        assert method.clusters_left == len(clusters)
        assert method.changed_share == (1.0 if step == 0 else 0.5)  # two of four rows changed from 3 to 2


def test_the_answer_uses_the_statistics_of_the_image_unless_told_otherwise(
    picture: Tensor, learn: Callable[..., Any]
) -> None:
    learnt = learn(picture, config_of("default", "most_iterations=5"))
    with torch.no_grad():
        expected = learnt.network.train()(picture)[0][0]
        running = learnt.network.eval()(picture)[0][0]
    torch.testing.assert_close(learnt.method.logits(), expected)
    assert torch.equal(learnt.labels, expected.argmax(0))
    learnt.method.config = learnt.method.config.updated(["bn_eval=true"])
    assert not torch.allclose(learnt.method.logits(), expected, atol=1e-2)
    assert running.shape == expected.shape


def test_there_is_no_answer_before_anything_was_learnt() -> None:
    with pytest.raises(RuntimeError, match="come first"):
        S3NetMethod(config_of()).labels()


@pytest.mark.parametrize("deformation", ["predicted", "off"])
@pytest.mark.parametrize("seed", [0, 1])
def test_it_tells_a_dark_disc_from_the_skin_around_it(
    lesion: np.ndarray, disc: np.ndarray, learn: Callable[..., Any], deformation: str, seed: int
) -> None:
    config = S3NetConfig().updated([f"deformation={deformation}"])
    labels = learn(prepare(lesion, config), config, seed=seed).labels.numpy()
    inside = np.bincount(labels[disc]).argmax()
    found = labels == inside
    dice = 2 * (found & disc).sum() / (found.sum() + disc.sum())
    assert dice > 0.8


def test_tissues_of_a_volume_stay_apart(learn: Callable[..., Any]) -> None:
    place = np.mgrid[:20, :24, :24] - np.array([10, 12, 12]).reshape(3, 1, 1, 1)
    depth = np.sqrt((place**2).sum(0))
    tissues = np.digitize(depth, [6, 9])
    grey = np.array([60.0, -80.0, -900.0])[tissues] + np.random.default_rng(0).normal(0, 15, depth.shape)
    config = make_config("s3net", "scan").updated(["clusters=3", "channels=8", "most_iterations=12"])
    labels = learn(prepare(grey[None], config), config).labels.numpy()
    assert len({int(np.bincount(labels[tissues == tissue]).argmax()) for tissue in range(3)}) == 3


def test_clusters_know_no_place_the_lungs_are_air(learn: Callable[..., Any]) -> None:
    """Why regions are cut out of clusters afterwards, and why a click says more than a cluster."""
    j, i = np.mgrid[:48, :64]
    body = ((j - 24) / 20) ** 2 + ((i - 32) / 28) ** 2 < 1
    lungs = (((j - 24) / 10) ** 2 + ((np.abs(i - 32) - 11) / 7) ** 2 < 1) & body
    grey = np.where(body & ~lungs, 200.0, 20.0) + np.random.default_rng(0).normal(0, 5, body.shape)
    config = make_config("s3net", "scan").updated(["clusters=2"])
    labels = learn(prepare(grey[None], config), config).labels.numpy()
    deep_in_the_lungs = np.bincount(labels[lungs]).argmax()
    assert deep_in_the_lungs == np.bincount(labels[~body]).argmax()
    assert deep_in_the_lungs != np.bincount(labels[body & ~lungs]).argmax()
