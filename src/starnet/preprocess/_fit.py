"""Weighted least squares of many spectra at once on one small set of basis functions.

For weights w and basis functions B_i the normal equations of one spectrum are

    sum_j (sum_p w_p B_i(p) B_j(p) + e D_ij) c_j = sum_p w_p B_i(p) y_p .

The products B_i B_j do not depend on the spectrum, so the left side of all spectra is one matrix
product of stored products and weights; The Cannon fits its continuum this way. Splines keep only
the products of functions that overlap. D is the sum of squared second differences of the
coefficients (Eilers & Marx 1996, Statistical Science 11, 89): with a tiny e it changes nothing
where there are data and continues smoothly where all pixels are masked.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray
from scipy.interpolate import BSpline
from scipy.sparse import csr_array, hstack

Array = NDArray[Any]
RIDGE = 1e-10  # of the mean diagonal: keeps nearly singular equations solvable
PENALTY = 1e-7  # of the mean diagonal, for splines


@dataclass(frozen=True, eq=False)
class Basis:
    """K functions on n pixels.

    Parameters
    ----------
    values : sparse (n, K)
    overlap : int
        Functions i and j share pixels only if ``|i - j| < overlap``.
    penalty : float
        Strength e of the second-difference penalty, relative to the mean diagonal.
    """

    values: csr_array
    transposed: csr_array  # (K, n)
    products: csr_array  # (K + K - 1 + ..., n)
    overlap: int
    penalty: float

    @property
    def size(self) -> int:
        """Number of functions K."""
        return self.values.shape[1]  # type: ignore[index]

    def fit(self, flux: Array, weights: Array) -> Array:
        """Coefficients (K, N) of pixels-first flux and weights (n, N).

        Spectra with fewer weighted pixels than ``overlap`` get NaN.
        """
        size, n = self.size, flux.shape[1]
        bands = np.asarray(self.products @ weights)
        matrix = np.zeros((n, size, size))
        start = 0
        for offset in range(self.overlap):
            i = np.arange(size - offset)
            band = bands[start : start + i.size].T
            matrix[:, i, i + offset] = band
            matrix[:, i + offset, i] = band
            start += i.size
        few = np.count_nonzero(weights, axis=0) < self.overlap
        scale = np.where(few, 1, np.trace(matrix, axis1=1, axis2=2) / size)
        matrix += scale[:, None, None] * (self.penalty * _roughness(size) + RIDGE * np.eye(size))
        matrix[few] = np.eye(size)
        right = np.asarray(self.transposed @ (weights * flux)).T
        solved = np.linalg.solve(matrix, right[:, :, None])[:, :, 0]
        solved[few] = np.nan
        return solved.T

    def __call__(self, coefficients: Array) -> Array:
        """Values (n, N) of coefficients (K, N)."""
        return self.values @ coefficients


def _basis(values: Any, overlap: int, penalty: float) -> Basis:
    size = values.shape[1]
    products = [values[:, : size - d].multiply(values[:, d:]) for d in range(overlap)]
    stacked = csr_array(hstack(products).T)
    return Basis(csr_array(values), csr_array(values.T), stacked, overlap, penalty)


@lru_cache(maxsize=64)
def spline_basis(x: bytes, intervals: int) -> Basis:
    """Cubic B-splines on equal intervals over the range of n points (float64 as bytes)."""
    points = np.frombuffer(x)
    degree = min(3, points.size - 1)
    intervals = max(1, min(intervals, points.size // 2 - degree))
    inner = np.linspace(points[0], points[-1], intervals + 1)
    knots = np.concatenate([[inner[0]] * degree, inner, [inner[-1]] * degree])
    values = csr_array(BSpline.design_matrix(points, knots, degree))
    return _basis(values, degree + 1, PENALTY)


@lru_cache(maxsize=64)
def polynomial_basis(x: bytes, order: int) -> Basis:
    """Chebyshev polynomials up to an order over the range of n points (float64 as bytes)."""
    points = np.frombuffer(x)
    order = min(order, points.size - 1)
    half = max(0.5 * (points[-1] - points[0]), 1e-300)
    scaled = (points - points[0]) / half - 1.0
    return _basis(csr_array(chebyshev.chebvander(scaled, order)), order + 1, 0.0)


def _roughness(size: int) -> Array:
    """Second-difference penalty matrix (K, K)."""
    if size < 3:
        return np.zeros((size, size))
    second = np.diff(np.eye(size), n=2, axis=0)
    return second.T @ second
