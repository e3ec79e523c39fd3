"""A hierarchical example: mean abundances of a cluster's stars, and their intrinsic spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from starnet.errors import ConfigError, DataError
from starnet.inference.fit.quadratic import Quadratic
from starnet.inference.fit.result import FitResult
from starnet.inference.fit.sampling import (
    INSIDE,
    WALL,
    Posterior,
    around,
    check_sizes,
    load_pyro,
    penalty,
    posterior,
    run_chains,
)
from starnet.spectra import Spectra
from starnet.synthesis.emulator import Emulator

Array = NDArray[Any]
LEAST_SPREAD = 0.02
"""Spread with which a chain begins, at least, in dex or the unit of the label."""


def sample_cluster(
    emulator: Emulator | str,
    spectra: Spectra,
    *,
    labels: Sequence[str] = ("fe_h",),
    prior_spread: float = 0.3,
    samples: int = 500,
    warmup: int = 400,
    chains: int = 2,
    seed: int = 0,
    fit: FitResult | None = None,
    **settings: Any,
) -> Posterior:
    """Mean and intrinsic spread of labels among the stars of a cluster, from their spectra.

    Each star has all its free labels (and velocity and width) of its own. Those that are named
    are drawn from a normal distribution, whose mean (flat prior within the emulator's bounds) and
    standard deviation (half-normal prior) are sampled together with everything else. So a star
    counts as far as its spectrum tells, and the errors of its other labels are in the result.

    Parameters
    ----------
    emulator : Emulator or str
    spectra : Spectra
        Two or more members of the cluster, as `fit_spectra` takes them.
    labels : sequence of str
        Which free labels the cluster has in common.
    prior_spread : float
        Scale of the half-normal prior, in the unit of the labels.
    samples, warmup, chains, seed, fit, **settings
        As for `sample_posterior`.

    Returns
    -------
    Posterior
        Of ``mean_LABEL`` and ``spread_LABEL``; ``fit`` has the stars.

    Raises
    ------
    MissingDependencyError
        If Pyro is not installed.
    DataError
        If there are fewer than two spectra, or one cannot be fitted.
    ConfigError
        If a label is not free.
    """
    pyro = load_pyro()
    emulator = Emulator.load(emulator) if isinstance(emulator, str) else emulator
    if len(spectra) < 2:
        raise DataError(f"A cluster has two spectra or more; received {len(spectra)}.")
    check_sizes(samples=samples, warmup=warmup, chains=chains)
    if not prior_spread > 0:
        raise ConfigError(f"prior_spread must be above 0; received {prior_spread}.")
    form, fit = around(emulator, spectra, fit, settings)
    names = form.parameters.names
    if not labels or (strange := [name for name in labels if name not in names]):
        raise ConfigError(
            f"labels must be free ones; {', '.join(strange) if labels else 'none'} was given and "
            f"{', '.join(names)} are free."
        )
    shared = [names.index(name) for name in labels]
    members = Members.of(form, shared)
    unit = torch.as_tensor(form.parameters.half)[shared]
    program = _program(pyro, form, members, prior_spread / unit)
    drawn, divergences = run_chains(
        program,
        _begin(form, shared, LEAST_SPREAD / unit, members),
        samples,
        warmup,
        chains,
        seed,
    )
    middle = torch.as_tensor(0.5 * (emulator.hull.high + emulator.hull.low))
    at = torch.as_tensor(form.parameters.free)[shared]
    mean, spread = (
        drawn["mean"] * members.unit + members.centre[:, : len(shared)].mean(0),
        drawn["spread"],
    )
    mean, spread = middle[at] + mean * unit, spread * unit
    both = torch.cat([mean, spread], dim=-1).numpy()
    titles = (*(f"mean_{name}" for name in labels), *(f"spread_{name}" for name in labels))
    return posterior(titles, both, divergences, fit)


@dataclass(frozen=True, eq=False)
class Members:
    """Coordinates of N stars: A shared labels as they are, the rest where they follow from those.

    The rest are logits between their bounds, apart by the Cholesky factor of the fits' covariance
    with the shared labels first: a star whose shared labels move takes the rest along.
    """

    shared: Tensor
    rest: Tensor
    low: Tensor
    span: Tensor
    centre: Tensor
    factor: Tensor

    @classmethod
    def of(cls, form: Quadratic, shared: list[int]) -> Members:
        """Around fits, for some of their parameters."""
        bounds, size = form.problem.bounds, form.x.shape[1]
        rest = [i for i in range(size) if i not in shared]
        span = bounds.high - bounds.low
        share = ((form.x - bounds.low) / span).clamp(INSIDE, 1 - INSIDE)
        slope, centre = 1 / (share * (1 - share) * span), torch.logit(share)
        slope[:, shared], centre[:, shared] = 1.0, form.x[:, shared]
        covariance = form.covariance * slope[:, :, None] * slope[:, None, :]
        order = torch.tensor([*shared, *rest])
        covariance = covariance[:, order][:, :, order]
        root = covariance.diagonal(dim1=1, dim2=2).sqrt()
        eye = 1e-9 * torch.eye(size, dtype=root.dtype)
        correlation = covariance / (root[:, :, None] * root[:, None, :]) + eye
        factor = root.clamp_max(2.0)[:, :, None] * torch.linalg.cholesky(correlation)
        return cls(
            torch.tensor(shared), torch.tensor(rest, dtype=torch.int64), bounds.low, span,
            centre[:, order], factor,
        )  # fmt: skip

    @property
    def unit(self) -> Tensor:
        """About the error (A,) of the mean of the shared labels."""
        n = len(self.shared)
        sure = self.factor[:, :n, :n].square().sum(2).mean(0)
        return ((sure + self.centre[:, :n].var(0)) / len(self.centre)).sqrt()

    def x(self, common: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Parameters (N, D) of shared labels (N, A) and z (N, D - A); and the log volume (N,)."""
        n = len(self.shared)
        off = (common - self.centre[:, :n])[:, :, None]
        first = torch.linalg.solve_triangular(self.factor[:, :n, :n], off, upper=False)
        whole = torch.cat([first[:, :, 0], z], dim=1)
        logits = self.centre[:, n:] + (self.factor[:, n:] @ whole[:, :, None])[:, :, 0]
        softplus = torch.nn.functional.softplus
        volume = -(softplus(logits) + softplus(-logits)).sum(1)
        low, span = self.low[self.rest], self.span[self.rest]
        x = torch.zeros_like(self.centre)
        x = x.index_copy(1, self.shared, common)
        return x.index_copy(1, self.rest, low + span * torch.sigmoid(logits)), volume


def _program(pyro: Any, form: Quadratic, members: Members, scale: Tensor) -> Any:
    """The probabilistic program; see `sample_cluster`."""
    dist = pyro.distributions
    real = dist.constraints.real_vector
    stars, shared = len(form.x), len(members.shared)
    rest = len(members.rest)
    low, high = form.problem.bounds.low, form.problem.bounds.high

    fitted, sure = members.centre[:, :shared], members.factor[:, :shared, :shared]
    known = 1 / sure.square().sum(2)  # (N, A), inverse variances of the fits

    def beyond(value: Tensor) -> Tensor:
        below, above = low[members.shared] - value, value - high[members.shared]
        return ((below.clamp_min(0) + above.clamp_min(0)) / WALL).square().sum()

    def program() -> None:
        off = pyro.sample("mean", dist.ImproperUniform(real, (), (shared,)))
        mean = fitted.mean(0) + members.unit * off
        spread = pyro.sample("spread", dist.HalfNormal(scale).to_event(1))
        eta = pyro.sample("eta", dist.ImproperUniform(real, (), (stars * shared,)))
        z = pyro.sample("z", dist.ImproperUniform(real, (), (stars * rest,)))
        # eta is about standard normal and independent of mean and spread, however small that is:
        # it counts from where a star's fit and the cluster together would have it
        width = (known + spread**-2).rsqrt()
        common = (fitted * known + mean * spread**-2) * width**2
        common = common + width * eta.reshape(stars, shared)
        x, volume = members.x(common, z.reshape(stars, rest))
        value = volume - 0.5 * form.chi2(x) - 0.5 * penalty(form, x)
        drawn = dist.Normal(mean, spread).log_prob(common).sum() + width.log().sum()
        pyro.factor("cluster", value.sum() + drawn - 0.5 * (beyond(mean) + beyond(common)))

    return program


def _begin(
    form: Quadratic, shared: list[int], least: Tensor, members: Members
) -> dict[str, Tensor]:
    values = form.x[:, shared]
    mean, spread = torch.zeros(len(shared), dtype=values.dtype), values.std(0).maximum(least)
    eta = torch.zeros(values.numel(), dtype=values.dtype)
    z = torch.zeros(len(values) * len(members.rest), dtype=values.dtype)
    return {"mean": mean, "spread": spread, "eta": eta, "z": z}
