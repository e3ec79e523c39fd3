"""Errors of labels beyond those that noise explains, from stars that were held out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
LEVEL = 0.6744897501960817
"""Half of a normal distribution lies within so many standard deviations."""


def excess(misses: Array, noise: Array) -> Array:
    """Scatter (L,) that together with the variance of noise makes half of the misses (N, L)
    smaller than 0.67 sigma, as for a normal distribution; at least 1e-6.
    """
    out = np.empty(misses.shape[1])
    for i, (miss, variance) in enumerate(zip(np.abs(misses).T, noise.T, strict=True)):
        good = np.isfinite(miss) & np.isfinite(variance)
        miss, variance = miss[good], variance[good]
        low, high = 0.0, float(np.max(miss, initial=1e-6)) / LEVEL
        for _ in range(60):
            middle = (low + high) / 2
            few = (
                np.median(miss / np.sqrt(variance + middle**2 + 1e-30)) < LEVEL if miss.size else 0
            )
            low, high = (low, middle) if few else (middle, high)
        out[i] = max(high, 1e-6)
    return out
