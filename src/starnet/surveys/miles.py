"""MILES: one flux-calibrated star in each file; linear scale in air, at rest, no errors.

http://miles.iac.es (Sanchez-Blazquez et al. 2006, MNRAS 371, 703; resolution of 2.51 A: Falcon-
Barroso et al. 2011, A&A 532, A95). Files are named by the number of the star: ``m0001V.fits``,
``s0001.fits``, ``MILES_res2.50_star_m0001V.fits``; the number, four digits, is the ``id``. If the
library's table ``paramsMILES*.txt`` lies beside, the star's name is taken from it.

There is no mask and there are no errors; pixels without a positive flux (ends of the coverage,
and noise in the ultraviolet of cool stars) are masked.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from pathlib import Path

from astropy.table import Table

from starnet.errors import ReadError
from starnet.spectra import LineSpread, Spectra, WavelengthGrid
from starnet.surveys._assemble import assemble
from starnet.surveys._options import ReadOptions
from starnet.surveys._registry import Opened, Survey, register

NAME = re.compile(r"(?:^|_)[ms](\d{4})V?(?:\.fits?)?(?:\.gz)?$", re.IGNORECASE)
FWHM = 2.51  # A, where the header does not say


def identify(source: Opened) -> bool:
    """Named as the library's files are, or said to be MILES by the header; 0.9 A a pixel."""
    first = source.fits.hdu(0)
    named = NAME.search(source.path.name) or first.header.text("TPLLIB").upper() == "MILES"
    step, start = first.header.number("CDELT1", "CD1_1"), first.header.number("CRVAL1")
    return bool(named) and abs(step - 0.9) < 0.05 and 3000 < start < 4500 and bool(first.shape)


def read(source: Opened, options: ReadOptions) -> Spectra:
    """The star of the file."""
    fits, head = source.fits, source.fits.header(0)
    flux = fits.image(0)
    fits.check_complete()
    if flux.size != flux.shape[-1]:
        raise ReadError(f"a MILES file holds one spectrum; this one holds {flux.shape}")
    flux = flux.ravel()
    step, at = head.number("CDELT1", "CD1_1"), head.number("CRPIX1")
    first = head.number("CRVAL1") + (1.0 - (at if at == at else 1.0)) * step
    width = head.number("FWHM")
    match = NAME.search(source.path.name)
    number = match.group(1) if match else source.path.stem
    return assemble(
        WavelengthGrid.linear(
            first, step, flux.size, "air", lsf=LineSpread(fwhm=width if width > 0 else FWHM)
        ),
        flux,
        bad=~(flux > 0),
        path=source.path,
        options=options,
        frame="rest",
        meta={
            "id": number,
            "star": _names(source.path.parent).get(number, number),
            "survey": "MILES",
            "kind": "library",
        },
    )


def read_parameters(path: Path | str) -> Table:
    """The library's table of parameters, ``paramsMILES_v9.1.txt``, which has fixed columns.

    Returns
    -------
    Table
        ``id`` (number of the star, four digits), ``name``, ``teff`` (K), ``logg``, ``fe_h``;
        NaN where the library has no value.

    Raises
    ------
    ReadError
        If the file cannot be read or has no such rows.
    """
    try:
        lines = Path(path).read_text("utf-8", "replace").splitlines()
    except OSError as error:
        raise ReadError(f"{path} cannot be read: {error.strerror}.") from error
    rows = [
        (line[23:27], line[:23].strip(), *(_number(line[a : a + 8]) for a in (48, 57, 65)))
        for line in lines
        if line[23:27].isdigit()
    ]
    if not rows:
        raise ReadError(
            f"{path} is not the table of the MILES library: no line has the number of a star in "
            "columns 24 to 27."
        )
    return Table(rows=rows, names=("id", "name", "teff", "logg", "fe_h"))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


@lru_cache(maxsize=16)
def _names(folder: Path) -> dict[str, str]:
    """Number to name of the stars, from the table of parameters in the folder, if there is one."""
    names: dict[str, str] = {}
    for table in sorted(folder.glob("paramsMILES*.txt")):
        for line in table.read_text("utf-8", "replace").splitlines():
            name, number = line[:23].strip().removesuffix(" Cl"), line[23:27]  # fixed columns
            if number.isdigit():
                names.setdefault(number, name.strip())
    return names


MILES = register(Survey("miles", "MILES", identify, read, "http://miles.iac.es"))
