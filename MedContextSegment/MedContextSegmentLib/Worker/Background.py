"""Work beside the main thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class Background(Generic[Answer]):
    """Work in a thread of its own, which must not touch the scene."""

    def __init__(self, work: Callable[[], Answer]) -> None:
        self._work = work
        self._answer: list[Answer] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._do, name="medcontext run", daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        """Whether :meth:`result` would not wait."""
        return not self._thread.is_alive()

    def wait(self, seconds: float) -> bool:
        """Wait for so long at most; whether it is done."""
        self._thread.join(seconds)
        return self.done

    def result(self) -> Answer:
        """What the work gave; raises what it raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._answer[0]

    def _do(self) -> None:
        try:
            self._answer.append(self._work())
        except BaseException as error:
            self._error = error
