"""The ways to learn, by name. A method is its losses and a configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from medcontext.config import StrictModel
from medcontext.engine.method import Method
from medcontext.errors import InputError
from medcontext.masking import MaskToken
from medcontext.methods.medcontext import MedContext, MedContextConfig
from medcontext.methods.medcontext import presets as medcontext_presets
from medcontext.methods.supervised import Supervised, SupervisedConfig

_METHODS: dict[str, tuple[type[StrictModel], Callable[[Any], Method]]] = {
    "medcontext": (MedContextConfig, MedContext),
    "supervised": (SupervisedConfig, Supervised),
}

CONTINUED: dict[str, list[str]] = {"medcontext": [], "supervised": []}
"""What the default preset changes where training starts from a model, as settings; chosen by experiment."""


def names() -> list[str]:
    """The methods there are."""
    return sorted(_METHODS)


def make_config(name: str, preset: str = "default", *, continues: bool = False) -> StrictModel:
    """The configuration of a method's preset.

    Args:
        name: of the method.
        preset: "default", and "repo" for medcontext.
        continues: whether training starts from a model that has converged on something like it.

    Raises:
        InputError: there is no such method or preset.
    """
    config_class = _entry(name)[0]
    if preset == "default":
        config = config_class()
        return config.updated(CONTINUED[name]) if continues else config
    if name == "medcontext" and preset in medcontext_presets.NAMES:
        return medcontext_presets.preset(preset)
    raise InputError(
        f"Method '{name}' has no preset '{preset}'.", "Allowed: default, and repo for medcontext."
    )


def make_method(name: str, config: StrictModel, token: MaskToken | None = None) -> Method:
    """The method with its configuration; ``token`` is what the parent takes for hidden parts."""
    method = _entry(name)[1](config)
    if token is not None and isinstance(method, MedContext):
        method.first_token = token
    return method


def _entry(name: str) -> tuple[type[StrictModel], Callable[[Any], Method]]:
    if name not in _METHODS:
        raise InputError(f"There is no method '{name}'.", f"Known methods: {', '.join(names())}.")
    return _METHODS[name]
