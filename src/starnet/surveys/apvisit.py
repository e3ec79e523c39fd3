"""APOGEE apVisit and asVisit: one visit as it was observed, three chips, vacuum.

HDU 1 flux, 2 error, 3 bit mask, 4 wavelengths, each (3, 4096), or (3, 2048) if the visit was not
dithered; chips and pixels run from red to blue and every file has its own wavelengths.
https://data.sdss.org/datamodel/files/APOGEE_REDUX/APRED_VERS/visit/TELESCOPE/FIELD/PLATE/MJD5/apVisit.html

Nothing was corrected for: neither the star's velocity nor the Earth's. So ``rv`` is the Doppler
shift of the spectrum itself (VREL, or VRAD of the header), which takes it to rest; ``v_helio`` is
the heliocentric velocity of the star.
"""

from __future__ import annotations

import numpy as np

from starnet.errors import ReadError
from starnet.spectra import LineSpread, Spectra, WavelengthGrid
from starnet.surveys import bits
from starnet.surveys._assemble import FLUX_UNIT, assemble, stem
from starnet.surveys._options import ReadOptions
from starnet.surveys._registry import Opened, Survey, register
from starnet.surveys.apstar import NO_DATA, RESOLUTION, common


def identify(source: Opened) -> bool:
    """Flux, error, mask and wavelengths of three chips, and a fibre number."""
    hdus = [source.fits.hdu(i) for i in range(5)]
    shapes = {hdu.shape for hdu in hdus[1:]}
    three = len(shapes) == 1 and all(len(s) == 2 and s[0] == 3 for s in shapes)
    unit = hdus[4].header.text("BUNIT", "EXTNAME").lower()
    return three and unit.startswith("wave") and "FIBERID" in hdus[0].header


def read(source: Opened, options: ReadOptions) -> Spectra:
    """One spectrum, its chips put in order of increasing wavelength."""
    fits, head = source.fits, source.fits.header(0)
    wave = fits.image(4)
    if wave.ndim != 2 or not np.all(np.isfinite(wave)):
        raise ReadError(f"HDU 4 should hold 3 rows of wavelengths; it holds {wave.shape}")
    chips = np.argsort(wave[:, 0])
    step = slice(None, None, -1) if wave[0, 0] > wave[0, -1] else slice(None)
    flux, error, mask = (fits.image(i)[chips][:, step].reshape(1, -1) for i in (1, 2, 3))
    fits.check_complete()
    n = wave.shape[1]
    grid = WavelengthGrid(
        wave[chips][:, step].ravel(),
        "vacuum",
        tuple((i * n, (i + 1) * n) for i in range(len(wave))),
        LineSpread(resolution=RESOLUTION),
    )
    return assemble(
        grid,
        flux,
        error=error,
        bad=bits.APOGEE.bad(mask, options.mask_bits),
        path=source.path,
        options=options,
        frame="observed",
        meta={
            **common(head),
            "id": stem(source.path),
            "star": head.text("OBJID", "OBJ") or stem(source.path),
            "snr": head.number("SNR"),
            "rv": head.number("VREL", "VRAD"),
            "v_helio": head.number("VHELIO", "VHBARY"),
            "kind": "apVisit",
        },
        unit=FLUX_UNIT,
        largest_error=NO_DATA,
    )


APVISIT = register(
    Survey(
        "apvisit",
        "APOGEE apVisit/asVisit",
        identify,
        read,
        "https://data.sdss.org/datamodel/files/APOGEE_REDUX/APRED_VERS/visit/TELESCOPE/FIELD/PLATE/MJD5/apVisit.html",
        bits.APOGEE,
    )
)
