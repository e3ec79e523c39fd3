"""Dropout at prediction: a cheap ensemble, kept as a baseline."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, MultivariateNormal
from torch.nn.modules.dropout import _DropoutNd

from starnet.errors import ModelError
from starnet.models.heads import distribution_of, equal_mixture


class MonteCarloDropout(nn.Module):
    """A network whose dropout stays on (Gal and Ghahramani 2016, arXiv:1506.02142).

    It wraps the network and changes nothing of it. Where the network gives distributions, those
    of all passes make a mixture; where it gives labels alone, they are taken as draws from a
    normal distribution.

    Parameters
    ----------
    network : nn.Module
        Trained with dropout.
    passes : int
        How often the spectra go through.
    noise : float
        Standard deviation, in scaled labels, that is added where the network gives labels alone:
        what the labels scatter by if the network is right.

    Raises
    ------
    ModelError
        If the network has no dropout, or passes are fewer than 2.
    """

    def __init__(self, network: nn.Module, passes: int = 32, noise: float = 1e-3) -> None:
        super().__init__()
        if passes < 2 or noise <= 0:
            raise ModelError(
                f"Dropout needs 2 passes or more and a noise above 0; received {passes}, {noise}."
            )
        if not any(map(_drops, network.modules())):
            raise ModelError(
                f"This {type(network).__name__} has no dropout, so all passes would agree. Train "
                "it with dropout above 0, or use an ensemble."
            )
        self.network, self.passes, self.noise = network, passes, noise

    def posterior(self, x: Tensor) -> Distribution:
        """Distribution, batch (B,) and event (L,), over the scaled labels of spectra (B, C, P)."""
        with dropping(self.network):
            found = [distribution_of(self.network, x) for _ in range(self.passes)]
            given = [each for each in found if each is not None]
            if given:
                return equal_mixture(given)
            labels = torch.stack([self.network(x) for _ in range(self.passes)])  # (S, B, L)
        mean = labels.mean(dim=0)
        apart = (labels - mean).transpose(0, 1)
        covariance = apart.mT @ apart / (self.passes - 1)
        ridge = self.noise**2 * torch.eye(mean.shape[1]).to(covariance)
        return MultivariateNormal(mean, covariance + ridge, validate_args=False)

    def forward(self, x: Tensor) -> Tensor:
        """Mean labels (B, L) over the passes."""
        return self.posterior(x).mean


@contextmanager
def dropping(network: nn.Module) -> Iterator[None]:
    """Within this context the parts of a network that drop do so; afterwards all is as before."""
    parts = [(module, module.training) for module in network.modules() if _drops(module)]
    try:
        for module, _ in parts:
            module.training = True
        yield
    finally:
        for module, before in parts:
            module.training = before


def _drops(module: nn.Module) -> bool:
    if isinstance(module, _DropoutNd):
        return module.p > 0
    return getattr(getattr(module, "config", None), "dropout", 0) > 0
