"""What the command line says of commands, and whether it says it at once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

Told = dict[str, tuple[int, str, bool]]
"""By command: exit code, what stands on stderr, and whether torch was loaded by then."""

_RUNNER = """
import json, shlex, sys
from typer.testing import CliRunner
from medcontext.cli.app import app
found = {}
for line in json.load(sys.stdin):
    done = CliRunner().invoke(app, shlex.split(line))
    found[line] = done.exit_code, done.stderr, "torch" in sys.modules
json.dump(found, sys.stdout)
"""


def toldWithoutWriting(commands: Iterable[str], folder: Path) -> Told:
    """Give commands one after the other, in one new process, in a folder in which they must not change anything."""
    before = sorted(folder.rglob("*"))
    done = subprocess.run(
        [sys.executable, "-c", _RUNNER],
        input=json.dumps(list(commands)),
        cwd=folder,
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(folder.rglob("*")) == before
    found: Told = json.loads(done.stdout)
    return found
