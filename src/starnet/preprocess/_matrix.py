"""Sparse matrices between pixels, applied to batches with variances and masks.

New pixel t takes the weighted mean of the good pixels s that reach it:

    flux_t = sum_s W_ts f_s / sum_s W_ts,   var_t = sum_s W_ts**2 var_s / (sum_s W_ts)**2,

and is masked if the good pixels carry less than ``1 - max_masked`` of its full weight. If any
pixel that contributes has an unknown error, so has the result.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from starnet.preprocess._rows import inverse, row_blocks, variance
from starnet.spectra import Spectra, WavelengthGrid

Array = NDArray[Any]


@dataclass(frozen=True)
class ByValue:
    """A grid that is hashed and compared by its wavelengths, medium and chips: a cache key."""

    grid: WavelengthGrid = field(compare=False)
    digest: bytes = b""

    @classmethod
    def of(cls, grid: WavelengthGrid) -> ByValue:
        """The key of a grid."""
        text = f"{grid.medium} {grid.chips}".encode()
        return cls(grid, hashlib.sha256(grid.wavelength.tobytes() + text).digest())


@dataclass(frozen=True, eq=False)
class PixelMatrix:
    """Weights from P old to Q new pixels, each row scaled so that its full weight is 1."""

    weights: csr_array  # (Q, P)
    squares: csr_array

    @classmethod
    def of(cls, weights: csr_array) -> PixelMatrix:
        """With the squares that variances need."""
        return cls(weights, weights.multiply(weights).tocsr())

    def apply(
        self, spectra: Spectra, max_masked: float, independent: bool = False
    ) -> dict[str, Array]:
        """Flux, ivar and mask (N, Q) of the new pixels.

        With ``independent`` their errors are those with which sums over many pixels come out
        right when the pixels are taken as independent, which they no longer are:

            var_t = sum_s W_ts C_s var_s / sum_s W_ts,   C_s = sum_t W_ts.
        """
        shares = self.squares
        if independent:
            shares = self.weights.multiply(self.weights.sum(axis=0)[None]).tocsr()
        shape = len(spectra), self.weights.shape[0]  # type: ignore[index]
        out = {
            "flux": np.zeros(shape, np.float32),
            "ivar": np.zeros(shape, np.float32),
            "mask": np.ones(shape, bool),
        }
        for rows in row_blocks(len(spectra)):
            flux, ivar, mask = (v[rows] for v in (spectra.flux, spectra.ivar, spectra.mask))
            new = self._block(flux, ivar, mask, max_masked, shares, 1 if independent else 2)
            out["flux"][rows], out["ivar"][rows], out["mask"][rows] = new
        return out

    def _block(
        self,
        flux: Array,
        ivar: Array,
        mask: Array,
        max_masked: float,
        shares: csr_array,
        power: int,
    ) -> tuple[Array, ...]:
        good = np.ascontiguousarray(~mask.T, dtype=float)  # (P, R)
        weight = self.weights @ good
        some = weight > 0
        scale = 1 / np.where(some, weight, 1)
        new = (self.weights @ (flux.T * good)) * scale
        bad = ~some | (weight < 1 - max_masked - 1e-9)
        precision = np.zeros_like(new)
        if ivar.any():
            var = variance(ivar, mask).T.astype(float)
            precision = inverse((shares @ var) * scale**power)
        return new.T, precision.T, bad.T
