"""A case of a batch in the scene, beside what a person has there: opened in small steps, kept, taken away again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import slicer

from medcontext.batch_ledger import Layout, Review, append_review
from MedContextSegmentLib.Batch.CaseScene import addVolumes, fillSegmentation, newCaseSegmentation
from MedContextSegmentLib.Batch.Corrections import correctionOf, loadCorrection, makeFolder, putAside
from MedContextSegmentLib.Batch.Prefetch import PreparedCase
from MedContextSegmentLib.Batch.SegmentationContent import contentOf
from MedContextSegmentLib.Export.ExportFiles import exportSegNrrd
from MedContextSegmentLib.Export.WrittenFiles import Consent
from MedContextSegmentLib.Learn.WorkerSteps import Steps, WorkerSteps
from MedContextSegmentLib.Worker.Background import Background
from MedContextSegmentLib.Worker.WorkerProcess import WorkerProcess

YIELD_SECONDS = 0.001


class ReviewedCase:
    """A finished case in the scene. Its nodes are the review's own: they go when the next case comes.

    Args:
        out: the output folder of the batch.
        case: its name.
        channels: names of the channels.
        volumes: a volume node for each of them.
        segmentation: the segmentation node.
        corrected: whether the segments are those that a person kept before, and not those of the batch.
        result: which result of the case it is, by which verdicts name it.
    """

    def __init__(
        self,
        out: Path,
        case: str,
        channels: Sequence[str],
        volumes: Sequence[Any],
        segmentation: Any,
        corrected: bool,
        result: str = "",
    ) -> None:
        self.out, self.case, self.channels, self.corrected = out, case, tuple(channels), corrected
        self.result = result
        self.volumes, self.segmentation = tuple(volumes), segmentation
        self._kept = contentOf(segmentation)

    @property
    def there(self) -> bool:
        """Whether nobody took its nodes away."""
        return all(node.GetScene() is not None for node in (*self.volumes, self.segmentation))

    @property
    def changed(self) -> bool:
        """Whether a person changed the segments since they were opened or kept."""
        return self.segmentation.GetScene() is not None and not self._kept.sameAs(self.segmentation)

    def keep(self) -> Path:
        """Write the segments as they are now, as the corrected ones; returns the file.

        The file appears whole or not at all, in the place of the one that was kept of this result before; one that
        is not shown, as it corrects an earlier result or was kept by somebody else, is put aside.

        Raises:
            InputError, ResourceError: it cannot be written.
        """
        path = correctionOf(self.out, self.case)
        makeFolder(path.parent)
        if not self.corrected:
            putAside(self.out, self.case)
        for _share in exportSegNrrd(self.segmentation, path, Consent(everything=True)):
            pass
        self._kept, self.corrected = contentOf(self.segmentation), True
        return path

    def judge(self, verdict: str, note: str = "") -> Review:
        """Write down what a person says: "accept", "correct", "reject" or "open"; a correction must have been kept.

        Raises:
            InputError, ResourceError: it cannot be written.
        """
        kept = self.corrected and verdict != "accept"
        path = Layout(self.out).relative(correctionOf(self.out, self.case)) if kept else ""
        review = Review(self.case, verdict, path, note, result=self.result)
        append_review(self.out, review)
        return review

    def remove(self) -> None:
        """Take its nodes out of the scene."""
        removeNodes([self.segmentation, *self.volumes])


def removeNodes(nodes: Sequence[Any]) -> None:
    """Take nodes out of the scene that are still there; their display nodes go with them."""
    for node in nodes:
        if node is not None and node.GetScene() is not None:
            slicer.mrmlScene.RemoveNode(node)


class OpeningRun(WorkerSteps):
    """Brings a case into the scene; see :class:`WorkerSteps.WorkerSteps`. The scene is as it was where that fails.

    Args:
        worker: what reads the case.
        out: the output folder of the batch.
        voxels: gives what the case consists of; it may have been read already.
        correction: the segments to show, where a person kept some; those of the batch when None.
        result: which result of the case it is.
        listener: is told how it goes, as :class:`RunListener.RunListener`; may be None.

    Attributes:
        result: a :class:`ReviewedCase`.
    """

    def __init__(
        self,
        worker: WorkerProcess,
        out: Path,
        voxels: Background[PreparedCase],
        correction: Path | None = None,
        result: str = "",
        listener: Any = None,
    ) -> None:
        super().__init__(worker, listener)
        self._out, self._voxels, self._correction = out, voxels, correction
        self._result = result
        self._added: list[Any] = []

    def _steps(self) -> Steps[ReviewedCase]:
        try:
            return (yield from self._open())
        except BaseException:
            removeNodes(self._added)
            raise

    def _open(self) -> Steps[ReviewedCase]:
        while not self._voxels.wait(YIELD_SECONDS):  # so that the thread gets its turn
            self.checkStop()
            yield True
        prepared = self._voxels.result()
        voxels = prepared.voxels
        self._progress("read", 1.0)
        volumes = addVolumes(voxels, prepared.windows)
        self._added += volumes
        yield False
        self.checkStop()
        if self._correction is not None:
            segmentation = loadCorrection(self._correction, voxels.case, volumes[0])
            self._added.append(segmentation)
        else:
            segmentation = newCaseSegmentation(voxels, volumes[0])
            self._added.append(segmentation)
            yield from self._follow("write", fillSegmentation(voxels, volumes, segmentation))  # type: ignore[arg-type]
        titles = [title for title, _array in voxels.channels]
        corrected = self._correction is not None
        return ReviewedCase(self._out, voxels.case, titles, volumes, segmentation, corrected, self._result)
