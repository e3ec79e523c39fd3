"""The continuum of each chip: a factor on the model, a sum of Legendre polynomials.

It is linear in its coefficients, so for any labels the best one is solved for, and what it can
take up is left out of the curvature: the labels' errors include it (variable projection: Golub &
Pereyra 1973, SIAM J. Numer. Anal. 10, 413; Kaufman 1975, BIT 15, 49).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.polynomial import legendre
from numpy.typing import NDArray
from torch import Tensor

from starnet.spectra import WavelengthGrid

Array = NDArray[Any]
RIDGE = 1e-9


@dataclass(frozen=True, eq=False)
class Continuum:
    """Polynomials of ``order`` on the chips of Q pixels; order None is a continuum of 1.

    Attributes
    ----------
    order : int or None
    spans : tuple of (start, stop)
        Of each chip, among the Q pixels; C of them.
    terms : tuple of Tensor (q, order + 1)
        Polynomials of each chip at its pixels.
    """

    order: int | None
    spans: tuple[tuple[int, int], ...]
    terms: tuple[Tensor, ...]

    @classmethod
    def of(cls, grid: WavelengthGrid, pixels: Array, order: int | None) -> Continuum:
        """For some pixels of a grid, which lie in its chips."""
        spans, terms = [], []
        for first, stop in grid.chips:
            span = np.searchsorted(pixels, [first, stop])
            spans.append((int(span[0]), int(span[1])))
            x = 2 * (pixels[span[0] : span[1]] - first) / max(stop - 1 - first, 1) - 1
            terms.append(torch.as_tensor(legendre.legvander(x, order or 0)).float())
        return cls(order, tuple(spans), tuple(terms))

    @property
    def n_terms(self) -> int:
        """Coefficients of a chip."""
        return 0 if self.order is None else self.order + 1

    def solve(self, model: Tensor, flux: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """The best coefficients (B, C, T), in float64, and the continuum (B, Q), for all (B, Q)."""
        if self.order is None:
            return model.new_zeros(len(model), len(self.spans), 0).double(), torch.ones_like(model)
        seen = weights * model
        coefficients, continuum = [], torch.zeros_like(model)
        for (a, b), terms in zip(self.spans, self.terms, strict=True):
            matrix = _normal(seen[:, a:b] * model[:, a:b], terms)
            right = ((seen[:, a:b] * flux[:, a:b]) @ terms).double()
            coefficients.append(torch.linalg.solve(matrix, right))
            continuum[:, a:b] = coefficients[-1].float() @ terms.T
        return torch.stack(coefficients, dim=1), continuum

    def taken(self, model: Tensor, weights: Tensor, columns: Tensor) -> Tensor:
        """What it takes out of the curvature (B, D, D) of columns (B, D, Q), in float64."""
        size = columns.shape[1]
        out = columns.new_zeros(len(columns), size, size, dtype=torch.float64)
        if self.order is None:
            return out
        seen = weights * model
        for (a, b), terms in zip(self.spans, self.terms, strict=True):
            matrix = _normal(seen[:, a:b] * model[:, a:b], terms)
            cross = ((columns[:, :, a:b] * seen[:, None, a:b]) @ terms).double()  # (B, D, T)
            out += cross @ torch.linalg.solve(matrix, cross.mT)
        return out

    def columns(self, model: Tensor) -> Tensor:
        """Its derivatives (C T, Q) for one model (Q,)."""
        out = model.new_zeros(len(self.spans) * self.n_terms, len(model))
        if self.order is None:
            return out
        for i, ((a, b), terms) in enumerate(zip(self.spans, self.terms, strict=True)):
            out[i * self.n_terms : (i + 1) * self.n_terms, a:b] = terms.T * model[a:b]
        return out[(out != 0).any(dim=1)]

    def on(self, coefficients: Array, grid: WavelengthGrid) -> Array:
        """The continuum (N, P) on every pixel of its grid; NaN outside the chips."""
        out = np.full((len(coefficients), grid.n_pixels), np.nan)
        for i, (first, stop) in enumerate(grid.chips):
            out[:, first:stop] = 1.0
            if self.order is not None:
                out[:, first:stop] = coefficients[:, i] @ self.terms[i].double().numpy().T
        return out


def _normal(weights: Tensor, terms: Tensor) -> Tensor:
    """``terms.T diag(w) terms`` (B, T, T) of weights (B, q), in float64, never singular."""
    size = terms.shape[1]
    products = (terms[:, :, None] * terms[:, None, :]).flatten(1)
    matrix = (weights @ products).double().unflatten(1, (size, size))
    trace = matrix.diagonal(dim1=1, dim2=2).sum(1)
    return matrix + (RIDGE * trace + 1e-30)[:, None, None] * torch.eye(size, dtype=torch.float64)
