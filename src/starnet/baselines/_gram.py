"""Normal equations of many weighted least-squares problems that share one basis."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
WIDEST = 2**23
"""Numbers in a block of products: 64 MB."""
RIDGE = {"float32": 1e-6, "float64": 1e-12}
"""Of the diagonal, added so that terms which the data do not tell apart do no harm."""


class Gram:
    """Makes ``basis^T diag(w) basis`` for many rows of weights by products of matrices.

    Parameters
    ----------
    basis : array (N, T)
    widest : int
        Numbers in a block of products; a single block is kept between calls.
    """

    def __init__(self, basis: Array, widest: int = WIDEST) -> None:
        self.basis = np.ascontiguousarray(basis)
        first, second = np.triu_indices(basis.shape[1])
        step = max(1, widest // len(basis))
        cuts = range(0, len(first), step)
        self._blocks = [(first[i : i + step], second[i : i + step]) for i in cuts]
        self._kept = self._products(0) if len(self._blocks) == 1 else None

    def __call__(self, weights: Array) -> Array:
        """(M, N) -> (M, T, T)."""
        size = self.basis.shape[1]
        out = np.empty((len(weights), size, size), self.basis.dtype)
        for i, (first, second) in enumerate(self._blocks):
            products = self._products(i) if self._kept is None else self._kept
            block = weights @ products
            out[:, first, second] = block
            out[:, second, first] = block
        return out

    def _products(self, i: int) -> Array:
        first, second = self._blocks[i]
        return self.basis[:, first] * self.basis[:, second]


def solve(matrix: Array, right: Array) -> Array:
    """Solutions (M, T) of (M, T, T) with right sides (M, T); terms without weight are 0."""
    diagonal = np.diagonal(matrix, axis1=1, axis2=2)
    unit = np.where(diagonal > 0, diagonal, np.inf) ** -0.5
    scaled = matrix * unit[:, :, None] * unit[:, None, :]
    size = np.arange(matrix.shape[1])
    scaled[:, size, size] = 1.0 + RIDGE[matrix.dtype.name]
    return unit * np.linalg.solve(scaled, (unit * right)[..., None])[..., 0]
