"""How spectra are read: one frozen value for every survey."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

from starnet.errors import ConfigError
from starnet.spectra import Frame, Medium

PathLike = str | os.PathLike[str]
"""How a path is given."""


@dataclass(frozen=True)
class ReadOptions:
    """Choices of the reader. The defaults are those of the survey's own documents.

    Parameters
    ----------
    mask_bits : tuple of int or str, optional
        Bits of the survey's pixel mask that make a pixel bad, by number or by name, instead of
        the survey's default (see `starnet.surveys.bits`). Empty: none. Formats without a bit mask
        pay no heed.
    error_floor : float
        Smallest error, as a fraction of the flux. 0.005 is usual for APOGEE.
    visits : bool
        The single visits instead of their combination, where a file holds both (apStar).
    medium : "vacuum" or "air", optional
        What the wavelengths are measured in. Needed for files that do not say; for the others it
        overrules what the survey documents.
    frame : "rest" or "observed", optional
        Likewise, whether the Doppler shift has been taken out.

    Raises
    ------
    ConfigError
        If a value is not one of those.
    """

    mask_bits: tuple[int | str, ...] | None = None
    error_floor: float = 0.0
    visits: bool = False
    medium: Medium | None = None
    frame: Frame | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.error_floor) and self.error_floor >= 0):
            raise ConfigError(
                f"error_floor is a fraction of the flux, 0 or more; received {self.error_floor}."
            )
        if self.medium not in (None, "vacuum", "air"):
            raise ConfigError(f'medium must be "vacuum" or "air"; received {self.medium!r}.')
        if self.frame not in (None, "rest", "observed"):
            raise ConfigError(f'frame must be "rest" or "observed"; received {self.frame!r}.')
        if self.mask_bits is not None:
            if isinstance(self.mask_bits, str):
                raise ConfigError(f"mask_bits is a tuple of bits; received {self.mask_bits!r}.")
            object.__setattr__(self, "mask_bits", tuple(self.mask_bits))
