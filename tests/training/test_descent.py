"""The descent of emulators and readers: it learns, goes on as if nothing happened, refuses NaN."""

import pytest
import torch

from starnet.errors import TrainingError
from starnet.training import descent as module
from starnet.training.descent import Descent

HOW = Descent(steps=60, lr=0.05, weight_decay=0.0, average=0.9, seed=3)


def network():
    torch.manual_seed(0)
    return torch.nn.Linear(2, 1)


def loss_of(line):
    def loss(step, generator):
        x = torch.randn(16, 2, generator=generator)
        return (line(x) - x @ torch.tensor([[1.0], [-2.0]]) - 0.5).square().mean()

    return loss


def test_it_finds_the_minimum():
    line = network()
    Descent(800, 0.05, 0.0, 0.9, 1).run(line, loss_of(line))
    assert torch.allclose(line.weight, torch.tensor([[1.0, -2.0]]), atol=0.02)
    assert torch.allclose(line.bias, torch.tensor([0.5]), atol=0.02)


def test_the_rate_rises_and_falls():
    rates = [HOW.rate(i) for i in range(HOW.steps)]
    assert rates[-1] < 0.01 * HOW.lr
    assert max(rates) == pytest.approx(HOW.lr, rel=0.02)


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(tmp_path, monkeypatch):
    whole = network()
    HOW.run(whole, loss_of(whole))
    monkeypatch.setattr(module, "EVERY", -1.0)  # a checkpoint after every step
    broken = network()
    steps = loss_of(broken)

    def stops(step, generator):
        if step == 25:
            raise KeyboardInterrupt
        return steps(step, generator)

    with pytest.raises(KeyboardInterrupt):
        HOW.run(broken, stops, folder=tmp_path, signature="a")
    again, seen = network(), []
    rest = loss_of(again)

    def counted(step, generator):
        seen.append(step)
        return rest(step, generator)

    HOW.run(again, counted, folder=tmp_path, signature="a")
    assert seen[0] == 25
    assert torch.allclose(again.weight, whole.weight, atol=1e-6)


def test_a_checkpoint_of_another_run_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "EVERY", -1.0)
    first = network()
    HOW.run(first, loss_of(first), folder=tmp_path, signature="a")
    seen = []
    second = network()
    inner = loss_of(second)

    def counted(step, generator):
        seen.append(step)
        return inner(step, generator)

    HOW.run(second, counted, folder=tmp_path, signature="b")
    assert seen[0] == 0


def test_a_loss_that_is_no_number_stops_the_run():
    line = network()
    with pytest.raises(TrainingError, match="lower lr"):
        HOW.run(line, lambda step, generator: line.weight.sum() * float("nan"))
