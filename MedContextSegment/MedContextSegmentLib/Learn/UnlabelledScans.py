"""Scans without labels for a case store: linked where files hold them, else copied, which is said before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from medcontext.case_list import StoreSummary
from medcontext.errors import InputError
from MedContextSegmentLib.Learn.CaseFacts import caseProvenance
from MedContextSegmentLib.Learn.Proposing import checkVolumes
from MedContextSegmentLib.Learn.WorkerSteps import Sending, Steps, WorkerSteps
from MedContextSegmentLib.Scene.ScanFiles import patientGroup, scanFiles
from MedContextSegmentLib.Scene.VolumeReader import readVolume
from MedContextSegmentLib.Worker.WorkerProcess import WorkerProcess

MEGABYTE = 1e6
NAMED_VOLUMES = 8
"""So many volumes are named in the question."""


@dataclass(frozen=True, eq=False)
class UnlabelledPlan:
    """What adding scans without labels would do.

    Attributes:
        paths: files and folders that are linked and stay where they are.
        copies: the volume nodes of each case that is copied into the store, one for each channel.
        megabytes: size of the copies' voxels.
        question: what to tell a person before, and to ask whether to go on; "" where nothing is copied.
    """

    paths: tuple[Path, ...]
    copies: tuple[tuple[Any, ...], ...] = ()
    megabytes: float = 0.0
    question: str = ""


def planFolder(folder: Path) -> UnlabelledPlan:
    """Link all scans in a folder; none is read before a training needs it.

    Raises:
        InputError: there is no such folder.
    """
    if not folder.is_dir():
        raise InputError(_("{folder} is not there.").format(folder=folder), _("Choose another folder."))
    return UnlabelledPlan((folder.absolute(),))


def planVolumes(volumes: Sequence[Any], store: StoreSummary) -> UnlabelledPlan:
    """Link volumes of the scene where files hold exactly their voxels, and copy the others.

    Args:
        volumes: volume nodes: each a case in a store of one channel, else the channels of one case.
        store: the store.

    Raises:
        InputError: a volume is no scan, or the store wants another number of channels.
    """
    single = len(store.channels) == 1
    cases = [(node,) for node in volumes] if single else [tuple(volumes)]
    for case in cases:
        checkVolumes(case, store)
    paths: list[Path] = []
    copies = []
    for case in cases:
        files = scanFiles(case[0]) if single else ()
        paths += [file for file in files if file not in paths]
        if not files:
            copies.append(case)
    megabytes = sum(_bytesOf(node) for case in copies for node in case) / MEGABYTE
    return UnlabelledPlan(tuple(paths), tuple(copies), megabytes, _question(copies, megabytes, store))


def _bytesOf(volumeNode: Any) -> int:
    image = volumeNode.GetImageData()
    return int(image.GetNumberOfPoints()) * int(image.GetScalarSize())


def _question(copies: Sequence[tuple[Any, ...]], megabytes: float, store: StoreSummary) -> str:
    if not copies:
        return ""
    names = [node.GetName() or "" for case in copies for node in case]
    listed = ", ".join(names[:NAMED_VOLUMES])
    if len(names) > NAMED_VOLUMES:
        listed = _("{names} and {count} more").format(names=listed, count=len(names) - NAMED_VOLUMES)
    text = _(
        "No file holds these volumes as they are on screen, so they will be copied into the case store '{store}' "
        "(up to {size} MB): {names}."
    )
    return text.format(store=store.name, size=max(1, round(megabytes)), names=listed)


@dataclass(frozen=True)
class AddedScans:
    """What came of adding scans without labels.

    Attributes:
        added: ids of the new cases.
        skipped: what was not added, and why.
        cases: how many cases the store has now.
    """

    added: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    cases: int


class AddUnlabelledRun(WorkerSteps):
    """Adds scans without labels, in the shape of :class:`SegmentationRun`.

    Args:
        worker: what writes the store.
        plan: what to link and what to copy, after asking.
        store: folder of the store.
        listener: is told how it goes, as :class:`RunListener.RunListener`; may be None.
        exchangeRoot: folder for the arrays on their way; the system's one for temporary files when None.

    Attributes:
        result: an :class:`AddedScans`.
    """

    def __init__(
        self,
        worker: WorkerProcess,
        plan: UnlabelledPlan,
        store: Path,
        listener: Any = None,
        exchangeRoot: Path | None = None,
    ) -> None:
        super().__init__(worker, listener)
        self._plan, self._store, self._root = plan, Path(store), exchangeRoot

    def _steps(self) -> Steps[AddedScans]:
        added: list[str] = []
        skipped: list[tuple[str, str]] = []
        cases = 0
        if self._plan.paths:
            paths = [str(path) for path in self._plan.paths]
            answer = yield from self._ask("add_unlabelled", {"store": str(self._store), "paths": paths})
            added += [str(name) for name in answer.get("added", [])]
            skipped += [(str(one["path"]), str(one["reason"])) for one in answer.get("skipped", [])]
            cases = int(answer.get("cases", 0))
        for volumes in self._plan.copies:
            try:
                answer = yield from self._copy(volumes)
            except InputError as error:
                skipped.append((volumes[0].GetName() or "", error.message))
                continue
            cases = int(answer.get("cases", cases))
            if answer.get("taken"):
                text = _("it is in the case store as '{case}'").format(case=answer["taken"])
                skipped.append((volumes[0].GetName() or "", text))
            else:
                added.append(str(answer.get("case", "")))
        return AddedScans(tuple(added), tuple(skipped), cases)

    def _copy(self, volumes: tuple[Any, ...]) -> Steps[dict[str, Any]]:
        checkVolumes(volumes, None)
        snapshots = [readVolume(node) for node in volumes]
        fields = {
            "store": str(self._store),
            "name": volumes[0].GetName() or "",
            "group": patientGroup(volumes[0]),
            "provenance": caseProvenance(volumes, None, ()),
        }
        sending = Sending(self._root, self.checkStop)
        try:
            images = yield from self._beside(lambda: sending.images(snapshots))
            return (yield from self._ask("add_case", fields | {"images": images}))
        finally:
            sending.close()
