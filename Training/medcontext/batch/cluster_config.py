"""Where the cases of a run are worked on when not in this process: local workers, a scheduler, a Slurm cluster.

Nothing here imports dask: whether a run can start is known before anything else is done.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, StringConstraints, field_validator, model_validator

from medcontext.config import StrictModel
from medcontext.errors import InputError

GPU = "GPU"
"""Resource of a worker that stands for its graphics processor; a case takes one."""

NO_DASHBOARD = "127.0.0.1:0"
"""dask's web server cannot be left out; here nobody from outside reaches it, and without routes it shows nothing."""

PACKAGES = ("dask", "distributed", "dask_jobqueue", "cryptography")
FORMS = "Allowed: local:N, tcp://HOST:PORT of a dask scheduler, slurm:CONFIG.yaml."

Word = Annotated[str, StringConstraints(pattern=r"^[\w.@%+,:/=-]*$", max_length=500)]
"""Text without spaces or anything that a shell reads in its own way."""
Line = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]*$", max_length=2000)]
"""Text on one line."""

WORKER_SETTINGS: dict[str, Any] = {
    # A case needs what it needs: a worker that waits for less memory while nothing else runs on it waits forever.
    # At its limit it is ended by its nanny, and the case begins again elsewhere.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.profile.enabled": False,
    "distributed.worker.http.routes": [],
}
"""How dask is set up in workers that a run starts itself."""

_WALLTIME = re.compile(r"\d+|(\d+-)?\d+:\d{2}(:\d{2})?|\d+-\d+")


@dataclass(frozen=True)
class LocalTarget:
    """Worker processes on this machine.

    Attributes:
        workers: how many.
    """

    workers: int


@dataclass(frozen=True)
class SchedulerTarget:
    """A dask scheduler that somebody started, with its workers.

    Attributes:
        address: such as ``tcp://node1:8786``.
    """

    address: str


class SlurmConfig(StrictModel):
    """What is asked of Slurm: ``--cluster slurm:config.yaml`` reads this from YAML or JSON."""

    jobs: int = Field(ge=1, le=10_000)
    """Jobs that wait or run at the same time; one that ends before the run (time limit, lost node) is replaced."""
    cores: int = Field(ge=1)
    """Cores of each job."""
    memory_gb: float = Field(gt=0)
    """Memory of each job in GB (2**30 bytes)."""
    processes: int = Field(default=1, ge=1)
    """Worker processes in each job; they share its cores and memory, and each works on one case at a time."""
    gres: Word = ""
    """Graphics processor of each job as Slurm names it, such as ``gpu:1``; then one process a job. Empty: none."""
    partition: Word = ""
    """Partition (queue); the cluster's default when empty."""
    account: Word = ""
    """Account that is charged; the user's default when empty."""
    walltime: str = "04:00:00"
    """Time limit of a job: minutes, ``HH:MM:SS`` or ``D-HH:MM:SS``."""
    job_name: Word = Field(default="medcontext", min_length=1)
    """Name of the jobs in Slurm's lists."""
    directives: tuple[Line, ...] = ()
    """Further options of sbatch, such as ``--qos=long`` or ``--constraint=avx512``."""
    modules: tuple[Word, ...] = ()
    """Environment modules loaded before the worker starts (``module load``)."""
    environment: dict[str, Line] = Field(default_factory=dict)
    """Environment variables of the worker."""
    python: Line = ""
    """Python that runs the workers; the one that runs this command when empty."""
    interface: Word = ""
    """Network interface between the machines, such as ``ib0``; found by itself when empty."""
    local_folder: Line = ""
    """Folder on a disk of the nodes for temporary files; the system's when empty."""
    log_folder: Word = ""
    """Folder for the output of the jobs; Slurm's default when empty."""
    shared_folder: Word = ""
    """Folder that all machines see, for the keys of an encrypted run; the output folder when empty."""
    wait_minutes: float | None = Field(default=None, gt=0)
    """How long to wait for a first worker, also when all are lost, before giving up; without end when null."""
    dashboard: Word = ""
    """Address of dask's dashboard, such as ``:8787``; it opens no port when empty."""
    encrypt: bool = True
    """Whether messages are encrypted and only this run's workers may connect; else everybody who reaches the port of
    this machine can run programs in your name."""

    @field_validator("walltime", mode="before")
    @classmethod
    def _a_time(cls, text: Any) -> Any:
        # YAML reads 04:00:00 without quotes as a number.
        if not isinstance(text, str) or not _WALLTIME.fullmatch(text):
            raise ValueError("a time limit is minutes, HH:MM:SS or D-HH:MM:SS, in quotes")
        return text

    @field_validator("directives")
    @classmethod
    def _options(cls, lines: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := [line for line in lines if not line.startswith("-")]:
            raise ValueError(f"'{wrong[0]}' is no option of sbatch; each begins with '-'")
        return lines

    @field_validator("environment")
    @classmethod
    def _variables(cls, variables: dict[str, str]) -> dict[str, str]:
        if wrong := [name for name in variables if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII)]:
            raise ValueError(f"'{wrong[0]}' is no name of an environment variable")
        return variables

    @model_validator(mode="after")
    def _shares(self) -> SlurmConfig:
        if self.processes > self.cores:
            raise ValueError(f"{self.processes} processes need at least as many cores, given: {self.cores}")
        if self.gres and self.processes != 1:
            raise ValueError("a job with a graphics processor has one process; ask for more jobs instead")
        return self

    @property
    def threads(self) -> int:
        """Cores that each worker process may use."""
        return self.cores // self.processes

    def arguments(self, output: Path) -> dict[str, Any]:
        """What ``dask_jobqueue.SLURMCluster`` is made with.

        Args:
            output: the output folder of the run.

        Raises:
            InputError: the folder for the keys of an encrypted run has a name that job scripts cannot hold.
        """
        keys = self.shared_folder or str(output)
        if self.encrypt and re.search(r"[^\w.@%+,:/=-]", keys):
            raise InputError(
                f"The keys of an encrypted Slurm run cannot lie in {keys}: the name holds a space or another sign "
                "that job scripts read in their own way.",
                "Give shared_folder in the configuration.",
            )
        return {
            # dask's cores are threads of cases: one a process. Slurm is asked for the real ones.
            "cores": self.processes,
            "job_cpu": self.cores,
            "processes": self.processes,
            "memory": f"{round(self.memory_gb * 2**30)}B",
            "queue": self.partition or None,
            "account": self.account or None,
            "walltime": self.walltime,
            "job_name": self.job_name,
            "job_extra_directives": [*([f"--gres={self.gres}"] if self.gres else []), *self.directives],
            "job_script_prologue": self._prologue(),
            "worker_extra_args": ["--resources", f"{GPU}=1"] if self.gres else [],
            "python": shlex.quote(self.python or sys.executable),
            "interface": self.interface or None,
            "local_directory": shlex.quote(self.local_folder) if self.local_folder else None,
            "log_directory": self.log_folder or None,
            "scheduler_options": self._web_server(),
            "security": self.encrypt or None,
            "shared_temp_directory": keys if self.encrypt else None,
        }

    def _web_server(self) -> dict[str, Any]:
        return {"dashboard_address": self.dashboard or NO_DASHBOARD, "dashboard": bool(self.dashboard)}

    def _prologue(self) -> list[str]:
        """Lines of the job script before the worker starts."""
        # A nanny would otherwise give its worker one thread.
        threads = {f"{library}_NUM_THREADS": str(self.threads) for library in ("OMP", "MKL", "OPENBLAS")}
        settings = {
            f"DASK_{key.upper().replace('.', '__')}": repr(value) for key, value in WORKER_SETTINGS.items()
        }
        modules = [f"module load {shlex.quote(name)}" for name in self.modules]
        variables = {**threads, **settings, **self.environment}
        return [*modules, *(f"export {name}={shlex.quote(value)}" for name, value in variables.items())]


@dataclass(frozen=True)
class SlurmTarget:
    """Jobs of a Slurm cluster.

    Attributes:
        config: what is asked of Slurm.
    """

    config: SlurmConfig


Target = LocalTarget | SchedulerTarget | SlurmTarget


def read_target(text: str) -> Target:
    """What ``--cluster`` means; also makes sure that the packages for it are there.

    Raises:
        InputError: a package is missing, the text is of no known form, or the configuration is not valid.
    """
    require_packages()
    kind, _, rest = text.partition(":")
    if kind == "local" and rest.isdecimal() and int(rest) >= 1:
        return LocalTarget(int(rest))
    if kind in ("tcp", "tls") and _is_address(rest):
        return SchedulerTarget(text)
    if kind == "slurm" and rest:
        return SlurmTarget(SlurmConfig.read(Path(os.path.expandvars(rest)).expanduser()))
    raise InputError(f"'{text}' is no cluster.", FORMS)


def require_packages() -> None:
    """Make sure that the packages for several machines are installed.

    Raises:
        InputError: one is missing.
    """
    if missing := [name for name in PACKAGES if find_spec(name) is None]:
        raise InputError(
            f"Working on several machines needs the package {missing[0].replace('_', '-')}, which is not installed.",
            "Install it with: pip install 'medcontext[cluster]'.",
        )


def _is_address(rest: str) -> bool:
    """Whether this is ``//host:port``."""
    host, _, port = rest.removeprefix("//").rpartition(":")
    return rest.startswith("//") and bool(host) and port.isdecimal() and 0 < int(port) < 65536
