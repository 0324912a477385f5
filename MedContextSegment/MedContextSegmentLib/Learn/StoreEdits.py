"""Changes of a case store that need nothing of the scene: the worker makes them."""

from __future__ import annotations

from typing import Any

from MedContextSegmentLib.Learn.WorkerSteps import Steps, WorkerSteps
from MedContextSegmentLib.Worker.WorkerProcess import WorkerProcess

KINDS = ("create_store", "edit_store", "add_unlabelled")


class StoreRequest(WorkerSteps):
    """One request about a case store.

    Args:
        worker: what serves it.
        kind: "create_store", "edit_store" or "add_unlabelled".
        fields: of the request, as plain data.
        listener: is told how it goes; may be None.

    Attributes:
        result: the fields of the worker's answer, a dict.
    """

    def __init__(
        self, worker: WorkerProcess, kind: str, fields: dict[str, Any], listener: Any = None
    ) -> None:
        if kind not in KINDS:
            raise ValueError(kind)
        super().__init__(worker, listener)
        self._kind, self._fields = kind, dict(fields)

    def _steps(self) -> Steps[dict[str, Any]]:
        return (yield from self._ask(self._kind, self._fields))
