"""Known lines: where they are, of what, and how strong in stars of five kinds.

lines = KnownLines.shipped()              # H band and optical
lines.of_label("mg_fe").select(weakest=8.0)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.errors import ReadError
from starnet.spectra import WavelengthGrid
from starnet.synthesis.elements import SYMBOLS

Array = NDArray[Any]
BANDS = ("h_band", "optical")
RYDBERG = 109677.58
"""Of hydrogen, 1/cm."""
SERIES = {2: range(3, 12), 3: range(9, 21), 4: range(10, 24)}
"""Balmer, Paschen and Brackett lines by their lower and upper levels."""
HYDROGEN = 500.0
"""mA: the strength that lines of hydrogen are given; the table has none of them."""
ALPHA = ("O", "Mg", "Si", "S", "Ca", "Ti")
SHALLOWEST = 0.01
"""Depth from which a line counts as known, by default."""
FWHM_AREA = 1.0645
"""Area of a Gaussian of depth 1 over its full width at half maximum."""


@dataclass(frozen=True, eq=False)
class KnownLines:
    """M lines in order of wavelength.

    Attributes
    ----------
    wavelength : array (M,)
        Vacuum Angstrom.
    species : array (M,) of str
        "Mg I", "CN", "OH"; isotopes are not told apart.
    strength : array (M, S)
        d equivalent width / d ln gf in mA: the width itself of a weak line, less of a strong one.
    stars : tuple of str
        Kinds of stars that the strengths are of.
    """

    wavelength: Array
    species: NDArray[np.str_]
    strength: Array
    stars: tuple[str, ...]

    def __len__(self) -> int:
        return int(self.wavelength.size)

    def __getitem__(self, rows: Any) -> KnownLines:
        return KnownLines(
            self.wavelength[rows], self.species[rows], self.strength[rows], self.stars
        )

    @property
    def strongest(self) -> Array:
        """Strength in the star where it is largest, (M,)."""
        return self.strength.max(axis=1, initial=0.0)

    @classmethod
    def shipped(cls) -> KnownLines:
        """Those that come with the package: 15090-17010 and 3700-9100 Angstrom."""
        return _shipped()

    @classmethod
    def read(cls, path: str | Path) -> KnownLines:
        """A table of the same form, with columns wavelength, species and one for each star.

        Raises
        ------
        ReadError
            If it is no such table.
        """
        from astropy.table import Table

        try:
            table = Table.read(Path(path), format="ascii.ecsv")
            stars = tuple(n for n in table.colnames if n not in ("wavelength", "species"))
            strength = np.stack([np.asarray(table[n], dtype=float) for n in stars], axis=1)
            wave = np.asarray(table["wavelength"], dtype=float)
            names = np.asarray(table["species"], dtype=str)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ReadError(
                f"{path} is no table of lines: it must be ECSV with wavelength (vacuum "
                f"Angstrom), species and strengths (mA) in columns ({error})."
            ) from error
        return cls(wave, names, strength, stars)[np.argsort(wave, kind="stable")]

    def elements(self) -> list[frozenset[str]]:
        """Elements of each line's species."""
        return [elements_of(name) for name in self.species.tolist()]

    def of_label(self, label: str) -> KnownLines:
        """Lines that a label may rightly be read from.

        Of ``x_fe`` and ``x_h``: those of species with the element, molecules included. Of
        ``alpha_m``: those of `ALPHA`. Of all else (teff, logg, vmic, m_h): every line.
        """
        return self[self.belongs(label)]

    def belongs(self, label: str) -> NDArray[np.bool_]:
        """Whether each line is one of `of_label`, (M,)."""
        wanted = label_elements(label)
        if not wanted:
            return np.ones(len(self), dtype=bool)
        return np.array([bool(found & wanted) for found in self.elements()], dtype=bool)

    def select(
        self, *, weakest: float | Array = 0.0, start: float = 0.0, stop: float = np.inf
    ) -> KnownLines:
        """Lines of at least a strength in some star, between two wavelengths."""
        inside = (self.wavelength >= start) & (self.wavelength <= stop)
        return self[inside & (self.strongest >= weakest)]

    def on(self, grid: WavelengthGrid, *, shallowest: float = SHALLOWEST) -> KnownLines:
        """Lines within a grid that are at least so deep (of the continuum) at its line spread."""
        wave = grid.to_vacuum().wavelength
        limit = 1000.0 * shallowest * FWHM_AREA * resolution_element(grid, self.wavelength)
        return self.select(weakest=limit, start=wave[0], stop=wave[-1])

    def near(self, wavelength: Array, reach: Array) -> NDArray[np.int64]:
        """The strongest line within reach of each wavelength (N,), or -1."""
        out = np.full(np.shape(wavelength), -1, dtype=np.int64)
        strongest = self.strongest
        for i, (at, by) in enumerate(
            zip(wavelength, np.broadcast_to(reach, out.shape), strict=True)
        ):
            a, b = np.searchsorted(self.wavelength, [at - by, at + by])
            if b > a:
                out[i] = a + int(np.argmax(strongest[a:b]))
        return out


def resolution_element(grid: WavelengthGrid, wavelength: Array) -> Array:
    """Full width at half maximum of the line spread at vacuum wavelengths, Angstrom.

    Two pixels where the grid tells no line spread, and never less.
    """
    own = grid.to_vacuum().wavelength
    pixels = 2.0 * np.interp(wavelength, own, np.gradient(own))
    if grid.lsf is None:
        return pixels
    return np.maximum(pixels, np.interp(wavelength, own, grid.lsf.fwhm_at(grid.wavelength)))


@lru_cache(maxsize=4096)
def elements_of(species: str) -> frozenset[str]:
    """Symbols of the elements in a species."""
    from starnet.synthesis.lines.species import atomic_numbers, parse_species

    numbers = atomic_numbers([parse_species(species)])[0]
    return frozenset(SYMBOLS[z - 1] for z in numbers.tolist() if z > 0)


def label_elements(label: str) -> frozenset[str]:
    """Elements that a label is of; none for labels of the whole star."""
    head, _, per = label.rpartition("_")
    if per not in ("h", "fe", "m") or not head:
        return frozenset()
    if head == "alpha":
        return frozenset(ALPHA)
    symbol = head.capitalize()
    return frozenset((symbol,)) if symbol in SYMBOLS else frozenset()


@lru_cache(maxsize=1)
def _shipped() -> KnownLines:
    folder = Path(str(resources.files("starnet.explain"))) / "lines"
    parts = [KnownLines.read(folder / f"{band}.ecsv") for band in BANDS]
    levels = [(n, k) for n, uppers in SERIES.items() for k in uppers]
    wave = np.array([1e8 / RYDBERG / (n**-2.0 - k**-2.0) for n, k in levels])
    stars = parts[0].stars
    hydrogen = KnownLines(
        wave, np.array(["H I"] * wave.size), np.full((wave.size, len(stars)), HYDROGEN), stars
    )
    return joined([*parts, hydrogen])


def joined(parts: Sequence[KnownLines]) -> KnownLines:
    """Several lists of the same stars in one."""
    wave = np.concatenate([part.wavelength for part in parts])
    order = np.argsort(wave, kind="stable")
    species = np.concatenate([part.species for part in parts])
    strength = np.concatenate([part.strength for part in parts])
    return KnownLines(wave[order], species[order], strength[order], parts[0].stars)
