"""A continuum for each chip, given the spectrum over continuum: a weighted linear fit."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.spectra import WavelengthGrid

Array = NDArray[Any]
PER_RANGE = 18
"""Terms of the polynomial for each unit of log wavelength, beyond the first five."""


def n_terms(grid: WavelengthGrid, chip: tuple[int, int]) -> int:
    """Chebyshev polynomials of a chip: 6 for a chip of APOGEE, some 20 for the whole optical."""
    wave = grid.wavelength[chip[0] : chip[1]]
    wanted = 5 + round(PER_RANGE * float(np.log(wave[-1] / wave[0])))
    return max(1, min(wanted, wave.size // 40))


def continuum(
    grid: WavelengthGrid,
    flux: Array,
    used: Array,
    model: Array,
    weight: Array | None,
) -> Array:
    """Continuum (N, P) with which a model over continuum comes nearest to the flux.

    Parameters
    ----------
    grid : WavelengthGrid
        Of P pixels; each chip has a polynomial of its own.
    flux, used, model : array (N, P)
    weight : array (N, P), optional
        Of the flux over continuum; by default even over all pixels that are used.

    Returns
    -------
    array (N, P)
        Zero outside chips and where a chip has too few pixels.
    """
    out = np.zeros(flux.shape, dtype=np.float32)
    for a, b in grid.chips:
        terms = n_terms(grid, (a, b))
        basis, products, pairs = _chebyshev(b - a, terms)
        good = used[:, a:b]
        some = good.sum(axis=1) > 3 * terms
        if not some.any():
            continue
        w = (
            good.astype(np.float32)
            if weight is None
            else np.where(good, weight[:, a:b], np.float32(0))
        )
        peak = np.maximum(w.max(axis=1, keepdims=True), 1e-30)
        scale = _scale(flux[:, a:b], good)
        weighted = w / peak * model[:, a:b]
        matrix = np.zeros((len(flux), terms, terms))
        upper = (weighted * model[:, a:b]) @ products
        matrix[:, pairs[0], pairs[1]] = matrix[:, pairs[1], pairs[0]] = upper
        trace = np.trace(matrix, axis1=1, axis2=2)[:, None, None]
        matrix += np.eye(terms) * (1e-7 * trace + 1e-12)
        right = (weighted * (flux[:, a:b] / scale)) @ basis
        found = np.linalg.solve(matrix, right[..., None])[..., 0].astype(np.float32) @ basis.T
        out[some, a:b] = (found * scale)[some]
    return out


def _scale(flux: Array, good: Array) -> Array:
    """A typical flux of each row, (N, 1), so that numbers are of order one."""
    level = np.sum(np.abs(flux), axis=1, where=good) / np.maximum(good.sum(axis=1), 1)
    return np.where(level > 0, level, 1.0)[:, None]


@lru_cache(maxsize=32)
def _chebyshev(n: int, terms: int) -> tuple[Array, Array, tuple[Array, Array]]:
    """Polynomials (n, K), their products by pairs (n, K (K + 1) / 2), and the pairs."""
    basis = np.polynomial.chebyshev.chebvander(np.linspace(-1, 1, n), terms - 1)
    pairs = np.triu_indices(terms)
    products = basis[:, pairs[0]] * basis[:, pairs[1]]
    return basis.astype(np.float32), products.astype(np.float32), pairs
