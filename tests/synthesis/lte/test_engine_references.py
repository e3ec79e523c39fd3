"""Spectra that other codes made of the same atmospheres and lines, at R = 22,500.

The lists hold 17 times Gray's Unsold width where PySME ran with its own, so what is read is divided
by 12 for it; Turbospectrum ran with Unsold's width times 2.5.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from starnet.spectra.air import air_to_vacuum
from starnet.synthesis.lines import LineList, VdwKind, encode, parse_species
from starnet.synthesis.lte.engine import LteEngine, Structure
from starnet.synthesis.lte.tables import Tables

from . import made_up

R_GRID, R = 300_000.0, 22_500.0
SUN = (15160.0, 16980.0)
GIANT = (15705.0, 16285.0)


@pytest.fixture(scope="module")
def data(physics: Path) -> Any:
    return np.load(physics / "reference_spectra/hband_lines_used.npz")


def lines(data: Any, kind: VdwKind, low: float, high: float) -> LineList:
    wave = air_to_vacuum(data["wavelength_air"])
    near = np.flatnonzero((wave > low - 40) & (wave < high + 40))
    atom = data["molecule"][near] == ""
    rows = zip(data["atomic_number"][near], data["ionization"][near], strict=True)
    codes = [
        encode([(int(z), 0)], int(i)) if a else parse_species(str(name))
        for (z, i), name, a in zip(rows, data["molecule"][near], atom, strict=True)
    ]
    given = data["log_gamma_vdw"][near]
    has = atom & (given != 0)
    values = given - np.log10(12) if kind == VdwKind.LOG_GAMMA else np.full(near.size, 2.5)
    used = has if kind == VdwKind.LOG_GAMMA else atom
    return LineList(
        wave[near],
        np.array(codes),
        data["excitation_ev"][near],
        data["log_gf"][near],
        vdw=np.where(used, values, np.nan),
        vdw_kind=np.where(used, int(kind), 0),
    )


def smoothed(wave: np.ndarray, flux: np.ndarray) -> np.ndarray:
    sigma = 1 / R / 2.3548 * R_GRID
    x = np.arange(-int(5 * sigma), int(5 * sigma) + 1) / sigma
    kernel = np.exp(-0.5 * x**2)
    return np.convolve(flux, kernel / kernel.sum(), "same")


def rms(folder: Path, name: str, wave: np.ndarray, flux: np.ndarray) -> float:
    stored = np.load(folder / f"reference_spectra/{name}.npz")
    own = np.interp(wave, air_to_vacuum(stored["wavelength_air"]), stored["flux"].astype(float))
    inside = slice(200, -200)
    return float(np.sqrt(np.mean((smoothed(wave, flux) - smoothed(wave, own))[inside] ** 2)))


@pytest.mark.parametrize(
    ("name", "kind", "hydrogen", "most"),
    [
        ("sun_hband_pysme", VdwKind.LOG_GAMMA, False, 0.004),
        ("sun_hband_turbospectrum", VdwKind.UNSOLD_FACTOR, True, 0.004),
    ],
)
def test_the_sun(physics, tables: Tables, data, name, kind, hydrogen, most):
    wave = made_up.log_grid(*SUN, R_GRID)
    engine = LteEngine(lines(data, kind, *SUN), wave, tables, hydrogen=hydrogen)
    one = torch.ones(1, dtype=torch.float64)
    with torch.no_grad():
        flux = engine(made_up.sun(physics), made_up.solar(), one).normalized[0].numpy()
    assert rms(physics, name, wave, flux) < most


@pytest.mark.parametrize(
    ("name", "most"),
    [("giant_4250_pysme", 0.003), ("giant_3500_pysme", 0.006), ("giant_5000_pysme", 0.0015)],
)
def test_giants(physics, tables: Tables, data, name: str, most: float):
    stored = np.load(physics / f"reference_spectra/{name}.npz")
    columns = (stored["T"], stored["pg"], 10 ** stored["log_tau5000"])
    structure = Structure(*(made_up.tensor(x) for x in columns), "tau_5000")
    wave = made_up.log_grid(*GIANT, R_GRID)
    engine = LteEngine(lines(data, VdwKind.LOG_GAMMA, *GIANT), wave, tables, hydrogen=False)
    vmic = torch.tensor([float(stored["vmic_kms"])], dtype=torch.float64)
    with torch.no_grad():
        made = engine(structure, made_up.tensor(stored["abund_nX_over_nH"]), vmic)
    assert rms(physics, name, wave, made.normalized[0].numpy()) < most
