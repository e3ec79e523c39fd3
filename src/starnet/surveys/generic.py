"""Everything else that specutils reads: DESI, WEAVE, 4MOST, tables, plain spectra with a WCS.

Such files do not say what is needed: the medium and the frame come from the options. The one
exception is the FITS standard's own axis name (paper III, Greisen et al. 2006): AWAV is air and
WAVE vacuum. Files of several arms become one spectrum with chips.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from starnet.errors import ReadError
from starnet.spectra import Medium, Spectra, WavelengthGrid, from_specutils
from starnet.surveys._assemble import assemble, stem
from starnet.surveys._options import ReadOptions
from starnet.surveys._registry import Opened, Survey, register
from starnet.surveys.arms import join_arms

NANOMETRE = 10.0


def identify(source: Opened) -> bool:
    """Never by itself: it is chosen by name, or when medium and frame are given."""
    return False


def read(source: Opened, options: ReadOptions) -> Spectra:
    """What specutils makes of the file."""
    medium = options.medium or _medium_of_axis(source)
    if medium is None or options.frame is None:
        raise ReadError(
            "it does not say what its wavelengths are; give medium (vacuum or air) and frame "
            "(rest or observed) in the options"
        )
    plain = _plain_axis(source)
    if plain is not None:
        return _plain(source, options, plain, medium)
    found = _specutils(source)
    names = _names(found, stem(source.path))
    parts = [_converted(part, options, medium, names) for part in found]
    joined = parts[0] if len(parts) == 1 else join_arms(parts)
    meta = joined.meta
    meta["file"] = np.full(len(joined), str(source.path))
    for column in ("snr", "rv", "ra", "dec"):
        if column not in meta.colnames:
            meta[column] = joined.snr if column == "snr" else np.full(len(joined), np.nan)
    meta["survey"], meta["kind"] = "unknown", "specutils"
    return joined.replace(meta=meta)


def _specutils(source: Opened) -> list[Any]:
    from specutils import Spectrum, SpectrumList

    problems = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for kind in (Spectrum, SpectrumList):
            try:
                found = kind.read(str(source.path))
            except Exception as error:  # loaders of many authors raise what they please
                problems.append(str(error).splitlines()[0] if str(error) else repr(error))
                continue
            return list(found) if isinstance(found, SpectrumList) else [found]
    raise ReadError(f"specutils cannot read it either ({problems[0]})")


def _names(parts: list[Any], name: str) -> list[str]:
    """Names of the rows: DESI's target numbers, or the file's name with a number."""
    n = 1 if parts[0].flux.ndim == 1 else parts[0].flux.shape[0]
    targets = next((part.meta["fibermap"] for part in parts if "fibermap" in part.meta), None)
    if targets is not None and "TARGETID" in targets.colnames:
        names = [str(number) for number in targets["TARGETID"]]
        if len(set(names)) == n:
            return names
    return [name] if n == 1 else [f"{name}-{i}" for i in range(n)]


def _converted(part: Any, options: ReadOptions, medium: Medium, names: list[str]) -> Spectra:
    spectra = from_specutils(part, medium=medium, frame=options.frame, id=names, star=names)
    if not options.error_floor:
        return spectra
    with np.errstate(divide="ignore"):
        floor = (options.error_floor * np.abs(spectra.flux)) ** -2
    return spectra.replace(ivar=np.minimum(spectra.ivar, floor))


def _medium_of_axis(source: Opened) -> Medium | None:
    kind = source.fits.header(0).text("CTYPE1")[:4] if source.is_fits else ""
    return {"AWAV": "air", "WAVE": "vacuum"}.get(kind)  # type: ignore[return-value]


def _plain_axis(source: Opened) -> np.ndarray | None:
    """Wavelengths in Angstrom of an image with a linear axis in a unit that is spelt oddly.

    Units such as NM in capitals are common and wcslib refuses them.
    """
    if not source.is_fits or len(source.fits.hdu(0).shape) != 1:
        return None
    head = source.fits.header(0)
    unit = {"NM": NANOMETRE, "ANGSTROMS": 1.0, "ANGSTROM": 1.0}.get(head.text("CUNIT1"))
    start, step = head.number("CRVAL1"), head.number("CDELT1", "CD1_1")
    if unit is None or not step > 0 or head.text("CTYPE1").endswith("LOG"):
        return None
    at = head.number("CRPIX1")
    pixels = np.arange(source.fits.hdu(0).shape[0]) + 1.0 - (at if np.isfinite(at) else 1.0)
    return unit * (start + step * pixels)


def _plain(source: Opened, options: ReadOptions, wave: np.ndarray, medium: Medium) -> Spectra:
    fits, name = source.fits, stem(source.path)
    flux = fits.image(0)
    fits.check_complete()
    second = fits.get(1)
    error = None
    if second is not None and second.header.text("EXTNAME").upper() in ("SIGMA", "ERROR", "ERR"):
        error = fits.image(1)
        error = error if np.any(error > 0) else None
    return assemble(
        WavelengthGrid(wave, medium),
        flux,
        error=error,
        path=source.path,
        options=options,
        frame="observed",  # overruled: the options have it
        meta={"id": name, "star": name, "survey": "unknown", "kind": "image"},
    )


GENERIC = register(
    Survey(
        "specutils",
        "anything that specutils reads (with medium and frame given)",
        identify,
        read,
        "https://specutils.readthedocs.io/en/stable/spectrum1d.html",
    ),
    fallback=True,
)
