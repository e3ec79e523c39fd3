"""The fit loop: epochs, validation, early stopping, checkpoints that resume bit for bit."""

from __future__ import annotations

import dataclasses
import itertools
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from starnet.errors import ConfigError, TrainingError, TrainingInterrupted
from starnet.models.heads import distributes, distribution_of, outputs_of
from starnet.models.runtime import keep_memory
from starnet.training.checkpoint import (
    read_checkpoint,
    ready_folder,
    under_prefix,
    with_prefix,
    write_checkpoint,
)
from starnet.training.config import TrainingConfig
from starnet.training.history import Epoch, History
from starnet.training.losses import elementwise_loss, likelihood_sum, masked_sum, mean_loss
from starnet.training.optim import (
    MovingAverage,
    build_optimizer,
    optimizer_tensors,
    restore_optimizer,
    set_lr,
)
from starnet.training.progress import TrainingProgress
from starnet.training.schedules import build_schedule
from starnet.training.streams import Batch, Stream

# A GPU's losses are fetched this often: each fetch makes it wait.
_LOOK_EVERY = 32
# May differ between a checkpoint and the run that resumes it.
_FREE_ON_RESUME = {"device", "checkpoint_minutes"}


def fit(
    network: nn.Module,
    train_stream: Stream,
    valid_stream: Stream | None,
    config: TrainingConfig,
    *,
    checkpoint_dir: str | Path | None = None,
    progress: bool = True,
    resume: bool = True,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> History:
    """Trains a network in place.

    Parameters
    ----------
    network : nn.Module
        (B, C, P) to (B, L); one that has ``member_outputs``, to (M, B, L), is fitted member by
        member. It ends on the training device with the best weights
        (``config.restore_best``) or the last.
    train_stream, valid_stream : Stream
        Without a validation stream the training loss decides what is best and when to stop.
    config : TrainingConfig
    checkpoint_dir : path, optional
        Folder of the checkpoint; without it nothing is written.
    progress : bool
        A bar on a terminal, else a line per epoch.
    resume : bool
        Go on from a checkpoint in ``checkpoint_dir``. On CPU with the same number of threads
        the result equals that of an unbroken run bit for bit.
    on_epoch : callable, optional
        Called with every finished epoch; what it raises ends the run.

    Raises
    ------
    TrainingError
        The loss became NaN or infinite, there is nothing to train on, or the loss or the
        checkpoint does not fit.
    TrainingInterrupted
        Ctrl-C; a checkpoint was written first.
    OutputError
        ``checkpoint_dir`` cannot be written.
    ConfigError
        A GPU was asked for where there is none.
    """
    if train_stream.n_spectra < 1:
        raise TrainingError("Training needs at least one spectrum; the training set is empty.")
    _check_loss(network, config)
    keep_memory()
    device = choose_device(config.device)
    folder = None if checkpoint_dir is None else Path(checkpoint_dir)
    if folder is not None:
        ready_folder(folder)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(config.seed)
        run = _Run(network.to(device), train_stream, valid_stream, config, device, folder)
        if resume:
            run.resume()
        bar = TrainingProgress(progress, config.epochs, train_stream.n_spectra)
        with bar, _interrupt_flag() as stop:
            while not run.finished:
                row = run.epoch(stop, bar)
                if on_epoch is not None:
                    on_epoch(row)
                if stop.is_set():  # after the last batch: the checkpoint of the epoch is there
                    run._interrupt()
        return run.end()


def _check_loss(network: nn.Module, config: TrainingConfig) -> None:
    """Refuse a likelihood of labels, and an error of labels that would stay untrained."""
    if distributes(network) == (config.loss == "likelihood"):
        return
    kind = type(network).__name__
    raise TrainingError(
        f"loss 'likelihood' needs a network that gives a distribution over labels; this {kind} "
        "gives labels alone. Use the family 'headed', or loss 'mse'."
        if config.loss == "likelihood"
        else f"This {kind} gives a distribution over labels, which the loss {config.loss!r} would "
        "not train. Use loss: likelihood."
    )


def choose_device(name: str) -> torch.device:
    """The torch device that "auto", "cpu" or "cuda" stands for.

    Raises
    ------
    ConfigError
        When "cuda" is asked for and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "device 'cuda' needs a GPU that torch can use, and none was found; "
            "use 'auto' or 'cpu', or install a torch built for your GPU."
        )
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name, torch.cuda.current_device()) if name == "cuda" else torch.device(name)


@contextmanager
def _interrupt_flag() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets; a second one interrupts at once, as always."""
    flag = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    before = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: FrameType | None) -> None:
        flag.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, note)
    try:
        yield flag
    finally:
        signal.signal(signal.SIGINT, before)


@dataclasses.dataclass
class _Progress:
    """Where a run is; every field goes into the checkpoint."""

    epoch: int = 0  # epochs done
    batch: int = 0  # batches done in this epoch
    step: int = 0  # optimiser steps done
    seconds: float = 0.0  # spent in this epoch
    loss_sum: float = 0.0
    weight_sum: float = 0.0
    best_loss: float = math.inf
    best_epoch: int = 0
    reference: float = math.inf  # loss that early stopping compares with
    waited: int = 0
    stopped_early: bool = False


class _Run:
    """A run's state and its moves; `fit` is the door."""

    def __init__(
        self,
        network: nn.Module,
        train_stream: Stream,
        valid_stream: Stream | None,
        config: TrainingConfig,
        device: torch.device,
        folder: Path | None,
    ) -> None:
        self.network, self.config, self.device, self.folder = network, config, device, folder
        self.train_stream, self.valid_stream = train_stream, valid_stream
        self.optimizer = build_optimizer(network, config)
        self.steps = -(-train_stream.n_spectra // config.batch_size)  # in an epoch
        self.schedule = build_schedule(config, self.steps)
        self.average = None if config.ema is None else MovingAverage(network, config.ema)
        self.best: dict[str, Tensor] = {}
        self.rows: list[Epoch] = []
        self.at = _Progress()

    @property
    def finished(self) -> bool:
        return self.at.stopped_early or self.at.epoch >= self.config.epochs

    # One epoch

    def epoch(self, stop: threading.Event, bar: TrainingProgress) -> Epoch:
        """Trains one epoch (or the rest of one), validates, and writes a checkpoint."""
        self._train(stop, bar)
        at = self.at
        begun = time.perf_counter()
        train_loss = at.loss_sum / at.weight_sum if at.weight_sum else 0.0
        lr = self.schedule.lr(max(at.step - 1, 0))
        with self._averaged():
            valid_loss = self._validate()
            self._judge(train_loss if math.isnan(valid_loss) else valid_loss)
        at.seconds += time.perf_counter() - begun
        row = Epoch(at.epoch + 1, train_loss, valid_loss, lr, round(at.seconds, 3))
        self.rows.append(row)
        at.epoch, at.batch, at.seconds, at.loss_sum, at.weight_sum = at.epoch + 1, 0, 0.0, 0.0, 0.0
        bar.epoch_done(row)
        self.checkpoint()
        return row

    def _train(self, stop: threading.Event, bar: TrainingProgress) -> None:
        at, config = self.at, self.config
        self.network.train()
        batches = self.train_stream.batches(config.batch_size, seed=config.seed, epoch=at.epoch)
        total = torch.tensor([at.loss_sum, at.weight_sum], dtype=torch.float64, device=self.device)
        begun = last_save = time.perf_counter()
        spent, first = at.seconds, at.batch
        for batch in itertools.islice(batches, at.batch, None):
            total += self._step(batch)
            at.batch += 1
            at.step += 1
            interrupted = stop.is_set()
            now = time.perf_counter()
            save = now - last_save > 60 * config.checkpoint_minutes
            if self.device.type == "cpu" or at.batch % _LOOK_EVERY == 0 or save or interrupted:
                at.loss_sum, at.weight_sum = self._looked_at(total, batch)
                at.seconds = spent + now - begun
                rate = (at.batch - first) * config.batch_size / (now - begun)
                mean = at.loss_sum / max(at.weight_sum, 1e-30)
                bar.at(at.epoch + 1, at.batch * config.batch_size, mean, rate)
            if interrupted:
                self._interrupt()
            if save:
                self.checkpoint()
                last_save = time.perf_counter()
        at.loss_sum, at.weight_sum = self._looked_at(total, None)
        at.seconds = spent + time.perf_counter() - begun

    def _step(self, batch: Batch) -> Tensor:
        """One optimiser step; returns sums of loss and weight."""
        total, weight = self._loss(batch)
        set_lr(self.optimizer, self.schedule.lr(self.at.step))
        self.optimizer.zero_grad(set_to_none=True)
        mean_loss(total, weight).backward()
        if self.config.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip_norm)
        self.optimizer.step()
        if self.average is not None:
            self.average.update()
        return torch.stack([total.detach(), weight]).double()

    def _loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Sums of loss and weight of a batch.

        A network with members is fitted member by member, and judged by their mean or mixture.
        """
        weights = None if batch.weights is None else self._tensor(batch.weights)
        x, y = self._tensor(batch.inputs), self._tensor(batch.targets)
        training = self.network.training
        if self.config.loss == "likelihood":
            parts = outputs_of(self.network, x) if training else [distribution_of(self.network, x)]
            found = [part for part in parts if part is not None]
            errors = None if batch.errors is None else self._tensor(batch.errors)
            temper = self._temper() if training else 0.0
            return likelihood_sum(found, y, errors=errors, weights=weights, temper=temper)
        members: Any = getattr(self.network, "member_outputs", None)
        output = (members if members and training else self.network)(x)
        return masked_sum(elementwise_loss(self.config), output, y, weights)

    def _temper(self) -> float:
        """Falls from its setting to 0 in the first half of all steps."""
        done = self.at.step / (self.steps * self.config.epochs)
        return self.config.temper * max(0.0, 1 - 2 * done)

    def _tensor(self, values: np.ndarray) -> Tensor:
        values = np.ascontiguousarray(values, dtype=np.float32)
        tensor = torch.from_numpy(values if values.flags.writeable else values.copy())
        return tensor.to(self.device, non_blocking=True)

    def _looked_at(self, total: Tensor, batch: Batch | None) -> tuple[float, float]:
        """The sums as numbers, which must be finite."""
        loss, weight = total.tolist()
        if math.isfinite(loss):
            return loss, weight
        where = f"in epoch {self.at.epoch + 1}, step {self.at.batch}"
        if batch is not None and not np.isfinite(batch.inputs).all():
            raise TrainingError(
                f"The training loss became {loss} {where}: a spectrum contains NaN or infinite "
                "values. Network input must be finite; mask and fill bad pixels first."
            )
        raise TrainingError(
            f"The training loss became {loss} {where}. Use a lower lr (now "
            f"{self.optimizer.param_groups[0]['lr']:.2g}) or set clip_norm, and check that the "
            "labels are scaled."
        )

    def _averaged(self) -> Any:
        return nullcontext() if self.average is None else self.average.in_place()

    def _validate(self) -> float:
        """Mean loss of the validation stream; NaN without one."""
        if self.valid_stream is None:
            return math.nan
        config = self.config
        self.network.eval()
        sums = np.zeros(2)
        with torch.inference_mode():
            for batch in self.valid_stream.batches(
                max(config.batch_size, 128), seed=config.seed, epoch=self.at.epoch
            ):
                total, weight = self._loss(batch)
                sums += total.item(), weight.item()
        if not np.isfinite(sums[0]):
            raise TrainingError(
                f"The validation loss became {sums[0]} in epoch {self.at.epoch + 1}. "
                "Validation spectra must be finite; if they are, use a lower lr or set clip_norm."
            )
        return float(sums[0] / sums[1]) if sums[1] else math.nan

    def _judge(self, loss: float) -> None:
        """Notes the best weights, moves the schedule, decides on stopping."""
        at, config = self.at, self.config
        self.schedule.epoch_done(loss)
        if loss < at.best_loss:
            at.best_loss, at.best_epoch = loss, at.epoch + 1
            if config.restore_best:
                weights = self.network.state_dict()
                self.best = {k: v.detach().clone() for k, v in weights.items()}
        if loss < at.reference - config.min_delta:
            at.reference, at.waited = loss, 0
            return
        at.waited += 1
        at.stopped_early = config.patience is not None and at.waited >= max(config.patience, 1)

    def end(self) -> History:
        """Gives the network its final weights."""
        if self.best:
            self.network.load_state_dict(self.best)
        elif self.average is not None:
            for value, parameter in zip(
                self.average.values,
                (p for p in self.network.parameters() if p.requires_grad),
                strict=True,
            ):
                parameter.data.copy_(value)
        self.network.eval()
        return History(tuple(self.rows), self.at.best_epoch, self.at.stopped_early)

    # Stop and go on

    def _interrupt(self) -> None:
        where = f"in epoch {self.at.epoch + 1}, after {self.at.batch} batches"
        if self.folder is None:
            raise TrainingInterrupted(
                f"Training was interrupted {where}; no checkpoint_dir was given, so nothing "
                "was kept."
            )
        self.checkpoint()
        raise TrainingInterrupted(
            f"Training was interrupted {where}. The checkpoint in {self.folder} is whole: start "
            "the same training again with resume on (the default) to go on from there."
        )

    def checkpoint(self) -> None:
        """Writes everything that `resume` needs."""
        if self.folder is None:
            return
        tensors = {
            **with_prefix("network", self.network.state_dict()),
            **with_prefix("best", self.best),
            **with_prefix("optimizer", optimizer_tensors(self.optimizer)),
            "rng/cpu": torch.get_rng_state(),
        }
        if self.average is not None:
            values = {str(i): v for i, v in enumerate(self.average.values)}
            tensors.update(with_prefix("average", values))
        if self.device.type == "cuda":
            tensors["rng/cuda"] = torch.cuda.get_rng_state(self.device)
        facts = {
            "config": self.config.to_dict(),
            "n_spectra": self.train_stream.n_spectra,
            "at": dataclasses.asdict(self.at),
            "schedule": self.schedule.state(),
            "history": [dataclasses.asdict(row) for row in self.rows],
        }
        write_checkpoint(self.folder, tensors, facts)

    def resume(self) -> None:
        """Goes on from the folder's checkpoint, if there is one."""
        found = None if self.folder is None else read_checkpoint(self.folder)
        if found is None:
            return
        tensors, facts = found
        self._same_run(facts)
        try:
            self.network.load_state_dict(under_prefix("network", tensors))
        except RuntimeError as error:
            raise TrainingError(
                f"The checkpoint in {self.folder} belongs to another network; use another "
                "checkpoint_dir, or start anew with resume=False."
            ) from error
        restore_optimizer(self.optimizer, under_prefix("optimizer", tensors))
        self.best = {k: v.to(self.device) for k, v in under_prefix("best", tensors).items()}
        if self.average is not None:
            for i, value in enumerate(self.average.values):
                value.copy_(tensors[f"average/{i}"])
        torch.set_rng_state(tensors["rng/cpu"])
        if self.device.type == "cuda" and "rng/cuda" in tensors:
            torch.cuda.set_rng_state(tensors["rng/cuda"], self.device)
        self.at = _Progress(**facts["at"])
        self.schedule.restore(facts["schedule"])
        self.rows = [Epoch(**row) for row in facts["history"]]

    def _same_run(self, facts: dict[str, Any]) -> None:
        """Refuses a checkpoint that was made with other settings or other data."""
        mine = {**self.config.to_dict(), "n_spectra": self.train_stream.n_spectra}
        theirs = {**TrainingConfig().to_dict(), **facts["config"], "n_spectra": facts["n_spectra"]}
        free = set(_FREE_ON_RESUME)
        if self.config.schedule in ("plateau", "constant"):
            free.add("epochs")  # the rate does not depend on it, so a run may be made longer
        differ = [k for k in mine if k not in free and mine[k] != theirs.get(k)]
        if differ:
            told = ", ".join(f"{k} {theirs.get(k)} there, {mine[k]} here" for k in differ)
            raise TrainingError(
                f"The checkpoint in {self.folder} was made with other settings ({told}); use the "
                "same, another checkpoint_dir, or start anew with resume=False."
            )
