"""Losses on scaled labels; a missing label counts for nothing."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from starnet.training.config import TrainingConfig

Elementwise = Callable[[Tensor, Tensor], Tensor]


def elementwise_loss(config: TrainingConfig) -> Elementwise:
    """The loss per label: network output (B, ...) and targets (B, L) to (B, L)."""
    losses: dict[str, Elementwise] = {
        "mse": lambda out, y: functional.mse_loss(out, y, reduction="none"),
        "mae": lambda out, y: functional.l1_loss(out, y, reduction="none"),
        "huber": lambda out, y: functional.huber_loss(
            out, y, reduction="none", delta=config.huber_delta
        ),
    }
    return losses[config.loss]


def masked_sum(
    loss: Elementwise, output: Tensor, targets: Tensor, weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Weighted sum of the loss over the labels that are there, and the sum of the weights.

    Parameters
    ----------
    output : (B, ...)
    targets : (B, L)
        NaN where missing.
    weights : (B, L), optional

    Returns
    -------
    total, weight : scalars
        Their ratio is the mean loss; both are 0 when every label is missing.
    """
    there = ~torch.isnan(targets)
    counts = there if weights is None else torch.where(there, weights, 0.0)
    # zeros stand in for missing targets: 0 * NaN would poison the gradient
    each = loss(output, torch.where(there, targets, 0.0))  # (B, L)
    counts = counts.to(each.dtype)
    return (each * counts).sum(), counts.sum()


def masked_mean(
    loss: Elementwise, output: Tensor, targets: Tensor, weights: Tensor | None = None
) -> Tensor:
    """Weighted mean of the loss over the labels that are there; 0 when there is none."""
    total, weight = masked_sum(loss, output, targets, weights)
    return total / torch.where(weight > 0, weight, 1.0)
