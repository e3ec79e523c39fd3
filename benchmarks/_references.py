"""The stored spectra of other codes, and what they were computed from.

The references lie in ``physics/reference_spectra`` of the data folder. What was found by running
PySME 1.2 until it gave them back (to 5e-5): it had no widths of lines at all, so that its own
Unsold widths stand, which are ours to 0.03 dex, and no Stark widths; its Sun had the abundances of
Asplund et al. (2009) and no lines of C2. The column of widths in the stored line list was not used.
Turbospectrum's run could not be repeated; it fits the abundances of Grevesse et al. (2007), and 2.5
times the Unsold width, which is its usual setting where a list says nothing else.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from _record import ROOT
from starnet.spectra.air import air_to_vacuum
from starnet.synthesis.atmospheres import Atmosphere, read_atmosphere
from starnet.synthesis.composition import SOLAR
from starnet.synthesis.lines import LineList, VdwKind, encode, parse_species
from starnet.synthesis.lte.engine import LteEngine, Structure
from starnet.synthesis.lte.tables import Tables

Array = NDArray[Any]
DATA = Path(os.environ.get("STARNET_TEST_DATA", ROOT.parent / "shared" / "data"))
PHYSICS = DATA / "physics"
GIANTS = ("giant_4250", "giant_3500", "giant_5000")
NO_WIDTH = -30.0
TURBOSPECTRUM_FACTOR = 2.5
FWHM_TO_SIGMA = 2.354820045


def reference_lines(physics: Path = PHYSICS) -> LineList:
    """The line list of the references, in vacuum, without widths by hydrogen or electrons."""
    with np.load(physics / "reference_spectra" / "hband_lines_used.npz") as file:
        data = {name: file[name] for name in file.files}
    species = [
        parse_species(str(name)) if name else encode([(int(z), 0)], int(stage))
        for z, stage, name in zip(
            data["atomic_number"], data["ionization"], data["molecule"], strict=True
        )
    ]
    return LineList(
        air_to_vacuum(data["wavelength_air"]),
        np.array(species),
        data["excitation_ev"],
        data["log_gf"],
        gamma_stark=np.full(len(species), NO_WIDTH),
        sources=("reference list",),
    )


def turbospectrum_lines(lines: LineList) -> LineList:
    """The same lines with Turbospectrum's usual widths of atoms."""
    atom = ~lines.is_molecule
    return replace(
        lines,
        vdw=np.where(atom, TURBOSPECTRUM_FACTOR, np.nan),
        vdw_kind=np.where(atom, VdwKind.UNSOLD_FACTOR, VdwKind.NONE),
    )


def fine(start: float, stop: float, resolution: float = 300_000.0) -> Array:
    """Wavelengths even in the logarithm."""
    n = int(np.log(stop / start) * resolution) + 1
    return start * np.exp(np.arange(n) / resolution)


def smooth(flux: Array, resolution: float, step: float) -> Array:
    """Gaussian line spread on pixels of ``step`` in ln wavelength."""
    sigma = 1 / resolution / FWHM_TO_SIGMA / step
    reach = int(5 * sigma) + 1
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return np.convolve(np.pad(flux, reach, mode="edge"), kernel / kernel.sum(), "valid")


def reference(name: str, physics: Path = PHYSICS) -> dict[str, Array]:
    """What a file of the references holds, its wavelengths in vacuum too."""
    with np.load(physics / "reference_spectra" / f"{name}.npz") as file:
        data = {key: file[key] for key in file.files}
    return data | {"wavelength": air_to_vacuum(data["wavelength_air"])}


def difference(
    name: str, wave: Array, flux: Array, resolution: float = 22_500.0, physics: Path = PHYSICS
) -> float:
    """rms of flux minus a reference, both at a resolving power, 3 Angstrom within their ends."""
    data = reference(name, physics)
    step = float(np.log(wave[1] / wave[0]))
    other = np.interp(wave, data["wavelength"], data["flux"].astype(float))
    gap = smooth(flux, resolution, step) - smooth(other, resolution, step)
    low = max(wave[0], data["wavelength"][0]) + 3
    high = min(wave[-1], data["wavelength"][-1]) - 3
    inside = (wave > low) & (wave < high)
    return float(np.sqrt(np.mean(gap[inside] ** 2)))


def giant(name: str, physics: Path = PHYSICS) -> tuple[Structure, torch.Tensor, torch.Tensor]:
    """Structure, abundances and vmic of a giant, as its file has them."""
    data = reference(f"{name}_pysme", physics)
    structure = Structure(
        _tensor(data["T"]), _tensor(data["pg"]), _tensor(10.0 ** data["log_tau5000"]), "tau_5000"
    )
    vmic = torch.tensor([float(data["vmic_kms"])], dtype=torch.float64)
    return structure, _tensor(data["abund_nX_over_nH"]), vmic


def sun(solar: str, physics: Path = PHYSICS) -> tuple[Structure, torch.Tensor, torch.Tensor]:
    """The MARCS Sun with abundances of `SOLAR`, and vmic of 1 km/s."""
    model = sun_model(physics)
    structure = Structure(
        _tensor(model.temperature),
        _tensor(model.gas_pressure),
        _tensor(model.tau_5000),
        "tau_5000",
    )
    abundances = _tensor(10.0 ** (SOLAR[solar] - 12))
    return structure, abundances, torch.ones(1, dtype=torch.float64)


def sun_model(physics: Path = PHYSICS) -> Atmosphere:
    """The MARCS Sun."""
    return read_atmosphere(physics / "atmospheres" / "marcs" / "sun.mod")


def spectrum(
    lines: LineList, wave: Array, star: Any, *, hydrogen: bool, physics: Path = PHYSICS
) -> Array:
    """Our normalised flux."""
    engine = LteEngine(lines, wave, Tables.open(physics / "tables"), hydrogen=hydrogen)
    with torch.no_grad():
        return engine(*star).normalized[0].double().numpy()


def _tensor(values: Any) -> torch.Tensor:
    return torch.tensor(np.asarray(values, dtype=float))[None]
