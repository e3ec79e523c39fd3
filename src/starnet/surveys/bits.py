"""Pixel bit masks: which bits of a survey's mask make a pixel bad."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.errors import ConfigError


@dataclass(frozen=True)
class PixelBits:
    """The bits of one survey's pixel masks.

    Parameters
    ----------
    name : str
        What the survey calls the mask.
    names : mapping
        Number to name of every documented bit.
    default : tuple of int
        Bits that make a pixel bad unless the user says otherwise.
    source : str
        The document.
    reason : str
        Why these are the default.
    """

    name: str
    names: Mapping[int, str]
    default: tuple[int, ...]
    source: str
    reason: str

    def value(self, wanted: Sequence[int | str] | None = None) -> int:
        """The bits as one number; by default the default ones.

        Raises
        ------
        ConfigError
            If a name is not among the survey's, or a number is not between 0 and 62.
        """
        numbers = self.default if wanted is None else [self._number(bit) for bit in wanted]
        return sum(1 << number for number in set(numbers))

    def bad(self, pixels: NDArray[Any], wanted: Sequence[int | str] | None = None) -> NDArray[Any]:
        """True where one of the bits is set, in the shape of ``pixels``."""
        value = self.value(wanted)
        if pixels.dtype.kind not in "iu" or value > np.iinfo(pixels.dtype).max:
            with np.errstate(invalid="ignore"):  # some surveys write masks as floats, with NaN
                pixels = pixels.astype(np.int64)
        return (pixels & value) != 0

    def _number(self, bit: int | str) -> int:
        if isinstance(bit, str) and not bit.isdigit():
            found = [n for n, name in self.names.items() if name == bit.upper()]
            if found:
                return found[0]
        elif 0 <= int(bit) <= 62:
            return int(bit)
        known = ", ".join(f"{n} {name}" for n, name in self.names.items())
        raise ConfigError(f"{self.name} has no bit {bit!r}; its bits are {known}.")


def _table(text: str) -> dict[int, str]:
    words = text.split()
    return {int(n): name for n, name in zip(words[::2], words[1::2], strict=True)}


APOGEE = PixelBits(
    "APOGEE_PIXMASK",
    _table(
        "0 BADPIX 1 CRPIX 2 SATPIX 3 UNFIXABLE 4 BADDARK 5 BADFLAT 6 BADERR 7 NOSKY "
        "8 LITTROW_GHOST 9 PERSIST_HIGH 10 PERSIST_MED 11 PERSIST_LOW 12 SIG_SKYLINE "
        "13 SIG_TELLURIC 14 NOT_ENOUGH_PSF 16 FERRE_MASK"
    ),
    (0, 1, 2, 3, 4, 5, 6, 7, 14),
    "https://www.sdss4.org/dr17/irspec/apogee-bitmasks",
    "The bits that the reduction itself calls bad. Sky lines (12) and tellurics (13) cover a "
    "third of some spectra, and their errors are already raised.",
)
SDSS = PixelBits(
    "SPPIXMASK",
    _table(
        "0 NOPLUG 1 BADTRACE 2 BADFLAT 3 BADARC 4 MANYBADCOLUMNS 5 MANYREJECTED 6 LARGESHIFT "
        "7 BADSKYFIBER 8 NEARWHOPPER 9 WHOPPER 10 SMEARIMAGE 11 SMEARHIGHSN 12 SMEARMEDSN "
        "16 NEARBADPIXEL 17 LOWFLAT 18 FULLREJECT 19 PARTIALREJECT 20 SCATTEREDLIGHT "
        "21 CROSSTALK 22 NOSKY 23 BRIGHTSKY 24 NODATA 25 COMBINEREJ 26 BADFLUXFACTOR "
        "27 BADSKYCHI 28 REDMONSTER"
    ),
    (0, 1, 2, 3, 18, 22, 23, 26, 27, 28),
    "https://www.sdss3.org/dr10/algorithms/bitmask_sppixmask.php",
    "Set in every exposure (and_mask). Fibre without light or calibration, no sky, and sky so "
    "bright or badly fitted that its error is not trusted; NODATA is deprecated for IVAR = 0.",
)
MASTAR = PixelBits(
    "MANGA_DRP2PIXMASK",
    _table(
        "0 NOPLUG 1 BADTRACE 2 BADFLAT 3 BADARC 4 MANYBADCOLUMNS 5 MANYREJECTED 6 LARGESHIFT "
        "7 BADSKYFIBER 8 NEARWHOPPER 9 WHOPPER 10 SMEARIMAGE 11 SMEARHIGHSN 12 SMEARMEDSN "
        "13 DEADFIBER 15 BADPIX 16 COSMIC 17 NEARBADPIXEL 18 LOWFLAT 19 FULLREJECT "
        "20 PARTIALREJECT 21 SCATTEREDLIGHT 22 CROSSTALK 23 NOSKY 24 BRIGHTSKY 25 NODATA "
        "26 COMBINEREJ 27 BADFLUXFACTOR 28 BADSKYCHI 29 REDMONSTER 30 3DREJECT"
    ),
    (0, 1, 2, 3, 13, 15, 16, 19, 23, 24, 25, 27, 28, 29),
    "https://www.sdss.org/dr17/manga/manga-bitmasks (MANGA_DRP2PIXMASK of sdssMaskbits.par)",
    "As for SDSS (whose numbers differ), with bad pixels, cosmic rays and missing data.",
)
LAMOST = PixelBits(
    "LAMOST andmask",
    _table("0 BADCCD 1 BADPROFILE 2 NOSKY 3 BRIGHTSKY 4 BADCENTER 5 NODATA"),
    (0, 1, 2, 3, 4, 5),
    "http://www.lamost.org/dr8/v1.0/doc/lr-data-production-description",
    "All six: the and-mask sets a bit only where every exposure has the fault.",
)
