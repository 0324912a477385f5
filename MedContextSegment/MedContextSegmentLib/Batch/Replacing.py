"""Which finished results a batch would do again and replace, asked of its folder before it begins. No Qt."""

from __future__ import annotations

from dataclasses import dataclass

from medcontext.batch_ledger import DONE, Layout, read_rows
from MedContextSegmentLib.Batch.BatchCommand import BatchRequest
from MedContextSegmentLib.Batch.FolderReader import RunFacts, runFacts

CHOSEN, OTHER, GOING_ON = "chosen", "other", "going on"


@dataclass(frozen=True)
class Replaced:
    """What would be replaced.

    Attributes:
        why: "chosen" by a person; "other" where model or options are others than those of the results that are there,
            which the batch refuses else; "going on" where a run did so and did not come to its end.
        count: how many finished cases.
    """

    why: str
    count: int


def wouldReplace(request: BatchRequest) -> Replaced | None:
    """What a batch would replace, or would have to; None for nothing.

    Raises:
        InputError: the ledger in the folder cannot be read.
    """
    run = runFacts(Layout(request.output))
    mark = run.replacing if run is not None else ""
    other = run is not None and differs(run, request)
    if not (request.overwrite or other or mark):
        return None
    done = [row for row in read_rows(request.output).values() if row.get("state") == DONE]
    if mark and not other:  # what was done again is not done once more
        done = [row for row in done if row.get("mark") != mark]
    why = OTHER if other else CHOSEN if request.overwrite else GOING_ON
    return Replaced(why, len(done)) if done or request.overwrite else None


def differs(run: RunFacts, request: BatchRequest) -> bool:
    """Whether a batch would give other results than those of an earlier one in the same folder."""
    before = run.model, sorted(run.formats), run.certaintyMap, run.precision
    now = request.model, sorted(request.formats), request.certaintyMap, request.precision
    return run.unusual or before != now
