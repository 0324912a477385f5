"""What a person relies on: the worker gives what the package gives, wherever the image lies in the patient."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medcontext.exchange import ExchangeFolder
from medcontext.geometry import Geometry, Volume
from medcontext.workflows.redo import redo

RequestFor = Callable[..., dict[str, Any]]


def rotated(volume: Volume) -> Volume:
    """The same voxels, placed obliquely: turned by 20 degrees, axes permuted, one running backwards."""
    cos, sin = np.cos(np.radians(20)), np.sin(np.radians(20))
    turn = np.eye(4)
    turn[:2, :2] = [[cos, -sin], [sin, cos]]
    turn[:3, 3] = [12.5, -40.25, 7.75]
    moved = volume.permute((2, 0, 1)).flip((1,))
    return Volume(np.ascontiguousarray(moved.array), Geometry(moved.shape, turn @ moved.geometry.affine))


def largest(voxels: np.ndarray, value: int) -> list[list[int]]:
    """The range of indices along each axis, the slow and simple way."""
    return [[int(axis.min()), int(axis.max()) + 1] for axis in np.nonzero(voxels == value)]


@pytest.fixture(scope="module")
def whole(crop: Volume, expected: Any) -> np.ndarray:
    """The package's own label map of the crop, which nobody changes."""
    found = expected(crop).labelmap.array[0]
    found.flags.writeable = False
    return found


@pytest.fixture(scope="module")
def of_integers(crop: Volume, expected: Any) -> np.ndarray:
    """The package's own label map of the crop with its voxels rounded."""
    return expected(Volume(np.rint(crop.array), crop.geometry)).labelmap.array[0]


def test_the_labelmap_is_the_packages_own(
    worker: Any, crop: Volume, whole: np.ndarray, request_for: RequestFor
) -> None:
    answer = worker.ask("segment", **request_for(crop))
    labelmap = worker.array(answer)
    assert labelmap.dtype == np.uint8
    np.testing.assert_array_equal(labelmap, whole)
    assert answer["certainty"] is None
    assert answer["box"] is None


def test_an_oblique_image_gives_its_own_labelmap(
    worker: Any, crop: Volume, whole: np.ndarray, expected: Any, request_for: RequestFor
) -> None:
    oblique = rotated(crop)
    labelmap = worker.array(worker.ask("segment", **request_for(oblique)))
    assert labelmap.shape == oblique.shape
    np.testing.assert_array_equal(labelmap, expected(oblique).labelmap.array[0])
    # The two networks' inputs differ only by the turn, which the model does not see.
    straight = Volume(whole[None], crop.geometry).permute((2, 0, 1)).flip((1,)).array[0]
    np.testing.assert_array_equal(labelmap, straight)


@pytest.mark.parametrize("dtype", ["<i2", ">i2", "<u2", "<i4", "<f8", ">f4"])
def test_the_type_of_the_voxels_does_not_matter(
    worker: Any, crop: Volume, of_integers: np.ndarray, request_for: RequestFor, dtype: str
) -> None:
    image = Volume(np.rint(crop.array).astype(dtype), crop.geometry)
    labelmap = worker.array(worker.ask("segment", **request_for(image)))
    np.testing.assert_array_equal(labelmap, of_integers)


def test_the_result_says_what_was_found_and_how(worker: Any, crop: Volume, request_for: RequestFor) -> None:
    answer = worker.ask("segment", **request_for(crop))
    labelmap = worker.array(answer)
    voxel_ml = float(np.prod(crop.spacing)) / 1000
    assert [label["name"] for label in answer["labels"]] == ["Anterior", "Posterior"]
    for label in answer["labels"]:
        assert label["voxels"] == np.count_nonzero(labelmap == label["value"]) > 0
        assert label["volume_ml"] == pytest.approx(label["voxels"] * voxel_ml)
        assert label["extent"] == largest(labelmap, label["value"])
        assert label["terminology"]["type"]["meaning"] == "Hippocampus"
        assert len(label["color"]) == 3
    assert answer["model"]["id"] == "hippocampus"
    assert len(answer["model"]["sha256"]) == 64
    assert set(answer["model"]) == {"id", "version", "title", "sha256", "license"}
    assert (answer["device"], answer["precision"]) == ("CPU", "fp32")
    assert set(answer["software"]) == {"medcontext", "torch", "python"}
    assert {"receive", "preprocess", "plan", "segment", "label", "send"} <= set(answer["seconds"])


def test_a_box_restricts_the_result(
    worker: Any, crop: Volume, expected: Any, request_for: RequestFor
) -> None:
    box = [[5, 25], [0, 30], [4, 99]]
    answer = worker.ask("segment", **request_for(crop, box=box))
    assert answer["box"] == box
    inside = expected(crop, box=(slice(5, 25), slice(0, 30), slice(4, 99))).labelmap.array[0]
    np.testing.assert_array_equal(worker.array(answer), inside)
    assert inside.any()
    assert not inside[:5].any()


@pytest.mark.parametrize("kind", ["entropy", "masked"])
def test_certainty_comes_with_the_labels(
    worker: Any, crop: Volume, expected: Any, request_for: RequestFor, kind: str
) -> None:
    answer = worker.ask("segment", **request_for(crop, certainty=kind))
    sure = worker.array(answer, "certainty")
    np.testing.assert_array_equal(sure, expected(crop, certainty=kind).certainty.array[0])
    assert sure.max() > 200 > 100 > sure.min()


def test_only_the_labels_wanted_come(
    worker: Any, crop: Volume, whole: np.ndarray, request_for: RequestFor
) -> None:
    answer = worker.ask("segment", **request_for(crop, labels=[2]))
    np.testing.assert_array_equal(worker.array(answer), np.where(whole == 2, 2, 0))
    assert [label["value"] for label in answer["labels"]] == [2]


def test_a_label_that_is_not_found_has_no_place(worker: Any, crop: Volume, request_for: RequestFor) -> None:
    answer = worker.ask("segment", **request_for(crop, box=[[0, 2], [0, 2], [0, 2]]))
    assert not worker.array(answer).any()
    assert [(label["extent"], label["voxels"], label["volume_ml"]) for label in answer["labels"]] == [
        (None, 0, 0)
    ] * 2


def test_little_memory_changes_no_label(
    worker: Any, crop: Volume, whole: np.ndarray, request_for: RequestFor
) -> None:
    labelmap = worker.array(worker.ask("segment", **request_for(crop, low_memory=True)))
    np.testing.assert_array_equal(labelmap, whole)


def test_channels_come_to_the_grid_of_the_first(
    worker: Any,
    crop: Volume,
    request_for: RequestFor,
    make_model: Callable[..., Path],
    folder: ExchangeFolder,
) -> None:
    model = make_model(channels=2)
    first = crop.crop((4, 6, 4), (24, 32, 24))
    same = request_for(Volume(np.concatenate([first.array, first.array + 7]), first.geometry), str(model))
    other = dict(same)
    # The same channel, but cut from the larger image: the voxels coincide after resampling.
    larger = {"array": folder.write("larger", crop.array[0] + 7).to_json(), "axis_order": "KJI"}
    other["channels"] = [same["channels"][0], {**larger, "affine": crop.geometry.affine.tolist()}]
    other_id = worker.send("segment", **other)
    np.testing.assert_array_equal(
        worker.array(worker.answer(other_id)), worker.array(worker.ask("segment", **same))
    )
    (warning,) = [event for event in worker.of(other_id) if event["event"] == "warning"]
    assert "Channel c1 was resampled to the grid of Channel c0" in warning["message"]


def test_the_second_click_finds_the_model_in_memory(
    worker: Any, crop: Volume, request_for: RequestFor
) -> None:
    worker.ask("release")
    first = worker.ask("segment", **request_for(crop))
    second_id = worker.send("segment", **request_for(crop))
    second = worker.answer(second_id)
    assert not first["warm"]
    assert "load model" in first["seconds"]
    assert second["warm"]
    assert "load model" not in second["seconds"]
    assert "load model" not in {event.get("stage") for event in worker.of(second_id)}
    np.testing.assert_array_equal(worker.array(first), worker.array(second))


def test_a_warmed_model_is_in_memory(worker: Any, crop: Volume, request_for: RequestFor) -> None:
    worker.ask("release")
    assert worker.ask("warm", model="hippocampus", device="cpu")["event"] == "result"
    assert worker.ask("segment", **request_for(crop))["warm"]
    fp32 = {"precision": "fp32"}
    assert worker.ask("warm", model="hippocampus", device="cpu", **fp32)["event"] == "result"
    assert worker.ask("segment", **request_for(crop, **fp32))["warm"]
    assert worker.ask("release")["event"] == "result"
    assert not worker.ask("segment", **request_for(crop))["warm"]


def test_two_models_stay_in_memory(
    worker: Any, crop: Volume, request_for: RequestFor, make_model: Callable[..., Path]
) -> None:
    worker.ask("release")
    names = ["hippocampus", str(make_model(name="a")), str(make_model(name="b"))]
    warm = [worker.ask("segment", **request_for(crop, names[n]))["warm"] for n in (0, 1, 0, 2, 0, 1)]
    assert warm == [False, False, True, False, True, False]


def test_a_model_that_was_trained_anew_is_read_anew(
    worker: Any, crop: Volume, request_for: RequestFor, make_model: Callable[..., Path]
) -> None:
    worker.ask("release")
    model = make_model(name="again")
    first = worker.ask("segment", **request_for(crop, str(model)))
    for file in model.iterdir():
        if file.is_file():
            file.unlink()
    make_model(name="again", labels=3)
    second = worker.ask("segment", **request_for(crop, str(model)))
    assert not second["warm"]
    assert first["model"]["sha256"] != second["model"]["sha256"]
    assert len(second["labels"]) == 3


@pytest.mark.parametrize("form", ["finer", "context", "model"])
def test_a_region_is_done_again(
    worker: Any,
    crop: Volume,
    whole: np.ndarray,
    expected: Any,
    request_for: RequestFor,
    folder: ExchangeFolder,
    form: str,
) -> None:
    region = np.zeros(crop.shape, np.uint8)
    region[10:22, 15:35, 8:24] = 3
    fields = request_for(
        crop, form=form, region=folder.write("region", region).to_json(), certainty="entropy"
    )
    answer = worker.ask("redo", **fields)
    labelmap, sure = worker.array(answer), worker.array(answer, "certainty")
    own = redo(expected.__self__, crop, region > 0, form, certainty="entropy")
    np.testing.assert_array_equal(labelmap, own.labelmap.array[0])
    np.testing.assert_array_equal(sure, own.certainty.array[0])
    assert not labelmap[region == 0].any()
    assert not sure[region == 0].any()
    assert (labelmap > 0)[region > 0].sum() > 0.5 * (whole > 0)[region > 0].sum() > 0
    assert [label["voxels"] for label in answer["labels"]] == [int((labelmap == n).sum()) for n in (1, 2)]


@pytest.mark.parametrize(
    ("region", "message"),
    [(np.zeros((31, 50, 36), np.uint8), "empty"), (np.ones((3, 4, 5), np.uint8), "(3, 4, 5)")],
    ids=["empty", "shape"],
)
def test_a_region_that_does_not_fit_is_said(
    worker: Any,
    crop: Volume,
    request_for: RequestFor,
    folder: ExchangeFolder,
    region: np.ndarray,
    message: str,
) -> None:
    fields = request_for(crop, form="finer", region=folder.write("region", region).to_json())
    error = worker.ask("redo", **fields)
    assert error["kind"] == "input"
    assert message in error["message"]
