"""What a user reads of a region: size, brightness, place, contrast; the same however large the image is."""

from __future__ import annotations

import json

import numpy as np
import pytest

from medcontext.geometry import Geometry, Volume
from medcontext.regions import bands, statistics
from medcontext.regions.extraction import regions_of
from medcontext.regions.statistics import facts_of


def an_image(clusters: np.ndarray, spacing: tuple[float, float, float] = (1, 1, 1)) -> Volume:
    """Two channels of values that tell the clusters apart, with some noise."""
    noise = np.random.default_rng(0).normal(0, 0.1, (2, *clusters.shape))
    values = np.stack([clusters * 10.0, 30000 - clusters * 5.0]) + noise
    return Volume(values.astype(np.float32), Geometry.from_spacing(clusters.shape, spacing))


@pytest.fixture
def clusters() -> np.ndarray:
    """A block of 4 x 6 pixels in the middle and a stripe at the right."""
    found = np.zeros((1, 12, 20), int)
    found[0, 4:8, 5:11], found[0, :, 17:] = 1, 2
    return found


def test_size_place_and_brightness(clusters: np.ndarray) -> None:
    image = an_image(clusters, (1.0, 0.5, 2.0))
    regions = regions_of(clusters)
    background, stripe, block = facts_of(regions, image, 0, clusters)
    assert [f.value for f in (background, stripe, block)] == [1, 2, 3]
    assert [f.cluster for f in (background, stripe, block)] == [0, 2, 1]
    assert (block.voxels, block.area_mm2, block.volume_ml) == (24, 24.0, None)
    assert block.share == pytest.approx(24 / 240)
    assert block.box == ((0, 1), (4, 8), (5, 11))
    assert block.centroid == (0, 5.5, 7.5)
    assert block.centroid_lps == (15.0, 2.75, 0.0)
    values = image.array[:, regions == 3].astype(float)
    assert block.mean == pytest.approx(values.mean(1), abs=1e-3)
    assert block.sd == pytest.approx(values.std(1), abs=1e-3)


def test_only_what_reaches_the_border_touches_it(clusters: np.ndarray) -> None:
    background, stripe, block = facts_of(regions_of(clusters), an_image(clusters), 0)
    assert (background.touches_border, stripe.touches_border, block.touches_border) == (True, True, False)
    rim = 2 * 20 + 2 * 10
    assert stripe.border_share == pytest.approx((12 + 2 * 2) / rim)
    assert background.border_share + stripe.border_share == pytest.approx(1)
    assert background.cluster is None


def test_a_volume_is_measured_in_millilitres_and_has_six_sides() -> None:
    clusters = np.zeros((10, 10, 10), int)
    clusters[0:5, 3:7, 3:7] = 1
    image = an_image(clusters, (3.0, 1.0, 1.0))
    _, block = facts_of(regions_of(clusters), image)
    assert block.volume_ml == pytest.approx(80 * 3 / 1000)
    assert block.area_mm2 is None
    assert block.touches_border
    clusters = np.roll(clusters, 2, 0)
    assert not facts_of(regions_of(clusters), an_image(clusters))[1].touches_border


def test_the_deepest_point_lies_inside_where_the_centroid_does_not() -> None:
    clusters = np.zeros((1, 40, 40), int)
    clusters[0, 5:35, 5:35], clusters[0, 5:30, 10:35] = 1, 0  # an L whose centroid lies beside it
    regions = regions_of(clusters)
    for found in facts_of(regions, an_image(clusters), 0):
        assert regions[found.deepest] == found.value
        assert found.deepest_lps == tuple(float(n) for n in found.deepest[::-1])
    corner = facts_of(regions, an_image(clusters), 0)[1]
    assert corner.deepest[1] in (31, 32)
    centre = tuple(round(n) for n in corner.centroid)
    assert regions[centre] != corner.value


def test_contrast_is_to_what_surrounds_a_region() -> None:
    values = np.zeros((1, 30, 30), int)
    values[0, :, 15:] = 8
    values[0, 5:10, 5:10], values[0, 5:10, 20:25] = 1, 4
    image = Volume(values[None].astype(np.float32), Geometry.from_spacing(values.shape))
    regions = regions_of(values, 0)
    by_value = {f.mean[0]: f for f in facts_of(regions, image, 0)}
    sd = values.std()
    assert by_value[1].contrast == pytest.approx(1 / sd)
    assert by_value[4].contrast == pytest.approx(4 / sd)


def test_an_image_of_one_region_or_of_one_value_has_no_contrast() -> None:
    one = np.ones((1, 8, 8), np.uint8)
    image = Volume(np.random.default_rng(0).random((1, 1, 8, 8)), Geometry.from_spacing((1, 8, 8)))
    assert facts_of(one, image, 0)[0].contrast == 0
    halves = one.copy()
    halves[0, 4:] = 2
    flat = Volume(np.full((1, 1, 8, 8), 3.0), image.geometry)
    assert [f.contrast for f in facts_of(halves, flat, 0)] == [0, 0]


def test_an_image_read_band_by_band_gives_the_same(
    clusters: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    regions, image = regions_of(clusters), an_image(clusters)
    whole = facts_of(regions, image, 0, clusters)
    monkeypatch.setattr(bands, "BAND_VOXELS", 50)
    monkeypatch.setattr(statistics, "BAND_VOXELS", 50)  # every third pixel is looked at for the deepest point
    for found, before in zip(facts_of(regions, image, 0, clusters), whole, strict=True):
        assert (found.voxels, found.box, found.cluster) == (before.voxels, before.box, before.cluster)
        assert found.mean == pytest.approx(before.mean)
        assert found.sd == pytest.approx(before.sd, rel=1e-4)
        assert found.centroid == pytest.approx(before.centroid)
        assert found.border_share == pytest.approx(before.border_share)
        assert regions[found.deepest] == found.value


def test_a_region_between_the_steps_still_has_a_point(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "BAND_VOXELS", 60)
    regions = np.ones((1, 30, 30), np.uint8)
    regions[0, 7, 3:9] = 2
    image = Volume(regions[None].astype(np.float32), Geometry.from_spacing(regions.shape))
    assert regions[facts_of(regions, image, 0)[1].deepest] == 2


def test_facts_are_plain_data(clusters: np.ndarray) -> None:
    facts = facts_of(regions_of(clusters), an_image(clusters), 0, clusters)
    for row in json.loads(json.dumps([found.to_json() for found in facts])):
        assert {"value", "voxels", "area_mm2", "mean", "box", "deepest", "touches_border"} <= set(row)
