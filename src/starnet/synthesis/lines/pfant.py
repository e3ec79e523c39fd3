"""Atomic lines of PFANT (Barbuy et al. 2018, Astrophysics Source Code Library 1812.014).

Two lines each: species and wavelength (air, Angstrom), "FE1  16002.266"; then excitation (eV),
log gf, van der Waals constant C6, and fields that are left out here. C6 was computed from VALD's
log gamma as 10**(2.5 log gamma - 12.32), which is undone at reading; VALD's "not given" (0) has
become 10**-12.32.
"""

from __future__ import annotations

import re
from math import log10
from pathlib import Path

from starnet.errors import ConfigError
from starnet.synthesis.lines._rows import Raw, Row, corrupt, read_text, vdw_number
from starnet.synthesis.lines.species import parse_species

_FIRST = re.compile(r"^\s?([A-Z]{1,2})\s?([1-9])\s+(\d+\.\d+)\s*$")
_OFFSET = 12.32


def identify(head: list[str]) -> bool:
    """Whether the first two lines are a line of PFANT."""
    return len(head) > 1 and bool(_FIRST.match(head[0])) and len(head[1].split()) == 8


def read(path: Path) -> Raw:
    """Read a PFANT list of atoms."""
    texts = [(i, text) for i, text in enumerate(read_text(path), start=1) if text.strip()]
    rows: list[Row] = []
    for (number, text), (below, numbers) in zip(
        texts[::2], [*texts[1::2], (len(texts) + 1, "")], strict=False
    ):
        found = _FIRST.match(text)
        if found is None:
            raise corrupt(path, number, text, 'a species and a wavelength like "FE1  16002.266"')
        rows.append(_row(path, number, found, below, numbers))
    return Raw(rows)


def _row(path: Path, number: int, found: re.Match[str], below: int, text: str) -> Row:
    try:
        excitation, loggf, c6 = (float(word) for word in text.split()[:3])
        species = parse_species(f"{found[1].capitalize()} {found[2]}")
        log_gamma = round((log10(c6) + _OFFSET) / 2.5, 3)
    except (ValueError, ConfigError):
        raise corrupt(path, below, text, "excitation in eV, log gf and C6 of an atom") from None
    # Hydrogen lines and the like have numbers that are no width: not given.
    vdw = vdw_number(min(log_gamma, 0.0))
    return Row(
        number, float(found[3]), species, excitation, loggf, float("nan"), float("nan"), *vdw
    )
