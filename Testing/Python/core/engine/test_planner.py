"""The plan follows the data: spacing, patch, intensity, mirroring, and what fits into memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medcontext.cards import bundled_models
from medcontext.data import fingerprint
from medcontext.data.fingerprint import LabelFacts
from medcontext.data.splits import select
from medcontext.data.store import CaseStore
from medcontext.engine import memory
from medcontext.engine.laterality import flip_pairs, is_lateralised, reason_against_flips
from medcontext.engine.planner import Wishes, is_ct, make_plan
from medcontext.engine.room import physical_patch
from medcontext.errors import InputError, ResourceError
from medcontext.events import Event, Reporter
from medcontext.geometry import Geometry, Volume
from medcontext.io import write_labelmap, write_volume
from medcontext.labels import LabelSet
from medcontext.plan import Plan

Spacing = tuple[float, float, float]


def a_store(
    folder: Path,
    spacings: list[Spacing],
    shape: tuple[int, int, int] = (16, 24, 20),
    modality: str = "MRI",
    labels: dict[str, str] | None = None,
    values: Callable[[tuple[int, ...]], np.ndarray] | None = None,
) -> CaseStore:
    """One case per spacing; label 1 fills a box in the middle."""
    entries = []
    for number, spacing in enumerate(spacings):
        grid = Geometry.from_spacing(shape, spacing)
        noise = np.random.default_rng(number).normal(100, 20, (1, *shape)).astype(np.float32)
        label = np.zeros((1, *shape), np.uint8)
        label[0, 4:12, 6:18, 5:15] = 1
        image = noise if values is None else values((1, *shape))
        write_volume(folder / f"c{number}.nii.gz", Volume(image, grid))
        write_labelmap(folder / f"l{number}.nii.gz", Volume(label, grid))
        entries.append({"image": f"c{number}.nii.gz", "label": f"l{number}.nii.gz"})
    index = {
        "modality": {"0": modality},
        "labels": labels or {"0": "background", "1": "organ"},
        "training": entries,
    }
    (folder / "dataset.json").write_text(json.dumps(index))
    return CaseStore.open(folder)


def plan_of(store: CaseStore, **keys: Any) -> Plan:
    return make_plan(store, **({"size": "small", "memory_gb": 8.0} | keys))


def test_the_median_hippocampus_crop_is_seen_whole(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprint, "LABELS_LOOKED_AT", 5)
    store = CaseStore.open(shared_data / "hippocampus")
    plan = plan_of(store)
    assert plan.patch_size == (40, 56, 40)
    assert plan.spacing == (1.0, 1.0, 1.0)
    assert plan.orientation == "LPS"
    assert plan.channels[0].intensity.kind == "zscore"
    assert plan.batch_size >= 2
    assert plan.steps >= 1000
    assert plan.allowed_flips == [2]
    assert plan.flip_pairs == []
    assert plan.fingerprint.cases == 170
    few = plan_of(store, cases=select(store, 5).train)
    assert few.fingerprint.cases == 5
    assert few.preprocessing_hash() == plan.preprocessing_hash()


def test_one_case_is_enough_but_said(tmp_path: Path) -> None:
    events: list[Event] = []
    plan = plan_of(a_store(tmp_path, [(1.0, 1.0, 1.0)]), reporter=Reporter(events.append))
    assert plan.fingerprint.median_shape == (16, 24, 20)
    assert any("single case" in e["message"] for e in events if e["event"] == "warning")


def test_spacing_is_the_median_and_per_axis_ranges_are_kept(tmp_path: Path) -> None:
    store = a_store(tmp_path, [(2.0, 1.0, 1.0), (2.5, 1.2, 1.0), (1.5, 0.8, 1.0)])
    plan = plan_of(store)
    assert plan.spacing == pytest.approx((2.0, 1.0, 1.0))
    assert plan.resample.separate_z is None
    assert plan.fingerprint.spacing_range[0] == pytest.approx((1.5, 0.8, 1.0))
    assert plan.fingerprint.spacing_range[1] == pytest.approx((2.5, 1.2, 1.0))
    assert plan.fingerprint.field_of_view_range[1] == pytest.approx((40.0, 28.8, 20.0))


def test_a_coarse_axis_takes_the_tenth_percentile_and_is_spared(tmp_path: Path) -> None:
    thick = [(k, 1.0, 1.0) for k in (3.5, 4.0, 5.0, 5.0, 6.0)]
    plan = plan_of(a_store(tmp_path, thick, shape=(8, 24, 24)))
    assert plan.spacing[0] == pytest.approx(np.percentile([3.5, 4, 5, 5, 6], 10))
    assert plan.resample.separate_z == 0
    assert plan.network.kwargs["kernels"][0][0] == 1
    assert plan.network.kwargs["strides"][1][0] == 1


def test_the_coarse_axis_is_found_whatever_the_orientation(tmp_path: Path) -> None:
    """Sagittal slices: the coarse axis of the file is its first, left-right in the patient."""
    shape = (24, 24, 8)
    grid = Geometry.from_spacing(shape, (1.0, 1.0, 5.0)).permuted((2, 0, 1))
    label = np.zeros((1, *grid.shape), np.uint8)
    label[0, 2:6, 6:18, 6:18] = 1
    write_volume(
        tmp_path / "a.nii.gz", Volume(np.random.default_rng(0).random((1, *grid.shape), np.float32), grid)
    )
    write_labelmap(tmp_path / "l.nii.gz", Volume(label, grid))
    index = {
        "labels": {"1": "x"},
        "modality": {"0": "MRI"},
        "training": [{"image": "a.nii.gz", "label": "l.nii.gz"}],
    }
    (tmp_path / "dataset.json").write_text(json.dumps(index))
    plan = plan_of(CaseStore.open(tmp_path))
    assert plan.spacing == pytest.approx((1.0, 1.0, 5.0))
    assert plan.resample.separate_z == 2
    assert plan.fingerprint.median_shape == shape


def test_ct_is_clipped_to_the_percentiles_of_the_labelled_tissue(tmp_path: Path) -> None:
    def tissue(shape: tuple[int, ...]) -> np.ndarray:
        image = np.full(shape, -1000, np.float32)  # air outside of the label must not count
        image[0, 4:12, 6:18, 5:15] = np.random.default_rng(0).normal(60, 15, (8, 12, 10))
        return image

    store = a_store(tmp_path, [(1.0, 1.0, 1.0)] * 2, modality="CT", values=tissue)
    intensity = plan_of(store).channels[0].intensity
    inside = tissue((1, 16, 24, 20))[0, 4:12, 6:18, 5:15]
    assert intensity.kind == "ct"
    assert (intensity.low, intensity.high) == pytest.approx(
        tuple(np.percentile(inside, (0.5, 99.5))), abs=0.5
    )
    assert (intensity.mean, intensity.std) == pytest.approx((60, 15), abs=1.5)


@pytest.mark.parametrize(
    ("modality", "expected"),
    [
        ("CT", True),
        ("ct", True),
        ("CTA", True),
        ("CBCT", False),
        ("MRI", False),
        ("FLAIR", False),
        ("PET", False),
    ],
)
def test_only_calibrated_ct_counts_as_ct(modality: str, expected: bool) -> None:
    assert is_ct(modality) == expected


def test_a_patch_is_a_cube_in_millimetres_that_ends_where_the_image_ends() -> None:
    assert physical_patch((400, 400, 400), (1.0, 1.0, 1.0), 64**3) == (64, 64, 64)
    k, j, i = physical_patch((400, 400, 400), (4.0, 1.0, 1.0), 64**3)
    assert j == i
    assert k * 4 == pytest.approx(j, rel=0.1)
    k, j, i = physical_patch((20, 400, 400), (1.0, 1.0, 1.0), 64**3)
    assert k == 20
    assert j * i * k == pytest.approx(64**3, rel=0.05)


def test_less_memory_gives_a_smaller_patch_and_too_little_a_sentence(tmp_path: Path) -> None:
    store = a_store(tmp_path, [(1.0, 1.0, 1.0)], shape=(60, 60, 60))
    roomy, tight = plan_of(store), plan_of(store, memory_gb=0.15)
    assert np.prod(tight.patch_size) < np.prod(roomy.patch_size)
    assert tight.batch_size >= 2
    with pytest.raises(ResourceError, match="GB"):
        plan_of(store, memory_gb=0.001)


def test_an_accelerator_gets_larger_patches_and_batches(tmp_path: Path) -> None:
    store = a_store(tmp_path, [(1.0, 1.0, 1.0)], shape=(100, 100, 20))
    cpu, gpu = plan_of(store), plan_of(store, device_name="cuda", memory_gb=80.0)
    assert np.prod(gpu.patch_size) > np.prod(cpu.patch_size)
    many = a_store(tmp_path, [(1.0, 1.0, 1.0)] * 10)
    assert plan_of(many).batch_size == 2
    assert plan_of(many, device_name="cuda", memory_gb=80.0).batch_size == 2
    assert (
        plan_of(many, device_name="cuda", memory_gb=80.0, wishes=Wishes(patch_size=(8, 8, 16))).batch_size
        == 3
    )


def test_wishes_are_kept(tmp_path: Path) -> None:
    store = a_store(tmp_path, [(1.0, 1.0, 1.0)])
    wishes = Wishes().updated(
        ["spacing=[2,2,2]", "patch_size=[10,16,9]", "batch_size=3", "steps=7", "flips=[]"]
    )
    plan = plan_of(store, wishes=wishes)
    assert plan.spacing == (2.0, 2.0, 2.0)
    assert plan.fingerprint.median_shape == (8, 12, 10)
    assert all(size >= wish for size, wish in zip(plan.patch_size, (10, 16, 9), strict=True))
    assert (plan.batch_size, plan.steps, plan.allowed_flips) == (3, 7, [])
    with pytest.raises(InputError):
        Wishes().updated(["flips=[3]"])


def test_an_unknown_network_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="dynunett"):
        plan_of(a_store(tmp_path, [(1.0, 1.0, 1.0)]), network="dynunett")


def test_labels_without_a_voxel_stop_and_a_class_without_one_is_said(tmp_path: Path) -> None:
    events: list[Event] = []
    labels = {"0": "background", "1": "organ", "2": "ghost"}
    store = a_store(tmp_path, [(1.0, 1.0, 1.0)], labels=labels)
    plan_of(store, reporter=Reporter(events.append))
    assert any("'ghost'" in e["message"] for e in events if e["event"] == "warning")
    label = store.read_labels(store.cases[0])
    write_labelmap(tmp_path / "l0.nii.gz", Volume(label.array * 0, label.geometry))
    with pytest.raises(InputError, match="nothing to learn"):
        plan_of(store)


def test_scans_without_labels_can_be_planned_for(tmp_path: Path) -> None:
    store = a_store(tmp_path, [(1.0, 1.0, 1.0)], modality="CT")
    index = json.loads((tmp_path / "dataset.json").read_text())
    index["unlabelled"] = [{"image": entry["image"]} for entry in index.pop("training")]
    (tmp_path / "dataset.json").write_text(json.dumps(index))
    store.reload()
    assert plan_of(store).channels[0].intensity.mean == pytest.approx(100, abs=2)


def names(*given: str) -> LabelSet:
    return LabelSet.from_names(dict(enumerate(given, start=1)))


@pytest.mark.parametrize(
    ("labels", "pairs"),
    [
        (("kidney_left", "kidney_right"), [(1, 2)]),
        (("Right kidney", "Left kidney", "spine"), [(2, 1)]),
        (("Precentral_L", "Precentral_R", "Insula_L", "Insula_R"), [(1, 2), (3, 4)]),
        (("LeftLung", "RightLung"), [(1, 2)]),
        (("ctx-lh-insula", "ctx-rh-insula"), [(1, 2)]),
        (("vertebrae_L5", "vertebrae_L4"), []),
        (("rib_left_7", "rib_right_8"), []),
        (("anterior", "posterior"), []),
    ],
)
def test_left_and_right_of_one_structure_are_paired(
    labels: tuple[str, ...], pairs: list[tuple[int, int]]
) -> None:
    assert flip_pairs(names(*labels)) == pairs


@pytest.mark.parametrize(
    ("labels", "word"),
    [
        (("kidney_left", "kidney_right"), ""),
        (("anterior", "posterior"), ""),
        (("necrosis", "edema"), ""),
        (("kidney_left",), "partner"),
        (("kidney_left", "kidney_right", "liver"), "liver"),
        (("Left Atrium",), "partner"),
        (("atrium",), "atrium"),
        (("left lateral ventricle", "right lateral ventricle", "third ventricle"), ""),
        (("LV", "RV", "Myo"), "LV"),
        (("vertebrae_L5", "delivery"), ""),
    ],
)
def test_mirroring_is_refused_for_what_lies_on_one_side(labels: tuple[str, ...], word: str) -> None:
    reason = reason_against_flips(names(*labels))
    assert bool(reason) == bool(word)
    assert word in reason


def test_brain_ventricles_are_no_heart_chambers() -> None:
    assert not is_lateralised("3rd-Ventricle")
    assert is_lateralised("ventricle")
    assert is_lateralised("Vena_Cava")


def test_a_one_sided_set_is_not_mirrored() -> None:
    organ = names("organ")
    assert "left side only" in reason_against_flips(organ, ("Left knee", ""))
    assert reason_against_flips(organ, ("Left and right hippocampus", "")) == ""
    aside = LabelFacts(cases=5, present={1: 5}, offsets={1: [0.2, 0.3, 0.25, 0.15, 0.2]})
    assert "same side" in reason_against_flips(organ, (), aside)
    both = LabelFacts(cases=5, present={1: 5}, offsets={1: [0.2, -0.3, 0.25, 0.15, 0.2]})
    assert reason_against_flips(organ, (), both) == ""
    pair = names("kidney_left", "kidney_right")
    assert "one side only" in reason_against_flips(pair, (), LabelFacts(cases=2, present={1: 2}))


def test_the_limit_of_a_container_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("700\n")
    unlimited = memory.memory_at_hand("cpu")
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 50\n")
    assert unlimited > 1000
    assert memory.memory_at_hand("cpu") == 350
    with pytest.raises(InputError, match="not a device"):
        memory.memory_at_hand("toaster")


def test_the_command_writes_a_plan_that_reads_back(tmp_path: Path) -> None:
    import typer
    from typer.testing import CliRunner

    from medcontext.cli.plan import plan as command

    a_store(tmp_path, [(1.0, 1.0, 1.0)])
    app = typer.Typer()
    app.command()(command)
    out = tmp_path / "new" / "plan.json"
    arguments = [
        "--data",
        str(tmp_path),
        "-o",
        str(out),
        "--size",
        "small",
        "--device",
        "cpu",
        "--set",
        "steps=9",
    ]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert Plan.read(out).steps == 9


def test_the_hashes_of_plans_that_lack_later_fields_still_hold() -> None:
    folder = bundled_models() / "hippocampus"
    plan = Plan.model_validate_json((folder / "plan.json").read_text(encoding="utf-8"))
    assert "transpose" not in (folder / "plan.json").read_text(encoding="utf-8")
    card = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    assert plan.hash() == card["plan"]["hash"]
    changed = plan.model_copy(update={"crop_to_nonzero": True})
    assert changed.hash() != plan.hash()
    assert changed.preprocessing_hash() != plan.preprocessing_hash()
