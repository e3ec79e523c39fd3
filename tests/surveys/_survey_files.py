"""Small made-up files in the layouts of the surveys, for tests that run without real data.

Written with astropy, so that the reader is not tested against itself. Layouts as in the documents
that each reader names. Every spectrum has one bad pixel of each sort, listed by `BAD`.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

N = 60
NAN, ZERO_ERROR, NEGATIVE_ERROR, FLAGGED = 7, 11, 13, 17
BAD = (NAN, ZERO_ERROR, NEGATIVE_ERROR, FLAGGED)
ID = "2M00000001+0000001"


def spectrum(n_rows: int = 1, n: int = N) -> tuple[np.ndarray, np.ndarray]:
    """Flux and error (n_rows, n) of S/N 50, with the bad pixels but for the flagged one."""
    flux = 100.0 + np.sin(np.arange(n_rows * n)).reshape(n_rows, n)
    error = np.full((n_rows, n), 2.0)
    flux[:, NAN] = np.nan
    error[:, ZERO_ERROR], error[:, NEGATIVE_ERROR] = 0.0, -1.0
    return flux.astype(np.float32), error.astype(np.float32)


def mask(bit: int, n_rows: int = 1, n: int = N, dtype: str = "i2") -> np.ndarray:
    """Bit masks with one bit set at the flagged pixel."""
    out = np.zeros((n_rows, n), dtype)
    out[:, FLAGGED] = 1 << bit
    return out


def _write(path: Path, hdus: list) -> Path:
    fits.HDUList(hdus).writeto(path)
    return path


def _header(**cards: object) -> fits.Header:
    return fits.Header(cards)


LOG = {"CRVAL1": 4.179, "CDELT1": 6e-6, "CRPIX1": 1, "CTYPE1": "LOG-LINEAR", "DC-FLAG": 1}


def apstar(folder: Path, visits: int = 3, name: str = f"apStar-dr17-{ID}.fits") -> Path:
    """Of DR12 for a VHELIO, of DR17 for a VHBARY; one visit: one row."""
    rows = 1 if visits == 1 else visits + 2
    flux, error = spectrum(rows)
    head = _header(OBJID=ID, NVISITS=visits, SNR=50.0, VHBARY=12.5, RA=1.0, DEC=-2.0, **LOG)
    for i in range(1, visits + 1):
        head[f"SFILE{i}"] = f"apVisit-dr17-1000-5600{i}-001.fits"
        head[f"SNRVIS{i}"], head[f"VHBARY{i}"] = 20.0 + i, 12.0 + i
    bits = mask(0, rows)
    if rows > 1:
        bits[0, 30] = bits[2, 30] = 1  # bad in one visit only: kept in the combination
    error[:, 40] = 1e10
    images = [fits.ImageHDU(data.squeeze(), _header(**LOG)) for data in (flux, error, bits)]
    return _write(folder / name, [fits.PrimaryHDU(header=head), *images])


def apvisit(folder: Path, name: str = "apVisit-dr17-1000-56001-001.fits") -> Path:
    """Chips and pixels from red to blue."""
    flux, error = spectrum(3)
    wave = 15100.0 + 0.2 * np.arange(N) + 500.0 * np.array([[2.0], [1.0], [0.0]])
    head = _header(OBJID=ID, FIBERID=1, SNR=50.0, VRAD=30.0, VHELIO=12.5, RA=1.0, DEC=-2.0)
    hdus: list = [fits.PrimaryHDU(header=head)]
    units = ("Flux (10^-17)", "Flux Error", "Flag Mask", "Wavelength (Ang)")
    for data, unit in zip((flux, error, mask(0, 3), wave), units, strict=True):
        hdus.append(fits.ImageHDU(data[:, ::-1], _header(BUNIT=unit)))
    return _write(folder / name, hdus)


def aspcapstar(folder: Path, name: str = f"aspcapStar-dr17-{ID}.fits") -> Path:
    """Pixels without data have a flux of 0."""
    flux, error = spectrum()
    flux[:, FLAGGED] = 0.0
    images = [fits.ImageHDU(data[0], _header(**LOG)) for data in (flux, error, flux)]
    table = Table(
        {
            "APOGEE_ID": [ID],
            "FPARAM": np.full((1, 9), 1.5, "f4"),
            "PARAM": np.full((1, 9), -9999.0, "f4"),
            "SNR": np.array([50.0], "f4"),
            "RA": [1.0],
            "DEC": [-2.0],
        }
    )
    head = fits.PrimaryHDU(header=_header(OBJ=ID, VHELIO=12.5))
    return _write(folder / name, [head, *images, fits.BinTableHDU(table)])


def sdss(folder: Path, name: str = "spec-0001-50000-0001.fits", upper: bool = False) -> Path:
    """Lite; in upper case as SDSS-V writes it."""
    flux, error = spectrum()
    with np.errstate(divide="ignore"):
        ivar = np.where(error > 0, error**-2.0, np.where(error < 0, -1.0, 0.0))
    table = Table(
        {
            "flux": flux[0],
            "loglam": np.float32(3.6) + np.float32(1e-4) * np.arange(N, dtype="f4"),
            "ivar": ivar[0].astype("f4"),
            "and_mask": mask(22, dtype="i4")[0],
            "or_mask": mask(22, dtype="i4")[0],
            "wdisp": np.full(N, 1.1, "f4"),
        }
    )
    if upper:
        table = Table({key.upper(): table[key] for key in table.colnames})
    about = Table({"Z": [1e-4], "CLASS": ["STAR"], "SUBCLASS": ["F9"], "SN_MEDIAN_ALL": [50.0]})
    head = _header(PLATEID=1, MJD=50000, FIBERID=1, PLUG_RA=1.0, PLUG_DEC=-2.0, RA=99.0)
    tables = [fits.BinTableHDU(table), fits.BinTableHDU(about)]
    return _write(folder / name, [fits.PrimaryHDU(header=head), *tables])


def mastar(folder: Path, name: str = "mastar-goodspec.fits") -> Path:
    """Three visits of two stars."""
    flux, error = spectrum(3)
    with np.errstate(divide="ignore"):
        ivar = np.where(error > 0, error**-2.0, np.where(error < 0, -1.0, 0.0))
    table = Table(
        {
            "MANGAID": ["7-1", "7-1", "7-2"],
            "PLATE": [1, 1, 1],
            "IFUDESIGN": ["701", "701", "702"],
            "MJD": [57000, 57001, 57000],
            "RA": [1.0, 1.0, 2.0],
            "DEC": [-2.0, -2.0, -3.0],
            "HELIOV": [12.5, 12.5, 3.0],
            "V_ERRCODE": [0, 0, 1],
            "S2N": [50.0, 50.0, 50.0],
            "WAVE": np.tile(10 ** (3.6 + 1e-4 * np.arange(N)), (3, 1)),
            "FLUX": flux,
            "IVAR": ivar.astype("f4"),
            "DISP": np.full((3, N), 1.4, "f4"),
            "MASK": mask(19, 3, dtype="i4"),
        }
    )
    return _write(folder / name, [fits.PrimaryHDU(), fits.BinTableHDU(table)])


def _lamost_head() -> fits.Header:
    return _header(
        TELESCOP="LAMOST",
        DESIG="LAMOST J000400.00-020000.0",
        RA=1.0,
        DEC=-2.0,
        Z=1e-4,
        SNRG=50.0,
        CLASS="STAR",
        SUBCLASS="G5",
        HELIO_RV=20.0,
        COEFF0=3.6,
        COEFF1=1e-4,
    )


def _lamost_rows() -> dict[str, np.ndarray]:
    flux, error = spectrum()
    with np.errstate(divide="ignore"):
        ivar = np.where(error > 0, error**-2.0, np.where(error < 0, -1.0, 0.0))
    wave = 10 ** (3.6 + 1e-4 * np.arange(N))
    bits = mask(5)[0]
    return {"FLUX": flux[0], "IVAR": ivar[0], "WAVELENGTH": wave, "ANDMASK": bits, "ORMASK": bits}


def lamost(folder: Path, name: str = "spec-55000-A_sp01-001.fits", pilot: bool = False) -> Path:
    """The image of five rows; of the pilot survey without wavelengths."""
    rows = _lamost_rows()
    if pilot:
        rows["WAVELENGTH"] = np.sin(np.arange(N))
    head = _lamost_head()
    head["HELIO_RV"] = 20.0
    image = np.stack([row.astype("f4") for row in rows.values()])
    return _write(folder / name, [fits.PrimaryHDU(image, header=head)])


def lamost_table(folder: Path, name: str = "spec-55000-B_sp01-001.fits.gz") -> Path:
    """The table COADD, gzipped."""
    table = Table({key: row[None].astype("f4") for key, row in _lamost_rows().items()})
    hdu = fits.BinTableHDU(table, name="COADD")
    plain = _write(folder / name.removesuffix(".gz"), [fits.PrimaryHDU(header=_lamost_head()), hdu])
    path = folder / name
    path.write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    return path


def galah(folder: Path, name: str = "1404130026010011.fits", hdus: int = 5) -> Path:
    """A CCD of DR3 (5 HDUs, CRPIX1 0) or DR4 (8 HDUs): relative errors in HDU 1 or 2."""
    flux, error = spectrum()
    relative = error[0] / np.where(np.isfinite(flux[0]), flux[0], 1.0)
    relative[FLAGGED] = np.nan
    head = _header(CRVAL1=4713.0, CDELT1=0.046, CRPIX1=0 if hdus == 5 else 1, RVCOM=12.5)
    if hdus > 5:
        head["WAV_OK"] = 1
    where = 1 if hdus == 5 else 2
    images = [fits.ImageHDU(relative if i == where else flux[0]) for i in range(1, hdus)]
    return _write(folder / name, [fits.PrimaryHDU(flux[0], header=head), *images])


def galah_table(folder: Path, name: str = "140413002601001_allstar_fit_spectrum.fits") -> Path:
    """Analysed: wave, sob, uob, with a gap."""
    flux, error = spectrum()
    error[:, FLAGGED] = 0.0
    wave = 4713.0 + 0.046 * np.arange(N) + np.where(np.arange(N) < N // 2, 0, 900.0)
    table = Table({"wave": wave, "sob": flux[0] / 100, "uob": error[0] / 100, "smod": flux[0]})
    return _write(folder / name, [fits.PrimaryHDU(), fits.BinTableHDU(table)])


def galah_text(folder: Path, name: str = "example.txt") -> Path:
    """Analysed, as text."""
    flux, error = spectrum()
    error[:, FLAGGED] = 0.0
    wave = 4713.0 + 0.046 * np.arange(N)
    rows = zip(wave, flux[0] / 100, error[0] / 100, strict=True)
    path = folder / name
    path.write_text("# wave sob uob\n" + "".join(f"{a:.6f} {b} {c}\n" for a, b, c in rows))
    return path


def miles(folder: Path, name: str = "m0001V.fits") -> Path:
    """No errors: what marks a pixel bad is its flux."""
    flux, _ = spectrum()
    flux[:, [ZERO_ERROR, FLAGGED]], flux[:, NEGATIVE_ERROR] = 0.0, -1.0
    head = _header(CRVAL1=3540.5, CDELT1=0.9, CRPIX1=1, FWHM=2.5)
    return _write(folder / name, [fits.PrimaryHDU(flux[0].astype("f8"), header=head)])


MAKERS: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "apStar": ("apstar", apstar),
    "apStar of one visit": ("apstar", lambda f: apstar(f, 1)),
    "asStar": ("apstar", lambda f: apstar(f, name=f"asStar-r12-{ID}.fits")),
    "apVisit": ("apvisit", apvisit),
    "aspcapStar": ("aspcapstar", aspcapstar),
    "SDSS": ("sdss", sdss),
    "SDSS-V": ("sdss", lambda f: sdss(f, upper=True)),
    "MaStar": ("mastar", mastar),
    "LAMOST image": ("lamost", lamost),
    "LAMOST pilot": ("lamost", lambda f: lamost(f, pilot=True)),
    "LAMOST table": ("lamost", lamost_table),
    "GALAH DR3": ("galah", galah),
    "GALAH DR4": ("galah", lambda f: galah(f, hdus=8)),
    "GALAH table": ("galah", galah_table),
    "GALAH text": ("galah", galah_text),
    "MILES": ("miles", miles),
}
"""Layout: the survey that reads it, and what writes a file of it into a folder."""
