"""Made-up spectra under made-up file names, a reader of them, and labels for them."""

from __future__ import annotations

import numpy as np
from astropy.table import Table

from starnet.errors import ReadError
from starnet.spectra import Spectra, WavelengthGrid

GRID = WavelengthGrid.linear(5000.0, 1.0, 40, "air", chips=((0, 18), (20, 40)))
OTHER = WavelengthGrid.linear(5000.0, 1.0, 40, "vacuum")


def made_up(path: str) -> Spectra:
    """The spectrum of ``s0012_v1.fits``: visit 1 of star 0012; the flux tells the file.

    Names that begin with another word have what the word says wrong with them.
    """
    kind, _, stem = path.removesuffix(".fits").rpartition("-")
    star, visit = stem[1:].split("_v")
    number = 10 * int(star) + int(visit)
    if kind == "broken":
        raise ReadError(f"{path} ends after 12 of 40 blocks; the file is truncated.")
    if kind == "crash":
        raise ZeroDivisionError("a reader's own mistake")
    flux = np.full((1, 40), float(number))
    return Spectra(
        OTHER if kind == "vacuum" else GRID,
        flux,
        np.full((1, 40), 4.0),
        np.full((1, 40), kind == "masked"),
        frame="observed" if kind == "observed" else "rest",
        meta=Table({"id": [stem], "star": [star], "file": [path], "snr": [number / 10]}),
        flux_unit="erg" if kind == "erg" else "",
    )


def names(n_stars: int, n_visits: int = 1) -> list[str]:
    """Paths of made-up files."""
    return [f"s{s:04d}_v{v}.fits" for s in range(n_stars) for v in range(n_visits)]


def label_table(n_stars: int) -> Table:
    """Labels of made-up stars; teff is 4000 + the number of the star."""
    numbers = np.arange(n_stars)
    return Table(
        {
            "star": [f"{i:04d}" for i in numbers],
            "teff": 4000.0 + numbers,
            "logg": 2.0 + 0.01 * numbers,
        }
    )
