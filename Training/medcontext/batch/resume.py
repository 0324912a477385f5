"""What an earlier run left: which cases are done, which files are of this batch, what a killed process left behind."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medcontext.batch import rows
from medcontext.batch.case import BatchCase
from medcontext.batch.options import BatchOptions
from medcontext.batch_ledger import DONE, FAILED, RUNNING, Layout, Row
from medcontext.batch_ledger.rows import UNFINISHED
from medcontext.data.hashing import files_hash
from medcontext.errors import InputError, MedContextError, ResourceError
from medcontext.events import Reporter

_TEMPORARY = re.compile(r"\.[0-9a-f]{8}-(.+)")
"""Names of files that :func:`medcontext.io.atomic.replacing` was writing."""

SUSPECT_AFTER, GIVEN_UP_AFTER = 2, 4
"""Runs that ended in the middle of a case until it is worked on alone, and until it is no longer begun."""

_ABANDONED_S = 24 * 3600.0
"""Age from which a temporary file is nobody's, whoever else works in the folder."""


@dataclass
class Earlier:
    """What the cases of a run are before it begins.

    Attributes:
        todo: cases to work on: those that were tried least first, since one of them may be what ended earlier runs.
        done: ids of cases that are finished.
        deaths: how many runs ended without a word in the middle of a case, where any did.
        foreign: files at the places of cases to do that this batch did not write, or that were changed since.
        again: ids of cases that were finished and are done anew.
    """

    todo: list[BatchCase] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    deaths: dict[str, int] = field(default_factory=dict)
    foreign: dict[str, list[Path]] = field(default_factory=dict)
    again: list[str] = field(default_factory=list)

    @property
    def suspects(self) -> set[str]:
        """Ids of cases in the middle of which several runs ended without a word, as for want of memory."""
        return {case for case, count in self.deaths.items() if count >= SUSPECT_AFTER}

    def refused(self, layout: Layout, overwrite: bool) -> dict[str, MedContextError]:
        """Why cases are not begun, by id.

        Args:
            layout: of the output folder.
            overwrite: whether files of others may be replaced.
        """
        ended = {case: count for case, count in self.deaths.items() if count >= GIVEN_UP_AFTER}
        reasons: dict[str, MedContextError] = {case: _given_up(count) for case, count in ended.items()}
        foreign = {} if overwrite else self.foreign
        return reasons | {case: refusal(paths, layout) for case, paths in foreign.items()}


def look_back(
    cases: Sequence[BatchCase],
    ledger: Mapping[str, Row],
    targets: Mapping[str, Sequence[Path]],
    layout: Layout,
    options: BatchOptions,
    model_sha256: str,
    reporter: Reporter,
    mark: str = "",
) -> Earlier:
    """Divide cases into those that are finished and those to do.

    Args:
        cases: all cases of the run.
        ledger: the newest row of each.
        targets: every file that each may get.
        layout: of the output folder.
        options: of the run.
        model_sha256: hash of its model.
        reporter: told of progress where contents are hashed.
        mark: only what was finished by runs of this mark counts as done; empty: whatever was.

    Raises:
        CancelledError: someone asked to stop.
    """
    found, there = Earlier(), _Listings()
    for index, case in enumerate(cases):
        reporter.check_cancelled()
        if options.verify:
            reporter.progress("verify", index / len(cases))
        row = ledger.get(case.id)
        if row is not None and _is_done(case, row, layout, options, model_sha256, mark):
            found.done.append(case.id)
            continue
        found.todo.append(case)
        if deaths := rows.deaths(row):
            found.deaths[case.id] = deaths
        if row is not None and row["state"] == DONE:
            found.again.append(case.id)
        foreign = [path for path in there.of(targets[case.id]) if not _is_ours(path, row, layout)]
        if foreign:
            found.foreign[case.id] = foreign
    if options.verify:
        reporter.progress("verify", 1)
    found.todo.sort(key=lambda case: rows.attempts(ledger.get(case.id)))
    return found


class _Listings:
    """Which files are there, asked of the disk once for each folder."""

    def __init__(self) -> None:
        self._names: dict[Path, frozenset[str]] = {}

    def of(self, paths: Iterable[Path]) -> list[Path]:
        """Those that are there."""
        return [path for path in paths if path.name in self._listed(path.parent)]

    def _listed(self, folder: Path) -> frozenset[str]:
        if folder not in self._names:
            self._names[folder] = frozenset(path.name for path in _listed(folder))
        return self._names[folder]


def refusal(foreign: Sequence[Path], layout: Layout) -> InputError:
    """Why a case is not worked on."""
    more = f" (and {len(foreign) - 1} more)" if len(foreign) > 1 else ""
    return InputError(
        f"{layout.relative(foreign[0])}{more} was not written by this batch, or was changed since.",
        "Move it away, choose another output folder, or add --overwrite.",
    )


def _given_up(attempts: int) -> MedContextError:
    return ResourceError(
        f"{attempts} runs ended without a word while this case was among those worked on.",
        "It may need more memory than there is: give it a region of interest, or a machine with more. The same "
        "command tries it again.",
    )


def sweep(layout: Layout, names: set[str], alone: bool) -> int:
    """Remove the temporary files of a process that was killed; how many there were.

    Args:
        layout: of the output folder.
        names: names of the files of this run's cases.
        alone: whether no other process may be writing into the folder.
    """
    count = 0
    for folder in _folders(layout):
        for path in _listed(folder):
            match = _TEMPORARY.fullmatch(path.name)
            if match is None or not (alone or match[1] in names or _age(path) > _ABANDONED_S):
                continue
            with suppress(OSError):  # one that stays is in nobody's way
                path.unlink()
                count += 1
    return count


def _folders(layout: Layout) -> list[Path]:
    example = "case"
    places = [
        layout.run,
        layout.thumbnail(example),
        layout.segmentation(example, "nii.gz"),
        layout.dicom(example),
    ]
    folders = {place.parent for place in [*places, layout.certainty(example)]}
    return [*sorted(folders), *_listed(layout.surfaces(example).parent)]


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def untouched(row: Row, layout: Layout, foreign: Sequence[Path] = ()) -> bool:
    """Whether the results of a finished case are there as its row records them.

    Args:
        foreign: files that were not as recorded already when the run began.
    """
    known = {layout.relative(path) for path in foreign}
    entries = _entries(row.get("outputs"))
    return all(entry.get("path") in known or _as_recorded(layout, entry, by_time=True) for entry in entries)


def _is_done(
    case: BatchCase,
    row: Row,
    layout: Layout,
    options: BatchOptions,
    model_sha256: str,
    mark: str,
) -> bool:
    same = row.get("model_sha256") == model_sha256 and row.get("options_hash") == options.hash(case.roi)
    if row["state"] != DONE or not same or (mark and row.get("mark") != mark):
        return False
    if not all(_as_recorded(layout, entry, by_time=False) for entry in _entries(row.get("outputs"))):
        return False
    try:
        return _same_inputs(case, row, options.verify)
    except (MedContextError, OSError, ValueError):  # a file is gone: working on the case says which
        return False


def _same_inputs(case: BatchCase, row: Row, verify: bool) -> bool:
    """Whether sizes and times of the inputs are those recorded; or, to verify, sizes and contents."""
    now, before = rows.input_facts(case), row.get("inputs")
    if not verify:
        return now == before
    sizes = [[entry.get("size") for entry in _entries({"": facts})] for facts in (now, before)]
    return sizes[0] == sizes[1] and files_hash(case.files) == row.get("input_sha256")


def _is_ours(path: Path, row: Row | None, layout: Layout) -> bool:
    """Whether a file is as this batch wrote it. Where a process was killed, all at the places of a case is of it."""
    if row is None:
        return False
    if row["state"] == RUNNING or (row["state"] == UNFINISHED and "left" not in row):
        return True
    left = {"": row.get("left")}
    key = {DONE: row.get("outputs"), FAILED: left, UNFINISHED: left}.get(row["state"])
    place = layout.relative(path)
    return any(
        entry.get("path") == place and _as_recorded(layout, entry, by_time=True) for entry in _entries(key)
    )


def _entries(groups: Any) -> list[dict[str, Any]]:
    """The entries of a part of a row, whatever somebody may have made of the file."""
    lists = groups.values() if isinstance(groups, dict) else ()
    return [entry for part in lists if isinstance(part, list) for entry in part if isinstance(entry, dict)]


def _as_recorded(layout: Layout, entry: Mapping[str, Any], by_time: bool) -> bool:
    try:
        status = layout.absolute(str(entry.get("path"))).stat()
    except (OSError, InputError):
        return False
    return status.st_size == entry.get("size") and (
        not by_time or status.st_mtime_ns == entry.get("mtime_ns")
    )
