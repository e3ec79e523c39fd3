"""Which pixels are used: selection, masking by wavelength, and clipping of the flux."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from starnet.errors import GridError
from starnet.preprocess._contract import Transform, register
from starnet.preprocess._params import (
    Ranges,
    Unit,
    as_ranges,
    number,
    one_of,
    pixel_ranges,
    pixels_in,
    require,
)
from starnet.spectra import Frame, Medium, Spectra, WavelengthGrid


@register
@dataclass(frozen=True, eq=False)
class SelectPixels(Transform):
    """Keep the pixels of some ranges and drop all others.

    Each range becomes a chip of the result, cut further where a chip of the input ends inside
    it. Pixels of a range that were in no chip stay outside, unless all of the range was.

    Parameters
    ----------
    ranges : sequence of (start, stop)
        Increasing and separate. Pixels ``start <= i < stop``, or wavelengths.
    unit : "pixel" or "angstrom"
    medium : "vacuum" or "air", optional
        What wavelength ranges are given in. Default: as the grid.
    n_pixels : int, optional
        Refuse grids with another number of pixels: pixel ranges mean nothing there.
    """

    ranges: Ranges
    unit: Unit = "pixel"
    medium: Medium | None = None
    n_pixels: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "ranges", as_ranges(self, self.ranges, self.unit))
        require(len(self.ranges) > 0, self, "ranges must hold at least one range", self.ranges)
        one_of(self, self.medium, (None, "vacuum", "air"), "medium")

    def output_grid(self, grid: WavelengthGrid, frame: Frame) -> tuple[WavelengthGrid, Frame]:
        """The selected pixels, one chip for each range."""
        if self.n_pixels is not None and grid.n_pixels != self.n_pixels:
            raise GridError(
                f"These pixel ranges belong to a grid of {self.n_pixels} pixels; received "
                f"{grid.describe()}. Resample to that grid first (preprocess.Resample)."
            )
        found = pixel_ranges(grid, self.ranges, self.unit, self.medium)
        chips: list[tuple[int, int]] = []
        done = 0
        for a, b in found:
            cuts = [(max(a, c), min(b, d)) for c, d in grid.chips if max(a, c) < min(b, d)]
            chips += [(c - a + done, d - a + done) for c, d in cuts or [(a, b)]]
            done += b - a
        if done < 2:
            raise GridError(
                f"{done} pixel is left of the grid ({grid.describe()}) and 2 are needed at least. "
                "Widen the ranges."
            )
        index = np.concatenate([np.arange(a, b) for a, b in found])
        return replace(grid.select(index), chips=tuple(chips)), frame

    def _apply(self, spectra: Spectra, rng: np.random.Generator) -> Spectra:
        grid, _ = self.output_grid(spectra.grid, spectra.frame)
        found = pixel_ranges(spectra.grid, self.ranges, self.unit, self.medium)
        names = ("flux", "ivar", "mask")
        arrays = (
            np.concatenate([getattr(spectra, name)[:, a:b] for a, b in found], axis=1)
            for name in names
        )
        return spectra.replace(grid=grid, **dict(zip(names, arrays, strict=True)))


@register
@dataclass(frozen=True, eq=False)
class MaskPixels(Transform):
    """Mask the pixels of some ranges: telluric bands, sky lines, chip ends.

    Parameters
    ----------
    ranges : sequence of (start, stop)
        Wavelengths in Angstrom, or pixels ``start <= i < stop``. Ranges of wavelengths that the
        grid does not reach are passed over.
    unit : "angstrom" or "pixel"
    medium : "vacuum" or "air", optional
        What wavelength ranges are given in. Default: as the grid.
    """

    ranges: Ranges
    unit: Unit = "angstrom"
    medium: Medium | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "ranges", as_ranges(self, self.ranges, self.unit))
        one_of(self, self.medium, (None, "vacuum", "air"), "medium")

    def output_grid(self, grid: WavelengthGrid, frame: Frame) -> tuple[WavelengthGrid, Frame]:
        """Unchanged; ranges of pixels must lie within the grid."""
        if self.unit == "pixel":
            pixel_ranges(grid, self.ranges, self.unit, self.medium)
        return grid, frame

    def _apply(self, spectra: Spectra, rng: np.random.Generator) -> Spectra:
        try:
            inside = pixels_in(spectra.grid, self.ranges, self.unit, self.medium)
        except GridError:  # no range of wavelengths touches this grid: nothing to mask
            return spectra
        return spectra.replace(mask=spectra.mask | inside)


@register
@dataclass(frozen=True, eq=False)
class ClipFlux(Transform):
    """Limit the flux of good pixels: cosmic rays and sky residuals of normalised spectra.

    Parameters
    ----------
    low, high : float, optional
        In the unit of the flux. At least one is needed.
    action : "mask" or "clip"
        Mask pixels beyond the limits, or set their flux to the limit and keep their errors.
    """

    low: float | None = None
    high: float | None = None
    action: Literal["mask", "clip"] = "mask"

    def __post_init__(self) -> None:
        one_of(self, self.action, ("mask", "clip"), "action")
        given = [
            number(self, v, name)
            for name, v in (("low", self.low), ("high", self.high))
            if v is not None
        ]
        require(bool(given), self, "low or high must be given", (self.low, self.high))
        require(given == sorted(given), self, "low must not exceed high", (self.low, self.high))

    def _apply(self, spectra: Spectra, rng: np.random.Generator) -> Spectra:
        low = -np.inf if self.low is None else self.low
        high = np.inf if self.high is None else self.high
        flux = spectra.flux
        if self.action == "mask":
            return spectra.replace(mask=spectra.mask | (flux < low) | (flux > high))
        return spectra.replace(flux=np.where(spectra.mask, flux, np.clip(flux, low, high)))
