"""What is known of the labels of stars: distributions, in the labels' own units.

Learned errors, propagated errors, ensembles and samples all end here, so that everything after
them (calibration, assessment, tables) knows one kind of answer. Numpy only; N stars, L labels.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starnet.errors import ConfigError, DataError
from starnet.inference import _mixture

Array = NDArray[Any]
Rows = int | slice | ArrayLike
Density = Callable[[Array, Array], Array]
"""Log density (n,) at values (n, L) of the stars whose positions (n,) are the second argument."""


class LabelPosterior(ABC):
    """The joint distribution of L labels, for each of N stars.

    A label that could not be measured is NaN in everything that is said of it, and spoils
    neither other labels nor other stars.

    Attributes
    ----------
    names : tuple of str
        The L labels.
    """

    names: tuple[str, ...]

    @abstractmethod
    def __len__(self) -> int:
        """N."""

    @abstractmethod
    def __getitem__(self, rows: Rows) -> LabelPosterior:
        """Some of the stars, always as a batch."""

    @property
    @abstractmethod
    def mean(self) -> Array:
        """Mean of each label, (N, L)."""

    @property
    @abstractmethod
    def covariance(self) -> Array:
        """Covariances of the labels, (N, L, L)."""

    @property
    def error(self) -> Array:
        """Standard deviation of each label, (N, L)."""
        return _mixture.deviations(self.covariance)

    @abstractmethod
    def quantiles(self, levels: ArrayLike) -> Array:
        """Values (Q, N, L) below which each label is with the probabilities ``levels`` (Q,).

        Raises
        ------
        ConfigError
            If a level does not lie between 0 and 1.
        """

    def interval(self, level: float) -> tuple[Array, Array]:
        """Lower and upper end (N, L) of the central interval of that probability."""
        low, high = self.quantiles([0.5 - 0.5 * level, 0.5 + 0.5 * level])
        return low, high

    @abstractmethod
    def cdf(self, values: ArrayLike) -> Array:
        """Probability (N, L) of each label to be below its value (N, L)."""

    @abstractmethod
    def samples(self, n: int, seed: int = 0) -> Array:
        """Draws of all labels together, (n, N, L); the same seed gives the same."""

    @abstractmethod
    def log_prob(self, values: ArrayLike) -> Array:
        """Log of the joint density (N,) at values (N, L), per unit of each label."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} stars: {', '.join(self.names)})"


@dataclass(frozen=True, eq=False, repr=False)
class MixturePosterior(LabelPosterior):
    """Mixtures of K normal distributions; see also `gaussian` and `of`.

    Parameters
    ----------
    names : sequence of str
    weights : array (N, K)
        They sum to 1.
    means : array (N, K, L)
        NaN in all components for labels that were not measured.
    covariances : array (N, K, L, L)

    Raises
    ------
    DataError
        If shapes do not agree, a number is NaN where the mean is not, a variance is negative or
        weights do not sum to 1.
    """

    names: tuple[str, ...]
    weights: Array
    means: Array
    covariances: Array

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        for name in ("weights", "means", "covariances"):
            object.__setattr__(self, name, _finite(getattr(self, name)))
        n, k = self.weights.shape if self.weights.ndim == 2 else (-1, -1)
        labels = len(self.names)
        shapes = (n, k), (n, k, labels), (n, k, labels, labels)
        found = self.weights.shape, self.means.shape, self.covariances.shape
        if found != shapes or k == 0:
            raise DataError(
                "weights, means and covariances must be (N, K), (N, K, L) and (N, K, L, L) with "
                f"K of 1 or more and L = {labels}; received {', '.join(map(str, found))}."
            )
        self._check_numbers()

    def _check_numbers(self) -> None:
        known = np.isfinite(self.means)
        _refuse(known.any(axis=1) != known.all(axis=1), "The mean", self.names)
        both = known[..., :, None] & known[..., None, :]
        _refuse(
            (both & ~np.isfinite(self.covariances)).any(axis=(1, 3)), "The variance", self.names
        )
        spread = np.diagonal(self.covariances, axis1=-2, axis2=-1)
        if np.any(spread[known] < 0):
            raise DataError(f"A variance must be 0 or more; received {spread[known].min():.3g}.")
        used = known.any(axis=(1, 2))
        total = self.weights[used].sum(axis=1)
        if np.any(self.weights[used] < 0) or not np.allclose(total, 1, atol=1e-4):
            raise DataError("The weights of a star's components must be positive and sum to 1.")
        weights = self.weights.copy()
        weights[used] /= total[:, None]
        weights[~used] = 1 / weights.shape[1]
        object.__setattr__(self, "weights", weights)

    @classmethod
    def gaussian(
        cls,
        names: Sequence[str],
        mean: ArrayLike,
        covariance: ArrayLike | None = None,
        error: ArrayLike | None = None,
    ) -> MixturePosterior:
        """Normal distributions of a mean (N, L) and a covariance (N, L, L) or error (N, L)."""
        if (covariance is None) == (error is None):
            raise ConfigError("gaussian takes a covariance or an error, and not both.")
        mean = np.asarray(mean, dtype=float)
        if covariance is None:
            variance = np.asarray(error, dtype=float) ** 2
            covariance = np.where(np.eye(mean.shape[-1], dtype=bool), variance[..., None, :], 0.0)
        weights = np.ones((len(mean), 1))
        return cls(tuple(names), weights, mean[:, None], np.asarray(covariance, float)[:, None])

    @classmethod
    def of(cls, members: Sequence[LabelPosterior]) -> MixturePosterior:
        """The equal mixture of what several say of the same stars: a deep ensemble.

        Lakshminarayanan et al. 2017 (arXiv 1612.01474). Of a member that is no mixture, mean and
        covariance are taken. What one member has no value of is missing in the mixture.

        Raises
        ------
        DataError
            If there is no member, or they differ in labels or number of stars.
        """
        if len({(m.names, len(m)) for m in members}) != 1:
            told = "; ".join(f"{len(m)} stars with {', '.join(m.names)}" for m in members)
            raise DataError(
                "An ensemble needs members that speak of the same labels, in the same order, of "
                f"the same stars; received {told or 'none'}."
            )
        parts = [
            m
            if isinstance(m, MixturePosterior)
            else cls.gaussian(m.names, m.mean, covariance=m.covariance)
            for m in members
        ]
        means = np.concatenate([m.means for m in parts], axis=1)
        missing = ~np.isfinite(means).all(axis=1, keepdims=True)
        return cls(
            parts[0].names,
            np.concatenate([m.weights for m in parts], axis=1) / len(parts),
            np.where(missing, np.nan, means),
            np.concatenate([m.covariances for m in parts], axis=1),
        )

    def __len__(self) -> int:
        return len(self.weights)

    def __getitem__(self, rows: Rows) -> MixturePosterior:
        index = np.atleast_1d(np.arange(len(self))[rows])  # type: ignore[index]
        return replace(
            self,
            weights=self.weights[index],
            means=self.means[index],
            covariances=self.covariances[index],
        )

    @property
    def mean(self) -> Array:
        return _mixture.moments(self.weights, self.means, self.covariances)[0]

    @property
    def covariance(self) -> Array:
        return _mixture.moments(self.weights, self.means, self.covariances)[1]

    def _marginals(self) -> tuple[Array, Array, Array]:
        return self.weights, self.means, _mixture.deviations(self.covariances)

    def quantiles(self, levels: ArrayLike) -> Array:
        parts = self._marginals()
        found = [_mixture.quantile(float(level), *parts) for level in _checked(levels)]
        return np.stack(found) if found else np.empty((0, len(self), len(self.names)))

    def cdf(self, values: ArrayLike) -> Array:
        return _mixture.cdf(_fitting(values, self), *self._marginals())

    def samples(self, n: int, seed: int = 0) -> Array:
        return _mixture.samples(n, self.weights, self.means, self.covariances, seed)

    def log_prob(self, values: ArrayLike) -> Array:
        """Log of the joint density (N,) at values (N, L); labels that are NaN are left out.

        Raises
        ------
        DataError
            If a covariance is not positive definite.
        """
        values = _fitting(values, self)
        return _mixture.log_prob(values, self.weights, self.means, self.covariances)


@dataclass(frozen=True, eq=False, repr=False)
class SampledPosterior(LabelPosterior):
    """Distributions that are known by S draws from each.

    Parameters
    ----------
    names : sequence of str
    draws : array (S, N, L)
        NaN in all draws for labels that were not measured.
    density : callable, optional
        Log density (n,) at values (n, L) of stars (n,), for `log_prob`.

    Raises
    ------
    DataError
        If the shape is another one, there are fewer than two draws, or only some are NaN.
    """

    names: tuple[str, ...]
    draws: Array
    density: Density | None = None
    _stars: Array = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        draws = _finite(self.draws)
        if draws.ndim != 3 or draws.shape[2] != len(self.names) or len(draws) < 2:
            raise DataError(
                f"draws must be (S, N, {len(self.names)}) with S of 2 or more; received "
                f"{draws.shape}."
            )
        known = np.isfinite(draws)
        _refuse(known.any(axis=0) != known.all(axis=0), "A draw", self.names)
        object.__setattr__(self, "draws", draws)
        object.__setattr__(self, "_stars", np.arange(draws.shape[1]))

    def __len__(self) -> int:
        return self.draws.shape[1]

    def __getitem__(self, rows: Rows) -> Self:
        index = np.atleast_1d(np.arange(len(self))[rows])  # type: ignore[index]
        some = copy.copy(self)
        object.__setattr__(some, "draws", self.draws[:, index])
        object.__setattr__(some, "_stars", self._stars[index])
        return some

    @property
    def mean(self) -> Array:
        return self.draws.mean(axis=0)

    @property
    def covariance(self) -> Array:
        apart = np.moveaxis(self.draws - self.mean, 0, 1)  # (N, S, L)
        return np.swapaxes(apart, 1, 2) @ apart / (len(self.draws) - 1)

    def quantiles(self, levels: ArrayLike) -> Array:
        return np.quantile(self.draws, _checked(levels), axis=0)

    def cdf(self, values: ArrayLike) -> Array:
        """Fraction (N, L) of the draws below a value (N, L); half of those that are equal."""
        values = _fitting(values, self)
        below = np.mean(self.draws < values, axis=0) + 0.5 * np.mean(self.draws == values, axis=0)
        return np.where(np.isfinite(self.draws[0]) & ~np.isnan(values), below, np.nan)

    def samples(self, n: int, seed: int = 0) -> Array:
        """Draws (n, N, L): some of those that there are, each again only if more are asked for."""
        rng = np.random.default_rng(seed)
        return self.draws[rng.choice(len(self.draws), size=n, replace=n > len(self.draws))]

    def log_prob(self, values: ArrayLike) -> Array:
        """Log of the joint density (N,) at values (N, L).

        Raises
        ------
        DataError
            If these draws came without a density.
        """
        values = _fitting(values, self)
        if self.density is None:
            raise DataError(
                "These draws came without a density, so log_prob is not known; take a "
                "MixturePosterior of their mean and covariance, or give a density."
            )
        out = np.full(len(self), np.nan)
        rows = np.flatnonzero(np.isfinite(values).all(axis=1) & np.isfinite(self.draws[0]).all(1))
        if rows.size:
            out[rows] = self.density(values[rows], self._stars[rows])
        return out


def _finite(values: ArrayLike) -> Array:
    """A number that is infinite is none, as in `Labels`."""
    found = np.asarray(values, dtype=float)
    return np.where(np.isinf(found), np.nan, found)


def _checked(levels: ArrayLike) -> Array:
    found = np.atleast_1d(np.asarray(levels, dtype=float))
    if not np.all((found > 0) & (found < 1)):
        raise ConfigError(f"Probabilities must lie between 0 and 1; received {found.tolist()}.")
    return found


def _fitting(values: ArrayLike, posterior: LabelPosterior) -> Array:
    found, shape = np.asarray(values, dtype=float), (len(posterior), len(posterior.names))
    if found.shape != shape:
        raise DataError(f"values must have shape {shape}, stars by labels; received {found.shape}.")
    return found


def _refuse(wrong: Any, what: str, names: Sequence[str]) -> None:
    """Raise if numbers of a label (N, L) are NaN that must not be."""
    if np.any(wrong):
        star, label = np.argwhere(wrong)[0]
        raise DataError(
            f"{what} of {names[label]} of star {star} (counted from 0) is NaN or infinite while "
            "other numbers of it are not. A label that was not measured is NaN throughout; every "
            "other one needs finite numbers."
        )
