"""What stands at masked pixels, for networks that must be given some number there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from starnet.preprocess._contract import Transform, register
from starnet.preprocess._params import number
from starnet.preprocess._rows import fill_linear, masked_quantile, row_blocks
from starnet.spectra import Spectra


@register
@dataclass(frozen=True, eq=False)
class InterpolateMasked(Transform):
    """Fill masked pixels from the good pixels on both sides, within their chip.

    Linear in wavelength; beyond the last good pixel of a chip its value goes on. Chips without a
    good pixel are left as they are. The pixels stay masked, with inverse variance 0: only the
    number that a network sees is changed.
    """

    def _apply(self, spectra: Spectra, rng: np.random.Generator) -> Spectra:
        flux = np.array(spectra.flux)
        for rows in row_blocks(len(spectra)):
            for a, b in spectra.grid.chips:
                block = spectra.flux[rows, a:b], spectra.mask[rows, a:b]
                flux[rows, a:b] = fill_linear(*block, spectra.grid.wavelength[a:b])
        return spectra.replace(flux=flux)


@register
@dataclass(frozen=True, eq=False)
class FillMasked(Transform):
    """Set the flux of masked pixels to one value; they stay masked.

    Parameters
    ----------
    value : float or "median"
        1 suits normalised spectra. "median" is that of the good pixels of the chip; where a chip
        has none, and outside chips, that of the spectrum; 0 where there is none either.
    """

    value: float | Literal["median"] = 1.0

    def __post_init__(self) -> None:
        if self.value != "median":
            object.__setattr__(self, "value", number(self, self.value, "value (or 'median')"))

    def _apply(self, spectra: Spectra, rng: np.random.Generator) -> Spectra:
        if self.value != "median":
            fill = np.float32(self.value)
            return spectra.replace(flux=np.where(spectra.mask, fill, spectra.flux))
        flux = np.array(spectra.flux)
        for rows in row_blocks(len(spectra)):
            level = np.nan_to_num(masked_quantile(spectra.flux[rows], spectra.mask[rows], 0.5))
            fill = np.repeat(level[:, None], spectra.n_pixels, axis=1)
            for a, b in spectra.grid.chips:
                own = masked_quantile(spectra.flux[rows, a:b], spectra.mask[rows, a:b], 0.5)
                fill[:, a:b] = np.where(np.isnan(own), level, own)[:, None]
            flux[rows] = np.where(spectra.mask[rows], fill, spectra.flux[rows])
        return spectra.replace(flux=flux)
