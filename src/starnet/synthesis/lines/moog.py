"""MOOG line lists, those of linemake included.

A line: wavelength (air, Angstrom), species, excitation (eV), log gf, then van der Waals number and
dissociation energy where given (Sneden's MOOG manual; linemake: Placco et al. 2021, Research Notes
of the AAS 5, 92). Species: 26.0 is Fe I, 26.1 Fe II, 63.1151 the isotope 151 of Eu II, 607.01214
12C14N. Every isotopologue carries the full gf, so fractions are multiplied in at reading. In
`goodgfhfs` a line with hyperfine structure comes twice: its total, marked by a negative wavelength,
then its components. Only the components are read.
"""

from __future__ import annotations

import re
from functools import lru_cache
from math import log10
from pathlib import Path

from starnet.errors import ConfigError
from starnet.synthesis.lines._rows import NAN, Raw, Row, corrupt, read_text, vdw_number
from starnet.synthesis.lines.linelist import LIMITS, VdwKind
from starnet.synthesis.lines.species import encode, mass_numbers, without_isotopes

NEED = "wavelength, species (26.0), excitation in eV and log gf"
_SPECIES = re.compile(r"(\d{1,6})(?:\.(\d)(\d*))?$")


def identify(head: list[str]) -> bool:
    """Whether the first lines of a file are MOOG's, with or without a title."""
    found = [text for text in head if text.strip()][:3]
    rows = [_row(i, text) for i, text in enumerate(found)]
    return bool(rows) and (all(rows) or (len(rows) > 1 and all(rows[1:])))


def read(path: Path) -> Raw:
    """Read a MOOG line list; see the module's notes."""
    rows: list[Row] = []
    total: Row | None = None
    started = False
    for number, text in enumerate(read_text(path), start=1):
        if not text.strip():
            continue
        row = _row(number, text)
        if row is None:
            if started:
                raise corrupt(path, number, text, NEED)
            started = True  # the first line may be a title
            continue
        started = True
        if total is not None and not _is_total_of(total, row):
            rows.append(total)
        total = row._replace(wavelength=-row.wavelength) if row.wavelength < 0 else None
        if total is None:
            rows.append(row)
    if total is not None:
        rows.append(total)
    return Raw(rows)


def _is_total_of(total: Row, row: Row) -> bool:
    """Whether a negative line is the sum of the components that begin with ``row``."""
    same = without_isotopes(row.species)[0] == without_isotopes(total.species)[0]
    split = mass_numbers(row.species).any() and abs(row.excitation - total.excitation) < 0.01
    return bool(same and split and abs(abs(row.wavelength) - total.wavelength) < 3.0)


def _row(number: int, text: str) -> Row | None:
    """The line of a text; None where it is none."""
    fixed = text[:40].split()
    free = len(fixed) != 4
    words = text.split() if free else fixed
    try:
        wave, excitation, loggf = float(words[0]), float(words[2]), float(words[3])
        species = moog_species(words[1])
    except (ValueError, IndexError):
        return None
    lowest, highest = LIMITS["excitation"]
    if not lowest <= excitation <= highest or species == 0:
        return None
    field = "".join(words[4:5]) if free else text[40:50].strip()
    if not field:
        return Row(number, wave, species, excitation, loggf)
    vdw, kind = _vdw(_number(field))
    return Row(number, wave, species, excitation, loggf, vdw=vdw, vdw_kind=kind)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _vdw(value: float) -> tuple[float, VdwKind]:
    """MOOG's van der Waals number: below 1e-10 a width, else Unsold's factor, or log10 of these."""
    if 0 < value < 1e-10:
        return log10(value), VdwKind.LOG_GAMMA
    if value > 20:
        return NAN, VdwKind.NONE
    vdw, _, kind = vdw_number(value)
    return vdw, kind


@lru_cache(maxsize=4096)
def moog_species(text: str) -> int:
    """Code of a species in MOOG's spelling; 0 where it is none."""
    parts = _SPECIES.match(text)
    if parts is None:
        return 0
    body, charge, tail = parts[1], int(parts[2] or 0), parts[3] or ""
    if len(body) <= 2:
        atoms = [int(body)]
        masses = [int(tail or 0)]
    else:
        body = body.zfill(len(body) + len(body) % 2)
        atoms = [int(body[i : i + 2]) for i in range(0, len(body), 2)]
        tail = tail.ljust(2 * len(atoms), "0")
        masses = [int(tail[i : i + 2]) for i in range(0, 2 * len(atoms), 2)]
    try:
        return encode(zip(atoms, masses, strict=True), charge)
    except ConfigError:
        return 0
