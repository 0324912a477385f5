"""What a batch and its cases look like in a person's words."""

from __future__ import annotations

from pathlib import Path

from slicer.i18n import tr as _

from medcontext.batch_ledger import DONE, FAILED, RUNNING, SKIPPED, VOID
from medcontext.batch_ledger.rows import UNFINISHED
from MedContextSegmentLib.Batch.BatchCommand import OVERWRITE
from MedContextSegmentLib.Batch.BatchJob import CASES, BatchJob
from MedContextSegmentLib.Batch.BatchRows import BatchRows
from MedContextSegmentLib.Batch.Replacing import CHOSEN, GOING_ON, OTHER, Replaced
from MedContextSegmentLib.Batch.ReviewQueue import ReviewQueue
from MedContextSegmentLib.Learn import FollowedJob as Job
from MedContextSegmentLib.Run.RunProgress import timeText


def stateTitle(state: str, working: bool) -> str:
    """The state of a case in a word.

    Args:
        state: as the ledger has it.
        working: whether the batch goes on; a case that was begun is not finished otherwise.
    """
    titles = {
        RUNNING: _("running") if working else _("unfinished"),
        UNFINISHED: _("unfinished"),
        DONE: _("done"),
        FAILED: _("failed"),
        SKIPPED: _("skipped"),
    }
    return titles.get(state, state)


def verdictTitle(verdict: str) -> str:
    """What a person said of a result, in a word."""
    titles = {"accept": _("accepted"), "correct": _("corrected"), "reject": _("rejected"), "void": _("void")}
    return titles.get(verdict, verdict)


def secondsText(seconds: float | None) -> str:
    """A duration in a narrow column."""
    if seconds is None:
        return ""
    return f"{seconds:.1f}" if seconds < 99.95 else f"{seconds:.0f}"


def volumeText(volume: float | None) -> str:
    """A volume in mL in a narrow column."""
    if volume is None:
        return ""
    return f"{volume:.0f}" if volume >= 100 else f"{volume:.3g}"


def certaintyText(certainty: float | None) -> str:
    """A certainty in a narrow column."""
    return "" if certainty is None else f"{100 * certainty:.0f}%"


def noteLines(rows: BatchRows, case: str) -> list[str]:
    """All that a person should know of a case, line by line."""
    row = rows.cases.get(case)
    if row is None:
        return []
    lines = [case, *rows.notes(case)]
    if row.volumes:
        parts = (_("{name} {volume} mL").format(name=n, volume=volumeText(v)) for n, v in row.volumes.items())
        lines.append(", ".join(parts))
    lines += _earlier(rows, case)
    review = rows.review(case)
    if review is not None and review.note:
        lines.append(_("Note: {text}").format(text=review.note))
    return lines


def countsText(rows: BatchRows) -> str:
    """How many cases are in which state."""
    counts = rows.counts()
    texts = (
        (DONE, _("{count} done")),
        (FAILED, _("{count} failed")),
        (SKIPPED, _("{count} skipped")),
    )
    parts = [text.format(count=counts[state]) for state, text in texts if counts[state] or state == DONE]
    if reviewed := sum(map(rows.reviewed, rows.reviews)):
        parts.append(_("{count} reviewed").format(count=reviewed))
    return ", ".join(parts)


def caseText(queue: ReviewQueue) -> str:
    """Which case is looked at, what was said of it before, and how many there are."""
    name, verdict = queue.case, queue.rows.verdict(queue.case)
    if queue.rows.reviewed(name):
        name = _("{case} ({verdict})").format(case=name, verdict=verdictTitle(verdict))
    return _("{case}: {counts}").format(case=name, counts=reviewCountText(queue))


def reviewCountText(queue: ReviewQueue) -> str:
    """How many cases have a verdict."""
    return _("{count} of {total} reviewed").format(count=queue.reviewed, total=queue.total)


def reasonText(rows: BatchRows, case: str) -> str:
    """Why a person should look at a case, and what the batch said of it."""
    row = rows.cases.get(case)
    if row is None:
        return ""
    parts = [*_earlier(rows, case), *rows.notes(case)]
    if row.certainty is not None:
        parts.append(_("The model was {share} sure.").format(share=certaintyText(row.certainty)))
    return "\n".join(parts)


def _earlier(rows: BatchRows, case: str) -> list[str]:
    """What was said of a result that is there no more."""
    if rows.verdict(case) != VOID:
        return []
    text = _("An earlier result of this case was {verdict}; the batch has done it again since.")
    return [text.format(verdict=verdictTitle(rows.reviews[case].verdict))]


def stageText(stage: str) -> str:
    """What a batch does before, and between, its cases."""
    titles = {
        "": _("Starting"),
        CASES: _("Segmenting"),
        "searching": _("Looking for scans"),
        "reading DICOM headers": _("Looking for scans"),
        "verify": _("Comparing the files of finished cases"),
    }
    return titles.get(stage, stage)


def runningText(job: BatchJob) -> str:
    """One line on a batch that goes on, and its last warning."""
    if job.state == Job.STOPPING:
        line = _("Stopping: what is finished is written first...")
    elif job.state == Job.PAUSED:
        line = _("Paused. It goes on with Resume, also after Slicer was closed.")
    elif job.pausing:
        line = _("Pausing...")
    else:
        progress = job.progress
        parts = [stageText(progress.stage)]
        if progress.total:
            parts.append(_("{done} of {total}").format(done=progress.done, total=progress.total))
        parts.append(timeText(progress.left))
        line = ", ".join(part for part in parts if part)
    return "\n".join(part for part in (line, job.warning) if part)


def endedText(job: BatchJob) -> str:
    """How a batch ended, in one or two sentences; "" where its cases say it all."""
    again = _("Continue finishes the rest.")
    if job.state == Job.FINISHED:
        return ""
    if job.state == Job.LOST:
        text = _("The batch was interrupted: the computer was restarted, or the process was ended.")
    elif job.state == Job.CANCELLED:
        text = _("The batch was stopped.")
    elif job.state == Job.FAILED:
        text = _("The batch failed: {message}").format(message=job.job.message)
        here = _("Here that is the box 'Replace earlier results'.")
        return f"{text} {here}" if OVERWRITE in job.job.message else text
    else:
        return ""
    return f"{text} {again}"


def replacingText(replaced: Replaced, folder: Path) -> str:
    """What a batch would replace, as a question."""
    texts = {
        CHOSEN: _(
            "{folder} holds {count} finished results. Do those of the chosen scans again and replace them, and files "
            "at their places that somebody changed or that no batch wrote?"
        ),
        OTHER: _(
            "{folder} holds {count} finished results that were made with another model or other options. Do those of "
            "the chosen scans again and replace them? (Else choose another folder for the results.)"
        ),
        GOING_ON: _(
            "The last run in {folder} did finished results again and was stopped: {count} are as they were before. Do "
            "these again, too? (No: only what has no result.)"
        ),
    }
    kept = _("Verdicts on results that are replaced do not hold any more; corrected segments stay.")
    return "\n".join((texts[replaced.why].format(folder=folder, count=replaced.count), kept))
