"""Arithmetic of mixtures of normal distributions, one mixture for each star.

Shapes: N stars, K components, L labels. What is NaN for a star stays with that star.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, ndtr, ndtri

from starnet.errors import DataError

Array = NDArray[Any]

HALVINGS = 60
"""Steps of the bisection for a quantile."""
TINY = np.finfo(float).tiny


def moments(weights: Array, means: Array, covariances: Array) -> tuple[Array, Array]:
    """Mean (N, L) and covariance (N, L, L) of mixtures."""
    mean = np.einsum("nk,nkl->nl", weights, means)
    apart = means - mean[:, None]
    within = np.einsum("nk,nkij->nij", weights, covariances)
    return mean, within + np.einsum("nk,nki,nkj->nij", weights, apart, apart)


def deviations(covariances: Array) -> Array:
    """Square roots of the diagonals: (..., L, L) -> (..., L)."""
    return np.sqrt(np.diagonal(covariances, axis1=-2, axis2=-1))


def cdf(values: Array, weights: Array, means: Array, sigma: Array) -> Array:
    """Probability (N, L) of each label to be below a value (N, L); sigma is (N, K, L)."""
    with np.errstate(over="ignore", invalid="ignore"):
        below = ndtr((values[:, None] - means) / np.maximum(sigma, TINY))
    return np.einsum("nk,nkl->nl", weights, below)


def quantile(level: float, weights: Array, means: Array, sigma: Array) -> Array:
    """Values (N, L) below which the labels are with probability ``level``, by bisection.

    A quantile of a mixture lies between the lowest and the highest of its components'.
    """
    each = means + ndtri(level) * sigma
    low, high = each.min(axis=1), each.max(axis=1)
    if each.shape[1] == 1:
        return low
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        below = cdf(middle, weights, means, sigma) < level
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return 0.5 * (low + high)


def samples(n: int, weights: Array, means: Array, covariances: Array, seed: int) -> Array:
    """Draws (n, N, L).

    Raises
    ------
    DataError
        If a covariance has a negative eigenvalue.
    """
    rng = np.random.default_rng(seed)
    stars, count, labels = means.shape
    edges = np.cumsum(weights, axis=1)
    chosen = (rng.uniform(size=(stars, n, 1)) > edges[:, None, :-1]).sum(axis=2)  # (N, n)
    white = rng.standard_normal((stars, n, labels))
    out = np.empty_like(white)
    for k in range(count):
        drawn = means[:, k, None] + white @ np.swapaxes(_root(covariances[:, k]), 1, 2)
        out = np.where((chosen == k)[:, :, None], drawn, out)
    return np.swapaxes(out, 0, 1)


def _root(covariance: Array) -> Array:
    """Matrices A (N, L, L) with ``A @ A.T`` the covariance; it may be singular."""
    sigma = np.nan_to_num(deviations(covariance))
    unit = np.where(sigma > 0, sigma, 1.0)
    scaled = np.nan_to_num(covariance / (unit[:, :, None] * unit[:, None]))
    value, vector = np.linalg.eigh(scaled)
    if np.any(value < -1e-6):
        raise _not_definite(int(np.argmin(value[:, 0])))
    return sigma[:, :, None] * vector * np.sqrt(np.maximum(value, 0.0))[:, None]


def log_prob(values: Array, weights: Array, means: Array, covariances: Array) -> Array:
    """Log of the density (N,) at values (N, L), over those labels that are not NaN.

    Labels that a star has no value of, or that its posterior says nothing about, are integrated
    out; the density is NaN where none is left.

    Raises
    ------
    DataError
        If a covariance is not positive definite.
    """
    there = np.isfinite(values) & np.isfinite(means[:, 0])
    out = np.full(len(values), np.nan)
    patterns, which = np.unique(there, axis=0, return_inverse=True)
    for i, pattern in enumerate(patterns):
        rows, columns = np.flatnonzero(which.ravel() == i), np.flatnonzero(pattern)
        if columns.size:
            apart = values[rows][:, None, columns] - means[rows][:, :, columns]
            part = covariances[rows][:, :, columns[:, None], columns]
            with np.errstate(divide="ignore"):
                share = np.log(weights[rows])
            out[rows] = logsumexp(share + _normal(apart, part, rows), axis=1)
    return out


def _normal(apart: Array, covariance: Array, rows: Array) -> Array:
    """Log densities (N, K) of centred normals at ``apart`` (N, K, L)."""
    # in units of each label's own error: Kelvin and dex differ by thousands
    sigma = deviations(covariance)
    if not np.all(sigma > 0):
        raise _not_definite(int(rows[np.argmin(np.all(sigma > 0, axis=(1, 2)))]))
    try:
        lower = np.linalg.cholesky(covariance / (sigma[..., :, None] * sigma[..., None, :]))
    except np.linalg.LinAlgError as error:
        raise _not_definite(_first_bad(covariance, rows)) from error
    z = np.linalg.solve(lower, (apart / sigma)[..., None])[..., 0]
    volume = np.log(np.diagonal(lower, axis1=-2, axis2=-1)) + np.log(sigma)
    return -0.5 * np.sum(z**2 + np.log(2 * np.pi), axis=-1) - volume.sum(axis=-1)


def _first_bad(covariance: Array, rows: Array) -> int:
    lowest = np.linalg.eigvalsh(covariance)[..., 0].min(axis=1)
    return int(rows[np.argmin(lowest)])


def _not_definite(row: int) -> DataError:
    return DataError(
        "The density of a normal distribution needs a positive definite covariance; that of star "
        f"{row} (counted from 0) is not. Give every label an error above 0, and no two labels "
        "that determine each other."
    )
