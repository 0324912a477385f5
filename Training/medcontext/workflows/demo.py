"""The whole story on real scans that come with the program: segment, learn from four scans, compare."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import medcontext
from medcontext.cards import list_cards
from medcontext.data.store import CaseStore
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.geometry import Volume
from medcontext.io import read_labelmap
from medcontext.library import read_card
from medcontext.workflows.evaluate import Evaluation, choose_cases, evaluate
from medcontext.workflows.picture import draw_overlay
from medcontext.workflows.segment import segment
from medcontext.workflows.train import TrainRequest, train

SAMPLE = Path(medcontext.__file__).parent / "resources" / "samples" / "hippocampus"
BUNDLED = "hippocampus"
MARK = "medcontext-demo.json"
"""Says that a folder was made by the demo, so that the next one may replace it."""

EXPERT, WITHOUT, WITH, READY = "Expert", "Without MedContext", "With MedContext", "Bundled model"


@dataclass(frozen=True)
class Row:
    """One model of the comparison.

    Attributes:
        name: how it learnt.
        source: what it learnt from.
        minutes: time it learnt for.
        folder: where it is.
        evaluation: its scores on the held-out scans.
    """

    name: str
    source: str
    minutes: float
    folder: Path
    evaluation: Evaluation

    def cells(self) -> list[Any]:
        """Its row of the table."""
        labels = self.evaluation.summary["labels"]
        distances = [entry["hd95_mm"]["mean"] for entry in labels.values()]
        known = [value for value in distances if value is not None]
        return [
            self.name,
            self.source,
            f"{self.minutes:.1f}",
            *(self.evaluation.dice(name) for name in labels),
            self.evaluation.mean_dice,
            sum(known) / len(known) if known else "-",
        ]


@dataclass(frozen=True)
class DemoResult:
    """What the demo made.

    Attributes:
        output: its folder.
        table: the models compared.
        labels: names of the labels.
        files: what to look at, by what it is.
    """

    output: Path
    table: list[Row]
    labels: list[str]
    files: dict[str, Path]

    @property
    def title(self) -> str:
        """Title of the table."""
        return f"{self.table[0].evaluation.cases} held-out scans, seen by none of the models"

    @property
    def columns(self) -> list[str]:
        """Heads of the table."""
        fixed = ["Model", "Learnt from", "Minutes"]
        return [*fixed, *(f"Dice {name}" for name in self.labels), "Mean Dice", "HD95 (mm)"]

    def rows(self) -> list[list[Any]]:
        """Cells of the table."""
        return [row.cells() for row in self.table]

    def closing_lines(self) -> list[str]:
        """Where things are and what to try next."""
        width = max(len(name) for name in self.files)
        model = next(row.folder for row in self.table if row.name == WITH)
        return [
            "",
            *(f"{name:<{width}}  {path}" for name, path in self.files.items()),
            "",
            "Try next, with your own scans:",
            f"  medcontext segment SCAN.nii.gz -m {model} -o OUT",
            "  medcontext data add STORE SCAN.nii.gz --label LABEL.nii.gz",
            "  medcontext train --data STORE --minutes 10 -o MODEL",
        ]

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        rows = [dict(zip(self.columns, row.cells(), strict=True)) for row in self.table]
        return {"table": rows, "files": {name: str(path) for name, path in self.files.items()}}


def demo(
    output: Path,
    *,
    minutes: float = 1.0,
    seed: int = 0,
    device: str = "auto",
    reporter: Reporter | None = None,
) -> DemoResult:
    """Segment with the bundled model, learn from four scans with and without MedContext, and compare.

    Args:
        output: folder for the results; results of an earlier demo in it are replaced.
        minutes: time for each of the two trainings.
        seed: of the trainings.
        device: ``auto``, ``cuda``, ``cuda:1``, ``mps`` or ``cpu``.
        reporter: told of progress.

    Raises:
        InputError: the folder holds something else, or the sample is missing.
        CancelledError: someone asked to stop.
    """
    reporter = reporter or Reporter()
    if not (SAMPLE / "dataset.json").is_file():
        raise InputError(f"The sample scans {SAMPLE} are missing.", "Install medcontext again.")
    output = Path(output).absolute()
    _make_room(output)
    store = CaseStore.open(SAMPLE)
    rows = [*_bundled(output, device, reporter)]
    annotated, others = (sum(c.split == split for c in store.cases) for split in ("training", "unlabelled"))
    for name, method, source in (
        (WITHOUT, "supervised", f"{annotated} scans"),
        (WITH, "medcontext", f"{annotated} scans + {others} unlabelled"),
    ):
        reporter.info(f"{name}: learning from {source} for {minutes:g} min")
        folder = output / f"model_{method}"
        request = TrainRequest(
            data=SAMPLE, output=folder, method=method, minutes=minutes, seed=seed, device=device, size="small"
        )
        card = train(request, reporter).card
        scores = evaluate(SAMPLE, model=folder, output=folder / "test", device=device, reporter=reporter)
        rows.append(Row(name, source, card.training.minutes, folder, scores))
    reporter.info("Segmenting the held-out scans with what was learnt")
    files = _segment_and_draw(output, store, rows, device, reporter)
    result = DemoResult(output, rows, [label.name for label in store.labels], files)
    (output / MARK).write_text(json.dumps(result.to_json(), indent=1) + "\n", encoding="utf-8")
    return result


def _make_room(output: Path) -> None:
    """Remove what an earlier demo left; never anything else."""
    if output.exists() and not output.is_dir():
        raise InputError(f"{output} is a file.", "Choose another folder with -o.")
    if output.is_dir() and any(output.iterdir()):
        if not (output / MARK).is_file():
            raise InputError(
                f"{output} holds files that are not from a demo.", "Choose another folder with -o."
            )
        shutil.rmtree(output)
    output.mkdir(parents=True, exist_ok=True)
    (output / MARK).write_text("{}\n", encoding="utf-8")


def _bundled(output: Path, device: str, reporter: Reporter) -> list[Row]:
    """Scores of the model that comes with the program, where it is there."""
    card = next((card for card in list_cards() if card.id == BUNDLED and card.bundled), None)
    if card is None or card.problem:
        why = card.problem if card else "it is not part of this installation"
        reporter.warning(f"The bundled model '{BUNDLED}' is left out: {why}.")
        return []
    reporter.info("Segmenting with the bundled model")
    scores = evaluate(
        SAMPLE, model=card.folder, output=output / "bundled_test", device=device, reporter=reporter
    )
    return [Row(READY, f"{card.shots} scans", read_card(card.folder).training.minutes, card.folder, scores)]


def _segment_and_draw(
    output: Path, store: CaseStore, rows: Sequence[Row], device: str, reporter: Reporter
) -> dict[str, Path]:
    """Labelmaps of the held-out scans by the model learnt with MedContext; one scan as all models see it."""
    cases = choose_cases(store, "test")
    learnt = next(row for row in rows if row.name == WITH)
    folder = output / "segmentations"
    images = [case.images[0] for case in cases]
    results = segment(images, learnt.folder, folder, formats=["seg.nrrd"], device=device, reporter=reporter)
    shown = _typical(learnt.evaluation)
    case = next(case for case in cases if case.id == shown)
    drawn = [(EXPERT, store.read_labels(case))]
    for row in rows:
        drawn.append((row.name, _labelmap(case.images[0], row, output, device, reporter)))
    picture = output / "overlay.png"
    draw_overlay(
        picture, store.read_image(case), drawn, store.labels, f"Hippocampus, held-out scan {case.id}"
    )
    curve = output / "curve.png"
    shutil.copyfile(learnt.folder / "training" / "curve.png", curve)
    first = next(result for result in results if result.case == case.id or result.ok)
    return {
        "Picture": picture,
        "Curve": curve,
        "Labelmap": first.files["nii.gz"],
        "For 3D Slicer": first.files["seg.nrrd"],
        "All segmentations": folder,
        "Scores": learnt.folder / "test" / "scores.csv",
        "Model": learnt.folder,
    }


def _labelmap(image: Path, row: Row, output: Path, device: str, reporter: Reporter) -> Volume:
    results = segment(
        image, row.folder, output / "picture" / row.folder.name, device=device, reporter=reporter
    )
    return read_labelmap(results[0].files["nii.gz"])


def _typical(evaluation: Evaluation) -> str:
    """The case whose mean Dice is the median: neither the best nor the worst is shown."""
    by_case: dict[str, list[float]] = {}
    for score in evaluation.scores:
        if score.dice is not None:
            by_case.setdefault(score.case, []).append(score.dice)
    ranked = sorted(by_case, key=lambda case: sum(by_case[case]) / len(by_case[case]))
    return ranked[len(ranked) // 2]
