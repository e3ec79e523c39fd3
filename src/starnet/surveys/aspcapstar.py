"""APOGEE aspcapStar: the combined spectrum as ASPCAP normalised it, at rest in vacuum.

HDU 1 flux over pseudo-continuum, 2 its error, 3 ASPCAP's best model, 4 a table of one row with
the parameters: FPARAM as fitted, PARAM as calibrated (-9999 where there is no calibration), in
the order Teff, log g, log vmicro, [M/H], [C/M], [N/M], [alpha/M], log vsini or vmacro, O.
https://data.sdss.org/datamodel/files/APOGEE_REDUX/APRED_VERS/ASPCAP_VERS/TELESCOPE/FIELD/aspcapStar.html

There is no bit mask. Pixels without data, outside ASPCAP's chips, have a flux of exactly 0.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from starnet.spectra import Spectra
from starnet.surveys._assemble import assemble, stem
from starnet.surveys._fits_table import FitsTable
from starnet.surveys._options import ReadOptions
from starnet.surveys._registry import Opened, Survey, register
from starnet.surveys.apstar import NO_DATA, common, grid_of


def identify(source: Opened) -> bool:
    """Three spectra of one length on a log scale, then a table that has FPARAM."""
    hdus = [source.fits.hdu(i) for i in range(1, 5)]
    one_length = len({hdu.shape[-1:] for hdu in hdus[:3]}) == 1 and hdus[0].is_image
    return one_length and "CRVAL1" in hdus[0].header and "fparam" in hdus[3].columns


def read(source: Opened, options: ReadOptions) -> Spectra:
    """One spectrum; ``meta`` has ``fparam`` and ``param``, raw, as rows of numbers."""
    fits = source.fits
    flux, error = fits.image(1, slice(0, 1)), fits.image(2, slice(0, 1))
    fits.check_complete()
    return assemble(
        grid_of(fits.header(1), flux.shape[-1]),
        flux,
        error=error,
        bad=flux == 0,
        path=source.path,
        options=options,
        frame="rest",
        meta=_meta(source, fits.table(4)),
        largest_error=NO_DATA,
    )


def _meta(source: Opened, table: FitsTable) -> dict[str, Any]:
    head = source.fits.header(0)

    def first(*names: str) -> Any:
        found = [name for name in names if name in table]
        return table.column(*found)[0] if found else None

    def number(keyword: str, *names: str) -> float:
        value = first(*names)
        value = head.number(keyword) if value is None else float(value)
        return value if math.isfinite(value) and value > -9000 else math.nan

    name = first("apogee_id")
    return {
        **common(head),
        "id": stem(source.path),
        "star": str(name) if name else head.text("OBJ", "OBJID") or stem(source.path),
        "snr": number("SNR", "snr"),
        "rv": number("VHELIO", "vhelio", "vhelio_avg"),
        "ra": number("RA", "ra"),
        "dec": number("DEC", "dec"),
        "kind": "aspcapStar",
        "fparam": np.atleast_2d(table.column("fparam")[0]),
        "param": np.atleast_2d(table.column("param")[0]),
    }


ASPCAPSTAR = register(
    Survey(
        "aspcapstar",
        "APOGEE aspcapStar",
        identify,
        read,
        "https://data.sdss.org/datamodel/files/APOGEE_REDUX/APRED_VERS/ASPCAP_VERS/TELESCOPE/FIELD/aspcapStar.html",
    )
)
