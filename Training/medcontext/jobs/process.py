"""Which process is which: a process number is used again after its process ended, a creation time is not."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path


def creation_token(pid: int) -> str | None:
    """Text that only this process has: its creation time in the system's own form.

    Returns:
        None when no process of that number runs; one that has ended but was not yet collected by its parent
        (a zombie) does not run.
    """
    return _creation_time(pid) if pid > 0 else None


def is_running(pid: int, token: str) -> bool:
    """Whether the process that had this number and creation token still runs."""
    return creation_token(pid) == token


def end_process_group(pid: int) -> None:
    """End a process started as leader of its own group and all that it started, without asking it."""
    if sys.platform == "win32":
        subprocess.run(["taskkill", "/T", "/F", "/PID", str(pid)], capture_output=True, check=False)
    else:
        # A group that ended by itself a moment ago is what was wanted.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


if sys.platform == "win32":

    def _creation_time(pid: int) -> str | None:
        import ctypes
        from ctypes import wintypes

        query_limited_information, still_active = 0x1000, 259
        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel.OpenProcess.restype = wintypes.HANDLE
        kernel.OpenProcess.argtypes = [wintypes.DWORD, wintypes.BOOL, wintypes.DWORD]
        kernel.GetExitCodeProcess.argtypes = [wintypes.HANDLE, ctypes.POINTER(wintypes.DWORD)]
        kernel.GetProcessTimes.argtypes = [wintypes.HANDLE] + [ctypes.POINTER(wintypes.FILETIME)] * 4
        kernel.CloseHandle.argtypes = [wintypes.HANDLE]
        handle = kernel.OpenProcess(query_limited_information, False, pid)
        if not handle:
            return None
        try:
            code = wintypes.DWORD()
            times = [wintypes.FILETIME() for _ in range(4)]
            # An ended process can still be opened while somebody holds a handle of it; its exit code tells.
            known = kernel.GetExitCodeProcess(handle, ctypes.byref(code))
            known = known and kernel.GetProcessTimes(handle, *(ctypes.byref(time) for time in times))
            if not known or code.value != still_active:
                return None
            return str((times[0].dwHighDateTime << 32) | times[0].dwLowDateTime)
        finally:
            kernel.CloseHandle(handle)

elif sys.platform == "linux":

    def _creation_time(pid: int) -> str | None:
        try:
            text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            return None
        # Field 2 is the command in parentheses and may itself hold spaces and parentheses; 3 is the state,
        # 22 the start in ticks since boot, which is why the boot belongs to the token.
        fields = text.rpartition(")")[2].split()
        return None if fields[0] in "ZXx" else f"{_boot()}:{fields[19]}"

    def _boot() -> str:
        try:
            return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        except FileNotFoundError:  # some sandboxes have none; the start alone then has to do
            return ""

else:

    def _creation_time(pid: int) -> str | None:
        command = ["ps", "-o", "stat=", "-o", "lstart=", "-p", str(pid)]
        environment = {**os.environ, "LC_ALL": "C"}  # names of months must not depend on who asks
        answer = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        state, _, started = answer.stdout.strip().partition(" ")
        return None if not state or state.startswith("Z") else " ".join(started.split())
