"""What a proposal leaves on the disk: labelmaps on the grid of the image, facts as JSON, a picture."""

from __future__ import annotations

import json
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import medcontext
from medcontext.data.hashing import files_hash
from medcontext.events import Reporter, plain
from medcontext.geometry import Geometry, Triple, Volume
from medcontext.io import write_labelmap
from medcontext.io.atomic import replacing
from medcontext.io.pictures import is_picture, write_labels_picture
from medcontext.workflows.proposal import Proposal, ProposalOptions, settings, usual_preset
from medcontext.workflows.roi import Box

if TYPE_CHECKING:
    from medcontext.regions.choosing import Rule

SCHEMA_VERSION = 1

_NO_MILLIMETRES = {"area_mm2": None, "centroid_lps": None, "deepest_lps": None}
_PACKAGES = ("torch", "skimage", "scipy", "numpy")


@dataclass(frozen=True, eq=False)
class Foreground:
    """What was taken for the foreground: bool ``(K, J, I)`` of the part that was looked at, and why."""

    rule: Rule
    why: str
    mask: np.ndarray

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {"rule": self.rule, "why": self.why, "voxels": int(np.count_nonzero(self.mask))}


@dataclass(frozen=True, eq=False)
class Looked:
    """What was looked at, and what was found there.

    Attributes:
        source: the image's file or folder.
        whole: grid of the whole image.
        box: index ranges of the part that was looked at.
        place: what people call that part, such as ``axial 15``; empty for the whole image.
        part: that part; the arrays of ``proposal`` lie on its grid.
        options: how.
        proposal: its regions.
        foreground: or None where none was asked for.
        scores: beside ground truth; empty without.
    """

    source: Path
    whole: Geometry
    box: Box
    place: str
    part: Volume
    options: ProposalOptions
    proposal: Proposal
    foreground: Foreground | None
    scores: dict[str, Any]

    @property
    def origin(self) -> Triple:
        """Index ``(k, j, i)`` in the image of the first voxel that was looked at."""
        return self.box[0].start, self.box[1].start, self.box[2].start

    @property
    def title(self) -> str:
        """What stands above the picture."""
        name = {"s3net": "S3-Net", "superpixels": "superpixels"}[self.options.method]
        where = f"{self.source.name}, {self.place}" if self.place else self.source.name
        return f"{where}: {number_of(len(self.proposal.facts), 'region')} by {name}"

    def _regions(self) -> list[dict[str, Any]]:
        """The facts of each region, with indices of the whole image; nobody knows the millimetres of a picture."""
        facts = self.proposal.facts_from(self.origin)
        return [fact | _NO_MILLIMETRES for fact in facts] if is_picture(self.source) else facts

    def to_json(self) -> dict[str, Any]:
        """What ``regions.json`` says."""
        options, proposal = self.options, self.proposal
        learnt = options.method == "s3net"
        facts = {
            "schema_version": SCHEMA_VERSION,
            "source": {"path": str(self.source.absolute()), "sha256": files_hash([self.source])},
            "part": {"box": [[side.start, side.stop] for side in self.box], "shape": list(self.whole.shape)},
            "method": options.method,
            "preset": (options.preset or usual_preset(self.part.channels)) if learnt else None,
            "config": settings(options, self.part.channels).model_dump(mode="json") if learnt else None,
            "seed": options.seed,
            "iterations": proposal.iterations,
            "seconds": round(proposal.seconds, 3),
            "device": proposal.device,
            "reduced": proposal.reduced,
            "software": _software(),
            "regions": self._regions(),
            "foreground": self.foreground and self.foreground.to_json(),
            "scores": self.scores,
        }
        return dict(plain(facts))


def write_results(files: dict[str, Path], looked: Looked, reporter: Reporter) -> dict[str, Any]:
    """Write the files of a proposal.

    Args:
        files: ``regions`` and, where there is one, ``foreground`` (.png or .nii.gz); ``facts`` (.json); ``picture``.
        looked: what was found.
        reporter: progress of the stage ``write``.

    Returns:
        What the file of facts says.

    Raises:
        InputError: the place cannot be written.
        ResourceError: the disk is full.
    """
    reporter.progress("write", 0)
    facts = looked.to_json()
    _write_labels(files["regions"], looked.proposal.regions, looked)
    mask = None if looked.foreground is None else looked.foreground.mask
    if mask is not None:
        _write_labels(files["foreground"], mask.astype(np.uint8), looked)
    _draw(files["picture"], looked, mask)
    with replacing(files["facts"]) as temporary:
        temporary.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    reporter.progress("write", 1)
    return facts


def _write_labels(path: Path, labels: np.ndarray, looked: Looked) -> None:
    """Labels of the part on the grid of the whole image, 0 outside."""
    whole = labels
    if labels.shape != looked.whole.shape:
        whole = np.zeros(looked.whole.shape, np.uint8)
        whole[looked.box] = labels
    if path.suffix == ".png":
        write_labels_picture(path, whole[0])
    else:
        write_labelmap(path, Volume(whole[None], looked.whole))


def _draw(path: Path, looked: Looked, mask: np.ndarray | None) -> None:
    # matplotlib is loaded only once there is something to draw
    from medcontext.workflows.region_picture import draw_regions

    draw_regions(path, looked.part, looked.proposal.regions, region_rows(looked), mask, looked.title)


def number_of(count: int, thing: str) -> str:
    """Such as ``1 region`` and ``2 regions``."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def region_rows(looked: Looked) -> list[tuple[str, str, str, str]]:
    """A heading and a row for each region: number, size, share, mean of each channel."""
    facts = looked.proposal.facts
    unit = "ml" if facts[0].area_mm2 is None else "Pixels" if is_picture(looked.source) else "mm2"
    rows = [("Region", unit, "Share", "Mean")]
    for fact in facts:
        size = fact.volume_ml if fact.area_mm2 is None else fact.area_mm2
        mean = " ".join(_short(value) for value in fact.mean)
        rows.append((str(fact.value), _short(size or 0.0), f"{100 * fact.share:.1f} %", mean))
    return rows


def _short(value: float) -> str:
    """Three digits or more, never as a power of ten."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _software() -> dict[str, str]:
    """Versions of what took part."""
    loaded = {
        name: getattr(sys.modules[name], "__version__", "") for name in _PACKAGES if name in sys.modules
    }
    versions = {name: str(version) for name, version in loaded.items()}
    return {"medcontext": medcontext.__version__, "python": platform.python_version(), **versions}
