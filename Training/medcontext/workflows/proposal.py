"""Regions of one image in memory, found without a model and without labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from medcontext.events import Reporter
from medcontext.geometry import Triple, Volume

if TYPE_CHECKING:
    from medcontext.methods.s3net.config import S3NetConfig
    from medcontext.regions.statistics import RegionFacts

Method = Literal["s3net", "superpixels"]
Rule = Literal["largest", "contrast", "seeds"]

METHODS: tuple[Method, ...] = ("s3net", "superpixels")


@dataclass(frozen=True)
class ProposalOptions:
    """How regions are looked for.

    Attributes:
        method: ``s3net`` (a small network learns to group the pixels of this image alone) or ``superpixels`` (SLIC and
            k-means: seconds, without a network).
        preset: of S3-Net: ``default`` or ``repo``.
        config: of S3-Net, instead of a preset.
        seed: of all random draws; the same seed gives the same regions.
        clusters: of ``superpixels``: number of groups of colour; the best known number when None.
        least_share: smaller regions, as a share of the image, go to the neighbour with the longest common border.
        device: ``auto``, ``cuda``, ``cuda:1``, ``mps`` or ``cpu``.
    """

    method: Method = "s3net"
    preset: str = "default"
    config: S3NetConfig | None = None
    seed: int = 0
    clusters: int | None = None
    least_share: float = 0.001
    device: str = "auto"


@dataclass(frozen=True, eq=False)
class Proposal:
    """The regions of an image.

    Attributes:
        regions: uint8 ``(K, J, I)`` on the grid of the image: 1..n, the largest first; every pixel has one.
        facts: of each region, in the order of their numbers; indices are those of the image that was given.
        clusters: int ``(K, J, I)``, what was grouped before it was cut into connected regions; on the grid of the
            working copy, which is the image's where ``reduced`` is empty.
        iterations: that the network learnt for; 0 without one.
        seconds: wall time.
        device: that computed.
        reduced: a sentence where a reduced copy was worked on, else empty.
    """

    regions: np.ndarray
    facts: list[RegionFacts]
    clusters: np.ndarray
    iterations: int
    seconds: float
    device: str
    reduced: str = ""

    def foreground(self, rule: Rule, seeds: Sequence[Triple] = ()) -> tuple[np.ndarray, str]:
        """The region, or the regions of the seeds, that a rule takes for the foreground.

        Args:
            rule: ``largest`` (that does not touch the border), ``contrast`` (that differs most from what surrounds
                it) or ``seeds``.
            seeds: indices ``(k, j, i)`` of voxels of the image.

        Returns:
            bool ``(K, J, I)`` on the grid of the image, without holes and in one piece, and the sentence why.

        Raises:
            InputError: a seed lies outside of the image, or there is none for the rule ``seeds``.
        """
        raise NotImplementedError


def propose_regions(image: Volume, options: ProposalOptions, reporter: Reporter | None = None) -> Proposal:
    """Propose regions of an image.

    Args:
        image: ``(C, K, J, I)``; with one axis of length 1 it is a picture, else a volume of at most 512 voxels along
            each axis. Pictures above 2048 pixels and volumes above 96 voxels a side are worked on in a reduced copy,
            which ``reduced`` says.
        options: how.
        reporter: progress of the stage ``propose`` for each iteration; asked whether to stop between them.

    Raises:
        InputError: the image has one value everywhere, is smaller than 16 pixels a side (8 voxels of a volume),
            larger than allowed, or holds NaN or infinity; or an option cannot be followed.
        CancelledError: someone asked to stop.
        ResourceError: memory ran out.
    """
    raise NotImplementedError
