"""The script for Slicer and slicer-core gives what ``medcontext batch`` gives, stops like it, and goes on like it."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from medcontext.batch.options import BatchOptions
from medcontext.batch.record import RunRecord
from medcontext.batch.run import run_batch
from medcontext.batch_ledger import DONE, Layout, LedgerWriter, read_rows
from medcontext.errors import CancelledError
from medcontext.io import read_labelmap

pytest.importorskip("slicer_core")

from harness.scripted_batch import IMAGES, PATIENCE_SECONDS, run_script, start_script

COPIES = 10


@pytest.mark.skipif(sys.platform == "win32", reason="there a program cannot be asked to end")
def test_a_stopped_script_goes_on_and_gives_what_the_command_gives(tmp_path: Path) -> None:
    scans, home, layout = tmp_path / "scans", tmp_path / "home", Layout(tmp_path / "out")
    scans.mkdir()
    sources = [IMAGES / f"hippocampus_{number}.nii.gz" for number in ("001", "011", "024", "067")]
    for copy in range(COPIES):
        shutil.copy(sources[copy % len(sources)], scans / f"scan {copy}.nii.gz")
    output = os.path.relpath(layout.root)
    command = (str(scans), "-m", "hippocampus", "-o", output, "--device", "cpu", "--scenes")

    script = start_script(*command, home=home)
    assert script.stdout is not None
    for line in script.stdout:
        if line.startswith("Done:"):
            script.send_signal(signal.SIGTERM)
            break
    said, _ = script.communicate(timeout=PATIENCE_SECONDS)
    assert script.returncode == CancelledError.exit_code, said
    first = read_rows(layout.root)
    finished = {case for case, row in first.items() if row["state"] == DONE}
    assert 0 < len(finished) < COPIES
    LedgerWriter(layout.ledger()).close()  # the engine ended with the script: nobody writes any more

    code, said = run_script(*command, home=home)
    assert code == 0, said
    rows = read_rows(layout.root)
    assert len(rows) == COPIES
    assert {case for case in finished if rows[case] == first[case]} == finished
    assert sorted(path.stem for path in layout.scene("x").parent.glob("*.mrb")) == sorted(rows)
    assert {row["state"] for row in read_rows(layout.scene("x").parent).values()} == {DONE}

    plan = RunRecord.read(layout.run).execution
    assert plan is not None
    alone = Layout(tmp_path / "alone")
    files = [scans / f"scan {copy}.nii.gz" for copy in range(len(sources))]
    run_batch(files, alone.root, BatchOptions(model="hippocampus", device="cpu", plan=plan.plan))
    cases = read_rows(alone.root)
    assert len(cases) == len(sources)
    for case in cases:
        expected, found = (read_labelmap(place.segmentation(case, "nii.gz")) for place in (alone, layout))
        assert found.geometry.same_grid(expected.geometry)
        assert np.array_equal(found.array, expected.array)
