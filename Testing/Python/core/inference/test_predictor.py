"""What a user relies on when a model is applied to a scan."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from medcontext.errors import CancelledError, InputError, ResourceError
from medcontext.events import Reporter
from medcontext.geometry import Geometry, Volume
from medcontext.inference import Predictor
from medcontext.inference.focus import Focus


class Sided(nn.Module):
    """Says label 1 in the left half of a window where it is bright and label 2 in the right half."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        bright = image[:, 0]
        left = torch.arange(bright.shape[-1]) >= bright.shape[-1] // 2  # i grows to the left in LPS
        return torch.stack([torch.zeros_like(bright), bright * left, bright * ~left], 1)


class Hungry(nn.Module):
    """Runs out of memory the first ``failures`` times."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.failures = failures

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        if self.failures:
            self.failures -= 1
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return torch.cat([torch.zeros_like(image), image], 1)


def recorder() -> tuple[Reporter, list[dict]]:
    events: list[dict] = []
    return Reporter(events.append), events


def warnings(events: list[dict]) -> list[str]:
    return [event["message"] for event in events if event["event"] == "warning"]


def test_probabilities_sum_to_one_and_lie_in_files(make_card, bands, cpu, noise, tmp_path) -> None:
    image = noise()
    card = make_card(4, spacing=(1.3, 0.9, 1.0))
    result = Predictor([bands], card, cpu).predict(image, probabilities_of=range(5), scratch=tmp_path)
    total = sum(array.astype(np.float32) for array in result.probabilities.values())
    np.testing.assert_allclose(total, 1, atol=3e-3)
    for array in result.probabilities.values():
        assert isinstance(array, np.memmap)
        assert array.dtype == np.float16
        assert array.shape == image.shape
    assert len({array.filename for array in result.probabilities.values()}) == 5
    on_disk = np.memmap(result.probabilities[2].filename, np.float16, "r", shape=image.shape)
    np.testing.assert_array_equal(on_disk, result.probabilities[2])


def test_probability_files_without_a_folder_leave_nothing_behind(
    make_card, threshold, cpu, noise, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    result = Predictor([threshold], make_card(), cpu).predict(noise(), probabilities_of=[1])
    assert result.probabilities[1].max() > 0.5
    assert list(tmp_path.iterdir()) == []


def test_probabilities_of_an_unknown_label(make_card, threshold, cpu, noise) -> None:
    with pytest.raises(InputError, match=r"label 9.*It knows 0, 1"):
        Predictor([threshold], make_card(), cpu).predict(noise(), probabilities_of=[9])


def test_mirrored_copies_swap_left_and_right_labels(make_card, cpu, noise) -> None:
    """The network is mirror symmetric up to sides, so that averaging over mirrored copies changes nothing."""
    image = noise((8, 8, 8))
    plain = Predictor([Sided()], make_card(2), cpu).predict(image).labelmap.array
    assert set(np.unique(plain)) == {0, 1, 2}
    swapping = make_card(2, inference={"flips": [0, 2]}, flip_pairs=[(1, 2)])
    np.testing.assert_array_equal(Predictor([Sided()], swapping, cpu).predict(image).labelmap.array, plain)
    forgetful = make_card(2, inference={"flips": [0, 2]})
    assert (Predictor([Sided()], forgetful, cpu).predict(image).labelmap.array != plain).any()


def test_the_left_right_axis_follows_the_orientation_of_the_model(make_card, cpu, noise) -> None:
    """In PSL the slices of the array, axis 0, run from left to right."""
    image = noise((8, 8, 8))

    class SidedSlices(Sided):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return super().forward(image.movedim(2, 4)).movedim(4, 2)

    plain = make_card(2, orientation="PSL")
    swapping = make_card(2, orientation="PSL", inference={"flips": [0]}, flip_pairs=[(1, 2)])
    expected = Predictor([SidedSlices()], plain, cpu).predict(image).labelmap.array
    given = Predictor([SidedSlices()], swapping, cpu).predict(image).labelmap.array
    np.testing.assert_array_equal(given, expected)


def test_an_ensemble_averages_scores(make_card, cpu, noise) -> None:
    """Two members prefer label 1 by little, one background by much: the mean score decides, not a vote."""

    class Constant(nn.Module):
        def __init__(self, scores: list[float]) -> None:
            super().__init__()
            self.scores = scores

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return torch.cat([torch.full_like(image, score) for score in self.scores], 1)

    members = [Constant([0.0, 1.0]), Constant([0.0, 1.0]), Constant([5.0, 0.0])]
    assert not Predictor(members, make_card(), cpu).predict(noise()).labelmap.array.any()


def test_only_labels_named_in_the_card_lose_their_small_pieces(make_card, bands, cpu) -> None:
    array = np.full((1, 6, 6, 20), -2.0, np.float32)
    array[..., :3], array[0, 0, 0, 6], array[..., 9:12], array[0, 0, 0, 15] = 0, 0, 1, 1
    card = make_card(4, inference={"postprocess": {"largest_component": [2]}})
    image = Volume(array, Geometry.from_spacing((6, 6, 20)))
    labels = Predictor([bands], card, cpu).predict(image).labelmap.array[0]
    assert labels[0, 0, 6] == 0
    assert labels[0, 0, 15] == 3
    assert (labels[..., :3] == 2).all()


@pytest.mark.usefixtures("unmeasured")
def test_windows_of_one_and_the_same_constant_are_computed_once(make_card, threshold, cpu) -> None:
    array = np.zeros((1, 8, 8, 64), np.float32)
    array[..., 60:] = 1
    image = Volume(array, Geometry.from_spacing((8, 8, 64)))
    labels = Predictor([threshold], make_card(), cpu, "fp32").predict(image).labelmap.array
    np.testing.assert_array_equal(labels, array > 0)
    assert threshold.calls == 2  # of 15 windows one holds the edge, fourteen are air


def test_a_scan_far_larger_than_trained_asks_for_a_region(make_card, threshold, cpu) -> None:
    card = make_card(field_of_view=(40.0, 50.0, 35.0))
    image = Volume(np.zeros((1, 90, 110, 60), np.float32), Geometry.from_spacing((90, 110, 60)))
    with pytest.raises(InputError) as caught:
        Predictor([threshold], card, cpu).predict(image)
    assert "60 x 110 x 90 mm" in str(caught.value)
    assert "35 x 50 x 40 mm" in str(caught.value)
    assert "region of interest" in str(caught.value)
    with pytest.raises(InputError, match=r"The region measures 60 x 110 x 90 mm.*Choose a smaller region"):
        Predictor([threshold], card, cpu).predict(image, box=(slice(0, 90), slice(0, 110), slice(0, 60)))
    with pytest.raises(InputError, match=r"The region measures 60 x 110 x 90 mm"):
        Predictor([threshold], card, cpu).predict(image, focus=Focus(np.ones(image.shape, bool)))
    # Long along one axis only: a leg, a spine. That is for the user to judge.
    long = Volume(np.zeros((1, 90, 20, 20), np.float32), Geometry.from_spacing((90, 20, 20)))
    Predictor([threshold], card, cpu).predict(long)


def test_the_trained_size_is_compared_along_anatomical_axes(make_card, threshold, cpu) -> None:
    """The same crop stored with other axes first is as good as before."""
    card = make_card(field_of_view=(10.0, 20.0, 200.0))
    affine = np.array([[0, 0, 1.0, 0], [1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 0, 1]])
    image = Volume(np.zeros((1, 150, 10, 18), np.float32), Geometry((150, 10, 18), affine))
    assert Predictor([threshold], card, cpu).predict(image).labelmap.shape == (150, 10, 18)


def test_unusual_spacing_is_warned_of(make_card, threshold, cpu) -> None:
    reporter, events = recorder()
    image = Volume(np.zeros((1, 3, 8, 8), np.float32), Geometry.from_spacing((3, 8, 8), (9.0, 1.0, 1.0)))
    Predictor([threshold], make_card(), cpu).predict(image, reporter=reporter)
    assert "1 x 1 x 9 mm" in warnings(events)[0]


def test_the_wrong_number_of_channels_names_those_needed(make_card, threshold, cpu, noise) -> None:
    with pytest.raises(InputError, match=r"has 1 channel.*needs 2.*: c0 \(MRI\), c1 \(MRI\)"):
        Predictor([threshold], make_card(channels=2), cpu).predict(noise())


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_voxels_that_are_not_finite_are_refused(make_card, threshold, cpu, noise, value) -> None:
    image = noise()
    image.array[0, 3, 3, 3] = value
    with pytest.raises(InputError, match="not finite"):
        Predictor([threshold], make_card(), cpu).predict(image)


def test_a_network_that_does_not_fit_the_card(make_card, threshold, cpu, noise) -> None:
    with pytest.raises(InputError, match="2 channels"):
        Predictor([threshold], make_card(3), cpu).predict(noise())


@pytest.mark.usefixtures("unmeasured")
def test_stopping_takes_effect_before_the_next_window(make_card, threshold, cpu, noise) -> None:
    reporter = Reporter(cancelled=lambda: threshold.calls >= 2)
    with pytest.raises(CancelledError):
        Predictor([threshold], make_card(), cpu, "fp32").predict(noise((64, 8, 8)), reporter=reporter)
    assert threshold.calls == 2


def test_progress_of_each_stage_ends_at_one(make_card, threshold, cpu, noise) -> None:
    reporter, events = recorder()
    result = Predictor([threshold], make_card(), cpu).predict(noise((32, 8, 8)), reporter=reporter)
    progress = [(e["stage"], e["value"]) for e in events if e["event"] == "progress"]
    for stage in ("preprocess", "segment", "label"):
        values = [value for name, value in progress if name == stage]
        assert values == sorted(values)
        assert values[0] == 0
        assert values[-1] == 1
        assert result.seconds[stage] > 0


def test_less_memory_is_tried_and_said(make_card, cpu, noise) -> None:
    reporter, events = recorder()
    image = noise()
    result = Predictor([Hungry(1)], make_card(), cpu).predict(image, reporter=reporter)
    np.testing.assert_array_equal(result.labelmap.array, image.array > 0)
    assert "Memory ran out on CPU" in warnings(events)[0]


def test_no_memory_at_all_is_a_resource_error(make_card, cpu, noise) -> None:
    with pytest.raises(ResourceError, match="Memory ran out"):
        Predictor([Hungry(99)], make_card(), cpu).predict(noise())


def test_a_slab_larger_than_memory_is_not_begun(make_card, threshold, cpu, noise, monkeypatch) -> None:
    monkeypatch.setattr("medcontext.inference.run.free_memory", lambda _device: 1000)
    with pytest.raises(ResourceError):
        Predictor([threshold], make_card(), cpu).predict(noise())
    assert threshold.calls == 0


def test_a_full_disk_is_a_resource_error(make_card, threshold, cpu, noise, monkeypatch, tmp_path) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(ResourceError, match="no room"):
        Predictor([threshold], make_card(), cpu).predict(noise(), probabilities_of=[1], scratch=tmp_path)


def test_a_model_without_networks(make_card, cpu) -> None:
    with pytest.raises(InputError, match="no weights"):
        Predictor([], make_card(), cpu)
