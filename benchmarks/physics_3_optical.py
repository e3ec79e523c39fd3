"""Figure 3 of `physics`: observed optical spectra of five stars against ours, 4815-5388 Angstrom.

    python benchmarks/physics_3_optical.py [--data DIR]

The spectra have R = 47,000; both they and the models are also brought to R = 2,000. Stars have the
accepted labels of the Gaia benchmark stars; the Sun is the MARCS model, the others come from the
emulator of atmospheres. Lines are the default ones of the physics inputs, not calibrated. Nothing
is fitted but radial velocity, one Gaussian width (rotation, macroturbulence and the instrument),
and a continuum: a cubic spline with a knot every 50 Angstrom, by least squares. PySME gets the
Sun's atmosphere, lines, width and continuum in the same way.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray
from scipy.interpolate import BSpline
from scipy.optimize import minimize

from _record import record
from _references import DATA, fine, smooth
from starnet.errors import MissingDependencyError
from starnet.spectra import Labels, WavelengthGrid, air_to_vacuum
from starnet.synthesis.atmospheres import read_atmosphere
from starnet.synthesis.inputs import PhysicsInputs
from starnet.synthesis.lte.synthesizer import LteSynthesizer
from starnet.synthesis.lte.tables import Tables

Array = NDArray[Any]
RANGE = (4815.0, 5388.0)  # Angstrom, in air
NAMES = ("teff", "logg", "fe_h", "alpha_fe", "vmic")
STARS: dict[str, tuple[str, tuple[float, ...]]] = {
    # labels: Gaia FGK benchmark stars v3 (Soubiran et al. 2024); alpha and vmic: Jofre et al. 2014,
    # 2015, rounded
    "sun": ("ATLAS.Sun_47000.fits", (5777.0, 4.44, 0.0, 0.0, 1.0)),
    "hd106038": ("UVES_HD106038_47000.fits", (6172.0, 4.28, -1.33, 0.4, 1.4)),
    "bet_hyi": ("UVES_betHyi-1_47000.fits", (5917.0, 3.97, -0.12, 0.0, 1.3)),
    "eps_eri": ("UVES_epsEri-2_47000.fits", (5062.0, 4.60, -0.08, 0.0, 1.1)),
    "hd175305": ("NARVAL_HD175305_47000.fits", (4902.0, 2.53, -1.45, 0.3, 1.4)),
}
LOW_R = 2000.0


def observed(path: Path) -> tuple[Array, Array]:
    """Vacuum wavelengths and flux of one spectrum within the range."""
    with fits.open(path) as hdus:
        header, flux = hdus[0].header, np.array(hdus[0].data, dtype=float)  # type: ignore[union-attr]
    nm = header["CRVAL1"] + header["CDELT1"] * np.arange(flux.size)
    air = 10.0 * nm
    inside = (air > RANGE[0]) & (air < RANGE[1]) & np.isfinite(flux) & (flux > 0)
    return air_to_vacuum(air[inside]), flux[inside]


def continuum(wave: Array, flux: Array, model: Array) -> Array:
    """The smooth factor on the model that fits the flux best."""
    knots = np.linspace(wave[0], wave[-1], int((wave[-1] - wave[0]) / 50) + 1)
    padded = np.concatenate([[knots[0]] * 3, knots, [knots[-1]] * 3])
    basis = BSpline.design_matrix(np.clip(wave, knots[0], knots[-1] - 1e-9), padded, 3).toarray()
    weights, *_ = np.linalg.lstsq(basis * model[:, None], flux, rcond=None)
    return basis @ weights


def residual(
    grid: Array, model: Array, wave: Array, flux: Array, shift: float, resolution: float
) -> Array:
    """Observed minus model, in units of the continuum."""
    step = float(np.log(grid[1] / grid[0]))
    at = np.interp(wave, grid * (1 + shift / 299792.458), smooth(model, resolution, step))
    level = continuum(wave, flux, at)
    return flux / level - at


def compare(grid: Array, model: Array, wave: Array, flux: Array) -> dict[str, float]:
    """rms at both resolving powers, and what was fitted."""

    def cost(x: Array) -> float:
        resolution = np.clip(np.exp(x[1]), 5e3, 1e5)
        return float(np.sum(residual(grid, model, wave, flux, x[0], resolution) ** 2))

    begin = min(((v, np.log(4e4)) for v in np.arange(-30.0, 31.0, 3.0)), key=cost)
    options = {"xatol": 0.01, "initial_simplex": np.add(begin, [[0, 0], [1.5, 0], [0, -0.3]])}
    best = minimize(cost, begin, method="Nelder-Mead", options=options)
    shift, resolution = best.x[0], float(np.clip(np.exp(best.x[1]), 5e3, 1e5))
    fine_rms = np.sqrt(np.mean(residual(grid, model, wave, flux, shift, resolution) ** 2))
    even = fine(wave[1], wave[-2], 100_000.0)
    low = smooth(np.interp(even, wave, flux), LOW_R, 1e-5)
    inner = slice(300, -300)
    gap = residual(grid, model, even[inner], low[inner], shift, LOW_R)
    return {
        "r47000": float(fine_rms),
        "r2000": float(np.sqrt(np.mean(gap**2))),
        "rv_km_s": float(shift),
        "resolution_with_broadening": float(resolution),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    data = parser.parse_args().data
    inputs = PhysicsInputs.locate(data / "physics")
    low, high = air_to_vacuum(np.array(RANGE))
    grid = WavelengthGrid(fine(low - 6, high + 6), "vacuum")
    lines = inputs.lines(low - 20, high + 20)
    tables = Tables.open(inputs.path("tables"))
    sun = read_atmosphere(inputs.file("atmospheres/marcs/sun.mod"))
    table: dict[str, dict[str, float]] = {}
    for star, (name, values) in STARS.items():
        source = sun if star == "sun" else inputs.atmospheres("cool")
        engine = LteSynthesizer(source, lines, tables)
        model = engine.emergent(Labels(NAMES, [values]), grid, outside="clamp")[0][0]
        table[star] = compare(grid.wavelength, model, *observed(data / "highres" / name))
        print(star, table[star])
    figures = {
        "sun_r47000": table["sun"]["r47000"],
        "sun_r2000": table["sun"]["r2000"],
        "pysme_sun_r47000": None,
        "pysme_sun_r2000": None,
    }
    try:
        from starnet.synthesis.engines.pysme import PySME

        engine = PySME(sun, lines, hydrogen=True)
        labels = Labels(NAMES, [[sun.teff, sun.logg, 0.0, 0.0, 1.0]])
        model = engine.emergent(labels, grid, outside="clamp")[0][0]
        name = STARS["sun"][0]
        table["sun_by_pysme"] = compare(grid.wavelength, model, *observed(data / "highres" / name))
        print("pysme", table["sun_by_pysme"])
        figures["pysme_sun_r47000"] = table["sun_by_pysme"]["r47000"]
        figures["pysme_sun_r2000"] = table["sun_by_pysme"]["r2000"]
    except MissingDependencyError as error:
        print(error)
    record("physics", 3, figures, seed=None, stars=table, lines=len(lines))


if __name__ == "__main__":
    main()
