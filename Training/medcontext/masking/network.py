"""A network that can be asked to segment what it does not see."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medcontext.networks import MaskPoints, SegmentationNetwork

MaskSpace = Literal["token", "input"]


@dataclass(frozen=True)
class MaskToken:
    """What a network was taught to take for hidden parts, and how it was hidden.

    Attributes:
        vector: ``(channels,)`` of the network's embedding.
        before_position, image_skips: see :class:`MaskedNetwork`.
    """

    vector: Tensor
    before_position: bool = True
    image_skips: bool = True

    def on(self, network: SegmentationNetwork) -> MaskedNetwork:
        """``network`` with a mask input that puts this token where the mask hides.

        Raises:
            ValueError: the embedding of the network has another size, or there is none.
        """
        masked = MaskedNetwork(
            network,
            mask_before_position=self.before_position,
            mask_image_skips=self.image_skips,
        )
        if masked.mask_token is None or masked.mask_token.shape != self.vector.shape:
            raise ValueError(
                f"a mask token of {tuple(self.vector.shape)} does not fit {type(network).__name__}"
            )
        masked.mask_token.data.copy_(self.vector)
        return masked


class MaskedNetwork(nn.Module):
    """A segmentation network with a mask input.

    In ``token`` space the output of the network's embedding is replaced by one learnable token where the mask
    hides it (MedContext, Gani et al., MICCAI 2024); the image that full-resolution skips see is blanked too,
    unless ``mask_image_skips`` is off. In ``input`` space the voxels themselves are replaced by zero, the mean
    of a normalised image; this works for any module.

    Args:
        network: the network; its weights are unchanged by masking and it can be used without this wrapper.
        space: where the mask acts.
        mask_before_position: hide tokens before the position embedding, so that a hidden token knows its place.
        mask_image_skips: also blank the raw image for modules that would leak it past the mask.
    """

    def __init__(
        self,
        network: SegmentationNetwork,
        space: MaskSpace = "token",
        *,
        mask_before_position: bool = True,
        mask_image_skips: bool = True,
    ) -> None:
        super().__init__()
        self.network = network
        self.space = space
        self.mask_before_position = mask_before_position
        self.mask_image_skips = mask_image_skips
        self.mask_token: nn.Parameter | None = None
        if space == "token":
            self.mask_token = nn.Parameter(torch.zeros(self._points().channels))

    @property
    def token(self) -> MaskToken | None:
        """A copy of the mask token on the CPU; None where voxels are hidden."""
        if self.mask_token is None:
            return None
        vector = self.mask_token.detach().cpu().float().clone()
        return MaskToken(vector, self.mask_before_position, self.mask_image_skips)

    def _points(self) -> MaskPoints:
        return self.network.mask_points(self.mask_before_position)

    def forward(self, image: Tensor, mask: Tensor | None = None) -> list[Tensor]:
        """Logits, finest first.

        Args:
            image: ``(B, C, K, J, I)``.
            mask: bool ``(B, K, J, I)``, True where hidden; samples that hide nothing are computed unchanged.
        """
        return self._run(self.network.forward_deep, image, mask)

    def encode(self, image: Tensor, mask: Tensor | None = None) -> list[Tensor]:
        """The network's features, finest first; the decoder is not run. Arguments as in :meth:`forward`."""
        return self._run(self.network.encode, image, mask)

    def _run(
        self, part: Callable[[Tensor], list[Tensor]], image: Tensor, mask: Tensor | None
    ) -> list[Tensor]:
        if mask is None:
            return part(image)
        if self.mask_token is None:
            return part(image.masked_fill(mask.unsqueeze(1), 0))
        with self._hidden(mask.unsqueeze(1)):
            return part(image)

    @contextmanager
    def _hidden(self, mask: Tensor) -> Iterator[None]:
        """Hooks that hide ``mask`` ``(B, 1, K, J, I)``, gone afterwards whatever happens."""
        points = self._points()
        token = self.mask_token
        if points.embedding is None or token is None:
            raise RuntimeError(f"{type(self.network).__name__} has no embedding to mask")
        grid = tuple(n // c for n, c in zip(mask.shape[2:], points.cell, strict=True))

        def hide_tokens(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
            if points.layout == "tokens":
                hidden = F.adaptive_max_pool3d(mask.float(), grid).flatten(1).unsqueeze(-1).bool()
                return torch.where(hidden, token.to(output.dtype), output)
            hidden = F.adaptive_max_pool3d(mask.float(), output.shape[2:]).bool()
            return torch.where(hidden, token.to(output.dtype).view(1, -1, 1, 1, 1), output)

        def hide_image(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            return (inputs[0].masked_fill(mask, 0), *inputs[1:])

        with ExitStack() as stack:
            stack.enter_context(_removing(points.embedding.register_forward_hook(hide_tokens)))
            if self.mask_image_skips:
                for module in points.image_skips:
                    stack.enter_context(_removing(module.register_forward_pre_hook(hide_image)))
            yield


@contextmanager
def _removing(handle: Any) -> Iterator[None]:
    try:
        yield
    finally:
        handle.remove()
