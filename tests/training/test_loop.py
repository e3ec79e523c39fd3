"""Training: it learns, it resumes bit for bit, and it says what is wrong."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from starnet.errors import ConfigError, OutputError, TrainingError, TrainingInterrupted
from starnet.models import StarNetConfig, build_network
from starnet.training.config import TrainingConfig
from starnet.training.loop import choose_device, fit
from starnet.training.streams import ArrayStream

NETWORK = StarNetConfig(40, 2, dense=(16,), dropout=0.1)
SHORT = TrainingConfig(epochs=4, batch_size=16, lr=3e-3, device="cpu", patience=None)


def data(n=96, seed=0):
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(n, 1, 40)).astype(np.float32)
    targets = np.stack([inputs[:, 0, :13].sum(1) / 3, inputs[:, 0, 20:33].sum(1) / 3], 1)
    targets[::5, 0] = np.nan
    return inputs, targets.astype(np.float32)


def streams(n=96):
    inputs, targets = data(n + 32)
    valid = ArrayStream(inputs[n:], targets[n:], shuffle=False)
    return ArrayStream(inputs[:n], targets[:n]), valid


def trained(config=SHORT, folder=None, train=None, seed=1, **options):
    ours, valid = streams()
    network = build_network(NETWORK, seed=seed)
    history = fit(
        network, train or ours, valid, config, checkpoint_dir=folder, progress=False, **options
    )
    return network, history


def assert_same_weights(a, b):
    for (name, x), y in zip(a.state_dict().items(), b.state_dict().values(), strict=True):
        assert torch.equal(x, y), name


def losses(history):
    return [(e.epoch, e.train_loss, e.valid_loss, e.lr) for e in history]


class Interrupting:
    """A stream that sends Ctrl-C to this process before a given batch of a given epoch."""

    def __init__(self, epoch, batch):
        self.stream, self.at = streams()[0], (epoch, batch)

    @property
    def n_spectra(self):
        return self.stream.n_spectra

    def batches(self, batch_size, *, seed, epoch):
        for i, batch in enumerate(self.stream.batches(batch_size, seed=seed, epoch=epoch)):
            if (epoch, i) == self.at:
                os.kill(os.getpid(), signal.SIGINT)
            yield batch


VARIANTS = {
    "adam": SHORT,
    "adamw one-cycle": dataclasses.replace(
        SHORT, optimizer="adamw", weight_decay=0.01, schedule="onecycle", clip_norm=1.0
    ),
    "ema cosine huber": dataclasses.replace(SHORT, ema=0.9, schedule="cosine", loss="huber"),
    "last weights": dataclasses.replace(SHORT, restore_best=False, schedule="constant"),
    "ema, last weights": dataclasses.replace(SHORT, restore_best=False, ema=0.9, loss="mae"),
}
every_variant = pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS)


@every_variant
def test_it_learns(config):
    _, history = trained(config)
    assert len(history) == 4
    assert history.epochs[-1].valid_loss < 0.9 * history.epochs[0].valid_loss
    assert all(e.seconds > 0 for e in history)


@every_variant
def test_equal_seeds_give_equal_bits_and_others_do_not(config):
    first, second = trained(config), trained(config)
    assert_same_weights(first[0], second[0])
    assert losses(first[1]) == losses(second[1])
    other, _ = trained(dataclasses.replace(config, seed=5))
    assert not torch.equal(first[0].head.weight, other.head.weight)


@every_variant
@pytest.mark.parametrize("at", [(2, 0), (1, 3), (3, 5)], ids=str)
def test_interrupted_and_resumed_equals_straight_bit_for_bit(config, at, tmp_path):
    straight, wanted = trained(config)
    with pytest.raises(TrainingInterrupted, match="resume"):
        trained(config, tmp_path, train=Interrupting(*at))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    resumed, found = trained(config, tmp_path, seed=99)
    assert_same_weights(resumed, straight)
    assert losses(found) == losses(wanted)


def test_made_longer_equals_straight(tmp_path):
    trained(dataclasses.replace(SHORT, epochs=2), tmp_path)
    resumed, found = trained(SHORT, tmp_path)
    straight, wanted = trained(SHORT)
    assert_same_weights(resumed, straight)
    assert losses(found) == losses(wanted)


def test_a_finished_run_is_not_trained_again(tmp_path):
    first, wanted = trained(SHORT, tmp_path)
    again, found = trained(SHORT, tmp_path, seed=7)
    assert_same_weights(first, again)
    assert found == wanted


def test_killed_without_warning_resumes_from_the_last_epoch(tmp_path):
    script = f"""
import os, signal, sys
sys.path.insert(0, {str(os.path.dirname(__file__))!r})
from test_loop import SHORT, trained
def die(row):
    if row.epoch == 2:
        os.kill(os.getpid(), signal.SIGKILL)
trained(SHORT, {str(tmp_path)!r}, on_epoch=die)
"""
    threads = str(torch.get_num_threads())
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "OMP_NUM_THREADS": threads}, timeout=120
    )
    assert done.returncode == -signal.SIGKILL
    resumed, found = trained(SHORT, tmp_path)
    straight, wanted = trained(SHORT)
    assert_same_weights(resumed, straight)
    assert losses(found) == losses(wanted)


def test_without_a_folder_an_interrupt_says_that_nothing_was_kept():
    with pytest.raises(TrainingInterrupted, match="nothing"):
        trained(train=Interrupting(0, 1))


def test_checkpoints_within_an_epoch(tmp_path):
    class Dying(Interrupting):
        def batches(self, batch_size, *, seed, epoch):
            for i, batch in enumerate(self.stream.batches(batch_size, seed=seed, epoch=epoch)):
                if (epoch, i) == self.at:
                    raise RuntimeError("power cut")
                yield batch

    often = dataclasses.replace(SHORT, checkpoint_minutes=1e-9)
    with pytest.raises(RuntimeError, match="power cut"):
        trained(often, tmp_path, train=Dying(0, 3))
    assert_same_weights(trained(SHORT, tmp_path, seed=3)[0], trained(SHORT)[0])


@pytest.mark.parametrize(
    ("change", "named"), [({"lr": 1e-3}, "lr"), ({"batch_size": 8}, "batch_size")]
)
def test_a_checkpoint_of_other_settings_is_refused(change, named, tmp_path):
    trained(SHORT, tmp_path)
    with pytest.raises(TrainingError, match=named):
        trained(dataclasses.replace(SHORT, **change), tmp_path)
    trained(dataclasses.replace(SHORT, epochs=1, **change), tmp_path, resume=False)


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    trained(SHORT, tmp_path)
    network = build_network(StarNetConfig(40, 2, dense=(8,)))
    with pytest.raises(TrainingError, match="another network"):
        fit(network, *streams(), SHORT, checkpoint_dir=tmp_path, progress=False)


@pytest.mark.parametrize("keep", [0, 10, -1], ids=["empty", "short", "cut"])
def test_a_damaged_checkpoint_is_named(keep, tmp_path):
    trained(dataclasses.replace(SHORT, epochs=1), tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(TrainingError, match="resume=False"):
        trained(SHORT, tmp_path)


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="another folder"):
        trained(SHORT, tmp_path / "file", on_epoch=lambda row: pytest.fail("after an epoch"))


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    from starnet.training import checkpoint

    trained(dataclasses.replace(SHORT, epochs=2), tmp_path)
    (path,) = tmp_path.iterdir()
    kept = path.read_bytes()

    def full(tensors, part, metadata):
        part.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.safetensors.torch, "save_file", full)
        with pytest.raises(OutputError, match="No space left"):
            trained(SHORT, tmp_path)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == kept
    assert_same_weights(trained(SHORT, tmp_path)[0], trained(SHORT)[0])


def test_nan_in_a_spectrum_is_named():
    inputs, targets = data()
    inputs[50, 0, 3] = np.nan
    with pytest.raises(TrainingError, match="NaN or infinite"):
        trained(train=ArrayStream(inputs, targets))


def test_a_diverging_run_says_what_to_do():
    with pytest.raises(TrainingError, match="lower lr"):
        trained(dataclasses.replace(SHORT, lr=1e30, schedule="constant"))


def test_nan_in_validation_is_named():
    train, _ = streams()
    inputs, targets = data(20)
    inputs[3] = np.nan
    with pytest.raises(TrainingError, match="validation loss"):
        fit(build_network(NETWORK), train, ArrayStream(inputs, targets), SHORT, progress=False)


def test_no_spectra():
    inputs, targets = data()
    with pytest.raises(TrainingError, match="empty"):
        trained(train=ArrayStream(inputs[:0], targets[:0]))


def test_missing_labels_do_not_move_their_output():
    """With label 0 missing everywhere its output row keeps its weights."""
    inputs, targets = data()
    targets[:, 0] = np.nan
    network = build_network(NETWORK, seed=1)
    before = network.head.weight.detach().clone()
    config = dataclasses.replace(SHORT, restore_best=False)
    fit(network, ArrayStream(inputs, targets), None, config, progress=False)
    assert torch.equal(network.head.weight[0], before[0])
    assert not torch.equal(network.head.weight[1], before[1])


def test_early_stop_keeps_the_best_weights():
    inputs, targets = data(64)
    rng = np.random.default_rng(1)
    noise = ArrayStream(inputs[:32], rng.normal(size=(32, 2)).astype(np.float32))
    valid = ArrayStream(inputs[32:], targets[32:], shuffle=False)
    config = dataclasses.replace(SHORT, epochs=60, patience=3, lr=1e-2)
    network = build_network(NETWORK, seed=1)
    history = fit(network, noise, valid, config, progress=False)
    assert history.stopped_early
    assert len(history) < 60
    best = min(history, key=lambda e: e.valid_loss)
    assert history.best_epoch == best.epoch
    with torch.inference_mode():
        out = network(torch.from_numpy(inputs[32:])).numpy()
    assert np.nanmean((out - targets[32:]) ** 2) == pytest.approx(best.valid_loss, rel=1e-5)


def test_the_callers_generator_is_left_alone():
    before = torch.get_rng_state()
    trained(dataclasses.replace(SHORT, epochs=1))
    assert torch.equal(before, torch.get_rng_state())


def test_a_line_per_epoch_without_a_terminal(capsys):
    fit(build_network(NETWORK), *streams(), SHORT, progress=True)
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 4
    assert "epoch 4/4" in lines[-1]
    trained()
    assert capsys.readouterr() == ("", "")


def test_a_callback_may_stop_the_run():
    class EnoughError(Exception):
        pass

    seen = []

    def look(row):
        seen.append(row.epoch)
        if row.epoch == 2:
            raise EnoughError

    with pytest.raises(EnoughError):
        trained(on_epoch=look)
    assert seen == [1, 2]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there():
    with pytest.raises(ConfigError, match="GPU"):
        choose_device("cuda")
    assert choose_device("auto").type == "cpu"
