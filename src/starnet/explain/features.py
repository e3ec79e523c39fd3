"""The strongest features of a map, and the lines they are at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from starnet.errors import DataError
from starnet.explain.known import KnownLines, resolution_element
from starnet.spectra import WavelengthGrid, label_spec
from starnet.synthesis.observe.lsf import in_chips

Array = NDArray[Any]
FWHM_TO_SIGMA = 2.354820045
COLUMNS = (
    "label",
    "rank",
    "wavelength",
    "sensitivity",
    "error",
    "unit",
    "species",
    "line",
    "beside",
)


@dataclass(frozen=True, eq=False)
class Features:
    """F features of one label's map, the strongest first.

    Attributes
    ----------
    label : str
    pixel : array (F,) of int
    wavelength : array (F,)
        Vacuum Angstrom.
    value, error : array (F,)
        The map, smoothed by the line spread, with its sign; and its error.
    own : array (F,) of int
        The strongest known line of the label's own species within half a resolution element, as a
        place in ``lines``; -1 for none.
    other : array (F,) of int
        The strongest known line of any other species there, or -1.
    lines : KnownLines
    chance : float
        Part of all pixels that lie as near to a line of the label's own species.
    """

    label: str
    pixel: NDArray[np.int64]
    wavelength: Array
    value: Array
    error: Array
    own: NDArray[np.int64]
    other: NDArray[np.int64]
    lines: KnownLines
    chance: float

    def __len__(self) -> int:
        return int(self.pixel.size)

    @property
    def fraction(self) -> float:
        """Part of the features that fall on a line of the label's own species."""
        return float(np.mean(self.own >= 0)) if len(self) else float("nan")

    def table(self) -> Table:
        """One row for each feature: rank, wavelength, value, and the species it is at."""
        rows = self.rows()
        out = Table(rows=rows or None, names=None if rows else list(COLUMNS))
        for name in ("wavelength", "line"):
            out[name] = np.array([row[name] for row in rows], dtype=float)
            out[name].unit = "Angstrom"  # type: ignore[union-attr]
        return out

    def rows(self) -> list[dict[str, Any]]:
        """The features as plain values; see `table`."""
        out = []
        for i in range(len(self)):
            species, line = self._name(int(self.own[i]))
            row = (
                self.label,
                i + 1,
                round(float(self.wavelength[i]), 2),
                float(f"{self.value[i]:.4g}"),
                float(f"{self.error[i]:.2g}"),
                label_spec(self.label).unit or "-",
                species,
                line,
                self._name(int(self.other[i]))[0],
            )
            out.append(dict(zip(COLUMNS, row, strict=True)))
        return out

    def _name(self, place: int) -> tuple[str, float]:
        if place < 0:
            return "", float("nan")
        return str(self.lines.species[place]), float(self.lines.wavelength[place])


def strongest_features(
    grid: WavelengthGrid,
    label: str,
    value: Array,
    error: Array | None = None,
    *,
    lines: KnownLines | None = None,
    n: int = 20,
) -> Features:
    """The n strongest features of a map, each a maximum of its size after the line spread.

    Parameters
    ----------
    grid : WavelengthGrid
        Of the P pixels.
    label : str
    value, error : array (P,)
        A map with its sign, such as a row of `Maps`; NaN counts as 0. It is averaged over the
        line spread, as a line is, before maxima are looked for: noise from pixel to pixel is
        none. Of maxima within a resolution element of each other the largest is kept.
    lines : KnownLines, optional
        What features may be at. Default: lines of the package that are at least 1 % deep in one
        of its five stars at the resolution of the grid.
    n : int

    Raises
    ------
    DataError
        If shapes do not fit.
    """
    wave = grid.to_vacuum().wavelength
    sizes = {np.shape(v) for v in (value, value if error is None else error)}
    if sizes != {(grid.n_pixels,)}:
        raise DataError(f"A map of {grid.n_pixels} pixels is needed; received shapes {sizes}.")
    known = KnownLines.shipped().on(grid) if lines is None else lines
    smooth = smoothed(grid, np.nan_to_num(value))
    doubt = smoothed(grid, np.nan_to_num(np.zeros_like(value) if error is None else error))
    width = resolution_element(grid, wave)
    peaks = _peaks(grid, np.abs(smooth), width, n)
    belongs = known.belongs(label)
    own, other = (
        _placed(known, rows, wave[peaks], 0.5 * width[peaks]) for rows in (belongs, ~belongs)
    )
    inside = in_chips(grid)
    chance = known[belongs].near(wave[inside], 0.5 * width[inside]) >= 0
    return Features(
        label, peaks, wave[peaks], smooth[peaks], doubt[peaks], own, other, known,
        float(np.mean(chance)),
    )  # fmt: skip


def _placed(known: KnownLines, rows: Array, wavelength: Array, reach: Array) -> Array:
    """The strongest of some of the lines near each wavelength, as a place among all, or -1."""
    found = known[rows].near(wavelength, reach)
    return np.where(found < 0, -1, np.append(np.flatnonzero(rows), -1)[found])


def smoothed(grid: WavelengthGrid, value: Array) -> Array:
    """A map (P,) averaged over the line spread, chip by chip, and 0 outside the chips."""
    from scipy.ndimage import gaussian_filter1d

    wave = grid.to_vacuum().wavelength
    sigma = resolution_element(grid, wave) / np.gradient(wave) / FWHM_TO_SIGMA
    out = np.zeros(grid.n_pixels)
    for a, b in grid.chips:
        out[a:b] = gaussian_filter1d(value[a:b], float(np.median(sigma[a:b])), mode="constant")
    return out


def _peaks(grid: WavelengthGrid, size: Array, width: Array, n: int) -> NDArray[np.int64]:
    """Pixels of the n largest maxima that are a resolution element apart."""
    wave = grid.to_vacuum().wavelength
    inner = np.zeros(size.size, dtype=bool)
    inner[1:-1] = (size[1:-1] >= size[:-2]) & (size[1:-1] > size[2:]) & (size[1:-1] > 0)
    inner &= in_chips(grid)
    kept: list[int] = []
    for i in np.flatnonzero(inner)[np.argsort(-size[inner], kind="stable")].tolist():
        if all(abs(wave[i] - wave[j]) > width[i] for j in kept):
            kept.append(i)
        if len(kept) == n:
            break
    return np.array(kept, dtype=np.int64)


def features_table(found: Sequence[Features]) -> Table:
    """The tables of several labels in one; its meta has fractions and chances."""
    from astropy.table import vstack

    out = vstack([one.table() for one in found])
    out.meta = {
        "on_own_species": {one.label: round(one.fraction, 3) for one in found},
        "by_chance": {one.label: round(one.chance, 3) for one in found},
    }
    return out
