"""*Propose regions*: the worker groups the pixels of one slice, or of a box, without a model and without labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from medcontext.errors import CancelledError, InputError
from medcontext.exchange import SharedArray
from MedContextSegmentLib.Explore.Planes import Plane
from MedContextSegmentLib.Explore.ProposedRegions import Proposal, ProposedRegions, readFacts
from MedContextSegmentLib.Learn.WorkerSteps import Sending, Steps, WorkerSteps
from MedContextSegmentLib.Run.SegmentationRun import WRITING
from MedContextSegmentLib.Scene.OrientedImage import boxShape, slices, starts
from MedContextSegmentLib.Scene.Regions import boxOfRoi
from MedContextSegmentLib.Scene.VolumeReader import VolumeSnapshot
from MedContextSegmentLib.Worker.WorkerProcess import WorkerProcess

NETWORK, SUPERPIXELS = "s3net", "superpixels"


@dataclass(frozen=True, eq=False)
class RegionsRequest:
    """Where to propose regions, and how.

    Attributes:
        channels: the volume, a snapshot for each color.
        plane: the slice; None for a ROI.
        roi: ``vtkMRMLMarkupsROINode``; None for a slice.
        method: "s3net", a small network that learns from this image alone, or "superpixels", which are quick.
        clusters: kinds of tissue that are told apart, 2 to 64; the usual number of such an image when None.
        device: where to compute.
        seed: of all that is drawn at random.
    """

    channels: tuple[VolumeSnapshot, ...]
    plane: Plane | None = None
    roi: Any = None
    method: str = NETWORK
    clusters: int | None = None
    device: str = "auto"
    seed: int = 0


class RegionsRun(WorkerSteps):
    """One proposal; see :class:`WorkerSteps.WorkerSteps`.

    Args:
        worker: what serves it.
        request: what to look at.
        listener: is told how it goes; may be None.
        exchangeRoot: folder for the arrays; the system's folder for temporary files when None.

    Attributes:
        request: what was asked for.
        iteration: ``(how many are done, how many there are at most)``; None before the first one.
        result: the :class:`ProposedRegions.ProposedRegions`, in the scene; None before.

    Raises:
        InputError: the ROI has no size or lies beside the scan.
    """

    def __init__(
        self,
        worker: WorkerProcess,
        request: RegionsRequest,
        listener: Any = None,
        exchangeRoot: Path | None = None,
    ) -> None:
        super().__init__(worker, listener)
        self.request = request
        self.iteration: tuple[int, int] | None = None
        scan = request.channels[0]
        self._box = request.plane.box(scan.array.shape) if request.plane else boxOfRoi(request.roi, scan)
        self._sending = Sending(exchangeRoot, self.checkStop)

    def giveWay(self) -> None:
        """Stop for something that waits behind it in the worker, which is therefore not ended by force."""
        if self.running and self._stop is None:
            self._stop = CancelledError(_("Stopped, as something else was begun."))
            if self._asked is not None:
                self._worker.send("cancel", target=self._asked.id)

    def _steps(self) -> Steps[ProposedRegions]:
        for note in self._notes():
            self._message(note)
        event = yield from self._ask("propose", (yield from self._beside(self._fields)))
        proposal = yield from self._beside(lambda: self._received(event))
        while slicer.mrmlScene.IsBatchProcessing():
            self.checkStop()
            yield True
        self.state = WRITING
        self.checkStop()
        self._message(proposal.reduced)
        return ProposedRegions(proposal)

    def _notes(self) -> list[str]:
        plane, scan = self.request.plane, self.request.channels[0]
        notes = list(scan.notes)
        if plane is not None and plane.oblique:
            text = _(
                "The view is turned by {angle:.0f} degrees: the nearest slice of {scan} along its own axes is "
                "looked at."
            )
            notes.append(text.format(angle=plane.degrees, scan=scan.name))
        return notes

    def _fields(self) -> dict[str, Any]:
        """The request for the worker, which gets only what it looks at."""
        request, box = self.request, self._box
        affine = request.channels[0].affine.copy()
        affine[:3, 3] += affine[:3, :3] @ starts(box)[::-1]
        channels = [
            self._sending.volume("channel", np.ascontiguousarray(scan.array[slices(box)]), affine)
            for scan in request.channels
        ]
        plane = {"axis": request.plane.axis, "index": 0} if request.plane is not None else None
        return {
            "channels": channels,
            "plane": plane,
            "box": [[0, size] for size in boxShape(box)],
            "method": request.method,
            "clusters": request.clusters,
            "seed": request.seed,
            "device": request.device,
            "output": str(self._sending.folder),
        }

    def _received(self, event: Mapping[str, Any]) -> Proposal:
        """The worker's answer, with its array in memory."""
        regions = np.array(SharedArray.from_json(event["regions"]).open(), subok=False)
        if regions.dtype != np.uint8 or regions.shape != boxShape(self._box):
            text = _("The answer of the worker is malformed: {problem}.")
            problem = _("its array does not fit the image")
            raise InputError(text.format(problem=problem))
        self._sending.close()
        return Proposal(
            regions=regions,
            box=self._box,
            scan=self.request.channels[0],
            facts=readFacts(event["facts"]),
            method=self.request.method,
            seconds=float(event["seconds"]),
            iterations=int(event["iterations"]),
            reduced=str(event.get("reduced") or ""),
        )

    def _take(self, event: dict[str, Any]) -> None:
        if event["event"] == "progress" and event.get("step") is not None:
            self.iteration = int(event["step"]), int(event.get("total") or event["step"])
        super()._take(event)

    def _finish(self, error: Any) -> None:
        self._sending.close()
        super()._finish(error)
