"""The worker's answer becomes arrays in memory, or one sentence in the person's language."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import harness.application  # noqa: F401  makes slicer.i18n importable
from medcontext.errors import InputError
from medcontext.exchange import ExchangeFolder
from MedContextSegmentLib.Worker import Results
from MedContextSegmentLib.Worker.Results import readResult


def event(folder: ExchangeFolder, labelmap: np.ndarray) -> dict[str, Any]:
    return {
        "event": "result",
        "labelmap": folder.write("labelmap", labelmap).to_json(),
        "labels": [],
        "model": {"id": "m"},
        "device": "CPU",
        "precision": "fp32",
        "seconds": {"segment": 1},
        "software": {},
    }


def test_nothing_stays_mapped(tmp_path: Path) -> None:
    labels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    with ExchangeFolder(tmp_path) as folder:
        result = readResult(event(folder, labels))
    assert not folder.path.exists()
    np.testing.assert_array_equal(result.labelmap, labels)


def test_a_malformed_answer_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="malformed"):
        readResult({"event": "result"})
    with ExchangeFolder(tmp_path) as folder:
        wide = folder.write("labelmap", np.zeros((2, 3, 4), np.int16)).to_json()
        with pytest.raises(InputError, match="malformed"):
            readResult({"event": "result", "labelmap": wide, "labels": []})


def test_what_is_wrong_can_be_translated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Results, "_", lambda text: f"Translated: {text}")
    with (
        ExchangeFolder(tmp_path) as folder,
        pytest.raises(InputError, match="Translated: The answer of the worker"),
    ):
        readResult({**event(folder, np.zeros((3, 4), np.uint8)), "event": "result"})
