"""Which lines are whose, found from an emulator's derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from starnet.spectra import Labels
from starnet.synthesis.emulator import Emulator

Array = NDArray[Any]
MOLECULES = {"c_fe": "CO", "n_fe": "CN", "o_fe": "OH"}
"""Where C, N and O show in the H band (Smith et al. 2013, ApJ 765, 16)."""
RYDBERG = 109677.58
"""Of hydrogen, 1/cm."""
LEAST = 0.03
"""Depth of a line, on average over the stars, from which on it is named."""
SHARE = 0.5
"""Part of the change by all elements together that has to be of one."""


def line_names(emulator: Emulator, labels: Labels) -> list[tuple[float, str]]:
    """Wavelengths (vacuum Angstrom) and names of lines in the spectra of some stars.

    A line is where the mean spectrum has a minimum. It is named after the element whose abundance
    deepens it most there, if that is more than half of what all elements do. [Fe/H] moves all
    elements, so iron is what it changes beyond them. Hydrogen's lines, by their formula, come
    first, then the deepest.
    """
    values = torch.as_tensor(emulator.own(labels), dtype=torch.float32)
    with torch.no_grad():
        flux, slopes = (part.double().numpy() for part in emulator.flux_and_slopes(values))
    names = [n for n in emulator.labels if n.endswith("_fe")]
    elements = slopes[:, [emulator.labels.index(n) for n in names]]  # (S, E, P)
    iron = slopes[:, emulator.labels.index("fe_h")] - elements.sum(axis=1)
    both = np.concatenate([elements, iron[:, None]], axis=1)
    changes = np.maximum(-both, 0.0).mean(axis=0)  # (E + 1, P)
    titles = [*(MOLECULES.get(n, n.removesuffix("_fe").capitalize()) for n in names), "Fe"]
    depth = 1.0 - flux.mean(axis=0)
    dip = (depth[1:-1] >= depth[:-2]) & (depth[1:-1] > depth[2:]) & (depth[1:-1] > LEAST)
    found = []
    for at in np.flatnonzero(dip) + 1:
        change = changes[:, at - 1 : at + 2].sum(axis=1)
        best = int(np.argmax(change))
        if change[best] > SHARE * change.sum():
            found.append((depth[at], float(emulator.grid.wavelength[at]), titles[best]))
    wave = emulator.grid.wavelength
    return brackett(wave[0], wave[-1]) + [(at, name) for _, at, name in sorted(found, reverse=True)]


def brackett(low: float, high: float) -> list[tuple[float, str]]:
    """Hydrogen's lines from level 4, vacuum Angstrom, that lie between two wavelengths."""
    levels = range(10, 21)
    at = [(1e8 / RYDBERG / (1 / 16 - 1 / n**2), f"H {n}-4") for n in levels]
    return [line for line in at if low < line[0] < high]
