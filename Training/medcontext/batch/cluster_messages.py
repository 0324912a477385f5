"""What a driver and its workers tell each other: plain data in both directions.

So a worker of another version can still say that it is one, and messages hold paths and not pixels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medcontext.batch.case import BatchCase
from medcontext.batch.options import BatchOptions, FixedPlan
from medcontext.config import StrictModel

Message = dict[str, Any]


class RunFacts(StrictModel):
    """What a worker must know of a run; the same for all cases."""

    version: str
    """Version of medcontext that the run was started with."""
    output: Path
    """Output folder as the driver sees it."""
    mark: str
    """Name of a file in it that only this run made."""
    model: Path
    """Folder of the model as the driver sees it."""
    model_name: str
    """``id@version``, for a worker that has the model in its own library."""
    model_sha256: str
    """Hash of all its weights and of what its card says of using them."""
    threads: int | None = None
    """Threads of a worker; its machine's cores shared between the workers there when null."""
    numbered: bool = False
    """Whether workers are numbered on one machine, so that each takes the graphics processor of its number."""


class Errand(StrictModel):
    """A case to work on, and how."""

    case: BatchCase
    """The case; its paths are those of the driver. What headers say is left out, see :mod:`cluster_private`."""
    options: BatchOptions
    """Of the run."""
    plan: FixedPlan | None
    """How windows are computed; measured where that pays when null."""
    sharers: dict[str, int]
    """Workers on each machine, by the host of their address."""
    look: bool
    """Whether a file of the case that is missing here may be there elsewhere."""
    frugal: str = ""
    """Why the way is taken that needs least memory; empty where it is not."""
