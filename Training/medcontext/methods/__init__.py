"""The ways to learn, by name. A method is its losses and a configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from medcontext.config import StrictModel
from medcontext.engine.method import Method
from medcontext.errors import InputError
from medcontext.methods.medcontext import MedContext, MedContextConfig
from medcontext.methods.medcontext import presets as medcontext_presets
from medcontext.methods.supervised import Supervised, SupervisedConfig

_METHODS: dict[str, tuple[type[StrictModel], Callable[[Any], Method]]] = {
    "medcontext": (MedContextConfig, MedContext),
    "supervised": (SupervisedConfig, Supervised),
}


def names() -> list[str]:
    """The methods there are."""
    return sorted(_METHODS)


def make_config(name: str, preset: str = "default") -> StrictModel:
    """The configuration of a method's preset.

    Raises:
        InputError: there is no such method or preset.
    """
    config_class = _entry(name)[0]
    if preset == "default":
        return config_class()
    if name == "medcontext" and preset in medcontext_presets.NAMES:
        return medcontext_presets.preset(preset)
    raise InputError(
        f"Method '{name}' has no preset '{preset}'.", "Allowed: default, and repo for medcontext."
    )


def make_method(name: str, config: StrictModel) -> Method:
    """The method with its configuration."""
    return _entry(name)[1](config)


def _entry(name: str) -> tuple[type[StrictModel], Callable[[Any], Method]]:
    if name not in _METHODS:
        raise InputError(f"There is no method '{name}'.", f"Known methods: {', '.join(names())}.")
    return _METHODS[name]
