"""What is done with distributions over scaled labels, whichever head or network they are of.

B stars, K components, L labels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import (
    Categorical,
    Distribution,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
)

from starnet.errors import ModelError

LOG_2PI = math.log(2 * math.pi)


class Components(NamedTuple):
    """A mixture of normals: logs of weights (B, K), means (B, K, L), Cholesky factors."""

    log_weights: Tensor
    means: Tensor
    lower: Tensor

    def distribution(self) -> Distribution:
        """As torch has it."""
        normals = MultivariateNormal(self.means, scale_tril=self.lower, validate_args=False)
        weights = Categorical(logits=self.log_weights, validate_args=False)
        return MixtureSameFamily(weights, normals, validate_args=False)

    def moved(self, shift: Tensor, factor: Tensor) -> Components:
        """Of ``shift + factor * label``, with shift and factor (B, L)."""
        factor = factor[:, None]
        return Components(
            self.log_weights, shift[:, None] + factor * self.means, factor[..., None] * self.lower
        )

    def log_prob(self, target: Tensor, errors: Tensor | None) -> Tensor:
        """Log density (B,) of targets (B, L), NaN where missing, blurred by their errors (B, L).

        The density is that of the labels that are there. It is worked out in double precision.
        """
        there = ~torch.isnan(target)
        apart = (torch.where(there, target, 0.0)[:, None] - self.means) * there[:, None]
        wide = self.lower.double()
        covariance = wide @ wide.mT
        if errors is not None:
            covariance = covariance + torch.diag_embed(errors.double().square())[:, None]
        both = there[:, None, :, None] & there[:, None, None, :]
        missing = torch.diag_embed((~there).double())[:, None]
        lower = torch.linalg.cholesky_ex(torch.where(both, covariance, missing))[0]
        z = torch.linalg.solve_triangular(lower, apart.double()[..., None], upper=False)[..., 0]
        volume = lower.diagonal(dim1=-2, dim2=-1).log().sum(dim=-1)
        count = there.sum(dim=1, keepdim=True)
        each = -0.5 * (z.square().sum(dim=-1) + count * LOG_2PI) - volume
        return (self.log_weights + each).logsumexp(dim=1).to(target.dtype)


class EqualMixture(Distribution):
    """Several distributions with equal weight, of whatever kind."""

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012 - as torch declares it

    def __init__(self, members: Sequence[Distribution]) -> None:
        self.members = tuple(members)
        first = self.members[0]
        super().__init__(first.batch_shape, first.event_shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        return torch.stack([m.mean for m in self.members]).mean(dim=0)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with torch.no_grad():
            drawn = torch.stack([m.sample(sample_shape) for m in self.members])  # (M, ..., B, L)
            which = torch.randint(len(drawn), drawn.shape[1:-1], device=drawn.device)
            return drawn.gather(0, which[None, ..., None].expand(1, *drawn.shape[1:]))[0]

    def log_prob(self, value: Tensor) -> Tensor:
        each = torch.stack([m.log_prob(value) for m in self.members])
        return each.logsumexp(dim=0) - math.log(len(self.members))


def components(distribution: Distribution) -> Components | None:
    """The normals that a distribution is made of; None for one of another kind."""
    if isinstance(distribution, Independent) and isinstance(distribution.base_dist, Normal):
        mean, sigma = distribution.base_dist.mean, distribution.base_dist.stddev
        weight = torch.zeros_like(mean[:, :1])
        return Components(weight, mean[:, None], torch.diag_embed(sigma)[:, None])
    if isinstance(distribution, MultivariateNormal):
        mean = distribution.mean
        weight = torch.zeros_like(mean[:, :1])
        return Components(weight, mean[:, None], distribution.scale_tril[:, None])
    if isinstance(distribution, MixtureSameFamily):
        parts = distribution.component_distribution
        if isinstance(parts, MultivariateNormal):
            logits = distribution.mixture_distribution.logits
            return Components(logits, parts.mean, parts.scale_tril)
    return None


def label_log_prob(
    distribution: Distribution, target: Tensor, errors: Tensor | None = None
) -> Tensor:
    """Log density (B,) of labels that may be missing or have errors of their own.

    Parameters
    ----------
    distribution : Distribution
        Batch (B,), event (L,).
    target : tensor (B, L)
        NaN where missing: such labels are integrated out. A star without any has 0.
    errors : tensor (B, L), optional
        Standard deviations of the targets, 0 where unknown. The network's own errors are then
        those that remain when the targets' are taken out.

    Raises
    ------
    ModelError
        If labels are missing or have errors, and the distribution is no mixture of normals.
    """
    missing = torch.isnan(target)
    if errors is None and not missing.any():
        return distribution.log_prob(target)
    if isinstance(distribution, Independent) and isinstance(distribution.base_dist, Normal):
        return _independent(distribution.base_dist, target, errors)
    normals = components(distribution)
    if normals is None:
        raise ModelError(
            "Labels that are missing or have errors can be integrated out of normal distributions "
            f"and their mixtures alone, not out of {type(distribution).__name__}; received "
            f"{int(missing.sum())} missing. Use the head normal, covariance or mixture, or stars "
            "with all labels and label_errors off."
        )
    return normals.log_prob(target, errors)


def _independent(normal: Normal, target: Tensor, errors: Tensor | None) -> Tensor:
    there = ~torch.isnan(target)
    variance = normal.variance if errors is None else normal.variance + errors.square()
    apart = torch.where(there, target, 0.0) - normal.mean
    each = -0.5 * (apart.square() / variance + variance.log() + LOG_2PI)
    return torch.where(there, each, 0.0).sum(dim=1)


def moved(distribution: Distribution, shift: Tensor, factor: Tensor) -> Distribution:
    """The distribution of ``shift + factor * label``, with shift and factor (B, L)."""
    if isinstance(distribution, Independent) and isinstance(distribution.base_dist, Normal):
        base = distribution.base_dist
        mean, sigma = shift + factor * base.mean, factor * base.stddev
        return Independent(Normal(mean, sigma, validate_args=False), 1)
    normals = components(distribution)
    if normals is not None:
        return normals.moved(shift, factor).distribution()
    return distribution.moved(shift, factor)  # type: ignore[attr-defined]


def equal_mixture(members: Sequence[Distribution]) -> Distribution:
    """Several distributions of the same stars as one, each with the same weight."""
    if len(members) == 1:
        return members[0]
    parts = [components(member) for member in members]
    normals = [part for part in parts if part is not None]
    if len(normals) < len(parts):
        return EqualMixture(members)
    log_weights = torch.cat([p.log_weights for p in normals], dim=1) - math.log(len(parts))
    means = torch.cat([p.means for p in normals], dim=1)
    lower = torch.cat([p.lower for p in normals], dim=1)
    return Components(log_weights, means, lower).distribution()


def distributes(network: nn.Module) -> bool:
    """Whether a network gives distributions: it has ``posterior``, or the older ``distribution``.

    One that wraps others says so itself, by a property ``distributes``.
    """
    own = hasattr(network, "posterior") or hasattr(network, "distribution")
    return getattr(network, "distributes", own)


def distribution_of(network: nn.Module, x: Tensor) -> Distribution | None:
    """The distribution over scaled labels that a network gives of inputs (B, C, P).

    From ``posterior(x)``, or from the mean and width of ``distribution(x)``; None if it gives
    labels alone.
    """
    if not distributes(network):
        return None
    giver: Any = network
    if hasattr(network, "posterior"):
        return giver.posterior(x)
    mean, sigma = giver.distribution(x)
    return Independent(Normal(mean, sigma, validate_args=False), 1)


def outputs_of(network: nn.Module, x: Tensor) -> list[Distribution | None]:
    """The distributions of a network's members, each of which is trained; or its own."""
    members: Any = getattr(network, "members", None)
    if members is None:
        return [distribution_of(network, x)]
    return [found for member in members for found in outputs_of(member, x)]
