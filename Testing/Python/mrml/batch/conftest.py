"""A batch that the script ran, with scenes: once for all tests here."""

from __future__ import annotations

import pytest

from harness.scripted_batch import Batch, run_script, write_scans
from medcontext.batch_ledger import read_rows


@pytest.fixture(scope="session")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Batch:
    """Four scans, of which one is broken."""
    root = tmp_path_factory.mktemp("batch ö")
    write_scans(root / "scans")
    arguments = (
        str(root / "scans"),
        "-m",
        "hippocampus",
        "-o",
        str(root / "out"),
        "--device",
        "cpu",
        "--scenes",
    )
    code, said = run_script("--", *arguments, home=root / "home")
    return Batch(arguments, root / "out", code, said, read_rows(root / "out"))
