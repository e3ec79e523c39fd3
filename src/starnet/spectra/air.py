"""Air and vacuum wavelengths.

The refractive index of standard air (15 C, 101325 Pa, 450 ppm CO2) is Ciddor (1996, Applied
Optics 35, 1566), equation 1, which the IAU and the SDSS archives use. The inverse, air to vacuum,
is found by iterating the forward equation, so the two are inverses of each other to 1e-9
Angstrom; published polynomial inverses differ from it by up to 1e-4 Angstrom.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

SHORTEST = 2000.0
"""Wavelengths below 2000 Angstrom are given in vacuum by convention and are left alone."""


def refractive_index(vacuum: ArrayLike) -> NDArray[np.float64]:
    """Refractive index of standard air at vacuum wavelengths in Angstrom (Ciddor 1996, eq. 1)."""
    wave = np.asarray(vacuum, dtype=float)
    safe = np.maximum(wave, SHORTEST)
    s2 = (1e4 / safe) ** 2
    n = 1.0 + 5.792105e-2 / (238.0185 - s2) + 1.67917e-3 / (57.362 - s2)
    return np.where(wave < SHORTEST, 1.0, n)


def vacuum_to_air(vacuum: ArrayLike) -> NDArray[np.float64]:
    """Air wavelengths (Angstrom) of vacuum wavelengths (Angstrom)."""
    wave = np.asarray(vacuum, dtype=float)
    return wave / refractive_index(wave)


def air_to_vacuum(air: ArrayLike) -> NDArray[np.float64]:
    """Vacuum wavelengths (Angstrom) of air wavelengths (Angstrom), by iteration."""
    wave = np.asarray(air, dtype=float)
    vacuum = wave.copy()
    for _ in range(5):  # contracts by 1e-5 a round
        vacuum = wave * refractive_index(vacuum)
    return vacuum
