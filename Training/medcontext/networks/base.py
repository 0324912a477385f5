"""What every network offers: logits, deep supervision, features, and where to hide its input."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast

from torch import Tensor, nn

from medcontext.config import StrictModel
from medcontext.errors import InputError
from medcontext.networks.sizes import PatchRule
from medcontext.plan import Size, Spacing

NetworkSize = Literal["small", "medium", "large"]


@dataclass(frozen=True)
class MaskPoints:
    """Where a mask token enters a network.

    With the output of ``embedding`` replaced by one token everywhere and the inputs of ``image_skips``
    zeroed, the logits do not depend on the image.

    Args:
        embedding: the module whose output is mixed with the token.
        layout: form of that output: ``tokens`` is ``(B, N, C)`` with N counted over K, J, I in C order,
            ``grid`` is ``(B, C, k, j, i)``.
        cell: voxels per token on each axis ``(K, J, I)``.
        channels: C of the embedding.
        image_skips: modules that take the raw image and would carry it past the mask.
    """

    embedding: nn.Module
    layout: Literal["tokens", "grid"]
    cell: Size
    channels: int
    image_skips: tuple[nn.Module, ...] = ()


@dataclass(frozen=True)
class MonaiNetwork:
    """The same network as plain MONAI: ``monai.networks.nets.<class_name>(**kwargs)`` with ``state``."""

    class_name: str
    kwargs: dict[str, Any]
    state: dict[str, Tensor]


class SegmentationNetwork(nn.Module, ABC):
    """Base of the registered networks.

    ``forward`` gives the same in training and evaluation mode but for dropout, and the heads of deep
    supervision always exist, so that weights load whether or not they are used.

    Args:
        in_channels: image channels.
        classes: output channels, background included.
        options: keyword arguments of the network; their form is the class attribute ``options_type``.
        patch_rule: the sizes the network takes.

    Raises:
        InputError: there is no channel or no class.
    """

    name: ClassVar[str]
    """Name in the registry."""
    title: ClassVar[str]
    """One line for people who choose a network."""
    differences: ClassVar[tuple[str, ...]] = ()
    """Sentences on what differs from the published network; they go into the card of every model."""
    options_type: ClassVar[type[StrictModel]]
    """Form of the keyword arguments."""

    def __init__(self, in_channels: int, classes: int, options: StrictModel, patch_rule: PatchRule) -> None:
        super().__init__()
        if in_channels < 1 or classes < 1:
            raise InputError(
                f"A network needs at least one channel and one class, not {in_channels} and {classes}."
            )
        self.in_channels = in_channels
        self.classes = classes
        self.options = options
        self.patch_rule = patch_rule

    @classmethod
    @abstractmethod
    def default_options(cls, patch_size: Size, spacing: Spacing, size: NetworkSize) -> StrictModel:
        """Options that suit a patch (voxels) at a spacing (mm); the patch may have to be rounded up."""

    @classmethod
    @abstractmethod
    def rule_for(cls, options: Any) -> PatchRule:
        """The patch sizes that a network with these options takes."""

    @property
    def kwargs(self) -> dict[str, Any]:
        """The options as plain JSON data: what the registry needs to build this network again."""
        return self.options.model_dump(mode="json")

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(B, classes, K, J, I)`` of an image ``(B, C, K, J, I)``.

        Raises:
            InputError: the image has other channels or a size that does not fit.
        """
        return self._decode(self.encode(x), deep=False)[0]

    def forward_deep(self, x: Tensor) -> list[Tensor]:
        """Logits at several resolutions, finest (that of the image) first, each at its own resolution.

        Raises:
            InputError: as :meth:`forward`.
        """
        return self._decode(self.encode(x), deep=True)

    def encode(self, x: Tensor) -> list[Tensor]:
        """Features ``(B, c, k, j, i)``, finest first; the decoder is not run.

        Raises:
            InputError: as :meth:`forward`.
        """
        if x.ndim != 5 or x.shape[1] != self.in_channels:
            raise InputError(
                f"The network {self.name} takes images of shape (batch, {self.in_channels}, K, J, I), "
                f"not {tuple(x.shape)}.",
                "Give one channel for each that the model lists.",
            )
        self.patch_rule.check(self.name, cast(Size, tuple(x.shape[2:])))
        return self._encode(x)

    @abstractmethod
    def _encode(self, x: Tensor) -> list[Tensor]:
        """Features, finest first, of an image that fits."""

    @abstractmethod
    def _decode(self, features: list[Tensor], deep: bool) -> list[Tensor]:
        """Logits, finest first; only the finest unless ``deep``."""

    @abstractmethod
    def mask_points(self, before_position: bool = True) -> MaskPoints:
        """Where the mask token goes; ``before_position`` keeps the place of hidden tokens known."""

    def monai_equivalent(self) -> MonaiNetwork | None:
        """The same function as a plain MONAI network, or None when MONAI has no such network."""
        return None
