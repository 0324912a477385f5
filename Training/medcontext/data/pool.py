"""A pool of unlabelled scans of any size, spacing and modality, prepared when they are first asked for."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medcontext.data.entries import new_entry, remove_abandoned
from medcontext.data.reading import shortened, upright_hash, voxel_hash
from medcontext.data.scan_recipe import Recipe
from medcontext.data.scans import Scan
from medcontext.errors import InputError, ResourceError
from medcontext.events import Reporter
from medcontext.home import home
from medcontext.io import read_image

POOL_VERSION = 1
"""Counted up when preparing changes what it writes."""
PREPARED_AT_ONCE = 2
"""Scans prepared at the same time: a large CT takes 2 GB while it is."""
NAMED = 20
"""Scans that a sentence names."""


@dataclass(frozen=True)
class _Facts:
    """What is known of a prepared scan: the entry's folder, hashes of its voxels as stored and turned, and remarks."""

    folder: Path
    content: str
    voxels: str
    upright: str
    left_out: str
    enlarged: bool
    odd: str


class ScanPool:
    """Scans as arrays that crops are cut out of, kept on disk; may be used by several threads and processes.

    Args:
        scans: what :func:`medcontext.data.scans.pooled_scans` found.
        recipe: how they are prepared.
        in_use: hashes of the voxels of images that must not be learnt from.
        root: cache folder; the user's when None.
        reporter: told of the first scan that is left out, when :meth:`tell_first` is called, and by :meth:`tell`.

    Attributes:
        scans: as given.
        recipe: as given.
    """

    def __init__(
        self,
        scans: Sequence[Scan],
        recipe: Recipe,
        *,
        in_use: Collection[str] = (),
        root: Path | None = None,
        reporter: Reporter | None = None,
    ) -> None:
        self.scans = list(scans)
        self.recipe = recipe
        self._in_use = frozenset(in_use)
        self._root = root or home() / "cache" / f"pool-{POOL_VERSION}"
        self._reporter = reporter or Reporter()
        self._locks = [threading.Lock() for _ in self.scans]
        self._preparing = threading.Semaphore(PREPARED_AT_ONCE)
        self._known: dict[int, _Facts] = {}
        self._reasons: dict[int, str] = {}
        self._told = False
        remove_abandoned(self._root)

    def __len__(self) -> int:
        """Number of scans, usable or not."""
        return len(self.scans)

    def get(self, index: int) -> np.ndarray | None:
        """A prepared scan.

        Args:
            index: of ``scans``.

        Returns:
            float16 ``(C, K, J, I)``, a memory map that closes with the last reference to it; None where the scan
            cannot be used, see :attr:`left_out`. Which it is depends on the scan alone.

        Raises:
            ResourceError: the disk is full.
        """
        with self._locks[index]:
            if index in self._reasons:
                return None
            try:
                return self._opened(index)
            except InputError as error:
                reason = error.message
            except MemoryError:
                reason = "It takes more memory than there is."
            self._reasons[index] = reason
            self._known.pop(index, None)
            return None

    def ready(self, most: int | None = None) -> list[int]:
        """Prepare scans now, in order, until ``most`` of them (None: all) can be used; gives their indices.

        Raises:
            CancelledError: someone asked to stop.
            ResourceError: the disk is full.
        """
        usable: list[int] = []
        wanted = len(self) if most is None else min(most, len(self))
        for index in range(len(self)):
            if len(usable) == wanted:
                break
            self._reporter.check_cancelled()
            self._reporter.progress("prepare", len(usable) / wanted)
            if self.get(index) is not None:
                usable.append(index)
        self._reporter.progress("prepare", 1.0)
        return usable

    @property
    def left_out(self) -> dict[str, str]:
        """Why scans that were asked for cannot be used: a sentence by id, in the order of the pool."""
        return {self.scans[index].id: reason for index, reason in sorted(self._reasons.copy().items())}

    @property
    def voxels(self) -> frozenset[str]:
        """Hashes of the voxels of the scans that were asked for and can be used."""
        return frozenset(
            text for facts in self._known.copy().values() for text in (facts.voxels, facts.upright)
        )

    def hashes(self) -> list[str]:
        """Hashes of files and voxels of all scans that were prepared, by whichever process, for a model's card."""
        found = [self._seen(scan) for scan in self.scans]
        used = [facts for facts in found if facts and not facts.left_out and not self._taken(facts)]
        return list(dict.fromkeys(text for facts in used for text in (facts.content, facts.voxels)))

    @property
    def unread(self) -> bool:
        """Whether there are scans that were not asked for yet."""
        return len(self._known) + len(self._reasons) < len(self)

    def emptiness(self) -> InputError:
        """What to raise where none of the scans can be used; the first is named."""
        name, why = next(iter(self.left_out.items()), ("", ""))
        first = f"; of {name}: {why}" if name else "."
        return InputError(f"None of the {len(self)} scans can be learnt from{first}", "Choose other scans.")

    def tell_first(self) -> None:
        """Warn of the first scan that is left out; the others are told at the end."""
        reasons = self.left_out
        if reasons and not self._told:
            self._told = True
            listed = [f"{name} ({why.rstrip('.')})" for name, why in reasons.items()]
            self._reporter.warning(f"Left out: {shortened(listed, 1)}. The end of the run lists all of them.")

    def tell(self) -> None:
        """Say which scans were left out, enlarged, doubled, or are unlikely for their channels; once, at the end."""
        reasons = [f"{name} ({why.rstrip('.')})" for name, why in self.left_out.items()]
        if reasons:
            self._reporter.warning(
                f"{len(reasons)} of {len(self)} scans were left out: {shortened(reasons, NAMED)}."
            )
        known = {self.scans[index].id: facts for index, facts in sorted(self._known.copy().items())}
        if odd := [f"{name} ({facts.odd.rstrip('.')})" for name, facts in known.items() if facts.odd]:
            self._reporter.warning(f"{len(odd)} scans may be of another kind: {shortened(odd, NAMED)}.")
        if enlarged := [name for name, facts in known.items() if facts.enlarged]:
            self._reporter.info(
                f"{len(enlarged)} scans are smaller than the region that crops are cut from and were enlarged: "
                f"{shortened(enlarged, NAMED)}."
            )
        first = {facts.upright: name for name, facts in reversed(known.items())}
        if same := [f"{n} (as {first[f.upright]})" for n, f in known.items() if first[f.upright] != n]:
            self._reporter.info(f"{len(same)} scans show the same image as others: {shortened(same, NAMED)}.")

    def _opened(self, index: int) -> np.ndarray:
        """The array of a scan, prepared where it is new or someone emptied the cache.

        Raises:
            InputError: it cannot be used.
        """
        array = _array(self._known[index].folder) if index in self._known else None
        if array is None:
            self._known[index] = self._facts(self.scans[index])
            array = _array(self._known[index].folder)
        if array is None:
            raise ResourceError(f"What was written to {self._root} cannot be read back.", "Check that disk.")
        return array

    def _facts(self, scan: Scan) -> _Facts:
        """What is known of a scan, prepared now or by an earlier run.

        Raises:
            InputError: it cannot be used.
        """
        content = scan.content_hash()
        folder = self._folder(content)
        facts = _read(folder, content)
        if facts is None:
            with self._preparing:
                self._prepare(scan, folder)
            facts = _read(folder, content)
        if facts is None:
            raise ResourceError(f"What was written to {folder} cannot be read back.", "Check that disk.")
        if facts.left_out:
            raise InputError(facts.left_out)
        if self._taken(facts):
            raise InputError("It is a copy of an image that is kept for scoring.")
        return facts

    def _taken(self, facts: _Facts) -> bool:
        return bool(self._in_use & {facts.voxels, facts.upright})

    def _folder(self, content: str) -> Path:
        parts = f"{content}|{POOL_VERSION}|{self.recipe.key()}"
        return self._root / hashlib.sha256(parts.encode()).hexdigest()[:32]

    def _prepare(self, scan: Scan, folder: Path) -> None:
        image = read_image(scan.paths)  # what cannot be read is not noted: the reader may learn to
        voxels = voxel_hash(image)
        facts: dict[str, Any] = {"voxels": voxels, "upright": upright_hash(image, voxels)}
        facts |= {"odd": self.recipe.odd(image), "left_out": "", "enlarged": False}
        array = None
        try:
            array, facts["enlarged"] = self.recipe.apply(image)
        except InputError as error:
            facts["left_out"] = error.message
        with new_entry(folder, lambda: _read(folder, "") is not None) as scratch:
            if array is not None:
                np.save(scratch / "scan.npy", array)
            (scratch / "facts.json").write_text(json.dumps(facts), encoding="utf-8")

    def _seen(self, scan: Scan) -> _Facts | None:
        """What is known of a scan that was prepared before; nothing is read or prepared for it."""
        content = scan.known_hash()
        return _read(self._folder(content), content) if content else None


def _array(folder: Path) -> np.ndarray | None:
    """The array of an entry, or None where there is none or it is damaged."""
    try:
        return np.load(folder / "scan.npy", mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None


def _read(folder: Path, content: str) -> _Facts | None:
    """The facts of an entry, or None where there is none or it is damaged."""
    try:
        facts = _Facts(folder, content, **json.loads((folder / "facts.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return facts if facts.left_out or _array(folder) is not None else None
