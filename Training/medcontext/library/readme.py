"""The README of a model folder, written from its card."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from medcontext.card_schema import InputSpec, ModelCard
from medcontext.cards import IMPORTED
from medcontext.labels import Label
from medcontext.library.read import weights_files
from medcontext.plan import STORED

_KINDS = {
    "segmentation": "segments",
    "encoder": "is a pre-trained encoder",
    "text_segmentation": "segments what a text describes",
}


def model_readme(card: ModelCard, differences: Sequence[str] = ()) -> str:
    """Markdown: what it segments, what it expects, how it was trained, how good it is, its licence."""
    sections = [
        f"# {card.title}\n\n`{card.id}` version {card.version}: {_purpose(card)}",
        _labels_section(card),
        _input_section(card),
        _training_section(card),
        _results_section(card),
        _use_section(card),
        "## Licence\n\n"
        f"{card.license}\n\nFor research. It is no medical device; a person must check what it draws.",
        _weights_section(card),
    ]
    if differences:
        sections.append("## Differences from what was published\n\n" + _bullets(differences))
    return "\n\n".join(section for section in sections if section) + "\n"


def _purpose(card: ModelCard) -> str:
    names = [label.name for label in card.label_set]
    structures = "" if not names or card.kind == "encoder" else f" {', '.join(names)}"
    modalities = ", ".join(dict.fromkeys(channel.modality for channel in card.input.channels))
    sentence = f"{_KINDS[card.kind]}{structures} on {modalities} ({card.input.dims}D)."
    if card.kind != "encoder":
        return sentence
    network = f"the part of a `{card.network.name}` that a training starts from"
    sentence = "is a pre-trained encoder." if card.method == IMPORTED else sentence
    return f"{sentence} It is {network}, and segments nothing by itself."


def _labels_section(card: ModelCard) -> str:
    if not card.labels:
        return ""
    rows = [[label.value, label.name, _code(label), _hex(label)] for label in card.label_set]
    return "## Labels\n\n" + table(["value", "name", "code", "colour"], rows)


def _code(label: Label) -> str:
    if label.terminology is None:
        return "-"
    parts = [label.terminology.type, label.terminology.modifier]
    return " / ".join(f"{code.scheme} {code.value} ({code.meaning})" for code in parts if code)


def _hex(label: Label) -> str:
    red, green, blue = label.color
    return f"#{red:02x}{green:02x}{blue:02x}"


def _input_section(card: ModelCard) -> str:
    spec = card.input
    if card.kind == "encoder" and card.method == IMPORTED:
        return (
            f"## Input\n\n{len(spec.channels)} channel(s). The weights say nothing else about the images that they "
            "were trained on."
        )
    rows = [[c.name, c.modality, c.intensity.kind] for c in spec.channels]
    low, high = spec.range.spacing
    trained = f"Trained on spacings from {_mm(low)} to {_mm(high)}"
    if spec.range.field_of_view is not None:
        smallest, largest = spec.range.field_of_view
        trained += f"\nand on images from {_mm(smallest)} to {_mm(largest)} large"
    facts = [
        f"Resampled to {_mm(spec.spacing)} in {_orientation(spec)};",
        f"patch of {_times(spec.patch_size)} voxels.",
        f"{trained}. Outside of that expect less.",
    ]
    head = "## Input\n\nPer-axis values are in the order (K, J, I), slices first.\n\n"
    return head + table(["channel", "modality", "intensity"], rows) + "\n\n" + "\n".join(facts)


def _orientation(spec: InputSpec) -> str:
    """What images are turned to before they are resampled."""
    stored = spec.orientation == STORED
    turned = "the orientation they are stored in" if stored else f"orientation {spec.orientation}"
    if spec.transpose != (0, 1, 2):
        turned += f" with the axes {_times(spec.transpose)} in turn"
    if spec.crop_to_nonzero:
        turned += ", cut to what is not zero"
    return turned


def _training_section(card: ModelCard) -> str:
    record = card.training
    if card.method == IMPORTED:
        return "## Training\n\n" + _bullets(f"{key}: {value}" for key, value in record.config.items())
    learner = f"Method `{card.method}`, network `{card.network.name}`"
    scans = f"{record.unlabelled} scans without labels."
    if card.kind != "encoder":
        learner += f", weights: {card.inference.predictor}"
        scans = f"{record.shots} labelled cases (validation included), {scans}"
    facts = [
        f"{learner}.",
        scans,
        f"{record.steps} steps in {record.minutes:.3g} minutes, seed {record.seed}.",
    ]
    if card.parent:
        facts.append(f"Started from `{card.parent.id}` ({card.parent.sha256[:12]}).")
    if record.software:
        facts.append("Software: " + ", ".join(f"{k} {v}" for k, v in sorted(record.software.items())) + ".")
    return "## Training\n\n" + _bullets(facts)


def _results_section(card: ModelCard) -> str:
    """A table for each group of metrics by label; single numbers as a list."""
    metrics = card.training.metrics
    if not metrics:
        return "" if card.kind == "encoder" else "## Results\n\nNot evaluated."
    numbers = {key: value for key, value in metrics.items() if _is_leaf(value)}
    parts = [_bullets(f"{key}: {_show(value)}" for key, value in numbers.items())] if numbers else []
    for group, entries in metrics.items():
        if isinstance(entries, Mapping) and entries:
            parts.append(_metrics_table(group, entries))
    return "## Results\n\n" + "\n\n".join(parts)


def _metrics_table(group: str, entries: Mapping[str, Any]) -> str:
    rows = {
        name: value if isinstance(value, Mapping) else {"value": value} for name, value in entries.items()
    }
    columns = list(dict.fromkeys(key for row in rows.values() for key in row))
    body = [[name, *(_summary(row.get(column)) for column in columns)] for name, row in rows.items()]
    return table([group, *columns], body)


def _summary(value: Any) -> str:
    """A statistic in one cell: mean and standard deviation where it has them, else each of its numbers."""
    if not isinstance(value, Mapping):
        return _show(value)
    if "mean" in value:
        spread = f" ± {_show(value['std'])}" if value.get("std") is not None else ""
        return _show(value["mean"]) + spread
    return ", ".join(f"{key} {_show(entry)}" for key, entry in value.items())


def _is_leaf(value: Any) -> bool:
    return value is None or isinstance(value, (str, int, float))


def _use_section(card: ModelCard) -> str:
    if card.kind != "encoder":
        return f"## Use\n\n```\nmedcontext segment IMAGE -m {card.id} -o OUT\n```"
    return f"""## Use

```
medcontext train --data STORE --init-from {card.id} -o MODEL
medcontext finetune --data STORE -m {card.id} -o MODEL
```

The network and its size are those of the encoder; spacing, patch and intensities follow the new data. It is no promise
of a better model: compare with one that was trained without it, on cases that neither has seen."""


def _weights_section(card: ModelCard) -> str:
    rows = [[entry.file, entry.dtype, f"`{entry.sha256}`"] for entry in weights_files(card)]
    return "## Weights\n\n" + table(["file", "type", "SHA-256"], rows) if rows else ""


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in lines)


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def _bullets(sentences: Iterable[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences)


def _mm(values: Sequence[float]) -> str:
    return " x ".join(f"{value:.4g}" for value in values) + " mm"


def _times(values: Sequence[int]) -> str:
    return "x".join(str(value) for value in values)


def _show(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
