"""A finished case of a batch from its files: the scan as the engine read it, and what the engine made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from slicer.i18n import tr as _

from medcontext.batch_ledger import Layout, Row
from medcontext.errors import InputError
from medcontext.exchange import ExchangeFolder, SharedArray
from medcontext.geometry import IndexBox
from MedContextSegmentLib.Batch.CaseScene import CaseVoxels
from MedContextSegmentLib.Batch.RunRecord import RunRecord, readRun
from MedContextSegmentLib.Batch.Sources import Sources
from MedContextSegmentLib.Worker.Results import SegmentationResult, SegmentLabel
from MedContextSegmentLib.Worker.WorkerChild import WorkerEnd
from MedContextSegmentLib.Worker.WorkerProcess import WorkerProcess
from MedContextSegmentLib.Worker.WorkerTexts import errorOf, explainEnd

LABELMAPS = ("nii.gz", "seg.nrrd")
"""Formats of results that can be read again; of those that a case has the first one is."""
POLL_SECONDS = 0.05


class CaseReader:
    """Reads finished cases. The worker does it, by which a scan has the grid on which it was segmented.

    Args:
        out: the output folder of the batch.
        worker: a worker, which needs no model for it.
        exchangeRoot: folder for the arrays that it sends; the system's for temporary files when None.
    """

    def __init__(self, out: Path, worker: WorkerProcess, exchangeRoot: Path | None = None) -> None:
        self._layout, self._worker, self._root = Layout(out), worker, exchangeRoot
        self._sources = Sources(self._layout.sources)

    def read(self, case: str, row: Row) -> CaseVoxels:
        """Read a case and wait for it.

        Args:
            case: its name.
            row: of the ledger, with the state "done".

        Raises:
            MedContextError: it cannot be read; one sentence says why.
        """
        labelmap = self._labelmap(case, row)
        run, source = readRun(self._layout), self._sourceOf(case)
        with ExchangeFolder(self._root) as folder:
            answer = self._ask(
                case=case,
                **source,
                labelmap=str(labelmap.absolute()),
                odd=run.odd,
                keep_identifiers=run.keepIdentifiers,
                output=str(folder.path),
            )
            channels = [_array(entry) for entry in answer["channels"]]
            result = _result(answer, run, row)
        affine = np.array(answer["affine"])
        if np.linalg.det(affine[:3, :3]) < 0:
            # Slicer turns scans with left-handed axes around when it opens a scene; their segments it does not.
            channels, result, affine = _turned(channels, result, affine)
        titles = run.channels if len(run.channels) == len(channels) else tuple(map(str, range(len(channels))))
        return CaseVoxels(case, list(zip(titles, channels, strict=True)), affine, result, run.settings)

    def _sourceOf(self, case: str) -> dict[str, Any]:
        """The files of a case, as the worker's request ``batch_case`` takes them."""
        try:
            entry = self._sources.entry(case)
        except (OSError, ValueError) as error:
            text = _("{path} cannot be read: {problem}.")
            raise InputError(text.format(path=self._layout.sources, problem=error)) from error
        if entry is None or not entry.get("paths"):
            raise InputError(
                _("Nobody knows from which files {case} was read.").format(case=case),
                _("Run the batch again with the same input."),
            )
        return {key: entry[key] for key in ("paths", "series", "more_series") if entry.get(key)}

    def _labelmap(self, case: str, row: Row) -> Path:
        outputs = row.get("outputs") or {}
        for form in LABELMAPS:
            for entry in outputs.get(form, []):
                return self._layout.absolute(str(entry["path"]))
        raise InputError(
            _("The case {case} has no label map.").format(case=case),
            _("Add --format {name} and run the batch again.").format(name=LABELMAPS[0]),
        )

    def _ask(self, **fields: Any) -> Mapping[str, Any]:
        request = self._worker.send("batch_case", **fields)
        while not request.wait(POLL_SECONDS):
            pass
        for event in request.poll():
            if event["event"] == "error":
                raise errorOf(event)
            if event["event"] == "result":
                return event
        raise explainEnd(request.end or WorkerEnd(None, "no answer"))


def _array(entry: Any) -> np.ndarray:
    """A copy in memory; the mapping is let go of at once, as Windows removes no file that is mapped."""
    return np.array(SharedArray.from_json(entry).open(), subok=False)


def _result(answer: Mapping[str, Any], run: RunRecord, row: Row) -> SegmentationResult:
    """The result as the worker would have given it to the module."""
    labelmap = _array(answer["labelmap"])
    voxel = abs(float(np.linalg.det(np.array(answer["affine"])[:3, :3]))) / 1000
    labels = []
    for label in run.labels:
        found = answer["found"].get(str(label.value), {"extent": None, "voxels": 0})
        extent, voxels = found["extent"], int(found["voxels"])
        labels.append(
            SegmentLabel(
                value=label.value,
                name=label.name,
                color=label.color,
                terminology=label.terminology.to_json() if label.terminology else None,
                extent=None if extent is None else _box(extent),
                voxels=voxels,
                volumeMl=voxels * voxel,
            )
        )
    plan, seconds = row.get("plan") or {}, row.get("seconds") or {}
    return SegmentationResult(
        labelmap=labelmap,
        certainty=None,
        labels=tuple(labels),
        model=run.model,
        device=str(row.get("device") or ""),
        precision=str(plan.get("precision") or ""),
        seconds={"total": float(seconds.get("total") or 0.0)},
        software=run.software,
        warm=True,
    )


def _box(extent: Any) -> IndexBox:
    (k0, k1), (j0, j1), (i0, i1) = extent
    return (k0, k1), (j0, j1), (i0, i1)


def _turned(
    channels: list[np.ndarray], result: SegmentationResult, affine: np.ndarray
) -> tuple[list[np.ndarray], SegmentationResult, np.ndarray]:
    """The same voxels at the same places, with the slices counted from the other end."""
    count = len(result.labelmap)
    labels = tuple(
        replace(label, extent=((count - label.extent[0][1], count - label.extent[0][0]), *label.extent[1:]))
        if label.extent
        else label
        for label in result.labels
    )
    turned = affine.copy()
    turned[:, 3] += (count - 1) * affine[:, 2]
    turned[:, 2] *= -1
    flipped = replace(result, labelmap=np.ascontiguousarray(result.labelmap[::-1]), labels=labels)
    return [np.ascontiguousarray(channel[::-1]) for channel in channels], flipped, turned
