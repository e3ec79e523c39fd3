"""Losses on scaled labels and on distributions over them; a missing label counts for nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.nn import functional

from starnet.models.heads import components, label_log_prob
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


def likelihood_sum(
    found: Sequence[Distribution],
    targets: Tensor,
    *,
    errors: Tensor | None = None,
    weights: Tensor | None = None,
    temper: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Sum of the negative log densities of stars, and of the labels that are there.

    Parameters
    ----------
    found : sequence of Distribution
        One, or one of each member, each of which is fitted.
    targets : (B, L)
        NaN where missing.
    errors : (B, L), optional
        Of the targets.
    weights : (B, L), optional
        A star counts by the mean weight of its labels.
    temper : float
        A star's share is multiplied with sigma**(2 temper), sigma being the geometric mean of
        its labels' errors, each given the others.

    Returns
    -------
    total, weight : scalars
        Their ratio is the mean loss of one label.
    """
    there = ~torch.isnan(targets)
    counts = there if weights is None else torch.where(there, weights, 0.0)
    counts = counts.to(targets.dtype).sum(dim=1)  # (B,)
    share = counts / there.sum(dim=1).clamp_min(1)
    total = targets.new_zeros(())
    for distribution in found:
        each = -label_log_prob(distribution, targets, errors)
        if temper:
            each = each * (2 * temper * log_width(distribution)).exp()
        total = total + (each * share).sum()
    return total, counts.sum() * len(found)


def log_width(distribution: Distribution) -> Tensor:
    """Mean log (B,) of the errors of labels given the others; 0 where it is not known."""
    normals = components(distribution)
    if normals is None:
        return distribution.mean.new_zeros(distribution.batch_shape)
    each = normals.lower.detach().diagonal(dim1=-2, dim2=-1).log().mean(dim=-1)
    return (normals.log_weights.detach().exp() * each).sum(dim=1)


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
