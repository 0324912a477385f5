"""What a user relies on while training: it learns, it can be stopped and resumed, it says what is wrong."""

from __future__ import annotations

import json

import pytest
import torch

from medcontext.engine.course import LEAST_STEPS
from medcontext.engine.loop import CHECKPOINT, TIMED_STEPS, _Session, train
from medcontext.engine.validation import validate
from medcontext.errors import CancelledError, InputError, TrainingDivergedError
from medcontext.events import Reporter


def losses(folder):
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


@pytest.mark.parametrize("method", ["supervised", "medcontext"])
def test_training_learns_two_balls(tmp_path, run_of, method):
    settings = ["engine.optimiser.learning_rate=1e-2"] + (["mask.cell=4"] if method == "medcontext" else [])
    run = run_of(tmp_path, method, steps=150, settings=settings, unlabelled=[])
    outcome = train(run, Reporter())
    dice = validate(outcome.network, run.task.labelled, run.task.plan, "fp32")
    assert min(dice.values()) > 0.7
    assert (tmp_path / "curve.png").stat().st_size > 1000
    assert outcome.steps == 150


@pytest.mark.parametrize("method", ["supervised", "medcontext"])
def test_a_stopped_run_resumes_the_identical_loss_sequence(tmp_path, run_of, method):
    train(run_of(tmp_path / "whole", method), Reporter())
    events = []

    def stop_after_five():
        return len([e for e in events if e["event"] == "progress" and e["value"] >= 5 / 8]) > 0

    with pytest.raises(CancelledError, match="Stopped at step 5 of 8"):
        train(run_of(tmp_path / "halves", method), Reporter(events.append, stop_after_five))
    assert (tmp_path / "halves" / CHECKPOINT).exists()
    train(run_of(tmp_path / "halves", method, resume=True), Reporter())
    assert losses(tmp_path / "halves") == losses(tmp_path / "whole")


def test_delivered_is_the_mean_of_what_was_known_and_learnt(tmp_path, run_of):
    def weights(name, share, **more):
        run = run_of(tmp_path / name, settings=[f"engine.trained_share={share}"], **more)
        start = {key: value.clone() for key, value in run.network.state_dict().items()}
        return start, train(run, Reporter()).network.state_dict()

    start, trained = weights("trained", 1.0)
    _, mean = weights("mean", 0.25)
    assert losses(tmp_path / "mean") == losses(tmp_path / "trained")
    assert any(not torch.equal(start[key], trained[key]) for key in start)
    for key, value in mean.items():
        torch.testing.assert_close(value, start[key] + 0.25 * (trained[key] - start[key]))
    _, again = weights("mean", 0.25, resume=True)
    assert all(torch.equal(again[key], mean[key]) for key in mean)


def test_timing_the_first_steps_does_not_change_the_run(tmp_path, run_of, asked):
    events = []
    run = run_of(tmp_path / "timed", steps=None, minutes=0.005)
    outcome = train(run, Reporter(events.append))
    assert outcome.steps == LEAST_STEPS
    asked.at("train", 5, "stop")
    train(run_of(tmp_path / "counted", steps=outcome.steps, control=asked), Reporter(asked.hear))
    counted = losses(tmp_path / "counted")
    assert len(counted) == 5
    assert losses(tmp_path / "timed")[:5] == counted


def test_every_term_of_every_step_is_logged(tmp_path, run_of):
    train(run_of(tmp_path, settings=["unlabelled.start=0.5"]), Reporter())
    terms = losses(tmp_path)
    assert len(terms) == 8
    assert set(terms[0]) == {"supervised", "masked", "consistency"}
    assert set(terms[-1]) == {"mixed", "mixed_pseudo"}


def test_a_term_that_is_not_finite_is_named(tmp_path, run_of):
    run = run_of(tmp_path, "supervised")
    with torch.no_grad():
        next(run.network.parameters()).fill_(float("nan"))
    with pytest.raises(TrainingDivergedError, match="'supervised' became nan at step 0"):
        train(run, Reporter())


def test_the_best_held_out_weights_are_delivered(tmp_path, run_of):
    held_out = run_of(tmp_path).task.labelled
    run = run_of(tmp_path, steps=40, validation=held_out)
    outcome = train(run, Reporter())
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    scores = [sum(line["dice"].values()) for line in lines if "dice" in line]
    assert len(scores) == run.config.validations
    assert sum(outcome.dice.values()) == max(scores)
    assert validate(outcome.network, held_out, run.task.plan, "fp32") == pytest.approx(outcome.dice)


def test_the_mask_token_of_the_best_weights_is_delivered_with_them(tmp_path, run_of, monkeypatch):
    scores = iter([0.1, 0.9, *[0.2] * 100])
    tokens = []

    def score(*_arguments):
        tokens.append(run.method.mask_token().vector)
        return {"bright": next(scores)}

    monkeypatch.setattr("medcontext.engine.segmentation.validate", score)
    run = run_of(tmp_path, steps=40, settings=["mask_space=token"], validation=run_of(tmp_path).task.labelled)
    token = train(run, Reporter()).mask_token
    assert torch.equal(token.vector, tokens[1])
    assert not torch.equal(token.vector, tokens[-1])


@pytest.mark.parametrize(("method", "settings"), [("supervised", []), ("medcontext", ["mask_space=input"])])
def test_where_no_token_is_trained_none_is_delivered(tmp_path, run_of, method, settings):
    assert train(run_of(tmp_path, method, settings=settings), Reporter()).mask_token is None


def test_a_label_that_is_never_predicted_is_warned_about(tmp_path, run_of):
    events = []
    run = run_of(tmp_path, settings=["engine.optimiser.learning_rate=1e-9"])
    with torch.no_grad():
        for parameter in run.network.parameters():
            if parameter.shape == (3,):  # the bias of each head: all background
                parameter[0] = 50
    train(run, Reporter(events.append))
    warnings = [e["message"] for e in events if e["event"] == "warning"]
    assert any("no voxel is labelled" in text for text in warnings)


def test_a_checkpoint_of_other_data_is_refused(tmp_path, run_of):
    with pytest.raises(CancelledError):
        train(run_of(tmp_path), Reporter(cancelled=lambda: True))
    other = run_of(tmp_path, "supervised", resume=True)
    with pytest.raises(InputError, match="another method"):
        train(other, Reporter())


def test_a_foreign_checkpoint_is_refused_without_running_it(tmp_path, run_of):
    class Planted:
        def __reduce__(self):
            return (exec, ("raise SystemExit('executed')",))

    tmp_path.mkdir(exist_ok=True)
    torch.save({"format": Planted()}, tmp_path / CHECKPOINT)
    with pytest.raises(InputError, match="not a readable checkpoint"):
        train(run_of(tmp_path, resume=True), Reporter())


def test_a_busy_start_does_not_shorten_the_run(tmp_path, run_of, clocks, monkeypatch):
    """Twenty slow steps promise few steps; the first tenth shows that more fit into the time."""
    plain = _Session._one_step
    timing = iter(range(10**6))

    def slow_at_first(session, batch):
        clocks.passed += 0.3 if next(timing) < TIMED_STEPS else 0.0
        plain(session, batch)

    monkeypatch.setattr(_Session, "_one_step", slow_at_first)
    events = []
    run = run_of(tmp_path, "supervised", steps=None, minutes=0.15)
    outcome = train(run, Reporter(events.append))
    assert [event["steps"] for event in events if "steps" in event] == [50, 72]
    assert outcome.steps == 72
