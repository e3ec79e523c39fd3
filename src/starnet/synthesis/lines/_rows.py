"""What every reader of line lists shares: a row, the checks, and the way to a `LineList`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from starnet.errors import DataError, ReadError
from starnet.spectra.air import air_to_vacuum
from starnet.synthesis.lines.isotopes import Fractions, log_fractions
from starnet.synthesis.lines.linelist import LIMITS, LineList, VdwKind

NAN = float("nan")
Medium = Literal["vacuum", "air"]


class Row(NamedTuple):
    """One line as a file gives it; ``number`` is its line in the file, from 1."""

    number: int
    wavelength: float
    species: int
    excitation: float
    loggf: float
    gamma_rad: float = NAN
    gamma_stark: float = NAN
    vdw: float = NAN
    vdw_alpha: float = NAN
    vdw_kind: VdwKind = VdwKind.NONE


@dataclass(frozen=True)
class Raw:
    """What a reader found: rows, the medium that the file states, and its isotope convention.

    ``scaled`` is True where loggf holds the isotope fractions already.
    """

    rows: list[Row]
    medium: Medium | None = None
    scaled: bool = False


def read_text(path: Path) -> list[str]:
    """Lines of a text file; no byte is refused, for comments come in any encoding."""
    text = path.read_bytes().decode("latin-1")
    return [line.rstrip("\r") for line in text.split("\n")]


def corrupt(path: Path, number: int, text: str, need: str) -> ReadError:
    """The error of a line that cannot be read."""
    return ReadError(f"{path}: line {number} must be {need}; received {text.strip()[:80]!r}.")


def vdw_number(value: float) -> tuple[float, float, VdwKind]:
    """The number of VALD and Turbospectrum for van der Waals broadening: (vdw, alpha, kind).

    Negative: log gamma; 0: not given; up to 20: Unsold factor; above: sigma.alpha of ABO
    (VALD documentation; Ryabchikova et al. 2015, Phys. Scr. 90, 054005).
    """
    if value < 0:
        return value, NAN, VdwKind.LOG_GAMMA
    if value == 0:
        return NAN, NAN, VdwKind.NONE
    if value <= 20:
        return value, NAN, VdwKind.UNSOLD_FACTOR
    return float(int(value)), value - int(value), VdwKind.ABO


def given(value: float) -> float:
    """A damping constant in log10; 0 stands for "not given" in every format."""
    return value if value != 0 else NAN


def assemble(raw: Raw, path: Path, medium: Medium, isotopes: Fractions | None) -> LineList:
    """The `LineList` of what a reader found, in vacuum, with isotope fractions in loggf."""
    if not raw.rows:
        raise ReadError(f"{path} must hold at least one spectral line; it holds none.")
    number, wave, species, *rest = (np.array(column) for column in zip(*raw.rows, strict=True))
    excitation, loggf, rad, stark, vdw, alpha, kind = rest
    _check(path, number, {"wavelength": wave, "excitation": excitation, "loggf": loggf})
    wave = air_to_vacuum(wave) if medium == "air" else wave
    share = np.zeros(wave.size)
    if raw.scaled:
        share = log_fractions(species)
    elif isotopes is not None:
        share = log_fractions(species, isotopes)
        loggf = loggf + share
    lines = LineList(
        wave, species, excitation, loggf, share, rad, stark, vdw, alpha, kind, sources=(path.name,)
    )
    if raw.scaled and isotopes is not None:
        lines = lines.with_isotopes(isotopes)
    return lines.sort()


def _check(path: Path, number: np.ndarray, columns: dict[str, np.ndarray]) -> None:
    for name, value in columns.items():
        low, high = LIMITS[name]
        bad = np.flatnonzero(~((value >= low) & (value <= high)))
        if bad.size:
            raise DataError(
                f"{path}: line {number[bad[0]]} has the {name} {value[bad[0]]}, which must be "
                f"within {low:g} and {high:g}; correct or remove the line."
            )
