"""Which lines of iron are worth measuring, and where their continuum is: asked of our engine.

A candidate is neither too weak nor too strong, has no neighbour among the candidates, and what all
other lines absorb at its place is little beside its own, in each of some reference stars.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.baselines.widths.curves import LABELS
from starnet.errors import DataError
from starnet.spectra import Labels, WavelengthGrid
from starnet.synthesis.lines import LineList
from starnet.synthesis.lines.species import parse_species
from starnet.synthesis.lte.synthesizer import Atmospheres, LteSynthesizer
from starnet.synthesis.lte.tables import Tables

Array = NDArray[Any]
REFERENCES = ((5777.0, 4.44, 0.0, 1.0), (4700.0, 2.5, -0.1, 1.5), (5100.0, 4.6, 0.0, 1.0))
"""Labels of stars in which a line must be clean: the Sun, a giant and a cool dwarf."""
STRENGTH = {"Fe I": (-6.7, -4.1), "Fe II": (-7.4, -5.1)}
"""log gf less theta times the excitation, at 5040 K, of candidates."""
APART = 0.5
CORE = 0.12
"""Angstrom on each side of a line in which others must not absorb."""
SHARE = (0.06, 0.12, 0.08)
"""Of a line's own absorption, that others may have in each reference star; Fe II may have twice."""
LEVEL = 0.99
"""Flux of a window of the continuum, at least, at the resolving power `POWER`."""
POWER = 45_000.0
NARROWEST = 0.08
AWAY = ((4841.0, 4881.0), (6545.0, 6585.0))
"""Wings of hydrogen, where nothing is measured."""


@dataclass(frozen=True)
class Chosen:
    """Lines, and windows (C, 2) of continuum in vacuum Angstrom."""

    lines: LineList
    windows: Array


def choose_lines(
    atmospheres: Atmospheres, lines: LineList, tables: Tables, resolution: float = 150_000.0
) -> Chosen:
    """Lines to measure among those of a list, and windows of continuum between them.

    Raises
    ------
    DataError
        If no line is left of one of the two ions.
    """
    candidates = _candidates(lines)
    mine = np.zeros(len(lines), dtype=bool)
    mine[candidates] = True
    wave = lines.wavelength[candidates]
    fine = np.exp(np.arange(np.log(wave[0] - 8), np.log(wave[-1] + 8), 1 / resolution))
    grid = WavelengthGrid(fine, "vacuum")
    stars = Labels(LABELS, np.array(REFERENCES))
    flux = [
        LteSynthesizer(atmospheres, some, tables, resolution=resolution).emergent(
            stars, grid, outside="clamp"
        )[0]
        for some in (lines[mine], lines[~mine])
    ]
    own, others = (1 - np.asarray(f) for f in flux)
    step = np.gradient(fine)
    first, stop = np.searchsorted(fine, [wave - CORE, wave + CORE])
    sums = [np.concatenate([np.zeros((len(stars), 1)), np.cumsum(f * step, 1)], 1)
            for f in (own, others)]  # fmt: skip
    width, blend = (s[:, stop] - s[:, first] for s in sums)
    ionised = lines.species[candidates] == parse_species("Fe II")
    most = np.array(SHARE)[:, None] * np.where(ionised, 2.0, 1.0)
    kept = candidates[np.all(blend < most * width, axis=0)]
    found = lines[kept]
    for name in STRENGTH:
        if parse_species(name) not in found.species:
            raise DataError(
                f"No line of {name} in the list is free of blends; give a list that reaches from "
                "4800 to 6800 Angstrom."
            )
    return Chosen(found, _windows(fine, np.minimum(*flux), resolution))


def _candidates(lines: LineList) -> Array:
    """Places of candidates among lines in order of wavelength."""
    strength = lines.strength()
    good = np.zeros(len(lines), dtype=bool)
    for name, (low, high) in STRENGTH.items():
        good |= (lines.species == parse_species(name)) & (strength > low) & (strength < high)
    for low, high in AWAY:
        good &= (lines.wavelength < low) | (lines.wavelength > high)
    rows = np.flatnonzero(good)
    gap = np.diff(lines.wavelength[rows], prepend=-np.inf, append=np.inf)
    return rows[np.minimum(gap[1:], gap[:-1]) > APART]


def _windows(wave: Array, flux: Array, resolution: float) -> Array:
    """Stretches in which every star's flux (S, P), smoothed, is continuum."""
    sigma = resolution / POWER / 2.3548
    x = np.arange(-int(4 * sigma) - 1, int(4 * sigma) + 2)
    kernel = np.exp(-0.5 * (x / sigma) ** 2)
    smooth = [np.convolve(f, kernel / kernel.sum(), mode="same") for f in flux]
    high = np.all(np.array(smooth) > LEVEL, axis=0)
    for low, upper in AWAY:
        high &= (wave < low) | (wave > upper)
    edge = np.flatnonzero(np.diff(np.concatenate([[0], high.astype(int), [0]])))
    start, stop = wave[edge[::2]], wave[edge[1::2] - 1]
    wide = stop - start > NARROWEST
    return np.stack([start[wide], stop[wide]], axis=1)
