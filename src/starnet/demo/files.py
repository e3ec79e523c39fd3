"""Spectra written as apStar files, so that the demo reads what a survey delivers.

Layout as in `starnet.surveys.apstar`: HDU 1 flux, 2 error, 3 bit mask, one combined spectrum.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
from astropy.io import fits

from starnet.errors import OutputError
from starnet.spectra import Spectra

BAD = 1
"""Bit 0 of APOGEE's masks, BADPIX."""
SCALE = 250.0
"""Flux at the continuum, in the unit of the files (1e-17 erg / s / cm2 / Angstrom)."""


def write_apstar(spectra: Spectra, folder: str | Path) -> list[Path]:
    """One file for each spectrum, named by its id; a folder of an earlier demo is replaced.

    Raises
    ------
    OutputError
        If they cannot be written, or the folder holds anything but such files.
    """
    folder = Path(folder)
    partial = folder.with_name(f".{folder.name}.partial")
    if folder.exists() and any(not p.name.startswith("apStar-demo") for p in folder.iterdir()):
        raise OutputError(
            f"{folder} holds other files than those of the demo; choose another folder with --out."
        )
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for i in range(len(spectra)):
            _write(spectra, i, partial / f"apStar-{spectra.ids[i]}.fits")
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    except OSError as error:
        raise OutputError(
            f"The demo's spectra cannot be written to {folder}: {error.strerror or error}. Free "
            "some space or choose another place with --out."
        ) from error
    finally:
        with suppress(OSError):
            shutil.rmtree(partial, ignore_errors=True)
    return sorted(folder.iterdir())


def _write(spectra: Spectra, row: int, path: Path) -> None:
    wave = np.log10(spectra.grid.wavelength)
    step = round(float((wave[-1] - wave[0]) / (wave.size - 1)), 12)
    axis = {"CRVAL1": round(float(wave[0]), 9), "CDELT1": step, "CRPIX1": 1, "DC-FLAG": 1}
    mask, ivar = spectra.mask[row], spectra.ivar[row]
    error = np.where(mask | (ivar <= 0), 1e10, SCALE / np.sqrt(np.where(ivar > 0, ivar, 1.0)))
    flux = np.where(mask, 0.0, SCALE * spectra.flux[row])
    head = fits.Header(
        {
            "OBJID": str(spectra.ids[row]), "NVISITS": 1, "SFILE1": "apVisit-demo",
            "SNR": round(float(spectra.snr[row]), 2), "ORIGIN": "starnet demo, made up",
            **axis,
        }
    )  # fmt: skip
    arrays = flux.astype(np.float32), error.astype(np.float32), (mask * BAD).astype(np.int16)
    images = [fits.ImageHDU(array, fits.Header(axis)) for array in arrays]
    fits.HDUList([fits.PrimaryHDU(header=head), *images]).writeto(path, output_verify="silentfix")
