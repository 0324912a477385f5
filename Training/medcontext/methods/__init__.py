"""The ways to learn, by name. A method is its losses and a configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from medcontext.config import StrictModel
from medcontext.errors import InputError
from medcontext.methods.mae.config import MaeConfig
from medcontext.methods.medcontext import presets as medcontext_presets
from medcontext.methods.medcontext.config import MedContextConfig
from medcontext.methods.s3net import presets as s3net_presets
from medcontext.methods.s3net.config import S3NetConfig
from medcontext.methods.supervised.config import SupervisedConfig
from medcontext.methods.voco import presets as voco_presets
from medcontext.methods.voco.config import VoCoConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    from medcontext.engine.method import Method
    from medcontext.engine.pretext_config import PretextConfig
    from medcontext.engine.pretext_task import PretextMethod
    from medcontext.masking.network import MaskToken

_SEGMENTING: dict[str, type[StrictModel]] = {"medcontext": MedContextConfig, "supervised": SupervisedConfig}
_PRETRAINING: dict[str, type[PretextConfig]] = {"mae": MaeConfig, "voco": VoCoConfig}
"""Settings load without torch, so that a wrong one is said at once."""

_SINGLE_IMAGE: dict[str, type[StrictModel]] = {"s3net": S3NetConfig}
"""Methods that learn from one image alone and leave no model."""

_PRESETS: dict[str, tuple[tuple[str, ...], Callable[[str], StrictModel]]] = {
    "medcontext": (medcontext_presets.NAMES, medcontext_presets.preset),
    "s3net": (s3net_presets.NAMES, s3net_presets.preset),
    "voco": (voco_presets.NAMES, voco_presets.preset),
}
"""Of the methods that have more than the default: the names, and what makes one."""

GENTLEST = 0.1
"""Share of the usual learning rate for a model that has nothing left to learn."""
LEAST_TRAINED = 0.25
"""Share of what such a model learnt, in the mean with what it knew. On 30 cases that it had not seen, a known
structure (Dice 0.912 before it learnt from three cases) had 0.913 with this share, 0.911 with a half and 0.901 with
all of it."""


def names() -> list[str]:
    """The methods that learn to segment."""
    return sorted(_SEGMENTING)


def pretraining_names() -> list[str]:
    """The methods that learn from scans without labels what an encoder can know."""
    return sorted(_PRETRAINING)


def preset_names(name: str) -> list[str]:
    """The saved configurations of a method.

    Raises:
        InputError: there is no such method.
    """
    _config_class(name)
    return list(_PRESETS[name][0]) if name in _PRESETS else ["default"]


def make_config(name: str, preset: str = "default", ready: float = 0.0) -> StrictModel:
    """The configuration of a method's preset.

    Args:
        name: of the method.
        preset: one of :func:`preset_names`.
        ready: Dice, 0 to 1, that the network has before it learns. The more it knows, the more gently the default
            preset changes it, and the sooner it can be trusted with scans without labels. In trials on three cases
            a structure that was known fell from Dice 0.913 to 0.904 in 300 steps at the full learning rate and
            stayed at a tenth of it; a new one was at 0.61 after 50 steps at the full rate, at 0.00 at a third of it.

    Raises:
        InputError: there is no such method or preset.
    """
    config_class, allowed = _config_class(name), preset_names(name)
    if preset not in allowed:
        raise InputError(
            f"Method '{name}' has no preset '{preset}'.", f"Presets of {name}: {', '.join(allowed)}."
        )
    if preset == "default":
        config = config_class()
        return config.updated(_gently(config, max(GENTLEST, 1 - ready))) if ready > 0 else config
    return _PRESETS[name][1](preset)


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
    if name in _PRETRAINING:
        return make_pretraining(name, config)
    if name in _SINGLE_IMAGE:
        from medcontext.methods.s3net.method import S3NetMethod

        return S3NetMethod(config)
    from medcontext.methods.medcontext.method import MedContext

    method = MedContext(config)
    if token is not None:
        method.first_token = token
    return method


def make_pretraining(name: str, config: Any) -> PretextMethod:
    """A method of pre-training with its configuration.

    Raises:
        InputError: there is no such method of pre-training.
    """
    if name not in _PRETRAINING:
        raise InputError(
            f"There is no method of pre-training '{name}'.", f"Known: {', '.join(pretraining_names())}."
        )
    if name == "mae":
        from medcontext.methods.mae.method import Mae

        return Mae(config)
    from medcontext.methods.voco.method import VoCo

    return VoCo(config)


def _config_class(name: str) -> type[StrictModel]:
    known = {**_SEGMENTING, **_PRETRAINING, **_SINGLE_IMAGE}
    if name not in known:
        raise InputError(f"There is no method '{name}'.", f"Known methods: {', '.join(sorted(known))}.")
    return known[name]
