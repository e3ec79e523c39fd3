"""Isochrone tables as the CMD service of the PARSEC group writes them.

Columns of text between blanks, under a line of names, a comment or not. One file may hold several
isochrones: rows of one age and metallicity in the order of mass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.errors import LabelError

Array = NDArray[Any]
Z_SUN = 0.0152
"""CMD takes [M/H] = log10(Z / 0.0152) for these tracks (Bressan et al. 2012, MNRAS 427, 127)."""
SPELLINGS = {
    "age": ("age",),
    "log_age": ("logage", "log(age/yr)", "log(age)"),
    "m_h": ("mh", "[m/h]"),
    "z": ("zini", "z0"),
    "mass": ("mini", "m_ini", "m_initial"),
    "log_teff": ("logte", "logt", "log_te"),
    "logg": ("logg",),
    "stage": ("label", "stage"),
}


@dataclass(frozen=True, eq=False)
class Isochrone:
    """Stars of one age and metallicity in the order of initial mass.

    Attributes
    ----------
    age : float
        Gyr, as the rows say; names of files may say otherwise.
    m_h : float
    mass, teff, logg : array (N,)
        Initial mass in solar masses, K, dex.
    stage : array (N,)
        0 before the main sequence, 1 on it, 2 subgiants, 3 the red giant branch, 4 to 6 core
        helium burning, 7 and 8 the asymptotic giant branch, 9 after it.
    """

    age: float
    m_h: float
    mass: Array
    teff: Array
    logg: Array
    stage: Array


def read_isochrones(path: str | Path) -> tuple[Isochrone, ...]:
    """The isochrones of a file, or of the files in a folder (``*.dat``, ``*.txt``).

    Raises
    ------
    LabelError
        If there is no file, or one is no table of isochrones.
    """
    path = Path(path)
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix in (".dat", ".txt"))
    else:
        files = [path] if path.is_file() else []
    if not files:
        raise LabelError(
            f"There are no isochrone tables at {path}; give a file of the PARSEC group's CMD "
            "service, or a folder of them (*.dat)."
        )
    return tuple(one for file in files for one in _read(file))


def _read(path: Path) -> list[Isochrone]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise LabelError(f"{path} cannot be read as text: {error}.") from error
    names, rows = _split(lines)
    column = {key: _place(names, spelled) for key, spelled in SPELLINGS.items()}
    needs = ("mass", "log_teff", "logg", "stage")
    absent = [SPELLINGS[key][0] for key in needs if column[key] is None]
    absent += [] if column["age"] is not None or column["log_age"] is not None else ["age"]
    absent += [] if column["m_h"] is not None or column["z"] is not None else ["Zini"]
    if absent:
        raise LabelError(
            f"{path} is no isochrone table of the CMD service: it has no column "
            f"{', '.join(absent)}. Download it with all columns."
        )
    try:
        wide = len(names)
        values = np.array([[float(word) for word in row[:wide]] for row in rows]).reshape(-1, wide)
    except ValueError as error:
        raise LabelError(f"{path} has a damaged row ({error}); get the file again.") from error
    if not len(values) or not np.isfinite(values).all():
        raise LabelError(f"{path} has no rows of finite numbers; get the file again.")
    return _grouped({k: values[:, i] for k, i in column.items() if i is not None})


def _split(lines: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """The names of the columns, and the words of each row."""
    names: list[str] = []
    rows = []
    for line in lines:
        words = line.strip().lstrip("#").split()
        if {"logg", "logG"} & set(words):
            names = [word.lower() for word in words]
        elif words and not line.lstrip().startswith("#"):
            rows.append(words)
    return names, rows


def _place(names: Sequence[str], spelled: Sequence[str]) -> int | None:
    return next((names.index(name) for name in spelled if name in names), None)


def _grouped(columns: dict[str, Array]) -> list[Isochrone]:
    age = columns["age"] / 1e9 if "age" in columns else 10.0 ** (columns["log_age"] - 9.0)
    m_h = columns["m_h"] if "m_h" in columns else np.log10(columns["z"] / Z_SUN)
    key = np.round(np.column_stack([age, m_h]), 6)
    out = []
    for pair in np.unique(key, axis=0):
        rows = np.flatnonzero(np.all(key == pair, axis=1))
        rows = rows[np.argsort(columns["mass"][rows], kind="stable")]
        teff = 10.0 ** columns["log_teff"][rows]
        stage = columns["stage"][rows].astype(int)
        facts = columns["mass"][rows], teff, columns["logg"][rows], stage
        out.append(Isochrone(float(pair[0]), float(pair[1]), *facts))
    return out
