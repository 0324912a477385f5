"""What held-out scans say about an encoder, in words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from medcontext.methods.voco.watched import COLLAPSED


def last_signals(log: Path) -> dict[str, float]:
    """The last signals that a run's log holds; empty where nobody looked."""
    found: dict[str, float] = {}
    with suppress(OSError):
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(ValueError, AttributeError):  # the last line of a killed run may be cut
                found = json.loads(line).get("signals") or found
    return found


def sentence(signals: Mapping[str, float], scans: int, held_out: bool) -> str:
    """What was learnt, beside what it must beat; empty where nobody looked.

    Args:
        signals: of the last look, by name.
        scans: number of those looked at.
        held_out: whether nothing was learnt from them.
    """
    of = f"{scans} {'held-out scan' if held_out else 'scan'}{'' if scans == 1 else 's'}"
    of += "" if held_out else " that it learnt from"
    if "position_accuracy" in signals:
        return (
            f"It finds the place of a crop in {100 * signals['position_accuracy']:.0f} % of the cases on {of} "
            f"(chance {100 * signals['chance']:.0f} %); prediction loss {signals['prediction_loss']:.3g}, the best "
            f"constant {signals['best_constant']:.3g}."
        )
    if "reconstruction_error" in signals:
        return (
            f"It rebuilds what is hidden on {of} with an error of {signals['reconstruction_error']:.3g}; the mean "
            f"of what is seen has {signals['mean_error']:.3g}."
        )
    return ""


def doubts(signals: Mapping[str, float]) -> list[str]:
    """Why the encoder may be of no use, in sentences."""
    found = []
    told, constant = signals.get("prediction_loss"), signals.get("best_constant")
    if told is not None and constant is not None and told >= constant:
        found.append(
            "It has not learnt more than to say the same of every crop: give it more time, more scans, or other crops "
            "(--set crop_size=...)."
        )
    rebuilt, mean = signals.get("reconstruction_error"), signals.get("mean_error")
    if rebuilt is not None and mean is not None and rebuilt >= mean:
        found.append("It rebuilds what is hidden no better than the mean of what is seen: give it more time.")
    if signals.get("effective_rank", COLLAPSED) < COLLAPSED:
        found.append(
            "Its embeddings of different crops are all alike: there is nothing in them to start from."
        )
    return found
