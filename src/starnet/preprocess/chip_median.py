"""The normalisation of StarNet 2018: each chip over its own median."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from starnet.preprocess._contract import Pipeline, Transform, register
from starnet.preprocess._rows import divided, masked_quantile, row_blocks
from starnet.preprocess.pixels import SelectPixels
from starnet.spectra import Spectra

APSTAR_PIXELS = 8575
APSTAR_CHIPS = ((322, 3242), (3648, 6048), (6412, 8306))
"""Pixels of the apStar grid that Fabbro et al. (2018) kept: 2920 + 2400 + 1894 = 7214."""


@register
@dataclass(frozen=True, eq=False)
class ChipMedian(Transform):
    """Each chip divided by its own median, and its errors by the same median.

    Source: Fabbro et al. (2018, MNRAS 475, 2978), section 3. A chip whose median is not positive,
    or that has no good pixel, is masked; so are pixels outside every chip.

    Parameters
    ----------
    masked_as_zero : bool
        As in 2018: the flux of masked pixels becomes 0, and these zeros enter the median, which
        they pull down. By default masked pixels do not enter it.
    """

    masked_as_zero: bool = False

    def _apply(self, spectra: Spectra, rng: np.random.Generator) -> Spectra:
        if self.masked_as_zero:
            spectra = spectra.replace(flux=np.where(spectra.mask, np.float32(0), spectra.flux))
        continuum = np.zeros(spectra.flux.shape, dtype=np.float32)
        for rows in row_blocks(len(spectra)):
            for a, b in spectra.grid.chips:
                bad = None if self.masked_as_zero else spectra.mask[rows, a:b]
                median = masked_quantile(spectra.flux[rows, a:b], bad, 0.5)
                continuum[rows, a:b] = median[:, None]
        return divided(spectra, continuum)


def Standard2018(*, masked_as_zero: bool = True) -> Pipeline:  # noqa: N802 (used like a transform)
    """The preprocessing of Fabbro et al. (2018) for the 8575-pixel apStar grid.

    Pixels 322:3242, 3648:6048 and 6412:8306 (7214 in all) become the three chips, missing pixels
    become 0, and each chip is divided by its median.

    In 2018 only NaN pixels were missing; flags were not looked at. Read spectra with
    ``mask_bits=()`` to have just that.

    Parameters
    ----------
    masked_as_zero : bool
        As in 2018. False keeps masked pixels out of the medians.
    """
    chips = SelectPixels(APSTAR_CHIPS, n_pixels=APSTAR_PIXELS)
    return Pipeline((chips, ChipMedian(masked_as_zero=masked_as_zero)))
