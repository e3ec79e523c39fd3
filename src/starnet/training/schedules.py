"""Learning rates over the run. State is a dict of plain numbers, kept in checkpoints."""

from __future__ import annotations

import math
from typing import Protocol

from starnet.training.config import TrainingConfig

# One-cycle (Smith and Topin, arXiv 1708.07120) as torch and fast.ai set it.
_START_DIVISOR = 25.0
_END_DIVISOR = 1e4


class Schedule(Protocol):
    """A learning rate that may depend on the step and on the losses so far."""

    def lr(self, step: int) -> float:
        """Rate of step ``step``, counted from 0 over the whole run."""
        ...

    def epoch_done(self, loss: float) -> None:
        """Takes note of an epoch's loss."""
        ...

    def state(self) -> dict[str, float]:
        """What `restore` needs."""
        ...

    def restore(self, state: dict[str, float]) -> None:
        """Goes on from a state."""
        ...


def build_schedule(config: TrainingConfig, steps_per_epoch: int) -> Schedule:
    """The schedule that a configuration names."""
    if config.schedule == "plateau":
        return Plateau(config)
    return Fixed(config, steps_per_epoch * config.epochs)


class Plateau:
    """Multiplies the rate after epochs without progress, as Keras' ReduceLROnPlateau does."""

    def __init__(self, config: TrainingConfig) -> None:
        self._config = config
        self._lr, self._best, self._wait = config.lr, math.inf, 0

    def lr(self, step: int) -> float:
        """The present rate."""
        return self._lr

    def epoch_done(self, loss: float) -> None:
        """Lowers the rate when ``plateau_patience`` epochs brought nothing."""
        config = self._config
        if loss < self._best - config.min_delta:
            self._best, self._wait = loss, 0
            return
        self._wait += 1
        if self._wait >= max(config.plateau_patience, 1):
            # a rate that starts below the floor stays where it is
            self._lr = min(self._lr, max(self._lr * config.plateau_factor, config.lr_floor))
            self._wait = 0

    def state(self) -> dict[str, float]:
        """Rate, best loss, and epochs since."""
        return {"lr": self._lr, "best": self._best, "wait": self._wait}

    def restore(self, state: dict[str, float]) -> None:
        """Goes on from a state."""
        self._lr, self._best, self._wait = state["lr"], state["best"], int(state["wait"])


class Fixed:
    """A rate that depends on the share of the run that is done, and on nothing else."""

    def __init__(self, config: TrainingConfig, n_steps: int) -> None:
        self._config, self._n_steps = config, n_steps

    def lr(self, step: int) -> float:
        """The rate at this step."""
        config = self._config
        done = min(step / max(self._n_steps - 1, 1), 1.0)
        if config.schedule == "constant":
            return config.lr
        if config.schedule == "cosine":
            return _cosine(config.lr, min(config.lr, config.lr_floor), done)
        start, end = config.lr / _START_DIVISOR, config.lr / _START_DIVISOR / _END_DIVISOR
        if done < config.warmup:
            return _cosine(start, config.lr, done / config.warmup)
        return _cosine(config.lr, end, (done - config.warmup) / (1 - config.warmup))

    def epoch_done(self, loss: float) -> None:
        """Losses do not matter here."""

    def state(self) -> dict[str, float]:
        """Nothing to keep."""
        return {}

    def restore(self, state: dict[str, float]) -> None:
        """Nothing to restore."""


def _cosine(first: float, last: float, share: float) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2
