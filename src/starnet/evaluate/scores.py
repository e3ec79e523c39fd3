"""How good predicted distributions are: where the truth falls in them, and how wide they are.

What is predicted is either a pair ``(mean, error)`` of arrays, taken as normal distributions, or a
`starnet.inference.posterior.LabelPosterior`. Pairs of a prediction and a truth of which one is
missing (NaN) give NaN and do not count. Nothing here needs torch.

The scores are those of Gneiting, Balabdaoui & Raftery 2007 (J. R. Stat. Soc. B 69, 243) and
Gneiting & Raftery 2007 (J. Am. Stat. Assoc. 102, 359).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import binom

from starnet.errors import ConfigError, DataError

if TYPE_CHECKING:
    from starnet.inference.posterior import LabelPosterior

    Predicted = LabelPosterior | tuple[ArrayLike, ArrayLike]

Array = NDArray[Any]
LEVELS = (0.5, 0.68, 0.9, 0.95)
"""Coverages that are reported."""
DRAWS = 400
"""Samples from a posterior whose score has no closed form."""
BLOCK = 500
"""Stars that samples are drawn of at a time."""


def mean_and_error(predicted: Predicted) -> tuple[Array, Array]:
    """Means and one-sigma errors, (N, L) each; an error that is not above 0 is missing.

    Raises
    ------
    DataError
        If the two shapes differ.
    """
    pair = predicted if isinstance(predicted, tuple) else (predicted.mean, predicted.error)
    mean, error = (np.asarray(part, dtype=float) for part in pair)
    if mean.shape != error.shape:
        raise DataError(
            f"Means and errors must have one shape; received {mean.shape} and {error.shape}."
        )
    return mean, np.where(error > 0, error, np.nan)


def z_scores(predicted: Predicted, truth: ArrayLike) -> Array:
    """(predicted - true) / error, in the shape of ``truth``; normal(0, 1) where errors are right.

    Raises
    ------
    DataError
        If shapes differ.
    """
    mean, error = mean_and_error(predicted)
    return (mean - _like(truth, mean)) / error


def pit(predicted: Predicted, truth: ArrayLike) -> Array:
    """Probability that was given to values below the truth (Dawid 1984), in its shape.

    Uniform on 0 to 1 where the distributions are right; a hump in the middle says that errors are
    too large, two horns that they are too small, a slope that there is a bias.

    Raises
    ------
    DataError
        If shapes differ.
    """
    if isinstance(predicted, tuple):
        return ndtr(-z_scores(predicted, truth))
    mean, error = mean_and_error(predicted)
    value = _like(truth, mean)
    return np.where(np.isfinite(value) & np.isfinite(error), predicted.cdf(value), np.nan)


def coverage(
    predicted: Predicted,
    truth: ArrayLike,
    levels: Sequence[float] = LEVELS,
) -> Array:
    """Fraction of stars whose truth lies in the central interval of each of Q levels, (Q, L).

    Raises
    ------
    ConfigError
        If a level is not between 0 and 1.
    DataError
        If shapes differ.
    """
    return coverage_of_pit(pit(predicted, truth), levels)


def coverage_of_pit(u: ArrayLike, levels: Sequence[float] = LEVELS) -> Array:
    """The same from what `pit` gave, (N, L) -> (Q, L); NaN for a label without a star."""
    wanted, u = _levels(levels), np.asarray(u, dtype=float)
    off = np.abs(2 * u - 1)  # central intervals, so the smallest that holds the truth
    known = np.isfinite(u)
    inside = np.stack([np.sum(known & (off <= level), axis=0) for level in wanted])
    n = known.sum(axis=0)
    return np.where(n > 0, inside / np.maximum(n, 1), np.nan)


def binomial_band(
    level: ArrayLike, n: ArrayLike, *, probability: float = 0.95
) -> tuple[Array, Array]:
    """Fractions between which a coverage that is right is found among n stars."""
    count = np.maximum(np.asarray(n), 1)
    low, high = (binom.ppf(p, count, level) for p in ((1 - probability) / 2, (1 + probability) / 2))
    return low / count, high / count


def ranks(samples: ArrayLike, truth: ArrayLike, *, seed: int = 0) -> Array:
    """How many of n samples (n, N, L) lie below the truth (N, L): from 0 to n, NaN where missing.

    Each of the n + 1 ranks is as frequent as the others where samples and truth are alike
    (Anderson 1996); ties are broken at random.

    Raises
    ------
    DataError
        If shapes differ.
    """
    draws = np.asarray(samples, dtype=float)
    value = _like(truth, draws[0])
    below = np.sum(draws < value, axis=0)
    ties = np.sum(draws == value, axis=0)
    chosen = np.floor(np.random.default_rng(seed).random(value.shape) * (ties + 1))
    return np.where(np.isfinite(value) & np.isfinite(draws).all(axis=0), below + chosen, np.nan)


def crps(predicted: Predicted, truth: ArrayLike) -> Array:
    """Continuous ranked probability score (N, L), in units of the label; smaller is better.

    It is the integral of (CDF - step at the truth) squared: the absolute error of a prediction
    without error, and rewards distributions that are both narrow and right. Closed form for
    normal distributions and their mixtures (Grimit et al. 2006); others by samples.

    Raises
    ------
    DataError
        If shapes differ.
    """
    if isinstance(predicted, tuple):
        return _crps_normal(predicted, truth)
    mean, _ = mean_and_error(predicted)
    value = _like(truth, mean)
    if parts := _components(predicted):
        return _crps_mixture(*parts, value)
    out = np.empty(value.shape)
    for start in range(0, len(value), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(value)))
        out[rows] = crps_of_samples(predicted[rows].samples(DRAWS), value[rows])
    return out


def crps_of_samples(samples: ArrayLike, truth: ArrayLike) -> Array:
    """CRPS (N, L) of samples (n, N, L): the estimator without bias by their number (Ferro 2014).

    Raises
    ------
    DataError
        If shapes differ, or there are fewer than two samples.
    """
    draws = np.sort(np.asarray(samples, dtype=float), axis=0)
    n = len(draws)
    if n < 2:
        raise DataError(f"A score of samples needs at least 2 of them; received {n}.")
    value = _like(truth, draws[0])
    weight = 2 * np.arange(1, n + 1) - n - 1.0
    spread = np.tensordot(weight, draws, axes=1) / (n * (n - 1))
    return np.mean(np.abs(draws - value), axis=0) - spread


def sharpness(predicted: Predicted, level: float | None = None) -> Array:
    """How narrow the distributions are, (L,): the median error, or the median width of intervals.

    Parameters
    ----------
    level : float, optional
        Of the central intervals whose width is meant. Default: one-sigma errors.
    """
    mean, error = mean_and_error(predicted)
    if level is None:
        return _median(np.where(np.isfinite(mean), error, np.nan))
    inside = float(_levels([level])[0])
    if isinstance(predicted, tuple):
        return _median(2 * ndtri((1 + inside) / 2) * error)
    low, high = predicted.interval(inside)
    return _median(np.asarray(high) - np.asarray(low))


def _crps_normal(predicted: tuple[ArrayLike, ArrayLike], truth: ArrayLike) -> Array:
    mean, error = mean_and_error(predicted)
    return _absolute(_like(truth, mean) - mean, error) - error / np.sqrt(np.pi)


def _crps_mixture(weights: Array, means: Array, sigmas: Array, truth: Array) -> Array:
    """Of mixtures of K normals: weights (N, K), means and sigmas (N, K, L), truth (N, L)."""
    first = np.einsum("nk,nkl->nl", weights, _absolute(truth[:, None] - means, sigmas))
    second = np.zeros(truth.shape)
    for k in range(means.shape[1]):
        width = np.hypot(sigmas, sigmas[:, k, None])
        pairs = np.einsum("nj,njl->nl", weights, _absolute(means - means[:, k, None], width))
        second += weights[:, k, None] * pairs
    return first - 0.5 * second


def _absolute(mean: Array, sigma: Array) -> Array:
    """Expectation of the absolute value of a normal variable."""
    z = mean / sigma
    return 2 * sigma * np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi) + mean * (2 * ndtr(z) - 1)


def _components(posterior: Any) -> tuple[Array, Array, Array] | None:
    """Weights, means and sigmas of a mixture of normals; None for another posterior."""
    if not all(hasattr(posterior, name) for name in ("weights", "means", "covariances")):
        return None
    variance = np.einsum("nkll->nkl", np.asarray(posterior.covariances))
    return np.asarray(posterior.weights), np.asarray(posterior.means), np.sqrt(variance)


def _like(truth: ArrayLike, mean: Array) -> Array:
    value = np.asarray(truth, dtype=float)
    if value.shape != mean.shape:
        raise DataError(
            f"Truth must have the shape of what is predicted, {mean.shape}; received "
            f"{value.shape}. Give the same stars and labels in the same order."
        )
    return np.where(np.isfinite(value), value, np.nan)


def _levels(levels: Sequence[float]) -> Array:
    wanted = np.atleast_1d(np.asarray(levels, dtype=float))
    if not np.all((wanted > 0) & (wanted < 1)):
        raise ConfigError(f"Levels must lie between 0 and 1, such as 0.68; received {levels}.")
    return wanted


def _median(values: Array) -> Array:
    """Of each label, over the stars that have a value."""
    return np.array([np.median(v[np.isfinite(v)]) if np.isfinite(v).any() else np.nan
                     for v in np.atleast_2d(values.T)])  # fmt: skip
