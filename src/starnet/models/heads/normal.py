"""A normal distribution of independent labels: a mean and an error for each."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.distributions import Distribution, Independent
from torch.distributions import Normal as Univariate
from torch.nn import functional

from starnet.models.heads.registry import Head, register_head

NARROWEST = 1e-4
"""Smallest standard deviation that a head gives, in scaled labels."""

UNIT = math.log(math.e - 1)
"""Where the softplus is 1."""


@register_head("normal")
class Normal(Head):
    """Nix and Weigend 1994: a network that learns its own error bars."""

    def __init__(self, width: int, n_labels: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, 2 * n_labels)

    def forward(self, hidden: Tensor) -> Distribution:
        mean, raw = self.layer(hidden).chunk(2, dim=1)
        return Independent(Univariate(mean, spread(raw), validate_args=False), 1)


def spread(raw: Tensor) -> Tensor:
    """Standard deviations of what a layer gives: 1, as labels scatter among stars, at 0."""
    return functional.softplus(raw + UNIT) + NARROWEST
