"""Species of lines: atoms, ions, molecules and their isotopologues as one integer code.

A code is decimal and can be read: up to three atoms ``ZZZAAA`` (atomic number, mass number; 000
for the natural mixture of isotopes) in order of Z, then one digit of charge. Fe I is 260000, Fe II
260001, 12C14N is 60120070140. Codes sort, compare and sit in arrays, where names would not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starnet.errors import ConfigError
from starnet.synthesis.elements import SYMBOLS as ALL_SYMBOLS

SYMBOLS = list(ALL_SYMBOLS[:96])
"""Symbols of the elements; that of atomic number Z stands at Z - 1."""

NUMBERS = {symbol: z for z, symbol in enumerate(SYMBOLS, start=1)}
"""Atomic numbers by symbol."""

ROMAN = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X")
_WRITTEN = {"OH2": "H2O", "CNH": "HCN", "FH": "HF", "ClH": "HCl", "CSi": "SiC", "NSi": "SiN"}
_BLOCK = 10**6
_NAME = re.compile(
    r"^\s*(?P<formula>[A-Za-z0-9]+?)(?:[\s_]+(?P<stage>[IVX]+|\d))?(?P<plus>\+*)\s*$"
)
_COUNTED = re.compile(r"()([A-Z][a-z]?)(\d?)")
_LABELLED = re.compile(r"(\d{0,3})([A-Z][a-z]?)()")


def encode(atoms: Iterable[tuple[int, int]], charge: int = 0) -> int:
    """Code of a species.

    Parameters
    ----------
    atoms : iterable of (Z, A)
        One to three atoms, in any order; A is the mass number, 0 for the natural mixture.
    charge : int
        0 to 9 in units of the elementary charge.

    Raises
    ------
    ConfigError
        If there are no atoms or more than three, or a number is out of range.
    """
    found = sorted(atoms)
    fits = all(0 < z <= len(SYMBOLS) and (a == 0 or z <= a <= 3 * z + 2) for z, a in found)
    if not 0 < len(found) <= 3 or not fits or not 0 <= charge <= 9:
        raise ConfigError(
            f"a species has 1 to 3 atoms (Z, A) of Z 1 to {len(SYMBOLS)} with a mass number that "
            f"such a nucleus can have, and a charge of 0 to 9; received {found}, charge {charge}."
        )
    code = 0
    for z, a in found:
        code = code * _BLOCK + 1000 * z + a
    return code * 10 + charge


def blocks(codes: ArrayLike) -> NDArray[np.int64]:
    """Atoms of species: array (N, 3) of 1000 Z + A in order of Z, with 0 in front of the rest."""
    body = np.asarray(codes, dtype=np.int64).reshape(-1) // 10
    return np.stack([body // _BLOCK**2, body // _BLOCK % _BLOCK, body % _BLOCK], axis=1)


def atomic_numbers(codes: ArrayLike) -> NDArray[np.int64]:
    """Atomic numbers of the atoms of species: array (N, 3), 0 where there is no atom."""
    return blocks(codes) // 1000


def mass_numbers(codes: ArrayLike) -> NDArray[np.int64]:
    """Mass numbers of the atoms of species: array (N, 3), 0 for the natural mixture."""
    return blocks(codes) % 1000


def charges(codes: ArrayLike) -> NDArray[np.int64]:
    """Charges of species: array (N,), 0 for neutral ones."""
    return np.asarray(codes, dtype=np.int64).reshape(-1) % 10


def without_isotopes(codes: ArrayLike) -> NDArray[np.int64]:
    """Species with their mass numbers left out: array (N,). 12C14N and 13C14N both become CN."""
    z = atomic_numbers(codes) * 1000
    return ((z[:, 0] * _BLOCK + z[:, 1]) * _BLOCK + z[:, 2]) * 10 + charges(codes)


@lru_cache(maxsize=4096)
def parse_species(name: str) -> int:
    """Code of a species by name: "Fe I", "Fe 1", "151Eu II", "CN", "12C14N", "H2O", "H2+".

    Raises
    ------
    ConfigError
        For an unknown element, an atom without its stage of ionisation, or another spelling.
    """
    parts = _NAME.match(name)
    atoms = _atoms(parts["formula"]) if parts else []
    if parts is None or not atoms:
        raise ConfigError(
            f'a species is written like "Fe I", "151Eu II", "CN" or "12C14N"; received {name!r}.'
        )
    stage = parts["stage"]
    if stage is None and len(atoms) == 1 and not parts["plus"]:
        raise ConfigError(f'an atom needs its stage, for instance "{name} I"; received {name!r}.')
    charge = len(parts["plus"])
    if stage is not None:
        charge = ROMAN.index(stage) if stage in ROMAN else int(stage) - 1
    return encode(atoms, charge)


def _atoms(formula: str) -> list[tuple[int, int]]:
    """Atoms of a formula; empty where it is no formula.

    Numbers are mass numbers where the formula begins with one, else they are counts.
    """
    atoms: list[tuple[int, int]] = []
    end = 0
    pattern = _LABELLED if formula[0].isdigit() else _COUNTED
    for found in pattern.finditer(formula):
        mass, symbol, count = found.groups()
        if found.start() != end or symbol not in NUMBERS:
            return []
        atoms += [(NUMBERS[symbol], int(mass or 0))] * int(count or 1)
        end = found.end()
    return atoms if end == len(formula) else []


@lru_cache(maxsize=4096)
def species_name(code: int) -> str:
    """Name of a species: "Fe I", "151Eu II", "CN", "12C14N", "H2O"; a molecule's charge as "+"."""
    rows = [(int(b) // 1000, int(b) % 1000) for b in blocks(code)[0] if b]
    charge = int(code) % 10
    if len(rows) == 1:
        (z, a), stage = rows[0], ROMAN[charge]
        return f"{a or ''}{SYMBOLS[z - 1]} {stage}"
    # Oxides and hydrides are written with O and H last, the others in order of Z; atoms without
    # a mass number follow those with one, so that the name begins with a number.
    rows.sort(key=lambda atom: (not atom[1], {8: 1, 1: 2}.get(atom[0], 0), atom))
    if any(a for _, a in rows):
        return "".join(f"{a or ''}{SYMBOLS[z - 1]}" for z, a in rows) + "+" * charge
    counts = ((SYMBOLS[z - 1], rows.count((z, a))) for z, a in dict.fromkeys(rows))
    formula = "".join(f"{symbol}{count if count > 1 else ''}" for symbol, count in counts)
    return _WRITTEN.get(formula, formula) + "+" * charge
