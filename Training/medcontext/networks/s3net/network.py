"""S3-Net: two attention blocks, a deformable convolution, and a class for each voxel."""

from __future__ import annotations

from typing import Literal, cast

from torch import Tensor, nn

from medcontext.networks.s3net.attention import AttentionBlock, conv_of, norm_of
from medcontext.networks.s3net.deformable import DeformableConv

Deformation = Literal["static", "predicted", "off"]


class S3Net(nn.Module):
    """The published network, of any number of channels, clusters and blocks.

    It is made for one image at a time: batch norm is what makes the clusters compete, and its statistics are those of
    the one image, so that it is used in training mode also when it answers.

    Args:
        in_channels: of the image.
        channels: of everything between.
        clusters: classes that the answer chooses from.
        blocks: of attention.
        deformation: of the convolution after them: ``static`` (offsets are parameters; one image size only),
            ``predicted`` (any size) or ``off`` (a plain convolution; the only one in 3D).
        size: (J, I) of the image; for ``static`` only.
        dims: 2 or 3.
        balanced: the batch norm of both heads has neither scale nor shift.

    Raises:
        ValueError: deformation in 3D, or ``static`` without a size.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int = 64,
        clusters: int = 64,
        blocks: int = 2,
        deformation: Deformation = "predicted",
        size: tuple[int, int] | None = None,
        dims: int = 2,
        balanced: bool = False,
    ) -> None:
        super().__init__()
        if dims == 3 and deformation != "off":
            raise ValueError("there is no deformable convolution in 3D")
        conv, norm = conv_of(dims), norm_of(dims)
        self.stem = nn.Sequential(conv(in_channels, channels, 3, padding=1), norm(channels))
        self.blocks = nn.Sequential(
            *[nn.Sequential(AttentionBlock(channels, dims), norm(channels)) for _ in range(blocks)]
        )
        last: nn.Module
        if deformation == "off":
            last = conv(channels, channels, 3, padding=1, bias=False)
        else:
            last = DeformableConv(channels, deformation, size)
        answer, other = ((conv(channels, clusters, 1), norm(clusters, affine=not balanced)) for _ in range(2))
        self.main = nn.Sequential(last, norm(channels), *answer)
        self.aux = nn.Sequential(*other)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of both heads.

        Args:
            x: ``(1, in_channels, *spatial)``; several images where deformation is off.

        Returns:
            The main head, whose largest logit is a voxel's cluster, and the other that learns from it under changes of
            the image; both ``(B, clusters, *spatial)`` after batch norm.
        """
        features = self._features(x)
        return self.main(features), self.aux(features)

    def other_head(self, x: Tensor) -> Tensor:
        """The second of what :meth:`forward` gives, without the time that the first takes."""
        return cast(Tensor, self.aux(self._features(x)))

    def _features(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.blocks(self.stem(x)))
