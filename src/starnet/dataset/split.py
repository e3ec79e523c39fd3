"""Splits by star: all visits of one star fall on one side.

A split by visit lets a network recognise, in validation, stars that it was trained on. What
falls where depends on the names of the stars and the seed alone, not on the order of the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starnet.errors import ConfigError, DataError

Rows = NDArray[np.int64]


def split_by_star(
    stars: ArrayLike,
    fractions: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    *,
    stratify: ArrayLike | None = None,
    n_strata: int = 10,
) -> tuple[Rows, ...]:
    """Rows of each side of a split, for example training, validation and test.

    Parameters
    ----------
    stars : array (N,)
        Star of each spectrum.
    fractions : sequence of float
        Share of the stars on each side; they sum to 1. A side with a positive share has at least
        one star.
    seed : int
        Another seed makes another split.
    stratify : array (N,), optional
        A label of each spectrum; each side then has its share of stars at low, middle and high
        values alike. Missing values (NaN) are a stratum of their own.
    n_strata : int
        Number of strata.

    Returns
    -------
    tuple of arrays
        Sorted row numbers; together they are all rows, and no star is on two sides.

    Raises
    ------
    ConfigError
        If the fractions are negative or do not sum to 1.
    DataError
        If there are fewer stars than sides.
    """
    shares = np.asarray(fractions, dtype=float)
    if shares.ndim != 1 or not np.all(shares >= 0) or not np.isclose(shares.sum(), 1, atol=1e-6):
        raise ConfigError(f"fractions must be positive and sum to 1; received {fractions}.")
    order, row_star = _shuffled(stars, seed, stratify, n_strata)
    n_sides = int(np.count_nonzero(shares))
    if order.size < n_sides:
        raise DataError(
            f"A split into {n_sides} needs at least {n_sides} stars; there are {order.size}."
        )
    side = np.empty(order.size, dtype=int)
    side[order] = _deal(order.size, shares, spread=stratify is not None)
    return tuple(np.flatnonzero(side[row_star] == i) for i in range(shares.size))


def k_folds(
    stars: ArrayLike,
    k: int,
    seed: int = 0,
    *,
    stratify: ArrayLike | None = None,
) -> list[tuple[Rows, Rows]]:
    """Rows to train on and rows held out, for each of ``k`` folds of cross-validation.

    Parameters
    ----------
    stars, seed, stratify
        As for `split_by_star`.
    k : int
        Number of folds. Each star is held out exactly once.

    Raises
    ------
    ConfigError
        If ``k`` is smaller than 2.
    DataError
        If there are fewer stars than folds.
    """
    if k < 2:
        raise ConfigError(f"k must be at least 2 folds; received {k}.")
    n_stars = np.unique(np.asarray(stars, dtype=str)).size
    if n_stars < k:
        raise DataError(f"{k} folds need at least {k} stars; there are {n_stars}.")
    order, row_star = _shuffled(stars, seed, stratify, max(1, n_stars // k))
    fold = np.empty(order.size, dtype=int)
    fold[order] = np.arange(order.size) % k
    held = fold[row_star]
    return [(np.flatnonzero(held != i), np.flatnonzero(held == i)) for i in range(k)]


def _shuffled(
    stars: ArrayLike, seed: int, stratify: ArrayLike | None, n_strata: int
) -> tuple[Rows, Rows]:
    """Stars in random order (stratum by stratum), and the star of each row."""
    names, row_star = np.unique(np.asarray(stars, dtype=str), return_inverse=True)
    rng = np.random.default_rng(seed)
    order = rng.permutation(names.size)
    if stratify is None:
        return order, row_star
    values = np.asarray(stratify, dtype=float)
    if values.shape != row_star.shape:
        raise DataError(f"stratify must have a value for each of {row_star.size} rows.")
    value = _median_by_star(values, row_star, names.size)
    rank = np.argsort(np.argsort(value[order], kind="stable"), kind="stable")
    stratum = np.where(np.isfinite(value[order]), rank * n_strata // names.size, n_strata)
    return order[np.argsort(stratum, kind="stable")], row_star


def _median_by_star(values: NDArray[Any], row_star: Rows, n_stars: int) -> NDArray[Any]:
    """Median of the known values of each star's rows; NaN where none is known."""
    out = np.full(n_stars, np.nan)
    known = np.flatnonzero(np.isfinite(values))
    known = known[np.lexsort((values[known], row_star[known]))]
    star, first, count = np.unique(row_star[known], return_index=True, return_counts=True)
    if star.size:
        out[star] = 0.5 * (
            values[known[first + (count - 1) // 2]] + values[known[first + count // 2]]
        )
    return out


def _deal(n: int, shares: NDArray[Any], *, spread: bool) -> Rows:
    """Side of each of n stars in order: in blocks, or spread evenly over the whole order."""
    sizes = np.diff(np.round(np.cumsum([0.0, *shares]) * n)).astype(int)
    for empty in np.flatnonzero((sizes == 0) & (shares > 0)):
        sizes[np.argmax(sizes)] -= 1
        sizes[empty] += 1
    sides = np.repeat(np.arange(shares.size), sizes)
    if not spread:
        return sides
    # The i-th of a side's m stars comes at (i + 1/2) / m of the order, so any stretch of the
    # order holds every side in its share.
    place = np.concatenate([(np.arange(m) + 0.5) / m for m in sizes if m] or [np.zeros(0)])
    return sides[np.argsort(place, kind="stable")]
