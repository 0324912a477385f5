"""Jobs: work that outlives the window it was started from. A job is a folder; who follows it reads files.

``start`` runs a command detached, ``restart`` once more after it ended too early; ``read``, ``list_jobs`` and
``follow`` tell how it goes; ``request`` asks it to pause, resume or stop; ``JobControl`` is for the working process
itself. Standard library only.
"""

from medcontext.jobs.control import JobControl
from medcontext.jobs.files import follow
from medcontext.jobs.start import kill, new_folder, request, restart, start
from medcontext.jobs.state import Job, jobs_root, list_jobs, read

__all__ = [
    "Job",
    "JobControl",
    "follow",
    "jobs_root",
    "kill",
    "list_jobs",
    "new_folder",
    "read",
    "request",
    "restart",
    "start",
]
