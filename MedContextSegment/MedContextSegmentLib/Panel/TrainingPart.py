"""What a part of *Learn* that trains says of itself: its words and its choices."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class TrainingWords:
    """What a part calls what it does.

    Attributes:
        title: of questions.
        start: what *Start* does.
        stop: what *Start* becomes.
        stopTip: what that does.
        preview: what the small picture shows.
    """

    title: str
    start: str
    stop: str
    stopTip: str
    preview: str


class TrainingOptions(Protocol):
    """The choices of a part."""

    @property
    def name(self) -> str:
        """What the id of the new model is made from."""

    @property
    def title(self) -> str:
        """What a person calls such a training."""

    def refresh(self) -> None:
        """Show what the library, the store and the settings hold now."""

    def update(self) -> None:
        """Show the choices that are needed now."""

    def reason(self) -> str:
        """Why nothing can be learnt, as a sentence; "" when it can."""

    def request(self, output: Path) -> Any:
        """What a click of *Start* asks for, with ``arguments()`` and ``command(python)``."""
