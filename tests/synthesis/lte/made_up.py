"""Made-up physics for tests that need no real data, and the stars that tests share."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from starnet.synthesis.atmospheres import AtmosphereEmulator, read_atmosphere
from starnet.synthesis.composition import SOLAR
from starnet.synthesis.constants import BOLTZMANN, BOLTZMANN_EV, H_IONISATION
from starnet.synthesis.lines import LineList, parse_species
from starnet.synthesis.lte.engine import Structure
from starnet.synthesis.lte.eos import MAIN
from starnet.synthesis.lte.tables import LOG_T, Molecule, Tables

SYMBOLS = {"H": 1, "C": 6, "N": 7, "O": 8, "Mg": 12, "Al": 13, "Si": 14, "S": 16, "Cl": 17}
SYMBOLS |= {"Ca": 20, "Ti": 22, "V": 23, "Cr": 24, "Fe": 26}


def tables() -> Tables:
    """Small tables with the right shapes and orders of magnitude; no hydrogen lines."""
    log_u = np.full((92, 3, LOG_T.size), np.log(10.0))
    log_u[0, :2] = np.log([[2.0], [1.0]])
    log_u[1, :2] = np.log([[1.0], [2.0]])
    ionisation = np.tile([8.0, 16.0], (92, 1))
    ionisation[:2] = [[H_IONISATION, 300.0], [24.587, 54.418]]
    n = np.arange(1, 41)
    energy = H_IONISATION / n[:, None] ** 2 * np.geomspace(1, 300, 40)
    sigma = 2 * n[:, None] ** 3 * 7.9 * np.geomspace(1, 300, 40) ** -3.0
    nu = np.linspace(1.8e14, 3e16, 400)
    axis = np.linspace(-16, 13, 30), np.linspace(-6, 10, 17)
    molecules = {name: molecule(name) for name in MAIN}
    return Tables(
        log_u,
        ionisation,
        molecules,
        (nu, np.full(400, 3e-17)),
        (n, energy, sigma),
        (*axis, np.ones((30, 17))),
        {},
    )


def molecule(name: str) -> Molecule:
    """Bound by 4 eV for each atom but the first."""
    import re

    atoms: list[int] = []
    for symbol, count in re.findall(r"([A-Z][a-z]?)(\d?)", name):
        atoms += [SYMBOLS[symbol]] * int(count or 1)
    t, more = 10**LOG_T, len(atoms) - 1
    log_k = more * (25.0 * t + 2.5 * t * np.log(t / 5000) - 4.0 / BOLTZMANN_EV)
    return Molecule(name, tuple(sorted(atoms)), log_k, np.log(t))


def emulator() -> AtmosphereEmulator:
    """Grey atmospheres at the middle of the range; labels move them a little, without kinks.

    One hidden neuron per label stays on the rising side of the leaky ReLU.
    """
    depths = np.linspace(-4.5, 2.0, 30)
    t = 0.25 * np.log10(0.75 * (10**depths + 2 / 3)) + np.log10(5000.0)
    base = np.stack([0.6 * depths + 0.5, t, 0.6 * depths + 3.5, 0.6 * depths + 10, 0 * depths])
    first = np.tile(np.eye(4), (5, 1, 1))
    last = np.zeros((5, 30, 4))
    last[1, :, 0] = np.log10(6000 / 4000)  # hotter
    last[0, :, 1], last[2, :, 1] = -2.0, 2.0  # denser, in hydrostatic equilibrium
    last[:3:2, :, 2] = -0.5
    bias = base - last.sum(axis=2)
    low, high = np.array([4000.0, 1.0, -2.0, 0.0]), np.array([6000.0, 5.0, 0.5, 0.4])
    corners = np.stack(np.meshgrid(*zip(low, high, strict=True)), axis=-1).reshape(-1, 4)
    return AtmosphereEmulator(
        (first, last), (np.ones((5, 4)), bias), low, high, corners, source="made up"
    )


def lines(start: float = 16000.0, stop: float = 16010.0, n: int = 30) -> LineList:
    """Lines of iron, magnesium, carbon monoxide and ionised titanium, even in wavelength."""
    names = ("Fe I", "Mg I", "CO", "Ti II")
    species = [parse_species(names[i % len(names)]) for i in range(n)]
    strength = np.array([-0.5, -1.5, -4.0, -1.0])[np.arange(n) % len(names)]
    excitation = np.array([4.0, 5.0, 0.5, 1.0])[np.arange(n) % len(names)]
    wave = np.linspace(start + 0.3, stop - 0.3, n)
    return LineList(wave, np.array(species), excitation, strength, sources=("made up",))


def log_grid(start: float, stop: float, resolution: float = 300_000.0) -> np.ndarray:
    """Even in the logarithm."""
    n = int(np.log(stop / start) * resolution) + 1
    return np.exp(np.log(start) + np.arange(n) / resolution)


def tensor(values: object) -> Tensor:
    """One star: (1, ...) float64."""
    return torch.as_tensor(np.array(values, dtype=float))[None]


def solar() -> Tensor:
    """Numbers relative to hydrogen, (1, 92)."""
    return tensor(10 ** (SOLAR["grevesse2007"] - 12))


def grey(teff: float = 5500.0, n: int = 40, gravity: float = 1e4) -> Structure:
    """A grey atmosphere on a column mass."""
    tau = np.geomspace(1e-5, 100, n)
    rhox = 4.0 * tau**0.6
    t = teff * (0.75 * (tau + 2 / 3)) ** 0.25
    return Structure(tensor(t), tensor(gravity * rhox), tensor(rhox))


def sun(folder: Path, scale: str = "tau_5000") -> Structure:
    """The MARCS Sun."""
    model = read_atmosphere(folder / "atmospheres/marcs/sun.mod")
    columns = (model.temperature, model.gas_pressure, getattr(model, scale))
    return Structure(*(tensor(x) for x in columns), scale)


def particles(t: Tensor, pressure: Tensor) -> Tensor:
    """Per cm3."""
    return pressure / (BOLTZMANN * t)
