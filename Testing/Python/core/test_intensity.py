"""What a user relies on: scans of another scanner look alike to a network, and broken ones are refused."""

from __future__ import annotations

import numpy as np
import pytest

from medcontext import intensity
from medcontext.errors import InputError
from medcontext.intensity import normalise
from medcontext.plan import Channel, Intensity

SHAPE = (6, 20, 25)


def a_channel(kind: str = "zscore", name: str = "FLAIR", **numbers: object) -> Channel:
    return Channel(name=name, modality="MRI", intensity=Intensity(kind=kind, **numbers))  # type: ignore[arg-type]


def a_scan(seed: int = 0) -> np.ndarray:
    """3000 voxels about 300, as a scanner stores them."""
    return np.random.default_rng(seed).normal(300, 40, (1, *SHAPE)).round().astype(np.float32)


CT = {"low": -900.0, "high": 300.0, "mean": 100.0, "std": 200.0}


def test_a_scan_is_brought_to_mean_zero_and_standard_deviation_one() -> None:
    out = normalise(a_scan(), [a_channel()])
    assert out.dtype == np.float32
    assert out.shape == (1, *SHAPE)
    assert float(out.mean()) == pytest.approx(0, abs=1e-4)
    assert float(out.std()) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("percentiles", [(0.5, 99.5), (10, 80), (0, 100)])
def test_voxels_beyond_the_percentiles_are_clipped_to_them(percentiles: tuple[float, float]) -> None:
    scan = a_scan()
    low, high = np.percentile(scan, percentiles)
    clipped = np.clip(scan, low, high).astype(np.float64)
    out = normalise(scan, [a_channel(percentiles=percentiles)])
    assert np.allclose(out, (clipped - clipped.mean()) / clipped.std(), atol=1e-4)


def test_one_bright_voxel_does_not_darken_the_rest() -> None:
    scan = a_scan()
    glaring = scan.copy()
    glaring[0, 0, 0, 0] = 1e7
    plain, out = normalise(scan, [a_channel()]), normalise(glaring, [a_channel()])
    assert np.abs(out - plain)[0, 1:].max() < 0.02
    assert out.max() < 4


@pytest.mark.parametrize("kind", ["zscore", "rescale"])
def test_gain_and_offset_of_the_scanner_do_not_matter(kind: str) -> None:
    plain = normalise(a_scan(), [a_channel(kind)])
    assert np.allclose(normalise(a_scan() * 16 - 2000, [a_channel(kind)]), plain, atol=1e-4)


def test_ct_uses_the_numbers_of_the_data_set_so_that_a_hounsfield_unit_always_means_the_same() -> None:
    scan = np.array([-1024, -900, -100, 100, 300, 3000], np.int16).reshape(1, 1, 1, 6)
    out = normalise(scan, [a_channel("ct", **CT)])
    assert out.ravel().tolist() == pytest.approx([-5, -5, -1, 0, 1, 1])
    alone = normalise(scan[..., 2:3], [a_channel("ct", **CT)])
    assert alone.ravel().tolist() == pytest.approx([-1])


@pytest.mark.parametrize("missing", list(CT))
def test_ct_without_its_numbers_is_refused(missing: str) -> None:
    channel = a_channel("ct", name="portal", **(CT | {missing: None}))
    with pytest.raises(InputError, match="portal is normalised as CT but has no statistics") as error:
        normalise(a_scan(), [channel])
    assert "planner" in error.value.hint


def test_rescale_fills_zero_to_one() -> None:
    scan = a_scan()
    low, high = np.percentile(scan, (0.5, 99.5))
    out = normalise(scan, [a_channel("rescale")])
    assert (out.min(), out.max()) == pytest.approx((0, 1), abs=1e-5)
    assert np.allclose(out, (np.clip(scan, low, high) - low) / (high - low), atol=1e-5)


def test_none_leaves_the_numbers_as_they_are() -> None:
    scan = a_scan()
    assert np.array_equal(normalise(scan, [a_channel("none")]), scan)
    whole = np.arange(-5, 5, dtype=np.int16).reshape(1, 1, 2, 5)
    assert np.array_equal(normalise(whole, [a_channel("none")]), whole)


@pytest.mark.parametrize("kind", ["zscore", "rescale"])
@pytest.mark.parametrize("value", [0.0, 0.1, 4095.0, -1e6])
def test_a_constant_image_becomes_zero_instead_of_infinite(kind: str, value: float) -> None:
    out = normalise(np.full((1, *SHAPE), value, np.float32), [a_channel(kind)])
    assert np.array_equal(out, np.zeros_like(out))


def test_each_channel_is_normalised_by_itself() -> None:
    scan = np.concatenate([a_scan(1), a_scan(2) * 50, a_scan(3)])
    channels = [a_channel("zscore"), a_channel("rescale"), a_channel("ct", **CT)]
    out = normalise(scan, channels)
    for index, channel in enumerate(channels):
        alone = normalise(scan[index : index + 1], [channel])
        assert np.array_equal(out[index], alone[0])


def test_the_scan_given_is_not_changed() -> None:
    scan = a_scan()
    before = scan.copy()
    normalise(scan, [a_channel()])
    assert np.array_equal(scan, before)


def test_large_scans_are_judged_by_a_subset_that_agrees_with_the_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = normalise(a_scan(), [a_channel()])
    monkeypatch.setattr(intensity, "MAXIMUM_SAMPLES", 600)
    subset = normalise(a_scan(), [a_channel()])
    assert not np.array_equal(subset, whole)
    middle = np.abs(whole) < 2
    assert np.abs(subset - whole)[middle].max() < 0.15


@pytest.mark.parametrize("count", [1, 3])
def test_the_wrong_number_of_channels_names_those_needed(count: int) -> None:
    channels = [a_channel(name="T1"), a_channel(name="FLAIR")]
    with pytest.raises(InputError, match=rf"has {count} channel\(s\), 2 are needed: T1 \(MRI\), FLAIR"):
        normalise(np.zeros((count, *SHAPE), np.float32), channels)


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
@pytest.mark.parametrize("kind", ["zscore", "rescale"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_scan_that_is_not_finite_is_refused_with_its_channel(kind: str, value: float) -> None:
    scan = np.concatenate([a_scan(), a_scan()])
    scan[1, :3] = value
    with pytest.raises(InputError, match="Channel T2 holds voxels that are not finite"):
        normalise(scan, [a_channel(kind, name="T1"), a_channel(kind, name="T2")])


def test_a_single_voxel_that_is_not_a_number_is_enough_to_refuse() -> None:
    scan = a_scan()
    scan[0, 1, 2, 3] = np.nan
    with pytest.raises(InputError, match="not finite"):
        normalise(scan, [a_channel()])


def test_percentiles_are_taken_of_no_more_voxels_than_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intensity, "MAXIMUM_SAMPLES", 1000)
    seen, plain = [], np.percentile
    monkeypatch.setattr(np, "percentile", lambda sample, q: seen.append(sample.size) or plain(sample, q))
    image = np.random.default_rng(0).normal(size=(1, 19, 10, 10)).astype(np.float32)
    normalise(image, [Channel(name="a", modality="MRI")])
    assert 500 < seen[0] <= 1000


@pytest.mark.parametrize("kind", ["zscore", "rescale"])
def test_percentiles_of_0_and_100_look_at_every_voxel(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(intensity, "MAXIMUM_SAMPLES", 7)
    scan = a_scan().astype(np.float64)
    scan[0, 3, 7, 11] = 9000
    out = normalise(scan, [a_channel(kind, percentiles=(0, 100))])
    expected = (scan - scan.mean()) / scan.std()
    if kind == "rescale":
        expected = (scan - scan.min()) / (scan.max() - scan.min())
    np.testing.assert_allclose(out, expected, atol=1e-4)


def test_within_what_is_not_zero_leaves_the_rest_at_zero() -> None:
    scan = a_scan()
    scan[0, :, 15:] = 0
    masked = a_channel(percentiles=(0, 100), within_nonzero=True)
    both = normalise(np.concatenate([scan, scan]), [masked, a_channel("none")])
    assert float(both[0, :, :15].mean()) == pytest.approx(0, abs=1e-4)
    assert float(both[0, :, :15].std()) == pytest.approx(1, abs=1e-4)
    assert not both[0, :, 15:].any()
    np.testing.assert_array_equal(both[1], scan[0])
    hidden = np.zeros(SHAPE, bool)
    hidden[:3] = True
    seen = normalise(scan, [masked], hidden)
    assert not seen[0, :3].any()
    assert float(seen[0, 3:, :15].std()) == pytest.approx(1, abs=1e-4)
