"""Folders of nnU-Net v2 become models that compute what nnU-Net's own networks compute."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.nnunet_folders import (
    DATASET,
    REGIONS,
    architecture,
    configuration,
    dataset_json,
    exported,
    network,
    nnunet_folder,
    old_plans,
    plans_json,
)
from medcontext.errors import InputError
from medcontext.labels import Code, Label, LabelSet, Terminology
from medcontext.library import ImportOptions, import_model, inspect_model, load_model, verify
from medcontext.library.nnunet import convert_nnunet

IMAGE = torch.randn(1, 1, 8, 16, 16, generator=torch.Generator().manual_seed(3))


def theirs(
    folder: Path,
    outputs: int,
    name: str = "3d_fullres",
    fold: int = 0,
    plans: Mapping[str, Any] | None = None,
) -> Any:
    """The network of a fold as nnU-Net builds it."""
    plans = plans or json.loads((folder / "plans.json").read_text(encoding="utf-8"))
    built = network(plans["configurations"][name], 1, outputs)
    path = folder / f"fold_{fold}" / "checkpoint_final.pth"
    built.load_state_dict(torch.load(path, weights_only=False)["network_weights"])
    return built


def assert_same(ours: torch.nn.Module, other: torch.nn.Module, image: torch.Tensor = IMAGE) -> None:
    with torch.no_grad():
        expected = other(image.squeeze(2) if image.shape[2] == 1 else image)[0]
        assert torch.allclose(ours(image), expected.reshape(1, -1, *image.shape[2:]), atol=1e-5)


def test_a_plain_network_its_preprocessing_and_its_labels(tmp_path: Path, own_home: Path) -> None:
    folder = nnunet_folder(tmp_path)
    imported = import_model(tmp_path)
    assert imported.folder == own_home / "models" / "dataset004_hippocampus-3d_fullres"
    assert (imported.form, imported.report) == ("nnU-Net v2", None)
    model = load_model(imported.folder)
    assert_same(model.networks[0], theirs(folder, 3))
    card = model.card
    assert (card.method, card.license, card.activation) == ("imported", "CC-BY-SA 4.0", "softmax")
    assert card.title == "Hippocampus (nnU-Net 3d_fullres)"
    assert [(label.value, label.name) for label in card.label_set] == [(1, "Anterior"), (2, "Posterior")]
    spec = card.input
    assert (spec.patch_size, spec.spacing, spec.dims) == ((8, 16, 16), (1.5, 1.0, 1.0), 3)
    assert (spec.orientation, spec.transpose, spec.crop_to_nonzero) == ("stored", (0, 1, 2), True)
    assert spec.range.field_of_view is None
    assert spec.channels[0].modality == "MRI"
    assert spec.channels[0].intensity.model_dump(exclude_none=True) == {
        "kind": "zscore", "percentiles": (0, 100), "within_nonzero": False
    }  # fmt: skip
    how = card.inference
    assert (how.overlap, how.window_weight, how.flips, how.predictor) == (0.5, "nnunet", [0, 1, 2], "student")
    assert (how.resample.order, how.resample.coarse_axis, how.resample.kept_axis) == (3, "of_image", None)
    facts = card.training.config
    assert (facts["Dataset"], facts["Folds"], facts["Trainer"]) == (DATASET, "0", "nnUNetTrainer")
    assert card.training.metrics == {"validation Dice": {"fold 0": 0.8}}
    assert verify(imported.folder) == []
    assert "nnU-Net v2" in (imported.folder / "README.md").read_text(encoding="utf-8")


def test_a_residual_encoder_with_regions(tmp_path: Path) -> None:
    plans = plans_json({"3d_fullres": configuration("residual")})
    folder = nnunet_folder(tmp_path, plans, dataset_json(REGIONS, regions_class_order=[1, 2]))
    model = load_model(import_model(folder).folder)
    assert_same(model.networks[0], theirs(folder, 2))
    card = model.card
    assert (card.activation, card.regions, card.region_values) == ("sigmoid", [[1, 2], [2]], [1, 2])
    assert [(label.value, label.name) for label in card.label_set] == [(1, "whole"), (2, "Posterior")]


def test_regions_keep_the_order_in_which_they_paint(tmp_path: Path) -> None:
    labels = {"background": 0, "edge": 3, "whole": [1, 2, 3], "core": [2, 3], "ignore": 4}
    folder = nnunet_folder(tmp_path, dataset=dataset_json(labels, regions_class_order=[3, 1, 2]), outputs=3)
    card = load_model(import_model(folder).folder).card
    assert (card.regions, card.region_values) == ([[3], [1, 2, 3], [2, 3]], [3, 1, 2])
    assert {label.value: label.name for label in card.label_set} == {3: "edge", 1: "whole", 2: "core"}


def test_a_network_of_slices(tmp_path: Path) -> None:
    folder = nnunet_folder(tmp_path, plans_json({"2d": configuration(dims=2)}), name="2d")
    model = load_model(import_model(tmp_path).folder)
    assert_same(model.networks[0], theirs(folder, 3, "2d"), IMAGE[:, :, :1])
    card = model.card
    assert (card.input.dims, card.input.patch_size, card.input.spacing) == (2, (1, 16, 16), (1.5, 1.0, 1.0))
    assert (card.inference.flips, card.allowed_flips) == ([1, 2], [1, 2])
    assert card.inference.resample.kept_axis == 0


def test_folds_are_an_ensemble_and_can_be_chosen(tmp_path: Path) -> None:
    folder = nnunet_folder(tmp_path, folds=(0, 1, "all"))
    (folder / "fold_2").mkdir()
    imported = import_model(folder)
    model = load_model(imported.folder)
    assert len(model.networks) == 2
    for fold, ours in enumerate(model.networks):
        assert_same(ours, theirs(folder, 3, fold=fold))
    told = " ".join(imported.notes)
    assert "Fold 2 was left out: it holds no checkpoint_final.pth." in told
    assert "Fold all was left out" in told
    one = load_model(import_model(folder, "one", options=ImportOptions(folds=("1",))).folder)
    assert_same(one.networks[0], theirs(folder, 3, fold=1))
    assert one.card.training.metrics == {"validation Dice": {"fold 1": 0.9}}
    assert inspect_model(folder, ImportOptions(folds=("all",)))["chosen"]["folds"] == ["all"]
    assert inspect_model(folder)["choices"]["folds"] == ["0", "1", "all"]


def test_plans_written_before_the_architecture_was_among_them(tmp_path: Path) -> None:
    plans = plans_json()
    folder = nnunet_folder(tmp_path, plans, written=old_plans(plans))
    assert_same(load_model(import_model(folder).folder).networks[0], theirs(folder, 3, plans=plans))


def test_what_a_configuration_inherits_counts(tmp_path: Path) -> None:
    base = configuration() | {"spacing": [3.0, 2.0, 2.0]}
    small = {"inherits_from": "base", "patch_size": [4, 8, 8]}
    plans = plans_json({"base": base, "3d_lowres": base | small})
    written = plans_json({"base": base, "3d_lowres": small})
    nnunet_folder(tmp_path, plans, name="3d_lowres", written=written)
    card = load_model(import_model(tmp_path).folder).card
    assert (card.input.patch_size, card.input.spacing) == ((4, 8, 8), (3.0, 2.0, 2.0))


def test_every_normalisation_of_nnunet(tmp_path: Path) -> None:
    schemes = ["CT", "ZScore", "No", "RescaleTo01", "RGBTo01"]
    entry = configuration(channels=5) | {
        "normalization_schemes": [f"{scheme}Normalization" for scheme in schemes],
        "use_mask_for_norm": [False, True, False, False, False],
    }
    names = ("CT", "T1", "map", "PET", "red")
    folder = nnunet_folder(
        tmp_path, plans_json({"3d_fullres": entry}, channels=5), dataset_json(channels=names)
    )
    channels = load_model(import_model(folder).folder).card.input.channels
    ct, zscore, none, rescale, rgb = (channel.intensity for channel in channels)
    assert [channel.modality for channel in channels] == ["CT", "MRI", "unknown", "PET", "unknown"]
    assert (ct.kind, ct.low, ct.high, ct.mean, ct.std) == ("ct", 60, 700, 300, 90)
    assert (zscore.kind, zscore.percentiles, zscore.within_nonzero) == ("zscore", (0, 100), True)
    assert none.kind == "none"
    assert (rescale.kind, rescale.percentiles) == ("rescale", (0, 100))
    assert (rgb.kind, rgb.low, rgb.high, rgb.mean, rgb.std) == ("ct", 0, 255, 0, 255)


def test_axes_mirroring_and_orientation_are_those_of_the_training(tmp_path: Path) -> None:
    plans = plans_json(transpose_forward=[2, 0, 1], image_reader_writer="NibabelIOWithReorient")
    folder = nnunet_folder(tmp_path, plans, inference_allowed_mirroring_axes=None)
    spacings = {"spacings": [[3.0, 1.0, 2.0], [4.0, 0.5, 2.5]]}
    (folder / "dataset_fingerprint.json").write_text(json.dumps(spacings), encoding="utf-8")
    imported = import_model(folder)
    card = load_model(imported.folder).card
    assert (card.input.orientation, card.input.transpose) == ("RAS", (2, 0, 1))
    assert (card.inference.flips, card.allowed_flips) == ([], [])
    assert card.input.range.spacing == ((2.0, 3.0, 0.5), (2.5, 4.0, 1.0))
    assert "turned to RAS" in imported.notes[0]
    chosen = import_model(folder, "lps", options=ImportOptions(orientation="LPS"))
    assert load_model(chosen.folder).card.input.orientation == "LPS"
    assert chosen.notes == ()


def test_a_data_set_that_says_its_orientation_is_believed(tmp_path: Path) -> None:
    folder = nnunet_folder(tmp_path, plans_json())
    dataset = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    (folder / "dataset.json").write_text(json.dumps(dataset | {"image_orientation": "LPS"}), encoding="utf-8")
    assert convert_nnunet(folder, ImportOptions()).card.input.orientation == "LPS"
    assert convert_nnunet(folder, ImportOptions(orientation="stored")).card.input.orientation == "stored"
    (folder / "dataset.json").write_text(json.dumps(dataset | {"image_orientation": "up"}), encoding="utf-8")
    with pytest.raises(InputError, match="'up' is no orientation"):
        convert_nnunet(folder, ImportOptions())


def test_batch_norm_of_a_trainer_that_puts_it_in(tmp_path: Path) -> None:
    with_batch = architecture()
    with_batch["arch_kwargs"]["norm_op"] = "torch.nn.modules.batchnorm.BatchNorm3d"
    plans = plans_json({"3d_fullres": configuration(architecture=with_batch)})
    folder = nnunet_folder(tmp_path, plans, trainer="nnUNetTrainerBN", written=plans_json())
    imported = import_model(folder)
    assert_same(load_model(imported.folder).networks[0], theirs(folder, 3, plans=plans))
    assert "batch norm, unlike the plans" in " ".join(imported.notes)


def test_of_several_trainings_full_resolution_by_the_usual_trainer_comes_first(tmp_path: Path) -> None:
    both = plans_json({"2d": configuration(dims=2), "3d_fullres": configuration()})
    nnunet_folder(tmp_path, both, name="2d")
    usual = nnunet_folder(tmp_path, both)
    other = nnunet_folder(tmp_path, both, trainer="nnUNetTrainerDA5")
    found = inspect_model(tmp_path)
    names = found["choices"]["configuration"]
    assert set(names) == {usual.name, other.name, "nnUNetTrainer__nnUNetPlans__2d"}
    assert found["chosen"]["configuration"] == [usual.name] == names[:1]
    assert found["notes"][0].startswith(f"{usual.name} was taken of ")
    chosen = inspect_model(tmp_path, ImportOptions(configuration="2d"))
    assert (chosen["dims"], chosen["id"]) == (2, "dataset004_hippocampus-2d")
    assert inspect_model(tmp_path, ImportOptions(configuration=other.name))["chosen"]["configuration"] == [
        other.name
    ]
    with pytest.raises(InputError, match="holds no configuration '3d_lowres'"):
        inspect_model(tmp_path, ImportOptions(configuration="3d_lowres"))


def test_the_best_checkpoint_is_taken_where_it_is_wanted(tmp_path: Path) -> None:
    folder = nnunet_folder(tmp_path)
    (folder / "fold_0" / "checkpoint_final.pth").rename(folder / "fold_0" / "checkpoint_best.pth")
    with pytest.raises(InputError, match=r"no fold holds a checkpoint_final.pth.*--checkpoint best"):
        import_model(folder)
    card = load_model(import_model(folder, options=ImportOptions(checkpoint="best")).folder).card
    assert card.training.config["Checkpoint"] == "checkpoint_best.pth"


def test_a_zip_is_the_same_model_and_leaves_nothing_behind(tmp_path: Path, own_home: Path) -> None:
    nnunet_folder(tmp_path / "results", folds=(0, 1))
    archive = exported(tmp_path / "results", tmp_path / "hippocampus.zip")
    from_folder = load_model(import_model(tmp_path / "results", "folder").folder).card
    assert inspect_model(archive)["bytes"] == inspect_model(tmp_path / "results")["bytes"]
    from_zip = load_model(import_model(archive, "zip").folder).card
    assert from_zip.weights == from_folder.weights
    assert sorted(place.name for place in (own_home / "models").iterdir()) == ["folder", "zip"]


def test_a_look_changes_nothing_and_says_what_an_import_would_do(tmp_path: Path, own_home: Path) -> None:
    folder = nnunet_folder(tmp_path)
    found = inspect_model(folder)
    assert not (own_home / "models").exists()
    imported = import_model(folder)
    card = load_model(imported.folder).card
    assert (found["form"], found["kind"], found["id"], found["title"]) == (
        imported.form, "segmentation", card.id, card.title
    )  # fmt: skip
    assert (found["labels"], found["notes"]) == (card.labels, list(imported.notes))
    size = (imported.folder / card.weights[0].file).stat().st_size
    assert 0 < size - found["bytes"] < 20_000
    json.dumps(found)


def test_curves_kept_as_arrays_of_numpy_are_passed_over(tmp_path: Path) -> None:
    logging = {"ema": np.float32(0.5), "curve": np.arange(6.0).reshape(2, 3), "names": [np.array([1, 2])]}
    folder = nnunet_folder(tmp_path, logging=logging)
    assert_same(load_model(import_model(folder).folder).networks[0], theirs(folder, 3))


def test_labels_get_names_colours_and_codes_by_whom_it_is_said(tmp_path: Path) -> None:
    labels = {"background": 0, "spleen": 2, "liver": 1}
    folder = nnunet_folder(tmp_path, dataset=dataset_json(labels))
    proposed = load_model(import_model(folder).folder).card.label_set
    assert [(label.value, label.name) for label in proposed] == [(1, "liver"), (2, "spleen")]
    assert proposed.named("liver").terminology is not None
    mine = Label(2, "Milz", (1, 2, 3), Terminology(Code("SCT", "1", "a"), Code("SCT", "2", "b")))
    options = ImportOptions(labels=LabelSet((mine,)))
    said = load_model(import_model(folder, "said", options=options).folder).card.label_set
    assert (said.named("liver"), said.named("Milz")) == (proposed.named("liver"), mine)
    wrong = ImportOptions(labels=LabelSet.from_names({3: "kidney"}))
    with pytest.raises(InputError, match=r"no label 3.*1 liver, 2 spleen"):
        import_model(folder, options=wrong)
