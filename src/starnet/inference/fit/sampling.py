"""Posteriors of labels by the No-U-Turn sampler, as probabilistic programs in Pyro.

Hoffman & Gelman 2014, JMLR 15, 1593; Bingham et al. 2019, JMLR 20, 28. Installed with
``pip install 'starnet[posterior]'``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from astropy.table import QTable
from numpy.typing import NDArray
from torch import Tensor

from starnet.errors import ConfigError, DataError, MissingDependencyError
from starnet.inference.fit.draw import Drawing
from starnet.inference.fit.fit import fit_spectra
from starnet.inference.fit.parameters import RV_UNIT, VARIANCE_UNIT, Parameters, choose
from starnet.inference.fit.prepare import prepare
from starnet.inference.fit.quadratic import Quadratic
from starnet.inference.fit.result import FitResult
from starnet.spectra import Spectra
from starnet.synthesis.emulator import Emulator

Array = NDArray[Any]
WALL = 0.01
"""Width of the soft edge of the hull, in labels scaled from -1 to 1."""
SCATTERED = ("z", "eta")
"""Sites whose chains begin at different places."""
INSIDE = 0.02
"""A chain begins at least this far from the bounds, as a fraction of their distance."""


@dataclass(frozen=True, eq=False)
class Posterior:
    """Samples of S parameters, with what says whether the chains can be trusted.

    Attributes
    ----------
    names : tuple of str
    samples : array (n, S)
        In the units of the labels; ``rv`` and ``broadening`` in km/s.
    r_hat, n_effective : array (S,)
        Split Gelman-Rubin statistic, about 1 (below 1.05) where chains agree, and effective
        number of samples (Gelman et al. 2013, Bayesian Data Analysis).
    divergences : int
        Steps that went astray; a few per cent of the samples are too many.
    fit : FitResult
        Where the chains began.
    """

    names: tuple[str, ...]
    samples: Array
    r_hat: Array
    n_effective: Array
    divergences: int
    fit: FitResult

    def __repr__(self) -> str:
        worst = f"r_hat <= {self.r_hat.max():.3f}, n_effective >= {self.n_effective.min():.0f}"
        return f"Posterior({len(self.samples)} samples of {', '.join(self.names)}; {worst})"

    def column(self, name: str) -> Array:
        """Samples (n,) of one parameter."""
        if name not in self.names:
            raise ConfigError(f"There is no parameter {name!r}; there are {', '.join(self.names)}.")
        return self.samples[:, self.names.index(name)]

    @property
    def covariance(self) -> Array:
        """Of the samples, (S, S)."""
        return np.cov(self.samples.T)

    def interval(self, level: float = 0.68) -> Array:
        """Lower and upper end (S, 2) of the central interval that holds this share."""
        if not 0 < level < 1:
            raise ConfigError(f"level must lie between 0 and 1; received {level}.")
        return np.quantile(self.samples, [0.5 - level / 2, 0.5 + level / 2], axis=0).T

    def to_table(self) -> QTable:
        """One row for each parameter: mean, standard deviation, quantiles and diagnostics."""
        table = QTable({"name": list(self.names)})
        table["mean"], table["std"] = self.samples.mean(axis=0), self.samples.std(axis=0)
        for q in (2.5, 16, 50, 84, 97.5):
            table[f"q{q:g}"] = np.percentile(self.samples, q, axis=0)
        table["r_hat"], table["n_effective"] = self.r_hat, self.n_effective
        return table


def sample_posterior(
    emulator: Emulator | str,
    spectrum: Spectra,
    *,
    samples: int = 500,
    warmup: int = 250,
    chains: int = 2,
    seed: int = 0,
    fit: FitResult | None = None,
    **settings: Any,
) -> Posterior:
    """Samples of the posterior of one star's labels: flat priors in the emulator's hull.

    The star is fitted first; around the fit chi-square is a quadratic form in the emulator's
    components (`starnet.inference.fit.quadratic`), which is exact in the labels and linear in
    velocity and in the variance of the extra Gaussian. The continuum is integrated over.

    Parameters
    ----------
    emulator : Emulator or str
    spectrum : Spectra
        One, as `fit_spectra` takes it.
    samples, warmup, chains : int
        Of each chain, and their number; they run one after the other.
    seed : int
    fit : FitResult, optional
        The fit of this spectrum with the same settings, if it is known.
    **settings
        Of `fit_spectra`: free, fixed, rv, broadening, continuum_order, priors, max_rv ...

    Raises
    ------
    MissingDependencyError
        If Pyro is not installed.
    DataError
        If there is not one spectrum, or it cannot be fitted.
    """
    pyro = load_pyro()
    emulator = Emulator.load(emulator) if isinstance(emulator, str) else emulator
    if len(spectrum) != 1:
        raise DataError(
            f"A posterior is of one spectrum; received {len(spectrum)}. Choose one: spectra[0]."
        )
    check_sizes(samples=samples, warmup=warmup, chains=chains)
    form, fit = around(emulator, spectrum, fit, settings)
    map_to = Whitened.of(form)
    improper = pyro.distributions.ImproperUniform
    real = pyro.distributions.constraints.real_vector
    size = form.x.shape[1]

    def program() -> None:
        z = pyro.sample("z", improper(real, (), (size,)))
        pyro.factor("posterior", log_posterior(form, map_to, z[None])[0])

    begin = {"z": torch.zeros(size, dtype=torch.float64)}
    drawn, divergences = run_chains(program, begin, samples, warmup, chains, seed)
    z = drawn["z"]  # (chains, samples, D)
    with torch.no_grad():
        x = torch.stack([map_to.x(row[:, None])[:, 0] for row in z.unbind(0)])
    parameters = form.parameters
    names = (*parameters.names, *(("rv", "broadening")[i] for i in parameters.motion))
    return posterior(names, in_units(parameters, x.numpy()), divergences, fit)


def around(
    emulator: Emulator, spectra: Spectra, fit: FitResult | None, settings: dict[str, Any]
) -> tuple[Quadratic, FitResult]:
    """Quadratic forms of spectra around their fits, and the fits.

    Raises
    ------
    DataError
        If one of them cannot be fitted.
    """
    fit = fit_spectra(emulator, spectra, **settings) if fit is None else fit
    lost = np.flatnonzero(~np.isfinite(fit.labels.values).all(axis=1))
    if lost.size:
        raise DataError(
            f"{lost.size} of {len(spectra)} spectra cannot be fitted, the first is "
            f"{fit.meta['id'][lost[0]]}: too few usable pixels. Leave them out."
        )
    given = {"free": None, "fixed": None, "rv": True, "broadening": True, "max_rv": 30.0}
    given |= {"max_broadening": 60.0, "priors": None}
    chosen = {name: settings.get(name, value) for name, value in given.items()}
    order = settings.get("continuum_order", 4)
    parameters = choose(emulator, len(spectra), **chosen)
    prepared = prepare(emulator, spectra, order, fit.covariance.shape[1] + 2)
    drawing = Drawing(emulator, spectra.grid, parameters, order)
    return Quadratic.of(drawing, prepared, fit, np.arange(len(spectra))), fit


@dataclass(frozen=True, eq=False)
class Whitened:
    """Coordinates without bounds in which the posteriors of B stars are about round.

    Parameters x (B, D) between bounds become their logits, and these are taken apart by the
    Cholesky factor of the fit's covariance.
    """

    low: Tensor
    span: Tensor
    centre: Tensor
    factor: Tensor

    @classmethod
    def of(cls, form: Quadratic) -> Whitened:
        """Around fits."""
        bounds = form.problem.bounds
        span = bounds.high - bounds.low
        share = ((form.x - bounds.low) / span).clamp(INSIDE, 1 - INSIDE)
        slope = 1 / (share * (1 - share) * span)  # of the logit
        covariance = form.covariance * slope[:, :, None] * slope[:, None, :]
        eye = 1e-9 * torch.eye(len(span), dtype=span.dtype)
        size = covariance.diagonal(dim1=1, dim2=2).sqrt().clamp_max(2.0)
        root = covariance.diagonal(dim1=1, dim2=2).sqrt()
        correlation = covariance / (root[:, :, None] * root[:, None, :]) + eye
        factor = size[:, :, None] * torch.linalg.cholesky(correlation)
        return cls(bounds.low, span, torch.logit(share), factor)

    def logits(self, z: Tensor) -> Tensor:
        """Of z (B, D)."""
        return self.centre + (self.factor @ z[..., None])[..., 0]

    def x(self, z: Tensor) -> Tensor:
        """Parameters (..., D) of z (..., 1, D), the one star's."""
        return self.low + self.span * torch.sigmoid(self.logits(z))


def log_posterior(form: Quadratic, map_to: Whitened, z: Tensor) -> Tensor:
    """Logarithm of the density (B,) of z (B, D), for flat priors of the parameters."""
    logits = map_to.logits(z)
    x = map_to.low + map_to.span * torch.sigmoid(logits)
    volume = -(torch.nn.functional.softplus(logits) + torch.nn.functional.softplus(-logits)).sum(1)
    return volume - 0.5 * form.chi2(x) - 0.5 * penalty(form, x)


def penalty(form: Quadratic, x: Tensor) -> Tensor:
    """Of the normal priors, and beyond the facets of the hull, (B,)."""
    out = x.new_zeros(len(x))
    if len(form.problem.bounds.normals):
        beyond = (x @ form.problem.bounds.normals.T - form.room).clamp_min(0)
        out = out + ((beyond / WALL) ** 2).sum(1)
    if form.parameters.priors:
        mean, precision = form.parameters.prior(len(x))
        out = out + (precision * (x - mean) ** 2).sum(1)
    return out


def in_units(parameters: Parameters, x: Array) -> Array:
    """Labels, km/s and km/s of parameters (..., D)."""
    n = len(parameters.free)
    middle = 0.5 * (parameters.hull.high + parameters.hull.low)[parameters.free]
    out = np.array(x)
    out[..., :n] = middle + x[..., :n] * parameters.half
    for at, i in enumerate(parameters.motion, start=n):
        out[..., at] = np.sqrt(x[..., at] * VARIANCE_UNIT) if i else x[..., at] * RV_UNIT
    return out


def run_chains(
    program: Callable[[], None],
    begin: dict[str, Tensor],
    samples: int,
    warmup: int,
    chains: int,
    seed: int,
) -> tuple[dict[str, Tensor], int]:
    """Samples (chains, n, ...) of each site of a program, and the number of divergences."""
    pyro = load_pyro()
    from pyro.infer import MCMC, NUTS
    from pyro.infer.autoguide.initialization import init_to_value

    parts, divergences = [], 0
    with _quiet_random(pyro), pyro.validation_enabled(False):  # checks take half of the time
        for chain in range(chains):
            pyro.set_rng_seed(seed + 1000 * chain)
            near = {
                k: v + 0.3 * torch.randn_like(v) if k in SCATTERED else v for k, v in begin.items()
            }
            kernel = NUTS(
                program,
                init_strategy=init_to_value(values=near),
                max_plate_nesting=0,
                max_tree_depth=7,
            )
            mcmc = MCMC(kernel, samples, warmup, disable_progbar=True)
            mcmc.run()
            parts.append(mcmc.get_samples())
            divergences += len(mcmc.diagnostics()["divergences"]["chain 0"])
    return {k: torch.stack([part[k] for part in parts]) for k in parts[0]}, divergences


@contextlib.contextmanager
def _quiet_random(pyro: Any) -> Iterator[None]:
    """Leaves the random generators as they were."""
    state = pyro.util.get_rng_state()
    try:
        yield
    finally:
        pyro.util.set_rng_state(state)


def posterior(names: tuple[str, ...], values: Array, divergences: int, fit: Any) -> Posterior:
    """Of samples (chains, n, S)."""
    from pyro.ops.stats import effective_sample_size, split_gelman_rubin

    chains = torch.as_tensor(values)
    return Posterior(
        names,
        values.reshape(-1, values.shape[-1]),
        split_gelman_rubin(chains, chain_dim=0, sample_dim=1).numpy(),
        effective_sample_size(chains, chain_dim=0, sample_dim=1).numpy(),
        divergences,
        fit,
    )


def check_sizes(**sizes: int) -> None:
    """Raises `ConfigError` for numbers of samples that are none."""
    for name, value in sizes.items():
        least = 1 if name == "chains" else 10
        if not isinstance(value, int) or value < least:
            raise ConfigError(f"{name} must be an integer of at least {least}; received {value!r}.")


def load_pyro() -> Any:
    """The package pyro.

    Raises
    ------
    MissingDependencyError
        If it is not installed.
    """
    try:
        import pyro
        import pyro.distributions
    except ImportError as error:
        raise MissingDependencyError(
            "Posteriors need the package pyro-ppl, which is not installed. Install it with "
            "pip install 'starnet[posterior]'."
        ) from error
    return pyro
