"""Regions of an image in memory: what they are, where they lie, and that they can be stopped and repeated."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medcontext.errors import CancelledError, InputError
from medcontext.events import Event, Reporter
from medcontext.geometry import Geometry, Volume
from medcontext.methods.s3net.config import S3NetConfig
from medcontext.workflows.network_clusters import largest_logits
from medcontext.workflows.proposal import LEAST_REGION, Proposal, ProposalOptions, propose_regions

SUPERPIXELS = ProposalOptions(method="superpixels")


def inside_of(image: Volume) -> np.ndarray:
    return image.array[0] > 110


@pytest.fixture(scope="module")
def learnt(disc: Volume, small: S3NetConfig) -> Proposal:
    return propose_regions(disc, ProposalOptions(config=small, device="cpu"))


def test_every_pixel_has_a_region_and_every_region_its_facts(learnt: Proposal, disc: Volume) -> None:
    assert learnt.regions.dtype == np.uint8
    assert learnt.regions.shape == disc.shape
    sizes = np.bincount(learnt.regions.ravel())
    assert sizes[0] == 0
    assert [fact.voxels for fact in learnt.facts] == sizes[1:].tolist()
    assert sizes[1:].min() >= LEAST_REGION
    assert [fact.value for fact in learnt.facts] == list(range(1, len(sizes)))
    assert 1 <= learnt.iterations <= 5
    assert learnt.reduced == ""


def test_the_same_seed_gives_the_same_regions(learnt: Proposal, disc: Volume, small: S3NetConfig) -> None:
    torch.rand(3)  # what happened before does not matter
    again = propose_regions(disc, ProposalOptions(config=small, device="cpu"))
    np.testing.assert_array_equal(again.regions, learnt.regions)


def test_superpixels_find_a_disc_that_nobody_could_miss(disc: Volume) -> None:
    pytest.importorskip("skimage")
    found = propose_regions(disc, SUPERPIXELS)
    mask, why = found.foreground("largest")
    truth = inside_of(disc)
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.9
    assert "do not touch the border" in why
    np.testing.assert_array_equal(found.foreground("seeds", [(0, 20, 24)])[0], mask)


def test_a_seed_outside_of_the_image_is_one_sentence(learnt: Proposal) -> None:
    for seed in ((0, 40, 3), (0, 3, 48), (1, 3, 3), (0, -1, 3)):
        with pytest.raises(InputError, match=r"lies outside of the image, .* to \(0, 39, 47\)"):
            learnt.foreground("seeds", [seed])
    with pytest.raises(InputError, match="needs a seed"):
        learnt.foreground("seeds")


def test_facts_can_be_told_as_those_of_a_larger_image(learnt: Proposal) -> None:
    plain = learnt.facts_from((0, 0, 0))
    moved = learnt.facts_from((7, 100, 200))
    for here, there in zip(plain, moved, strict=True):
        assert np.subtract(there["deepest"], here["deepest"]).tolist() == [7, 100, 200]
        np.testing.assert_allclose(np.subtract(there["centroid"], here["centroid"]), [7, 100, 200])
        assert np.subtract(there["box"], here["box"]).tolist() == [[7, 7], [100, 100], [200, 200]]
        assert there["deepest_lps"] == here["deepest_lps"]
        assert there["mean"] == here["mean"]


def test_each_iteration_is_told(disc: Volume, small: S3NetConfig) -> None:
    events: list[Event] = []
    found = propose_regions(disc, ProposalOptions(config=small, device="cpu"), Reporter(events.append))
    told = [event for event in events if event["event"] == "progress" and event["stage"] == "propose"]
    assert {event["step"] for event in told} == set(range(found.iterations + 1))
    assert told[-1]["value"] == 1
    assert all(event["clusters"] > 0 for event in told if event["step"])


def test_it_stops_between_iterations(disc: Volume, small: S3NetConfig) -> None:
    events: list[Event] = []

    def cancelled() -> bool:
        return any(event.get("step") == 2 for event in events if event["event"] == "progress")

    with pytest.raises(CancelledError):
        propose_regions(disc, ProposalOptions(config=small, device="cpu"), Reporter(events.append, cancelled))
    assert max(event.get("step", 0) for event in events) == 2


def test_a_volume_has_regions_without_deformation(ball: Volume, small: S3NetConfig) -> None:
    found = propose_regions(ball, ProposalOptions(config=small, device="cpu"))
    assert found.regions.shape == ball.shape
    assert found.regions.min() == 1
    assert all(fact.area_mm2 is None for fact in found.facts)
    total = sum(fact.volume_ml or 0 for fact in found.facts)
    assert total == pytest.approx(found.regions.size * ball.geometry.voxel_ml)


def test_a_slice_lies_where_it_was_cut(ball: Volume, small: S3NetConfig) -> None:
    slab = ball.crop((0, 12, 0), (20, 1, 22))
    found = propose_regions(slab, ProposalOptions(config=small, device="cpu"))
    assert found.regions.shape == (20, 1, 22)
    for fact in found.facts:
        expected = slab.geometry.index_to_lps(np.array(fact.deepest))
        np.testing.assert_allclose(fact.deepest_lps, expected)
        assert fact.area_mm2 == pytest.approx(fact.voxels * 2.0 * 0.8)


def test_a_reduced_copy_gives_regions_of_the_image(small: S3NetConfig) -> None:
    grey = np.zeros((1, 1, 60, 2500), np.uint8)
    grey[..., 10:50, 500:2000] = 200
    image = Volume(grey, Geometry.from_spacing((1, 60, 2500)))
    events: list[Event] = []
    found = propose_regions(image, ProposalOptions(config=small, device="cpu"), Reporter(events.append))
    assert found.regions.shape == image.shape
    assert "2500 x 60 pixels was reduced" in found.reduced
    assert [event["message"] for event in events if event["event"] == "warning"] == [found.reduced]
    assert [fact.voxels for fact in found.facts] == np.bincount(found.regions.ravel())[1:].tolist()
    assert max(fact.box[2][1] for fact in found.facts) == 2500
    mask, _ = found.foreground("seeds", [(0, 30, 1200)])
    assert mask.shape == image.shape
    assert mask[0, 30, 1200]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (ProposalOptions(method="magic"), "'magic'"),  # type: ignore[arg-type]
        (ProposalOptions(preset="paper"), "no preset 'paper'"),
        (ProposalOptions(device="cpu:7"), "no device 'cpu:7'"),
        (ProposalOptions(seed=-1), "seed -1 is negative"),
        (ProposalOptions(method="superpixels", clusters=1), "at least 2 clusters"),
    ],
)
def test_options_that_cannot_be_followed_are_one_sentence(
    disc: Volume, options: ProposalOptions, sentence: str
) -> None:
    if options.clusters is not None:
        pytest.importorskip("skimage")
    with pytest.raises(InputError, match=sentence):
        propose_regions(disc, options)


@pytest.mark.parametrize("shape", [[20, 31], [7, 40], [3, 9, 5], [12, 14, 16]])
def test_bands_of_logits_are_what_all_of_them_would_be(
    shape: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    coarse = [7, 9] if len(shape) == 2 else [3, 4, 5]
    logits = torch.randn(6, *coarse, generator=torch.Generator().manual_seed(0))
    mode = "bilinear" if len(shape) == 2 else "trilinear"
    whole = torch.nn.functional.interpolate(logits[None], shape, mode=mode, align_corners=False)[0]
    monkeypatch.setattr("medcontext.workflows.network_clusters._BAND_NUMBERS", 6 * 31 * 3)
    found = largest_logits(logits, shape)
    best = whole.gather(0, torch.from_numpy(found.astype(np.int64))[None])[0]
    assert torch.allclose(best, whole.max(0).values, atol=1e-5)
