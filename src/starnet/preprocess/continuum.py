"""Continuum by fits: an asymmetric sigma-clipped spline, and a polynomial on continuum pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.errors import GridError
from starnet.preprocess._contract import Transform, register
from starnet.preprocess._fit import Basis, polynomial_basis, spline_basis
from starnet.preprocess._params import (
    Ranges,
    Unit,
    as_ranges,
    integer,
    number,
    one_of,
    pixels_in,
    require,
)
from starnet.preprocess._rows import divided, fit_weights, row_blocks
from starnet.spectra import Frame, Medium, Spectra, WavelengthGrid

Array = NDArray[Any]


@register
@dataclass(frozen=True, eq=False)
class SplineContinuum(Transform):
    """Division by a cubic spline that is fitted to each chip and drawn up to the continuum.

    After each least-squares fit, pixels whose weighted residual lies more than ``lower`` rms
    below or ``upper`` rms above the fit are left out of the next one; all good pixels are looked
    at anew each time. A small ``lower`` with a large ``upper`` throws out absorption lines and
    so follows the upper envelope, as IRAF's ``continuum`` does with ``low_rej`` and ``high_rej``.
    The result is masked where the spline is zero or negative, and in chips with fewer than four
    good pixels. The error of the continuum is not added to that of the flux.

    Parameters
    ----------
    spacing : float, optional
        Distance of knots in Angstrom (rounded so that they divide the chip evenly).
    intervals : int, optional
        Number of equal knot intervals in each chip. One of the two is given; 10 if neither is.
        No more than half as many intervals as pixels are used.
    lower, upper : float
        Clipping limits in units of the rms residual.
    iterations : int
        Number of clippings; 0 for a plain fit.
    weighted : bool
        Weigh pixels by inverse variance in rows where all errors are known.
    """

    spacing: float | None = None
    intervals: int | None = None
    lower: float = 1.5
    upper: float = 3.0
    iterations: int = 5
    weighted: bool = True

    def __post_init__(self) -> None:
        both = self.spacing is not None and self.intervals is not None
        require(not both, self, "give spacing or intervals, not both", self.intervals)
        if self.spacing is not None:
            number(self, self.spacing, "spacing", 0)
        else:
            given = 10 if self.intervals is None else self.intervals
            object.__setattr__(self, "intervals", integer(self, given, "intervals", 1))
        number(self, self.lower, "lower", 0)
        number(self, self.upper, "upper", 0)
        integer(self, self.iterations, "iterations", 0)

    def _basis(self, wavelength: Array) -> Basis:
        intervals = self.intervals
        if self.spacing is not None:
            intervals = max(1, round((wavelength[-1] - wavelength[0]) / self.spacing))
        return spline_basis(wavelength.tobytes(), intervals or 1)

    def _apply(self, spectra: Spectra, rng: np.random.Generator) -> Spectra:
        continuum = np.full(spectra.flux.shape, np.nan, dtype=np.float32)
        for a, b in spectra.grid.chips:
            basis = self._basis(spectra.grid.wavelength[a:b])
            for rows in row_blocks(len(spectra)):
                parts = (v[rows, a:b] for v in (spectra.flux, spectra.ivar, spectra.mask))
                continuum[rows, a:b] = self._clipped(basis, *parts).T
        return divided(spectra, continuum)

    def _clipped(self, basis: Basis, flux: Array, ivar: Array, mask: Array) -> Array:
        """Continuum of one chip, pixels first (n, N)."""
        weights = np.ascontiguousarray(fit_weights(ivar, mask, self.weighted).T)
        flux = np.ascontiguousarray(flux.T, dtype=float)
        root = np.sqrt(weights)
        keep = weights
        curve = basis(basis.fit(flux, keep))
        for _ in range(self.iterations):
            residual = (flux - curve) * root
            kept = keep > 0
            count = np.maximum(np.count_nonzero(kept, axis=0), 1)
            rms = np.sqrt(np.sum(np.square(residual, where=kept, out=0 * residual), axis=0) / count)
            inside = (residual >= -self.lower * rms) & (residual <= self.upper * rms)
            enough = np.count_nonzero(inside & (weights > 0), axis=0) >= basis.overlap
            keep = weights * (inside | ~enough)
            curve = basis(basis.fit(flux, keep))
        return curve


@register
@dataclass(frozen=True, eq=False)
class PolynomialContinuum(Transform):
    """Division by a polynomial that is fitted to given continuum pixels of each chip.

    Weighted least squares on Chebyshev polynomials, as The Cannon normalises spectra (Ness et
    al. 2015, ApJ 808, 16, section 2.3). The result is masked where the polynomial is zero or
    negative, and in chips with no more good continuum pixels than ``order``.

    Parameters
    ----------
    ranges : sequence of (start, stop), optional
        Where the continuum is; every pixel if neither ranges nor pixels are given.
    pixels : sequence of int or array of bool, optional
        The continuum pixels one by one.
    order : int
        Order of the polynomial; 2 is The Cannon's.
    unit : "angstrom" or "pixel"
        Of ``ranges``.
    medium : "vacuum" or "air", optional
        What wavelength ranges are given in. Default: as the grid.
    weighted : bool
        Weigh pixels by inverse variance in rows where all errors are known.
    """

    ranges: Ranges | None = None
    pixels: Sequence[int] | Array | None = None
    order: int = 2
    unit: Unit = "angstrom"
    medium: Medium | None = None
    weighted: bool = True

    def __post_init__(self) -> None:
        integer(self, self.order, "order", 0)
        one_of(self, self.medium, (None, "vacuum", "air"), "medium")
        both = self.ranges is not None and self.pixels is not None
        require(not both, self, "give ranges or pixels, not both", self.ranges)
        if self.ranges is not None:
            object.__setattr__(self, "ranges", as_ranges(self, self.ranges, self.unit))
        if self.pixels is not None:
            index = np.asarray(self.pixels)
            index = np.flatnonzero(index) if index.dtype == bool else np.unique(index)
            fine = index.size > 0 and index.dtype.kind in "iu" and index[0] >= 0
            require(fine, self, "pixels must be indices or an array of bool", self.pixels)
            object.__setattr__(self, "pixels", tuple(index.tolist()))

    def output_grid(self, grid: WavelengthGrid, frame: Frame) -> tuple[WavelengthGrid, Frame]:
        """Unchanged; the continuum pixels must lie within the grid."""
        self._continuum_pixels(grid)
        return grid, frame

    def _continuum_pixels(self, grid: WavelengthGrid) -> Array:
        if self.ranges is not None:
            return pixels_in(grid, self.ranges, self.unit, self.medium)
        chosen = np.ones(grid.n_pixels, dtype=bool)
        if self.pixels is not None:
            if self.pixels[-1] >= grid.n_pixels:
                raise GridError(
                    f"Continuum pixel {self.pixels[-1]} is not on the grid ({grid.describe()}). "
                    "These continuum pixels are for another grid; resample to it first, or give "
                    "ranges in Angstrom."
                )
            chosen = np.isin(np.arange(grid.n_pixels), self.pixels)
        return chosen

    def _apply(self, spectra: Spectra, rng: np.random.Generator) -> Spectra:
        chosen = self._continuum_pixels(spectra.grid)
        continuum = np.full(spectra.flux.shape, np.nan, dtype=np.float32)
        for a, b in spectra.grid.chips:
            basis = polynomial_basis(spectra.grid.wavelength[a:b].tobytes(), self.order)
            for rows in row_blocks(len(spectra)):
                mask = spectra.mask[rows, a:b] | ~chosen[a:b]
                weights = fit_weights(spectra.ivar[rows, a:b], mask, self.weighted)
                flux = spectra.flux[rows, a:b].T.astype(float)
                continuum[rows, a:b] = basis(basis.fit(flux, weights.T)).T
        return divided(spectra, continuum)
