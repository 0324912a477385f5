"""What somebody has looked at from end to end, proposed as a case: every slice of it is finished."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from medcontext.case_list import StoreSummary
from MedContextSegmentLib.Learn.CaseProposal import CaseProposal
from MedContextSegmentLib.Learn.LabelMapping import leaveOut, valuesOf
from MedContextSegmentLib.Learn.Proposing import proposing
from MedContextSegmentLib.Learn.WorkerSteps import Steps, WorkerSteps
from MedContextSegmentLib.Scene.EditableArea import segmentIdsOf
from MedContextSegmentLib.Worker.WorkerProcess import WorkerProcess


def proposingWhole(
    volumes: Sequence[Any], segmentation: Any, store: StoreSummary, name: str
) -> Generator[float, None, CaseProposal]:
    """Propose a case of which all is finished, in small steps.

    A segment without a voxel says that its structure is not there, where the store knows the structure.

    Args:
        volumes: a volume node for each channel of the store.
        segmentation: the segmentation node.
        store: where the case goes.
        name: what the id of the case is made of.

    Yields:
        The share that is done.

    Raises:
        InputError: nothing can be learnt from it, or the store wants other channels.
    """
    proposal = yield from proposing(volumes, segmentation, store, segmentIdsOf(segmentation))
    empty = {found.segmentId for found in proposal.found if not found.voxels}
    for row in proposal.mapping:
        if row.segmentId in empty and row.how not in ("terminology", "name"):
            leaveOut(row)
    proposal.finished = tuple(sorted(set(valuesOf(proposal.mapping).values())))
    proposal.region, proposal.name = "whole", name
    return proposal


class WholeCaseRun(WorkerSteps):
    """Proposes a case in the shape of :class:`WorkerSteps.WorkerSteps`; its result is the :class:`CaseProposal`.

    Args:
        worker: not asked; it will add the case.
        proposing: what :func:`proposingWhole` gave.
        listener: is told how it goes, as :class:`RunListener.RunListener`; may be None.
    """

    def __init__(
        self,
        worker: WorkerProcess,
        proposing: Generator[float, None, CaseProposal],
        listener: Any = None,
    ) -> None:
        super().__init__(worker, listener)
        self._proposing = proposing

    def _steps(self) -> Steps[CaseProposal]:
        return (yield from self._follow("read segments", self._proposing))
