"""Matching the line spread: convolution to a lower resolution."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.special import ive

from starnet.errors import GridError
from starnet.preprocess._contract import Transform, register
from starnet.preprocess._matrix import ByValue, PixelMatrix
from starnet.preprocess._params import number, require
from starnet.preprocess._rows import chip_edges
from starnet.spectra import Frame, LineSpread, Spectra, WavelengthGrid

Array = NDArray[Any]
FWHM = 2.0 * np.sqrt(2.0 * np.log(2.0))  # of a Gaussian, in units of sigma
SLACK = 1e-3  # relative difference of widths that counts as equal


@register
@dataclass(frozen=True, eq=False)
class MatchLSF(Transform):
    """Convolution with a Gaussian that brings spectra to a given line spread.

    Its width at each pixel is the difference in squares of the width wanted and the width that
    ``grid.lsf`` has there, FWHM_kernel**2 = FWHM_target**2 - FWHM_grid**2. The kernel is cut at
    chip ends and at masked pixels, and normalised by what is left; a pixel is masked if it was,
    or if masked pixels hold more than ``max_masked`` of its kernel. Variances are added with the
    squared weights; the noise of neighbouring pixels is correlated afterwards, so that the
    inverse variances then describe single pixels, and sums over many of them underestimate.

    Kernels narrower than a pixel are the discrete Gaussian exp(-v) I_n(v) (Lindeberg 1990, IEEE
    PAMI 12, 234), whose variance is exactly v pixels**2; wider ones are sampled.

    Parameters
    ----------
    resolution : float, optional
        Resolving power wavelength / FWHM of the result.
    fwhm : float, optional
        Full width at half maximum of the result in Angstrom. Exactly one of the two is given.
    max_masked : float
        From 0 to below 1.

    Raises
    ------
    GridError
        If the grid has no line spread, or is broader than the target anywhere.
    """

    resolution: float | None = None
    fwhm: float | None = None
    max_masked: float = 0.5

    def __post_init__(self) -> None:
        one = (self.resolution is None) != (self.fwhm is None)
        require(one, self, "give either resolution or fwhm", (self.resolution, self.fwhm))
        name = "fwhm" if self.resolution is None else "resolution"
        number(self, getattr(self, name), name, 0)
        require(0 <= self.max_masked < 1, self, "max_masked must be in [0, 1)", self.max_masked)

    @property
    def _target(self) -> LineSpread:
        return LineSpread(resolution=self.resolution, fwhm=self.fwhm)

    def output_grid(self, grid: WavelengthGrid, frame: Frame) -> tuple[WavelengthGrid, Frame]:
        """The same pixels with the new line spread."""
        self._kernel_sigma(grid)
        return replace(grid, lsf=self._target), frame

    def _kernel_sigma(self, grid: WavelengthGrid) -> Array:
        """Standard deviation of the kernel at each pixel in Angstrom, shape (P,)."""
        if grid.lsf is None:
            raise GridError(
                f"The grid ({grid.describe()}) has no line spread, and without it no kernel can "
                "be found. If you know it, set it with dataclasses.replace(grid, "
                "lsf=LineSpread(resolution=...)) and spectra.replace(grid=...)."
            )
        have = grid.lsf.fwhm_at(grid.wavelength)
        want = self._target.fwhm_at(grid.wavelength)
        worst = int(np.argmax(have / want))
        if have[worst] > want[worst] * (1 + SLACK):
            raise GridError(
                f"Convolution can only lower the resolution: at {grid.wavelength[worst]:.1f} A the "
                f"spectra have FWHM {have[worst]:.3f} A and {want[worst]:.3f} A is asked for. "
                "Choose a lower resolution."
            )
        square = np.where(have < want * (1 - SLACK), want**2 - have**2, 0.0)
        return np.sqrt(np.maximum(square, 0.0)) / FWHM

    def _apply(self, spectra: Spectra, rng: np.random.Generator) -> Spectra:
        sigma = self._kernel_sigma(spectra.grid)
        matrix = _kernels(ByValue.of(spectra.grid), sigma.tobytes())
        out = matrix.apply(spectra, self.max_masked)
        out["mask"] |= spectra.mask
        grid = replace(spectra.grid, lsf=self._target)
        return spectra.replace(grid=grid, **out)


@lru_cache(maxsize=16)
def _kernels(key: ByValue, sigma_bytes: bytes) -> PixelMatrix:
    """Kernel of each pixel (P, P), each normalised within its chip; none outside chips."""
    grid = key.grid
    sigma = np.frombuffer(sigma_bytes)
    parts = [_chip_kernels(grid.wavelength[a:b], sigma[a:b], a) for a, b in grid.chips]
    value, row, column = (np.concatenate(part) for part in zip(*parts, strict=True))
    shape = grid.n_pixels, grid.n_pixels
    return PixelMatrix.of(csr_array(coo_array((value, (row, column)), shape=shape)))


def _chip_kernels(wave: Array, sigma: Array, start: int) -> tuple[Array, Array, Array]:
    """Weights, rows and columns of one chip whose first pixel is ``start``."""
    n = wave.size
    width = np.diff(chip_edges(wave))
    in_pixels = sigma / width
    reach = np.ceil(5 * in_pixels + 3 * (in_pixels > 0)).astype(int)
    values, rows, columns = [], [], []
    for offset in range(-min(int(reach.max()), n - 1), min(int(reach.max()), n - 1) + 1):
        row = np.arange(max(0, -offset), min(n, n - offset))
        row = row[reach[row] >= abs(offset)]
        column = row + offset
        safe = np.where(sigma[row] > 0, sigma[row], 1.0)
        wide = np.exp(-0.5 * ((wave[column] - wave[row]) / safe) ** 2)
        wide *= width[column] / (safe * np.sqrt(2 * np.pi))
        narrow = ive(abs(offset), in_pixels[row] ** 2)
        values.append(np.where(in_pixels[row] < 1, narrow, wide))
        rows.append(row)
        columns.append(column)
    value, row, column = (np.concatenate(part) for part in (values, rows, columns))
    total = np.bincount(row, value, minlength=n)
    return value / total[row], row + start, column + start
