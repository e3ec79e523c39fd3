"""Figure 2 of `emulator`: errors of the shipped APOGEE network over the Cramer-Rao limit.

    python benchmarks/emulator_2_efficiency.py --cache FOLDER [--physics FOLDER] [--model apogee]

Stars are drawn from the population that the package ships, with a seed that nothing was trained
with, and their spectra are computed by the synthesizer itself (engine lte, R = 200,000 sampling,
macroturbulence by a relation), not by the emulator; they are kept in --cache. The APOGEE observer
sees each at S/N 50, 100 and 200 with everything on: bad pixels, sky, telluric and continuum
errors, residual velocity, jitter of the line spread. ``efficiency.sN.LABEL`` is the robust scatter,
over stars, of (predicted - true) / limit. The limit is that of each star's own errors and masks,
from the emulator's slopes on APOGEE's pixels, all labels free (``nuisance`` adds a continuum of
third order in each chip, velocity and broadening, and is a table beside it). ``bias``, ``scatter``
and ``limit`` (median) are in K, dex and km/s. A network knows how stars are distributed, so it can
be below 1 where a spectrum says little.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

import starnet
from _record import record
from _references import DATA
from starnet.dataset import open_dataset
from starnet.evaluate import cramer_rao, robust_scatter
from starnet.inference.flags import of_the_star
from starnet.library import LibraryPlan, make_library
from starnet.spectra import Labels, Spectra
from starnet.synthesis.emulator import Emulator
from starnet.synthesis.emulator.decoder import decoder_matrix
from starnet.synthesis.observe import Instrument, Observer

Array = NDArray[Any]
SEED = 770_402
N_STARS = 600
SNRS = (50, 100, 200)
MAIN = ("teff", "logg", "fe_h")
APOGEE = Instrument.preset("apogee")
NUISANCE: dict[str, Any] = {"continuum": 3, "rv": True, "broadening": True}


def plan(n: int, physics: Path) -> LibraryPlan:
    """The library of test stars."""
    return LibraryPlan.from_dict(
        {
            "name": f"efficiency-{SEED}",
            "about": "Test stars of the benchmark emulator-2.",
            "engine": {"name": "lte", "resolution": 200000, "physics": str(physics)},
            "instrument": "apogee-sharp",
            "sampler": {"sampler": "population", "vmac": True, "seed": SEED},
            "n": n,
        }
    )


def clean_spectra(n: int, cache: Path, physics: Path, workers: int) -> tuple[Spectra, Labels]:
    """Spectra on APOGEE's pixels through its line spread, and their labels with vmac."""
    path = cache / f"efficiency-{n}.zarr"
    if not path.exists():
        make_library(plan(n, physics), path, workers=workers)
    library = open_dataset(path)
    sharp = library.read(np.arange(len(library)))
    matrix = decoder_matrix(Instrument.preset("apogee-sharp").grid, APOGEE.grid)
    flux = np.asarray((matrix @ sharp.flux.astype(float).T).T)
    meta = Table({"id": np.asarray(sharp.ids, dtype=str)})
    return Spectra(APOGEE.grid, flux, frame="rest", meta=meta), library.labels


def figures(found: Labels, truth: Labels, limit: Array, names: tuple[str, ...]) -> dict[str, Any]:
    """Numbers of one signal to noise, by what and label."""
    out: dict[str, Any] = {k: {} for k in ("efficiency", "of_medians", "bias", "scatter", "limit")}
    for name in (n for n in found.names if n in names):
        gap = found.column(name) - truth.column(name)
        least = limit[:, names.index(name)]
        out["efficiency"][name] = robust_scatter(gap / least)
        out["scatter"][name] = robust_scatter(gap)
        out["bias"][name] = float(np.nanmedian(gap))
        out["limit"][name] = float(np.median(least))
        out["of_medians"][name] = out["scatter"][name] / out["limit"][name]
    return {k: {n: float(f"{v:.4g}") for n, v in row.items()} for k, row in out.items()}


def at(snr: int, clean: Spectra, truth: Labels, predictor: Any, emulator: Emulator) -> Any:
    """Figures at one signal to noise, and with nuisances in the limit."""
    seen = Observer(APOGEE, seed=SEED)(clean, snr=float(snr))
    prediction = predictor.predict(seen)
    flagged = int(np.count_nonzero(of_the_star(prediction.flags, prediction.labels.names)))
    weights = np.where(seen.mask, 0.0, seen.ivar)
    plain = cramer_rao(emulator, truth, ivar=weights)
    free = cramer_rao(emulator, truth, ivar=weights, **NUISANCE)
    out = figures(prediction.labels, truth, plain, emulator.labels)
    more = figures(prediction.labels, truth, free, emulator.labels)
    failed = int(np.count_nonzero(~prediction.labels.complete))
    return out, more["efficiency"], {"flagged": flagged, "failed": failed}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, required=True, help="folder for the test stars")
    parser.add_argument("--physics", type=Path, default=DATA / "physics")
    parser.add_argument("--model", default="apogee")
    parser.add_argument("--emulator", default="apogee")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--quick", type=int, default=0, help="so many stars; nothing is recorded")
    arguments = parser.parse_args()
    n = arguments.quick or N_STARS
    arguments.cache.mkdir(parents=True, exist_ok=True)
    clean, truth = clean_spectra(n, arguments.cache, arguments.physics, arguments.workers)
    emulator = Emulator.load(arguments.emulator).on(APOGEE.grid)
    predictor = starnet.load(arguments.model)
    results: dict[str, Any] = {"efficiency": {}}
    beside: dict[str, Any] = {k: {} for k in ("nuisance", "of_medians", "bias", "scatter", "limit")}
    counts = {}
    for snr in SNRS:
        out, beside["nuisance"][f"s{snr}"], counts[f"s{snr}"] = at(
            snr, clean, truth, predictor, emulator
        )
        results["efficiency"][f"s{snr}"] = out.pop("efficiency")
        for name, row in out.items():
            beside[name][f"s{snr}"] = row
        print(f"S/N {snr}", counts[f"s{snr}"])
        for name, value in results["efficiency"][f"s{snr}"].items():
            numbers = (beside[k][f"s{snr}"][name] for k in ("bias", "scatter", "limit"))
            print(f"  {name:6s} {value:7.3f}  " + "  ".join(f"{v:9.4g}" for v in numbers))
    worst = max(results["efficiency"][f"s{s}"].get(n, np.nan) for s in SNRS for n in MAIN)
    results["worst_main"] = worst
    if not arguments.quick:
        record("emulator", 2, results, seed=SEED, n_stars=len(clean), counts=counts, **beside)


if __name__ == "__main__":
    main()
