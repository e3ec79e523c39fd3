"""Kurucz models: the text that ATLAS9 and ATLAS12 write (Castelli & Kurucz 2003, IAU Symp. 210)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from starnet.errors import ReadError
from starnet.synthesis.elements import SYMBOLS

from .atmosphere import Atmosphere, FloatArray

SOLAR: Mapping[str, float] = {
    "Fe": 7.50, "O": 8.83, "Ne": 8.08, "Mg": 7.58, "Si": 7.55, "S": 7.33, "Ca": 6.36, "Ti": 5.02,
}  # fmt: skip
"""Solar abundances (Grevesse & Sauval 1998, Space Sci. Rev. 85, 161), ATLAS9's reference."""

ABSENT = -19.0
"""Abundances at or below, on the scale of all atoms, are "none" (the files write -20.00)."""

NEEDED = ("RHOX", "T", "P", "XNE", "ABROSS")
# ATLAS writes fixed columns, so that numbers may touch: 1.234E-0312345.6
NUMBER = re.compile(r"[-+]?\d+\.\d*(?:[EeDd][-+]?\d{2})?")


def identify(head: bytes) -> bool:
    """Whether the first bytes of a file are those of an ATLAS model."""
    return bool(re.match(rb"\s*TEFF\s+[\d.]+\s+GRAVITY", head))


def read(path: Path) -> tuple[Atmosphere, ...]:
    """The models of a file, one or several behind one another.

    ``m_h`` is the abundance scale plus iron's own change against `SOLAR`, ``alpha_m`` the median
    change of O, Ne, Mg, Si, S, Ca and Ti over iron, both to 0.01 dex. The models are
    plane-parallel; the Rosseland depth is integrated from the opacity.

    Raises
    ------
    ReadError
        If the file is cut off or a number cannot be read.
    """
    text = path.read_text(encoding="ascii", errors="replace")
    text = text[: text.rfind("\n") + 1]  # a last line without an end may be cut
    blocks = re.split(r"(?m)^(?=\s*TEFF\s)", text)
    try:
        return tuple(_model(block, path.name) for block in blocks if block.strip())
    except (ValueError, IndexError, KeyError, AttributeError) as error:
        if isinstance(error, ReadError):
            raise
        raise ReadError(
            f"{path}: not a whole ATLAS model ({error}); the file is cut off or changed, get it "
            f"again from its source."
        ) from error


def _model(block: str, name: str) -> Atmosphere:
    columns = _deck(block)
    abundances = _abundances(block)
    m_h, alpha_m = _mixture(abundances)
    return Atmosphere(
        teff=float(_found(r"TEFF\s+([\d.]+)", block)),
        logg=float(_found(r"GRAVITY\s+([-\d.]+)", block)),
        m_h=m_h,
        alpha_m=alpha_m,
        rhox=columns["RHOX"],
        temperature=columns["T"],
        gas_pressure=columns["P"],
        electron_density=columns["XNE"],
        opacity_ross=columns["ABROSS"],
        vmic=_vmic(block, columns),
        abundances=abundances,
        source=f"ATLAS {name}",
    ).with_tau_ross()


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    if found is None:
        raise KeyError(f"no {pattern.split(chr(92))[0]}")
    return found.group(1)


def _deck(block: str) -> dict[str, FloatArray]:
    """Columns of the deck by name, each (D,)."""
    heading = re.search(r"(?m)^READ DECK6\s+(\d+)\s+(.*)$", block)
    if heading is None:
        raise KeyError("no READ DECK6")
    n, names = int(heading.group(1)), re.findall(r"\w+", heading.group(2))
    rows = [NUMBER.findall(line) for line in block[heading.end() :].splitlines()[1 : n + 1]]
    whole = [row for row in rows if len(row) >= len(names)]
    if len(whole) < n or len(rows) < n:
        raise ValueError(f"{len(whole)} whole rows of {n} below READ DECK6")
    if missing := [column for column in NEEDED if column not in names]:
        raise ValueError(f"no column {', '.join(missing)}")
    table = [[float(word.replace("D", "E")) for word in row[: len(names)]] for row in rows]
    return dict(zip(names, np.array(table).T, strict=True))


def _abundances(block: str) -> dict[str, float]:
    """log10 of numbers with hydrogen at 12; metals carry the abundance scale."""
    scale = float(_found(r"ABUNDANCE SCALE\s+([\d.Ee+-]+)", block))
    head = block[: block.index("READ DECK6")]
    pairs: dict[int, float] = {}
    for run in re.findall(r"ABUNDANCE CHANGE((?:\s+\d+\s+-?[\d.]+)+)", head):
        words = run.split()
        pairs |= {int(z): float(a) for z, a in zip(words[::2], words[1::2], strict=True)}
    hydrogen = np.log10(pairs[1])
    fractions = {1: hydrogen, 2: np.log10(pairs[2])}  # the two are numbers, metals logarithms
    metals = {z: a + np.log10(scale) for z, a in pairs.items() if z > 2 and a > ABSENT}
    return {
        SYMBOLS[z - 1]: round(float(a - hydrogen + 12.0), 4)
        for z, a in (fractions | metals).items()
    }


def _mixture(abundances: Mapping[str, float]) -> tuple[float, float]:
    change = {element: abundances[element] - solar for element, solar in SOLAR.items()}
    iron = change.pop("Fe")
    return round(iron, 2) + 0.0, round(float(np.median(list(change.values()))) - iron, 2) + 0.0


def _vmic(block: str, columns: Mapping[str, FloatArray]) -> float:
    """Microturbulence in km/s: of the deck (cm/s), else of the title, else unknown."""
    if "VTURB" in columns and np.median(columns["VTURB"]) > 0:
        return round(float(np.median(columns["VTURB"])) / 1e5, 3)
    title = re.search(r"VTURB[ =]*([\d.]+)", block)
    return float(title.group(1)) if title else np.nan
