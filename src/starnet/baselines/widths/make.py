"""Curves of growth made by our engine: needs the physics inputs, and a quarter of an hour."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

from starnet.baselines.widths.choose import Chosen
from starnet.baselines.widths.curves import HIDDEN, LABELS, Curves
from starnet.spectra import Labels, WavelengthGrid
from starnet.synthesis.lines import LineList
from starnet.synthesis.lines.species import parse_species
from starnet.synthesis.lte.synthesizer import Atmospheres, LteSynthesizer
from starnet.synthesis.lte.tables import Tables
from starnet.training.emulator import EmulatorTraining, fit_emulator

Array = NDArray[Any]
LOW, HIGH = (4000.0, 0.5, -2.8, 0.5), (7000.0, 5.0, 0.6, 2.7)
RESOLUTION = 150_000.0
REACH = 1.2
"""Angstrom on each side of a line that its width is summed over, or half-way to its neighbour."""
LEAST = 1e-9
"""Smallest width / wavelength that is told from none."""
BLOCK = 4


def sample_stars(n: int, seed: int) -> Array:
    """Labels (n, 4) all over the bounds; no star is hotter than its gravity allows."""
    low, high = np.array(LOW), np.array(HIGH)
    x = low + qmc.Sobol(len(LABELS), rng=seed).random(n) * (high - low)
    x[:, 1] = np.clip(x[:, 1], (x[:, 0] - 5000) / 1000 * 1.3 + 0.6, high[1])
    return x


def widths_of(
    atmospheres: Atmospheres,
    lines: LineList,
    tables: Tables,
    stars: Array,
    report: Callable[[int], None] = lambda done: None,
) -> Array:
    """Widths (N, n) in Angstrom of lines that absorb alone, in stars (N, 4)."""
    at = lines.wavelength
    wave = np.exp(np.arange(np.log(at[0] - 8), np.log(at[-1] + 8), 1 / RESOLUTION))
    middle = np.concatenate([[-np.inf], 0.5 * (at[1:] + at[:-1]), [np.inf]])
    first = np.searchsorted(wave, np.maximum(at - REACH, middle[:-1]))
    stop = np.searchsorted(wave, np.minimum(at + REACH, middle[1:]))
    grid, step = WavelengthGrid(wave, "vacuum"), np.gradient(wave)
    engine = LteSynthesizer(atmospheres, lines, tables, hydrogen=False, resolution=RESOLUTION)
    out = np.empty((len(stars), len(at)))
    for start in range(0, len(stars), BLOCK):
        rows = slice(start, start + BLOCK)
        flux, _ = engine.emergent(Labels(LABELS, stars[rows]), grid, outside="clamp")
        sums = np.concatenate([np.zeros((len(flux), 1)), np.cumsum((1 - flux) * step, axis=1)], 1)
        out[rows] = sums[:, stop] - sums[:, first]
        report(start + len(flux))
    return out


def learn_curves(chosen: Chosen, stars: Array, width: Array, steps: int = 6000) -> Curves:
    """Curves through the widths (N, n) of stars (N, 4)."""
    target = np.log(np.maximum(width / chosen.lines.wavelength, LEAST))
    settings = EmulatorTraining(
        components=32, hidden=HIDDEN, steps=steps, batch_size=128, weight_decay=1e-3
    )
    low, high = np.array(LOW), np.array(HIGH)
    return Curves(
        chosen.lines.wavelength, chosen.lines.excitation, chosen.lines.loggf,
        chosen.lines.species == parse_species("Fe II"), chosen.windows,
        fit_emulator(stars, target, low, high, settings),
    )  # fmt: skip
