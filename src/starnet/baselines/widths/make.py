"""Curves of growth made by our engine: needs the physics inputs, and a quarter of an hour."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from starnet.baselines.widths.choose import Chosen
from starnet.baselines.widths.curves import HIDDEN, LABELS, Curves
from starnet.errors import DataError
from starnet.spectra import Labels, WavelengthGrid
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


class Engine(Protocol):
    """What is asked of an engine: normalised flux (N, P) first, and labels that it can do."""

    def emergent(
        self, labels: Labels, grid: WavelengthGrid, *, outside: Literal["error", "clamp"]
    ) -> tuple[Array, Array]: ...

    def clamped(self, labels: Labels) -> Labels: ...


def make_curves(
    atmospheres: Atmospheres,
    chosen: Chosen,
    tables: Tables,
    *,
    stars: int = 512,
    seed: int = 0,
    steps: int = 6000,
    report: Callable[[int], None] = lambda done: None,
) -> Curves:
    """Curves of growth of chosen lines, by the engine lte; the same twice with the same seed."""
    engine = LteSynthesizer(
        atmospheres, chosen.lines, tables, hydrogen=False, resolution=RESOLUTION
    )
    labels = np.array(engine.clamped(Labels(LABELS, sample_stars(stars, seed))).values)
    width = widths_of(engine, chosen.lines.wavelength, labels, report)
    return learn_curves(chosen, labels, width, steps=steps, seed=seed)


def sample_stars(n: int, seed: int) -> Array:
    """Labels (n, 4) all over the bounds; no star is hotter than its gravity allows.

    A Latin hypercube (McKay, Beckman and Conover 1979, Technometrics 21, 239).
    """
    low, high, rng = np.array(LOW), np.array(HIGH), np.random.default_rng(seed)
    cell = rng.permuted(np.tile(np.arange(n)[:, None], len(LABELS)), axis=0)
    points = (cell + rng.random(cell.shape)) / n
    x = low + points * (high - low)
    x[:, 1] = np.clip(x[:, 1], (x[:, 0] - 5000) / 1000 * 1.3 + 0.6, high[1])
    return x


def widths_of(
    engine: Engine, lines: Array, stars: Array, report: Callable[[int], None] = lambda done: None
) -> Array:
    """Widths (N, n) in Angstrom of lines (n,) that absorb alone, in stars (N, 4).

    Raises
    ------
    DataError
        If the lines, in vacuum Angstrom, are not in order.
    """
    if not np.all(np.diff(lines) > 0):
        raise DataError("Lines of curves of growth must be in order of wavelength; sort them.")
    wave = np.exp(np.arange(np.log(lines[0] - 8), np.log(lines[-1] + 8), 1 / RESOLUTION))
    middle = np.concatenate([[-np.inf], 0.5 * (lines[1:] + lines[:-1]), [np.inf]])
    first = np.searchsorted(wave, np.maximum(lines - REACH, middle[:-1]))
    stop = np.searchsorted(wave, np.minimum(lines + REACH, middle[1:]))
    grid, step = WavelengthGrid(wave, "vacuum"), np.gradient(wave)
    out = np.empty((len(stars), len(lines)))
    for start in range(0, len(stars), BLOCK):
        rows = slice(start, start + BLOCK)
        flux, _ = engine.emergent(Labels(LABELS, stars[rows]), grid, outside="clamp")
        sums = np.concatenate([np.zeros((len(flux), 1)), np.cumsum((1 - flux) * step, axis=1)], 1)
        out[rows] = sums[:, stop] - sums[:, first]
        report(start + len(flux))
    return out


def learn_curves(
    chosen: Chosen, stars: Array, width: Array, *, steps: int = 6000, seed: int = 0
) -> Curves:
    """Curves through the widths (N, n) of stars (N, 4)."""
    target = np.log(np.maximum(width / chosen.lines.wavelength, LEAST))
    settings = EmulatorTraining(
        components=32, hidden=HIDDEN, steps=steps, batch_size=128, weight_decay=1e-3, seed=seed
    )
    low, high = np.array(LOW), np.array(HIGH)
    return Curves(
        chosen.lines.wavelength, chosen.lines.excitation, chosen.lines.loggf,
        chosen.lines.species == parse_species("Fe II"), chosen.windows,
        fit_emulator(stars, target, low, high, settings),
    )  # fmt: skip
