"""One process may train more than once, each time as it was asked to: Python programs and the demo do."""

from __future__ import annotations

from pathlib import Path

import pytest

from medcontext import devices
from medcontext.workflows.request import TrainRequest
from medcontext.workflows.train import train


def test_two_trainings_in_one_process_may_differ_in_precision(
    tmp_path: Path, a_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "cpu_has_native_bf16", lambda: True)
    for precision in ("fp32", "bf16"):
        output = tmp_path / precision
        request = TrainRequest(a_store, output, "supervised", steps=1, device="cpu", precision=precision)
        assert (train(request).folder / "model.json").is_file()
