"""Array work on whole batches that several transforms share. Shapes are (N, n) throughout."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from starnet.spectra import Spectra, WavelengthGrid

Array = NDArray[Any]
ROWS = 256
"""Rows worked on at a time, so that intermediate arrays stay small."""


TINY = float(np.finfo(np.float32).tiny)
"""Variances and inverse variances below this cannot be inverted and count as unknown."""


def row_blocks(n: int) -> Iterator[slice]:
    """Slices over n rows."""
    return (slice(i, min(i + ROWS, n)) for i in range(0, n, ROWS))


def in_chips(grid: WavelengthGrid) -> NDArray[np.bool_]:
    """Whether each pixel belongs to a chip, shape (P,)."""
    inside = np.zeros(grid.n_pixels, dtype=bool)
    for a, b in grid.chips:
        inside[a:b] = True
    return inside


def chip_edges(wavelength: Array) -> Array:
    """Pixel edges half-way between the centres of one chip, shape (n + 1,).

    The outermost pixels are as wide as their inner halves. A chip of one pixel gets a width of
    1e-4 of its wavelength, for want of a neighbour.
    """
    if wavelength.size == 1:
        return wavelength[0] * np.array([1 - 5e-5, 1 + 5e-5])
    middle = 0.5 * (wavelength[1:] + wavelength[:-1])
    first, last = 2 * wavelength[0] - middle[0], 2 * wavelength[-1] - middle[-1]
    return np.concatenate([[first], middle, [last]])


def masked_quantile(values: Array, bad: Array | None, quantile: float) -> NDArray[np.float64]:
    """Quantile of the good values of each row, shape (N,); NaN where there are none.

    Linear between order statistics, so that 0.5 is the median as numpy has it.
    """
    n_rows, n = values.shape
    if bad is None or not bad.any():
        ordered = np.sort(values, axis=1)
        count = np.full(n_rows, n)
    else:
        ordered = np.sort(np.where(bad, np.asarray(np.inf, values.dtype), values), axis=1)
        count = n - np.count_nonzero(bad, axis=1)
    position = quantile * np.maximum(count - 1, 0)
    low = position.astype(np.intp)
    high = np.minimum(low + 1, np.maximum(count - 1, 0))
    rows = np.arange(n_rows)
    first, second = ordered[rows, low].astype(float), ordered[rows, high].astype(float)
    none = count == 0
    first[none] = second[none] = np.nan
    fraction = position - low
    return first * (1 - fraction) + second * fraction


def fill_linear(values: Array, bad: Array, x: Array) -> Array:
    """Values with bad ones replaced: linear in ``x`` between good ones, nearest at the ends.

    Parameters
    ----------
    values, bad : array (N, n)
        Rows without any good value are returned as they are.
    x : array (n,)
        Increasing.
    """
    n = values.shape[1]
    holes = np.flatnonzero(bad)
    good = np.flatnonzero(~bad)
    if not holes.size or not good.size:
        return values
    after = np.searchsorted(good, holes)
    left, right = good[np.maximum(after - 1, 0)], good[np.minimum(after, good.size - 1)]
    row = holes // n
    has_left = (left // n == row) & (left < holes)
    has_right = (right // n == row) & (right > holes)
    left, right = np.where(has_left, left, right), np.where(has_right, right, left)
    span = x[right % n] - x[left % n]
    fraction = np.where(span > 0, (x[holes % n] - x[left % n]) / np.where(span > 0, span, 1), 0)
    flat = values.ravel()
    filled = flat[left] * (1 - fraction) + flat[right] * fraction
    out = flat.copy()
    out[holes] = np.where(has_left | has_right, filled, flat[holes])
    return out.reshape(values.shape)


def variance(ivar: Array, mask: Array) -> Array:
    """Variance of each pixel: NaN where unknown, 0 where masked."""
    known = ivar > TINY
    some = np.where(known, ivar, np.asarray(1, ivar.dtype))
    unknown = np.asarray(np.nan, ivar.dtype)
    return np.where(known, 1 / some, np.where(mask, np.asarray(0, ivar.dtype), unknown))


def inverse(var: Array) -> Array:
    """Inverse variance of a variance; 0 (unknown) where that is NaN or not positive."""
    known = var > TINY
    return np.where(known, 1 / np.where(known, var, 1), 0)


def divided(spectra: Spectra, continuum: Array) -> Spectra:
    """Spectra over their continuum (N, P); masked, with flux 0, where that is not positive."""
    good = np.isfinite(continuum) & (continuum > 0)
    level = np.where(good, continuum, 1).astype(np.float32)
    level[level == 0] = 1  # below what single precision holds
    with np.errstate(over="ignore", invalid="ignore"):  # the batch masks what overflows
        flux, ivar = np.where(good, spectra.flux / level, 0), spectra.ivar * level * level
    return spectra.replace(
        flux=flux, ivar=ivar, mask=spectra.mask | ~good, flux_unit=u.dimensionless_unscaled
    )


def fit_weights(ivar: Array, mask: Array, weighted: bool) -> Array:
    """Weights (N, n) for a fit: 0 where masked; inverse variances if asked for and known.

    A row in which any error is unknown gets equal weights. The largest is 1 in every row.
    """
    good = ~mask
    if not weighted:
        return good.astype(np.float64)
    unknown = np.any(good & (ivar == 0), axis=1)
    weights = np.where(unknown[:, None], 1.0, ivar) * good
    largest = weights.max(axis=1, initial=0, keepdims=True)
    return weights / np.where(largest > 0, largest, 1)
