"""MARCS models in their public text format ``.mod`` (Gustafsson et al. 2008, A&A 486, 951)."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from starnet.errors import ReadError
from starnet.synthesis.constants import BOLTZMANN
from starnet.synthesis.elements import SYMBOLS

from .atmosphere import Atmosphere, FloatArray

ABSENT = -90.0
"""Abundances below are "none" (the files write -99.00)."""


def identify(head: bytes) -> bool:
    """Whether the first bytes of a file are those of a MARCS model."""
    return b"Teff [K]" in head and b"Microturbulence parameter" in head


def read(path: Path) -> tuple[Atmosphere, ...]:
    """The one model of a MARCS file.

    Column mass, density and Rosseland opacity are the file's own; electrons per cm3 are its
    electron pressure over kT. A radius of 1 cm marks a plane-parallel model.

    Raises
    ------
    ReadError
        If the file is cut off or a number cannot be read.
    """
    text = path.read_text(encoding="ascii", errors="replace")
    lines = text.splitlines()[: None if text.endswith("\n") else -1]  # the last may be cut
    try:
        return (_model(lines, str(path.name)),)
    except (ValueError, IndexError, KeyError) as error:
        if isinstance(error, ReadError):
            raise
        raise ReadError(
            f"{path}: not a whole MARCS model ({error}); the file is cut off or changed, get it "
            f"again from its source."
        ) from error


def _model(lines: list[str], name: str) -> Atmosphere:
    metals = _numbers(lines, "Metallicity", 2)
    radius, mass = _numbers(lines, "adius", 1)[0], _numbers(lines, " mass | Mass ", 1)[0]
    n = int(_numbers(lines, "Number of depth points", 1)[0])
    structure, state = _table(lines, "lgTau5", n), _table(lines, "KappaRoss", n)
    temperature = structure["T"]
    with np.errstate(divide="ignore", invalid="ignore"):  # the value refuses what is not finite
        electrons = structure["Pe"] / (BOLTZMANN * temperature)
    spherical = radius > 1.0
    return Atmosphere(
        teff=_numbers(lines, r"Teff \[K\]", 1)[0],
        logg=round(float(np.log10(_numbers(lines, "Surface gravity", 1)[0])), 4),
        m_h=metals[0],
        alpha_m=metals[1],
        rhox=state["RHOX"],
        temperature=temperature,
        gas_pressure=structure["Pg"],
        electron_density=electrons,
        density=state["Density"],
        opacity_ross=state["KappaRoss"],
        tau_ross=10.0 ** structure["lgTauR"],
        tau_5000=10.0 ** structure["lgTau5"],
        depth=structure["Depth"],
        radius=radius if spherical else None,
        mass=mass if spherical else np.nan,
        vmic=_numbers(lines, "Microturbulence", 1)[0],
        abundances=_abundances(lines),
        source=f"MARCS {name}",
    )


def _line(lines: list[str], pattern: str) -> int:
    for i, line in enumerate(lines):
        if re.search(pattern, line):
            return i
    raise KeyError(f"no line with {pattern.strip()!r}")


def _numbers(lines: list[str], pattern: str, n: int) -> list[float]:
    """The first ``n`` numbers of the line that holds ``pattern``."""
    return [float(word) for word in lines[_line(lines, pattern)].split()[:n]]


def _abundances(lines: list[str]) -> dict[str, float]:
    first, last = _line(lines, "Logarithmic chemical"), _line(lines, "Number of depth points")
    values = [float(word) for line in lines[first + 1 : last] for word in line.split()]
    if len(values) < 92:
        raise ValueError(f"{len(values)} abundances instead of 92")
    return {s: a for s, a in zip(SYMBOLS, values, strict=False) if a > ABSENT}


def _table(lines: list[str], column: str, n: int) -> dict[str, FloatArray]:
    """The ``n`` rows below the heading that names ``column``, by column name."""
    first = _line(lines, column)
    names = lines[first].split()
    rows = [line.split() for line in lines[first + 1 : first + 1 + n]]
    if len(rows) < n or any(len(row) != len(names) for row in rows):
        whole = sum(len(row) == len(names) for row in rows)
        raise ValueError(f"{whole} whole rows of {n} below {column}")
    return dict(zip(names, np.array(rows, dtype=np.float64).T, strict=True))
