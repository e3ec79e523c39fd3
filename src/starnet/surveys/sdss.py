"""SDSS, SEGUE and BOSS: spec-PPPP-MMMMM-FFFF.fits, lite and full; vacuum, heliocentric, observed.

HDU 1 (COADD) has columns flux, loglam, ivar, and_mask, or_mask, wdisp; HDU 2 (SPECOBJ, SPALL) one
row of what the pipeline found, Z among it; full files go on with every exposure, which is left
alone. https://data.sdss.org/datamodel/files/SPECTRO_REDUX/RUN2D/spectra/lite/PLATE4/spec.html

A pixel is bad if a bit is set in the and_mask, in every exposure. The spectra are in the
heliocentric frame (HELIO_RV of the header was applied) and not at rest. RA and DEC of the header
are the telescope's; the star's are PLUG_RA and PLUG_DEC.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.spectra import LineSpread, Spectra, WavelengthGrid
from starnet.surveys import bits
from starnet.surveys._assemble import FLUX_UNIT, assemble, stem, velocity
from starnet.surveys._fits_header import Header
from starnet.surveys._fits_table import FitsTable
from starnet.surveys._options import ReadOptions
from starnet.surveys._registry import Opened, Survey, register
from starnet.surveys.position import position_name

FWHM = 2.0 * math.sqrt(2.0 * math.log(2.0))


def identify(source: Opened) -> bool:
    """A table with flux, loglam and ivar behind the primary header."""
    return {"flux", "loglam", "ivar"} <= set(source.fits.hdu(1).columns)


def read(source: Opened, options: ReadOptions) -> Spectra:
    """The coadded spectrum."""
    fits = source.fits
    table = fits.table(1)
    fits.check_complete()
    wave = 10.0 ** table.column("loglam").ravel().astype(float)
    bad = None
    if "and_mask" in table:
        bad = bits.SDSS.bad(table.column("and_mask").ravel(), options.mask_bits)
    second = fits.get(2)
    about = fits.table(2) if second is not None and second.is_table else None
    return assemble(
        WavelengthGrid(wave, "vacuum", lsf=_line_spread(wave, table)),
        table.column("flux").ravel(),
        ivar=table.column("ivar").ravel(),
        bad=bad,
        path=source.path,
        options=options,
        frame="observed",
        meta=_meta(source, fits.header(0), about),
        unit=FLUX_UNIT,
    )


def _line_spread(wave: NDArray[Any], table: FitsTable) -> LineSpread | None:
    """From wdisp, the width of the line spread as a standard deviation in pixels."""
    sigma = table.column("wdisp").ravel().astype(float) if "wdisp" in table else np.zeros(1)
    good = np.isfinite(sigma) & (sigma > 0)
    if sigma.size != wave.size or not good.any():
        return None
    sigma = np.interp(wave, wave[good], sigma[good])
    return LineSpread(fwhm=FWHM * sigma * np.gradient(wave))


def _meta(source: Opened, head: Header, about: FitsTable | None) -> dict[str, Any]:
    def first(*names: str) -> Any:
        found = [name for name in names if about is not None and name in about]
        return about.column(*found).ravel()[0] if about is not None and found else None

    def number(*names: str) -> float:
        value = first(*names)
        return math.nan if value is None else float(value)

    plate, mjd, fiber = (head.number(*n) for n in (("PLATEID", "PLATE"), ("MJD",), ("FIBERID",)))
    named = math.isfinite(plate + mjd + fiber)
    name = f"{plate:04.0f}-{mjd:05.0f}-{fiber:04.0f}" if named else stem(source.path)
    ra, dec = head.number("PLUG_RA"), head.number("PLUG_DEC")
    ra, dec = (ra, dec) if math.isfinite(ra + dec) else (number("plug_ra"), number("plug_dec"))
    return {
        "id": name,
        "star": position_name("SDSS", ra, dec) or name,
        "snr": number("sn_median_all") if first("sn_median_all") else math.nan,
        "rv": velocity(number("z")),
        "ra": ra,
        "dec": dec,
        "survey": head.text("SURVEY") or str(first("survey") or "sdss").upper(),
        "kind": "spec",
        "class": str(first("class") or ""),
        "subclass": str(first("subclass") or ""),
    }


SDSS = register(
    Survey(
        "sdss",
        "SDSS/SEGUE/BOSS spec",
        identify,
        read,
        "https://data.sdss.org/datamodel/files/SPECTRO_REDUX/RUN2D/spectra/lite/PLATE4/spec.html",
        bits.SDSS,
    )
)
