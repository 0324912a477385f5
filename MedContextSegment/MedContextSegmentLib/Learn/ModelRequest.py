"""One request to the worker about the model library."""

from __future__ import annotations

from typing import Any

from MedContextSegmentLib.Learn.WorkerSteps import Steps, WorkerSteps
from MedContextSegmentLib.Worker.WorkerProcess import WorkerProcess


class ModelRequest(WorkerSteps):
    """Looks at a model, imports, exports or removes one; see :class:`WorkerSteps.WorkerSteps`.

    Args:
        worker: what serves it.
        kind: "inspect_model", "import_model", "export_model", "remove_model" or "propose_labels".
        fields: of the request, as plain data.
        listener: is told how it goes; may be None.

    Attributes:
        result: the fields of the worker's answer, a dict.
    """

    def __init__(
        self, worker: WorkerProcess, kind: str, fields: dict[str, Any], listener: Any = None
    ) -> None:
        super().__init__(worker, listener)
        self._kind, self._fields = kind, dict(fields)

    def _steps(self) -> Steps[dict[str, Any]]:
        return (yield from self._ask(self._kind, self._fields))
