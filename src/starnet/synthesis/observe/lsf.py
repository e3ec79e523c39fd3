"""From a fine grid to the pixels of an instrument through its line-spread function.

The line spread at a pixel of wavelength w_t is a Gauss-Hermite series (van der Marel & Franx 1993,
ApJ 407, 525): with y = (w - w_t) / sigma_t,

    L(y) = exp(-y^2 / 2) [1 + h3 (2 sqrt2 y^3 - 3 sqrt2 y) / sqrt6
                            + h4 (4 y^4 - 12 y^2 + 3) / sqrt24],

normalised to unit sum. It is the line spread of the recorded spectrum, the pixel's own width
included, as surveys measure it; so the flux of a pixel is the fine spectrum weighted with L around
the pixel's centre. With h3 the centroid of a line moves by about sqrt3 h3 sigma.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from starnet.errors import GridError
from starnet.spectra import LineSpread, WavelengthGrid

Array = NDArray[Any]
FWHM = 2.0 * np.sqrt(2.0 * np.log(2.0))  # of a Gaussian, in units of sigma
REACH = 6.0  # sigma
FINE = 0.8  # fine pixels to a sigma, below which sampled weights lose their width


def gauss_hermite(y: ArrayLike, h3: ArrayLike = 0.0, h4: ArrayLike = 0.0) -> Array:
    """The profile L(y), not normalised."""
    y = np.asarray(y, dtype=float)
    third = (2 * y**2 - 3) * y / np.sqrt(3)
    fourth = (4 * y**4 - 12 * y**2 + 3) / np.sqrt(24)
    return np.exp(-0.5 * y**2) * (1 + np.asarray(h3) * third + np.asarray(h4) * fourth)


@dataclass(frozen=True)
class Projection:
    """What a matrix depends on: both grids, the shape of the line spread, its scale in width."""

    source: WavelengthGrid = field(compare=False)
    target: WavelengthGrid = field(compare=False)
    h3: Array = field(compare=False)  # (Q,)
    h4: Array = field(compare=False)  # (Q,)
    digest: bytes
    width: float = 1.0

    @classmethod
    def of(
        cls, source: WavelengthGrid, target: WavelengthGrid, h3: ArrayLike, h4: ArrayLike
    ) -> Projection:
        """With the digest that makes it a cache key; both grids in one medium."""
        shape = np.broadcast_to(h3, target.n_pixels), np.broadcast_to(h4, target.n_pixels)
        digest = sha256(repr((source.chips, target.chips, source.lsf is None)).encode())
        widths = [g.lsf.fwhm_at(g.wavelength) if g.lsf else np.zeros(1) for g in (source, target)]
        for part in (source.wavelength, target.wavelength, *widths, *shape):
            digest.update(np.ascontiguousarray(part).tobytes())
        return cls(source, target, *shape, digest=digest.digest())


@lru_cache(maxsize=32)
def projection_matrix(key: Projection) -> csr_array:
    """Weights (Q, P) from P fine pixels to Q pixels of the instrument; rows outside chips empty.

    Raises
    ------
    GridError
        If a pixel in a chip is not covered by the fine grid, the fine spectra are broader than
        the line spread, or the fine pixels are too wide to sample it.
    """
    target = key.target
    served = _served(key)
    sigma = _kernel_sigma(key)
    rows, columns, values = [], [], []
    for (a, b), pixels in zip(key.source.chips, served, strict=True):
        row, column, value = _weights(key, key.source.wavelength[a:b], sigma[pixels], pixels)
        rows.append(pixels[row])
        columns.append(column + a)
        values.append(value)
    parts = tuple(np.concatenate(part) for part in (values, rows, columns))
    shape = target.n_pixels, key.source.n_pixels
    return csr_array((parts[0], (parts[1], parts[2])), shape=shape)


def _kernel_sigma(key: Projection) -> Array:
    """Standard deviation (Angstrom) of the kernel that is still wanted at each pixel, (Q,)."""
    wave = key.target.wavelength
    assert isinstance(key.target.lsf, LineSpread)  # instruments have one
    want = key.target.lsf.fwhm_at(wave) * key.width
    have = np.zeros_like(want)
    if key.source.lsf is not None:
        own = key.source.lsf.fwhm_at(key.source.wavelength)
        have = np.interp(wave, key.source.wavelength, own)
    worst = int(np.argmax(have / want))
    if have[worst] >= want[worst]:
        raise GridError(
            f"The clean spectra are broader than the instrument: at {wave[worst]:.1f} A their FWHM "
            f"is {have[worst]:.4f} A and {want[worst]:.4f} A is wanted. Start from spectra of "
            "higher resolution."
        )
    sigma = np.sqrt(want**2 - have**2) / FWHM
    fine = np.interp(wave, key.source.wavelength, _steps(key.source))
    worst = int(np.argmax(fine / sigma))
    if sigma[worst] < FINE * fine[worst]:
        raise GridError(
            f"The fine grid is too coarse: at {wave[worst]:.1f} A its pixels are "
            f"{fine[worst]:.4f} A wide and the kernel's FWHM of {sigma[worst] * FWHM:.4f} A needs "
            f"at most {sigma[worst] / FINE:.4f} A. Compute on finer pixels."
        )
    return sigma


def _served(key: Projection) -> list[Array]:
    """The instrument's pixels that each chip of the fine grid gives its flux to."""
    target, todo = key.target.wavelength, in_chips(key.target)
    served = []
    for a, b in key.source.chips:
        wave = key.source.wavelength[a:b]
        pixels = np.flatnonzero(todo & (target >= wave[0]) & (target <= wave[-1]))
        todo[pixels] = False
        served.append(pixels)
    if todo.any():
        left = target[todo]
        raise GridError(
            f"The clean spectra ({key.source.describe()}) do not cover {left.size} pixels of the "
            f"instrument, from {left[0]:.1f} to {left[-1]:.1f} A. Compute them over "
            "Instrument.coverage(), or narrow the instrument with Instrument.cut(start, stop)."
        )
    return served


def _weights(
    key: Projection, wave: Array, sigma: Array, pixels: Array
) -> tuple[Array, Array, Array]:
    """Row (within ``pixels``), column and weight of every pair within reach, in one fine chip."""
    at = key.target.wavelength[pixels]
    low = np.searchsorted(wave, at - REACH * sigma)
    high = np.searchsorted(wave, at + REACH * sigma, side="right")
    count = high - low
    row = np.repeat(np.arange(at.size), count)
    column = np.arange(row.size) - np.repeat(np.cumsum(count) - count, count) + low[row]
    y = (wave[column] - at[row]) / sigma[row]
    value = gauss_hermite(y, key.h3[pixels][row], key.h4[pixels][row]) * _spacing(wave)[column]
    total = np.bincount(row, value, minlength=at.size)
    return row, column, value / total[row]


def _steps(grid: WavelengthGrid) -> Array:
    """Width of each pixel (P,), of which gaps between chips are no part."""
    steps = np.gradient(grid.wavelength)
    for a, b in grid.chips:
        steps[a:b] = _spacing(grid.wavelength[a:b])
    return steps


def _spacing(wave: Array) -> Array:
    return np.gradient(wave) if wave.size > 1 else np.ones(1)


def in_chips(grid: WavelengthGrid) -> Array:
    """Whether each pixel belongs to a chip, shape (P,)."""
    inside = np.zeros(grid.n_pixels, dtype=bool)
    for a, b in grid.chips:
        inside[a:b] = True
    return inside
