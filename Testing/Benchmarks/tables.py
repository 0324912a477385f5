"""Writes the tables of README.md and the method page from the committed results.

    python Testing/Benchmarks/tables.py

A test compares the pages with the results, so that no number stands there that no result file holds.
"""

from __future__ import annotations

import json
from typing import Any

from record import REPOSITORY, RESULTS

PAGES = (
    REPOSITORY / "README.md",
    REPOSITORY / "docs" / "methods" / "medcontext.md",
    REPOSITORY / "docs" / "methods" / "voco.md",
    REPOSITORY / "docs" / "methods" / "mae.md",
    REPOSITORY / "docs" / "slicer.md",
    REPOSITORY / "docs" / "learn.md",
    REPOSITORY / "docs" / "batch.md",
    REPOSITORY / "docs" / "propose.md",
)
FOREIGN = {
    "plain": "nnU-Net, plain, two folds",
    "residual": "nnU-Net, residual encoder",
    "regions": "nnU-Net, region-based classes",
    "2d": "nnU-Net, slices (2D)",
    "ct": "nnU-Net, CT, other grids than its own",
}
ROWS = {
    "bundled_model": "bundled model `hippocampus`, {labels} labels",
    "fewshot_5_supervised": "5 labels, plain supervision",
    "fewshot_5_medcontext": "5 labels, MedContext",
    "fewshot_5_every_4th_slice": "5 labels, every 4th slice painted, MedContext",
    "fewshot_5_medcontext_unlabelled": "5 labels and {unlabelled} scans without, MedContext",
}


def dice_table() -> str:
    """Scores on the 50 test cases."""
    lines = [
        "| trained on | minutes | steps | mean Dice | HD95 (mm) | surface Dice (1 mm) |",
        "|---|---|---|---|---|---|",
    ]
    for name, title in ROWS.items():
        facts = read(name)
        training = facts.get("training", facts)
        labels = training.get("shots", facts.get("labels_learnt_from"))
        text = title.format(labels=labels, unlabelled=training.get("unlabelled", 0))
        mean = {metric: entry["mean"] for metric, entry in facts["mean"].items()}
        lines.append(
            f"| {text} | {training['minutes']:.0f} | {training['steps']} | {mean['dice']:.3f} | "
            f"{mean['hd95_mm']:.2f} | {mean['surface_dice']:.3f} |"
        )
    return "\n".join(lines)


def certainty_table() -> str:
    """Which map finds wrong voxels."""
    facts = read("certainty")
    lines = [
        "| map | AUROC, all voxels | AUROC within 3 mm of the surface | Spearman with Dice |",
        "|---|---|---|---|",
    ]
    for kind in ("entropy", "masked"):
        row = facts[kind]
        lines.append(
            f"| {kind} | {row['auroc']:.3f} | {row['auroc_within_3_mm']:.3f} | "
            f"{row['spearman_mean_certainty_with_dice']:.2f} |"
        )
    return "\n".join(lines)


REDO_SETTINGS = {
    "most wrong": "where most voxels are wrong",
    "least certain": "where the model is least certain",
    "small windows: most wrong": "most wrong, a model of windows smaller than the image",
    "small windows: least certain": "least certain, the same model",
    "metal, 10 mm": "painted metal, 10 mm",
    "void, 10 mm": "painted signal void, 10 mm",
    "motion, 10 mm": "painted motion, 10 mm",
    "noise, 10 mm": "painted noise, 10 mm",
}


def redo_table() -> str:
    """Dice inside a region before and after each form; bold where the interval of the difference excludes zero."""
    settings = read("redo")["settings"]
    lines = ["| region | before | finer | from context only | another model |", "|---|---|---|---|---|"]
    for name, title in REDO_SETTINGS.items():
        cells = []
        for form in ("finer", "context", "model"):
            found = settings[name]["forms"].get(form)
            sure = found is not None and found["verdict"] != "undecided"
            value = "" if found is None else f"{found['after']:.3f}"
            cells.append(f"**{value}**" if sure else value)
        lines.append(f"| {title} | {settings[name]['before']:.3f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def module_speed_table() -> str:
    """Seconds from the click to the segmentation node."""
    rows = read("module_speed")["rows"]
    lines = [
        "| scan and model | first click | warm click | in the network | the rest | longest standstill |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        if "network" not in row:
            continue
        blocked = max(row["longest blocked"].values())
        lines.append(
            f"| {name} | {row['cold click to node']:.1f} s | {row['click to node']:.2f} s | {row['network']:.2f} s | "
            f"{row['beyond the network']:.2f} s | {blocked:.2f} s |"
        )
    many = rows["write only, CT 512x512x300"]
    lines += [
        "",
        "| writing of a result on 512x512x300 | labels | seconds | longest step |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {row['labels']} | {row['seconds']:.2f} | {row['longest step']:.2f} |"
        for name, row in many.items()
    ]
    return "\n".join(lines)


CORRECTIONS = ("1 stroke", "1 slice", "2 slices", "3 slices")


def correction_table() -> str:
    """Dice of what was not corrected; bold where the interval of the difference excludes zero."""
    lines = [
        "| model | corrected | cases | before | carried over without a network | learnt |",
        "|---|---|---|---|---|---|",
    ]
    titles = {"few-shot": "of three cases", "bundled": "bundled, of 170 cases"}
    for model, rows in read("correction")["summary"].items():
        for name in CORRECTIONS:
            if row := rows.get(name):
                cells = [_sure(row[way]["after"], row[way]["verdict"]) for way in ("interpolated", "adapted")]
                cases = f"{row['cases']} | {row['before']:.3f}"
                lines.append(f"| {titles[model]} | {name} | {cases} | {' | '.join(cells)} |")
    return "\n".join(lines)


def suggest_table() -> str:
    """Mean Dice of the test cases by number of annotated cases, chosen at random or as suggested."""
    facts = read("suggest")
    rounds = [row for row in facts["rounds"] if row["suggested"] is not None and row["random"] is not None]
    lines = [
        f"| annotated cases | {' | '.join(str(row['annotated']) for row in rounds)} |",
        "|---" * (len(rounds) + 1) + "|",
    ]
    for way in ("random", "suggested"):
        lines.append(f"| {way} | {' | '.join(f'{row[way]:.3f}' for row in rounds)} |")
    lines.append(f"| seeds | {' | '.join(str(row['seeds']) for row in rounds)} |")
    return "\n".join(lines)


def draws_table() -> str:
    """Few-shot training from scratch with and without other scans, over draws of the five cases."""
    facts = read("fewshot_draws")
    lines = ["| learnt from | draws | mean Dice |", "|---|---|---|"]
    for arm in ("labels alone", "with 165 scans without labels"):
        row = facts[arm]
        if row["draws"]:
            lines.append(f"| {arm} | {row['draws']} | {row['mean_dice']:.3f} |")
    if difference := facts.get("difference"):
        limits = f"{difference['low']:+.3f} to {difference['high']:+.3f}"
        lines.append(f"| difference | {difference['draws']} | {difference['difference']:+.3f} ({limits}) |")
    return "\n".join(lines)


def finetune_table() -> str:
    """Dice after a few minutes of fine-tuning, beside what there was before or would be without a parent."""
    facts = read("finetune")
    merged, putamen = facts["merged"], facts["putamen"]
    child, parent = (sum(run[key] for run in merged) / len(merged) for key in ("dice", "union_of_the_parent"))
    lines = [
        "| learnt | from | scored on | Dice | for comparison |",
        "|---|---|---|---|---|",
        f"| hippocampus as one label | 3 cases, {len(merged)} draws | {merged[0]['scored_cases']} cases "
        f"| {child:.3f} | {parent:.3f}: both labels of the parent together |",
    ]
    for way in dict.fromkeys(run["learnt_from"] for run in putamen):
        found = {run["parent"]: run["dice"] for run in putamen if run["learnt_from"] == way}
        if len(found) == 2:
            scratch, tuned = found.pop("none"), found.popitem()[1]
            taught, _, scored = way.partition(", scored on ")
            lines.append(f"| putamen | {taught} | {scored} | {tuned:.3f} | {scratch:.3f}: from scratch |")
    return "\n".join(lines)


def batch_speed_table() -> str:
    """A batch's time beside the least it could take."""
    facts = read("batch_speed")
    lines = [
        "| set | cases | total (s) | reading, network, writing (s) | processor time / cores (s) | total / least |",
        "|---|---|---|---|---|---|",
    ]
    for name, title in (("crops", "hippocampus crops"), ("ct", "CT, slow reading")):
        row = facts[name]
        stages = ", ".join(f"{seconds:.1f}" for seconds in row["stages_s"].values())
        share = row["core_s"] / facts["cores"]
        lines.append(
            f"| {title} | {row['cases']} | {row['total_s']:.1f} | {stages} | {share:.1f} | {row['ratio']:.2f} |"
        )
    return "\n".join(lines)


def batch_many_table() -> str:
    """Ten thousand small cases."""
    facts = read("batch_many")
    sizes = [size for _, size in facts["memory_mb"]]
    rows = [
        ("milliseconds a case", f"{facts['case_ms']:.0f}"),
        ("memory after the first part, at the end (MB)", f"{sizes[0]:.0f}, {sizes[-1]:.0f}"),
        ("growth (MB for 1000 cases)", f"{facts['memory_growth_mb_per_1000_cases']:.1f}"),
        ("reading the ledger (s)", f"{facts['read_ledger_s']:.1f}"),
        ("the same command again, nothing to do (s)", f"{facts['same_command_again_s']:.1f}"),
    ]
    return "\n".join([f"| {facts['cases']} cases | |", "|---|---|", *(f"| {a} | {b} |" for a, b in rows)])


def batch_cluster_table() -> str:
    """Two workers beside one on the same cores, and what killing workers cost."""
    speed, killed = read("batch_cluster_speed"), read("batch_cluster_kills")
    seconds = speed["median_seconds"]
    both = seconds["two workers, one thread each"]
    lines = [
        f"| {speed['cases']} cases on {speed['conditions']['cores']} cores | seconds | beside two workers |",
        "|---|---|---|",
    ]
    lines += [f"| {name} | {value:.1f} | {value / both:.2f} |" for name, value in seconds.items()]
    return "\n".join(
        [
            *lines,
            "",
            f"| {killed['cases']} cases on two workers | |",
            "|---|---|",
            f"| runs with a worker killed at a random instant | {len(killed['runs'])} |",
            f"| workers killed | {killed['kills']} |",
            f"| cases lost | {killed['lost_cases']} |",
        ]
    )


def pretraining_table() -> str:
    """What was learnt without labels, and what it bought where labels are few."""
    signals, lines = {run["method"]: run for run in read("pretraining")["runs"]}, []
    lines += [
        "| pre-training | minutes | steps | scans | what it can, on 16 other scans |",
        "|---|---|---|---|---|",
    ]
    for method, said in (("voco", _voco), ("mae", _mae)):
        run = signals[method]
        facts = f"{run['minutes']:.0f} | {run['steps']} | {run['scans']}"
        lines.append(f"| {method} | {facts} | {said(run['signals'])} |")
    facts = read("fewshot_pretrained")
    starts, runs = facts["mean_dice"], facts["runs"]
    scratch = next(iter(starts))
    lines += [
        "",
        f"| {facts['shots']} labels, {runs[0]['steps']} steps, from | draws | mean Dice | beside {scratch} |",
        "|---|---|---|---|",
    ]
    for start, dice in starts.items():
        beside = facts.get(f"{start} minus {scratch}")
        text = (
            f"{beside['difference']:+.3f} ({beside['low']:+.3f} to {beside['high']:+.3f})" if beside else ""
        )
        draws = sum(run["start"] == start for run in runs)
        lines.append(f"| {start} | {draws} | {dice:.3f} | {text} |")
    return "\n".join(lines)


def propose_table() -> str:
    """What one click on a proposed region gives."""
    lines = [
        "| images | way | Dice of a click | by seed | largest inside | best cluster (upper bound) | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    facts = read("propose")
    for data, ways in facts["mean"].items():
        images = len({run["case"] for run in facts["runs"] if run["data"] == data})
        for way, mean in ways.items():
            seeds = ", ".join(f"{dice:.3f}" for dice in mean["seeded_dice_by_seed"])
            lines.append(
                f"| {data} ({images}) | {way} | {mean['seeded_dice']:.3f} | {seeds} | {mean['largest_dice']:.3f} | "
                f"{mean['oracle_cluster_dice']:.3f} | {mean['seconds']:.1f} |"
            )
    return "\n".join(lines)


def foreign_table() -> str:
    """What two programs make of the same weights."""
    lines = [
        "| model | images | equal voxels (worst image) | equal voxels in the faster form | "
        "seconds there | here, fp32 | here, as it chooses |",
        "|---|---|---|---|---|---|---|",
    ]
    models = read("nnunet")["models"]
    rows = [(title, models[name], "nnU-Net") for name, title in FOREIGN.items()]
    rows.append(("MONAI bundle, DynUNet", read("monai_bundle"), "monai.bundle"))
    for title, facts, there in rows:
        plain, auto = facts["ours, fp32"], facts["ours, auto"]
        lines.append(
            f"| {title} | {facts['cases']} | {plain['voxels_equal']:.3%} "
            f"({plain['voxels_equal_in_the_worst_case']:.3%}) | {auto['voxels_equal']:.3%} | "
            f"{facts[there]['seconds']:.1f} | {plain['seconds']:.1f} | {auto['seconds']:.1f} |"
        )
    return "\n".join(lines)


def foreign_children_table() -> str:
    """Imported models before and after fine-tuning."""
    lines = ["| imported model | Dice before (anterior, posterior) | after |", "|---|---|---|"]
    nnunet, bundle = read("nnunet")["models"], read("monai_bundle")
    for title, before, after in (
        (FOREIGN["plain"], nnunet["fine-tuned"]["dice_before"], nnunet["fine-tuned"]["dice_after"]),
        ("MONAI bundle, DynUNet", bundle["ours, fp32"]["dice"], bundle["fine-tuned"]["dice"]),
    ):
        told = [", ".join(f"{dice[label]:.3f}" for label in ("1", "2")) for dice in (before, after)]
        lines.append(f"| {title} | {told[0]} | {told[1]} |")
    return "\n".join(lines)


def _voco(signals: dict[str, float]) -> str:
    return (
        f"finds the place of {100 * signals['position_accuracy']:.0f} % of the crops "
        f"(chance {100 * signals['chance']:.0f} %); prediction loss {signals['prediction_loss']:.3f} "
        f"(best constant {signals['best_constant']:.3f})"
    )


def _mae(signals: dict[str, float]) -> str:
    return (
        f"squared error of hidden voxels {signals['reconstruction_error']:.3f} "
        f"({signals['mean_error']:.3f} for the mean of what is seen)"
    )


def learn_speed_table() -> str:
    """How long Learn makes a person wait."""
    rows = read("learn_speed")["seconds"]
    many, large = rows["open a store of 1000 cases"], rows["add a case, CT 512x512x300"]
    curve = rows["curve, training on crops"]
    return "\n".join(
        [
            "| | seconds | longest standstill of Slicer |",
            "|---|---|---|",
            f"| open a store of {many['cases']} cases "
            f"| {many['click to table']:.2f} | {many['longest blocked']:.2f} |",
            f"| add a case, CT 512x512x300 | {large['click to case']:.1f} | {large['longest blocked']:.2f} |",
            f"| longest time between two values of the curve | {curve['longest gap']:.1f} | |",
        ]
    )


def _sure(value: float, verdict: str) -> str:
    return f"{value:.3f}" if verdict == "undecided" else f"**{value:.3f}**"


TABLES = {
    "correction": correction_table,
    "suggest": suggest_table,
    "batch_speed": batch_speed_table,
    "batch_many": batch_many_table,
    "batch_cluster": batch_cluster_table,
    "draws": draws_table,
    "finetune": finetune_table,
    "pretraining": pretraining_table,
    "propose": propose_table,
    "foreign": foreign_table,
    "foreign_children": foreign_children_table,
    "learn_speed": learn_speed_table,
    "dice": dice_table,
    "certainty": certainty_table,
    "redo": redo_table,
    "module_speed": module_speed_table,
}


def read(name: str) -> dict[str, Any]:
    """A result file."""
    data: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return data


def rendered(text: str) -> str:
    """A page with every table between ``<!-- name -->`` and ``<!-- end -->`` made anew."""
    for name, make in TABLES.items():
        begin, end = f"<!-- {name} -->", "<!-- end -->"
        if begin in text:
            head, _, rest = text.partition(begin)
            _, _, tail = rest.partition(end)
            text = f"{head}{begin}\n{make()}\n{end}{tail}"
    return text


def main() -> None:
    """Rewrite the pages."""
    for page in PAGES:
        page.write_text(rendered(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
