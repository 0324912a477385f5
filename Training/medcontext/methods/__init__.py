"""The ways to learn, by name. A method is its losses and a configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from medcontext.config import StrictModel
from medcontext.errors import InputError
from medcontext.methods.medcontext import presets as medcontext_presets
from medcontext.methods.medcontext.config import MedContextConfig
from medcontext.methods.supervised.config import SupervisedConfig

if TYPE_CHECKING:
    from medcontext.engine.method import Method
    from medcontext.masking.network import MaskToken

_CONFIGS: dict[str, type[StrictModel]] = {"medcontext": MedContextConfig, "supervised": SupervisedConfig}
"""Settings load without torch, so that a wrong one is said at once."""

GENTLEST = 0.1
"""Share of the usual learning rate for a model that has nothing left to learn."""
LEAST_TRAINED = 0.25
"""Share of what such a model learnt, in the mean with what it knew. On 30 cases that it had not seen, a known
structure (Dice 0.912 before it learnt from three cases) had 0.913 with this share, 0.911 with a half and 0.901 with
all of it."""


def names() -> list[str]:
    """The methods there are."""
    return sorted(_CONFIGS)


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
    config_class = _config_class(name)
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
    changes = [
        f"engine.optimiser.learning_rate={share * config.engine.optimiser.learning_rate:.3g}",
        f"engine.trained_share={min(1.0, max(LEAST_TRAINED, 2 * share)):.3g}",
    ]
    if isinstance(config, MedContextConfig):
        changes.append(f"unlabelled.start={share * config.unlabelled.start:.3g}")
        changes.append(f"unlabelled.least_steps={round(share * config.unlabelled.least_steps)}")
    return changes


def make_method(name: str, config: Any, token: MaskToken | None = None) -> Method:
    """The method with its configuration; ``token`` is what the parent takes for hidden parts."""
    if _config_class(name) is SupervisedConfig:
        from medcontext.methods.supervised.method import Supervised

        return Supervised(config)
    from medcontext.methods.medcontext.method import MedContext

    method = MedContext(config)
    if token is not None:
        method.first_token = token
    return method


def _config_class(name: str) -> type[StrictModel]:
    if name not in _CONFIGS:
        raise InputError(f"There is no method '{name}'.", f"Known methods: {', '.join(names())}.")
    return _CONFIGS[name]
