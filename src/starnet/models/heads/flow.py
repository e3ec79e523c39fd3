"""A neural spline flow: a distribution of any shape, with densities and draws."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from starnet.errors import MissingDependencyError
from starnet.models.heads.normal import spread
from starnet.models.heads.registry import Head, positive, register_head

DRAWS = 64
"""Points of a Sobol sequence over which a mean is taken."""


class FlowDistribution(Distribution):
    """A flow, scaled and shifted: ``shift + factor * flow``, with shift and factor (B, L)."""

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012 - as torch declares it

    def __init__(self, flow: Any, shift: Tensor, factor: Tensor) -> None:
        self.flow, self.shift, self.factor = flow, shift, factor
        super().__init__(shift.shape[:1], shift.shape[1:], validate_args=False)

    def moved(self, shift: Tensor, factor: Tensor) -> FlowDistribution:
        """Of ``shift + factor * label``."""
        return FlowDistribution(self.flow, shift + factor * self.shift, factor * self.factor)

    def log_prob(self, value: Tensor) -> Tensor:
        inner = self.flow.log_prob((value - self.shift) / self.factor)
        return inner - self.factor.log().sum(dim=-1)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with torch.no_grad():
            return self.shift + self.factor * self.flow.sample(torch.Size(sample_shape))

    @property
    def mean(self) -> Tensor:
        """Mean (B, L) over the same points of the normal distribution for every star."""
        normal = _points(self.event_shape[0]).to(self.shift)[:, None]  # (S, 1, L)
        values = self.flow.transform.inv(normal.expand(-1, len(self.shift), -1))
        return self.shift + self.factor * values.mean(dim=0)


@register_head("flow")
class Flow(Head):
    """Durkan et al. 2019 (arXiv:1906.04032), by zuko; around a normal distribution.

    Splines reach to 5 only, and labels of good spectra are known far better than they scatter
    among stars. So a layer gives a mean and a width for each label, and the flow describes what
    is left.

    Parameters
    ----------
    width, n_labels : int
    transforms : int
        Layers of the flow.
    bins : int
        Of each spline.
    nodes : tuple of int
        Of the hidden layers that give the splines.
    passes : int
        2 for coupling, which draws fast; 0 for autoregression in all labels, slower to draw and
        stronger.

    Raises
    ------
    MissingDependencyError
        If zuko is not installed.
    """

    def __init__(
        self,
        width: int,
        n_labels: int,
        transforms: int = 3,
        bins: int = 8,
        nodes: tuple[int, ...] = (128,),
        passes: int = 0,
    ) -> None:
        super().__init__()
        zuko = _zuko()
        self.layer = nn.Linear(width, 2 * n_labels)
        self.flow = zuko.flows.NSF(
            n_labels,
            context=width,
            bins=positive("bins", bins),
            transforms=positive("transforms", transforms),
            hidden_features=tuple(nodes),
            passes=passes or None,
        )

    def forward(self, hidden: Tensor) -> Distribution:
        mean, raw = self.layer(hidden).chunk(2, dim=1)
        return FlowDistribution(self.flow(hidden), mean, spread(raw))


def _zuko() -> Any:
    try:
        import zuko
    except ImportError as error:
        raise MissingDependencyError(
            "A flow needs the package zuko, which is not installed: pip install 'starnet[flow]', "
            "or use the head normal, covariance or mixture."
        ) from error
    return zuko


@lru_cache(maxsize=16)
def _points(dimension: int) -> Tensor:
    """Normal numbers (S, L) spread evenly, symmetric about 0."""
    engine = torch.quasirandom.SobolEngine(dimension, scramble=True, seed=1)
    half = torch.special.ndtri(engine.draw(DRAWS // 2, dtype=torch.float64).clamp(1e-6, 1 - 1e-6))
    return torch.cat([half, -half])
