"""Repeat visits: the scatter between spectra of one star over the errors that were quoted.

No truth is needed: whatever the star is, two visits differ by their errors only. What all visits of
a star have wrong alike cannot show here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starnet.errors import DataError
from starnet.evaluate.metrics import MAD_TO_SIGMA

Array = NDArray[Any]
RESAMPLED = 300
"""Draws of the bootstrap, fewer (down to 50) for very many pairs."""
OF_NORMAL = 1.1664
"""Standard error of 1.4826 times a median absolute deviation about zero, times sqrt(n)."""


@dataclass(frozen=True, eq=False)
class VisitPairs:
    """All pairs of visits of one star.

    Attributes
    ----------
    first, second : array (M,) of int
        Rows of the two visits.
    star : array (M,) of int
        Number of their star.
    """

    first: NDArray[np.intp]
    second: NDArray[np.intp]
    star: NDArray[np.intp]

    def __len__(self) -> int:
        return self.first.size

    def select(self, rows: ArrayLike) -> VisitPairs:
        """Some of the pairs."""
        chosen = np.asarray(rows)
        return VisitPairs(self.first[chosen], self.second[chosen], self.star[chosen])

    @classmethod
    def of(cls, star: ArrayLike) -> VisitPairs:
        """From the star of each of N rows; rows whose star has no name are of no pair.

        Raises
        ------
        DataError
            If no star has two rows.
        """
        names = np.asarray(star).astype(str)
        _, number = np.unique(names, return_inverse=True)
        order = np.argsort(number, kind="stable")
        order = order[names[order] != ""]
        groups = np.split(order, np.flatnonzero(np.diff(number[order])) + 1)
        pairs = [np.stack(np.triu_indices(g.size, 1)) for g in groups]
        first = np.concatenate([g[i] for g, (i, _) in zip(groups, pairs, strict=True)])
        second = np.concatenate([g[j] for g, (_, j) in zip(groups, pairs, strict=True)])
        if not first.size:
            raise DataError(
                f"No star has two visits: the {names.size} rows have "
                f"{np.unique(names).size} names. Visits of one star must share its name in the "
                "column star; `starnet predict --visits` reads the visits of a combined file."
            )
        return cls(first, second, number[first])


@dataclass(frozen=True, eq=False)
class RepeatRatio:
    """Scatter of repeats over quoted error, of L labels.

    Attributes
    ----------
    ratio : array (L,)
        Robust: 1.4826 times the median of \\|difference\\| over the quadrature sum of its errors.
    error : array (L,)
        Its own one-sigma error: by bootstrap over stars, and no smaller than that of as many
        normal values.
    rms : array (L,)
        The same as a root mean square, which outliers raise.
    n_pairs, n_stars : array (L,) of int
    """

    ratio: Array
    error: Array
    rms: Array
    n_pairs: NDArray[np.intp]
    n_stars: NDArray[np.intp]


def repeat_ratio(
    values: ArrayLike, errors: ArrayLike, star: ArrayLike, *, seed: int = 0
) -> RepeatRatio:
    """Scatter of repeat visits over their quoted errors; 1 where the errors are right.

    Each pair of visits of a star gives its difference over ``hypot`` of the two errors, which is
    normal(0, 1) about zero whatever the star is. The pairs of a star with n visits have together
    the weight n - 1, as many as its visits have independent differences.

    Parameters
    ----------
    values, errors : array (N, L)
        Labels of N visits and one-sigma errors; those that are NaN, and errors that are not above
        0, are left out.
    star : array (N,)
        Name or number of the star of each visit.
    seed : int
        Of the bootstrap.

    Raises
    ------
    DataError
        If shapes do not fit, or no star has two visits.
    """
    value, error = (np.asarray(part, dtype=float) for part in (values, errors))
    if value.ndim != 2 or value.shape != error.shape or np.shape(star) != value.shape[:1]:
        raise DataError(
            "Repeats need values and errors of one shape (N, L) and N stars; received "
            f"{value.shape}, {error.shape} and {np.shape(star)}."
        )
    pairs = VisitPairs.of(star)
    return ratio_of(scaled_differences(value, error, pairs), pairs, seed=seed)


def scaled_differences(values: Array, errors: Array, pairs: VisitPairs) -> Array:
    """Differences of pairs over the quadrature sum of their errors, (M, L)."""
    sigma = np.where(errors > 0, errors, np.nan)
    total = np.hypot(sigma[pairs.first], sigma[pairs.second])
    out = (values[pairs.first] - values[pairs.second]) / total
    return np.where(np.isfinite(out), out, np.nan)


def ratio_of(differences: Array, pairs: VisitPairs, *, seed: int = 0) -> RepeatRatio:
    """`repeat_ratio` of differences (M, L) that are already over their errors."""
    rows = [_one(column, pairs.star, seed) for column in differences.T]
    columns = [np.array(c) for c in zip(*rows, strict=True)]
    return RepeatRatio(*columns[:3], *(c.astype(int) for c in columns[3:]))


def _one(difference: Array, star: NDArray[np.intp], seed: int) -> tuple[float, ...]:
    """Ratio, its error, root mean square, pairs and stars of one label."""
    known = np.isfinite(difference)
    size = np.abs(difference[known])
    if not size.size:
        return np.nan, np.nan, np.nan, 0, 0
    order = np.argsort(size)
    size = size[order]
    _, number, count = np.unique(star[known][order], return_inverse=True, return_counts=True)
    visits = (1 + np.sqrt(1 + 8 * count)) / 2  # of a star with so many pairs
    weight = (2 / visits)[number]
    ratio = MAD_TO_SIGMA * _weighted_median(size, weight)
    rng = np.random.default_rng(seed)
    drawn = np.empty(max(50, min(RESAMPLED, 3_000_000 // size.size)))
    for i in range(drawn.size):
        times = np.bincount(rng.integers(count.size, size=count.size), minlength=count.size)
        drawn[i] = MAD_TO_SIGMA * _weighted_median(size, weight * times[number])
    error = max(float(np.std(drawn)), OF_NORMAL * ratio / np.sqrt(weight.sum()))
    rms = float(np.sqrt(np.average(size**2, weights=weight)))
    return ratio, error, rms, size.size, count.size


def _weighted_median(ascending: Array, weight: Array) -> float:
    """The value with half of the weight on either side, between two where it falls there."""
    middle = np.cumsum(weight) - 0.5 * weight
    return float(np.interp(0.5 * weight.sum(), middle, ascending))
