"""When to look at a run: early, then about once a minute, within a small share of the time."""

from __future__ import annotations

FIRST_SECONDS, MOST_SECONDS = 10.0, 60.0
"""Seconds until the first look and, where the share allows it, between two."""
LOOKS = 8
"""Looks at a run that is shorter than a few minutes."""
UNKNOWN_SECONDS = 300.0
"""What a run whose end nobody knows is taken to last at least."""


class Pace:
    """Decides when to look again.

    Args:
        share: of the time that looking may take.

    Attributes:
        seconds: spent on looking.
    """

    def __init__(self, share: float) -> None:
        self.share = share
        self.seconds = 0.0
        self._cost = 0.0
        self._looked_at: float | None = None

    def due(self, seconds: float, share_done: float | None) -> bool:
        """Whether to look again.

        Args:
            seconds: spent on the run until now.
            share_done: of the run, 0..1; None where nobody knows the end.
        """
        if self._looked_at is None:
            return seconds >= FIRST_SECONDS or (share_done is not None and share_done >= 1 / LOOKS)
        apart = min(MOST_SECONDS, expected_seconds(seconds, share_done) / LOOKS)
        return seconds - self._looked_at >= max(apart, self._cost / self.share)

    def allowed(self, seconds: float, share_done: float | None) -> float:
        """Seconds that one of eight looks may take."""
        return expected_seconds(seconds, share_done) * self.share / LOOKS

    def looked(self, seconds: float, cost: float, once: float = 0.0) -> None:
        """Note a look.

        Args:
            seconds: spent on the run before it.
            cost: seconds that it took, and that the next one will take.
            once: seconds beside those that no later look takes.
        """
        self._cost = cost
        self.seconds += cost + once
        self._looked_at = seconds + cost + once


def expected_seconds(seconds: float, share_done: float | None) -> float:
    """How long the run lasts as far as one can tell."""
    return seconds / share_done if share_done else max(UNKNOWN_SECONDS, seconds)
