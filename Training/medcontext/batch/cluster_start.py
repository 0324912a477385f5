"""Workers for a run: processes on this machine, those of a scheduler, or jobs of a Slurm cluster."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medcontext.batch.cluster_config import (
    GPU,
    NO_DASHBOARD,
    WORKER_SETTINGS,
    LocalTarget,
    SchedulerTarget,
    SlurmTarget,
    Target,
)
from medcontext.batch.options import BatchOptions
from medcontext.errors import InputError, ResourceError
from medcontext.events import Reporter

CONNECT_SECONDS = 8
"""How long a scheduler that is there may take to answer."""

DEATHS = 3
"""Workers that may die under a case, together with others, before it is tried alone."""

MEMORY_SHARE = 0.9
"""Share of the memory free on this machine, or left to this job or container, that local workers may take together
when no limit is given."""

LEAST_MEMORY = 10**9
"""Bytes without which no worker can load its libraries and work on a small scan."""

WAIT_FOR_WORKERS = 120.0
"""Seconds without any worker after which a run gives up, where no queue makes workers wait."""

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_NANNY_VARIABLES = (*_THREAD_VARIABLES, "MALLOC_TRIM_THRESHOLD_", "PYTHONHASHSEED")


@dataclass
class Pool:
    """Workers to give cases to.

    Attributes:
        client: connection to their scheduler.
        name: what sentences call it.
        threads: cores that each worker may use; None where each machine's are shared between its workers.
        local: whether the workers run on this machine and are numbered from 0.
        expected: workers that are known to come; when all of so many are refused, there is nobody to wait for.
        wait_s: seconds without any worker after which to give up; None waits without end.
        refill: called from time to time, asks for workers in place of lost ones; told whether all are lost.
    """

    client: Any
    name: str
    threads: int | None = None
    local: bool = False
    expected: int = 1
    wait_s: float | None = WAIT_FOR_WORKERS
    refill: Callable[[bool], None] = lambda _all_lost: None


@contextlib.contextmanager
def open_pool(target: Target, options: BatchOptions, output: Path, reporter: Reporter) -> Iterator[Pool]:
    """The workers of a run; what was started for it ends with the block.

    Raises:
        InputError: there is no such scheduler, or no Slurm, or Slurm does not take the job, or local workers would
            have too little memory.
        ResourceError: local workers could not be started.
    """
    opened = {LocalTarget: _local, SchedulerTarget: _connected, SlurmTarget: _slurm}[type(target)]
    with opened(target, options, output, reporter) as pool:  # type: ignore[operator]
        yield pool


@contextlib.contextmanager
def _local(target: LocalTarget, options: BatchOptions, _output: Path, reporter: Reporter) -> Iterator[Pool]:
    from distributed import LocalCluster, Security

    from medcontext.devices import usable_cores

    gpus = _graphics_processors(options.device)
    workers = min(target.workers, gpus) if gpus else target.workers
    if workers < target.workers:
        reporter.warning(
            f"Of {target.workers} workers {workers} are started: one for each graphics processor."
        )
    planned = options.plan.threads if options.plan is not None else None
    threads = planned or max(1, usable_cores() // workers)
    memory = _memory(options) // workers
    if memory < LEAST_MEMORY:
        raise InputError(
            f"{workers} workers with {memory / 1e9:.1f} GB of memory each: a worker needs at least "
            f"{LEAST_MEMORY / 1e9:.0f} GB.",
            "Ask for fewer workers, or give a larger --memory-limit.",
        )
    reporter.info(
        f"Workers on this machine: {workers}; each may use {threads} of its cores and {memory / 1e9:.1f} GB."
    )
    with _environment_kept(), _settings(threads):
        with _explained("The local workers could not be started"):
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                memory_limit=memory,
                dashboard_address=None,
                scheduler_kwargs={"dashboard_address": NO_DASHBOARD, "dashboard": False},
                # Else everybody with an account on this machine could run programs in the name of who started it.
                security=Security.temporary(),
                resources={GPU: 1} if gpus else None,
                silence_logs=logging.CRITICAL,
            )
        with cluster, cluster.get_client() as client:
            yield Pool(client, "this machine", threads, local=True, expected=workers)


@contextlib.contextmanager
def _connected(
    target: SchedulerTarget, _options: BatchOptions, _output: Path, _reporter: Reporter
) -> Iterator[Pool]:
    from distributed import Client

    try:
        client = Client(target.address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, TimeoutError, ValueError, RuntimeError) as error:
        raise InputError(
            f"No dask scheduler answers at {target.address}.",
            "Start one with 'dask scheduler', and workers with 'dask worker ADDRESS --nthreads 1'.",
        ) from error
    with client:
        yield Pool(client, target.address)


@contextlib.contextmanager
def _slurm(target: SlurmTarget, _options: BatchOptions, output: Path, reporter: Reporter) -> Iterator[Pool]:
    from dask_jobqueue import SLURMCluster
    from distributed import Client

    config = target.config
    for command in ("sbatch", "scancel"):
        if shutil.which(command) is None:
            raise InputError(
                f"Slurm's command {command} was not found.", "Start this on a machine that can submit jobs."
            )
    arguments = config.arguments(output)
    with _settings(None):
        with _explained("The jobs could not be prepared"):
            cluster = SLURMCluster(**arguments, silence_logs=logging.CRITICAL)
        with cluster:
            _try_job(cluster.job_script())
            cluster.scale(jobs=config.jobs)
            reporter.info(f"Jobs given to Slurm: {config.jobs}; workers in each: {config.processes}.")

            def refill(all_lost: bool) -> None:
                if all_lost:  # dask does not see that a job with several workers is gone
                    cluster.scale(jobs=0)
                cluster.scale(jobs=config.jobs)

            wait = None if config.wait_minutes is None else 60 * config.wait_minutes
            with Client(cluster, set_as_default=False) as client:
                expected = config.jobs * config.processes
                yield Pool(client, "Slurm", config.threads, False, expected, wait, refill)


def _try_job(script: str) -> None:
    """Ask Slurm whether it would take the job.

    Raises:
        InputError: it would not; the sentence holds what it says.
    """
    with tempfile.TemporaryDirectory(prefix="medcontext-") as folder:
        path = Path(folder) / "job.sh"
        path.write_text(script, encoding="utf-8")
        command = ["sbatch", "--test-only", str(path)]
        answer = subprocess.run(command, capture_output=True, text=True, check=False, errors="replace")
    if answer.returncode:
        said = " ".join((answer.stderr or answer.stdout).split())
        raise InputError(f"Slurm does not take the job: {said[:300]}", "Correct the configuration.")


def _graphics_processors(device: str) -> int:
    """How many graphics processors local workers may use; 0 where they compute on the CPU."""
    if device in ("cpu", "mps"):
        return 0
    import torch

    if device.startswith("cuda:"):
        return 1
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _memory(options: BatchOptions) -> int:
    """Bytes that all local workers may take together."""
    if options.memory_limit_gb is not None:
        return int(options.memory_limit_gb * 1e9)
    from medcontext.engine.memory import memory_at_hand

    return int(MEMORY_SHARE * memory_at_hand("cpu"))


@contextlib.contextmanager
def _settings(threads: int | None) -> Iterator[None]:
    """How dask is set up in what a run starts itself."""
    import dask

    settings = {
        **WORKER_SETTINGS,
        "distributed.scheduler.allowed-failures": DEATHS - 1,
        "distributed.scheduler.http.routes": [],
    }
    if threads is not None:  # a nanny would give its worker one
        variables = dict.fromkeys(_THREAD_VARIABLES, threads)
        settings["distributed.nanny.pre-spawn-environ"] = {"MALLOC_TRIM_THRESHOLD_": 65536, **variables}
    with dask.config.set(settings):
        yield


@contextlib.contextmanager
def _environment_kept() -> Iterator[None]:
    """Undo what nannies write into the environment of this process for the workers they start."""
    before = {name: os.environ.get(name) for name in _NANNY_VARIABLES}
    for name in _THREAD_VARIABLES:
        os.environ.pop(name, None)  # it would win over the share of each worker
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@contextlib.contextmanager
def _explained(what: str) -> Iterator[None]:
    """Say in a sentence why dask could not start."""
    try:
        yield
    except (OSError, RuntimeError, TimeoutError, ValueError) as error:
        raise ResourceError(f"{what}: {error}.") from error
