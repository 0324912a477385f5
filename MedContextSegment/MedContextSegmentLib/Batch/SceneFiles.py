"""The scenes of the finished cases of a batch, and the ledger of them: ``scenes/ledger.jsonl``."""

from __future__ import annotations

import time
import traceback
from collections import deque
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from medcontext.batch_ledger import (
    DONE,
    FAILED,
    RUNNING,
    Layout,
    LedgerWriter,
    Row,
    Tail,
    read_rows,
    result_id,
)
from medcontext.errors import CancelledError, InputError, MedContextError, ResourceError
from MedContextSegmentLib.Batch.CaseReading import CaseReader
from MedContextSegmentLib.Batch.CaseScene import CaseScene
from MedContextSegmentLib.Batch.SceneBundle import writeBundle

MAKING = ".making"
"""Folder of the scene that is being written, below that of the scenes."""


class SceneFiles:
    """Makes scenes, one at a time.

    A scene is made again when its case was done again, or when its file is gone. A file that somebody changed since,
    or that no batch made, is replaced only where that was asked for. What goes wrong with one stops no other.

    Args:
        out: the output folder of the batch.
        reader: reads the cases.
        shard: the part of the cases that this batch does, which has a ledger of its own.
        overwrite: whether files that this batch did not make may be replaced.

    Attributes:
        made: how many were made.
        kept: how many were there already.
        failed: how many could not be made.

    Raises:
        InputError: another process makes scenes there, or the place cannot be written.
        ResourceError: the disk is full.
    """

    def __init__(
        self, out: Path, reader: CaseReader, shard: tuple[int, int] | None = None, overwrite: bool = False
    ) -> None:
        self._layout, self._reader, self._overwrite = Layout(out), reader, overwrite
        own = Layout(self._layout.scene("x").parent)
        self._records = read_rows(own.root)
        self._writer = LedgerWriter(own.ledger(shard))
        self._shard = "" if shard is None else f"{shard[0]}-of-{shard[1]}"
        self._work = own.root / (f"{MAKING}-{self._shard}" if shard else MAKING)
        self._scene = CaseScene()
        self._tail = Tail(out)
        self._rows: dict[str, Row] = {}
        self._waiting: deque[str] = deque()
        self.made = self.kept = self.failed = 0

    @property
    def ledger(self) -> Path:
        """What became of each scene."""
        return self._writer.path

    @property
    def waiting(self) -> int:
        """How many cases still wait for their scene."""
        return len(self._waiting)

    def add(self, case: str) -> None:
        """A case is finished, by this run or an earlier one."""
        self._waiting.append(case)

    def step(self) -> str:
        """Make the scene of the next case that waits; returns the line to tell about it, "" for none.

        Raises:
            InputError, ResourceError: the ledger of the scenes cannot be written.
        """
        if not self._waiting:
            return ""
        case = self._waiting.popleft()
        self._rows.update((row["case"], row) for row in self._tail.poll())
        row = self._rows.get(case)
        if row is None or row["state"] != DONE:
            return ""
        if self._isThere(case, row):
            self.kept += 1
            return ""
        record: Row = {"case": case, "state": RUNNING, "time": time.time(), "shard": self._shard}
        try:
            self._checkPlace(case)
            self._writer.append(record)
            self._writer.sync()
            began = time.perf_counter()
            facts = self._make(case, row)
            facts["seconds"] = {"total": round(time.perf_counter() - began, 3)}
        except CancelledError:
            raise
        except MedContextError as error:
            return self._fail(record, error)
        except Exception as error:  # one scene must not end the engine, which works on thousands of others
            return self._fail(record, unforeseen(error))
        finally:
            self._scene.clear()
        self.made += 1
        self._record({**record, "state": DONE, "time": time.time(), "error": None, **facts})
        return ""

    def close(self) -> None:
        """Let another process make scenes there."""
        self._scene.close()
        self._writer.close()

    def _make(self, case: str, row: Row) -> dict[str, Any]:
        self._scene.show(self._reader.read(case, row))
        place = self._layout.scene(case)
        writeBundle(place, self._work)
        status = place.stat()
        entry = {"path": self._layout.relative(place), "size": status.st_size, "mtime_ns": status.st_mtime_ns}
        return {"of": result_id(row), "outputs": {"mrb": [entry]}}

    def _fail(self, record: Row, error: MedContextError) -> str:
        self.failed += 1
        told = {"kind": error.kind, "message": error.message, "hint": error.hint}
        self._record({**record, "state": FAILED, "time": time.time(), "error": told})
        return _("No scene of {case}: {reason}").format(case=record["case"], reason=error)

    def _record(self, record: Row) -> None:
        self._writer.append(record)
        self._records[record["case"]] = record

    def _isThere(self, case: str, row: Row) -> bool:
        record = self._records.get(case, {})
        return (
            record.get("state") == DONE
            and record.get("of") == result_id(row)
            and self._isOurs(case, self._layout.scene(case))
        )

    def _isOurs(self, case: str, place: Path) -> bool:
        """Whether the file is there as this batch left it."""
        record = self._records.get(case, {})
        entries = (record.get("outputs") or {}).get("mrb", [])
        try:
            status = place.stat()
        except OSError:
            return False
        return any(
            (entry["size"], entry["mtime_ns"]) == (status.st_size, status.st_mtime_ns) for entry in entries
        )

    def _checkPlace(self, case: str) -> None:
        place = self._layout.scene(case)
        begun = self._records.get(case, {}).get("state") == RUNNING  # and killed: what is there is ours
        if self._overwrite or begun or not place.exists() or self._isOurs(case, place):
            return
        raise InputError(
            _("{path} was changed since, or was not made by this batch.").format(path=place),
            _("Move it elsewhere, or add --overwrite."),
        )


def unforeseen(error: Exception) -> MedContextError:
    """A fault as something to write down. What libraries say of it is left out: paths may name a patient."""
    if isinstance(error, MemoryError):
        return ResourceError(
            _("Memory ran out while the scene was made."), _("Start the same command again when it is free.")
        )
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    text = _("The scene could not be made ({fault} in {place}).")
    return MedContextError(text.format(fault=type(error).__name__, place=place), _("Please report this."))
