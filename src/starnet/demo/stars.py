"""The stars of the demo: labels from the population, spectra from an emulator, observed."""

from __future__ import annotations

from typing import Any

import numpy as np
from astropy.table import Table

from starnet.library import draw
from starnet.spectra import Labels, Spectra
from starnet.synthesis.emulator import Emulator
from starnet.synthesis.observe import Instrument, Observer

SEED = 20_260
"""No network of the package is trained with stars or noise of this seed."""
SNR = (30.0, 300.0)


def draw_labels(emulator: Emulator, n: int, seed: int = SEED) -> Labels:
    """Labels of n stars of the population that the emulator can make, with their vmac."""
    return draw(n, seed, accept=emulator.covers, vmac=True)


def observe(emulator: Emulator, labels: Labels, *, seed: int = SEED) -> Spectra:
    """Spectra of these stars as APOGEE delivers them, normalised, with ids ``demo-0000`` and on.

    Bad pixels, residuals of sky and atmosphere, continuum errors, residual velocities and a line
    spread that varies are all on; the signal to noise is spread evenly in its logarithm, and
    `SNR` says from where to where.
    """
    apogee = Instrument.preset("apogee")
    made = emulator.synthesize(labels, apogee.grid, outside="clamp", batch=64)
    clean = made.spectra(names(len(labels)))
    return Observer(apogee, seed=seed, snr=SNR)(clean)


def names(n: int) -> list[str]:
    """Names of the demo's stars."""
    return [f"demo-{i:04d}" for i in range(n)]


def truth_table(labels: Labels, spectra: Spectra) -> Table:
    """The true labels with the names of the stars and their signal to noise."""
    columns: dict[str, Any] = {"star": np.asarray(spectra.ids, dtype=str)}
    return labels.to_table(**columns, snr=np.asarray(spectra.snr, dtype=np.float32))
