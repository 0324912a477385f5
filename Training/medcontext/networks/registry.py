"""Networks by name, built from plain JSON data. Modules load when asked for: listing names costs nothing."""

from __future__ import annotations

import difflib
import importlib
from typing import TYPE_CHECKING, Any

from medcontext.errors import InputError
from medcontext.plan import NetworkSpec, Size, Spacing

if TYPE_CHECKING:
    from medcontext.networks.base import NetworkSize, SegmentationNetwork
    from medcontext.networks.sizes import PatchRule

_CLASSES = {
    "dynunet": "DynUNet",
    "unetr": "UNETR",
    "swin_unetr": "SwinUNETR",
    "segresnet": "SegResNet",
    "mednext": "MedNeXt",
    "nnformer": "NNFormer",
    "nnunet": "NNUNet",
}
"""Name (and module in this package) to class. Names from files are looked up here and never imported."""

_SIZES = ("small", "medium", "large")


def names() -> list[str]:
    """The registered networks."""
    return list(_CLASSES)


def check_name(name: str) -> None:
    """Refuse a network that is not registered, without loading any.

    Raises:
        InputError: there is no such network; the hint names the closest one.
    """
    if name not in _CLASSES:
        close = difflib.get_close_matches(name.casefold().replace("-", "_"), _CLASSES, n=1, cutoff=0.5)
        guess = f"Did you mean {close[0]}? " if close else ""
        raise InputError(f"There is no network '{name}'.", f"{guess}Known networks: {', '.join(_CLASSES)}.")


def find(name: str) -> type[SegmentationNetwork]:
    """The class of a registered network.

    Raises:
        InputError: there is no such network; the hint names the closest one.
    """
    check_name(name)
    module = importlib.import_module(f"medcontext.networks.{name}")
    network: type[SegmentationNetwork] = getattr(module, _CLASSES[name])
    return network


def build(spec: NetworkSpec | str, in_channels: int, classes: int, **kwargs: Any) -> SegmentationNetwork:
    """Build a network with random weights.

    Args:
        spec: name, or name with keyword arguments.
        in_channels: image channels.
        classes: output channels, background included.
        kwargs: keyword arguments as plain JSON data; they override those of ``spec``.

    Raises:
        InputError: unknown name, unknown or impossible keyword argument.
    """
    spec = NetworkSpec(name=spec) if isinstance(spec, str) else spec
    network = find(spec.name)
    options = network.options_type.parse({**spec.kwargs, **kwargs}, f"The configuration of {spec.name}")
    try:
        return network(in_channels, classes, options)  # type: ignore[call-arg]
    except (TypeError, ValueError) as error:
        raise InputError(
            f"The network {spec.name} cannot be built with {options.model_dump()}: {error}."
        ) from error


def default_kwargs(
    name: str, patch_size: Size, spacing: Spacing, size: NetworkSize = "medium"
) -> dict[str, Any]:
    """Keyword arguments that suit a patch (voxels) at a spacing (mm); both ``(K, J, I)``.

    The patch to use with them is ``round_patch(name, kwargs, patch_size)``.

    Raises:
        InputError: unknown name or size.
    """
    if size not in _SIZES:
        raise InputError(f"There is no network size '{size}'.", f"Known sizes: {', '.join(_SIZES)}.")
    return find(name).default_options(patch_size, spacing, size).model_dump(mode="json")


def all_kwargs(spec: NetworkSpec) -> dict[str, Any]:
    """Keyword arguments of a network, those among them that it does not name.

    Raises:
        InputError: unknown name, unknown or impossible keyword argument.
    """
    options = find(spec.name).options_type.parse(spec.kwargs, f"The configuration of {spec.name}")
    return options.model_dump(mode="json")


def check_patch(name: str, kwargs: dict[str, Any], patch_size: Size) -> None:
    """Check that a network takes a patch, without building it.

    Raises:
        InputError: it does not; the sentence names the sizes allowed.
    """
    _rule(name, kwargs).check(name, patch_size)


def round_patch(name: str, kwargs: dict[str, Any], patch_size: Size) -> Size:
    """The next patch size, none of its sides smaller, that a network takes (a fixed size where it has one).

    Raises:
        InputError: unknown name or impossible keyword argument.
    """
    return _rule(name, kwargs).round_up(patch_size)


def nearest_patch(name: str, kwargs: dict[str, Any], patch_size: Size) -> Size:
    """The patch size that a network takes and that is closest on each axis (a fixed size where it has one).

    Raises:
        InputError: unknown name or impossible keyword argument.
    """
    return _rule(name, kwargs).nearest(patch_size)


def _rule(name: str, kwargs: dict[str, Any]) -> PatchRule:
    network = find(name)
    return network.rule_for(network.options_type.parse(kwargs, f"The configuration of {name}"))
