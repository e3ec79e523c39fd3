"""Flux-conserving resampling to another grid, with variance and mask."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

from starnet.errors import GridError
from starnet.preprocess._contract import Transform, register
from starnet.preprocess._matrix import ByValue, PixelMatrix
from starnet.preprocess._params import require
from starnet.preprocess._rows import chip_edges
from starnet.spectra import Frame, LineSpread, Spectra, WavelengthGrid

Array = NDArray[Any]
SAME = 0.02  # of a pixel: wavelengths in single precision differ by up to 0.01


@register
@dataclass(frozen=True, eq=False)
class Resample(Transform):
    """The mean flux density over each pixel of another grid, by fractional overlap.

    With overlaps d_ts (Angstrom) of new pixel t with the old pixels s,

        f_t = sum_s d_ts f_s / sum_s d_ts,   var_t = sum_s d_ts**2 var_s / (sum_s d_ts)**2

    (Carnall 2017, arXiv 1705.05165, as in SpectRes and specutils' FluxConservingResampler), where
    the sums run over good pixels only. The integral of the flux over wavelength is conserved.

    A new pixel is masked if more than ``max_masked`` of its width is not covered by good old
    pixels, be it that they are masked, that the old spectrum ends, or that a gap between chips
    lies there. New pixels outside every chip of the new grid are masked. Air and vacuum are
    converted to what the new grid has. If the old grid has the same pixels (within a fiftieth of
    a pixel) the arrays pass unchanged. The line spread stays that of the spectra.

    Parameters
    ----------
    grid : WavelengthGrid
        The new grid.
    max_masked : float
        From 0 (every part of a new pixel must be good) to below 1.
    min_coverage : float
        Fraction of the new grid that the old one must cover. By default any overlap will do, and
        pixels that are not covered are masked.
    independent : bool
        The noise of new pixels is correlated. False: their errors are each pixel's own. True:
        they are those with which sums over many pixels (a line, a band) have the right error when
        pixels are taken as independent, as fits and networks do: with ``C_s = sum_t d_ts / width``,
        ``var_t = sum_s d_ts C_s var_s / sum_s d_ts``.

    Raises
    ------
    GridError
        If the grids do not overlap, or less than ``min_coverage`` is covered.
    """

    grid: WavelengthGrid
    max_masked: float = 0.5
    min_coverage: float = 0.0
    independent: bool = False

    def __post_init__(self) -> None:
        require(isinstance(self.grid, WavelengthGrid), self, "grid must be a grid", self.grid)
        require(0 <= self.max_masked < 1, self, "max_masked must be in [0, 1)", self.max_masked)
        fine = 0 <= self.min_coverage <= 1
        require(fine, self, "min_coverage must be in [0, 1]", self.min_coverage)

    @classmethod
    def _decode(cls, values: dict[str, Any]) -> Resample:
        return cls(**{**values, "grid": WavelengthGrid.from_dict(values["grid"])})

    def output_grid(self, grid: WavelengthGrid, frame: Frame) -> tuple[WavelengthGrid, Frame]:
        """The new grid, with the line spread of the old one."""
        source = grid.to(self.grid.medium)
        if not source.matches(self.grid, tolerance=SAME):
            self._check(source)
        return replace(self.grid, lsf=_carried(source, self.grid)), frame

    def _check(self, source: WavelengthGrid) -> None:
        covered = _overlaps(ByValue.of(source), ByValue.of(self.grid))[1]
        if covered == 0 or covered < self.min_coverage:
            wanted = f"{max(self.min_coverage, 0):.0%} of it" if covered else "some of it"
            raise GridError(
                f"The spectra ({source.describe()}) cover {covered:.1%} of the grid they should "
                f"come to ({self.grid.describe()}); {wanted} must be covered. Check the unit of "
                "the wavelengths, or choose a grid within the range of the spectra (or a smaller "
                "min_coverage, for pixels without data to be masked)."
            )

    def _apply(self, spectra: Spectra, rng: np.random.Generator) -> Spectra:
        source = spectra.grid.to(self.grid.medium)
        grid, _ = self.output_grid(spectra.grid, spectra.frame)
        if source.matches(self.grid, tolerance=SAME):
            return spectra.replace(grid=grid)
        matrix, _ = _overlaps(ByValue.of(source), ByValue.of(self.grid))
        return spectra.replace(
            grid=grid, **matrix.apply(spectra, self.max_masked, self.independent)
        )


@lru_cache(maxsize=16)
def _overlaps(source: ByValue, target: ByValue) -> tuple[PixelMatrix, float]:
    """Overlap over width of each new pixel (Q, P), and the fraction of the new grid covered."""
    old, new = source.grid, target.grid
    shape = new.n_pixels, old.n_pixels
    matrix = csr_array(shape)
    total = 0.0
    for c, d in new.chips:
        edges = chip_edges(new.wavelength[c:d])
        total += edges[-1] - edges[0]
        for a, b in old.chips:
            pair = _chip_overlaps(chip_edges(old.wavelength[a:b]), edges)
            length, s, t = pair
            matrix = matrix + coo_array((length, (t + c, s + a)), shape=shape).tocsr()
    covered = float(matrix.sum()) / total
    widths = np.ones(new.n_pixels)
    for c, d in new.chips:
        widths[c:d] = np.diff(chip_edges(new.wavelength[c:d]))
    scaled = csr_array(matrix.multiply(1 / widths[:, None]))
    return PixelMatrix.of(scaled), covered


def _chip_overlaps(old: Array, new: Array) -> tuple[Array, Array, Array]:
    """Lengths of the pieces that all edges together cut, with their old and new pixel."""
    low, high = max(old[0], new[0]), min(old[-1], new[-1])
    cuts = np.union1d(old, new)
    cuts = cuts[(cuts >= low) & (cuts <= high)]
    if cuts.size < 2:
        nothing = np.zeros(0)
        return nothing, nothing.astype(int), nothing.astype(int)
    middle = 0.5 * (cuts[1:] + cuts[:-1])
    s = np.clip(np.searchsorted(old, middle, side="right") - 1, 0, old.size - 2)
    t = np.clip(np.searchsorted(new, middle, side="right") - 1, 0, new.size - 2)
    return np.diff(cuts), s, t


def _carried(source: WavelengthGrid, target: WavelengthGrid) -> LineSpread | None:
    """The line spread of the old grid at the new wavelengths."""
    lsf = source.lsf
    if lsf is None or not lsf.per_pixel:
        return lsf
    width = lsf.fwhm_at(source.wavelength)
    at = target.wavelength
    if lsf.resolution is None:
        return LineSpread(fwhm=np.interp(at, source.wavelength, width))
    return LineSpread(resolution=np.interp(at, source.wavelength, source.wavelength / width))
