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

GENTLEST = 0.1
"""Share of the usual learning rate for a model that has nothing left to learn."""


def names() -> list[str]:
    """The methods there are."""
    return sorted(_METHODS)


def make_config(name: str, preset: str = "default", ready: float = 0.0) -> StrictModel:
    """The configuration of a method's preset.

    Args:
        name: of the method.
        preset: "default", and "repo" for medcontext.
        ready: Dice, 0 to 1, that the network has before it learns. The more it knows, the more gently the default
            preset changes it, and the sooner it can be trusted with scans without labels. In trials on three cases
            a structure that was known fell from Dice 0.913 to 0.904 in 300 steps at the full learning rate and
            stayed at a tenth of it; a new one was at 0.61 after 50 steps at the full rate, at 0.00 at a third of it.

    Raises:
        InputError: there is no such method or preset.
    """
    config_class = _entry(name)[0]
    if preset == "default":
        config = config_class()
        return config.updated(_gently(config, max(GENTLEST, 1 - ready))) if ready > 0 else config
    if name == "medcontext" and preset in medcontext_presets.NAMES:
        return medcontext_presets.preset(preset)
    raise InputError(
        f"Method '{name}' has no preset '{preset}'.", "Allowed: default, and repo for medcontext."
    )


def _gently(config: Any, share: float) -> list[str]:
    """Settings for a network that has so small a share still to learn."""
    changes = [f"engine.optimiser.learning_rate={share * config.engine.optimiser.learning_rate:.3g}"]
    if isinstance(config, MedContextConfig):
        changes.append(f"unlabelled.start={share * config.unlabelled.start:.3g}")
        changes.append(f"unlabelled.least_steps={round(share * config.unlabelled.least_steps)}")
    return changes


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
