"""What a training is doing and how it ended, in a person's words."""

from __future__ import annotations

from slicer.i18n import tr as _

from MedContextSegmentLib.Learn.FollowedJob import CANCELLED, FAILED, FINISHED, LOST, PAUSED, STOPPING
from MedContextSegmentLib.Learn.LearningJob import LearningJob
from MedContextSegmentLib.Run.RunProgress import timeText


def stageTitle(stage: str | None) -> str:
    """The name of a stage of a training; the stage itself where it has none."""
    titles = {
        "look at scans": _("Looking at the scans"),
        "plan": _("Planning"),
        "prepare": _("Preparing the scans"),
        "time": _("Measuring how fast it is"),
        "train": _("Learning"),
        "leave one out": _("Learning without each case"),
        "judge": _("Comparing with the model it came from"),
        "evaluate": _("Scoring"),
    }
    return titles.get(stage or "", stage or _("Starting"))


def runningText(job: LearningJob, named: bool) -> str:
    """One line on a training that goes on, and its last warning.

    Args:
        job: the training.
        named: whether its title is said.
    """
    if job.state == STOPPING:
        line = job.stoppingText
    elif job.state == PAUSED:
        line = _("Paused. It keeps its memory; it goes on with Resume, also after Slicer was closed.")
    elif job.pausing:
        line = _("Pausing...")
    else:
        parts = [stageTitle(job.job.stage), timeText(job.job.eta_s)]
        if job.job.progress is None and not job.losses.empty:  # nobody knows the end
            parts.append(_("step {count}").format(count=round(job.losses.rows[-1][0])))
        line = ", ".join(part for part in parts if part)
    title = job.job.title if named else ""
    return "\n".join(part for part in (title, line, job.warning) if part)


def endedText(job: LearningJob) -> str:
    """How a training ended, in one or two sentences."""
    if job.state == FINISHED and job.result is not None:
        return job.finishedText
    again = _("Resume goes on from where it was.") if job.resumable else ""
    if job.refused and job.holdsTraining:
        again = _("It cannot go on like this. What it has learnt is kept in {folder}.")
        again = again.format(folder=job.task.output)
    if job.state == LOST:
        text = _("'{title}' was interrupted: Slicer's computer was restarted, or the process was ended.")
    elif job.state == CANCELLED:
        text = _("'{title}' was stopped.")
    elif job.state == FAILED:
        text = _("'{title}' failed: {message}")
    else:
        text = _("'{title}' ended.")
    told = text.format(title=job.job.title, message=job.job.message)
    return " ".join(part for part in (told, again) if part)
