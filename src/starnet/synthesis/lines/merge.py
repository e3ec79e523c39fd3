"""Laboratory lines in place of theoretical ones."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from starnet.errors import ConfigError, FrameError
from starnet.spectra.air import air_to_vacuum, vacuum_to_air
from starnet.synthesis.lines.linelist import LineList, concatenate
from starnet.synthesis.lines.species import mass_numbers, without_isotopes

HFS_GAP = 0.3
"""Components of one line have gaps no wider than this in Angstrom."""

ENOUGH = 10
"""So many pairs at the shift between air and vacuum are no chance."""


@dataclass(frozen=True)
class MergeReport:
    """What a merge did.

    Attributes
    ----------
    n_theory, n_laboratory : int
        Lines that came in.
    n_replaced : int
        Theoretical lines that were removed.
    n_matched : int
        Laboratory lines (components of one line count once) that replaced at least one.
    n_new : int
        Those that had no counterpart and were added.
    median_change : float
        Median of log gf laboratory - theory over the pairs; NaN without pairs.
    """

    n_theory: int
    n_laboratory: int
    n_replaced: int
    n_matched: int
    n_new: int
    median_change: float

    def __str__(self) -> str:
        return (
            f"{self.n_replaced} of {self.n_theory} lines replaced by {self.n_matched} laboratory "
            f"lines, {self.n_new} added; median change of log gf {self.median_change:+.3f}"
        )


def merge(
    theory: LineList,
    laboratory: LineList,
    *,
    tolerance: float = 0.06,
    excitation_tolerance: float = 0.05,
) -> tuple[LineList, MergeReport]:
    """Lines of both lists, where laboratory lines replace theoretical ones.

    A pair is of one species (whatever its isotopes), within ``tolerance`` of each other in
    wavelength and ``excitation_tolerance`` in excitation. Components of hyperfine structure and of
    isotopes match as one line that reaches from the first to the last, and are kept as given.
    Laboratory lines outside the range of the theoretical ones are added too: select first.

    Parameters
    ----------
    theory, laboratory : LineList
        Both in vacuum, as line lists always are.
    tolerance : float
        Angstrom.
    excitation_tolerance : float
        eV. Theoretical levels are off by a few hundredths.

    Returns
    -------
    LineList, MergeReport

    Raises
    ------
    ConfigError
        If a tolerance is not positive.
    FrameError
        If many more pairs appear once one of the lists is taken to be in air.
    """
    if not (tolerance > 0 and excitation_tolerance > 0):
        raise ConfigError(
            "tolerances of a merge must be positive; received "
            f"{tolerance} Angstrom and {excitation_tolerance} eV."
        )
    theory = theory.sort()
    groups = _Groups.of(laboratory)
    line, group = _pairs(theory, groups, tolerance, excitation_tolerance)
    _check_frame(theory, groups, line.size, (tolerance, excitation_tolerance))
    replaced = np.zeros(len(theory), dtype=bool)
    replaced[line] = True
    merged = concatenate([theory[~replaced], laboratory])
    change = groups.loggf[group] - theory.loggf[line]
    matched = np.unique(group).size
    report = MergeReport(
        n_theory=len(theory),
        n_laboratory=len(laboratory),
        n_replaced=int(replaced.sum()),
        n_matched=int(matched),
        n_new=int(groups.loggf.size - matched),
        median_change=float(np.median(change)) if change.size else float("nan"),
    )
    return merged, report


@dataclass(frozen=True)
class _Groups:
    """Laboratory lines with their components summed, from ``start`` to ``stop``; all (G,)."""

    start: NDArray[np.float64]
    stop: NDArray[np.float64]
    species: NDArray[np.int64]
    excitation: NDArray[np.float64]
    loggf: NDArray[np.float64]

    @classmethod
    def of(cls, lines: LineList) -> _Groups:
        """Group the components (lines that name an isotope) of equal species and level."""
        species = without_isotopes(lines.species)
        level = np.round(lines.excitation, 2)
        order = np.lexsort((lines.wavelength, level, species))
        split = (mass_numbers(lines.species).sum(axis=1) > 0)[order]
        species, level, wave = species[order], level[order], lines.wavelength[order]
        apart = (np.diff(species) != 0) | (np.diff(level) != 0) | (np.diff(wave) >= HFS_GAP)
        new = np.ones(order.size, dtype=bool)
        new[1:] = apart | np.logical_not(split[1:] & split[:-1])
        group = np.cumsum(new) - 1
        gf = np.bincount(group, 10.0 ** lines.loggf[order])
        last = np.append(new[1:], True)[: order.size]
        level = lines.excitation[order][new]
        return cls(wave[new], wave[last], species[new], level, np.log10(gf))


def _check_frame(
    theory: LineList, groups: _Groups, n: int, tolerances: tuple[float, float]
) -> None:
    """Refuse lists of which one was read in the wrong medium: pairs then lie a shift apart."""
    for name, shift in (("laboratory", air_to_vacuum), ("theoretical", vacuum_to_air)):
        moved = replace(groups, start=shift(groups.start), stop=shift(groups.stop))
        shifted = _pairs(theory, moved, *tolerances)[0].size
        if shifted >= ENOUGH and shifted > 5 * n:
            raise FrameError(
                f"both lists must be in vacuum; {n} lines agree as they are and {shifted} once "
                f"the {name} ones are taken to be in air. Read that list with the right medium."
            )


def _pairs(
    theory: LineList, groups: _Groups, tolerance: float, excitation_tolerance: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Matching pairs: rows of the theoretical lines, and groups (both (M,))."""
    species = without_isotopes(theory.species)
    first = np.searchsorted(theory.wavelength, groups.start - tolerance, "left")
    last = np.searchsorted(theory.wavelength, groups.stop + tolerance, "right")
    count = last - first
    group = np.repeat(np.arange(count.size), count)
    line = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + first[group]
    apart = np.abs(theory.excitation[line] - groups.excitation[group])
    good = np.asarray((species[line] == groups.species[group]) & (apart <= excitation_tolerance))
    return line[good], group[good]
