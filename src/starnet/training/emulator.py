"""The fit of an emulator: components of the training spectra, then a network for their numbers."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from starnet.errors import ConfigError, TrainingError
from starnet.models.emulator import EmulatorConfig, EmulatorNetwork
from starnet.training.descent import Descent

Array = NDArray[Any]


@dataclass(frozen=True)
class EmulatorTraining:
    """How an emulator is trained.

    Attributes
    ----------
    components : int
        Of the spectra; at most the number of training stars.
    hidden : tuple of int
    steps, batch_size : int
    lr, weight_decay, average, seed
        See `Descent`.
    """

    components: int = 256
    hidden: tuple[int, ...] = (384, 384, 384)
    steps: int = 20000
    batch_size: int = 256
    lr: float = 2e-3
    weight_decay: float = 1e-4
    average: float = 0.999
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", tuple(self.hidden))
        if min(self.components, self.steps, self.batch_size) < 1 or not self.lr > 0:
            raise ConfigError(
                "components, steps and batch_size must be 1 or more and lr above 0; received "
                f"{self.components}, {self.steps}, {self.batch_size} and {self.lr}."
            )


def components_of(flux: Array, n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Mean (P,) and the n strongest principal components (n, P) of spectra (N, P).

    Halko, Martinsson and Tropp 2011 (SIAM Review 53, 217).
    """
    rows = torch.as_tensor(flux, dtype=torch.float32)
    mean = rows.mean(dim=0, dtype=torch.float64).float()
    n = min(n, *rows.shape)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        _, _, v = torch.svd_lowrank(rows - mean, q=min(n + 32, *rows.shape), niter=3)
    return mean, v[:, :n].T.contiguous()


def fit_emulator(
    labels: Array,
    flux: Array,
    low: Array,
    high: Array,
    settings: EmulatorTraining,
    *,
    valid: tuple[Array, Array] | None = None,
    report: Callable[[int, float, float], None] | None = None,
    folder: str | Path | None = None,
) -> EmulatorNetwork:
    """A network for labels (N, L) to normalised flux (N, P).

    Parameters
    ----------
    labels, flux : array (N, L), (N, P)
        Of training stars.
    low, high : array (L,)
        Range of the labels, which is scaled to -1 to 1.
    settings : EmulatorTraining
    valid : (labels, flux), optional
        Of other stars, whose error is reported. Nothing is fitted to it.
    report : callable, optional
        Told step, training loss and validation error (rms of flux) about 50 times.

    folder : path, optional
        For checkpoints, from which the same call goes on.

    Raises
    ------
    TrainingError
        If spectra are not finite, or the loss becomes NaN.
    """
    if not (np.isfinite(labels).all() and np.isfinite(flux).all()):
        raise TrainingError("Spectra and labels for an emulator must be finite everywhere.")
    mean, basis = components_of(flux, settings.components, settings.seed)
    torch.manual_seed(settings.seed)
    config = EmulatorConfig(labels.shape[1], flux.shape[1], len(basis), settings.hidden)
    network = EmulatorNetwork(config)
    rows = torch.as_tensor(flux, dtype=torch.float32) - mean
    target = rows @ basis.T  # (N, K)
    with torch.no_grad():
        network.low.copy_(torch.as_tensor(np.asarray(low)))
        network.high.copy_(torch.as_tensor(np.asarray(high)))
        network.mean.copy_(mean)
        network.basis.copy_(basis)
        network.spread.copy_(target.std(dim=0).clamp_min(1e-6))
    x = torch.as_tensor(labels, dtype=torch.float32)
    held = None
    if valid is not None:
        v = torch.as_tensor(valid[1], dtype=torch.float32) - mean
        held = (torch.as_tensor(valid[0], dtype=torch.float32), v @ basis.T, v.square().sum(dim=1))
    n_pixels = network.config.n_pixels

    def loss(step: int, generator: torch.Generator) -> Tensor:
        rows = torch.randint(len(x), (settings.batch_size,), generator=generator)
        off = network.coefficients(x[rows]) - target[rows]
        return (off.square().sum(dim=1) / n_pixels).sqrt().mean()

    def told(step: int, value: float, seconds: float) -> None:
        if report:
            report(step, value, _held_error(network, held))

    descent = Descent(
        settings.steps, settings.lr, settings.weight_decay, settings.average, settings.seed
    )
    key = hashlib.sha256(repr((settings, flux.shape, float(flux.sum()))).encode()).hexdigest()
    descent.run(network, loss, folder=folder, signature=key, report=told)
    return network.eval()


@torch.no_grad()
def _held_error(network: EmulatorNetwork, held: tuple[Tensor, Tensor, Tensor] | None) -> float:
    """Median over stars of the rms error of flux, what the components leave included."""
    if held is None:
        return math.nan
    labels, target, power = held
    left = (power - target.square().sum(dim=1)).clamp_min(0)
    off = (network.coefficients(labels) - target).square().sum(dim=1) + left
    return float((off / network.config.n_pixels).sqrt().median())
