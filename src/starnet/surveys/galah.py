"""GALAH: one FITS file for each of the four CCDs, analysed spectra as tables, or text; air.

CCD files (``sobject_id`` of 15 digits and the number of the CCD; observed, barycentric, counts):
HDU 0 is the flux on a linear scale; its error relative to the flux is in HDU 1 up to DR3 (five
HDUs, https://docs.datacentral.org.au/galah/dr3/galah-dr3-spectra/) and in HDU 2 in DR4 (eight). A
CRPIX1 of 0 there means 1. ``rv`` is RVCOM where the header has it. Put the CCDs of a star together
with `starnet.surveys.join_arms`.

Analysed spectra (DR4's ``*_fit_spectrum.fits``, and text with a head ``# wave sob uob``): columns
wave, sob (observed, normalised) and uob (its error), shifted to rest by the analysis (Buder et al.
2024, arXiv 2409.19858).
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.errors import ReadError
from starnet.spectra import LineSpread, Spectra, WavelengthGrid
from starnet.surveys._assemble import assemble, stem
from starnet.surveys._options import ReadOptions
from starnet.surveys._registry import Opened, Survey, register
from starnet.surveys.arms import gaps

RESOLUTION = 28000.0
CCD_FILE = re.compile(r"^(\d{15})([1-4])$")
TEXT_HEAD = re.compile(rb"^\s*#\s*wave\s+sob(\s+uob)?\b[^\n]*\n")


def identify(source: Opened) -> bool:
    """Text with GALAH's head, a table with wave and sob, or a CCD file by name or by origin."""
    if not source.is_fits:
        return TEXT_HEAD.match(source.beginning) is not None
    first, second = source.fits.hdu(0), source.fits.hdu(1)
    if {"wave", "sob"} <= set(second.columns):
        return True
    named = CCD_FILE.match(stem(source.path)) or "GALAH" in first.header.text("ORIGIN")
    return bool(named) and _is_ccd(source)


def _is_ccd(source: Opened) -> bool:
    head = source.fits.header(0)
    return len(source.fits.hdu(0).shape) == 1 and 4000 < head.number("CRVAL1") < 8000


def read(source: Opened, options: ReadOptions) -> Spectra:
    """The spectrum of one file: one CCD, or all that was analysed."""
    if not source.is_fits:
        return _analysed(source, options, *_columns(source))
    if source.fits.hdu(1).is_table:
        table = source.fits.table(1)
        source.fits.check_complete()
        error = table.column("uob").ravel() if "uob" in table else None
        return _analysed(
            source, options, table.column("wave").ravel(), table.column("sob").ravel(), error
        )
    return _ccd(source, options)


def _ccd(source: Opened, options: ReadOptions) -> Spectra:
    fits, head = source.fits, source.fits.header(0)
    flux = fits.image(0)
    fits.check_complete()
    relative = fits.image(_error_hdu(source))
    if relative.shape != flux.shape or flux.ndim != 1:
        raise ReadError(f"flux {flux.shape} and relative error {relative.shape} should be alike")
    start, step = head.number("CRVAL1"), head.number("CDELT1", "CD1_1")
    if not (math.isfinite(start) and step > 0):
        raise ReadError(f"CRVAL1 {start} and CDELT1 {step} are no wavelengths")
    first = start + (1.0 - max(1.0, head.number("CRPIX1"))) * step
    match = CCD_FILE.match(stem(source.path))
    name = head.text("SOBJECT_ID", "SOBJECT") or (match.group(1) if match else stem(source.path))
    return assemble(
        WavelengthGrid.linear(first, step, flux.size, "air", lsf=LineSpread(resolution=RESOLUTION)),
        flux,
        error=relative * np.abs(flux),
        path=source.path,
        options=options,
        frame="observed",
        meta={
            "id": stem(source.path),
            "star": head.text("GALAH_ID", "OBJECT") or name,
            "rv": head.number("RVCOM"),
            "ra": head.number("MEANRA", "RA"),
            "dec": head.number("MEANDEC", "DEC"),
            "survey": "GALAH",
            "kind": f"CCD {match.group(2)}" if match else "CCD",
        },
    )


def _error_hdu(source: Opened) -> int:
    """Where the relative error is: HDU 2 in DR4, whose headers say WAV_OK, and HDU 1 before."""
    fits, needed = source.fits, (7 if "WAV_OK" in source.fits.header(0) else 3)
    fits.hdu(needed)  # raises if the file has fewer
    return 2 if fits.get(7) is not None else 1


def _analysed(
    source: Opened,
    options: ReadOptions,
    wave: NDArray[Any],
    flux: NDArray[Any],
    error: NDArray[Any] | None,
) -> Spectra:
    wave = wave.astype(float)
    name = stem(source.path)
    star = re.search(r"\d{15}", name)
    lsf = LineSpread(resolution=RESOLUTION)
    return assemble(
        WavelengthGrid(wave, "air", gaps(wave), lsf),
        flux,
        error=error,
        path=source.path,
        options=options,
        frame="rest",
        meta={
            "id": name,
            "star": star.group() if star else name,
            "survey": "GALAH",
            "kind": "analysed",
        },
    )


def _columns(source: Opened) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any] | None]:
    head = TEXT_HEAD.match(source.beginning)
    if head is None:
        raise ReadError("it is neither FITS nor text with a head '# wave sob' or '# wave sob uob'")
    text = source.path.read_text("utf-8", "replace")
    rows = [line.split() for line in text.splitlines() if line.strip() and line.lstrip()[0] != "#"]
    width = 3 if head.group(1) else 2
    short = next((i for i, row in enumerate(rows) if len(row) < width), None)
    if len(rows) < 2 or short is not None:
        raise ReadError(
            f"its text should have {width} numbers on every line after the head; "
            + (f"line {short + 2} has fewer" if short is not None else f"it has {len(rows)} lines")
        )
    try:
        data = np.array([row[:width] for row in rows], dtype=float).T
    except ValueError as error:
        raise ReadError(f"its text holds something that is no number ({error})") from error
    return data[0], data[1], data[2] if width == 3 else None


GALAH = register(
    Survey(
        "galah",
        "GALAH",
        identify,
        read,
        "https://docs.datacentral.org.au/galah/dr3/galah-dr3-spectra/",
    )
)
