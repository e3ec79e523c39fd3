"""The line list of GALAH DR3 (Buder et al. 2021, MNRAS 506, 150) in the HDF5 file of Korg.

Wavelengths are in vacuum, in single precision (0.0005 Angstrom). Isotope fractions are in log gf
and isotopes are not named (Korg's script that made the file). Reading needs h5py, which StarNet
does not install.
"""

from __future__ import annotations

import importlib
from functools import lru_cache
from pathlib import Path

from starnet.errors import MissingDependencyError, ReadError
from starnet.synthesis.lines._rows import NAN, Raw, Row, given, vdw_number
from starnet.synthesis.lines.species import encode

COLUMNS = ("formula", "ionization", "wl", "log_gf", "E_lo", "gamma_rad", "gamma_stark", "vdW")


def read(path: Path) -> Raw:
    """Read the HDF5 file.

    Raises
    ------
    MissingDependencyError
        Where h5py is not installed.
    """
    try:
        h5py = importlib.import_module("h5py")
    except ImportError as error:
        raise MissingDependencyError(
            f"{path} is an HDF5 file, which needs the package h5py; install it with "
            "`pip install h5py`, or use a list in text form."
        ) from error
    try:
        with h5py.File(path, "r") as file:
            lists = [file[name][:].tolist() for name in COLUMNS]
    except (OSError, KeyError) as error:
        raise ReadError(f"{path} must hold the columns {', '.join(COLUMNS)}: {error}") from error
    rows = []
    for number, values in enumerate(zip(*lists, strict=True), start=1):
        formula, stage, wave, loggf, excitation, rad, stark, vdw = values
        species = _species(*formula, stage)
        rad = rad if rad > 0 else NAN
        rows.append(
            Row(number, wave, species, excitation, loggf, rad, given(stark), *vdw_number(vdw))
        )
    return Raw(rows, "vacuum", scaled=True)


@lru_cache(maxsize=4096)
def _species(first: int, second: int, third: int, stage: int) -> int:
    return encode([(z, 0) for z in (first, second, third) if z], stage - 1)
