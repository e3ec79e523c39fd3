"""The lines of hydrogen, for engines whose line list must name them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from starnet.synthesis.contract import Array

RYDBERG = 109677.583
"""1/cm, of hydrogen with its reduced mass."""
IONISATION = 13.598434
"""eV."""
HIGHEST = 19
"""The highest upper level, about where levels dissolve in the photosphere of the Sun."""


@dataclass(frozen=True, eq=False)
class HydrogenLines:
    """N lines between levels ``lower`` and ``upper``; every array is (N,).

    ``wavelength`` is in vacuum Angstrom, ``excitation`` in eV. Fine structure is averaged over.
    """

    lower: Array
    upper: Array
    wavelength: Array
    excitation: Array
    loggf: Array


def hydrogen_lines(start: float, stop: float, reach: float = 0.05) -> HydrogenLines:
    """Lines within [start, stop] (vacuum Angstrom), and beyond by a part ``reach`` of it.

    Their wings are wide, so a range takes lines from well outside.
    """
    pairs = [(n, m) for n in range(1, 12) for m in range(n + 1, HIGHEST + 1)]
    lower, upper = np.array(pairs).T
    wave = 1e8 / (RYDBERG * (1.0 / lower**2 - 1.0 / upper**2))
    keep = (wave > start * (1 - reach)) & (wave < stop * (1 + reach))
    keep &= upper - lower < 26
    order = np.flatnonzero(keep)[np.argsort(wave[keep])]
    lower, upper, wave = lower[order], upper[order], wave[order]
    strength = np.array(
        [oscillator_strength(int(n), int(m)) for n, m in zip(lower, upper, strict=True)]
    )
    loggf = np.log10(2.0 * lower**2 * strength)
    return HydrogenLines(lower, upper, wave, IONISATION * (1 - 1.0 / lower**2), loggf)


def oscillator_strength(lower: int, upper: int) -> float:
    """Absorption oscillator strength between two levels, averaged over their sublevels.

    Johnson 1972 (ApJ 174, 227), equations 4 to 10; within 1 % of the exact values.
    """
    x = 1.0 - (lower / upper) ** 2
    n = float(lower)
    if lower == 1:
        g = (1.1330, -0.4059, 0.07014)
    elif lower == 2:
        g = (1.0785, -0.2319, 0.02947)
    else:
        g = (
            0.9935 + 0.2328 / n - 0.1296 / n**2,
            -(0.6282 - 0.5598 / n + 0.5299 / n**2) / n,
            (0.3887 - 1.181 / n + 1.470 / n**2) / n**2,
        )
    gaunt = g[0] + g[1] / x + g[2] / x**2
    return 32.0 / (3.0 * np.sqrt(3.0) * np.pi) * n / upper**3 / x**3 * gaunt
