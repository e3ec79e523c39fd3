"""MaStar: tables of many stars, a spectrum in each row; vacuum, at rest.

https://data.sdss.org/datamodel/files/MANGA_SPECTRO_MASTAR/DRPVER/MPROCVER/mastar-goodspec-DRPVER-MPROCVER.html
Columns WAVE, FLUX, IVAR, MASK, DISP (standard deviation of the line spread in Angstrom); tables
made from it by a join are read too, as far as they keep WAVE and FLUX. The full file (5 GB) should
be unpacked first: a gzipped file is unpacked in memory.

The spectra were shifted to rest by the measured heliocentric velocity, HELIOV of the visit (Yan et
al. 2019, ApJ 883, 175; lines of stars at -83 and -52 km/s lie at their laboratory wavelengths).
Where the velocity is flagged (V_ERRCODE not 0) ``rv`` is NaN and the rest frame is uncertain.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.errors import ReadError
from starnet.spectra import LineSpread, Spectra, WavelengthGrid
from starnet.surveys import bits
from starnet.surveys._assemble import FLUX_UNIT, assemble
from starnet.surveys._fits_table import FitsTable
from starnet.surveys._options import ReadOptions
from starnet.surveys._registry import Opened, Survey, register
from starnet.surveys.sdss import FWHM

NAMES = ("mangaid", "mangaid_1")


def identify(source: Opened) -> bool:
    """A table that has WAVE, FLUX and MANGAID."""
    columns = set(source.fits.hdu(1).columns)
    return {"wave", "flux"} <= columns and any(name in columns for name in NAMES)


def read(source: Opened, options: ReadOptions) -> Spectra:
    """Every row of the table."""
    table = source.fits.table(1)
    source.fits.check_complete()
    if not len(table):
        raise ReadError("its table has no rows")
    wave, flux = np.atleast_1d(table.row("wave", 0)), np.atleast_2d(table.column("flux"))
    if flux.shape != (len(table), wave.size):
        raise ReadError(f"its rows have {wave.size} wavelengths and fluxes of {flux.shape}")
    if not table.same_in_every_row("wave", rtol=1e-7):
        raise ReadError("its rows have different wavelengths; split it by wavelength scale")
    bad = None
    if "mask" in table:
        bad = bits.MASTAR.bad(np.atleast_2d(table.column("mask")), options.mask_bits)
    return assemble(
        WavelengthGrid(wave, "vacuum", lsf=_line_spread(table)),
        flux,
        ivar=np.atleast_2d(table.column("ivar")) if "ivar" in table else None,
        bad=bad,
        path=source.path,
        options=options,
        frame="rest",
        meta=_meta(table),
        unit=FLUX_UNIT,
    )


def _line_spread(table: FitsTable) -> LineSpread | None:
    """The median over the rows of each pixel's width."""
    if "disp" not in table:
        return None
    width = np.median(np.atleast_2d(table.column("disp")), axis=0).astype(float)
    return LineSpread(fwhm=FWHM * width) if np.all(width > 0) else None


def _meta(table: FitsTable) -> dict[str, Any]:
    n = len(table)

    def column(*names: str) -> NDArray[Any]:
        found = [name for name in names if name in table]
        return table.column(*found).astype(float) if found else np.full(n, np.nan)

    star = table.column(*NAMES)
    keys = [key for key in ("plate", "ifudesign", "mjd") if key in table]
    parts = [table.column(key).astype(str) for key in keys]
    name = [f"MaStar-{'-'.join(row)}" for row in zip(star, *parts, strict=True)]
    if len(set(name)) < n:
        name = [f"{text}-{i}" for i, text in enumerate(name)]
    velocity = column("heliov_visit", "heliov")
    flag = np.nan_to_num(column("v_errcode_visit", "v_errcode"))
    return {
        "id": name,
        "star": star,
        "snr": column("s2n"),
        "rv": np.where((flag != 0) | (velocity < -900), np.nan, velocity),
        "ra": column("ra", "ra_1", "ifura"),
        "dec": column("dec", "dec_1", "ifudec"),
        "survey": "MaStar",
        "kind": "visit",
    }


MASTAR = register(
    Survey(
        "mastar",
        "MaStar",
        identify,
        read,
        "https://www.sdss.org/dr17/mastar/mastar-spectra/",
        bits.MASTAR,
    )
)
