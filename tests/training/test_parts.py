"""Settings, streams, losses, schedules and the training curve, each by itself."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from starnet.errors import ConfigError, DataError
from starnet.training.config import TrainingConfig
from starnet.training.history import Epoch, History
from starnet.training.losses import elementwise_loss, masked_sum, mean_loss
from starnet.training.schedules import build_schedule
from starnet.training.streams import ArrayStream


def test_settings_survive_json():
    config = TrainingConfig(optimizer="adamw", ema=0.99, patience=None, clip_norm=1.0)
    assert TrainingConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert TrainingConfig.from_dict({}) == TrainingConfig()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("optimizer", "sgd"),
        ("schedule", "linear"),
        ("loss", "nll"),
        ("device", "tpu"),
        ("lr", 0.0),
        ("lr", "fast"),
        ("epochs", 0),
        ("batch_size", 2.5),
        ("weight_decay", -1.0),
        ("ema", 1.0),
        ("clip_norm", 0.0),
        ("patience", -1),
    ],
)
def test_wrong_settings_are_named(name, value):
    with pytest.raises(ConfigError, match=name):
        TrainingConfig(**{name: value})


def test_an_unknown_setting_is_named():
    with pytest.raises(ConfigError, match="learning_rate"):
        TrainingConfig.from_dict({"learning_rate": 1.0})


@given(n=st.integers(1, 50), size=st.integers(1, 60), shuffle=st.booleans())
def test_a_stream_gives_every_spectrum_once(n, size, shuffle):
    inputs = np.arange(n, dtype=np.float32).reshape(n, 1, 1)
    stream = ArrayStream(inputs, inputs[:, 0], inputs[:, 0], shuffle=shuffle)
    batches = list(stream.batches(size, seed=1, epoch=2))
    assert max(len(b.inputs) for b in batches) <= size
    seen = np.concatenate([b.inputs[:, 0, 0] for b in batches])
    assert sorted(seen) == list(range(n))
    assert shuffle or list(seen) == list(range(n))
    for b in batches:
        np.testing.assert_array_equal(b.inputs[:, 0], b.targets)
        np.testing.assert_array_equal(b.weights, b.targets)
    again = np.concatenate([b.inputs[:, 0, 0] for b in stream.batches(size, seed=1, epoch=2)])
    np.testing.assert_array_equal(seen, again)


def test_a_stream_changes_its_order_with_epoch_and_seed():
    stream = ArrayStream(np.arange(50.0).reshape(50, 1, 1), np.zeros((50, 1)))
    orders = {
        tuple(next(stream.batches(50, seed=seed, epoch=epoch)).inputs[:, 0, 0])
        for seed, epoch in [(0, 0), (0, 1), (1, 0)]
    }
    assert len(orders) == 3


@pytest.mark.parametrize(
    "shapes", [((4, 9), (4, 2), None), ((4, 1, 9), (3, 2), None), ((4, 1, 9), (4, 2), (4, 1))]
)
def test_a_stream_refuses_shapes_that_do_not_fit(shapes):
    inputs, targets, weights = (None if s is None else np.zeros(s) for s in shapes)
    with pytest.raises(DataError, match="must"):
        ArrayStream(inputs, targets, weights)


BY_HAND = {
    "mse": lambda d: d**2,
    "mae": abs,
    "huber": lambda d: np.where(abs(d) < 0.5, d**2 / 2, 0.5 * (abs(d) - 0.25)),
    "cauchy": lambda d: np.log1p((d / 0.2) ** 2),
}


@pytest.mark.parametrize("name", BY_HAND)
@pytest.mark.parametrize("weighted", [False, True])
def test_losses_against_numpy(name, weighted):
    rng = np.random.default_rng(0)
    output, targets, weights = rng.normal(size=(3, 20, 4)).astype(np.float32)
    targets[rng.random((20, 4)) < 0.4] = np.nan
    weights = abs(weights)
    there = np.isfinite(targets)
    wanted = np.average(
        BY_HAND[name]((output - targets)[there]), weights=weights[there] if weighted else None
    )
    loss = elementwise_loss(TrainingConfig(loss=name, huber_delta=0.5))
    tensors = [torch.from_numpy(a) for a in (output, targets, weights)][: 3 if weighted else 2]
    tensors[0].requires_grad_()
    value = mean_loss(*masked_sum(loss, *tensors))
    assert value.item() == pytest.approx(wanted, rel=1e-5)
    value.backward()
    gradient = tensors[0].grad.numpy()
    assert np.all(gradient[~there] == 0)
    assert np.all(gradient[there] != 0)


def test_a_batch_without_any_label_has_no_loss_and_no_gradient():
    output = torch.randn(3, 2, requires_grad=True)
    loss, nothing = elementwise_loss(TrainingConfig()), torch.full((3, 2), math.nan)
    value = mean_loss(*masked_sum(loss, output, nothing))
    value.backward()
    assert value.item() == 0
    assert not output.grad.any()


def test_members_are_fitted_one_by_one_and_not_by_their_mean():
    loss = elementwise_loss(TrainingConfig())
    targets = torch.tensor([[1.0, math.nan]])
    members = torch.tensor([[[0.0, 5.0]], [[2.0, 5.0]]])  # (M, B, L); their mean is right
    assert mean_loss(*masked_sum(loss, members, targets)).item() == 1.0
    assert mean_loss(*masked_sum(loss, members.mean(dim=0), targets)).item() == 0.0


def rates(config, losses=(), steps=10):
    schedule = build_schedule(config, steps)
    found = []
    for epoch in range(config.epochs):
        found += [schedule.lr(epoch * steps + i) for i in range(steps)]
        schedule.epoch_done(losses[epoch] if losses else 1.0)
    return np.array(found)


def test_plateau_halves_after_two_idle_epochs_down_to_the_floor():
    config = TrainingConfig(epochs=14)
    per_epoch = rates(config, [1.0, 0.5] + [0.5] * 12)[::10]
    np.testing.assert_allclose(per_epoch[:4], 7e-4)
    np.testing.assert_allclose(per_epoch[4:6], 3.5e-4)
    np.testing.assert_allclose(per_epoch[6:8], 1.75e-4)
    np.testing.assert_allclose(per_epoch[8:10], 8.75e-5)
    np.testing.assert_allclose(per_epoch[10:], 8e-5)


def test_plateau_never_raises_a_rate_below_its_floor():
    assert np.all(rates(TrainingConfig(epochs=6, lr=1e-5)) == 1e-5)


def test_onecycle_rises_and_falls():
    found = rates(TrainingConfig(schedule="onecycle", lr=0.01, epochs=10))
    peak = int(found.argmax())
    assert found[peak] == pytest.approx(0.01, rel=1e-3)
    assert peak == pytest.approx(30, abs=1)
    assert np.all(np.diff(found[: peak + 1]) > 0)
    assert np.all(np.diff(found[peak:]) < 0)
    assert found[0] == pytest.approx(0.01 / 25)
    assert found[-1] == pytest.approx(0.01 / 25e4)


def test_cosine_and_constant():
    cosine = rates(TrainingConfig(schedule="cosine", epochs=5))
    assert cosine[0] == pytest.approx(7e-4)
    assert cosine[-1] == pytest.approx(8e-5)
    assert np.all(np.diff(cosine) < 0)
    assert np.all(rates(TrainingConfig(schedule="constant", epochs=5)) == 7e-4)


@pytest.mark.parametrize("name", ["plateau", "onecycle", "cosine", "constant"])
def test_schedules_go_on_from_their_state(name):
    config = TrainingConfig(schedule=name, epochs=8)
    first, second = build_schedule(config, 3), build_schedule(config, 3)
    for _ in range(4):
        first.epoch_done(1.0)
    second.restore(json.loads(json.dumps(first.state())))
    for epoch in range(4, 8):
        assert first.lr(3 * epoch) == second.lr(3 * epoch)
        first.epoch_done(1.0)
        second.epoch_done(1.0)


HISTORY = History((Epoch(1, 0.5, 0.6, 7e-4, 1.5), Epoch(2, 0.4, 0.7, 7e-4, 1.4)), best_epoch=1)


def test_the_curve_is_a_table_with_units():
    table = HISTORY.to_table()
    assert table.colnames == [f.name for f in dataclasses.fields(Epoch)]
    np.testing.assert_allclose(table["valid_loss"], [0.6, 0.7])
    assert table.meta["best_epoch"] == 1
    assert str(table["seconds"].unit) == "s"
