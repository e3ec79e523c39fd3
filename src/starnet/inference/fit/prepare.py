"""Spectra as a fit takes them: which pixels, in which units, with which weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.errors import DataError, GridError
from starnet.spectra import Spectra
from starnet.synthesis.emulator import Emulator

Array = NDArray[Any]
NORMALISED = (0.3, 2.0)
"""Median flux of spectra that may count as normalised."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """What is known of N spectra before the fit.

    Attributes
    ----------
    spectra : Spectra
    pixels : array (Q,)
        Those that any spectrum has: inside chips, reached by the emulator, not masked.
    scale : array (N,)
        Flux unit of each star in the fit; NaN where there is nothing to fit.
    unknown : array (N,), bool
        Errors unknown at every good pixel: weights are equal and errors come from the residuals.
    n_good : array (N,)
        Pixels that count.
    """

    spectra: Spectra
    pixels: Array
    scale: Array
    unknown: Array
    n_good: Array

    @property
    def usable(self) -> Array:
        """Rows that can be fitted."""
        return np.flatnonzero(np.isfinite(self.scale))

    def take(self, rows: Array) -> tuple[Array, Array]:
        """Flux and weights (B, Q) of some stars, in units of `scale`."""
        at = np.ix_(rows, self.pixels)
        flux, mask = self.spectra.flux[at], self.spectra.mask[at]
        ivar = np.where(self.unknown[rows, None], np.float32(1), self.spectra.ivar[at])
        scale = self.scale[rows, None].astype(np.float32)
        weights = np.where(self.unknown[rows, None], ivar, ivar * scale**2)
        weights = np.where(mask, np.float32(0), weights)
        return flux / scale, np.minimum(weights, np.float32(1e9))


def prepare(emulator: Emulator, spectra: Spectra, order: int | None, n_free: int) -> Prepared:
    """Look at spectra and choose pixels.

    A spectrum some of whose good pixels have errors is fitted on those only. One with fewer
    pixels than twice what is to be fitted, or no positive median flux, is not fitted at all.

    Raises
    ------
    FrameError
        If they are not in the rest frame.
    GridError
        If the emulator reaches none of their pixels.
    DataError
        If there is no continuum to fit and they are not normalised.
    """
    spectra.require(frame="rest")
    grid = spectra.grid
    chip = np.zeros(grid.n_pixels, dtype=bool)
    for first, stop in grid.chips:
        chip[first:stop] = True
    reached = emulator.reaches(grid) & chip
    if not reached.any():
        raise GridError(
            f"The emulator {emulator.title!r} has {emulator.grid.describe()}, and no pixel of "
            f"{grid.describe()}. Take another emulator, or train one (starnet synth, then "
            "starnet train --recipe emulator)."
        )
    good = ~spectra.mask & reached
    known = good & (spectra.ivar > 0)
    unknown = np.asarray(~known.any(axis=1))
    used = np.where(unknown[:, None], good, known)
    count = used.sum(axis=1)
    scale = np.full(len(spectra), np.nan)
    n_terms = 0 if order is None else (order + 1) * len(grid.chips)
    enough = count >= 2 * (n_free + n_terms)
    for row in np.flatnonzero(enough):
        scale[row] = np.median(spectra.flux[row, used[row]])
    scale[~(scale > 0)] = np.nan
    if order is None:
        _check_normalised(scale)
        scale = np.where(np.isfinite(scale), 1.0, np.nan)
    pixels = np.flatnonzero(used[np.isfinite(scale)].any(axis=0))
    return Prepared(spectra, pixels, scale, unknown, count)


def _check_normalised(scale: Array) -> None:
    wrong = (scale < NORMALISED[0]) | (scale > NORMALISED[1])
    if wrong.any():
        raise DataError(
            "Without a continuum to fit the spectra must be normalised; the median flux of "
            f"spectrum {np.flatnonzero(wrong)[0]} is {scale[wrong][0]:.3g} where about 1 is "
            "required. Give continuum_order=4, or normalise them first (preprocess)."
        )
