"""APOGEE apStar and asStar: combined and visit spectra, at rest in vacuum, 8575 pixels.

Layout of DR12 to DR17 (https://data.sdss.org/datamodel/files/APOGEE_REDUX/APRED_VERS/stars/
TELESCOPE/FIELD/apStar.html): HDU 1 flux, 2 error, 3 bit mask; row 0 combines the visits pixel by
pixel, row 1 with one weight for each visit, rows 2 and up are the visits; a star of one visit may
have one row alone.

Row 0 is taken as the combined spectrum. A pixel of it is bad where it is bad in every visit: the
combination leaves out a visit where it alone is bad. (DR12-DR14 store the OR of the visits in row
0 and the AND in row 1, DR16 and DR17 store the AND in row 0; the AND is formed here from the rows
of the visits, so that it means the same in each.) Pixels without data have an error of 1e10.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.errors import ReadError
from starnet.spectra import LineSpread, Spectra, WavelengthGrid
from starnet.surveys import bits
from starnet.surveys._assemble import FLUX_UNIT, assemble, stem
from starnet.surveys._fits import FitsFile
from starnet.surveys._fits_header import Header
from starnet.surveys._options import ReadOptions
from starnet.surveys._registry import Opened, Survey, register

CHIPS = ((322, 3242), (3648, 6048), (6412, 8306))
"""Pixels of the three chips that every star has (Fabbro et al. 2018): 7214 of 8575."""
RESOLUTION = 22500.0
NO_DATA = 1e9
"""Errors this large mean no data."""


def identify(source: Opened) -> bool:
    """An apStar header names the visits (SFILE1, NVISITS) and a logarithmic wavelength scale."""
    head = source.fits.header(0)
    visit = head.text("SFILE1").startswith(("apVisit", "asVisit"))
    hdu = source.fits.get(1)
    return visit and "NVISITS" in head and hdu is not None and hdu.is_image


@lru_cache(maxsize=8)
def apogee_grid(start: float, step: float, n: int) -> WavelengthGrid:
    """The grid of apStar and aspcapStar; its chips are known for the usual 8575 pixels."""
    chips = CHIPS if (round(start, 6), round(step, 9), n) == (4.179, 6e-6, 8575) else ()
    lsf = LineSpread(resolution=RESOLUTION)
    return WavelengthGrid.log10(start, step, n, "vacuum", chips=chips, lsf=lsf)


def grid_of(head: Header, n: int) -> WavelengthGrid:
    """The grid that a header of the log-linear scale describes."""
    start, step = head.number("CRVAL1"), head.number("CDELT1")
    if not (3.0 < start < 6.0 and 0 < step < 1e-3):
        raise ReadError(f"CRVAL1 {start} and CDELT1 {step} are no log10 of wavelengths")
    return apogee_grid(start + (1 - max(1.0, head.number("CRPIX1"))) * step, step, n)


def read(source: Opened, options: ReadOptions) -> Spectra:
    """The combined spectrum, or with ``options.visits`` each visit."""
    fits = source.fits
    head, shape = fits.header(0), fits.hdu(1).shape
    n_rows = 1 if len(shape) == 1 else shape[0]
    if not shape or n_rows == 0 or fits.hdu(2).shape != shape or fits.hdu(3).shape != shape:
        raise ReadError(f"flux, error and mask (HDU 1-3) should have one shape; flux has {shape}")
    rows = slice(2, n_rows) if options.visits and n_rows > 2 else slice(0, 1)
    flux, error = fits.image(1, rows), fits.image(2, rows)
    bad = bits.APOGEE.bad(_mask(fits, rows, n_rows), options.mask_bits)
    fits.check_complete()
    meta = _visits(head, source.path, flux.shape[0]) if options.visits else _combined(head, source)
    return assemble(
        grid_of(fits.header(1) if "CRVAL1" in fits.header(1) else head, shape[-1]),
        flux,
        error=error,
        bad=bad,
        path=source.path,
        options=options,
        frame="rest",
        meta={**meta, **common(head)},
        unit=FLUX_UNIT,
        largest_error=NO_DATA,
    )


def common(head: Header) -> dict[str, Any]:
    """Metadata of every APOGEE file, from its primary header."""
    return {"ra": head.number("RA"), "dec": head.number("DEC"), "survey": "APOGEE"}


def _mask(fits: FitsFile, rows: slice, n_rows: int) -> NDArray[Any]:
    if rows.start == 2 or n_rows < 3:
        return fits.image(3, rows)
    return np.bitwise_and.reduce(fits.image(3, slice(2, n_rows)), axis=0, keepdims=True)


def _combined(head: Header, source: Opened) -> dict[str, Any]:
    return {
        "id": stem(source.path),
        "star": head.text("OBJID", "OBJ") or stem(source.path),
        "snr": head.number("SNR"),
        "rv": head.number("VHELIO", "VHBARY"),
        "kind": "apStar",
    }


def _visits(head: Header, path: Path, n: int) -> dict[str, Any]:
    numbers = range(1, n + 1)
    names = [stem(Path(head.text(f"SFILE{i}") or f"{stem(path)}-visit{i}")) for i in numbers]
    if len(set(names)) < n:
        names = [f"{stem(path)}-visit{i}" for i in numbers]
    return {
        "id": names,
        "star": head.text("OBJID", "OBJ") or stem(path),
        "snr": [head.number(f"SNRVIS{i}") for i in numbers],
        "rv": [head.number(f"VHELIO{i}", f"VHBARY{i}") for i in numbers],
        "kind": "apStar visit",
    }


APSTAR = register(
    Survey(
        "apstar",
        "APOGEE apStar/asStar",
        identify,
        read,
        "https://data.sdss.org/datamodel/files/APOGEE_REDUX/APRED_VERS/stars/TELESCOPE/FIELD/apStar.html",
        bits.APOGEE,
    )
)
