"""Lines in emission: flux above continuum and model where stars, nebulae and galaxies have lines.

Bad pixels that no mask tells of come in runs, and in low-resolution spectra a run is as long as
a line is wide. It lies anywhere, though, and emission does not: so what is no longer than a run
counts only at the wavelength of a line that is known in emission.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import percentile_filter, uniform_filter1d

from starnet.spectra import WavelengthGrid, vacuum_to_air
from starnet.synthesis.constants import RYDBERG

Array = NDArray[Any]
LIGHT = 299792.458  # km/s
WIDTH, HEIGHT, SIGMA = 150.0, 0.10, 8.0
"""km/s over which emission is averaged, and its least height over the continuum and its noise."""
RUN, NARROWEST = 36, 7
"""Least pixels to average over, anywhere and at known lines. Three fifths of them must be high,
and of runs of bad pixels, 4 long in the mean (`starnet.synthesis.observe.effects.BadPixels`), one
in 400 has so many as three fifths of `RUN`."""
REACH = 200.0
"""km/s about a known line."""
WEAK, CERTAIN, FEWEST = 0.02, 5.0, 3
"""Height, sigma and least pixels of emission at the first two Balmer lines, the strongest ones."""
BALMER = ((2, 3), (2, 4))
SERIES = {2: 9, 3: 14, 4: 20}
"""Lower levels of hydrogen, and the last upper one."""
OTHERS = (
    3934.77, 3969.59, 8500.35, 8544.44, 8664.52,  # Ca II
    5877.25, 6679.99,  # He I
    4960.30, 5008.24,  # [O III]
    6549.86, 6585.27,  # [N II]
    6718.29, 6732.67,  # [S II]
)  # fmt: skip
"""Vacuum Angstrom, as SDSS tabulates them."""


@dataclass(frozen=True, eq=False)
class Over:
    """Spectra over continuum and their models (N, P), noise variance, and pixels that are good."""

    flux: Array
    model: Array
    noise: Array
    good: Array

    @property
    def excess(self) -> Array:
        """Flux above the higher of continuum and model, 0 at pixels that are not good."""
        return np.where(self.good, self.flux - np.maximum(self.model, 1.0), 0.0)

    def cut(self, a: int, b: int) -> Over:
        """Pixels a to b."""
        parts = (part[:, a:b] for part in (self.flux, self.model, self.noise, self.good))
        return Over(*parts)


def emission(spectra: Over, grid: WavelengthGrid) -> Array:
    """Highest running mean above continuum and model that is significant, (N,), 0 for none."""
    pixels = round(WIDTH / pixel_width(grid))
    anywhere = np.ones(grid.n_pixels, dtype=bool)
    height = _strong(spectra, max(RUN, pixels), anywhere)
    if pixels < RUN:
        near = near_lines(grid)
        height = np.maximum(height, _strong(spectra, max(NARROWEST, pixels), near))
    for centre in _pixels_of(_vacuum(BALMER), grid):
        height = np.maximum(height, _weak(spectra, centre, max(FEWEST, pixels)))
    return height


def pixel_width(grid: WavelengthGrid) -> float:
    """Median width of a pixel in km/s."""
    return float(LIGHT * np.median(np.diff(np.log(grid.wavelength))))


def near_lines(grid: WavelengthGrid) -> NDArray[np.bool_]:
    """Pixels (P,) within `REACH` of a line that is known in emission."""
    levels = tuple((n, m) for n, last in SERIES.items() for m in range(n + 1, last + 1))
    lines = _in_medium((*_vacuum(levels), *OTHERS), grid)
    wave = grid.wavelength
    gap = np.abs(np.log(wave[:, None] / lines)) * LIGHT
    return np.any(gap < REACH, axis=1)


def _strong(spectra: Over, width: int, where: NDArray[np.bool_]) -> Array:
    """Highest mean over ``width`` pixels that most of them share, (N,)."""
    over = spectra.excess
    mean, sigma, share = _means(over, spectra, width)
    there = where & (share > 0.6) & (mean > HEIGHT) & (mean > SIGMA * sigma)
    for row in np.flatnonzero(there.any(axis=1)):  # lines of the sky are narrow: no median has them
        middle = percentile_filter(over[row], 40, size=width, mode="constant")
        mean[row] = np.minimum(mean[row], middle)
        there[row] &= middle > HEIGHT
    return np.max(np.where(there, mean, 0.0), axis=1, initial=0.0)


def _weak(spectra: Over, centre: int, width: int) -> Array:
    """Highest mean over ``width`` pixels about one, over its surroundings, (N,)."""
    some = spectra.cut(max(centre - 10 * width, 0), centre + 10 * width + 1)
    at = centre - max(centre - 10 * width, 0)
    rest = np.where(some.good, some.flux - some.model, np.nan)
    rest[:, max(at - 2 * width, 0) : at + 2 * width + 1] = np.nan
    enough = np.isfinite(rest).sum(axis=1) > 2 * width
    level = np.zeros(len(rest))
    level[enough] = np.maximum(np.nanmedian(rest[enough], axis=1), 0.0)
    mean, sigma, share = _means(some.excess, some, width)
    mean -= level[:, None]
    there = enough[:, None] & (share > 0.9) & (mean > WEAK) & (mean > CERTAIN * sigma)
    half = slice(max(at - width // 2, 0), at + width // 2 + 1)
    return np.max(np.where(there, mean, 0.0)[:, half], axis=1, initial=0.0)


def _means(over: Array, spectra: Over, width: int) -> tuple[Array, Array, Array]:
    """Running means (N, P) over good pixels, their noise, and the share of good pixels."""
    good = spectra.good

    def running(values: Array) -> Array:
        return uniform_filter1d(values, width, axis=1, mode="constant")

    share = running(good.astype(np.float32))
    safe = np.maximum(share, 0.1)
    noise = running(np.where(good, np.nan_to_num(spectra.noise), 0.0))
    sigma = np.sqrt(np.maximum(noise, 0) / width) / safe
    return running(over) / safe, sigma, share


def _vacuum(levels: tuple[tuple[int, int], ...]) -> tuple[float, ...]:
    return tuple(1e8 / RYDBERG / (n**-2.0 - m**-2.0) for n, m in levels)


def _in_medium(lines: tuple[float, ...], grid: WavelengthGrid) -> Array:
    wave = np.array(lines)
    return wave if grid.medium == "vacuum" else np.asarray(vacuum_to_air(wave))


@lru_cache(maxsize=8)
def _pixels_of(lines: tuple[float, ...], grid: WavelengthGrid) -> tuple[int, ...]:
    """The pixel nearest to each line that lies on a grid."""
    wave = grid.wavelength
    known = _in_medium(lines, grid)
    inside = known[(known > wave[0]) & (known < wave[-1])]
    return tuple(int(np.argmin(np.abs(wave - line))) for line in inside)
