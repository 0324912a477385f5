"""A ledger takes every text that programs may put into it."""

from __future__ import annotations

import os
from pathlib import Path

from medcontext.batch_ledger import Layout, LedgerWriter, read_rows


def test_names_that_are_no_text_do_not_end_a_run(tmp_path: Path) -> None:
    name = os.fsdecode(b"M\xfcller") if os.name != "nt" else "M\udcfcller"
    with LedgerWriter(Layout(tmp_path).ledger()) as writer:
        writer.append({"case": "a", "state": "failed", "error": {"message": f"{name} is broken, Jürgen"}})
    assert read_rows(tmp_path)["a"]["error"]["message"] == "M?ller is broken, Jürgen"
