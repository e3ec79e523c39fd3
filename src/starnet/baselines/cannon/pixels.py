"""Coefficients and scatter of every pixel, by maximum likelihood, for many pixels at once.

In a pixel the flux of star n is ``theta . v_n`` with a normal error of variance
``1 / ivar_n + s2`` (Ness et al. 2015, equation 5). At a given s2 the best theta solves normal
equations; at that theta, the slope of the log-likelihood by s2 is also the slope of its maximum
over theta. So each round solves for theta and takes one Newton step in s2, kept in a bracket.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.baselines.cannon.gram import Gram, solve
from starnet.baselines.cannon.lasso import descend

Array = NDArray[Any]
TOGETHER = 2**17
"""Numbers (stars times pixels) that are worked on at once: they stay in the processor's cache."""
WIDE = 2**22
"""Numbers in the matrices of pixels that are worked on at once."""
ROUNDS = 60
ENOUGH = 1e-5
"""A pixel is done when s2 would move by less than this part of its own error."""


@dataclass(frozen=True, eq=False)
class Pixels:
    """What was learnt in P pixels.

    Attributes
    ----------
    coefficients : array (P, T)
    scatter2 : array (P,)
        Intrinsic variance s2 in squared units of flux; infinite where too few stars have a good
        pixel, so that the pixel has no weight.
    """

    coefficients: Array
    scatter2: Array


def fit_pixels(
    flux: Array,
    ivar: Array,
    design: Array,
    *,
    allowed: Array | None = None,
    strength: float = 0.0,
) -> Pixels:
    """Learn all pixels.

    Parameters
    ----------
    flux, ivar : array (N, P)
        Inverse variance 0 where a pixel tells nothing.
    design : array (N, T)
        The terms of the stars' labels, 1 first.
    allowed : array (P, T), optional
        Terms that may act in each pixel; the others are 0.
    strength : float
        Minus twice the log-likelihood is raised by this times the sum of ``|theta|``, but for the
        first (Casey et al. 2016).
    """
    n_pixels, n_terms = flux.shape[1], design.shape[1]
    gram = Gram(design)
    coefficients, scatter2 = np.zeros((n_pixels, n_terms)), np.full(n_pixels, np.inf)
    step = max(8, min(TOGETHER // len(design), WIDE // n_terms**2))
    for start in range(0, n_pixels, step):
        part = slice(start, start + step)
        held = None if allowed is None else ~allowed[part]
        known = ivar[:, part].T.astype(float)
        chunk = Chunk(flux[:, part].T.astype(float), known, gram, held, strength)
        coefficients[part], scatter2[part] = chunk.fit()
    needed = (n_terms if allowed is None else allowed.sum(axis=1)) if strength == 0 else 1
    short = np.count_nonzero(ivar > 0, axis=0) <= needed
    coefficients[short], scatter2[short] = 0.0, np.inf
    return Pixels(coefficients, scatter2)


class Chunk:
    """Some pixels, (M, N): flux and inverse variance by pixel and star."""

    def __init__(
        self, flux: Array, ivar: Array, gram: Gram, held: Array | None, strength: float
    ) -> None:
        self.flux, self.ivar, self.gram = flux, ivar, gram
        self.held, self.strength = held, strength
        self.theta = np.zeros((len(flux), gram.basis.shape[1]))

    def fit(self) -> tuple[Array, Array]:
        """Coefficients (M, T) and s2 (M,)."""
        s2 = self.first()
        low, high = np.zeros_like(s2), np.full_like(s2, np.inf)
        for _ in range(ROUNDS):
            weights = self.weights(s2)
            residual = self.solve(weights)
            slope, bend, error = slopes(weights, residual)
            low = np.where(slope < 0, s2, low)
            high = np.where(slope > 0, s2, high)
            bound = (s2 == 0) & (slope >= 0)
            new = np.maximum(s2 - slope / bend, 0.0)
            outside = (new < low) | (new > high)
            new = np.where(outside, 0.5 * (low + np.minimum(high, 4 * low + error)), new)
            still = ~bound & (np.abs(new - s2) > ENOUGH * error)
            if not still.any():
                break
            s2 = np.where(still, new, s2)
        return self.theta, s2

    def weights(self, s2: Array) -> Array:
        """Inverse of the whole variance, (M, N)."""
        weights = self.ivar * s2[:, None]
        weights += 1.0
        return np.divide(self.ivar, weights, out=weights)

    def first(self) -> Array:
        """s2 (M,) from what an unweighted fit leaves; with a price, from the spread of the flux."""
        good = (self.ivar > 0).astype(float)
        count = np.maximum(good.sum(axis=1), 1.0)
        if self.strength > 0:
            residual = self.flux - (np.sum(good * self.flux, axis=1) / count)[:, None]
        else:
            residual = self.solve(good)
        noise = np.sum(1.0 / np.where(self.ivar > 0, self.ivar, np.inf), axis=1)
        return np.maximum(np.sum(good * residual**2, axis=1) - noise, 0.0) / count

    def solve(self, weights: Array) -> Array:
        """Sets the coefficients; gives the residuals (M, N)."""
        matrix = self.gram(weights)
        right = (weights * self.flux) @ self.gram.basis
        if self.held is not None:
            matrix[self.held] = 0.0
            matrix.transpose(0, 2, 1)[self.held] = 0.0
            right[self.held] = 0.0
        if self.strength > 0:
            self.theta = descend(matrix, right, self.theta, self.strength)
        else:
            self.theta = solve(matrix, right)
        residual = self.theta @ self.gram.basis.T
        return np.subtract(self.flux, residual, out=residual)


def slopes(weights: Array, residual: Array) -> tuple[Array, Array, Array]:
    """First and second derivative of -log L by s2, and the error of s2, each (M,).

    Where the curve bends the wrong way the second derivative is its expectation.
    """
    pull = weights * residual
    pull *= pull
    slope = 0.5 * (weights.sum(axis=1) - pull.sum(axis=1))
    expected = 0.5 * np.einsum("mn,mn->m", weights, weights)
    bend = np.einsum("mn,mn->m", weights, pull) - expected
    tiny = np.finfo(float).tiny
    expected = np.maximum(expected, tiny)
    return slope, np.where(bend > 0.1 * expected, bend, expected), expected**-0.5
