"""Steps down a loss that is drawn anew each time: the mechanism of emulators and readers.

Every step has a random generator of its own, so a run that was interrupted goes on as if it had
not been.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from starnet.errors import TrainingError
from starnet.training.checkpoint import (
    read_checkpoint,
    ready_folder,
    under_prefix,
    with_prefix,
    write_checkpoint,
)

WARM = 0.03
"""Part of the steps over which the learning rate rises."""
EVERY = 120.0
"""Seconds between two checkpoints."""

Loss = Callable[[int, torch.Generator], Tensor]
"""The loss of a step, from its number and its random generator."""


@dataclass(frozen=True)
class Descent:
    """How weights go down.

    Attributes
    ----------
    steps : int
    lr : float
        Highest learning rate; it rises at first and falls as a cosine.
    weight_decay : float
        Of AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101).
    average : float
        Decay of the running mean of the weights that is kept (Polyak and Juditsky 1992).
    seed : int
    """

    steps: int
    lr: float
    weight_decay: float
    average: float
    seed: int

    def rate(self, step: int) -> float:
        """Learning rate of a step."""
        rise = (step + 1) / max(1, int(WARM * self.steps))
        return self.lr * min(rise, 0.5 * (1 + math.cos(math.pi * step / self.steps)) + 1e-4)

    def run(
        self,
        network: nn.Module,
        loss: Loss,
        *,
        folder: str | Path | None = None,
        signature: str = "",
        report: Callable[[int, float, float], None] | None = None,
    ) -> None:
        """Train the network's weights; they end as their running mean.

        Parameters
        ----------
        network : nn.Module
        loss : callable
        folder : path, optional
            For checkpoints. A run of the same signature goes on from there.
        signature : str
            Of all that the weights depend on.
        report : callable, optional
            Told step, mean loss and seconds about 50 times.

        Raises
        ------
        TrainingError
            If the loss becomes NaN.
        """
        weights: dict[str, Tensor] = dict(network.named_parameters())
        optimizer = torch.optim.AdamW(weights.values(), lr=self.lr, weight_decay=self.weight_decay)
        kept = {name: w.detach().clone() for name, w in weights.items()}
        first = 0
        if folder is not None:
            ready_folder(Path(folder))
            first = _resumed(Path(folder), signature, weights, kept, optimizer)
        began = saved = time.monotonic()
        total, every = 0.0, max(1, self.steps // 50)
        for step in range(first, self.steps):
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
            value = loss(step, generator)
            optimizer.param_groups[0]["lr"] = self.rate(step)
            optimizer.zero_grad()
            value.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(weights.values(), 5.0)
            optimizer.step()
            total += float(value.detach())
            self._average(kept, weights, step)
            if (step + 1) % every == 0:
                if not math.isfinite(total):
                    raise TrainingError(f"The loss is {total} after {step} steps; lower lr.")
                if report:
                    report(step + 1, total / every, time.monotonic() - began)
                total = 0.0
            if folder is not None and time.monotonic() - saved > EVERY:
                _save(Path(folder), signature, step + 1, weights, kept, optimizer)
                saved = time.monotonic()
        with torch.no_grad():
            for name, weight in weights.items():
                weight.copy_(kept[name])

    @torch.no_grad()
    def _average(self, kept: dict[str, Tensor], weights: dict[str, Tensor], step: int) -> None:
        decay = min(self.average, (1 + step) / (10 + step))
        for name, weight in weights.items():
            kept[name].lerp_(weight.detach(), 1 - decay)


def _save(
    folder: Path,
    signature: str,
    step: int,
    weights: dict[str, Tensor],
    kept: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
) -> None:
    tensors = with_prefix("weight", weights) | with_prefix("mean", kept)
    for i, state in enumerate(optimizer.state_dict()["state"].values()):
        tensors |= with_prefix(f"moment{i}", {k: torch.as_tensor(v) for k, v in state.items()})
    write_checkpoint(folder, tensors, {"signature": signature, "step": step})


def _resumed(
    folder: Path,
    signature: str,
    weights: dict[str, Tensor],
    kept: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
) -> int:
    """The step to go on from; a checkpoint of another run counts as none."""
    found = read_checkpoint(folder)
    if found is None or found[1].get("signature") != signature:
        return 0
    tensors, facts = found
    with torch.no_grad():
        for target, prefix in ((weights, "weight"), (kept, "mean")):
            for name, value in under_prefix(prefix, tensors).items():
                target[name].copy_(value)
    state = optimizer.state_dict()
    state["state"] = {i: under_prefix(f"moment{i}", tensors) for i in range(len(weights))}
    optimizer.load_state_dict(state)
    return int(facts["step"])
