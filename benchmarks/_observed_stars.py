"""Stars that the engine synthesized and the APOGEE observer observed: for errors-1 and others.

Labels come from the population that the package ships, with seeds that nothing was trained with;
spectra from the engine itself (lte, R = 200,000 sampling, macroturbulence by a relation), not from
the emulator. Metal-poor stars, of which the population has few, are drawn apart and added, so
that strata of [Fe/H] hold enough of them. They are kept in a cache, as they take a while.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from starnet.dataset import open_dataset
from starnet.library import LibraryPlan, make_library
from starnet.spectra import Labels, Spectra
from starnet.synthesis.emulator.decoder import decoder_matrix
from starnet.synthesis.observe import Instrument, Observer, Ripples

Array = NDArray[Any]
APOGEE = Instrument.preset("apogee")
METAL_POOR = {"fe_h": [-2.0, -0.9]}
SNR = (20.0, 300.0)
RIPPLES = Ripples(amplitude=(0.001, 0.012), length=(2.0, 40.0))
"""As the recipe of the model has them; see `Ripples` for how visits of real stars differ."""


def clean_stars(
    seed: int, n: int, cache: Path, physics: Path, *, bounds: Any = None, workers: int = 2
) -> tuple[Spectra, Labels]:
    """N spectra on APOGEE's pixels through its line spread, without noise, and their labels."""
    path = cache / f"stars-{seed}-{n}.zarr"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        sampler = {"sampler": "population", "vmac": True, "seed": seed}
        plan = LibraryPlan.from_dict(
            {
                "name": f"errors-{seed}",
                "about": "Stars of the benchmark errors-1.",
                "engine": {"name": "lte", "resolution": 200000, "physics": str(physics)},
                "instrument": "apogee-sharp",
                "sampler": sampler | ({"bounds": bounds} if bounds else {}),
                "n": n,
            }
        )
        make_library(plan, path, workers=workers)
    library = open_dataset(path)
    sharp = library.read(np.arange(len(library)))
    matrix = decoder_matrix(Instrument.preset("apogee-sharp").grid, APOGEE.grid)
    flux = np.asarray((matrix @ sharp.flux.astype(float).T).T)
    meta = Table({"id": [f"{seed}-{i}" for i in range(len(flux))]})
    return Spectra(APOGEE.grid, flux, frame="rest", meta=meta), library.labels


def observed(
    clean: Spectra, labels: Labels, seed: int, visits: int
) -> tuple[list[Spectra], Labels, NDArray[Any]]:
    """Visits of every star at signal to noise of its own, labels of each, and whose they are."""
    rng = np.random.default_rng(seed)
    observer = Observer(APOGEE, seed=seed, ripples=RIPPLES)
    low, high = np.log(SNR)
    batches = []
    for visit in range(visits):
        snr = np.exp(rng.uniform(low, high, len(clean)))
        batches.append(observer(clean, snr=snr, visit=visit))
    stars = np.tile(np.arange(len(clean)), visits)
    every = Labels(labels.names, np.tile(labels.values, (visits, 1)))
    return batches, every, stars
