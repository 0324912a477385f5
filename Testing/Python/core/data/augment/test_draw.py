"""What is drawn follows the configuration and the key (seed, step, sample) alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from medcontext.data.augment.config import AugmentConfig
from medcontext.data.augment.draw import AugmentDraw, draw, draw_spatial
from medcontext.data.augment.intensity import apply_intensity
from medcontext.data.augment.spatial import apply_spatial, sampling_grid
from medcontext.errors import InputError

PATCH = (20, 28, 20)
SPACING = (1.0, 1.0, 1.0)


def draws(
    config: AugmentConfig, count: int = 300, spacing: tuple[float, float, float] = SPACING
) -> list[AugmentDraw]:
    return [draw(config, np.random.default_rng([0, n]), PATCH, spacing, (0, 2), 2) for n in range(count)]


def certain(*names: str) -> AugmentConfig:
    """A configuration in which only the changes named happen, always."""
    return AugmentConfig.preset("none").updated([f"{name}_probability=1" for name in names])


def outcome(key: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn((1, 1, 24, 32, 24), generator=generator)
    labels = torch.randint(0, 3, (1, 1, 24, 32, 24), generator=generator, dtype=torch.uint8)
    drawn = draw(AugmentConfig(), np.random.default_rng(key), PATCH, SPACING, (0, 1, 2))
    moved, moved_labels = apply_spatial(images, labels, [drawn.spatial], PATCH, [(1, 2)])
    assert moved_labels is not None
    return apply_intensity(moved, [drawn.intensity]), moved_labels


def test_one_key_gives_one_result_and_other_keys_others() -> None:
    results = [outcome([1, step, sample]) for step in range(3) for sample in range(2)]
    again = outcome([1, 2, 1])
    assert torch.equal(again[0], results[-1][0])
    assert torch.equal(again[1], results[-1][1])
    for first in range(len(results)):
        for second in range(first):
            assert not torch.equal(results[first][0], results[second][0])


def test_preset_none_changes_nothing() -> None:
    images = torch.randn(1, 2, *PATCH)
    for drawn in draws(AugmentConfig.preset("none"), 10):
        moved, _ = apply_spatial(images, None, [drawn.spatial], PATCH)
        assert torch.equal(apply_intensity(moved, [drawn.intensity]), images)


def test_only_allowed_axes_are_mirrored_half_of_the_time() -> None:
    flips = [drawn.spatial.flips for drawn in draws(certain("flip").updated(["flip_probability=0.5"]))]
    assert {axis for axes in flips for axis in axes} == {0, 2}
    assert 100 < sum(2 in axes for axes in flips) < 200


def test_ranges_are_kept_and_used() -> None:
    spatial = [drawn.spatial for drawn in draws(certain("rotation", "scale", "translation"))]
    angles = np.array([s.rotation for s in spatial])
    scales = np.array([s.scale for s in spatial])
    offsets = np.array([s.offset for s in spatial])
    assert (np.abs(angles) <= 15).all()
    assert (angles.min(0) < -12).all()
    assert (angles.max(0) > 12).all()
    assert 0.85 <= scales.min() < 0.88
    assert 1.15 < scales.max() <= 1.2
    assert 0.1 < np.mean(np.ptp(scales, axis=1) > 0) < 0.5
    assert (np.abs(offsets) <= 0.05 * np.array(PATCH)).all()
    config = certain("gamma", "noise", "low_resolution", "blur", "bias")
    intensity = [drawn.intensity for drawn in draws(config)]
    assert 0.7 <= min(i.gamma.min() for i in intensity) < 0.75
    assert 1.4 < max(i.gamma.max() for i in intensity) <= 1.5
    assert all(0.02 <= i.noise_sd.min() <= i.noise_sd.max() <= 0.2 for i in intensity)
    assert {len(set(i.low_resolution)) for i in intensity} == {1, 2}
    assert all(0.4 <= i.blur_sigma[0] <= 1.0 for i in intensity)
    assert all(np.allclose(i.bias.mean((1, 2, 3)), 0) for i in intensity)


def test_probabilities_are_kept() -> None:
    config = AugmentConfig(elastic_probability=0.25, gamma_probability=0.25)
    found = draws(config)
    assert 45 < sum(d.spatial.displacement is not None for d in found) < 105
    assert 45 < sum(d.intensity.gamma[0] != 1 for d in found) < 105
    assert any((d.intensity.gamma[0] != 1) != (d.intensity.gamma[1] != 1) for d in found)


def test_turning_one_change_off_leaves_the_others() -> None:
    fewer = AugmentConfig(rotation_probability=0, elastic_probability=0, gamma_probability=0)
    for one, other in zip(draws(AugmentConfig(), 20), draws(fewer, 20), strict=True):
        assert one.spatial.scale == other.spatial.scale
        assert one.spatial.flips == other.spatial.flips
        assert np.array_equal(one.intensity.contrast, other.intensity.contrast)
        assert one.intensity.noise_seed == other.intensity.noise_seed


@pytest.mark.parametrize("coarse", [0, 1, 2])
def test_thick_slices_are_moved_within_their_plane_only(coarse: int) -> None:
    spacing = tuple(5.0 if axis == coarse else 1.0 for axis in range(3))
    config = certain("rotation", "scale", "elastic", "translation", "low_resolution", "blur")
    for drawn in draws(config, 20, (spacing[0], spacing[1], spacing[2])):
        spatial, intensity = drawn.spatial, drawn.intensity
        assert [axis for axis in range(3) if spatial.rotation[axis]] == [coarse]
        assert spatial.scale[coarse] == 1
        assert spatial.offset[coarse].is_integer()
        assert spatial.displacement is not None
        assert not spatial.displacement[coarse].any()
        assert all(spatial.displacement[axis].any() for axis in range(3) if axis != coarse)
        assert intensity.low_resolution[coarse] == 1
        assert intensity.blur_sigma[coarse] == 0


def test_rotation_axes_can_be_named() -> None:
    config = certain("rotation").updated(["rotation_axes=[1]"])
    for drawn in draws(config, 5):
        assert [axis for axis in range(3) if drawn.spatial.rotation[axis]] == [1]


@pytest.mark.parametrize(
    ("patch", "points"), [((40, 56, 40), (5, 7, 5)), ((128, 128, 128), (9, 9, 9)), ((8, 64, 64), (4, 7, 7))]
)
def test_elastic_grid_follows_the_patch_and_tissue_rarely_folds(
    patch: tuple[int, int, int], points: tuple[int, int, int]
) -> None:
    drawn = draw_spatial(certain("elastic"), np.random.default_rng(0), patch, SPACING)
    assert drawn.displacement is not None
    assert drawn.displacement.shape == (3, *points)
    position = (sampling_grid([drawn], patch, patch)[0] * torch.tensor(patch[::-1]) / 2).flip(-1)
    columns = [position.diff(dim=axis) for axis in range(3)]
    size = [min(c.shape[a] for c in columns) for a in range(3)]
    jacobian = torch.stack([c[: size[0], : size[1], : size[2]] for c in columns], -1)
    assert (torch.linalg.det(jacobian) > 0).float().mean() > 0.99


def test_configuration_refuses_what_makes_no_sense(tmp_path: Path) -> None:
    wrong = {"gamma": [1.5, 0.7], "scale": [0, 1], "blur_probability": 1.2, "rotation_axes": [3], "zoom": 2}
    for name, value in wrong.items():
        with pytest.raises(InputError, match=name):
            AugmentConfig.parse({name: value}, "test")
    AugmentConfig().write(tmp_path / "augment.json")
    assert AugmentConfig.read(tmp_path / "augment.json") == AugmentConfig()
    assert json.loads((tmp_path / "augment.json").read_text())["gamma"] == [0.7, 1.5]


def test_every_field_is_documented() -> None:
    assert all(field.description for field in AugmentConfig.model_fields.values())
