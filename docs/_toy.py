"""Made-up stars for the documentation, written in the layouts of real surveys.

The line strengths follow no physics beyond the direction in which they go with temperature,
gravity and metallicity. They show how the software is used, not how well it does.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

BALMER = (4861.33,)
MAGNESIUM = (5167.32, 5172.68, 5183.60)
IRON = tuple(np.linspace(4415.0, 5195.0, 40))


def spectrum(wave, teff, logg, fe_h):
    """Flux on wavelengths (Angstrom): a slope with temperature, and lines."""
    heat = (teff - 5500.0) / 1500.0
    flux = (wave / 4800.0) ** (-1.5 * heat)
    for line in BALMER:
        depth, width = 0.35 + 0.25 * heat, 6.0 + 3.0 * heat
        flux = flux * (1 - depth * np.exp(-0.5 * ((wave - line) / width) ** 2))
    for line in MAGNESIUM:
        depth = 0.35 * 10 ** (0.25 * fe_h - 0.3 * heat)
        width = 1.5 + 0.8 * (logg - 1.0)
        flux = flux * (1 - np.clip(depth, 0, 0.9) / (1 + ((wave - line) / width) ** 2))
    for i, line in enumerate(IRON):
        depth = (0.1 + 0.1 * (i % 3)) * 10 ** (0.4 * fe_h - (0.2 + 0.1 * (i % 2)) * heat)
        depth *= 1 - 0.08 * (logg - 3.0) * (i % 4)
        flux = flux * (1 - np.clip(depth, 0, 0.9) * np.exp(-0.5 * ((wave - line) / 1.3) ** 2))
    return flux


def random_labels(n, seed):
    """Temperatures, gravities and metallicities of n made-up stars."""
    rng = np.random.default_rng(seed)
    labels = Table({"star": [f"{i:04d}" for i in range(1, n + 1)]})
    labels["teff"] = np.round(rng.uniform(4200, 6800, n), 0)
    labels["logg"] = np.round(rng.uniform(1.0, 5.0, n), 2)
    labels["fe_h"] = np.round(rng.uniform(-2.0, 0.4, n), 2)
    return labels


def write_miles(folder, n=240, seed=1, snr=100.0):
    """`s0001.fits` and so on, laid out as MILES files are; returns the table of labels."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed + 1000)
    wave = 4400.0 + 0.9 * np.arange(900)
    labels = random_labels(n, seed)
    for row in labels:
        flux = spectrum(wave, row["teff"], row["logg"], row["fe_h"])
        flux = flux * (1 + rng.standard_normal(wave.size) / snr)
        hdu = fits.PrimaryHDU(flux.astype("f4"))
        hdu.header.update(CRVAL1=wave[0], CDELT1=0.9, CRPIX1=1.0, OBJECT=f"toy {row['star']}")
        hdu.writeto(folder / f"s{row['star']}.fits", overwrite=True)
    return labels


def write_spec(path, teff=5800.0, logg=4.4, fe_h=-0.2, *, redshift=2e-4, snr=40.0, seed=3):
    """One file laid out as SDSS `spec` lite files are, with two bits of the mask in use."""
    path = Path(path)
    rng = np.random.default_rng(seed)
    loglam = 3.636 + 1e-4 * np.arange(860)
    flux = 50.0 * spectrum(10**loglam / (1 + redshift), teff, logg, fe_h)
    sigma = flux / snr
    mask = np.zeros(loglam.size, "i4")
    mask[400:412] |= 1 << 23  # BRIGHTSKY, bad by default
    mask[600:630] |= 1 << 25  # COMBINEREJ, which is not
    coadd = Table({"flux": (flux + sigma * rng.standard_normal(loglam.size)).astype("f4")})
    coadd["loglam"], coadd["ivar"] = loglam.astype("f4"), (1 / sigma**2).astype("f4")
    coadd["and_mask"], coadd["or_mask"] = mask, mask
    found = Table({"Z": [redshift], "SN_MEDIAN_ALL": [snr], "CLASS": ["STAR"]})
    plate, mjd, fiber = (int(part) for part in path.stem.split("-")[1:4])
    head = fits.PrimaryHDU()
    head.header.update(PLATEID=plate, MJD=mjd, FIBERID=fiber, PLUG_RA=150.1)
    head.header["PLUG_DEC"] = 2.2 + 0.01 * fiber
    parts = [fits.table_to_hdu(coadd), fits.table_to_hdu(found)]
    fits.HDUList([head, *parts]).writeto(path, overwrite=True)
    return path
