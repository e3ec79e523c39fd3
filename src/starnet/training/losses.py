"""Losses on scaled labels; a missing label counts for nothing."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from starnet.training.config import TrainingConfig

Elementwise = Callable[[Tensor, Tensor], Tensor]


def elementwise_loss(config: TrainingConfig) -> Elementwise:
    """The loss per label: network output and targets of one shape, (..., B, L), to that shape."""
    losses: dict[str, Elementwise] = {
        "mse": lambda out, y: functional.mse_loss(out, y, reduction="none"),
        "mae": lambda out, y: functional.l1_loss(out, y, reduction="none"),
        "huber": lambda out, y: functional.huber_loss(
            out, y, reduction="none", delta=config.huber_delta
        ),
        "cauchy": lambda out, y: torch.log1p(((out - y) / config.cauchy_scale) ** 2),
    }
    return losses[config.loss]


def masked_sum(
    loss: Elementwise, output: Tensor, targets: Tensor, weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Weighted sum of the loss over the labels that are there, and the sum of the weights.

    Parameters
    ----------
    output : (B, L) or (M, B, L)
        The second for a network with members, each of which is fitted.
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
    targets = torch.where(there, targets, 0.0).expand(output.shape)
    each = loss(output, targets)
    counts = counts.to(each.dtype).expand(each.shape)
    return (each * counts).sum(), counts.sum()


def mean_loss(total: Tensor, weight: Tensor) -> Tensor:
    """Mean of what `masked_sum` gives; 0 where every label is missing."""
    return total / torch.where(weight > 0, weight, 1.0)
