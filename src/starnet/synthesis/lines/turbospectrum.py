"""Turbospectrum line lists: blocks of one species each.

A block: its species, stage of ionisation and number of lines; a comment; then the lines:
wavelength (air, Angstrom), excitation (eV), log gf, van der Waals number, statistical weight of the
upper level, radiative width (1/s), Stark width (log10) and labels (Plez 2012, Astrophysics Source
Code Library 1205.004, and its documentation). `0607.012014` is 12C14N, `26.000` Fe, 000 the natural
mixture. log gf is per isotopologue, so fractions are multiplied in at reading.
"""

from __future__ import annotations

import re
from math import log10
from pathlib import Path

from starnet.errors import ConfigError, ReadError
from starnet.synthesis.lines._rows import NAN, Raw, Row, corrupt, given, read_text, vdw_number
from starnet.synthesis.lines.species import encode

HEADER = re.compile(r"^\s*'\s*(\d+)\.?(\d*)\s*'\s+(\d+)\s+(\d+)\s*$")
NEED = "wavelength, excitation in eV, log gf, van der Waals number, weight and radiative width"


def identify(head: list[str]) -> bool:
    """Whether a file begins with the header of a block."""
    found = [text for text in head if text.strip()]
    return bool(found) and HEADER.match(found[0]) is not None


def read(path: Path) -> Raw:
    """Read a Turbospectrum line list; a block with fewer lines than it promises is an error."""
    rows: list[Row] = []
    block: tuple[int, str, int, int] | None = None  # line of header, name, species, lines to come
    comment = False
    for number, text in enumerate(read_text(path), start=1):
        header = HEADER.match(text)
        if header:
            _finish(path, block)
            block = (number, header[1], _species(path, number, text, header), int(header[4]))
            comment = True
        elif comment and text.lstrip().startswith("'"):
            comment = False
        elif text.strip():
            if block is None:
                raise corrupt(path, number, text, "the header of a block")
            rows.append(_row(path, number, text, block[2]))
            block = (*block[:3], block[3] - 1)
    _finish(path, block)
    return Raw(rows)


def _finish(path: Path, block: tuple[int, str, int, int] | None) -> None:
    if block is not None and block[3] != 0:
        word = "fewer" if block[3] > 0 else "more"
        raise ReadError(
            f"{path}: the block of species {block[1]} at line {block[0]} must hold the number of "
            f"lines that it promises; it holds {abs(block[3])} {word}. Is the file cut off?"
        )


def _species(path: Path, number: int, text: str, header: re.Match[str]) -> int:
    body, tail, stage = header[1], header[2], int(header[3])
    body = body.zfill(len(body) + len(body) % 2)
    atoms = [int(body[i : i + 2]) for i in range(0, len(body), 2)]
    tail = tail.ljust(3 * len(atoms), "0")
    masses = [int(tail[i : i + 3]) for i in range(0, 3 * len(atoms), 3)]
    try:
        return encode(zip(atoms, masses, strict=True), stage - 1)
    except ConfigError as error:
        raise corrupt(path, number, text, f"a species ({error})") from error


def _row(path: Path, number: int, text: str, species: int) -> Row:
    words = text.split("'", 1)[0].split()
    try:
        wave, excitation, loggf, damping, _, radiative = (float(w) for w in words[:6])
        stark = float(words[6]) if len(words) > 6 else 0.0
    except ValueError:
        raise corrupt(path, number, text, NEED) from None
    # The lists of molecules fill the column with 0 or 1, which is no width of a real level.
    rad = log10(radiative) if radiative > 10 else NAN
    vdw, alpha, kind = vdw_number(damping)
    return Row(number, wave, species, excitation, loggf, rad, given(stark), vdw, alpha, kind)
