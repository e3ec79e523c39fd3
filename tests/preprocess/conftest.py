"""Spectra that hold every awkward thing at once, for the transforms."""

from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest
from astropy.table import Table

from starnet.spectra import LineSpread, Spectra, WavelengthGrid

CHIPS = ((0, 90), (95, 180), (184, 201))


def awkward_grid() -> WavelengthGrid:
    """An odd number of pixels, three chips, pixels outside chips between them, a line spread."""
    grid = WavelengthGrid.log10(3.7, 1e-4, 201, "vacuum", chips=CHIPS)
    return replace(grid, lsf=LineSpread(resolution=2000.0))


def awkward_spectra() -> Spectra:
    """Seven rows: clean, masked here and there, unknown errors, an edge, a chip, all, one left."""
    rng = np.random.default_rng(7)
    grid = awkward_grid()
    flux = 40.0 * (1 + 0.03 * rng.standard_normal((7, 201)))
    ivar = np.full(flux.shape, 0.7)
    mask = np.zeros(flux.shape, dtype=bool)
    mask[1] = rng.random(201) < 0.15
    ivar[2] = 0
    mask[3, :20] = True
    mask[4, 95:180] = True
    mask[5] = True
    mask[6] = True
    mask[6, 50] = False
    meta = Table({"id": list("abcdefg"), "star": list("aabbcde"), "rv": np.linspace(-90, 90, 7)})
    return Spectra(grid, flux, ivar, mask, "observed", meta, u.Unit("erg s-1 cm-2 AA-1"))


@pytest.fixture
def awkward() -> Spectra:
    """See `awkward_spectra`."""
    return awkward_spectra()
