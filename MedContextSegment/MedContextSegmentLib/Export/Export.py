"""Saving a result for others: DICOM SEG, RTSTRUCT, .seg.nrrd, NIfTI. The nodes of the scene stay as they are."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from medcontext.errors import CancelledError, InputError, MedContextError
from MedContextSegmentLib.Export import DicomExport
from MedContextSegmentLib.Export.ExportFiles import exportNifti, exportSegNrrd
from MedContextSegmentLib.Export.WrittenFiles import Consent, checkName
from MedContextSegmentLib.Scene.VolumeReader import volumeProblem

DICOM_SEG, RTSTRUCT, SEG_NRRD, NIFTI = "dicom_seg", "rtstruct", "seg.nrrd", "nifti"
SUFFIXES = {DICOM_SEG: ".dcm", RTSTRUCT: "", SEG_NRRD: ".seg.nrrd", NIFTI: ".nii.gz"}
POLL_SECONDS = 0.005


@dataclass(frozen=True)
class Exporter:
    """A way to save a result.

    Attributes:
        id: ``dicom_seg``, ``rtstruct``, ``seg.nrrd`` or ``nifti``.
        title: for a menu.
        suffix: how the file name ends; empty where a folder is chosen instead.
        reason: one sentence on why it cannot be used now; empty where it can.
    """

    id: str
    title: str
    suffix: str
    reason: str

    @property
    def available(self) -> bool:
        """Whether it can be used now."""
        return not self.reason


def exporters(segmentationNode: Any, volumeNode: Any) -> list[Exporter]:
    """All ways to save a segmentation of a volume; both may be None."""
    common = ""
    if segmentationNode is None or segmentationNode.GetSegmentation().GetNumberOfSegments() == 0:
        common = _("There is no segmentation to export.")
    needsVolume = common or volumeProblem(volumeNode, 2)
    reasons = {
        DICOM_SEG: needsVolume or DicomExport.segProblem(volumeNode),
        RTSTRUCT: needsVolume or DicomExport.rtstructProblem(),
        SEG_NRRD: common,
        NIFTI: needsVolume,
    }
    titles = {
        DICOM_SEG: _("DICOM segmentation (SEG)"),
        RTSTRUCT: _("DICOM RT structure set"),
        SEG_NRRD: _("Slicer segmentation (.seg.nrrd)"),
        NIFTI: _("NIfTI label map (.nii.gz)"),
    }
    return [Exporter(name, titles[name], SUFFIXES[name], reasons[name]) for name in SUFFIXES]


class ExportRun:
    """An export that goes on in small steps, so that Slicer stays responsive.

    The caller calls :meth:`poll` (by a timer) until it returns False.

    Args:
        segmentationNode: what to export; for a sequence, the frame that is shown.
        volumeNode: its scan. Voxels are saved on the scan's grid (``.seg.nrrd`` keeps the segmentation's own).
        exporterId: the :class:`Exporter`.
        path: the file to write; for RTSTRUCT a folder.
        worker: the :class:`WorkerProcess`, which DICOM SEG needs.
        overwrite: whether existing files may be replaced.
        agreed: files that may be replaced in any case.
        asks: whether to wait for :meth:`allow` where other files exist; else that is an error.

    Attributes:
        files: what was written.
        error: why it failed; None unless it did.
        notes: sentences for the person, such as on empty segments.
        share: how much is done, 0 to 1.

    Raises:
        InputError: the exporter cannot be used, or the name of the file does not fit.
    """

    def __init__(
        self,
        segmentationNode: Any,
        volumeNode: Any,
        exporterId: str,
        path: Path,
        worker: Any = None,
        overwrite: bool = False,
        agreed: Iterable[Path] = (),
        asks: bool = False,
    ) -> None:
        found = [entry for entry in exporters(segmentationNode, volumeNode) if entry.id == exporterId]
        if not found:
            raise InputError(_("There is no exporter '{name}'.").format(name=exporterId))
        if found[0].reason:
            raise InputError(found[0].reason)
        self.files: tuple[Path, ...] = ()
        self.notes: list[str] = []
        self.error: MedContextError | None = None
        self.share = 0.0
        self._nodes = (segmentationNode, volumeNode)
        path = Path(path)
        if found[0].suffix:
            checkName(path, found[0].suffix)
        self._consent = Consent(overwrite, agreed, asks)
        self._steps = self._begin(exporterId, segmentationNode, volumeNode, path, worker)
        self._running = True

    def _begin(
        self, exporterId: str, segmentation: Any, volume: Any, path: Path, worker: Any
    ) -> Generator[float, None, list[Path]]:
        if exporterId == DICOM_SEG:
            return DicomExport.exportSeg(segmentation, volume, path, worker, self._consent, self.notes)
        if exporterId == RTSTRUCT:
            return DicomExport.exportRtstruct(segmentation, volume, path, self._consent)
        if exporterId == NIFTI:
            return exportNifti(segmentation, volume, path, self._consent, self.notes)
        return exportSegNrrd(segmentation, path, self._consent)

    @property
    def existing(self) -> tuple[Path, ...]:
        """Files that would be replaced: nothing goes on until :meth:`allow` or :meth:`cancel`."""
        return self._consent.asked if self._running else ()

    def allow(self) -> None:
        """The :attr:`existing` files may be replaced."""
        self._consent.allow()

    def poll(self) -> bool:
        """Do one small step; False when it has ended."""
        if not self._running:
            return False
        if any(node is not None and node.GetScene() is None for node in self._nodes):
            self.cancel()
            self.error = InputError(_("What was to be exported has been removed: nothing was written."))
            return False
        try:
            self.share = next(self._steps)
        except StopIteration as end:
            self.files, self.share, self._running = tuple(end.value), 1.0, False
        except MedContextError as error:
            self.error, self._running = error, False
        return self._running

    def cancel(self) -> None:
        """Stop; what was not complete is removed."""
        if self._running:
            self._running = False
            self._steps.close()
            self.error = CancelledError(_("The export was cancelled."))


def export(
    segmentationNode: Any,
    volumeNode: Any,
    exporterId: str,
    path: Path,
    logic: Any = None,
    overwrite: bool = False,
) -> tuple[Path, ...]:
    """Export and wait for it; for scripts. Arguments as for :class:`ExportRun`.

    Args:
        logic: the :class:`MedContextSegmentLogic` whose worker writes DICOM SEG.

    Returns:
        The files written.

    Raises:
        MedContextError: InputError, ResourceError or CancelledError, each one sentence with a hint.
    """
    worker = logic.worker if logic is not None and exporterId == DICOM_SEG else None
    run = ExportRun(segmentationNode, volumeNode, exporterId, path, worker, overwrite)
    for _step in _polled(run):
        slicer.app.processEvents()
    if run.error is not None:
        raise run.error
    return run.files


def _polled(run: ExportRun) -> Iterator[None]:
    try:
        while run.poll():
            yield
            time.sleep(POLL_SECONDS)
    finally:
        run.cancel()  # only where the wait was interrupted: a run that ended stays as it is
