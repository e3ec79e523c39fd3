"""Doppler shifts of many spectra, each by its own factor, on the grid they are on.

The new flux at wavelength w is the old one at w / factor, interpolated between pixels:

- linear: two pixels. On a grid whose pixels are as wide as their neighbours this is the mean of
  the flux over the shifted pixel, so it conserves flux.
- cubic: Lagrange's polynomial through four pixels, which smooths narrow lines much less.

Bad pixels are filled from good neighbours beforehand, so none of their flux goes anywhere. A new
pixel is masked if it lies beyond its chip, or if one of the two old pixels around it is masked.
The variance is that of the weighted sum; covariances are not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from starnet.preprocess._rows import fill_linear, in_chips, inverse, row_blocks, variance
from starnet.spectra import Spectra

Array = NDArray[Any]
Kind = Literal["linear", "cubic"]
Reader = Callable[[Array, int], Array]
Padded = tuple[Array, Array | None, Array]
TINY = 1e-6  # of a pixel: nearer than this counts as on the pixel


def shifted(spectra: Spectra, factor: Array, kind: Kind) -> Spectra:
    """Spectra with wavelengths multiplied by each row's factor, on the same grid.

    Parameters
    ----------
    spectra : Spectra
        N spectra.
    factor : array (N,)
        New over old wavelength. Rows where it is not finite or not positive are masked.
    kind : "linear" or "cubic"
    """
    usable = np.isfinite(factor) & (factor > 0)
    log_factor = np.log(np.where(usable, factor, 1.0))
    out = {name: np.array(getattr(spectra, name)) for name in ("flux", "ivar", "mask")}
    for a, b in spectra.grid.chips:
        wave = spectra.grid.wavelength[a:b]
        even = _even(wave)
        for block in row_blocks(len(spectra)):
            rows = np.arange(len(spectra))[block]
            rows = rows[usable[rows] & (log_factor[rows] != 0)]
            if not rows.size:
                continue
            steps = _even_steps if even else _any_steps
            todo = list(steps(wave, log_factor[rows]))
            margin = max(int(np.max(np.abs(step.move))) for step in todo) + 3
            flux, ivar, mask = (out[name][rows, a:b] for name in out)
            padded = _padded(flux, ivar, mask, wave, margin)
            for step in todo:
                here = rows[step.rows]
                new = _interpolated(padded, step, margin, kind)
                out["flux"][here, a:b], out["ivar"][here, a:b], out["mask"][here, a:b] = new
    out["mask"][:, ~in_chips(spectra.grid)] = True
    out["mask"][~usable] = True
    return spectra.replace(**out)


@dataclass(frozen=True, eq=False)
class Step:
    """R rows whose new pixel p lies ``fraction`` beyond old pixel ``p + move``."""

    rows: Array  # (R,)
    move: Array | int  # (R, n), or the same for all
    fraction: Array  # (R, n) or (R, 1)


def _even(wave: Array) -> bool:
    """Whether pixels are even in the logarithm of wavelength, to a hundredth of a pixel."""
    axis = np.log(wave)
    line = np.linspace(axis[0], axis[-1], axis.size)
    return axis.size > 1 and bool(np.max(np.abs(axis - line)) < 0.01 * (line[1] - line[0]))


def _even_steps(wave: Array, log_factor: Array) -> Iterator[Step]:
    """On a logarithmic grid all pixels move alike: rows go by whole pixels moved."""
    exact = -log_factor * (wave.size - 1) / np.log(wave[-1] / wave[0])
    whole = np.clip(np.floor(exact), -wave.size - 2, wave.size + 2)
    for move in np.unique(whole):
        rows = np.flatnonzero(whole == move)
        yield Step(rows, int(move), np.clip(exact[rows] - move, 0, 1)[:, None])


def _any_steps(wave: Array, log_factor: Array) -> Iterator[Step]:
    """All rows at once, on any grid."""
    n = wave.size
    index = np.arange(n, dtype=float)
    at = np.empty((log_factor.size, n))
    for row, value in enumerate(np.exp(-log_factor)):
        at[row] = np.interp(wave * value, wave, index, left=-2.0, right=n + 1.0)
    left = np.floor(at)
    yield Step(np.arange(log_factor.size), (left - index).astype(np.intp), at - left)


def _padded(flux: Array, ivar: Array, mask: Array, wave: Array, margin: int) -> Padded:
    """Filled flux and variance with their end values beyond, and a mask that is True there."""
    var = variance(ivar, mask) if ivar.any() else None
    if mask.any():
        flux = fill_linear(flux, mask, wave)
        var = None if var is None else fill_linear(var, mask, wave)
    return (
        _with_ends(flux, margin),
        None if var is None else _with_ends(var, margin),
        np.pad(mask, ((0, 0), (margin, margin)), constant_values=True),
    )


def _with_ends(values: Array, margin: int) -> Array:
    """Rows with their end values repeated on both sides."""
    first = np.repeat(values[:, :1], margin, axis=1)
    last = np.repeat(values[:, -1:], margin, axis=1)
    return np.concatenate([first, values, last], axis=1)


def _interpolated(
    padded: Padded, step: Step, margin: int, kind: Kind
) -> tuple[Array, Array | float, Array]:
    """Flux, inverse variance and mask of the step's rows, each (R, n)."""
    flux, var, mask = padded
    fraction = np.where(step.fraction < TINY, 0, step.fraction).astype(flux.dtype)
    offsets, weights = _taps(fraction, kind)
    at = _reader(step, mask.shape[1], margin)
    new = _weighted(flux, at, offsets, weights)
    ivar: Array | float = 0.0
    if var is not None:
        ivar = inverse(_weighted(var, at, offsets, tuple(w * w for w in weights)))
    return new, ivar, at(mask, 0) | (at(mask, 1) & (fraction > 0))


def _weighted(
    values: Array, at: Reader, offsets: tuple[int, ...], weights: tuple[Array, ...]
) -> Array:
    """Weighted sum of neighbours, (R, n)."""
    out = at(values, offsets[0]) * weights[0]
    for offset, weight in zip(offsets[1:], weights[1:], strict=True):
        out += at(values, offset) * weight
    return out


def _reader(step: Step, width: int, margin: int) -> Reader:
    """How to read padded rows at the step's pixels plus an offset: (R, n)."""
    n = width - 2 * margin
    if isinstance(step.move, int):
        first = margin + step.move
        return lambda values, d: values[step.rows, first + d : first + d + n]
    start = step.rows[:, None] * width + margin
    flat = step.move + (start + np.arange(n))
    return lambda values, d: np.take(values.ravel(), flat + d)


def _taps(t: Array, kind: Kind) -> tuple[tuple[int, ...], tuple[Array, ...]]:
    """Pixels around a point a fraction t beyond pixel 0, and their weights."""
    if kind == "linear":
        return (0, 1), (1 - t, t)
    outer = t * (1 - t) / 6
    first, last = -outer * (2 - t), -outer * (1 + t)
    return (-1, 0, 1, 2), (first, (1 - t * t) * (2 - t) / 2, t * (1 + t) * (2 - t) / 2, last)
