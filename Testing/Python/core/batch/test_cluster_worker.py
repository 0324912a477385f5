"""What a worker makes sure of before it takes part in a run."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import medcontext
from medcontext.batch import cluster_worker
from medcontext.batch.case import BatchCase
from medcontext.batch.cluster_messages import Errand, RunFacts
from medcontext.batch.options import BatchOptions, FixedPlan
from medcontext.batch.record import model_identity
from medcontext.card_schema import ModelCard

BUNDLED = Path(medcontext.__file__).parent / "resources" / "models" / "hippocampus"


@pytest.fixture
def facts(tmp_path: Path, card: ModelCard) -> dict[str, Any]:
    """Of a run whose output folder this machine sees."""
    (tmp_path / ".run-1").touch()
    return RunFacts(
        version=medcontext.__version__,
        output=tmp_path,
        mark=".run-1",
        model=BUNDLED,
        model_name="hippocampus@1.0.0",
        model_sha256=model_identity(card),
    ).model_dump(mode="json")


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Whether a worker with these resources would take part."""
    monkeypatch.setattr(cluster_worker, "_admitted", set())
    monkeypatch.setattr(cluster_worker, "PATIENCE", 0.0)

    def answer(facts: dict[str, Any], **resources: float) -> dict[str, Any]:
        return cluster_worker.admit(facts, SimpleNamespace(state=SimpleNamespace(total_resources=resources)))

    return answer


def test_a_worker_that_sees_the_same_takes_part(facts: dict[str, Any], ask: Any) -> None:
    assert ask(facts)["refused"] == ""
    assert ask(facts)["gpu"] is False
    assert ask(facts, GPU=1)["gpu"] is True


def test_a_model_at_another_place_is_as_good(facts: dict[str, Any], ask: Any) -> None:
    assert ask(facts | {"model": "/elsewhere/hippocampus"})["refused"] == ""


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"version": "9.9"}, "this run was started with 9.9: install the same version on both"),
        ({"mark": ".run-2"}, "does not see"),
        ({"output": "/elsewhere"}, "does not see /elsewhere"),
        ({"model_sha256": "0" * 64}, "has another model at"),
        ({"model": "/elsewhere", "model_name": "none@1"}, "cannot open the model /elsewhere"),
        ({"from": "the future"}, "there is no field 'from'"),
    ],
)
def test_what_a_worker_refuses(facts: dict[str, Any], ask: Any, changes: dict[str, str], said: str) -> None:
    assert said in ask(facts | changes)["refused"]


def test_a_case_arrives_as_it_was_sent() -> None:
    """As plain data: a worker of another version can still say that it is one."""
    case = BatchCase(
        id="süß 1",
        paths=(Path("/data/ä b.nii.gz"), Path("/data/t2.nii.gz")),
        series=(Path("/d/1.dcm"),),
        more_series=((Path("/d/2.dcm"),),),
        reference=Path("/data/ref.nii.gz"),
        private=("Doe",),
    )
    sent = Errand(
        case=case,
        options=BatchOptions(model="hippocampus", formats=("stl", "nii.gz")),
        plan=FixedPlan(precision="bf16"),
        sharers={"10.0.0.1": 2},
        look=True,
    )
    message = json.loads(json.dumps(sent.model_dump(mode="json")))
    assert Errand.parse(message, "a message") == sent
