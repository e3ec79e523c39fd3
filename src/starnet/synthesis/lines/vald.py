"""VALD line lists: "extract stellar" and "extract all", short and long format.

The header names the columns and whether wavelengths are in air or vacuum; the end of the file says
whether log gf is scaled by the solar isotopic ratios (VALD documentation; Ryabchikova et al. 2015,
Phys. Scr. 90, 054005). Isotopologues stand at the end of a reference, like (48)TiO.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from starnet.errors import ConfigError, ReadError
from starnet.synthesis.lines._rows import Medium, Raw, Row, corrupt, given, read_text, vdw_number
from starnet.synthesis.lines.species import (
    NUMBERS,
    encode,
    mass_numbers,
    parse_species,
    without_isotopes,
)

CM_PER_EV = 8065.543937
"""Wavenumbers of one eV (CODATA 2018)."""

_COLUMNS = re.compile(r"\bWL_(air|vac)\((A|nm)\)")
_LINE = re.compile(r"^\s*'([A-Z][A-Za-z0-9]*) (\d)',")
_REGION = re.compile(r"^\s*[\d.]+,\s*[\d.]+,\s*(\d+),\s*\d+.*Wavelength region")
_ISOTOPE = re.compile(r"(?:\((\d{1,3})\))?([A-Z][a-z]?)")


@dataclass(frozen=True)
class _Layout:
    """Where the numbers of a line stand: excitation, log gf, and the three damping constants."""

    medium: Medium
    angstrom: float
    ev: float
    long: bool
    excitation: int
    loggf: int
    damping: int


def identify(head: list[str]) -> bool:
    """Whether the first lines hold VALD's header, or lines like VALD's."""
    return any(_COLUMNS.search(text) or _REGION.match(text) for text in head) or any(
        _LINE.match(text) and text.count(",") >= 6 for text in head
    )


def read(path: Path) -> Raw:
    """Read a VALD line list. The header is needed, and the end when isotopes are named."""
    texts = read_text(path)
    layout = _layout(path, texts)
    rows: list[Row] = []
    for place, text in enumerate(texts):
        found = _LINE.match(text)
        if found:
            note = texts[place + 3] if layout.long and place + 3 < len(texts) else text
            rows.append(_row(path, place + 1, text, found, layout, note))
    _check_count(path, texts, len(rows))
    return Raw(rows, layout.medium, _scaled(path, texts, rows))


def _layout(path: Path, texts: list[str]) -> _Layout:
    for text in texts[:10]:
        found = _COLUMNS.search(text)
        if found is None:
            continue
        long = "E_low" in text
        vmic = "Vmic" in text.split("log gf")[0]
        return _Layout(
            medium="air" if found[1] == "air" else "vacuum",
            angstrom=10.0 if found[2] == "nm" else 1.0,
            ev=1.0 if re.search(r"(Excit|E_low)\(eV\)", text) else 1 / CM_PER_EV,
            long=long,
            excitation=3 if long else 2,
            loggf=2 if long else 3 + vmic,
            damping=10 if long else 4 + vmic,
        )
    raise ReadError(
        f"{path} must have VALD's header with a column WL_air or WL_vac in A or nm, for nothing "
        "else says what the wavelengths are; extract it again and keep the header."
    )


def _row(
    path: Path, number: int, text: str, found: re.Match[str], layout: _Layout, note: str
) -> Row:
    words = text.split(",")
    try:
        wave, loggf = float(words[1]) * layout.angstrom, float(words[layout.loggf])
        excitation = float(words[layout.excitation]) * layout.ev
        rad, stark, waals = (float(words[layout.damping + i]) for i in range(3))
        species = _species(found[1], int(found[2]), note)
    except (ValueError, IndexError, ConfigError):
        raise corrupt(path, number, text, "a line of the columns in VALD's header") from None
    vdw = vdw_number(waals)
    return Row(number, wave, species, excitation, loggf, given(rad), given(stark), *vdw)


def _species(name: str, stage: int, note: str) -> int:
    """Code of a species, with isotopes where the note ends with its formula and names them."""
    code = parse_species(f"{name} {stage}")
    words = note.strip(" '\t").split()
    atoms = [
        (NUMBERS.get(s, 0), int(a or 0)) for a, s in _ISOTOPE.findall(words[-1] if words else "")
    ]
    if not any(mass for _, mass in atoms) or not all(z for z, _ in atoms) or len(atoms) > 3:
        return code
    isotopologue = encode(atoms, stage - 1)
    return isotopologue if without_isotopes(isotopologue)[0] == code else code


def _check_count(path: Path, texts: list[str], n: int) -> None:
    promised = next((int(m[1]) for m in map(_REGION.match, texts[:5]) if m), n)
    if promised != n:
        raise ReadError(
            f"{path} must hold the {promised} lines that its header promises; it holds {n}. "
            "Is the file cut off?"
        )


def _scaled(path: Path, texts: list[str], rows: list[Row]) -> bool:
    for text in texts:
        if "oscillator strengths were NOT scaled" in text:
            return False
        if "oscillator strengths were scaled" in text:
            return True
    if any(mass_numbers(row.species).any() for row in rows):
        raise ReadError(
            f"{path} must say whether oscillator strengths were scaled by isotopic ratios, for it "
            "names isotopes; the end of VALD's file says it. Keep it."
        )
    return False
