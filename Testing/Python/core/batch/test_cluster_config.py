"""``--cluster``: what may be asked for, and what Slurm is then told."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from medcontext.batch import cluster_config
from medcontext.batch.cluster_config import (
    LocalTarget,
    SchedulerTarget,
    SlurmConfig,
    SlurmTarget,
    read_target,
)
from medcontext.errors import InputError

pytest.importorskip("distributed")

SMALL: dict[str, Any] = {"jobs": 3, "cores": 8, "memory_gb": 32}


def test_the_three_forms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site.yaml").write_text("jobs: 3\ncores: 8\nmemory_gb: 32\nwalltime: '1-12:00:00'\n")
    monkeypatch.setenv("SITE", str(tmp_path))

    assert read_target("local:4") == LocalTarget(4)
    assert read_target("tcp://node1:8786") == SchedulerTarget("tcp://node1:8786")
    assert read_target("tls://[fe80::1]:8786") == SchedulerTarget("tls://[fe80::1]:8786")
    target = read_target("slurm:$SITE/site.yaml")
    assert isinstance(target, SlurmTarget)
    assert (target.config.jobs, target.config.walltime) == (3, "1-12:00:00")


@pytest.mark.parametrize(
    "text",
    ["", "4", "local", "local:0", "local:two", "local:-1", "tcp://node1", "tcp:node1:8786", "tcp://:8786",
     "tcp://node1:99999", "http://node1:8786", "slurm:"],
)  # fmt: skip
def test_anything_else_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(InputError) as error:
        read_target(text)
    assert error.value.message == f"'{text}' is no cluster."
    assert "local:N" in error.value.hint
    assert "slurm:" in error.value.hint


def test_a_missing_package_is_said_before_anything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_config, "find_spec", lambda name: None if name == "dask_jobqueue" else name)
    with pytest.raises(InputError, match="needs the package dask-jobqueue, which is not installed") as error:
        read_target("nonsense")
    assert error.value.hint == "Install it with: pip install 'medcontext[cluster]'."


def test_a_configuration_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.yaml does not exist"):
        read_target(f"slurm:{tmp_path / 'none.yaml'}")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"partitoin": "gpu"}, "there is no field 'partitoin'"),
        ({"walltime": 14400}, "HH:MM:SS or D-HH:MM:SS, in quotes"),
        ({"walltime": "two days"}, "HH:MM:SS"),
        ({"cores": 2, "processes": 4}, "4 processes need at least as many cores, given: 2"),
        ({"gres": "gpu:2", "processes": 2}, "a job with a graphics processor has one process"),
        ({"jobs": 0}, "jobs: Input should be greater than or equal to 1"),
        ({"directives": ["--qos=long\nrm -rf ~"]}, "directives.0"),
        ({"directives": ["qos=long"]}, "'qos=long' is no option of sbatch"),
        ({"partition": "gpu; rm"}, "partition"),
        ({"modules": ["cuda && rm"]}, "modules.0"),
        ({"environment": {"A B": "1"}}, "'A B' is no name of an environment variable"),
        ({"environment": {"A": "1\nrm"}}, "environment.A"),
    ],
)
def test_what_a_configuration_may_not_say(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as error:
        SlurmConfig.parse(SMALL | changes, "site.yaml")
    assert error.value.message.startswith("site.yaml cannot be used: ")
    assert said in error.value.message


def test_every_field_is_documented() -> None:
    undocumented = [name for name, field in SlurmConfig.model_fields.items() if not field.description]
    assert not undocumented


def a_job_script(output: Path, **changes: Any) -> list[str]:
    """The lines of the script that SLURMCluster would submit."""
    from dask_jobqueue import SLURMCluster

    config = SlurmConfig.parse(SMALL | {"encrypt": False} | changes, "site.yaml")
    arguments = config.arguments(output)
    arguments["scheduler_options"] |= {"host": "127.0.0.1"}
    with SLURMCluster(**arguments) as cluster:
        return str(cluster.job_script()).splitlines()


def test_the_job_script_says_what_the_configuration_says(tmp_path: Path) -> None:
    lines = a_job_script(
        tmp_path,
        processes=2,
        partition="long",
        account="radiology",
        walltime="1-12:00:00",
        job_name="thorax",
        directives=["--qos=long", "--constraint=avx512"],
        modules=["gcc/13.2"],
        environment={"SITE": "two words, it's one value"},
        python="/opt/my python/bin/python",
        local_folder="/scratch",
        log_folder=str(tmp_path / "logs"),
    )

    directives = [line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH")]
    assert directives == [
        "-J thorax",
        f"-e {tmp_path}/logs/thorax-%J.err",
        f"-o {tmp_path}/logs/thorax-%J.out",
        "-p long",
        "-A radiology",
        "-n 1",
        "--cpus-per-task=8",
        "--mem=32G",
        "-t 1-12:00:00",
        "--qos=long",
        "--constraint=avx512",
    ]
    assert "module load gcc/13.2" in lines
    exports = dict(shlex.split(line)[1].split("=", 1) for line in lines if line.startswith("export "))
    assert exports["SITE"] == "two words, it's one value"
    assert exports["OMP_NUM_THREADS"] == "4"  # 8 cores, 2 processes
    command = shlex.split(lines[-1])
    assert command[0] == "/opt/my python/bin/python"
    assert "dask_worker" in command[2]
    options = dict(zip(command[4::2], command[5::2], strict=False))
    assert options["--nthreads"] == "1"
    assert options["--memory-limit"] == "16.00GiB"
    assert options["--nworkers"] == "2"
    assert "/scratch" in command
    assert "--resources" not in command


def test_a_job_with_a_graphics_processor_offers_it_once(tmp_path: Path) -> None:
    lines = a_job_script(tmp_path, gres="gpu:a100:1")
    assert "#SBATCH --gres=gpu:a100:1" in lines
    assert "--resources GPU=1" in lines[-1]


def test_workers_do_not_wait_for_less_memory(tmp_path: Path) -> None:
    """A paused worker takes no case and, with nothing running on it, would stay paused for ever."""
    from dask.config import collect_env

    lines = a_job_script(tmp_path)
    exports = dict(shlex.split(line)[1].split("=", 1) for line in lines if line.startswith("export "))
    settings = collect_env(exports)
    assert settings["distributed"]["worker"]["memory"]["pause"] is False


def test_an_encrypted_run_gives_its_keys_in_a_folder_that_jobs_see(tmp_path: Path) -> None:
    lines = a_job_script(tmp_path, encrypt=True)
    options = lines[-1].split()
    key = Path(options[options.index("--tls-key") + 1])
    assert key.parent == tmp_path
    assert any(option.startswith("tls://") for option in options)
    assert not key.exists()  # gone with the cluster


def test_keys_cannot_lie_where_a_job_script_would_stumble(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the name holds a space") as error:
        SlurmConfig.parse(SMALL, "site.yaml").arguments(tmp_path / "two words")
    assert "shared_folder" in error.value.hint
    arguments = SlurmConfig.parse(SMALL | {"shared_folder": "/home/me/keys"}, "site.yaml").arguments(
        tmp_path / "two words"
    )
    assert arguments["shared_temp_directory"] == "/home/me/keys"


def test_no_dashboard_unless_asked() -> None:
    quiet = SlurmConfig.parse(SMALL, "site.yaml").arguments(Path("/out"))["scheduler_options"]
    loud = SlurmConfig.parse(SMALL | {"dashboard": ":8787"}, "site.yaml").arguments(Path("/out"))
    assert quiet == {"dashboard_address": "127.0.0.1:0", "dashboard": False}
    assert loud["scheduler_options"] == {"dashboard_address": ":8787", "dashboard": True}
