"""Continuum by a running quantile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.preprocess._contract import Transform, register
from starnet.preprocess._params import Unit, integer, number, one_of, require
from starnet.preprocess._rows import divided, fill_linear, masked_quantile, row_blocks
from starnet.spectra import Spectra

Array = NDArray[Any]


@register
@dataclass(frozen=True, eq=False)
class RunningQuantile(Transform):
    """Division by a quantile of the good pixels in a window that runs along each chip.

    The quantile is taken at nodes, several to a window, and is linear between them. Windows are
    cut at chip ends. A node whose window has fewer than a tenth of its pixels good is bridged
    from its neighbours; a chip without any usable node is masked.

    Parameters
    ----------
    window : float
        Full width.
    quantile : float
        0.5 is a running median; 0.9 or more follows the upper envelope.
    unit : "angstrom" or "pixel"
    nodes : int
        Nodes to a window.
    """

    window: float = 100.0
    quantile: float = 0.9
    unit: Unit = "angstrom"
    nodes: int = 4

    def __post_init__(self) -> None:
        number(self, self.window, "window", 0)
        number(self, self.quantile, "quantile")
        require(0 <= self.quantile <= 1, self, "quantile must be from 0 to 1", self.quantile)
        one_of(self, self.unit, ("angstrom", "pixel"), "unit")
        integer(self, self.nodes, "nodes", 1)

    def _apply(self, spectra: Spectra, rng: np.random.Generator) -> Spectra:
        continuum = np.full(spectra.flux.shape, np.nan, dtype=np.float32)
        for a, b in spectra.grid.chips:
            x = np.arange(b - a, dtype=float)
            x = spectra.grid.wavelength[a:b] if self.unit == "angstrom" else x
            for rows in row_blocks(len(spectra)):
                block = spectra.flux[rows, a:b], spectra.mask[rows, a:b]
                continuum[rows, a:b] = self._running(*block, x)
        return divided(spectra, continuum)

    def _running(self, flux: Array, mask: Array, x: Array) -> Array:
        """Continuum (N, n) of one chip."""
        n_nodes = int(np.ceil((x[-1] - x[0]) * self.nodes / self.window)) + 1
        at = np.linspace(x[0], x[-1], min(n_nodes, x.size))
        first = np.searchsorted(x, at - self.window / 2)
        last = np.searchsorted(x, at + self.window / 2, side="right")
        last = np.maximum(last, first + 1)
        value = np.empty((flux.shape[0], at.size))
        for k, (i, j) in enumerate(zip(first, last, strict=True)):
            value[:, k] = masked_quantile(flux[:, i:j], mask[:, i:j], self.quantile)
            few = np.count_nonzero(~mask[:, i:j], axis=1) < 0.1 * (j - i)
            value[few, k] = np.nan
        value = fill_linear(value, np.isnan(value), at)
        if at.size == 1:
            return np.repeat(value, x.size, axis=1)
        left = np.clip(np.searchsorted(at, x, side="right") - 1, 0, at.size - 2)
        fraction = (x - at[left]) / (at[left + 1] - at[left])
        return value[:, left] * (1 - fraction) + value[:, left + 1] * fraction
