"""A mixture of normal distributions."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from starnet.models.heads.covariance import root
from starnet.models.heads.distributions import Components
from starnet.models.heads.normal import spread
from starnet.models.heads.registry import Head, positive, register_head

APART = 0.7
"""By how much the widths of the components differ at first, before the softplus."""


@register_head("mixture")
class Mixture(Head):
    """Bishop 1994: a mixture density network of K components.

    Parameters
    ----------
    width, n_labels : int
    n_components : int
        K.
    full : bool
        Whether components have correlations; without them they cost less, and the mixture still
        has some.
    """

    def __init__(self, width: int, n_labels: int, n_components: int = 3, full: bool = True) -> None:
        super().__init__()
        self.n_labels, self.n_components = n_labels, positive("n_components", n_components)
        self.below = n_labels * (n_labels - 1) // 2 if full else 0
        self.layer = nn.Linear(width, n_components * (1 + 2 * n_labels + self.below))
        widths = APART * (torch.arange(n_components) - 0.5 * (n_components - 1))
        self.register_buffer("widths", widths[:, None], persistent=False)

    def forward(self, hidden: Tensor) -> Distribution:
        n, k = self.n_labels, self.n_components
        numbers = self.layer(hidden).unflatten(1, (k, -1))  # (B, K, 1 + 2 L + ...)
        weight, mean, raw, below = numbers.split([1, n, n, self.below], dim=2)
        sigma = spread(raw + self.widths.to(raw.dtype))  # type: ignore[operator]
        lower = root(sigma, below) if self.below else torch.diag_embed(sigma)
        return Components(weight[..., 0].log_softmax(dim=1), mean, lower).distribution()
