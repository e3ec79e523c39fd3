"""LAMOST low resolution: spec-MMMMM-PLAN_spSS-FFF.fits(.gz); vacuum, heliocentric, observed.

Two layouts (http://www.lamost.org/dr8/v1.0/doc/lr-data-production-description): an image of five
rows in the primary HDU (flux, inverse variance, wavelength, and-mask, or-mask; the pilot survey
had the flux without continuum as third row), and since DR8 a table COADD in HDU 1 with one row of
vectors FLUX, IVAR, WAVELENGTH, ANDMASK, ORMASK. Flux is relative. The heliocentric correction
HELIO_RV was applied; the star's velocity was not taken out: ``rv`` is from Z.

Wavelengths of the file are taken (COEFF0 of the header is rounded to four digits and may be off by
0.04 A); of the pilot survey those of the header. The name of a star is made from coordinates and
may differ in the last digit between its visits: see `starnet.surveys.stars_by_position`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.errors import ReadError
from starnet.spectra import LineSpread, Spectra, WavelengthGrid
from starnet.surveys import bits
from starnet.surveys._assemble import assemble, stem, velocity
from starnet.surveys._fits_header import Header
from starnet.surveys._options import ReadOptions
from starnet.surveys._registry import Opened, Survey, register

RESOLUTION = 1800.0  # at 5500 A


def identify(source: Opened) -> bool:
    """TELESCOP is LAMOST, and the data are five rows or a table with FLUX and WAVELENGTH."""
    first = source.fits.hdu(0)
    if first.header.text("TELESCOP") != "LAMOST":
        return False
    if len(first.shape) == 2:
        return first.shape[0] == 5
    return {"flux", "wavelength"} <= set(source.fits.hdu(1).columns)


def read(source: Opened, options: ReadOptions) -> Spectra:
    """The coadded spectrum."""
    head = source.fits.header(0)
    image = len(source.fits.hdu(0).shape) == 2
    flux, ivar, wave, mask = _from_image(source, head) if image else _from_table(source)
    source.fits.check_complete()
    return assemble(
        WavelengthGrid(wave, "vacuum", lsf=LineSpread(resolution=RESOLUTION)),
        flux,
        ivar=ivar,
        bad=bits.LAMOST.bad(mask, options.mask_bits),
        path=source.path,
        options=options,
        frame="observed",
        meta=_meta(head, source),
    )


def _from_image(source: Opened, head: Header) -> tuple[NDArray[Any], ...]:
    flux, ivar, third, mask, _ = source.fits.image(0)
    wave = third.astype(float)
    if not (wave[0] > 1000.0 and np.all(np.diff(wave) > 0)):
        start, step = head.number("COEFF0", "CRVAL1"), head.number("COEFF1", "CD1_1", "CDELT1")
        if not (3.0 < start < 4.5 and 0 < step < 0.01):
            raise ReadError("it has wavelengths neither in its third row nor in COEFF0 and COEFF1")
        wave = 10.0 ** (start + step * np.arange(flux.size))
    return flux, ivar, wave, mask


def _from_table(source: Opened) -> tuple[NDArray[Any], ...]:
    table = source.fits.table(1)
    if "andmask" not in table and "pixmask" not in table:
        raise ReadError(
            "it is a LAMOST table without ANDMASK; only low resolution spectra are known by "
            f"name, and its columns are {', '.join(table.names)}"
        )
    names = (("flux",), ("ivar",), ("wavelength",), ("andmask", "pixmask"))
    flux, ivar, wave, mask = (table.column(*name).ravel() for name in names)
    return flux, ivar, wave.astype(float), mask


def _meta(head: Header, source: Opened) -> dict[str, Any]:
    name = stem(source.path)
    return {
        "id": name,
        "star": head.text("DESIG") or name,
        "snr": head.number("SNRG"),  # of the g band, the one that cuts are made on
        "rv": velocity(head.number("Z")),
        "ra": head.number("RA"),
        "dec": head.number("DEC"),
        "survey": "LAMOST",
        "kind": "LRS",
        "class": head.text("CLASS"),
        "subclass": head.text("SUBCLASS"),
    }


LAMOST = register(
    Survey(
        "lamost",
        "LAMOST low resolution",
        identify,
        read,
        "http://www.lamost.org/dr8/v1.0/doc/lr-data-production-description",
        bits.LAMOST,
    )
)
