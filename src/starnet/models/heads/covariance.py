"""A normal distribution with a full covariance."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, MultivariateNormal
from torch.nn import functional

from starnet.models.heads.normal import spread
from starnet.models.heads.registry import Head, register_head


@register_head("covariance")
class Covariance(Head):
    """Mean, error of each label and their correlations.

    The covariance is ``s A A' s``, with s the errors and A a lower triangular matrix whose rows
    have length 1, so that it is positive definite whatever the layer gives, and s is what it
    seems: the error of a label when nothing is known of the others.
    """

    def __init__(self, width: int, n_labels: int) -> None:
        super().__init__()
        self.n_labels = n_labels
        self.layer = nn.Linear(width, 2 * n_labels + n_labels * (n_labels - 1) // 2)

    def forward(self, hidden: Tensor) -> Distribution:
        n = self.n_labels
        mean, raw, below = self.layer(hidden).split([n, n, n * (n - 1) // 2], dim=1)
        return MultivariateNormal(mean, scale_tril=root(spread(raw), below), validate_args=False)


def root(sigma: Tensor, below: Tensor) -> Tensor:
    """Cholesky factor (..., L, L) of errors (..., L) and L (L - 1) / 2 numbers for correlations."""
    n = sigma.shape[-1]
    row, column = torch.tril_indices(n, n, offset=-1, device=sigma.device)
    lower = torch.eye(n, dtype=sigma.dtype, device=sigma.device).expand(*sigma.shape, n).clone()
    lower[..., row, column] = below
    return sigma[..., None] * functional.normalize(lower, dim=-1)
