"""Coefficients and scatter of every pixel, by maximum likelihood, for many pixels at once.

In a pixel the flux of star n is ``theta . v_n`` with a normal error of variance
``1 / ivar_n + s2`` (Ness et al. 2015, equation 5). At a given s2 the best theta solves normal
equations; at that theta, the slope of the log-likelihood by s2 is also the slope of its maximum
over theta. So each round solves for theta and takes one Newton step in s2, kept in a bracket.

Without regularisation and with few terms all this is done in C where there is a compiler
(`starnet.baselines.cannon._compiled`), else in numpy, by the same steps.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.baselines._gram import Gram, solve
from starnet.baselines._threads import in_threads
from starnet.baselines.cannon._compiled import fit_compiled, pixels_serve
from starnet.baselines.cannon.lasso import descend

Array = NDArray[Any]
TOGETHER = 2**17
"""Numbers (stars times pixels) that are worked on at once: they stay in the processor's cache."""
WIDE = 2**22
"""Numbers in the matrices of pixels that are worked on at once."""
ROUNDS = 40
ENOUGH, ROUGH = 1e-3, 3e-2
"""A pixel is done when s2 moves by less than this part of its own error; in single precision, where
only s2 is taken on."""
FEW = 400
"""About as many stars give the first guess of s2."""


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
    n_terms = design.shape[1]
    if strength == 0 and pixels_serve(flux, ivar, n_terms):
        coefficients, scatter2 = fit_compiled(
            flux, ivar, design, allowed, enough=ENOUGH, rounds=ROUNDS
        )
    else:
        coefficients, scatter2 = fit_in_parts(flux, ivar, design, allowed, strength)
    needed = (n_terms if allowed is None else allowed.sum(axis=1)) if strength == 0 else 1
    short = np.count_nonzero(ivar > 0, axis=0) <= needed
    coefficients[short], scatter2[short] = 0.0, np.inf
    return Pixels(coefficients, scatter2)


def fit_in_parts(
    flux: Array, ivar: Array, design: Array, allowed: Array | None, strength: float
) -> tuple[Array, Array]:
    """Coefficients (P, T) and s2 (P,) of all pixels, many at a time; as `fit_pixels` takes them."""
    n_pixels, n_terms = flux.shape[1], design.shape[1]
    coefficients, scatter2 = np.zeros((n_pixels, n_terms)), np.full(n_pixels, np.inf)
    rough = Basis(design, np.float32) if strength == 0 else None
    exact, plane = Basis(design, np.float64), Plane.of(design)
    step = max(8, min(TOGETHER // len(design), WIDE // n_terms**2))

    def fit(start: int) -> None:
        part = slice(start, start + step)
        held = None if allowed is None else ~allowed[part]
        own, known = np.ascontiguousarray(flux[:, part].T), np.ascontiguousarray(ivar[:, part].T)
        good = known > 0
        middle = own.sum(axis=1, where=good, keepdims=True)
        middle /= np.maximum(good.sum(axis=1, keepdims=True), 1)
        s2 = first_scatter(own - middle, known, plane)
        if rough is not None:
            _, s2 = fit_chunk(own - middle, known, rough, held, 0.0, s2)
        coefficients[part], scatter2[part] = fit_chunk(own, known, exact, held, strength, s2)

    in_threads(fit, range(0, n_pixels, step))
    return coefficients, scatter2


class Basis:
    """The terms of the stars (N, T) in one precision, and their normal equations."""

    def __init__(self, design: Array, dtype: Any) -> None:
        self.design = design.astype(dtype)
        self.rows = np.ascontiguousarray(self.design.T)
        self.gram = Gram(self.design)
        self.enough = ENOUGH if dtype == np.float64 else ROUGH
        self._own = threading.local()

    def work(self, n_pixels: int) -> tuple[Array, Array]:
        """Two arrays (n_pixels, N) to write in, the same again and again: fresh memory is slow.

        Each thread has its own.
        """
        room = getattr(self._own, "room", None)
        if room is None or room.shape[1] < n_pixels:
            room = np.empty((2, n_pixels, len(self.design)), self.design.dtype)
            self._own.room = room
        return room[0, :n_pixels], room[1, :n_pixels]


@dataclass(frozen=True, eq=False)
class Plane:
    """Projection of a few stars' fluxes on their terms, all alike in weight."""

    some: slice
    project: Array

    @classmethod
    def of(cls, design: Array) -> Plane:
        """Of every so many stars."""
        some = slice(None, None, max(1, len(design) // FEW))
        few = design[some]
        left, size, _ = np.linalg.svd(few, full_matrices=False)
        left = left[:, size > 1e-6 * size[0]][:, : len(few) // 2]
        return cls(some, (left @ left.T).astype(np.float32))


def first_scatter(flux: Array, ivar: Array, plane: Plane) -> Array:
    """s2 (M,) to begin with, from a few of the stars and an unweighted fit."""
    ivar = ivar[:, plane.some].astype(np.float32)
    good = ivar > 0
    own = np.where(good, flux[:, plane.some], 0.0).astype(np.float32)
    residual = own - own @ plane.project
    count = np.maximum(good.sum(axis=1), 1)
    s2 = (np.sum(residual**2, axis=1, where=good) / count).astype(np.float32)
    weights, work = np.empty_like(ivar), np.empty_like(ivar)
    for _ in range(3):
        whole(ivar, s2, out=weights)
        s2 = np.maximum(s2 - newton(*slopes(weights, residual, out=work))[0], 0.0)
    return s2


def fit_chunk(
    flux: Array, ivar: Array, basis: Basis, held: Array | None, strength: float, s2: Array
) -> tuple[Array, Array]:
    """Coefficients (M, T) and s2 (M,) of some pixels, in the precision of the basis.

    Pixels that are done leave when they are half of those that are left.
    """
    dtype = basis.design.dtype
    s2, todo = s2.astype(dtype), np.arange(len(flux))
    theta = np.zeros((len(flux), basis.design.shape[1]), dtype)
    low, high = np.zeros_like(s2), np.full_like(s2, np.inf)
    for _ in range(ROUNDS):
        here = s2[todo]
        weights, work = basis.work(len(todo))
        whole(ivar, here, out=weights)
        theta[todo] = solve_chunk(weights, flux, work, basis, held, strength, theta[todo])
        residual = np.matmul(theta[todo], basis.rows, out=work)
        np.subtract(flux, residual, out=residual)
        slope, bend, error = slopes(weights, residual, out=work)
        step, limit = newton(slope, bend, error)
        low[todo] = np.where(slope < 0, here, low[todo])
        high[todo] = np.where(slope > 0, here, high[todo])
        new = np.maximum(here - step, 0.0)
        outside = (new < low[todo]) | (new > high[todo])
        middle = 0.5 * (low[todo] + np.minimum(high[todo], here + limit))
        new = np.where(outside, middle, new)
        still = np.abs(new - here) > basis.enough * error
        s2[todo] = new
        if not still.any():
            break
        if 2 * np.count_nonzero(still) < len(still):
            flux, ivar, todo = flux[still], ivar[still], todo[still]
            held = None if held is None else held[still]
    return theta, s2


def whole(ivar: Array, s2: Array, out: Array) -> Array:
    """Inverse of the whole variance, (M, N)."""
    np.multiply(ivar, s2[:, None], out=out)
    out += 1
    return np.divide(ivar, out, out=out)


def solve_chunk(
    weights: Array,
    flux: Array,
    work: Array,
    basis: Basis,
    held: Array | None,
    strength: float,
    theta: Array,
) -> Array:
    """Coefficients (M, T) of least squares with weights, from those of the round before."""
    matrix = basis.gram(weights)
    right = np.multiply(weights, flux, out=work) @ basis.design
    if held is not None:
        matrix[held] = 0.0
        matrix.transpose(0, 2, 1)[held] = 0.0
        right[held] = 0.0
    if strength > 0:
        return descend(matrix, right, theta, strength)
    return solve(matrix, right)


def newton(slope: Array, bend: Array, error: Array) -> tuple[Array, Array]:
    """The step in s2 that is subtracted, and an upper limit of its size.

    By the expected second derivative when it is longer than the error of s2, for far from the
    minimum the true one shortens steps; else by the true one.
    """
    scoring = slope * error**2
    near = (np.abs(scoring) < error) & (bend > 0)
    step = np.where(near, slope / np.where(near, bend, 1.0), scoring)
    return step, 4 * np.abs(scoring) + error


def slopes(weights: Array, residual: Array, out: Array) -> tuple[Array, Array, Array]:
    """First and second derivative of -log L by s2, and the expected error of s2, each (M,)."""
    pull = np.multiply(weights, residual, out=out)
    pull *= pull
    ones = np.ones(weights.shape[1], weights.dtype)
    slope = 0.5 * (weights @ ones - pull @ ones)
    expected = np.maximum(0.5 * np.vecdot(weights, weights), np.finfo(np.float32).tiny)
    bend = np.vecdot(weights, pull) - expected
    return slope, bend, expected**-0.5
