"""Model atmospheres: readers, grids, emulators.

`AtmosphereGrid` and `AtmosphereEmulator` answer the same call: ``at(teff, logg, m_h, alpha_m,
outside=...)`` gives an `Atmosphere`; ``limits`` and ``hull`` say where they may be asked.
"""

from .atmosphere import Atmosphere, optical_depth
from .emulator import AtmosphereEmulator
from .grid import AtmosphereGrid, read_folder, select
from .hull import LabelHull
from .read import identify_atmosphere, read_atmosphere, read_atmospheres

__all__ = [
    "Atmosphere",
    "AtmosphereEmulator",
    "AtmosphereGrid",
    "LabelHull",
    "identify_atmosphere",
    "optical_depth",
    "read_atmosphere",
    "read_atmospheres",
    "read_folder",
    "select",
]
