"""The whole story on real scans that come with the program: segment, learn from four scans, compare."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import medcontext
from medcontext.card_schema import ModelCard
from medcontext.cards import list_cards
from medcontext.data.store import CaseStore
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.io import read_labelmap
from medcontext.library import read_card
from medcontext.workflows.evaluate import Evaluation, choose_cases, evaluate
from medcontext.workflows.picture import draw_overlay
from medcontext.workflows.request import TrainRequest
from medcontext.workflows.segment import segment
from medcontext.workflows.train import train

SAMPLE = Path(medcontext.__file__).parent / "resources" / "samples" / "hippocampus"
BUNDLED = "hippocampus"
MARK = "medcontext-demo.json"
"""Says that a folder was made by the demo, so that the next one may replace it."""

EXPERT, READY, WITHOUT, WITH = "Expert", "Bundled model", "Supervised", "MedContext"
CHANCE = "Few scans and one run: differences below about 0.03 Dice are chance. --minutes 5 shows more."


@dataclass(frozen=True)
class Row:
    """One model of the comparison.

    Attributes:
        name: how it learnt.
        source: what it learnt from.
        minutes: time it learnt for.
        folder: where it is.
        segmentations: its labelmaps of the held-out scans.
        evaluation: their scores.
    """

    name: str
    source: str
    minutes: float
    folder: Path
    segmentations: Path
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
        return f"{self.table[0].evaluation.cases} held-out scans that no model learnt from"

    @property
    def columns(self) -> list[str]:
        """Heads of the table."""
        return [
            "Model",
            "Learnt from",
            "Minutes",
            *(f"Dice {name}" for name in self.labels),
            "Mean",
            "HD95 mm",
        ]

    def rows(self) -> list[list[Any]]:
        """Cells of the table."""
        return [row.cells() for row in self.table]

    def closing_lines(self) -> list[str]:
        """Where things are and what to try next."""
        width = max(len(name) for name in self.files)
        model = next(row.folder for row in self.table if row.name == WITH)
        return [
            CHANCE,
            "",
            *(f"{name:<{width}}  {path}" for name, path in self.files.items()),
            "",
            "Try next, with your own scans:",
            f"  medcontext segment SCAN.nii.gz -m {model} -o OUT",
            "  medcontext data add STORE SCAN.nii.gz --label LABEL.nii.gz --channel T1=MRI --names 1=tumour",
            "  medcontext train --data STORE --minutes 10 -o MODEL",
        ]

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        rows = [dict(zip(self.columns, row.cells(), strict=True)) for row in self.table]
        return {"table": rows, "files": {name: str(path) for name, path in self.files.items()}}


def demo(
    output: Path,
    *,
    minutes: float = 2.0,
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
    rows = _bundled(output, store, device, reporter)
    annotated, unlabelled = (
        sum(c.split == split for c in store.cases) for split in ("training", "unlabelled")
    )
    for name, method in ((WITHOUT, "supervised"), (WITH, "medcontext")):
        others = f" and {unlabelled} others" if method == "medcontext" else ""
        reporter.info(f"{name}: learning from {annotated} annotated scans{others} for {minutes:g} min")
        folder = output / f"model_{method}"
        request = TrainRequest(
            data=SAMPLE, output=folder, method=method, minutes=minutes, seed=seed, device=device, size="small"
        )
        card = train(request, reporter).card
        source = f"{card.training.shots} annotated"
        if card.training.unlabelled:
            source += f" + {card.training.unlabelled} others"
        rows.append(_score(name, source, card, folder, output, store, device, reporter))
    files = _files(output, store, rows)
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


def _bundled(output: Path, store: CaseStore, device: str, reporter: Reporter) -> list[Row]:
    """The model that comes with the program, where it is there."""
    summary = next((card for card in list_cards() if card.id == BUNDLED and card.bundled), None)
    if summary is None or summary.problem:
        why = summary.problem if summary else "it is not part of this installation"
        reporter.warning(f"The bundled model '{BUNDLED}' is left out: {why}.")
        return []
    reporter.info("Segmenting the held-out scans with the bundled model")
    card = read_card(summary.folder)
    source = f"{card.training.shots} annotated"
    return [_score(READY, source, card, summary.folder, output, store, device, reporter)]


def _score(
    name: str,
    source: str,
    card: ModelCard,
    folder: Path,
    output: Path,
    store: CaseStore,
    device: str,
    reporter: Reporter,
) -> Row:
    """Segment the held-out scans with a model and score what comes out."""
    segmentations = output / "segmentations" / name.lower().replace(" ", "_")
    images = [case.images[0] for case in choose_cases(store, "test")]
    segment(images, folder, segmentations, formats=["seg.nrrd"], device=device, reporter=reporter)
    evaluation = evaluate(SAMPLE, predictions=segmentations, output=segmentations, reporter=reporter)
    return Row(name, source, card.training.minutes, folder, segmentations, evaluation)


def _files(output: Path, store: CaseStore, rows: Sequence[Row]) -> dict[str, Path]:
    """Draw one scan as the expert and all models see it, and list what there is to look at."""
    learnt = next(row for row in rows if row.name == WITH)
    case = store.case(_typical(learnt.evaluation))
    image = store.read_image(case)
    drawn = [(EXPERT, store.read_labels(case))]
    drawn += [(row.name, read_labelmap(row.segmentations / f"{case.id}.nii.gz")) for row in rows]
    picture, curve = output / "overlay.png", output / "curve.png"
    draw_overlay(picture, image, drawn, store.labels, f"Hippocampus, held-out scan {case.id}")
    shutil.copyfile(learnt.folder / "training" / "curve.png", curve)
    return {
        "Picture": picture,
        "Curve": curve,
        "Labelmap": learnt.segmentations / f"{case.id}.nii.gz",
        "For 3D Slicer": learnt.segmentations / f"{case.id}.seg.nrrd",
        "Scores": learnt.segmentations / "scores.csv",
        "All of them": output / "segmentations",
        "Model": learnt.folder,
    }


def _typical(evaluation: Evaluation) -> str:
    """The case whose mean Dice is the median: neither the best nor the worst is shown."""
    by_case: dict[str, list[float]] = {}
    for score in evaluation.scores:
        if score.dice is not None:
            by_case.setdefault(score.case, []).append(score.dice)
    ranked = sorted(by_case, key=lambda case: sum(by_case[case]) / len(by_case[case]))
    return ranked[len(ranked) // 2]
