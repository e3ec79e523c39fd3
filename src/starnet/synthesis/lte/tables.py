"""The physics tables of the engine, read from a folder: facts measured or computed by others.

Each table has its source beside it. What is read is kept as plain float64 arrays on grids even in
log10 T, so that the equation of state can interpolate them with derivatives.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline, PchipInterpolator

from starnet.errors import DataError
from starnet.synthesis.composition import ELEMENTS
from starnet.synthesis.constants import BOLTZMANN_EV, H_IONISATION

Array = NDArray[Any]  # float64

LOG_T = np.linspace(2.7, 4.6, 191)
"""Nodes of log10 T (500 to 40,000 K) on which everything is tabulated here."""

ATOMS = "partition_funcs.h5"
IONISATION = "BarklemCollet2016-ionization_energies.dat"
EQUILIBRIUM = "BarklemCollet2016-equilibrium_constants.dat"
MOLECULES = "BarklemCollet2016-molecular_partition.dat"
POLYATOMIC = "polyatomic_partition_funcs.h5"
H_MINUS = "McLaughlin2017Hminusbf.h5"
H_BOUND_FREE = "individual_H_cross-sections.h5"
GAUNT = "vanHoof2014-nr-gauntff.dat"
STARK = "Stehle-Hutchson-hydrogen-profiles.h5"
FILES = (ATOMS, IONISATION, EQUILIBRIUM, MOLECULES, POLYATOMIC, H_MINUS, H_BOUND_FREE, GAUNT, STARK)
"""What must lie in the folder."""

# Energies to break up into atoms at 0 K, eV, from the enthalpies of formation of the Active
# Thermochemical Tables (Ruscic et al.), and what the nuclei's spins add to ExoMol's partition
# functions (2 I + 1 for each nucleus), by the names of the file: atoms in order of the alphabet.
KJ_PER_MOL = 1 / 96.48533
BREAK_UP = {
    "HHO": ("H2O", 917.81 * KJ_PER_MOL, 4.0),
    "HCN": ("HCN", 1268.32 * KJ_PER_MOL, 6.0),
    "COO": ("CO2", 1598.18 * KJ_PER_MOL, 1.0),
    "HHCC": ("C2H2", 1625.99 * KJ_PER_MOL, 4.0),
}
STARK_NODES = 240
"""Offsets of the profiles of hydrogen lines, but for the centre."""
_UNBOUND = 300.0  # eV: what is never ionised


@dataclass(frozen=True, eq=False)
class Molecule:
    """A molecule in equilibrium with its atoms.

    Attributes
    ----------
    name : str
    atoms : tuple of int
        Atomic numbers, in rising order.
    log_k : array (T,)
        ln (product of the atoms' partial pressures / its own), dyn/cm2, on `LOG_T`, times T so
        that it is smooth.
    log_q : array (T,)
        ln of its partition function.
    """

    name: str
    atoms: tuple[int, ...]
    log_k: Array
    log_q: Array


@dataclass(frozen=True, eq=False)
class Tables:
    """Everything that the engine reads, except lines and atmospheres.

    Attributes
    ----------
    log_u : array (92, 3, T)
        ln of the partition functions of atoms, ions and double ions on `LOG_T`. Korg's tables
        of NIST levels (Wheeler et al. 2023, AJ 165, 68).
    ionisation : array (92, 2)
        eV (Barklem and Collet 2016, A&A 588, A96).
    molecules : dict of Molecule
        By name. Diatomic ones from Barklem and Collet 2016; others from partition functions of
        ExoMol and the energies of `BREAK_UP`.
    h_minus : (array, array)
        Frequency (Hz) and cross section (cm2) of H- (McLaughlin et al. 2017, J. Phys. B 50,
        114001).
    h_bound_free : (array (n,), array (n, E), array (n, E))
        Levels, photon energies (eV) and cross sections (Mb) of hydrogen (Nahar, NORAD).
    gaunt : (array, array, array (u, gamma2))
        log10 u, log10 gamma**2 and free-free Gaunt factors (van Hoof et al. 2014, MNRAS 444, 420).
    stark : dict of (lower, upper)
        `StarkTable`s (Stehle and Hutcheon 1999, A&AS 140, 93).
    """

    log_u: Array
    ionisation: Array
    molecules: dict[str, Molecule]
    h_minus: tuple[Array, Array]
    h_bound_free: tuple[Array, Array, Array]
    gaunt: tuple[Array, Array, Array]
    stark: dict[tuple[int, int], StarkTable]

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> Tables:
        """Read the folder; it is kept, so that a second call is free.

        Raises
        ------
        DataError
            If a file is absent or cannot be read, by name.
        """
        return _open(Path(folder).resolve())


@dataclass(frozen=True, eq=False)
class StarkTable:
    """Profiles of one hydrogen line, broadened by Stark effect and heat.

    Attributes
    ----------
    loggf : float
    log_offset : array (X,)
        ln of frequency offset over Holtsmark field, Hz/esu; the first is the line centre, the
        others are even.
    log_density, log_temperature : array (N,), (T,)
        ln of electrons per cm3 and of K.
    log_profile : array (X, N, T)
        ln of the profile per Hz; its integral over frequency is one.
    """

    loggf: float
    log_offset: Array
    log_density: Array
    log_temperature: Array
    log_profile: Array


@functools.lru_cache(maxsize=4)
def _open(folder: Path) -> Tables:
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise DataError(
            f"{folder} lacks {', '.join(missing)}, which the engine needs; get them with "
            f"'starnet download physics', or name the folder that holds them."
        )
    return Tables(
        log_u=_read(folder / ATOMS, _atoms),
        ionisation=_read(folder / IONISATION, _ionisation),
        molecules=_read(folder / EQUILIBRIUM, _diatomic) | _read(folder / POLYATOMIC, _polyatomic),
        h_minus=_read(folder / H_MINUS, _h_minus),
        h_bound_free=_read(folder / H_BOUND_FREE, _h_bound_free),
        gaunt=_read(folder / GAUNT, _gaunt),
        stark=_read(folder / STARK, _stark),
    )


def _read(path: Path, reader: Callable[[Path], Any]) -> Any:
    try:
        return reader(path)
    except (OSError, KeyError, ValueError, IndexError) as error:
        raise DataError(
            f"{path}: the table cannot be read ({error}); get it again with "
            f"'starnet download physics'."
        ) from error


def _atoms(path: Path) -> Array:
    import h5py

    file: Any
    log_u = np.zeros((92, 3, LOG_T.size))
    with h5py.File(path) as file:
        # named log, they are natural logarithms
        start, step = (float(file[k][()]) / np.log(10) for k in ("logT_min", "logT_step"))
        for z, symbol in enumerate(ELEMENTS):
            for stage, numeral in enumerate(("I", "II", "III")):
                if (name := f"{symbol} {numeral}") in file:
                    u = np.maximum(file[name][...], 1e-3)
                    nodes = start + step * np.arange(u.size)
                    log_u[z, stage] = np.interp(LOG_T, nodes, np.log(u))
    log_u[0, 1] = 0.0  # the proton
    return log_u


def _ionisation(path: Path) -> Array:
    energies = np.full((92, 2), _UNBOUND)
    for line in path.read_text().splitlines():
        words = line.split()
        if words and words[0].isdigit() and int(words[0]) <= 92:
            values = [float(word) for word in words[2:4]]
            energies[int(words[0]) - 1] = [v if v > 0 else _UNBOUND for v in values]
    if (known := int((energies[:, 0] < _UNBOUND).sum())) < 80:
        raise ValueError(f"it holds {known} of 92 elements")
    return energies


def _rows(path: Path) -> tuple[Array, dict[str, Array]]:
    """Temperatures and rows by name of a table of Barklem and Collet."""
    temperature, rows = np.zeros(0), {}
    for line in path.read_text().splitlines():
        words = line.replace("[K]", "").split()
        if words[:2] == ["#", "T"]:
            temperature = np.array([float(word) for word in words[2:]])
        elif words and not words[0].startswith("#"):
            rows[words[0]] = np.array([float(word) for word in words[1:]])
    if not temperature.size or not rows:
        raise ValueError("it has no temperatures or no rows")
    return temperature, rows


def _diatomic(path: Path) -> dict[str, Molecule]:
    temperature, constants = _rows(path)
    t_q, partition = _rows(path.with_name(MOLECULES))
    warm, t = temperature >= 300, 10**LOG_T
    found = {}
    for name, log_pk in constants.items():
        atoms = _formula(name)
        if len(atoms) != 2 or name not in partition:
            continue  # ions of molecules
        # log10 of a pressure in Pa, 10 dyn/cm2; times T it is nearly straight over T
        by_t = _spline(temperature[warm], (log_pk * temperature)[warm], t)
        log_k = np.log(10) * (by_t + t)
        log_q = _spline(np.log10(t_q[warm]), np.log(partition[name][warm]), LOG_T)
        found[name] = Molecule(name, tuple(sorted(atoms)), log_k, log_q)
    return found


def _spline(x: Array, y: Array, at: Array) -> Array:
    """A cubic spline, which goes on straight beyond its ends."""
    curve = CubicSpline(x, y, bc_type="natural")
    inside = np.clip(at, x[0], x[-1])
    return np.asarray(curve(inside) + curve(inside, 1) * (at - inside))


def _formula(name: str) -> list[int]:
    """Atomic numbers of a neutral molecule by name such as "SiO" or "C2"; empty for others."""
    import re

    atoms: list[int] = []
    for symbol, count in re.findall(r"([A-Z][a-z]?)(\d?)", name):
        if symbol not in ELEMENTS:
            return []
        atoms += [ELEMENTS.index(symbol) + 1] * int(count or 1)
    return [] if "+" in name or "-" in name else atoms


def _polyatomic(path: Path) -> dict[str, Molecule]:
    import h5py

    file: Any
    atoms = _atoms(path.with_name(ATOMS))
    t, found = 10**LOG_T, {}
    with h5py.File(path) as file:
        for key, (name, energy, spins) in BREAK_UP.items():
            group = file[key]
            temperature = group["temp"][...]
            values = group["partition_function"][...] / spins
            log_q = np.interp(LOG_T, np.log10(temperature), np.log(values))
            z = tuple(sorted(_formula(name)))
            log_k = t * (_saha(z, t, atoms, log_q) - energy / (BOLTZMANN_EV * t))
            found[name] = Molecule(name, z, log_k, log_q)
    return found


def _saha(atoms: tuple[int, ...], t: Array, log_u: Array, log_q: Array) -> Array:
    """ln of (product of atoms' Q (2 pi m kT / h2)**1.5 kT) / (the same of the molecule)."""
    from starnet.synthesis.constants import BOLTZMANN, DALTON, MASSES, PLANCK

    def translation(mass: float) -> Array:
        return 1.5 * np.log(2 * np.pi * mass * DALTON * BOLTZMANN * t / PLANCK**2)

    parts = sum(log_u[z - 1, 0] + translation(MASSES[z - 1]) + np.log(BOLTZMANN * t) for z in atoms)
    whole = log_q + translation(sum(MASSES[z - 1] for z in atoms)) + np.log(BOLTZMANN * t)
    return np.asarray(parts - whole)


def _h_minus(path: Path) -> tuple[Array, Array]:
    import h5py

    file: Any
    with h5py.File(path) as file:
        return file["nu"][...], file["sigma"][...]


def _h_bound_free(path: Path) -> tuple[Array, Array, Array]:
    import h5py

    file: Any
    with h5py.File(path) as file:
        n, energy, sigma = file["n"][...], file["E"][...], file["sigma"][...]
    if not np.allclose(energy[:, 0] * n**2, H_IONISATION, rtol=1e-3):
        raise ValueError("its energies do not begin at the thresholds of hydrogen")
    return n, energy, sigma


def _gaunt(path: Path) -> tuple[Array, Array, Array]:
    lines = [line.split("#")[0].split() for line in path.read_text().splitlines()]
    rows = [line for line in lines if line]
    (n_gamma, n_u), (gamma0,), (u0,), (step,) = (
        [float(word) for word in rows[i]] for i in range(1, 5)
    )
    table = np.array([[float(word) for word in row] for row in rows[5 : 5 + int(n_u)]])
    log_u, log_gamma = (
        a + step * np.arange(n) for a, n in ((u0, int(n_u)), (gamma0, int(n_gamma)))
    )
    if table.shape != (log_u.size, log_gamma.size):
        raise ValueError(f"its shape is {table.shape}")
    return log_u, log_gamma, table


def _stark(path: Path) -> dict[tuple[int, int], StarkTable]:
    import h5py

    file: Any
    found = {}
    with h5py.File(path) as file:
        for group in file.values():
            offset, profile = _even(group["delta_nu_over_F0"][...], group["profile"][...])
            found[int(group.attrs["lower"]), int(group.attrs["upper"])] = StarkTable(
                float(group.attrs["log_gf"]),
                offset,
                np.log(group["electron_number_densities"][...]),
                np.log(group["temps"][...]),
                profile,
            )
    return found


def _even(offset: Array, profile: Array) -> tuple[Array, Array]:
    """ln of offsets and profiles (X, N, T) on even steps: the table's own grow uneven in the wings.

    Steps are finer than the table's, with monotone cubics between its nodes, because straight
    lines would cut off up to 29 % of a Doppler core. Where the table is empty (dense and cold gas)
    the profile is that of the next hotter gas, else of the next thinner.
    """
    log_profile = np.log(np.maximum(profile, 1e-300))
    empty = profile.max(axis=0) <= 0  # (N, T)
    for j in range(empty.shape[1] - 2, -1, -1):
        rows = empty[:, j] & ~empty[:, j + 1]
        log_profile[:, rows, j] = log_profile[:, rows, j + 1]
        empty[rows, j] = False
    for i in range(1, len(empty)):
        log_profile[:, i, empty[i]] = log_profile[:, i - 1, empty[i]]
    log_offset = np.log(offset[1:])
    even = np.linspace(log_offset[0], log_offset[-1], STARK_NODES)
    centre = even[0] + np.log(1e-3)  # as far as the logarithm is concerned
    wings = PchipInterpolator(log_offset, log_profile[1:])(even)
    return np.concatenate([[centre], even]), np.concatenate([log_profile[:1], wings])
