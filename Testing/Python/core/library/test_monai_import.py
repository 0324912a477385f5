"""A MONAI bundle becomes a model that does what the bundle does, or is refused with the reason."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.networks import nets

from medcontext import networks
from medcontext.card_schema import InferenceSpec, ModelCard, Postprocess
from medcontext.devices import choose_device
from medcontext.errors import InputError
from medcontext.geometry import Geometry, Volume
from medcontext.inference.predictor import Predictor
from medcontext.labels import Label, LabelSet
from medcontext.library import export_monai_bundle, import_model, load_model, save_model
from medcontext.library.import_options import ImportOptions
from medcontext.library.monai_import import convert_bundle, is_bundle
from medcontext.plan import Channel, Intensity, NetworkSpec

pytestmark = pytest.mark.filterwarnings("ignore")

Config = dict[str, Any]

NETWORK: Config = {
    "_target_": "monai.networks.nets.DynUNet",
    "spatial_dims": "@dims",
    "in_channels": 1,
    "out_channels": "$len(@names)",
    "kernel_size": [3, 3, 3],
    "strides": [1, 2, [2, 2, 1]],
    "upsample_kernel_size": [2, [2, 2, 1]],
    "filters": [4, 4, 4],
    "norm_name": "instance",
    "res_block": True,
}
NAMES = ["background", "liver", "Left Kidney"]
PATCH = [16, 16, 8]


def transforms(*more: Config) -> list[Config]:
    return [
        {"_target_": "LoadImaged", "keys": "@key", "reader": "ITKReader"},
        {"_target_": "EnsureChannelFirstd", "keys": "@key"},
        {"_target_": "Orientationd", "keys": "@key", "axcodes": "RAS"},
        {
            "_target_": "Spacingd",
            "keys": ["@key", "label"],
            "pixdim": [1.5, 1.5, 2.0],
            "mode": ["bilinear", "nearest"],
        },
        *more,
        {"_target_": "EnsureTyped", "keys": "@key", "dtype": "$torch.float32"},
    ]


HOUNSFIELD: Config = {"_target_": "ScaleIntensityRanged", "keys": "@key"} | {
    "a_min": -175, "a_max": 250, "b_min": 0.0, "b_max": 1.0, "clip": True,
}  # fmt: skip


def metadata() -> Config:
    image = {"modality": "CT", "num_channels": 1, "spatial_shape": PATCH, "channel_def": {"0": "image"}}
    pred = {"num_channels": 3, "channel_def": {str(n): name for n, name in enumerate(NAMES)}}
    return {
        "version": "0.3.7",
        "name": "Abdomen CT",
        "task": "Organs of the abdomen",
        "copyright": "Copyright (c) somebody",
        "eval_metrics": {"mean_dice": 0.82, "by": "hand"},
        "network_data_format": {"inputs": {"image": image}, "outputs": {"pred": pred}},
    }


def inference() -> Config:
    return {
        "imports": ["$import glob"],
        "bundle_root": ".",
        "dims": 3,
        "key": "image",
        "names": NAMES,
        "device": "$torch.device('cuda:0')",
        "network_def": dict(NETWORK),
        "network": "$@network_def.to(@device)",
        "preprocessing": {"_target_": "Compose", "transforms": transforms(HOUNSFIELD)},
        "inferer": {
            "_target_": "SlidingWindowInferer",
            "roi_size": PATCH,
            "overlap": 0.625,
            "mode": "gaussian",
        },
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "Activationsd", "keys": "pred", "softmax": True},
                {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
                {"_target_": "SaveImaged", "keys": "pred", "output_dir": "$@bundle_root + '/eval'"},
            ],
        },
    }


def theirs() -> nets.DynUNet:
    """The network of the bundle; its norms have no weights."""
    torch.manual_seed(0)
    sizes = {"kernel_size": [3, 3, 3], "strides": [1, 2, (2, 2, 1)], "upsample_kernel_size": [2, (2, 2, 1)]}
    return nets.DynUNet(3, 1, 3, **sizes, filters=[4, 4, 4], norm_name="instance", res_block=True).eval()


def bundle(
    folder: Path,
    config: Config | None = None,
    facts: Config | None = None,
    weights: Any = None,
    name: str = "model.pt",
) -> Path:
    """A bundle as MONAI's model zoo has them."""
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    (folder / "configs" / "inference.json").write_text(json.dumps(inference() if config is None else config))
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata() if facts is None else facts))
    torch.save(theirs().state_dict() if weights is None else weights, folder / "models" / name)
    return folder


def with_steps(*steps: Config) -> Config:
    config = inference()
    config["preprocessing"]["transforms"] = transforms(*steps)
    return config


def changed(change: Callable[[Config], None]) -> Config:
    config = inference()
    change(config)
    return config


def test_a_bundle_of_the_model_zoo_is_read_as_data(tmp_path: Path) -> None:
    imported = import_model(bundle(tmp_path / "zoo"))
    model = load_model(imported.folder)
    card = model.card
    # Our (K, J, I) of the code SAR is right, anterior, superior: the order of MONAI's arrays.
    assert (card.input.orientation, card.input.transpose) == ("SAR", (0, 1, 2))
    assert (card.input.spacing, list(card.input.patch_size)) == ((1.5, 1.5, 2.0), PATCH)
    assert card.inference.overlap == 0.625
    intensity = card.input.channels[0].intensity
    assert (intensity.kind, intensity.low, intensity.high) == ("ct", -175, 250)
    assert [(hu - (intensity.mean or 0)) / (intensity.std or 1) for hu in (-175, 250)] == [0, 1]
    assert [label.name for label in card.label_set] == NAMES[1:]
    assert (card.id, card.version, card.title) == ("abdomen-ct", "0.3.7", "Organs of the abdomen")
    assert (card.input.channels[0].modality, card.license) == ("CT", "unspecified")
    assert card.training.metrics == {"mean_dice": 0.82}
    assert imported.form == "MONAI bundle"
    image = torch.randn(1, 1, *PATCH)
    with torch.no_grad():
        torch.testing.assert_close(model.networks[0](image), theirs()(image), rtol=1e-4, atol=1e-4)


def volume(shape: tuple[int, int, int]) -> Volume:
    from scipy import ndimage

    noise = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal(shape), 2).astype(np.float32)
    return Volume((noise / noise.std())[None], Geometry(shape, np.diag([0.8, 1.2, 1.5, 1.0])))


def labels(model: Path, image: Volume) -> np.ndarray:
    loaded = load_model(model)
    predictor = Predictor(loaded.networks, loaded.card, choose_device("cpu"), "fp32")
    return predictor.predict(image).labelmap.array


def ours(card: ModelCard, folder: Path) -> Path:
    torch.manual_seed(0)
    save_model(
        folder, card, [networks.build(card.network, len(card.input.channels), card.classes).state_dict()]
    )
    return folder


INTENSITIES = [
    Intensity(),
    Intensity(kind="ct", low=-1.0, high=2.0, mean=0.1, std=0.9),
    Intensity(kind="rescale", percentiles=(1, 99)),
    Intensity(kind="zscore", percentiles=(0, 100), within_nonzero=True),
    Intensity(kind="none"),
]


@pytest.mark.parametrize("channels", [1, 5], ids=["alike", "each its own"])
def test_what_we_export_comes_back_with_the_same_labels(
    tmp_path: Path, a_card: ModelCard, channels: int
) -> None:
    spec = a_card.input.model_copy(
        update={
            "channels": [
                Channel(name=f"c{n}", modality="MRI", intensity=INTENSITIES[n]) for n in range(channels)
            ],
            "spacing": (1.0, 1.0, 1.3),
        }
    )
    inference = InferenceSpec(flips=[2], temperature=1.5, postprocess=Postprocess(largest_component=[4]))
    update = {"input": spec, "inference": inference, "allowed_flips": [2], "flip_pairs": [(1, 4)]}
    model = ours(a_card.model_copy(update=update), tmp_path / "model")
    imported = import_model(export_monai_bundle(model, tmp_path / "bundle"), id="again")
    image = volume((20, 18, 22))
    image = Volume(np.concatenate([image.array + n for n in range(channels)]), image.geometry)
    expected = labels(model, image)
    assert set(np.unique(expected)) == {0, 1, 4}
    assert np.array_equal(labels(imported.folder, image), expected)
    before, after = load_model(model).card, load_model(imported.folder).card
    kept = ("labels", "input", "allowed_flips", "flip_pairs", "license", "version")
    assert [getattr(after, name) for name in kept] == [getattr(before, name) for name in kept]
    assert after.inference.temperature == 1.5


def card_of(card: ModelCard, name: str, patch: tuple[int, int, int]) -> ModelCard:
    kwargs = networks.default_kwargs(name, patch, (1.0, 1.0, 2.0), "small")
    spec = card.input.model_copy(update={"patch_size": patch})
    return card.model_copy(update={"network": NetworkSpec(name=name, kwargs=kwargs), "input": spec})


@pytest.mark.parametrize(
    ("name", "patch", "program"),
    [
        ("segresnet", (16, 16, 8), False),
        ("segresnet", (16, 16, 8), True),
        ("mednext", (16, 16, 16), False),
        ("unetr", (16, 16, 32), False),
        ("swin_unetr", (64, 32, 32), False),
        ("nnformer", (16, 16, 16), True),
    ],
)
def test_every_network_comes_back_from_weights_and_from_programs(
    tmp_path: Path, a_card: ModelCard, name: str, patch: tuple[int, int, int], program: bool
) -> None:
    model = ours(card_of(a_card, name, patch), tmp_path / "model")
    place = export_monai_bundle(model, tmp_path / "bundle", torchscript=program)
    if program and name != "nnformer":
        (place / "models" / "model.pt").unlink()
    expected = load_model(model).networks[0].state_dict()
    found = convert_bundle(place).states[0]
    assert set(found) == set(expected)
    assert all(torch.equal(found[key], value) for key, value in expected.items())


STATES: dict[str, Callable[[dict[str, torch.Tensor]], Any]] = {
    "under state_dict, of several processes": lambda s: {
        "state_dict": {f"module.{n}": v for n, v in s.items()}
    },
    "under model, compiled": lambda s: {
        "model": {f"_orig_mod.module.{n}": v for n, v in s.items()},
        "epoch": 3,
    },
    "beside another": lambda s: {"discriminator": {"weight": torch.ones(2)}, "net": s},
}


@pytest.mark.parametrize("form", STATES)
def test_weights_are_found_wherever_trainers_put_them(tmp_path: Path, form: str) -> None:
    state = convert_bundle(bundle(tmp_path / "zoo", weights=STATES[form](theirs().state_dict()))).states[0]
    name = "input_block.conv1.conv.weight"
    assert torch.equal(state[f"backbone.{name}"], theirs().state_dict()[name])


def test_the_file_that_the_configuration_names_is_taken(tmp_path: Path) -> None:
    config = inference() | {"handlers": [{"load_path": "$@bundle_root + '/models/dynunet_FT.pt'"}]}
    place = bundle(tmp_path / "zoo", config, name="dynunet_FT.pt")
    torch.save({}, place / "models" / "another.pt")
    assert convert_bundle(place).card.training.config["Weights"] == "dynunet_FT.pt"
    (place / "configs" / "inference.json").write_text(json.dumps(inference()))
    with pytest.raises(InputError, match=r"holds 2 files of weights \(another.pt, dynunet_FT.pt\)"):
        convert_bundle(place)


def test_yaml_and_training_files_are_read_too(tmp_path: Path) -> None:
    import yaml

    place = bundle(tmp_path / "zoo")
    config = inference()
    config["validate"] = {key: config.pop(key) for key in ("preprocessing", "postprocessing", "inferer")}
    (place / "configs" / "inference.json").unlink()
    (place / "configs" / "train.yaml").write_text(yaml.safe_dump(config))
    card = convert_bundle(place).card
    assert card.input.spacing == (1.5, 1.5, 2.0)
    assert card.inference.overlap == 0.625


CLIP = {"_target_": "ClipIntensityPercentilesd", "keys": "image", "lower": 1, "upper": 99}
ZSCORE = {"_target_": "NormalizeIntensityd", "keys": "image"}


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([], Intensity(kind="none")),
        ([ZSCORE], Intensity(percentiles=(0, 100))),
        ([CLIP, ZSCORE], Intensity(percentiles=(1, 99))),
        ([ZSCORE | {"nonzero": True}], Intensity(percentiles=(0, 100), within_nonzero=True)),
        ([{"_target_": "ScaleIntensityd", "keys": "image"}], Intensity(kind="rescale", percentiles=(0, 100))),
        (
            [ZSCORE | {"subtrahend": 10, "divisor": 2}, ZSCORE | {"subtrahend": 1, "divisor": 5}],
            Intensity(kind="ct", low=-1e30, high=1e30, mean=12, std=10),
        ),
        (
            [HOUNSFIELD | {"b_min": -1}, ZSCORE | {"subtrahend": 0.5, "divisor": 0.5}],
            Intensity(kind="ct", low=-175, high=250, mean=143.75, std=106.25),
        ),
        (
            [{"_target_": "ThresholdIntensityd", "keys": "image", "threshold": -5, "cval": -5}],
            Intensity(kind="ct", low=-5, high=1e30, mean=0, std=1),
        ),
    ],
)
def test_grey_values_are_read_as_one_normalisation(
    tmp_path: Path, steps: list[Config], expected: Intensity
) -> None:
    assert (
        convert_bundle(bundle(tmp_path / "zoo", with_steps(*steps))).card.input.channels[0].intensity
        == expected
    )


def test_grey_values_become_what_monai_makes_of_them(tmp_path: Path) -> None:
    from monai.transforms import NormalizeIntensity, ScaleIntensityRange

    from medcontext.intensity import normalise

    steps = [HOUNSFIELD | {"b_min": -1, "b_max": 3}, ZSCORE | {"subtrahend": 0.5, "divisor": 0.25}]
    channels = convert_bundle(bundle(tmp_path / "zoo", with_steps(*steps))).card.input.channels
    image = np.linspace(-1000, 1000, 4**3, dtype=np.float32).reshape(1, 4, 4, 4)
    scaled = ScaleIntensityRange(-175, 250, -1, 3, clip=True)(image)
    expected = NormalizeIntensity(subtrahend=0.5, divisor=0.25)(scaled)
    np.testing.assert_allclose(normalise(image, channels), np.asarray(expected), atol=1e-4)


def test_what_is_not_the_same_is_told(tmp_path: Path) -> None:
    config = with_steps(HOUNSFIELD, {"_target_": "CropForegroundd", "keys": "@key", "source_key": "@key"})
    config["inferer"]["mode"] = "constant"
    config["postprocessing"]["transforms"].append({"_target_": "FillHolesd", "keys": "pred"})
    notes = " ".join(convert_bundle(bundle(tmp_path / "zoo", config)).notes)
    for told in (
        "CropForeground was left out",
        "middle of a window counts more",
        "FillHolesd, which",
        "start anew",
    ):
        assert told in notes


def test_images_may_stay_as_they_are_stored(tmp_path: Path) -> None:
    config = inference()
    config["preprocessing"]["transforms"] = [HOUNSFIELD]
    place = bundle(tmp_path / "zoo", config)
    found = convert_bundle(place)
    assert (found.card.input.orientation, found.card.input.transpose) == ("stored", (2, 1, 0))
    assert any("1 mm was taken" in note for note in found.notes)
    assert convert_bundle(place, ImportOptions(orientation="RAS")).card.input.orientation == "RAS"
    with pytest.raises(InputError, match="turns images to RAS itself, not to LPS"):
        convert_bundle(bundle(tmp_path / "other"), ImportOptions(orientation="LPS"))


def test_structures_may_overlap(tmp_path: Path) -> None:
    config = inference()
    config["postprocessing"]["transforms"] = [
        {"_target_": "Activationsd", "keys": "pred", "sigmoid": True},
        {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.5},
    ]
    found = convert_bundle(bundle(tmp_path / "zoo", config))
    assert (found.card.activation, found.card.regions) == ("sigmoid", [[1], [2], [3]])
    assert [label.name for label in found.card.label_set] == NAMES
    assert any("a later one is painted over" in note for note in found.notes)


def test_a_person_names_what_the_bundle_does_not(tmp_path: Path) -> None:
    facts = metadata()
    del facts["network_data_format"]["outputs"]
    place = bundle(tmp_path / "zoo", facts=facts)
    named = convert_bundle(place, ImportOptions(labels=LabelSet((Label(2, "spleen", (1, 2, 3)),))))
    assert [label.name for label in named.card.label_set] == ["structure 1", "spleen"]
    with pytest.raises(InputError, match="leaves no choice of folds"):
        convert_bundle(place, ImportOptions(folds=("0",)))


def test_a_zip_is_a_bundle_too(tmp_path: Path) -> None:
    bundle(tmp_path / "here" / "zoo")
    shutil.make_archive(str(tmp_path / "zoo"), "zip", tmp_path / "here")
    assert import_model(tmp_path / "zoo.zip").form == "MONAI bundle"
    assert is_bundle(tmp_path / "here")
    assert not is_bundle(tmp_path)


def _set(place: str, value: Any) -> Callable[[Config], None]:
    """Puts a value somewhere in a configuration."""

    def change(config: Config) -> None:
        *parents, last = place.split("#")
        target: Any = config
        for name in parents:
            target = target[int(name) if isinstance(target, list) else name]
        target[last] = value

    return change


RESIZE = {"_target_": "Resized", "keys": "@key", "spatial_size": [96, 96, 96]}
LAMBDA = {"_target_": "Lambdad", "keys": "@key", "func": "$lambda x: x + 1"}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (changed(_set("network_def#_target_", "UNet")), "MedContext has no network UNet"),
        (changed(_set("network_def#_target_", "os.system")), "MedContext has no network system"),
        (
            changed(_set("network_def", "$torch.jit.load('x')")),
            "'network_def' is the expression .* are not run",
        ),
        (
            changed(_set("network_def#in_channels", "$1 + 1")),
            r"'network_def#in_channels' is the expression \$1 \+ 1",
        ),
        (changed(_set("network_def#in_channels", "@nowhere")), "refers to 'nowhere', which is not there"),
        (changed(_set("dims", "@dims")), "refers to itself"),
        (changed(_set("dims", 2)), "the network is 2D"),
        (
            changed(_set("network_def#norm_name", "batch")),
            "DynUNet with norm_name batch is no network of MedContext",
        ),
        (changed(_set("network_def#unheard_of", 1)), "'unheard_of' of a DynUNet is not known"),
        (changed(_set("network_def#filters", [4, 10**9, 4])), "cannot be used: filters has"),
        (changed(_set("network_def#filters", [8000, 8000, 8000])), "far fewer than the"),
        (
            changed(_set("network_def#filters", [4, 4, 8])),
            "does not fit the network of the bundle: 4 tensors of another",
        ),
        (
            changed(_set("network_def#kernel_size", [3] * 10**4)),
            "kernel_size has 10000 entries",
        ),
        (changed(_set("inferer#roi_size", [10**6] * 3)), r"A window of \[1000000, .* cannot be used"),
        (changed(_set("inferer#roi_size", [15, 16, 8])), "cannot take a patch of 15 x 16 x 8"),
        (changed(_set("inferer#_target_", "SliceInferer")), "the inferer SliceInferer is not known"),
        (with_steps(RESIZE), "what Resize.* does to images is not known here"),
        (with_steps(LAMBDA), "what Lambda.* does to images is not known here"),
        (changed(_set("preprocessing#transforms", "$@a + @b")), "is the expression .*@a"),
        (with_steps(ZSCORE, HOUNSFIELD), "after a zscore is no normalisation of MedContext"),
        (with_steps(HOUNSFIELD, ZSCORE), "A fixed range of grey values followed by a zscore"),
        (with_steps(HOUNSFIELD | {"a_max": "$250"}), "is the expression"),
        (
            with_steps({"_target_": "ScaleIntensityd", "keys": "image", "minv": -1}),
            r"to -1..1.0 \(only 0..1\)",
        ),
    ],
)
def test_what_cannot_be_read_as_data_is_refused_with_the_reason(
    tmp_path: Path, config: Config, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        convert_bundle(bundle(tmp_path / "zoo", config))


def test_metadata_that_contradict_the_network_are_refused(tmp_path: Path) -> None:
    facts = metadata()
    facts["network_data_format"]["outputs"]["pred"]["channel_def"] = {"0": "background", "2": "liver"}
    with pytest.raises(InputError, match=r"number the output channels 0, 2; 0, 1, 2, ... is needed"):
        convert_bundle(bundle(tmp_path / "gap", facts=facts))
    facts["network_data_format"]["outputs"]["pred"]["channel_def"] = {"0": "background", "1": "liver"}
    with pytest.raises(InputError, match="names 2 output channels, and its network has 3"):
        convert_bundle(bundle(tmp_path / "few", facts=facts))


def test_a_bundle_whose_weights_are_elsewhere_says_so(tmp_path: Path) -> None:
    place = bundle(tmp_path / "zoo")
    (place / "models" / "model.pt").unlink()
    (place / "large_files.yml").write_text("large_files: []")
    with pytest.raises(InputError, match="holds no weights") as refused:
        convert_bundle(place)
    assert "large_files.yml" in refused.value.hint


class Malicious:
    """Would make a folder when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def test_weights_that_would_run_code_are_refused_and_run_nothing(tmp_path: Path) -> None:
    weights = theirs().state_dict() | {"extra": Malicious(tmp_path / "executed")}
    with pytest.raises(InputError, match="could run any program; it was not opened"):
        import_model(bundle(tmp_path / "zoo", weights=weights))
    assert not (tmp_path / "executed").exists()


def test_a_configuration_that_grows_without_end_is_refused(tmp_path: Path) -> None:
    place = bundle(tmp_path / "zoo")
    lines = ["a0: &a0 [1, 1]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40))]
    (place / "configs" / "inference.yaml").write_text("\n".join(lines))
    with pytest.raises(InputError, match="has more than 20000 entries"):
        convert_bundle(place)
    (place / "configs" / "inference.yaml").unlink()
    config = inference() | {f"a{n}": [f"@a{n + 1}"] * 2 for n in range(40)} | {"a40": 1}
    config["network_def"]["filters"] = "@a0"
    (place / "configs" / "inference.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="grows without end"):
        convert_bundle(place)
