"""Which rows of a table of corrections are for which lines of a list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from starnet.synthesis.lines import LineList, without_isotopes

if TYPE_CHECKING:
    from .corrections import Corrections

Places = NDArray[np.int64]

TOLERANCES = {"wavelength": 0.005, "excitation": 0.003, "loggf": 0.006}
"""Angstrom, eV and dex within which a line is the one that was calibrated."""
ENOUGH = 0.5
"""Share of a species' rows that must be in a list before its other lines are shifted too."""


@dataclass(frozen=True)
class Matches:
    """What of a table was found in a line list.

    Attributes
    ----------
    row, line : array (M,)
        Pairs: places in the table and in the list.
    unmatched : array (U,)
        Rows within the range of the list that no line fits.
    shifted : array (S,)
        Lines without a row whose species is shifted as a whole.
    shift : array (S,)
        Rows of the table that shift them.
    """

    row: Places
    line: Places
    unmatched: Places
    shifted: Places
    shift: Places

    def __str__(self) -> str:
        return (
            f"{self.row.size} lines corrected, {self.shifted.size} more shifted with their "
            f"species, {self.unmatched.size} rows of the table without a line"
        )


def pairs(table: Corrections, own: Places, lines: LineList) -> tuple[Places, Places]:
    """Pairs of rows (of those in ``own``) and lines, one to one, the nearest first."""
    place, line = _near(table.wavelength[own], lines.wavelength)
    row = own[place]
    same = table.species[row] == lines.species[line]
    bare = lines.loggf - lines.log_fraction
    off = np.zeros(row.size)
    for name, value in (
        ("wavelength", lines.wavelength),
        ("excitation", lines.excitation),
        ("loggf", bare),
    ):
        apart = np.abs(getattr(table, name)[row] - value[line]) / TOLERANCES[name]
        same &= apart <= 1
        off += apart
    row, line, off = row[same], line[same], off[same]
    rows, taken, keep = set[int](), set[int](), []
    for k in np.lexsort((line, row, np.round(off, 6))).tolist():
        if row[k] not in rows and line[k] not in taken:
            rows.add(int(row[k]))
            taken.add(int(line[k]))
            keep.append(k)
    kept = np.sort(np.array(keep, dtype=np.int64))
    return row[kept], line[kept]


def _near(wanted: NDArray[np.float64], wavelength: NDArray[np.float64]) -> tuple[Places, Places]:
    """All pairs within the tolerance in wavelength: places in both."""
    order = np.argsort(wavelength, kind="stable")
    sorted_, reach = wavelength[order], TOLERANCES["wavelength"]
    first = np.searchsorted(sorted_, wanted - reach, "left")
    count = np.searchsorted(sorted_, wanted + reach, "right") - first
    place = np.repeat(np.arange(wanted.size), count)
    within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    return place, order[within + first[place]]


def shifted_lines(
    table: Corrections, lines: LineList, row: Places, line: Places, unmatched: Places
) -> tuple[Places, Places]:
    """Lines that are shifted with their species, and the rows of the table that say so.

    The other lines of a species are shifted only if `ENOUGH` of its rows are in the list: else it
    is a list of another source.
    """
    base, own = without_isotopes(lines.species), without_isotopes(table.species)
    free = (lines.wavelength >= table.start) & (lines.wavelength <= table.stop)
    free[line] = False
    chosen, shift = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for k in np.flatnonzero(np.isnan(table.wavelength)):
        found = int((own[row] == own[k]).sum())
        lost = int((own[unmatched] == own[k]).sum())
        if found and found >= ENOUGH * (found + lost):
            chosen.append(np.flatnonzero(free & (base == own[k])))
            shift.append(np.full(chosen[-1].size, k))
    return np.concatenate(chosen), np.concatenate(shift)
