"""The weights of one fold of an nnU-Net, read as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medcontext.errors import InputError
from medcontext.library.checkpoint_file import check_storage, read_checkpoint

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Fold:
    """What ``checkpoint_final.pth`` says.

    Attributes:
        path: of the file, in which the tensors still lie.
        weights: by nnU-Net's names.
        configuration: that was trained; empty where the file does not say.
        trainer: class that trained it; likewise.
        mirroring: axes of the network's input over which predictions are averaged, as the file says them.
        epoch: epochs that were trained.
    """

    path: Path
    weights: dict[str, Tensor]
    configuration: str
    trainer: str
    mirroring: Any
    epoch: int

    @property
    def batch_norm(self) -> bool:
        """Whether its norms have running statistics: nnU-Net's BN trainers put them in whatever the plans say."""
        return any(name.endswith("norm.running_mean") for name in self.weights)

    def mirrored_axes(self, dims: int) -> list[int]:
        """Axes of ``(K, J, I)`` over which predictions are averaged; a network of slices does not see K.

        Args:
            dims: axes that the network sees.

        Raises:
            InputError: the file says something else.
        """
        said = [] if self.mirroring is None else self.mirroring
        axes = list(said) if isinstance(said, (list, tuple)) else [said]
        if any(type(axis) is not int or not 0 <= axis < dims for axis in axes) or len(set(axes)) != len(axes):
            raise InputError(
                f"{self.path} mirrors along the axes {self.mirroring!r:.80}; the network has {dims}."
            )
        return sorted(axis + 3 - dims for axis in axes)


def read_fold(path: Path) -> Fold:
    """Read a checkpoint; nothing of it is executed.

    Args:
        path: ``checkpoint_final.pth`` or ``checkpoint_best.pth``.

    Raises:
        InputError: it is damaged, needs more than tensors and numbers, or is no checkpoint of nnU-Net.
    """
    content = read_checkpoint(path)
    weights = content.get("network_weights") if isinstance(content, Mapping) else None
    if not isinstance(weights, Mapping) or not weights or not _are_tensors(weights):
        raise InputError(f"{path} is no checkpoint of nnU-Net v2: it holds no network_weights.")
    check_storage(weights, path)
    options = content.get("init_args")
    return Fold(
        path=path,
        weights=dict(weights),
        configuration=_text(options.get("configuration")) if isinstance(options, Mapping) else "",
        trainer=_text(content.get("trainer_name")),
        mirroring=content.get("inference_allowed_mirroring_axes"),
        epoch=epoch if isinstance(epoch := content.get("current_epoch"), int) else 0,
    )


def _are_tensors(weights: Mapping[Any, Any]) -> bool:
    import torch

    return all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in weights.items())


def _text(value: Any) -> str:
    return value[:200] if isinstance(value, str) else ""
