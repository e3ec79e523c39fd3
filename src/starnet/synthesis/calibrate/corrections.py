"""`Corrections`: a documented table of what a calibration changes in a line list."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Column, Table
from numpy.typing import NDArray

from starnet._whole import whole_file
from starnet.errors import DataError, ReadError, StarNetError
from starnet.synthesis.lines import LineList, VdwKind, parse_species, species_name

from .matching import Matches, pairs, shifted_lines

log = logging.getLogger("starnet.synthesis")

FORMAT = "starnet line corrections 1"
LARGEST = 6.0
"""dex; no calibration changes a line by more."""

_UNITS = {
    "species": ("", "isotopologue where the list names one"),
    "wavelength": ("Angstrom", "vacuum; NaN: all lines of the species without a row"),
    "excitation": ("eV", "lower level"),
    "loggf": ("dex", "before, without the isotopic share"),
    "delta_loggf": ("dex", "to add to log gf"),
    "delta_log_vdw": ("dex", "to add to log10 of the width by hydrogen"),
    "prior": ("dex", "standard deviation of delta_loggf before the fit"),
    "n_stars": ("", "stars in which the line is strong enough to be seen"),
}
_DECIMALS = {"wavelength": 4, "excitation": 4, "loggf": 4, "prior": 3}
_DECIMALS |= {"delta_loggf": 3, "delta_log_vdw": 3}


@dataclass(frozen=True, eq=False)
class Corrections:
    """Changes to the log gf and the damping of N lines.

    A row whose wavelength is NaN is for a species as a whole: it shifts those of its lines
    (whatever the isotopes) between `start` and `stop` that have no row of their own.

    Parameters
    ----------
    species : array (N,) of int
        Codes of `starnet.synthesis.lines`.
    wavelength, excitation, loggf : array (N,)
        Of the line as it was: vacuum Angstrom, eV, and log gf without its isotopic share.
    delta_loggf, delta_log_vdw : array (N,)
        dex, to be added.
    prior : array (N,)
        Standard deviation of the prior of ``delta_loggf``, dex.
    n_stars : array (N,) of int
        In how many stars the line was seen.
    provenance : mapping
        Atlases, engine, line list, priors, seed, and ``start`` and ``stop``, the vacuum
        wavelengths in which the table holds.

    Raises
    ------
    DataError
        If columns differ in length, a number is missing or a change is beyond `LARGEST`.
    """

    species: NDArray[np.int64]
    wavelength: NDArray[np.float64]
    excitation: NDArray[np.float64]
    loggf: NDArray[np.float64]
    delta_loggf: NDArray[np.float64]
    delta_log_vdw: NDArray[np.float64]
    prior: NDArray[np.float64]
    n_stars: NDArray[np.int64]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = np.size(self.species)
        for name in _UNITS:
            kind = np.int64 if name in ("species", "n_stars") else np.float64
            value = np.array(getattr(self, name), dtype=kind)
            if value.shape != (n,):
                raise DataError(
                    f"every column of a table of corrections must have {n} rows like the species; "
                    f"{name} has shape {value.shape}."
                )
            value.setflags(write=False)
            object.__setattr__(self, name, value)
        self._check()

    def _check(self) -> None:
        whole = np.isnan(self.wavelength)
        for name in ("excitation", "loggf", "delta_loggf", "delta_log_vdw"):
            value = getattr(self, name)
            free = whole & (name in ("excitation", "loggf"))
            if bad := int((~np.isfinite(value) & ~free).sum()):
                raise DataError(
                    f"a table of corrections needs a finite {name} in every row; {bad} have none. "
                    "Make the table again, or take its original."
                )
        most = max(np.abs([*self.delta_loggf, *self.delta_log_vdw]).max(), 0) if len(self) else 0
        if most > LARGEST:
            raise DataError(
                f"corrections of lines must be within {LARGEST:g} dex; one is {most:g}. The table "
                "is damaged or no table of corrections."
            )

    def __len__(self) -> int:
        return int(self.species.size)

    def __repr__(self) -> str:
        return f"Corrections({len(self)} rows, {self.start:.0f}-{self.stop:.0f} Angstrom)"

    @property
    def start(self) -> float:
        """Vacuum Angstrom from which the table holds."""
        return float(self.provenance.get("start", 0.0))

    @property
    def stop(self) -> float:
        """Vacuum Angstrom to which the table holds."""
        return float(self.provenance.get("stop", np.inf))

    # ------------------------------------------------------------------ files

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Corrections:
        """From an ECSV file that `write` made.

        Raises
        ------
        ReadError
            If the file is missing, cut off, foreign or damaged.
        """
        place = Path(path)
        try:
            table: Any = Table.read(place, format="ascii.ecsv")
        except (OSError, ValueError, TypeError, KeyError, IndexError) as error:
            reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
            raise ReadError(
                f"{place} cannot be read as a table of line corrections: {reason}. "
                "Give an .ecsv file that a calibration wrote."
            ) from error
        return cls._of(table, place)

    @classmethod
    def _of(cls, table: Any, place: Path) -> Corrections:
        missing = [name for name in _UNITS if name not in table.colnames]
        if missing or table.meta.get("format") != FORMAT:
            lacks = f"the columns {', '.join(missing)}" if missing else f"the mark {FORMAT!r}"
            raise ReadError(
                f"{place} is no table of line corrections: it lacks {lacks}. Give an .ecsv file "
                "that a calibration wrote."
            )
        if len(table) != table.meta.get("rows"):
            raise ReadError(
                f"{place} must have {table.meta.get('rows')} rows and has {len(table)}: it was cut "
                "off or edited. Make it again, or take its original."
            )
        columns = {name: np.ma.filled(table[name], np.nan) for name in _UNITS if name != "species"}
        meta = {k: v for k, v in table.meta.items() if k not in ("format", "rows", "columns")}
        try:
            codes = [parse_species(str(name)) for name in table["species"]]
            return cls(species=np.array(codes, dtype=np.int64), **columns, provenance=meta)
        except (StarNetError, ValueError, TypeError) as error:
            raise ReadError(f"{place}: {error}") from error

    def write(self, path: str | os.PathLike[str]) -> Path:
        """As an ECSV file, whole or not at all.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        table = Table(meta={"format": FORMAT, "rows": len(self), **dict(self.provenance)})
        for name, (unit, what) in _UNITS.items():
            value = getattr(self, name)
            if name == "species":
                value = np.array([species_name(int(code)) for code in value], dtype=str)
            elif name in _DECIMALS:
                value = np.round(value, _DECIMALS[name])
            table[name] = Column(value, unit=unit or None, description=what)
        with whole_file(Path(path), "The table of corrections") as partial:
            table.write(partial, format="ascii.ecsv", delimiter=",")
        return Path(path)

    # ------------------------------------------------------------------ use

    def match(self, lines: LineList) -> Matches:
        """Which rows are for which lines of a list.

        A line is the one of a row if species (isotopes too), wavelength, excitation and log gf
        agree within `starnet.synthesis.calibrate.matching.TOLERANCES`; each row takes one line at
        most.
        """
        own = np.flatnonzero(np.isfinite(self.wavelength))
        row, line = pairs(self, own, lines)
        low, high = (f(lines.wavelength, initial=x) for f, x in ((np.min, np.inf), (np.max, 0.0)))
        wave = self.wavelength[own]
        unmatched = np.setdiff1d(own[(wave >= low) & (wave <= high)], row)
        shifted, shift = shifted_lines(self, lines, row, line, unmatched)
        return Matches(row, line, unmatched, shifted, shift)

    def apply(self, lines: LineList) -> LineList:
        """The list with its lines corrected, in the same order.

        What has no counterpart stays as it is; one logged sentence says how many rows found no
        line.
        """
        found = self.match(lines)
        if found.unmatched.size:
            log.warning(
                "%d of %d line corrections in the range of the list have no line there and are "
                "left out; they were made for %s.",
                found.unmatched.size,
                found.unmatched.size + found.row.size,
                self.provenance.get("lines", "another list"),
            )
        line = np.concatenate([found.line, found.shifted])
        row = np.concatenate([found.row, found.shift])
        loggf = np.array(lines.loggf)
        loggf[line] += self.delta_loggf[row]
        vdw, kind = _widened(lines, line, self.delta_log_vdw[row])
        return replace(lines, loggf=loggf, vdw=vdw, vdw_kind=kind)


def _widened(
    lines: LineList, line: NDArray[np.int64], delta: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Van der Waals numbers and kinds with some widths changed by delta (dex)."""
    vdw, kind = np.array(lines.vdw), np.array(lines.vdw_kind)
    changed = delta != 0.0
    line, delta = line[changed], delta[changed]
    bare = kind[line] == VdwKind.NONE
    vdw[line[bare]], kind[line[bare]] = 1.0, VdwKind.UNSOLD_FACTOR
    log_gamma = kind[line] == VdwKind.LOG_GAMMA
    vdw[line[log_gamma]] += delta[log_gamma]
    vdw[line[~log_gamma]] *= 10.0 ** delta[~log_gamma]  # a factor, or a cross section
    return vdw, kind
