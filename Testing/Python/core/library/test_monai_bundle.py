"""Others can load and run an exported model with MONAI alone, and get what we get."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from medcontext import networks
from medcontext.card_schema import InferenceSpec, ModelCard, Postprocess
from medcontext.devices import choose_device
from medcontext.errors import InputError
from medcontext.geometry import Geometry, Volume
from medcontext.inference.predictor import Predictor
from medcontext.library import export_monai_bundle, load_model, save_model
from medcontext.plan import Channel, Intensity, NetworkSpec

pytest.importorskip("nibabel", reason="MONAI reads NIfTI with nibabel")
pytestmark = pytest.mark.filterwarnings("ignore")

CT = Intensity(kind="ct", low=-2.0, high=2.0, mean=0.1, std=0.9)


def saved(folder: Path, card: ModelCard, seed: int = 0) -> Path:
    """A model with random weights that draw smooth, large regions."""
    torch.manual_seed(seed)
    network = networks.build(card.network, len(card.input.channels), card.classes)
    save_model(folder, card, [network.state_dict()])
    return folder


def with_network(card: ModelCard, name: str, patch: tuple[int, int, int]) -> ModelCard:
    kwargs = networks.default_kwargs(name, patch, (1.0, 1.0, 1.0), "small")
    spec = card.input.model_copy(update={"patch_size": patch})
    return card.model_copy(update={"network": NetworkSpec(name=name, kwargs=kwargs), "input": spec})


def with_input(card: ModelCard, **changes: Any) -> ModelCard:
    return card.model_copy(update={"input": card.input.model_copy(update=changes)})


def an_image(shape: tuple[int, int, int], spacing: tuple[float, float, float], seed: int = 0) -> Volume:
    """Smooth noise on an oblique grid whose axes are permuted and flipped."""
    from scipy import ndimage

    noise = np.random.default_rng(seed).standard_normal(shape)
    array = ndimage.gaussian_filter(noise, 2).astype(np.float32)
    angle = np.deg2rad(8)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    axes = np.array(
        [[0.0, -1.0, 0.0], [0.0, 0.0, 1.0], [-1.0, 0.0, 0.0]]
    )  # columns: i to -S, j to -L, k to +P
    affine = np.eye(4)
    affine[:3, :3] = turn @ axes * np.array(spacing[::-1])
    affine[:3, 3] = (12.0, -30.0, 41.0)
    return Volume((array / array.std())[None], Geometry(shape, affine))


def write(path: Path, image: Volume) -> None:
    path.parent.mkdir(exist_ok=True)
    file, geometry = sitk.GetImageFromArray(image.array[0]), image.geometry
    file.SetSpacing(geometry.spacing[::-1])
    file.SetOrigin(geometry.origin)
    file.SetDirection(geometry.direction.ravel())
    sitk.WriteImage(file, str(path))


def read_labels(path: Path, like: Volume) -> np.ndarray:
    """The labels of a file, which must lie on the grid of the image."""
    file = sitk.ReadImage(str(path))
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(file.GetDirection(), (3, 3)) * file.GetSpacing()
    affine[:3, 3] = file.GetOrigin()
    assert Geometry(file.GetSize()[::-1], affine).same_grid(like.geometry)
    return sitk.GetArrayFromImage(file)


def our_labels(model: Path, image: Volume) -> np.ndarray:
    loaded = load_model(model)
    return (
        Predictor(loaded.networks, loaded.card, choose_device("cpu"), "fp32").predict(image).labelmap.array[0]
    )


def run_bundle(bundle: Path, images: Path, output: Path) -> None:
    from monai.bundle import run

    config = str(bundle / "configs" / "inference.json")
    run(config_file=config, bundle_root=str(bundle), dataset_dir=str(images), output_dir=str(output))


@pytest.mark.parametrize(
    ("name", "patch"),
    [
        ("dynunet", (16, 16, 16)),
        ("segresnet", (16, 16, 16)),
        ("mednext", (16, 16, 16)),
        ("unetr", (32, 16, 16)),
        ("swin_unetr", (64, 32, 32)),
    ],
)
def test_monai_loads_a_network_that_computes_the_same(
    tmp_path: Path, a_card: ModelCard, name: str, patch: tuple[int, int, int]
) -> None:
    from monai.bundle import load

    model = saved(tmp_path / "model", with_network(a_card, name, patch))
    export_monai_bundle(model, tmp_path / "bundle")
    theirs = load("bundle", bundle_dir=tmp_path, workflow_type="inference", device="cpu").eval()
    image = torch.randn(1, 1, *patch)
    with torch.no_grad():
        expected = load_model(model).networks[0](image)
        torch.testing.assert_close(theirs(image), expected, rtol=1e-4, atol=1e-4)
    assert type(theirs).__module__.startswith("monai.networks.nets")


def test_a_network_of_our_own_travels_as_torchscript(tmp_path: Path, a_card: ModelCard) -> None:
    from monai.bundle import load

    patch = (16, 16, 16)
    model = saved(tmp_path / "model", with_network(a_card, "nnformer", patch))
    export_monai_bundle(model, tmp_path / "bundle")
    assert not (tmp_path / "bundle" / "models" / "model.pt").exists()
    theirs, facts, _ = load("bundle", bundle_dir=tmp_path, load_ts_module=True, device="cpu")
    image = torch.randn(1, 1, *patch)
    with torch.no_grad():
        torch.testing.assert_close(theirs(image), load_model(model).networks[0](image), rtol=1e-4, atol=1e-4)
    assert facts["network_data_format"]["inputs"]["image"]["spatial_shape"] == [16, 16, 16]
    config = json.loads((tmp_path / "bundle" / "configs" / "inference.json").read_text())
    # A trace keeps the device on which its attention masks were made.
    assert ('value="cpu"' in str(theirs.inlined_graph)) == (config["device"] == "$torch.device('cpu')")
    write(tmp_path / "images" / "case.nii.gz", an_image((18, 16, 17), (1.0, 1.0, 1.0)))
    run_bundle(tmp_path / "bundle", tmp_path / "images", tmp_path / "out")
    assert (tmp_path / "out" / "case_seg.nii.gz").is_file()


@pytest.mark.parametrize(
    ("kind", "shape", "spacing", "agreement"),
    [
        (Intensity(), (15, 12, 16), (1.0, 1.0, 1.0), 0.998),
        (CT, (15, 12, 16), (1.0, 1.0, 1.0), 0.998),
        (Intensity(kind="rescale"), (15, 12, 16), (1.0, 1.0, 1.0), 0.998),
        (Intensity(kind="none"), (15, 12, 16), (1.0, 1.0, 1.0), 0.998),
        (Intensity(), (15, 24, 20), (1.0, 1.0, 1.0), 0.95),
        (Intensity(), (15, 24, 20), (0.8, 1.25, 1.6), 0.9),
    ],
    ids=["zscore", "ct", "rescale", "none", "several windows", "other spacing"],
)
def test_the_bundle_draws_the_labels_that_we_draw(
    tmp_path: Path,
    a_card: ModelCard,
    kind: Intensity,
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    agreement: float,
) -> None:
    """Equal but for ties in one window; the blending of windows and resampling differ a little.

    An untrained network is the hardest case: its logits are nearly the same for all classes everywhere.
    """
    card = with_input(a_card, channels=[Channel(name="T1", modality="MRI", intensity=kind)])
    model = saved(tmp_path / "model", card)
    image = an_image(shape, spacing)
    write(tmp_path / "images" / "case.nii.gz", image)
    export_monai_bundle(model, tmp_path / "bundle")
    run_bundle(tmp_path / "bundle", tmp_path / "images", tmp_path / "out")
    theirs = read_labels(tmp_path / "out" / "case_seg.nii.gz", image)
    assert set(np.unique(theirs)) <= {0, 1, 4}
    assert len(np.unique(theirs)) > 1
    assert (theirs == our_labels(model, image)).mean() >= agreement


def test_channels_may_be_normalised_each_in_its_way(tmp_path: Path, a_card: ModelCard) -> None:
    channels = [
        Channel(name="CT", modality="CT", intensity=CT),
        Channel(name="T1", modality="MRI"),
    ]
    model = saved(tmp_path / "model", with_input(a_card, channels=channels))
    images = [an_image((14, 16, 12), (1.0, 1.0, 1.0), seed) for seed in range(2)]
    for index, image in enumerate(images):
        write(tmp_path / "images" / f"case_{index:04d}.nii.gz", image)
    export_monai_bundle(model, tmp_path / "bundle")
    run_bundle(tmp_path / "bundle", tmp_path / "images", tmp_path / "out")
    (result,) = (tmp_path / "out").iterdir()
    both = Volume(np.concatenate([image.array for image in images]), images[0].geometry)
    theirs = read_labels(result, both)
    assert (theirs == our_labels(model, both)).mean() >= 0.998


def test_largest_components_are_kept(tmp_path: Path, a_card: ModelCard) -> None:
    from scipy import ndimage

    pytest.importorskip("skimage", reason="MONAI finds connected components with scikit-image")
    inference = InferenceSpec(postprocess=Postprocess(largest_component=[4]))
    model = saved(tmp_path / "model", a_card.model_copy(update={"inference": inference}))
    image = an_image((16, 16, 16), (1.0, 1.0, 1.0))
    write(tmp_path / "images" / "case.nii.gz", image)
    export_monai_bundle(model, tmp_path / "bundle")
    run_bundle(tmp_path / "bundle", tmp_path / "images", tmp_path / "out")
    labels = read_labels(tmp_path / "out" / "case_seg.nii.gz", image)
    assert ndimage.label(labels == 4, np.ones((3, 3, 3)))[1] == 1


class Blocker:
    """Makes some packages impossible to import."""

    def __init__(self, *packages: str) -> None:
        self.packages = packages

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:  # noqa: ARG002
        if name.split(".")[0] in self.packages:
            raise ModuleNotFoundError(name)


def test_the_bundle_runs_where_this_package_is_not_installed(
    tmp_path: Path, a_card: ModelCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = saved(tmp_path / "model", a_card)
    write(tmp_path / "images" / "case.nii.gz", an_image((16, 16, 16), (1.0, 1.0, 1.0)))
    export_monai_bundle(model, tmp_path / "bundle")
    for name in [name for name in sys.modules if name.split(".")[0] in ("medcontext", "ignite")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Blocker("medcontext", "ignite"), *sys.meta_path])
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("medcontext")
    run_bundle(tmp_path / "bundle", tmp_path / "images", tmp_path / "out")
    assert (tmp_path / "out" / "case_seg.nii.gz").is_file()


def test_the_bundle_says_what_it_is(tmp_path: Path, a_model: Path) -> None:
    export_monai_bundle(a_model, tmp_path / "bundle", torchscript=True)
    facts = json.loads((tmp_path / "bundle" / "configs" / "metadata.json").read_text())
    output = facts["network_data_format"]["outputs"]["pred"]
    assert output["channel_def"] == {"0": "background", "1": "anterior", "2": "posterior"}
    assert facts["network_data_format"]["inputs"]["image"]["modality"] == "MR"
    assert [entry["value"] for entry in facts["labels"]] == [1, 4]
    assert "CC-BY-SA-4.0" in (tmp_path / "bundle" / "LICENSE").read_text()
    readme = (tmp_path / "bundle" / "docs" / "README.md").read_text(encoding="utf-8")
    assert "monai.bundle run" in readme
    assert "anterior" in readme
    assert (
        torch.jit.load(str(tmp_path / "bundle" / "models" / "model.ts"))(torch.zeros(1, 1, 16, 16, 16)).shape[
            1
        ]
        == 3
    )


def test_a_bundle_that_keeps_largest_components_says_what_it_needs(tmp_path: Path, a_card: ModelCard) -> None:
    inference = InferenceSpec(postprocess=Postprocess(largest_component=[4]))
    model = saved(tmp_path / "model", a_card.model_copy(update={"inference": inference}))
    configs = export_monai_bundle(model, tmp_path / "bundle") / "configs"
    assert "scikit-image" in json.loads((configs / "metadata.json").read_text())["required_packages_version"]
    steps = json.loads((configs / "inference.json").read_text())["postprocessing"]["transforms"]
    (step,) = [step for step in steps if step["_target_"] == "KeepLargestConnectedComponentd"]
    assert step["applied_labels"] == [4]


def test_monai_checks_the_network_against_the_metadata(tmp_path: Path, a_model: Path) -> None:
    from monai.bundle import verify_net_in_out

    bundle = export_monai_bundle(a_model, tmp_path / "bundle")
    meta, config = (str(bundle / "configs" / f"{name}.json") for name in ("metadata", "inference"))
    verify_net_in_out("network_def", meta_file=meta, config_file=config, device="cpu")


def test_monai_drives_the_bundle_by_the_names_of_its_parts(tmp_path: Path, a_model: Path) -> None:
    from monai.bundle import ConfigWorkflow

    bundle = export_monai_bundle(a_model, tmp_path / "bundle")
    write(tmp_path / "images" / "case.nii.gz", an_image((16, 16, 16), (1.0, 1.0, 1.0)))
    workflow = ConfigWorkflow(
        config_file=str(bundle / "configs" / "inference.json"),
        meta_file=str(bundle / "configs" / "metadata.json"),
        logging_file=False,
        workflow_type="inference",
        bundle_root=str(bundle),
        dataset_dir=str(tmp_path / "images"),
        output_dir=str(tmp_path / "out"),
    )
    workflow.initialize()
    parts = {
        name: getattr(workflow, name) for name in workflow.properties if name != "evaluator"
    }  # needs ignite
    needed = [name for name, facts in workflow.properties.items() if facts["required"] and name in parts]
    assert [name for name in needed if parts[name] is None] == []
    assert parts["channel_def"] == {"0": "background", "1": "anterior", "2": "posterior"}
    workflow.run()
    workflow.finalize()
    assert (tmp_path / "out" / "case_seg.nii.gz").is_file()


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        ({"orientation": "LPS", "transpose": (2, 0, 1)}, [("Orientationd", "axcodes", "LSP")]),
        ({"orientation": "stored", "transpose": (2, 1, 0)}, []),
    ],
)
def test_axes_in_another_order_are_said_in_the_words_of_monai(
    tmp_path: Path, a_card: ModelCard, changes: dict[str, Any], steps: list[tuple[str, str, str]]
) -> None:
    """Array axes of LPS are (S, P, L); MONAI's are (i, j, k) as they are stored."""
    model = saved(tmp_path / "model", with_input(a_card, **changes))
    config = json.loads(
        (export_monai_bundle(model, tmp_path / "b") / "configs" / "inference.json").read_text()
    )
    found = [step for step in config["preprocessing"]["transforms"] if step["_target_"] == "Orientationd"]
    assert [(step["_target_"], "axcodes", step["axcodes"]) for step in found] == steps


def test_an_order_of_axes_that_monai_cannot_say_is_refused(tmp_path: Path, a_card: ModelCard) -> None:
    model = saved(tmp_path / "model", with_input(a_card, orientation="stored"))
    with pytest.raises(InputError, match="takes the axes of an image in another order"):
        export_monai_bundle(model, tmp_path / "bundle")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "encoder"}, "only 3D segmentation models"),
        ({"activation": "sigmoid"}, "regions that overlap"),
    ],
)
def test_what_a_bundle_cannot_say_is_refused(
    tmp_path: Path, a_card: ModelCard, changes: dict[str, Any], said: str
) -> None:
    model = saved(tmp_path / "model", a_card.model_copy(update=changes))
    with pytest.raises(InputError, match=said):
        export_monai_bundle(model, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_one_member_of_an_ensemble_is_chosen(tmp_path: Path, a_card: ModelCard) -> None:
    states = [
        {key: value + index for key, value in networks.build(a_card.network, 1, 3).state_dict().items()}
        for index in range(2)
    ]
    save_model(tmp_path / "model", a_card, states)
    with pytest.raises(InputError, match=r"ensemble of 2.*member from 0 to 1"):
        export_monai_bundle(tmp_path / "model", tmp_path / "bundle")
    with pytest.raises(InputError, match="no member 2"):
        export_monai_bundle(tmp_path / "model", tmp_path / "bundle", member=2)
    export_monai_bundle(tmp_path / "model", tmp_path / "bundle", member=1)
    weights = torch.load(tmp_path / "bundle" / "models" / "model.pt", weights_only=True)
    assert any(torch.equal(value, states[1][next(iter(states[1]))]) for value in weights.values())


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path, a_model: Path) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="holds something already"):
        export_monai_bundle(a_model, tmp_path / "bundle")
    assert [p.name for p in (tmp_path / "bundle").iterdir()] == ["mine.txt"]
