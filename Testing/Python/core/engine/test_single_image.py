"""What a user relies on: the engine learns from one image at once, ends when told, and leaves nothing behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from medcontext.devices import choose_device
from medcontext.engine.config import EngineConfig, OptimiserConfig
from medcontext.engine.loop import train
from medcontext.engine.method import Stage
from medcontext.engine.optimiser import make_optimiser
from medcontext.engine.single_image import SingleImageTask, single_image_run
from medcontext.errors import CancelledError, TrainingDivergedError
from medcontext.events import Reporter

RATE = 0.2


class OwnLabels:
    """A method in its smallest form: a network learns what it says already."""

    name = "own labels"

    def __init__(self) -> None:
        self.seen: list[torch.Tensor] = []
        self.network: nn.Module = nn.Identity()

    def build(self, network, plan):
        self.network, self.plan = network, plan
        return network

    def stages(self, batch_size, *_more):
        return [Stage(self.name, 1.0, 1.0, labelled=0, unlabelled=batch_size)]

    def loss(self, student, batch, _clock):
        self.seen.append(batch.image)
        logits = student(batch.image)
        return {"self": functional.cross_entropy(logits, logits.argmax(1))}

    def after_step(self, student, momentum): ...

    def deliver(self):
        return self.network

    def mask_token(self):
        return None

    def state_dict(self):
        return {}


def a_run(image=None, **changes):
    torch.manual_seed(0)
    image = torch.rand(1, 3, 16, 20) if image is None else image
    optimiser = OptimiserConfig(
        name="sgd",
        learning_rate=RATE,
        momentum=0.9,
        nesterov=False,
        schedule="constant",
        warmup=0,
        weight_decay=0,
        gradient_clip=1e6,
    )
    network = (nn.Conv3d if image.dim() == 5 else nn.Conv2d)(image.shape[1], 4, 3, padding=1)
    options = {"steps": 6, "config": EngineConfig(optimiser=optimiser), "device": choose_device("cpu")}
    return single_image_run(image, network, OwnLabels(), **(options | changes))


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder where a run that wrote something would leave it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("shape", [(1, 3, 16, 20), (1, 1, 6, 8, 10)])
def test_every_step_sees_the_whole_image_and_nothing_is_written(nowhere, shape):
    image, events = torch.rand(shape), []
    run = a_run(image)
    outcome = train(run, Reporter(events.append))
    assert len(run.method.seen) == outcome.steps == 6
    assert all(torch.equal(seen, image) for seen in run.method.seen)
    assert run.task.plan.patch_size == (1, *shape[2:])[-3:]
    assert list(nowhere.iterdir()) == []
    assert not [e for e in events if e["event"] == "warning"]


def test_the_steps_are_those_of_plain_gradient_descent_with_momentum():
    run = a_run()
    with torch.no_grad():
        network = nn.Conv2d(3, 4, 3, padding=1)
        network.load_state_dict(run.network.state_dict())
    optimiser = torch.optim.SGD(network.parameters(), RATE, momentum=0.9)
    for _ in range(6):
        logits = network(run.task.image)
        loss = functional.cross_entropy(logits, logits.argmax(1))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    trained = train(run, Reporter()).network
    torch.testing.assert_close(trained.weight, network.weight)
    torch.testing.assert_close(trained.bias, network.bias)


def test_the_rule_that_ends_a_run_is_asked_after_each_step():
    asked = []
    outcome = train(a_run(finished=lambda steps: asked.append(steps) or steps == 4), Reporter())
    assert outcome.steps == 4
    assert asked == [1, 2, 3, 4]


def test_each_step_is_told_with_what_the_method_has_to_say():
    events, facts = [], iter([{"clusters": n} for n in (9, 8, 7, 6, 5, 4)])
    train(a_run(stage="propose", facts=lambda: next(facts)), Reporter(events.append))
    told = [e for e in events if e["event"] == "progress"]
    assert [(e["stage"], e["step"], e["total"], e["clusters"]) for e in told] == [
        ("propose", n, 6, 10 - n) for n in range(1, 7)
    ]
    assert [e["value"] for e in told] == pytest.approx([n / 6 for n in range(1, 7)], abs=1e-4)


def test_a_cancel_ends_it_before_the_next_step(nowhere):
    run = a_run()
    with pytest.raises(CancelledError, match=r"^Stopped at step 3 of 6\.$"):
        train(run, Reporter(cancelled=lambda: len(run.method.seen) == 3))
    assert len(run.method.seen) == 3
    assert list(nowhere.iterdir()) == []


def test_a_loss_that_is_not_finite_is_told():
    with pytest.raises(TrainingDivergedError, match="'self' became nan at step 0"):
        train(a_run(torch.full((1, 3, 8, 8), float("nan"))), Reporter())


def test_the_same_seed_gives_the_same_network():
    first, again = (train(a_run(torch.ones(1, 3, 8, 8)), Reporter()).network.weight for _ in range(2))
    assert torch.equal(first, again)


def test_a_run_without_records_cannot_be_resumed():
    with pytest.raises(ValueError, match="without a folder"):
        replace(a_run(), resume=True)


def test_an_image_on_its_device_is_not_copied():
    run = a_run()
    assert isinstance(run.task, SingleImageTask)
    batch = next(run.task.batches(0, None).iterate(0, 1, []))
    assert batch.to(torch.device("cpu")) is batch


def test_the_learning_rate_can_stay_as_it_is():
    from medcontext.engine.method import Clock
    from medcontext.engine.schedule import learning_rate

    config = OptimiserConfig(learning_rate=0.2, schedule="constant", warmup=0.0)
    stage = Stage("all", 1.0, 1.0, 0)
    assert {learning_rate(config, Clock(n, 50, stage, 0, n / 50, 0)) for n in range(50)} == {0.2}


def test_the_optimiser_of_nnu_net_is_the_default_of_sgd():
    weights = nn.Conv2d(1, 1, 1)
    group = make_optimiser(weights, OptimiserConfig(name="sgd")).param_groups[0]
    assert (group["momentum"], group["nesterov"]) == (0.99, True)
    group = make_optimiser(weights, OptimiserConfig(name="sgd", momentum=0)).param_groups[0]
    assert (group["momentum"], group["nesterov"]) == (0, False)
