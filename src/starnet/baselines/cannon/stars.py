"""Labels of many stars at once from learnt pixels, with covariances.

With weights W, chi-square is a quadratic form of the terms v of the labels:
``f W f - 2 b v + v G v`` with ``b = theta^T W f`` and ``G = theta^T W theta``. Both are made once a
star by products of matrices, and after that no step looks at pixels again: many steps from many
starts cost next to nothing. Both are in C where there is a compiler
(`starnet.baselines.cannon._compiled`), else in numpy, by the same steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.baselines._gram import Gram
from starnet.baselines._threads import in_threads
from starnet.baselines.cannon._compiled import descend_compiled, forms_compiled, stars_serve
from starnet.baselines.cannon.pixels import Pixels
from starnet.baselines.cannon.terms import Terms

Array = NDArray[Any]
TOGETHER = 2**16
"""Numbers (stars times pixels) that are worked on at once."""
WIDE = 2**21
"""Numbers (stars times squared terms) that are worked on at once."""
ROUNDS = 100
ENOUGH = 1e-5
"""A star is done when its labels would move by less than this part of their errors."""
FEW = 40
"""Terms, up to which single precision tells them apart: it is twice as fast."""
SURELY = 1e-3
"""So short a step is taken, whatever rounding says of chi-square."""


@dataclass(frozen=True, eq=False)
class Solved:
    """Best labels of N stars.

    Attributes
    ----------
    x : array (N, L)
        Scaled labels, NaN where there is no solution.
    covariance : array (N, L, L)
        Of the scaled labels: the inverse of ``J^T W J``.
    chi2 : array (N,)
    pixels : array (N,)
        How many pixels had weight.
    converged, at_edge : array (N,)
        Whether the steps have ended, and whether a label lies at the edge of what is allowed.
    """

    x: Array
    covariance: Array
    chi2: Array
    pixels: Array
    converged: Array
    at_edge: Array


def solve_stars(
    flux: Array,
    ivar: Array,
    pixels: Pixels,
    terms: Terms,
    *,
    bounds: Array,
    points: Array,
    starts: int,
) -> Solved:
    """Fit every star.

    Parameters
    ----------
    flux, ivar : array (N, P)
    pixels, terms
        As learnt.
    bounds : array (L, 2)
        Smallest and largest scaled labels that are allowed.
    points : array (K, L)
        Scaled labels where fits may begin.
    starts : int
        At how many points a star begins: the first, and those of least chi-square.
    """
    fast = stars_serve(flux, ivar, len(terms), bounds.shape[0])
    made = _compiled_forms(pixels, bounds.shape[0]) if fast else _forms(pixels)
    group = max(1, WIDE // len(terms) ** 2)
    parts = []
    for first in range(0, max(1, len(flux)), group):
        rows = slice(first, first + group)
        forms = made(flux[rows], ivar[rows])
        parts.append(_solve(forms, terms, bounds, points, starts, fast))
    return Solved(*(np.concatenate(column) for column in zip(*parts, strict=True)))


@dataclass(frozen=True, eq=False)
class Forms:
    """Chi-square of M stars as quadratic forms of the terms."""

    matrix: Array  # G (M, T, T)
    right: Array  # b (M, T)
    constant: Array  # (M,)
    pixels: Array  # (M,)

    @classmethod
    def less_pivot(cls, matrix: Array, right: Array, constant: Array, pixels: Array) -> Forms:
        """From sums of fluxes less those at the pivot."""
        constant = constant + 2 * right[:, 0] + matrix[:, 0, 0]  # back to fluxes as they are
        return cls(matrix, right + matrix[:, :, 0], constant, pixels)

    def take(self, rows: Array) -> Forms:
        """Some of the stars, or some more than once."""
        return Forms(self.matrix[rows], self.right[rows], self.constant[rows], self.pixels[rows])

    def chi2(self, values: Array) -> Array:
        """Of one set of terms (M, T) for each star."""
        twice = np.einsum("mts,ms->mt", self.matrix, values) - 2 * self.right
        return self.constant + np.einsum("mt,mt->m", twice, values)

    def chi2_at(self, values: Array) -> Array:
        """(M, K) of all stars at K points (K, T); the constant is left out."""
        size = values.shape[1]
        products = (values[:, :, None] * values[:, None, :]).reshape(len(values), -1)
        flat = self.matrix.reshape(len(self.matrix), size * size)
        return flat @ products.T - 2 * self.right @ values.T


def _precision(n_terms: int) -> Any:
    return np.float32 if n_terms <= FEW else np.float64


def _compiled_forms(pixels: Pixels, n_labels: int) -> Callable[[Array, Array], Forms]:
    """What makes forms of spectra (M, P), in C."""
    used = np.isfinite(pixels.scatter2)
    dtype = _precision(pixels.coefficients.shape[1])
    theta = np.ascontiguousarray(np.where(used[:, None], pixels.coefficients, 0.0), dtype)
    scatter2 = np.where(used, pixels.scatter2, 0.0).astype(dtype)

    def made(flux: Array, ivar: Array) -> Forms:
        return Forms.less_pivot(*forms_compiled(flux, ivar, used, scatter2, theta, n_labels))

    return made


def _forms(pixels: Pixels) -> Callable[[Array, Array], Forms]:
    """What makes forms of spectra (M, P), by products of matrices in the basis' precision."""
    used = np.isfinite(pixels.scatter2)
    which: Any = slice(None) if used.all() else np.flatnonzero(used)
    dtype = _precision(pixels.coefficients.shape[1])
    scatter2 = pixels.scatter2[used].astype(dtype)
    gram = Gram(pixels.coefficients[used].astype(dtype))
    size, pivot = gram.basis.shape[1], gram.basis[:, 0].copy()
    step = max(8, TOGETHER // max(1, len(scatter2)))

    def made(flux: Array, ivar: Array) -> Forms:
        n = len(flux)
        matrix, right = np.empty((n, size, size)), np.empty((n, size))
        constant, count = np.empty(n), np.empty(n, int)

        def sums(first: int) -> None:
            rows = slice(first, min(first + step, n))
            own, known = (a[rows, which].astype(dtype) for a in (flux, ivar))
            own -= pivot
            count[rows] = np.count_nonzero(known, axis=1)
            weights = known * scatter2
            weights += 1.0
            np.divide(known, weights, out=weights)
            pull = np.multiply(weights, own, out=known)
            matrix[rows], right[rows] = gram(weights), pull @ gram.basis
            constant[rows] = np.vecdot(pull, own)

        in_threads(sums, range(0, n, step))
        return Forms.less_pivot(matrix, right, constant, count)

    return made


def _solve(
    forms: Forms, terms: Terms, bounds: Array, points: Array, starts: int, fast: bool
) -> tuple[Array, ...]:
    n, n_labels = len(forms.right), points.shape[1]
    rank = forms.chi2_at(terms.values(points))
    chosen = np.concatenate([np.zeros((n, 1), int), _least(rank[:, 1:], starts - 1) + 1], axis=1)
    x, chi2, done = (_descend_fast if fast else _descend)(forms, terms, points[chosen], bounds)
    at = (np.arange(n), np.argmin(np.where(done, chi2, np.inf), axis=1))
    x, chi2, done = x[at], chi2[at], done[at]
    slopes = terms.slopes(x)
    curvature = slopes.transpose(0, 2, 1) @ forms.matrix @ slopes  # (n, L, L)
    covariance, regular = _inverse(curvature)
    enough = (forms.pixels > n_labels) & regular
    x = np.where((done & enough)[:, None], x, np.nan)
    edge = np.any((x <= bounds[:, 0]) | (x >= bounds[:, 1]), axis=1)
    return x, covariance, chi2, forms.pixels, done & enough, edge


def _least(rank: Array, count: int) -> Array:
    """Columns (M, count) of the least values of each row (M, K), the least first."""
    if count < rank.shape[1]:
        few = np.sort(np.argpartition(rank, count, axis=1)[:, :count], axis=1)
    else:
        few = np.broadcast_to(np.arange(rank.shape[1]), rank.shape)
    order = np.argsort(np.take_along_axis(rank, few, axis=1), axis=1, kind="stable")
    return np.take_along_axis(few, order, axis=1)


def _inverse(matrix: Array) -> tuple[Array, Array]:
    """Inverses of (M, L, L), NaN where there is none, and where there is one."""
    diagonal = np.diagonal(matrix, axis1=1, axis2=2)
    good = np.all(np.isfinite(matrix), axis=(1, 2)) & np.all(diagonal > 0, axis=1)
    out = np.full_like(matrix, np.nan)
    unit = diagonal[good] ** -0.5
    outer = unit[:, :, None] * unit[:, None, :]
    value, vector = np.linalg.eigh(matrix[good] * outer)
    regular = value[:, 0] > 1e-12
    inverse = (vector / np.where(value > 0, value, np.nan)[:, None, :]) @ vector.transpose(0, 2, 1)
    out[good] = np.where(regular[:, None, None], inverse * outer, np.nan)
    good[good] = regular
    return out, good


def _descend_fast(
    forms: Forms, terms: Terms, x: Array, bounds: Array
) -> tuple[Array, Array, Array]:
    """What `_descend` does, in C."""
    return descend_compiled(
        forms.matrix, forms.right, forms.constant, terms, x, bounds,
        rounds=ROUNDS, surely=SURELY, enough=ENOUGH,
    )  # fmt: skip


def _descend(forms: Forms, terms: Terms, x: Array, bounds: Array) -> tuple[Array, Array, Array]:
    """Levenberg and Marquardt's steps from (M, S, L), held within bounds: labels, chi2, done."""
    shape = x.shape[:2]
    forms = forms.take(np.repeat(np.arange(shape[0]), shape[1]))
    x, chi2, done = _steps(forms, terms, x.reshape(-1, x.shape[2]), bounds)
    return x.reshape(*shape, -1), chi2.reshape(shape), done.reshape(shape)


def _steps(forms: Forms, terms: Terms, x: Array, bounds: Array) -> tuple[Array, Array, Array]:
    """The steps of each form from one point (M, L)."""
    x = np.clip(x, bounds[:, 0], bounds[:, 1])
    chi2, done = forms.chi2(terms.values(x)), np.zeros(len(x), bool)
    damping, todo = np.full(len(x), 1e-3), np.arange(len(x))
    for _ in range(ROUNDS):
        own, here = forms.take(todo), x[todo]
        step, size = _step(own, terms, here, damping[todo], bounds)
        close, sure = size < SURELY**2, size < ENOUGH**2
        there = np.clip(here + step, bounds[:, 0], bounds[:, 1])
        new = own.chi2(terms.values(there))
        better = (new <= chi2[todo]) | close
        x[todo] = np.where(better[:, None], there, here)
        chi2[todo] = np.where(better, new, chi2[todo])
        damping[todo] = np.maximum(damping[todo] * np.where(better, 0.1, 10.0), 1e-9)
        ended = sure & np.isfinite(new)
        done[todo] = ended
        todo = todo[~ended & (damping[todo] < 1e12)]
        if not todo.size:
            break
    return x, chi2, done


def _step(
    forms: Forms, terms: Terms, x: Array, damping: Array, bounds: Array
) -> tuple[Array, Array]:
    """A damped step (M, L), and the square of its length in errors of the labels, undamped.

    A label at the edge that would leave is held.
    """
    values, slopes = terms.values(x), terms.slopes(x)
    pull = forms.right - np.einsum("mts,ms->mt", forms.matrix, values)
    downhill = np.einsum("mtl,mt->ml", slopes, pull)
    curvature = slopes.transpose(0, 2, 1) @ forms.matrix @ slopes
    held = ((x <= bounds[:, 0]) & (downhill < 0)) | ((x >= bounds[:, 1]) & (downhill > 0))
    downhill = np.where(held, 0.0, downhill)
    curvature = np.where(held[:, :, None] | held[:, None, :], 0.0, curvature)
    at = np.arange(x.shape[1])
    diagonal = curvature[:, at, at]
    diagonal = np.where(diagonal > 0, diagonal, 1.0)
    curvature[:, at, at] = diagonal * (1 + damping[:, None])
    step = np.linalg.solve(curvature, downhill[..., None])[..., 0]
    return step, np.abs(np.einsum("ml,ml->m", step, downhill)) * (1 + damping)
