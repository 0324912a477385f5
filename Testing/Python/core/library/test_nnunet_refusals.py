"""What cannot be a model is refused in one sentence; nothing of it runs, fills the memory or reaches the library."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from harness.nnunet_folders import (
    REGIONS,
    checkpoint,
    configuration,
    dataset_json,
    exported,
    network,
    nnunet_folder,
    old_plans,
    plans_json,
)
from medcontext.cli.app import app
from medcontext.errors import InputError
from medcontext.library import ImportOptions, import_model, unpacking

Change = Callable[[dict[str, Any]], Any]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder that is all right."""
    root = tmp_path_factory.mktemp("trained")
    nnunet_folder(root, folds=(0, 1))
    return root


@pytest.fixture
def root(trained: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    shutil.copytree(trained, tmp_path / "results")
    return tmp_path / "results"


@pytest.fixture
def folder(root: Path) -> Path:
    """The folder of its training."""
    return next(root.glob("*/nnUNetTrainer__*"))


def weights(folder: Path, fold: int = 0) -> Path:
    return folder / f"fold_{fold}" / "checkpoint_final.pth"


def assert_refused(source: Path, said: str, options: ImportOptions | None = None) -> None:
    """One sentence, and an empty library."""
    with pytest.raises(InputError, match=said):
        import_model(source, options=options or ImportOptions())
    library = Path(os.environ["MEDCONTEXT_HOME"]) / "models"
    assert not library.exists() or list(library.iterdir()) == []


def rewrite(path: Path, change: Change) -> None:
    """Change what a JSON file holds."""
    data = json.loads(path.read_text(encoding="utf-8"))
    data = change(data) or data
    path.write_text(json.dumps(data), encoding="utf-8")


def in_configuration(**changes: Any) -> Change:
    return lambda plans: plans["configurations"]["3d_fullres"].update(changes)


def in_network(**changes: Any) -> Change:
    return lambda plans: plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"].update(changes)


def of_class(name: str) -> Change:
    return lambda plans: plans["configurations"]["3d_fullres"]["architecture"].update(network_class_name=name)


# ---------------------------------------------------------------- files


def test_a_folder_without_plans(folder: Path, root: Path) -> None:
    (folder / "plans.json").unlink()
    assert_refused(root, r"holds weights of an nnU-Net, but no plans\.json.*3d_fullres")
    assert_refused(folder / "fold_0", r"fold_0 holds weights of an nnU-Net, but no plans\.json")


def test_a_folder_without_what_the_labels_are(folder: Path, root: Path) -> None:
    (folder / "dataset.json").unlink()
    assert_refused(root, r"dataset\.json cannot be read")


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", '"x"', "[" * 100_000])
def test_plans_that_are_no_plans(folder: Path, root: Path, text: str) -> None:
    (folder / "plans.json").write_text(text, encoding="utf-8")
    assert_refused(root, r"plans\.json (is not valid JSON|holds no object)")


def test_one_fold_alone_says_what_is_missing(folder: Path) -> None:
    assert_refused(weights(folder), r"is one fold of an nnU-Net.*plans\.json")


def test_missing_folds(folder: Path, root: Path) -> None:
    assert_refused(root, r"holds no fold 7\. There are 0, 1\.", ImportOptions(folds=("0", "7")))
    weights(folder, 1).unlink()
    assert_refused(root, r"fold_1/checkpoint_final\.pth is missing", ImportOptions(folds=("1",)))
    weights(folder, 0).unlink()
    assert_refused(root, r"holds no weights: no fold holds a checkpoint_final\.pth")


def test_several_data_sets_at_once(root: Path) -> None:
    shutil.copytree(next(root.iterdir()), root / "Dataset005_Prostate")
    assert_refused(root, r"models of 2 data sets: Dataset004_Hippocampus, Dataset005_Prostate")


def test_folds_of_two_configurations(folder: Path, root: Path) -> None:
    data = torch.load(weights(folder, 1), weights_only=False)
    data["init_args"]["configuration"] = "3d_lowres"
    torch.save(data, weights(folder, 1))
    assert_refused(root, r"of several configurations: 3d_fullres, 3d_lowres")


# ---------------------------------------------------------------- weights


class Planted:
    """Would make a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("place", ["logging", "network_weights"])
def test_a_checkpoint_that_would_run_code_runs_nothing(
    folder: Path, root: Path, tmp_path: Path, place: str, zipped: bool
) -> None:
    data = torch.load(weights(folder), weights_only=False)
    data[place]["extra"] = Planted(tmp_path / "executed")
    torch.save(data, weights(folder), _use_new_zipfile_serialization=zipped)
    assert_refused(root, r"fold_0/checkpoint_final\.pth needs more than tensors.*it was not opened")
    assert not (tmp_path / "executed").exists()
    torch.load(weights(folder), weights_only=False)  # it would have
    assert (tmp_path / "executed").exists()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_a_checkpoint_that_is_cut_off(folder: Path, root: Path, share: float) -> None:
    content = weights(folder, 1).read_bytes()
    weights(folder, 1).write_bytes(content[: int(share * len(content))])
    assert_refused(root, r"fold_1/checkpoint_final\.pth is (damaged or )?no file of weights")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"state_dict": {}}, "is no checkpoint of nnU-Net v2"),
        ({"network_weights": {}}, "is no checkpoint of nnU-Net v2"),
        ({"network_weights": {"a": 1}}, "is no checkpoint of nnU-Net v2"),
        ([1, 2], "is no checkpoint of nnU-Net v2"),
        ({"network_weights": {"a": torch.zeros(1).expand(10**9)}}, "claims 1000000000 numbers"),
    ],
)
def test_a_file_that_is_no_checkpoint(folder: Path, root: Path, data: Any, said: str) -> None:
    torch.save(data, weights(folder))
    assert_refused(root, said)


def test_a_checkpoint_of_another_architecture(folder: Path, root: Path) -> None:
    entry = configuration("residual")
    plans = plans_json({"3d_fullres": entry})
    torch.save(checkpoint(network(entry, 1, 3).state_dict(), plans, {}), weights(folder))
    assert_refused(
        root, r"fold_0/checkpoint_final\.pth do not fit.*tensors missing.*encoder\.stages.*unexpected"
    )


def test_a_checkpoint_of_other_labels(folder: Path, root: Path) -> None:
    rewrite(folder / "dataset.json", lambda data: data["labels"].update({"Middle": 3}))
    assert_refused(root, r"do not fit.*seg_layers.*\(3, .*instead of \(4, ")


@pytest.mark.parametrize("axes", [[0, 3], ["x"], (0, 0), "xyz", {"a": 1}])
def test_mirroring_that_makes_no_sense(folder: Path, root: Path, axes: Any) -> None:
    data = torch.load(weights(folder), weights_only=False)
    torch.save(data | {"inference_allowed_mirroring_axes": axes}, weights(folder))
    assert_refused(root, "mirrors along the axes")


# ---------------------------------------------------------------- plans


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (in_configuration(previous_stage="3d_lowres"), "cascade.*cascades are not supported"),
        (
            in_configuration(normalization_schemes=["MyNormalization"]),
            "normalisation 'MyNormalization'.*not kn",
        ),
        (in_configuration(normalization_schemes=["ZScoreNormalization"] * 2), "have 2 and 1 entries"),
        (in_configuration(preprocessor_name="Mine"), "preprocessor_name"),
        (in_configuration(resampling_fn_data="resample_torch_simple"), "resampling_fn_data"),
        (in_configuration(resampling_fn_data_kwargs={"order": 2}), r"resampling_fn_data_kwargs\.order"),
        (in_configuration(resampling_fn_data_kwargs={"force_separate_z": True}), "force_separate_z"),
        (in_configuration(resampling_fn_probabilities_kwargs={"order": 3}), "otherwise than linearly"),
        (in_configuration(patch_size=[10**6] * 3), "patch_size"),
        (in_configuration(patch_size=[2048] * 3), "has 8589934592 voxels"),
        (in_configuration(patch_size=[8, 16, 15]), "cannot take a patch of 8 x 16 x 15"),
        (in_configuration(patch_size=[8, 16, 0]), "patch_size"),
        (in_configuration(spacing=[1.0, 0.0, 1.0]), "spacing"),
        (in_configuration(spacing=[1.0, float("nan"), 1.0]), "spacing"),
        (in_configuration(spacing=[1.0, 1.0]), "patch_size and spacing"),
        (in_configuration(inherits_from="3d_fullres"), "inherit from each other"),
        (in_configuration(inherits_from="nothing"), "describes no configuration 'nothing'"),
        (lambda plans: plans["configurations"].pop("3d_fullres") and None, "describes no configuration"),
        (lambda plans: plans.pop("configurations") and None, "configurations"),
        (lambda plans: plans.update(transpose_forward=[0, 0, 1]), "no order of axes"),
        (lambda plans: plans.update(label_manager="Mine"), "label_manager"),
        (of_class("os.system"), "is a os.system, which is not known here"),
        (of_class("dynamic_network_architectures.architectures.primus.Primus"), "Primus, which is not known"),
        (in_network(n_stages=10**6), "1000000 stages"),
        (in_network(n_stages=4), "4 stages and 3 numbers of features"),
        (in_network(features_per_stage=[10**9] * 3), "features_per_stage"),
        (in_network(features_per_stage=[4096] * 3, kernel_sizes=[[31] * 3] * 3), "do not fit"),
        (in_network(n_conv_per_stage=[10**6] * 3), "n_conv_per_stage"),
        (in_network(strides=[[2] * 3] * 3), "first stride"),
        (in_network(conv_op="torch.nn.modules.conv.Conv2d"), "Conv2d, which is not known"),
        (in_network(norm_op="subprocess.Popen"), "subprocess.Popen, which is not known"),
        (in_network(norm_op="torch.nn.modules.normalization.GroupNorm"), "GroupNorm, which is not known"),
        (in_network(norm_op_kwargs={"track_running_stats": True}), "running statistics"),
        (in_network(nonlin="torch.nn.GELU"), "GELU, which is not known"),
        (in_network(nonlin=None), "no activation"),
        (in_network(nonlin_kwargs={"inplace": True, "slope": 1}), "takes slope"),
        (in_network(squeeze_excitation=True), "squeeze_excitation"),
        (in_network(dropout_op="torch.nn.Dropout2d"), "Dropout2d, which is not known"),
    ],
)
def test_plans_that_say_what_is_not_known(folder: Path, root: Path, change: Change, said: str) -> None:
    rewrite(folder / "plans.json", change)
    assert_refused(root, said)


def test_intensities_that_are_needed_and_missing(folder: Path, root: Path) -> None:
    def change(plans: dict[str, Any]) -> None:
        in_configuration(normalization_schemes=["CTNormalization"])(plans)
        plans["foreground_intensity_properties_per_channel"] = {"0": {"mean": 3.0}}

    rewrite(folder / "plans.json", change)
    assert_refused(root, "intensities of channel 0.*percentile_00_5")


def test_old_plans_of_a_network_that_is_not_known(folder: Path, root: Path) -> None:
    old = old_plans(plans_json())
    old["configurations"]["3d_fullres"]["UNet_class_name"] = "MyUNet"
    (folder / "plans.json").write_text(json.dumps(old), encoding="utf-8")
    assert_refused(root, "is a MyUNet, which is not known here")


# ---------------------------------------------------------------- labels


@pytest.mark.parametrize(
    ("labels", "order", "said"),
    [
        ({"background": 0, "a": 1, "b": 3}, None, "not numbered in order: 0 background, 1 a, 3 b"),
        ({"background": 0, "a": 1, "b": 1}, None, "not numbered in order"),
        ({"a": 1, "b": 2}, None, "names no background of value 0"),
        ({"background": 1, "a": 0}, None, "names no background of value 0"),
        ({"0": "background", "1": "a"}, None, "gives the label '0' the value 'background'"),
        ({"background": 0, "a": 1.5}, None, "gives the label 'a' the value 1.5"),
        ({"background": 0, "a": -1}, None, "gives the label 'a' the value -1"),
        ({"background": 0, "a": []}, None, "gives the label 'a' the value"),
        ({"background": 0} | {f"s{n}": n for n in range(1, 300)}, None, "Label values must lie in 1..254"),
        ({"background": 0, "A": 1, "a": 2}, None, "a name of its own"),
        (REGIONS, None, "no list 'regions_class_order'"),
        (REGIONS, [1], r"holds 2 regions \(whole, Posterior\) and 1 values"),
        (REGIONS, [1, 1], "painted with the same value"),
        (REGIONS, [1, 0], "'Posterior' .*is painted as background"),
    ],
)
def test_labels_that_make_no_sense(
    folder: Path, root: Path, labels: dict[str, Any], order: list[int] | None, said: str
) -> None:
    rewrite(folder / "dataset.json", lambda _: dataset_json(labels, regions_class_order=order))
    assert_refused(root, said)


@pytest.mark.parametrize("names", [{}, {"0": "MRI", "2": "CT"}, {"1": "MRI"}])
def test_channels_that_are_not_numbered(folder: Path, root: Path, names: dict[str, str]) -> None:
    rewrite(folder / "dataset.json", lambda data: data.update(channel_names=names))
    assert_refused(root, "channels of .* are not numbered")


def test_more_channels_than_the_plans_normalise(folder: Path, root: Path) -> None:
    rewrite(folder / "dataset.json", lambda data: data.update(channel_names={"0": "T1", "1": "T2"}))
    assert_refused(root, "normalises 1 channels, and the data set has 2: T1, T2")


# ---------------------------------------------------------------- archives


def test_a_zip_with_names_that_leave_its_folder(root: Path, tmp_path: Path) -> None:
    archive = exported(root, tmp_path / "m.zip")
    with zipfile.ZipFile(archive, "a") as target:
        target.writestr("../../../evil.py", "x")  # of a kind that is not unpacked at all
    assert_refused(archive, r"'\.\./\.\./\.\./evil\.py' is not a file name allowed")
    assert not list(tmp_path.rglob("evil*"))


def test_a_zip_that_is_a_bomb(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "SAFE_BYTES", 2**20)
    archive = exported(root, tmp_path / "m.zip")
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as target:
        target.writestr("x/fold_9/checkpoint_final.pth", bytes(200 * 2**20))
    assert_refused(archive, "would grow")


def test_a_zip_that_is_cut_off(root: Path, tmp_path: Path) -> None:
    archive = exported(root, tmp_path / "m.zip")
    archive.write_bytes(archive.read_bytes()[:-200])
    assert_refused(archive, "not a zip archive or is damaged")


def test_sentences_about_a_zip_name_the_zip(folder: Path, root: Path, tmp_path: Path) -> None:
    (folder / "dataset.json").unlink()
    archive = exported(root, tmp_path / "m.zip")
    assert_refused(archive, rf"{archive}/Dataset004_Hippocampus/.*dataset\.json cannot be read")


def test_what_an_import_does_not_read_stays_packed(root: Path, tmp_path: Path) -> None:
    archive = exported(root, tmp_path / "m.zip")
    with zipfile.ZipFile(archive, "a") as target:
        for number in range(unpacking.MAXIMUM_FILES + 1):
            target.writestr(f"x/fold_0/validation/case_{number}.nii.gz", b"x")
    assert import_model(archive).folder.is_dir()


# ---------------------------------------------------------------- choices


def test_choices_that_are_none(root: Path) -> None:
    with pytest.raises(InputError, match="'XYZ' is no orientation"):
        ImportOptions(orientation="XYZ")
    for arguments, said in (
        (["--folds", "a"], "'a' names no folds"),
        (["--orientation", "ras"], "'ras' is no orientation"),
        (["--configuration", "2d"], "holds no configuration '2d'"),
        (["--labels", str(root / "nothing.json")], "does not exist"),
        (["--id", "A B"], "The id or title cannot be used"),
    ):
        result = CliRunner().invoke(app, ["model", "import", str(root), *arguments])
        assert result.exit_code == 2
        assert said in " ".join(result.output.split())


def test_a_file_of_labels_that_is_none(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    for content in ("{}", "[1]", '[{"value": 1}]', '[{"value": 1, "name": "a", "color": [1, 2]}]'):
        path.write_text(content, encoding="utf-8")
        result = CliRunner().invoke(app, ["model", "import", str(root), "--labels", str(path)])
        assert result.exit_code == 2
        assert "list of labels" in " ".join(result.output.split())


def test_models_of_ours_leave_no_choice(a_model: Path) -> None:
    with pytest.raises(InputError, match="a model of MedContext, leaves no choice of folds"):
        import_model(a_model, options=ImportOptions(folds=("0",)))
