"""`LineList`: the lines of a synthesis as one frozen table of arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starnet.errors import ConfigError, DataError
from starnet.synthesis.lines.isotopes import Fractions, log_fractions
from starnet.synthesis.lines.species import (
    atomic_numbers,
    mass_numbers,
    parse_species,
    species_name,
    without_isotopes,
)

UNSOLD_ALPHA = 0.4
"""Velocity exponent of Unsold's theory: the width goes with T**0.3."""


class VdwKind(IntEnum):
    """What the number in `LineList.vdw` is; the sources disagree, so each line says it."""

    NONE = 0
    """Not given; the number is NaN."""
    LOG_GAMMA = 1
    """log10 of the full width per perturber, rad cm3 / s, by neutral hydrogen at 10,000 K."""
    UNSOLD_FACTOR = 2
    """Factor that multiplies the width of Unsold's theory."""
    ABO = 3
    """Cross section sigma in units of a0**2 at 10**4 m/s (Anstee and O'Mara 1995, MNRAS 276)."""


_ABSENT: Any = None  # a column that is not given; arrays stand in its place after __init__


@dataclass(frozen=True, eq=False)
class LineList:
    """N spectral lines. Wavelengths are in vacuum, always.

    Parameters
    ----------
    wavelength : array (N,)
        Vacuum wavelengths in Angstrom.
    species : array (N,) of int
        Codes of `starnet.synthesis.lines.species`.
    excitation : array (N,)
        Energy of the lower level in eV. Slightly negative ones occur for molecules (MgH of
        linemake), whose zero is that of another isotopologue, and are kept.
    loggf : array (N,)
        log10 of the oscillator strength times the statistical weight of the lower level, with
        ``log_fraction`` added in.
    log_fraction : array (N,), optional
        log10 of the isotopologue's share that ``loggf`` holds. Default: 0.
    gamma_rad : array (N,), optional
        log10 of the radiative width in rad/s. NaN where not given, as in the next ones.
    gamma_stark : array (N,), optional
        log10 of the full width per electron, rad cm3 / s, at 10,000 K.
    vdw : array (N,), optional
        Broadening by neutral hydrogen; what it is, ``vdw_kind`` says.
    vdw_alpha : array (N,), optional
        Velocity exponent alpha, so that the width goes with T**((1 - alpha) / 2). NaN: not
        known, `UNSOLD_ALPHA` by convention.
    vdw_kind : array (N,) of int, optional
        `VdwKind` of each line.
    origin : array (N,) of int, optional
        Where each line comes from, as a place in ``sources``.
    sources : sequence of str
        Names of the sources.

    Raises
    ------
    DataError
        If lengths differ, or a wavelength, an excitation or a loggf is not finite or plausible.
    """

    wavelength: NDArray[np.float64]
    species: NDArray[np.int64]
    excitation: NDArray[np.float64]
    loggf: NDArray[np.float64]
    log_fraction: NDArray[np.float64] = _ABSENT
    gamma_rad: NDArray[np.float64] = _ABSENT
    gamma_stark: NDArray[np.float64] = _ABSENT
    vdw: NDArray[np.float64] = _ABSENT
    vdw_alpha: NDArray[np.float64] = _ABSENT
    vdw_kind: NDArray[np.int64] = _ABSENT
    origin: NDArray[np.int64] = _ABSENT
    sources: tuple[str, ...] = ("unnamed",)

    def __post_init__(self) -> None:
        n = np.size(self.wavelength)
        for name, default in _COLUMNS.items():
            given = getattr(self, name)
            kind = np.int64 if name in _INTEGER else np.float64
            value = np.full(n, default, kind) if given is None else np.array(given, kind)
            if value.shape != (n,):
                raise DataError(
                    f"every column of a line list must have shape ({n},) like the wavelengths; "
                    f"{name} has {value.shape}."
                )
            value.setflags(write=False)
            object.__setattr__(self, name, value)
        object.__setattr__(self, "sources", tuple(self.sources))
        _check(self)

    def __len__(self) -> int:
        return int(self.wavelength.size)

    def __repr__(self) -> str:
        if not len(self):
            return "LineList(empty)"
        span = f"{self.wavelength.min():.1f}-{self.wavelength.max():.1f} Angstrom (vacuum)"
        n_species = np.unique(self.species).size
        return f"LineList({len(self)} lines of {n_species} species, {span})"

    def __getitem__(self, rows: slice | ArrayLike) -> LineList:
        """The lines of a slice, of indices, or of a boolean array."""
        chosen = rows if isinstance(rows, slice) else np.asarray(rows)
        if not isinstance(chosen, slice) and not chosen.size:
            chosen = slice(0, 0)
        return replace(self, **{name: getattr(self, name)[chosen] for name in _COLUMNS})

    @property
    def is_molecule(self) -> NDArray[np.bool_]:
        """True for lines of molecules (N,)."""
        return np.asarray((atomic_numbers(self.species) > 0).sum(axis=1) > 1)

    def counts(self) -> dict[str, int]:
        """Number of lines of each species by name, the most frequent first."""
        codes, n = np.unique(self.species, return_counts=True)
        order = np.argsort(-n, kind="stable")
        return {species_name(int(codes[i])): int(n[i]) for i in order}

    def sort(self) -> LineList:
        """The lines in order of wavelength; equal ones keep their order."""
        return self[np.argsort(self.wavelength, kind="stable")]

    def strength(
        self, temperature: float = 5040.0, log_abundance: Mapping[int, float] | None = None
    ) -> NDArray[np.float64]:
        """A crude log10 strength of each line (N,): loggf - theta * excitation + log abundance.

        Theta is 5040 K / ``temperature``. Ionisation and dissociation are left out, so it is an
        upper limit. ``log_abundance`` maps atomic numbers to log10 abundances; of a molecule the
        rarest atom counts, and an element that is not named counts 0.
        """
        if not temperature > 0:
            raise ConfigError(f"temperature must be above 0 K; received {temperature}.")
        value = self.loggf - 5040.0 / temperature * self.excitation
        if log_abundance is None:
            return value
        table = np.zeros(1000)
        for z, abundance in log_abundance.items():
            table[z] = abundance
        z = atomic_numbers(self.species)
        return value + np.where(z > 0, table[z], np.inf).min(axis=1)

    def select(
        self,
        start: float = 0.0,
        stop: float = np.inf,
        *,
        species: str | int | Iterable[str | int] | None = None,
        weakest: float | None = None,
        temperature: float = 5040.0,
        log_abundance: Mapping[int, float] | None = None,
    ) -> LineList:
        """The lines within [start, stop] (vacuum Angstrom), of some species, and not too weak.

        Parameters
        ----------
        species : name, code or several, optional
            "CN" stands for all isotopologues of CN, "13C14N" for itself.
        weakest : float, optional
            Lines with a `strength` below this are left out.
        temperature, log_abundance
            As in `strength`.

        Raises
        ------
        ConfigError
            If the range is empty or a species has no meaning.
        """
        if not start < stop:
            raise ConfigError(f"start must be below stop; received {start} and {stop}.")
        keep = (self.wavelength >= start) & (self.wavelength <= stop)
        if species is not None:
            keep &= self._of(species)
        if weakest is not None:
            keep &= self.strength(temperature, log_abundance) >= weakest
        return self[keep]

    def _of(self, species: str | int | Iterable[str | int]) -> NDArray[np.bool_]:
        wanted = [species] if isinstance(species, str | int) else list(species)
        codes = [parse_species(s) if isinstance(s, str) else int(s) for s in wanted]
        named = [c for c in codes if mass_numbers(c).any()]
        mixed = [c for c in codes if not mass_numbers(c).any()]
        return np.isin(self.species, named) | np.isin(without_isotopes(self.species), mixed)

    def with_isotopes(self, fractions: Fractions) -> LineList:
        """The same lines with other isotope fractions in ``loggf``."""
        new = log_fractions(self.species, fractions)
        return replace(self, loggf=self.loggf - self.log_fraction + new, log_fraction=new)


_COLUMNS = {
    f.name: {"vdw_kind": 0, "origin": 0, "log_fraction": 0.0}.get(f.name, np.nan)
    for f in fields(LineList)
    if f.name != "sources"
}
_INTEGER = ("species", "vdw_kind", "origin")
LIMITS = {"wavelength": (100.0, 1e7), "excitation": (-0.5, 200.0), "loggf": (-50.0, 10.0)}


def _check(lines: LineList) -> None:
    for name, (low, high) in LIMITS.items():
        value = getattr(lines, name)
        bad = np.flatnonzero(~((value >= low) & (value <= high)))
        if bad.size:
            raise DataError(
                f"{name} of a line must be within {low:g} and {high:g}; "
                f"{bad.size} are not, the first is {value[bad[0]]} in row {bad[0]}."
            )
    kinds = np.asarray(lines.vdw_kind)
    if kinds.size and not np.isin(kinds, list(VdwKind)).all():
        raise DataError("vdw_kind must hold members of VdwKind only; it holds other numbers.")
    if np.any(np.isnan(lines.vdw) != (kinds == VdwKind.NONE)):
        raise DataError("vdw must be a number where vdw_kind says so, and NaN where it is NONE.")
    origin = np.asarray(lines.origin)
    if origin.size and not (origin.min() >= 0 and origin.max() < len(lines.sources)):
        raise DataError(f"origin must be places in the {len(lines.sources)} sources.")


def concatenate(lists: Sequence[LineList]) -> LineList:
    """The lines of several lists in one, in order of wavelength. Nothing is removed.

    Raises
    ------
    ConfigError
        If no list is given.
    """
    if not lists:
        raise ConfigError("concatenate needs at least one line list; received none.")
    sources = tuple(dict.fromkeys(name for lines in lists for name in lines.sources))
    columns = {name: np.concatenate([getattr(lines, name) for lines in lists]) for name in _COLUMNS}
    places = [np.array([sources.index(s) for s in lines.sources])[lines.origin] for lines in lists]
    columns["origin"] = np.concatenate(places)
    return LineList(**columns, sources=sources).sort()
