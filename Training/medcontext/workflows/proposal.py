"""Regions of one image in memory, found without a model and without labels."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from medcontext.errors import InputError
from medcontext.events import Reporter, plain
from medcontext.geometry import Triple, Volume
from medcontext.workflows.working_copy import STAGE, Clusters, WorkingCopy, is_plane

if TYPE_CHECKING:
    from medcontext.methods.s3net.config import S3NetConfig
    from medcontext.regions.choosing import Rule
    from medcontext.regions.statistics import RegionFacts

Method = Literal["s3net", "superpixels"]

METHODS: tuple[Method, ...] = ("s3net", "superpixels")
COLOURS = 3
"""Channels of a picture in colour."""
LEAST_REGION = 16
"""Pixels or voxels of the smallest region, however small the image: nobody picks a speck."""


@dataclass(frozen=True)
class ProposalOptions:
    """How regions are looked for.

    Attributes:
        method: ``s3net`` (a small network learns to group the pixels of this image alone) or ``superpixels`` (SLIC and
            k-means: seconds, without a network).
        preset: of S3-Net: ``default``, ``scan`` or ``repo``; when None :func:`usual_preset`.
        config: of S3-Net, instead of a preset.
        changes: settings of S3-Net that are changed, such as ``size=256``.
        seed: of all random draws, from 0; the same seed gives the same regions.
        clusters: kinds of what is shown that are told apart, such as lesion and skin; when None 2 in a picture in
            colour, in other images 6 (S3-Net) or 4 (superpixels).
        least_share: smaller regions, as a share of the image, go to the neighbour with the longest common border, as
            do those of fewer than :data:`LEAST_REGION` pixels.
        device: ``auto``, ``cuda``, ``cuda:1``, ``mps`` or ``cpu``.
    """

    method: Method = "s3net"
    preset: str | None = None
    config: S3NetConfig | None = None
    changes: Sequence[str] = ()
    seed: int = 0
    clusters: int | None = None
    least_share: float = 0.001
    device: str = "auto"


@dataclass(frozen=True, eq=False)
class Worked:
    """What regions were looked for in; arrays and facts are those of the copy, on its grid.

    Attributes:
        copy: the image or a reduced copy.
        clusters: int ``(K, J, I)``.
        regions: uint8 ``(K, J, I)``.
        facts: of each region.
    """

    copy: WorkingCopy
    clusters: np.ndarray
    regions: np.ndarray
    facts: list[RegionFacts]


@dataclass(frozen=True, eq=False)
class Proposal:
    """The regions of an image.

    Attributes:
        regions: uint8 ``(K, J, I)`` on the grid of the image: 1..n, the largest first; every pixel has one.
        facts: of each region, in the order of their numbers; indices are those of the image that was given.
        worked: what was worked on, with the clusters before they were cut into connected regions.
        iterations: that the network learnt for; 0 without one.
        seconds: wall time.
        device: that computed.
    """

    regions: np.ndarray
    facts: list[RegionFacts]
    worked: Worked
    iterations: int
    seconds: float
    device: str

    @property
    def reduced(self) -> str:
        """A sentence where a reduced copy was worked on, else empty."""
        return self.worked.copy.reduced

    def facts_from(self, origin: Triple) -> list[dict[str, Any]]:
        """The facts as plain data, with indices of a larger image in which this one begins at ``origin`` (k, j, i)."""
        found = []
        for fact in self.facts:
            moved = replace(
                fact,
                box=tuple((a + n, b + n) for (a, b), n in zip(fact.box, origin, strict=True)),  # type: ignore[arg-type]
                centroid=tuple(x + n for x, n in zip(fact.centroid, origin, strict=True)),  # type: ignore[arg-type]
                deepest=tuple(x + n for x, n in zip(fact.deepest, origin, strict=True)),  # type: ignore[arg-type]
            )
            found.append(plain(moved.to_json()))
        return found

    def foreground(
        self, rule: Rule, seeds: Sequence[Triple] = (), numbers: Sequence[int] = ()
    ) -> tuple[np.ndarray, str]:
        """The region, or the regions of the seeds or numbers, that a rule takes for the foreground.

        Args:
            rule: ``largest`` (that does not touch the border), ``contrast`` (that differs most from what surrounds
                it), ``seeds`` or ``numbers``.
            seeds: indices ``(k, j, i)`` of voxels of the image.
            numbers: of regions, as :attr:`regions` has them.

        Returns:
            bool ``(K, J, I)`` on the grid of the image, without holes, and the sentence why. It is in one piece, but
            for seeds or numbers of regions that do not touch.

        Raises:
            InputError: a seed lies outside of the image, there is no region of a number, or there is none for the rule
                ``seeds`` or ``numbers``.
        """
        from medcontext.regions.choosing import choose

        copy, worked = self.worked.copy, self.worked
        inside = [copy.index_in_copy(check_seed(seed, copy.whole.shape)) for seed in seeds]
        mask, why = choose(worked.regions, worked.facts, rule, inside, numbers)
        return copy.enlarged(mask), why


def check_seed(seed: Triple, shape: Triple) -> Triple:
    """The seed, where it is a voxel ``(k, j, i)`` of an image of that shape.

    Raises:
        InputError: it lies outside.
    """
    if not all(0 <= index < size for index, size in zip(seed, shape, strict=True)):
        given, last = (", ".join(map(str, values)) for values in (seed, [size - 1 for size in shape]))
        raise InputError(
            f"The seed ({given}) lies outside of the image, whose voxels (k, j, i) are (0, 0, 0) to ({last}).",
            "Give a point inside, counted from 0.",
        )
    return seed


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
    reporter = reporter or Reporter()
    config = settings(options, image.channels)
    began = time.perf_counter()
    copy = WorkingCopy.of(image)
    if copy.reduced:
        reporter.warning(copy.reduced)
    # Only now: a wrong image should not cost the seconds that these take to load.
    from medcontext.regions.extraction import regions_of
    from medcontext.regions.statistics import facts_of

    found = _clusters(copy.image, options, config, reporter)
    reporter.check_cancelled()
    regions = regions_of(found.array, max(options.least_share, LEAST_REGION / found.array.size))
    plane = image.shape.index(1) if is_plane(image.shape) else None
    worked = Worked(copy, found.array, regions, facts_of(regions, copy.image, plane, found.array))
    reporter.check_cancelled()
    whole, facts = regions, worked.facts
    if copy.reduced:
        whole = copy.enlarged(regions)
        counted = facts_of(whole, image, plane)
        facts = [replace(fact, cluster=old.cluster) for fact, old in zip(counted, facts, strict=True)]
    seconds = time.perf_counter() - began
    return Proposal(whole, facts, worked, found.iterations, seconds, found.device)


def _clusters(image: Volume, options: ProposalOptions, config: S3NetConfig, reporter: Reporter) -> Clusters:
    """What the chosen method groups together."""
    if options.method == "superpixels":
        from medcontext.regions.superpixels import superpixel_clusters, usual_clusters

        reporter.progress(STAGE, 0)
        clusters = usual_clusters(image.channels) if options.clusters is None else options.clusters
        found = superpixel_clusters(image.array, clusters, options.seed, image.spacing)
        reporter.progress(STAGE, 1)
        return Clusters(found, 0, "CPU")
    from medcontext.workflows.network_clusters import network_clusters

    return network_clusters(image, config, options.seed, options.device, reporter)


def usual_preset(channels: int) -> str:
    """The preset of S3-Net for an image: ``default`` for one in colour, ``scan`` for others."""
    return "default" if channels == COLOURS else "scan"


def settings(options: ProposalOptions, channels: int = COLOURS) -> S3NetConfig:
    """The settings of S3-Net that the options ask for.

    Args:
        options: as given.
        channels: of the image.

    Raises:
        InputError: there is no such method, preset or setting, the seed is negative, or the packages that the method
            needs are missing.
    """
    from medcontext.methods import make_config
    from medcontext.regions.superpixels import require_superpixels

    if options.method not in METHODS:
        raise InputError(
            f"Regions cannot be proposed by '{options.method}'.", f"Allowed: {', '.join(METHODS)}."
        )
    if options.seed < 0:
        raise InputError(f"The seed {options.seed} is negative; allowed are 0 and above.", "Leave it at 0.")
    if options.method == "superpixels":
        require_superpixels()
    config = options.config or make_config("s3net", options.preset or usual_preset(channels))
    changes = list(options.changes)
    if options.clusters is not None and options.method == "s3net":
        changes.append(f"clusters={options.clusters}")
    return cast("S3NetConfig", config.updated(changes))
