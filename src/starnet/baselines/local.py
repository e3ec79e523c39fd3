"""Regression on the nearest training stars, for many stars at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
TRIED = 200
"""Stars that are left out in turn to choose settings, at most."""
BLOCK = 64


def nearest(points: Array, others: Array, k: int, own: Array | None = None) -> tuple[Array, Array]:
    """The k nearest others (N, D) of points (M, D), and their tricube weights, (M, k) both.

    The weight is (1 - (r / r_max)^3)^3 with r_max just beyond the last (Cleveland 1979, JASA 74,
    829). Row ``own`` (M,) of the others does not count.
    """
    square = (points**2).sum(axis=1)[:, None] + (others**2).sum(axis=1) - 2 * points @ others.T
    square = np.maximum(square, 0)
    if own is not None:
        square[np.arange(len(points)), own] = np.inf
    k = min(k, len(others) - (own is not None))
    rows = np.argpartition(square, k - 1, axis=1)[:, :k] if k < len(others) else (
        np.broadcast_to(np.arange(k), (len(points), k)))  # fmt: skip
    r = np.sqrt(np.take_along_axis(square, rows, axis=1))
    far = 1.05 * r.max(axis=1, initial=1e-12, keepdims=True) + 1e-12
    return rows, (1 - (r / far) ** 3) ** 3


def local_regression(
    points: Array, x: Array, y: Array, weight: Array, strength: float
) -> tuple[Array, Array]:
    """Values (M, L) and slopes (M, K, L) at points (M, K) from neighbours of each point.

    Weighed linear regression of y (M, n, L) on x (M, n, K) with weight (M, n), the covariance of
    x damped by ``strength`` times its largest eigenvalue (a bound of it: the trace).
    """
    values = np.empty((len(points), y.shape[2]))
    slopes = np.empty((len(points), x.shape[2], y.shape[2]))
    for i in range(0, len(points), BLOCK):
        part = slice(i, i + BLOCK)
        w = weight[part] / weight[part].sum(axis=1, keepdims=True)
        x_mean = np.einsum("mn,mnk->mk", w, x[part])
        y_mean = np.einsum("mn,mnl->ml", w, y[part])
        root = np.sqrt(w)[..., None]
        a, b = root * (x[part] - x_mean[:, None]), root * (y[part] - y_mean[:, None])
        slopes[part] = _damped(a, b, strength)
        values[part] = y_mean + np.einsum("mk,mkl->ml", points[part] - x_mean, slopes[part])
    return values, slopes


def _damped(a: Array, b: Array, strength: float) -> Array:
    """Ridge slopes (M, K, L) of b (M, n, L) on a (M, n, K), by the smaller of two systems."""
    n, k = a.shape[1:]
    turned = np.swapaxes(a, 1, 2)
    damp = strength * np.einsum("mnk,mnk->m", a, a)[:, None, None] + 1e-12
    if n < k:
        return turned @ np.linalg.solve(a @ turned + damp * np.eye(n), b)
    return np.linalg.solve(turned @ a + damp * np.eye(k), turned @ b)


def choose(
    miss: Callable[[int, float, Array], Array],
    numbers: Sequence[int],
    strengths: Sequence[float],
    n: int,
    seed: int,
) -> tuple[int, float, float]:
    """Number of neighbours, strength, and size of the misses of stars left out one by one.

    ``miss(number, strength, rows)`` gives misses (M, L) in scaled labels; the mean over labels of
    the logarithm of their mean size decides (and is given), in which no label outweighs others.
    """
    rows = np.sort(np.random.default_rng([seed, 37]).permutation(n)[:TRIED])
    fitting = [k for k in numbers if k < n] or [n - 1]
    pairs = [(k, s) for k in fitting for s in strengths]
    sizes = [np.log(np.abs(miss(k, s, rows)).mean(axis=0) + 1e-9).mean() for k, s in pairs]
    best = int(np.argmin(sizes))
    return *pairs[best], float(sizes[best])
