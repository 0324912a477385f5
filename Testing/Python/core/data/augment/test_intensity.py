"""Each intensity change does what its name says; nothing else changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from medcontext.data.augment.config import AugmentConfig
from medcontext.data.augment.draw import IntensityDraw, draw_intensity
from medcontext.data.augment.intensity import apply_intensity

SIZE = (12, 14, 16)


def smooth_noise(channels: int = 2, seed: int = 0) -> torch.Tensor:
    image = torch.randn((1, channels, *SIZE), generator=torch.Generator().manual_seed(seed))
    return image.clamp(-3, 3)


def change(image: torch.Tensor, **values: Any) -> torch.Tensor:
    return apply_intensity(image, [replace(IntensityDraw.identity(), **values)])


def test_identity_and_strength_zero_change_nothing() -> None:
    image = smooth_noise()
    assert torch.equal(apply_intensity(image, [IntensityDraw.identity()]), image)
    for seed in range(20):
        drawn = draw_intensity(AugmentConfig(), np.random.default_rng(seed), strength=0.0, channels=2)
        assert torch.equal(apply_intensity(image, [drawn]), image)


def test_weak_view_is_the_same_change_but_smaller() -> None:
    image = smooth_noise()
    for seed in range(30):
        strong, weak = (
            apply_intensity(image, [draw_intensity(AugmentConfig(), np.random.default_rng(seed), s, 2)])
            for s in (1.0, 0.3)
        )
        far, near = (strong - image).abs().mean(), (weak - image).abs().mean()
        assert near < far or far == near == 0
    assert draw_intensity(AugmentConfig(), np.random.default_rng(1), 0.3).noise_seed == (
        draw_intensity(AugmentConfig(), np.random.default_rng(1), 1.0).noise_seed
    )


def test_every_draw_keeps_shape_type_input_and_finite_values() -> None:
    image = torch.cat([smooth_noise(), torch.zeros(1, 2, *SIZE)])
    before = image.clone()
    config = AugmentConfig.model_validate(
        {name: 1.0 for name in AugmentConfig.model_fields if name.endswith("_probability")}
    )
    for seed in range(20):
        draws = [draw_intensity(config, np.random.default_rng([seed, s]), channels=2) for s in range(2)]
        moved = apply_intensity(image, draws)
        assert moved.shape == image.shape
        assert moved.dtype == torch.float32
        assert torch.isfinite(moved).all()
        assert moved.abs().max() < 12
        assert torch.equal(image, before)
        assert torch.equal(moved, apply_intensity(image, draws))


def test_brightness_and_offset_per_channel() -> None:
    image = smooth_noise()
    moved = change(image, brightness=np.array([1.5, 1.0]), offset=np.array([0.0, -0.25]))
    torch.testing.assert_close(moved[:, 0], image[:, 0] * 1.5)
    torch.testing.assert_close(moved[:, 1], image[:, 1] - 0.25)


def test_contrast_spreads_about_the_mean_within_the_range() -> None:
    image = smooth_noise()
    less = change(image, contrast=np.array([0.5]))
    torch.testing.assert_close(less.std((2, 3, 4)), image.std((2, 3, 4)) * 0.5)
    torch.testing.assert_close(less.mean((2, 3, 4)), image.mean((2, 3, 4)))
    more = change(image, contrast=np.array([1.4]))
    assert (more.std((2, 3, 4)) > image.std((2, 3, 4)) * 1.2).all()
    assert torch.equal(more.amax((2, 3, 4)), image.amax((2, 3, 4)))
    assert torch.equal(more.amin((2, 3, 4)), image.amin((2, 3, 4)))


def test_gamma_keeps_order_mean_and_spread_and_bends_the_middle() -> None:
    image = smooth_noise(1)
    order = image.flatten().argsort()
    skews = {}
    for inverted in (False, True):
        moved = change(image, gamma=np.array([1.5]), gamma_inverted=np.array([inverted]))
        assert (moved.flatten()[order].diff() >= -1e-5).all()
        torch.testing.assert_close(moved.mean(), image.mean(), atol=1e-4, rtol=0)
        torch.testing.assert_close(moved.std(), image.std(), atol=1e-4, rtol=0)
        skews[inverted] = float(((moved - moved.mean()) ** 3).mean())
    skew = float(((image - image.mean()) ** 3).mean())
    assert skews[False] > skew + 0.1  # dark values are squeezed together, bright ones drawn apart
    assert skews[True] < skew - 0.1


def test_gamma_of_one_channel_leaves_the_other() -> None:
    image = smooth_noise()
    moved = change(image, gamma=np.array([0.7, 1.0]), gamma_inverted=np.array([True, True]))
    assert torch.equal(moved[:, 1], image[:, 1])
    assert not torch.equal(moved[:, 0], image[:, 0])


def test_bias_field_is_smooth_positive_gain_where_its_control_points_are() -> None:
    image = torch.ones(1, 1, *SIZE) * 2
    image[..., 0, 0, 0] = 0  # stands for air
    bias = np.zeros((1, 3, 3, 3))
    bias[0, 2, 0, 1] = np.log(1.5)  # last K, first J, middle I
    gain = change(image, bias=bias)[0, 0] / 2
    assert gain[-1, 0, 7:9].mean() == pytest.approx(1.5, abs=0.02)
    assert gain[0, -1, 0] == pytest.approx(1.0, abs=1e-5)
    assert gain[0, 0, 0] == 0
    assert gain[1:].diff(dim=2).abs().max() < 0.15


def test_noise_has_the_deviation_drawn_and_comes_from_the_seed() -> None:
    image = torch.zeros(1, 2, 30, 30, 30)
    moved = change(image, noise_sd=np.array([0.2, 0.0]), noise_seed=7)
    assert float(moved[0, 0].std()) == pytest.approx(0.2, rel=0.03)
    assert float(moved[0, 0].mean()) == pytest.approx(0.0, abs=0.01)
    assert not moved[0, 1].any()
    assert torch.equal(moved, change(image, noise_sd=np.array([0.2, 0.0]), noise_seed=7))
    assert not torch.equal(moved, change(image, noise_sd=np.array([0.2, 0.0]), noise_seed=8))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("values", [{"low_resolution": 2.0}, {"blur_sigma": 1.0}])
def test_resolution_is_lost_along_the_axis_drawn_alone(axis: int, values: dict[str, float]) -> None:
    name, value = next(iter(values.items()))
    neutral = 1.0 if name == "low_resolution" else 0.0
    drawn = {name: tuple(value if a == axis else neutral for a in range(3))}
    image = smooth_noise()
    moved = change(image, **drawn)
    for other in range(3):
        before, after = image.diff(dim=other + 2), moved.diff(dim=other + 2)
        ratio = float(after.std() / before.std()) / float(moved.std() / image.std())
        assert ratio < 0.75 if other == axis else ratio == pytest.approx(1.0, abs=0.05)
    ramp = torch.arange(SIZE[axis], dtype=torch.float32).reshape([-1 if a == axis else 1 for a in range(3)])
    ramp = ramp.expand(1, 1, *SIZE).contiguous()
    kept = change(ramp, **drawn)
    inner = slice(3, -3)  # a straight slope has nothing to lose, and must not shift
    box = (..., inner, inner, inner)
    torch.testing.assert_close(kept[box], ramp[box], atol=2e-3, rtol=0)


def test_blur_matches_a_gaussian_filter() -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    image = smooth_noise(1)
    moved = change(image, blur_sigma=(0.8, 0.6, 1.0))[0, 0].numpy()
    expected = ndimage.gaussian_filter(image[0, 0].numpy(), (0.8, 0.6, 1.0), truncate=8)
    np.testing.assert_allclose(moved[4:-4, 4:-4, 4:-4], expected[4:-4, 4:-4, 4:-4], atol=1e-4)


def test_number_of_draws_must_fit() -> None:
    with pytest.raises(ValueError, match="0 draws"):
        apply_intensity(smooth_noise(), [])
