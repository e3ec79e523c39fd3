"""Kurucz's lists of atomic lines (gfall and its kin, fixed columns).

Columns: wavelength in nm (air above 200 nm), log gf, species (26.01 is Fe II), energies of the two
levels in 1/cm with J and label (negative: predicted), log10 of the radiative, Stark and van der
Waals widths, reference, departure indices, and isotope numbers with the log10 share of a hyperfine
component and of an isotope (kurucz.harvard.edu/linelists.html; Kurucz 2018, ASP Conf. 515, 47).
The share of a hyperfine component is added to log gf, that of an isotope is left to the fractions
that are asked for at reading.
"""

from __future__ import annotations

import re
from pathlib import Path

from starnet.errors import ConfigError
from starnet.synthesis.lines._rows import NAN, Raw, Row, corrupt, given, read_text
from starnet.synthesis.lines.linelist import VdwKind
from starnet.synthesis.lines.species import encode
from starnet.synthesis.lines.vald import CM_PER_EV

NEED = "wavelength in nm, log gf, species and two energies in Kurucz's columns"
_SPECIES = re.compile(r"^\s*(\d{1,2})\.(\d\d)$")


def identify(head: list[str]) -> bool:
    """Whether the first line has numbers where Kurucz's columns have them."""
    found = [text for text in head if text.strip()]
    try:
        return bool(found) and _row(1, found[0]) is not None
    except (ValueError, ConfigError):
        return False


def read(path: Path) -> Raw:
    """Read a list in Kurucz's columns."""
    rows: list[Row] = []
    for number, text in enumerate(read_text(path), start=1):
        if text.strip():
            try:
                rows.append(_row(number, text))
            except (ValueError, ConfigError):
                raise corrupt(path, number, text, NEED) from None
    return Raw(rows)


def _row(number: int, text: str) -> Row:
    species = _SPECIES.match(text[18:24])
    if species is None or len(text.rstrip()) < 70:
        raise ValueError("no species")
    wave, loggf = float(text[0:11]) * 10.0, float(text[11:18])
    energies = abs(float(text[24:36])), abs(float(text[52:64]))
    rad, stark, vdw = (given(_optional(text[i : i + 6])) for i in (80, 86, 92))
    mass = int(_optional(text[106:109]))  # the isotope of a hyperfine component
    mass = mass or int(_optional(text[115:118]))
    code = encode([(int(species[1]), mass)], int(species[2]))
    kind = VdwKind.NONE if vdw != vdw else VdwKind.LOG_GAMMA
    loggf += _optional(text[109:115])
    return Row(number, wave, code, min(energies) / CM_PER_EV, loggf, rad, stark, vdw, NAN, kind)


def _optional(text: str) -> float:
    return float(text) if text.strip() else 0.0
