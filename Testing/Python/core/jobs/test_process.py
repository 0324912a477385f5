"""A process is told from a later one that got its number."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from medcontext.jobs import process


def test_a_token_stays_the_same_while_the_process_runs_and_is_gone_afterwards() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    token = process.creation_token(child.pid)
    assert token
    assert process.creation_token(child.pid) == token
    assert process.is_running(child.pid, token)
    child.communicate(b"\n")
    assert process.creation_token(child.pid) is None
    assert not process.is_running(child.pid, token)


@pytest.mark.skipif(os.name == "nt", reason="zombies are a POSIX matter")
def test_a_process_that_ended_but_was_not_collected_does_not_run() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it is a zombie now
    assert process.creation_token(child.pid) is None
    child.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_program_name_with_parentheses_and_spaces_does_not_hide_the_creation_time() -> None:
    script = "import ctypes; ctypes.CDLL(None).prctl(15, b') R 1 2 (x', 0, 0, 0); print(flush=True); input()"
    child = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    before = process.creation_token(child.pid)
    child.stdout.readline()
    assert process.creation_token(child.pid) == before
    child.communicate(b"\n")


@pytest.mark.parametrize("pid", [0, -1])
def test_a_number_that_no_process_can_have_does_not_run(pid: int) -> None:
    assert process.creation_token(pid) is None
