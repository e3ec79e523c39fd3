"""Makes the tables of strong lines that `starnet explain` names features by.

    python benchmarks/strong_lines.py [--physics FOLDER] [--out src/starnet/explain/lines]

For each line of the default list and each of five stars, our engine (lte, with its corrections)
gives the derivative of the absorbed flux by ln gf, which is the line's equivalent width in the
star's spectrum, blends and saturation included, where the line is weak, and less where it is
strong. Isotopologues and hyperfine components are one line: those of a species within MERGE of a
resolving power are added up, at their mean wavelength. Lines of at least WEAKEST in some star are
kept. The tables hold positions and these strengths, no line data.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from astropy.table import Table, vstack
from numpy.typing import NDArray

from _references import PHYSICS
from starnet.synthesis.lines.species import species_name, without_isotopes
from starnet.synthesis.lte.synthesizer import LteSynthesizer

Array = NDArray[Any]
NAMES = ("teff", "logg", "fe_h", "vmic", "c_fe", "n_fe", "ce_fe")
STARS = {
    "cool_giant": (4000.0, 1.2, 0.0, 1.7, -0.1, 0.25, 0.1),
    "giant": (4700.0, 2.5, 0.0, 1.5, -0.1, 0.25, 0.1),
    "poor_giant": (4500.0, 1.5, -1.3, 1.7, -0.2, 0.25, 0.2),
    "cool_dwarf": (4300.0, 4.6, 0.0, 0.9, 0.0, 0.0, 0.0),
    "warm_dwarf": (5900.0, 4.3, 0.0, 1.2, 0.0, 0.0, 0.0),
}
BANDS = {
    "h_band": {"span": (15090.0, 17010.0), "power": 90_000.0, "weakest": 6.0},
    "optical": {"span": (3700.0, 9100.0), "power": 8_000.0, "weakest": 30.0},
}
"""Vacuum Angstrom; lines within lambda / power are one; weakest in mA."""
CHUNK = 300.0  # Angstrom at a time
RESOLUTION = 200_000.0


def widths(engine: LteSynthesizer, start: float, stop: float) -> tuple[Any, Array]:
    """The lines of a range and their strengths (N, S) in mA."""
    step = 1 / RESOLUTION
    wave = start * np.exp(step * np.arange(int(np.log(stop / start) / step) + 1))
    from starnet.spectra import WavelengthGrid

    grid = WavelengthGrid(wave, "vacuum")
    own = engine.engine(engine.fine_grid(grid))
    rows = []
    for star in STARS.values():
        gf = own.lines.log_gf.clone().requires_grad_(True)
        labels = torch.tensor([star], dtype=torch.float64)
        flux = engine(labels, NAMES, grid, log_gf=gf).normalized
        pixel = torch.as_tensor(np.gradient(own.wavelength), dtype=flux.dtype)
        (slope,) = torch.autograd.grad(((1 - flux) * pixel).sum(), gf)
        rows.append(1000.0 * slope.detach().numpy())
    lines = own.lines.lines
    inside = (lines.wavelength >= start) & (lines.wavelength < stop)
    return lines[inside], np.stack(rows, axis=1)[inside]


def merged(lines: Any, strength: Array, power: float, weakest: float) -> Table:
    """One row for each line: wavelength, species, strengths; components added up."""
    rows = []
    species = without_isotopes(lines.species)
    for code in np.unique(species):
        mine = np.flatnonzero((species == code) & (strength.max(axis=1) > 0.05))
        mine = mine[np.argsort(lines.wavelength[mine])]
        if not mine.size:
            continue
        wave, values = lines.wavelength[mine], np.maximum(strength[mine], 0.0)
        for group in groups(wave, values.max(axis=1), power):
            total = values[group].sum(axis=0)
            if total.max() >= weakest:
                weight = values[group].max(axis=1)
                where = float(np.average(wave[group], weights=weight))
                rows.append((round(where, 2), species_name(int(code)), *np.rint(total).astype(int)))
    kinds = ["f8", "U8", *["i4"] * len(STARS)]
    out = Table(rows=rows, names=["wavelength", "species", *STARS], dtype=kinds)
    out.sort("wavelength")
    return out


def groups(wave: Array, strength: Array, power: float) -> list[Array]:
    """Rows that are one line: around the strongest, all within half of wave / power; and so on."""
    free, out = np.ones(wave.size, dtype=bool), []
    for row in np.argsort(-strength):
        if free[row]:
            near = np.flatnonzero(free & (np.abs(wave - wave[row]) < 0.5 * wave[row] / power))
            free[near] = False
            out.append(near)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--physics", type=Path, default=PHYSICS)
    parser.add_argument("--out", type=Path, default=Path("src/starnet/explain/lines"))
    parser.add_argument("--band", choices=list(BANDS), default=None)
    arguments = parser.parse_args()
    engine = LteSynthesizer.from_inputs(arguments.physics, resolution=RESOLUTION)
    for name, band in BANDS.items():
        if arguments.band not in (None, name):
            continue
        begun, parts = time.time(), []
        start, stop = band["span"]
        for low in np.arange(start, stop, CHUNK):
            lines, strength = widths(engine, float(low), float(min(low + CHUNK, stop)))
            parts.append(merged(lines, strength, band["power"], band["weakest"]))
            print(f"{name} {low:.0f} A: {len(parts[-1])} lines, {time.time() - begun:.0f} s")
        table = vstack(parts)
        table["wavelength"].unit = "Angstrom"
        for star in STARS:
            table[star].unit = "mAngstrom"
        table.meta = {
            "about": "Strong lines: vacuum wavelength, and d equivalent width / d ln gf in stars.",
            "source": "benchmarks/strong_lines.py, engine lte over the default line list "
            "(linemake; APOGEE DR17 molecules in the H band), no TiO",
            "stars": {n: dict(zip(NAMES, row, strict=True)) for n, row in STARS.items()},
            "band": [start, stop],
            "weakest": band["weakest"],
        }
        path = arguments.out / f"{name}.ecsv"
        table.write(path, format="ascii.ecsv", overwrite=True)
        print(f"{path}: {len(table)} lines, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
