"""Networks by name: suggestions, defaults that fit, and no code from names."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from medcontext import networks
from medcontext.errors import InputError
from medcontext.plan import NetworkSpec

SPACINGS = [(1.0, 1.0, 1.0), (5.0, 0.8, 0.8), (1.0, 1.0, 3.0)]
PATCHES = [(40, 56, 40), (14, 160, 160), (96, 96, 96), (9, 17, 30), (33, 128, 128)]


@pytest.mark.parametrize(
    ("typo", "meant"), [("dyn-unet", "dynunet"), ("SwinUNETR", "swin_unetr"), ("nnFormer", "nnformer")]
)
def test_a_misspelt_network_gets_a_suggestion(typo: str, meant: str) -> None:
    with pytest.raises(InputError, match=f"Did you mean {meant}\\?"):
        networks.build(typo, 1, 2)


@pytest.mark.parametrize("name", ["os.system", "registry", "../dynunet", ""])
def test_a_name_from_a_file_is_never_imported(name: str) -> None:
    with pytest.raises(InputError, match="There is no network"):
        networks.build(NetworkSpec(name=name), 1, 2)


def test_an_unknown_keyword_is_named(example: Any) -> None:
    with pytest.raises(InputError, match=r"there is no field 'feature_sise' .*allowed are"):
        networks.build(example.name, 1, 2, **example.kwargs, feature_sise=3)


def test_keywords_override_those_of_the_spec() -> None:
    spec = NetworkSpec(name="mednext", kwargs={"init_filters": 4, "blocks": [1], "expansion": [2]})
    network = networks.build(spec, 1, 2, init_filters=6)
    assert network.kwargs["init_filters"] == 6
    assert network.mask_points().channels == 6


@pytest.mark.parametrize(
    ("name", "kwargs", "sentence"),
    [
        ("unetr", {"patch_size": [40, 56, 40]}, "multiples of 16 x 16 x 16.*Use 48 x 64 x 48"),
        ("unetr", {"patch_size": [32, 32, 32], "hidden_size": 50}, "no multiple of num_heads"),
        ("swin_unetr", {"feature_size": 20}, "multiple of 12"),
        (
            "dynunet",
            {"filters": [4], "strides": [[1, 1, 1]], "kernels": [[3, 3, 3]]},
            "at least three stages",
        ),
        ("mednext", {"blocks": [2], "expansion": [2, 2]}, "one entry for each level"),
        (
            "nnformer",
            {
                "token": [2, 2, 2],
                "strides": [[2, 2, 2]],
                "windows": [[4, 4, 4]],
                "depths": [2],
                "num_heads": [2],
            },
            "one entry a stage",
        ),
    ],
)
def test_impossible_keywords_get_a_sentence(name: str, kwargs: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        networks.build(name, 1, 2, **kwargs)


@pytest.mark.parametrize("name", networks.names())
@pytest.mark.parametrize("patch", PATCHES)
@pytest.mark.parametrize("spacing", SPACINGS)
def test_defaults_fit_every_patch_once_rounded_up(
    name: str, patch: tuple[int, int, int], spacing: tuple[float, float, float]
) -> None:
    for size in ("small", "medium", "large"):
        kwargs = networks.default_kwargs(name, patch, spacing, size)  # type: ignore[arg-type]
        rounded = networks.round_patch(name, kwargs, patch)
        networks.check_patch(name, kwargs, rounded)
        assert all(n <= r for n, r in zip(patch, rounded, strict=True))
        assert networks.round_patch(name, kwargs, rounded) == rounded


def test_an_unknown_size_is_refused() -> None:
    with pytest.raises(InputError, match="Known sizes: small, medium, large"):
        networks.default_kwargs("dynunet", (32, 32, 32), (1, 1, 1), "tiny")  # type: ignore[arg-type]


def test_names_are_known_without_loading_torch() -> None:
    code = "import sys; from medcontext import networks; networks.names(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
