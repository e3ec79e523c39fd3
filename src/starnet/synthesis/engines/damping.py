"""Damping constants of a line list in the units of other engines."""

from __future__ import annotations

import numpy as np

from starnet.synthesis.contract import Array
from starnet.synthesis.lines import TERRESTRIAL, LineList, VdwKind, abo_log_gamma, atomic_numbers


def packed_vdw(lines: LineList, none: float = 0.0) -> Array:
    """Van der Waals numbers (N,) in the convention of VALD and Turbospectrum.

    Negative: log gamma at 10,000 K; up to 20: factor of Unsold's theory; above: sigma.alpha of
    ABO. ``none`` stands where the list has nothing. The velocity exponent of a log gamma is lost.
    """
    number = np.where(lines.vdw_kind == VdwKind.NONE, none, lines.vdw)
    alpha = np.clip(np.nan_to_num(lines.vdw_alpha), 0.0, 0.999)
    abo = lines.vdw_kind == VdwKind.ABO
    return np.where(abo, np.maximum(np.round(number), 21.0) + alpha, number)


def log_gamma_vdw(lines: LineList) -> Array:
    """log10 of the width per hydrogen atom at 10,000 K, rad cm3 / s, (N,); 0 where not known.

    ABO cross sections become widths. A factor of Unsold's theory gives 0: the theory itself, which
    needs ionisation energies, is left to the engine and its factor is lost.
    """
    gamma = np.where(lines.vdw_kind == VdwKind.LOG_GAMMA, lines.vdw, 0.0)
    for i in np.flatnonzero(lines.vdw_kind == VdwKind.ABO):
        mass = _mass(int(atomic_numbers(lines.species[i])[0].max()))
        gamma[i] = abo_log_gamma(float(lines.vdw[i]), float(lines.vdw_alpha[i]), mass)
    return gamma


def gamma_radiative(lines: LineList) -> Array:
    """Radiative widths (N,), rad/s: the list's own, else the classical 0.2223e16 / wavelength**2.

    The classical width is Gray 2005 (The Observation and Analysis of Stellar Photospheres), eq.
    11.13, with the wavelength in Angstrom.
    """
    classical = 0.2223e16 / lines.wavelength**2
    return np.where(np.isnan(lines.gamma_rad), classical, 10.0 ** np.nan_to_num(lines.gamma_rad))


def _mass(z: int) -> float:
    """Mean mass number of an element, in the place of its mass in dalton."""
    return sum(a * share for a, share in TERRESTRIAL.get(z, {2 * z: 1.0}).items())
