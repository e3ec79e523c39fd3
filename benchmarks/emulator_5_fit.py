"""Figure 5 of `emulator`: 1,000 spectra with 20 labels free, against scipy's curve_fit.

    python benchmarks/emulator_5_fit.py [--emulator apogee] [--cores 2] [--quick]

Stars of 4000-5500 K and [Fe/H] -0.7 to 0.3 on the APOGEE grid at S/N 100, with 5 per cent of the
pixels masked. Both fit the same spectra with the same emulator from the same start, on the pixels
that are not masked, with the same errors and without velocity, width and continuum; one label is
held where the emulator has 21. curve_fit takes the stars one by one, with its defaults: MINPACK's
lmdif and two-point derivatives. Those need more digits than single precision has, so its emulator
is one in double precision. Both begin with the emulator on the pixels of the spectra; ours is timed
with everything else, from `Spectra` to result.

``worst_difference_sigma`` is over all labels of the stars that both fitted and whose labels are
all inside the emulator's hull: curve_fit knows no bounds. ``analytic`` is curve_fit with the
emulator's own derivatives. ``full`` is ours with velocity, width and continuum fitted too, three
starts each, from nothing; ``full_started`` the same from the same start as the others.
"""

from __future__ import annotations

import argparse
import copy
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.optimize import OptimizeWarning, curve_fit

from _record import record
from starnet.inference.fit import FitResult, fit_spectra
from starnet.spectra import Labels, Spectra
from starnet.synthesis.emulator import Emulator
from starnet.synthesis.observe.instrument import Instrument

SNR = 100.0
FREE = 20
RANGE = {"teff": (4000, 5500), "logg": (1.0, 4.6), "fe_h": (-0.7, 0.3), "vmic": (0.8, 2.0)}
OFF = {"teff": 100.0, "logg": 0.2, "fe_h": 0.1, "vmic": 0.2}


def stars(emulator: Emulator, n: int, rng: np.random.Generator) -> np.ndarray:
    """Labels (n, L) well inside the hull."""
    kept: list[np.ndarray] = []
    while len(kept) < n:
        row = np.array([rng.uniform(*RANGE.get(name, (-0.15, 0.15))) for name in emulator.labels])
        if emulator.hull.contains(row[None])[0]:
            kept.append(row)
    return np.array(kept)


def observe(emulator: Emulator, labels: np.ndarray, rng: np.random.Generator) -> Spectra:
    """Spectra with noise and bad pixels."""
    grid = Instrument.preset("apogee").grid
    with torch.no_grad():
        flux = emulator.on(grid).flux(torch.as_tensor(labels).float()).numpy()
    error = np.abs(flux) / SNR + 1e-3
    mask = rng.random(flux.shape) < 0.05
    inside = np.zeros(grid.n_pixels, dtype=bool)
    for first, stop in grid.chips:
        inside[first:stop] = True
    noisy = flux + error * rng.standard_normal(flux.shape)
    return Spectra(grid, noisy, error**-2, mask | ~inside)


def theirs(
    network: Any, spectra: Spectra, row: int, start: np.ndarray, free: np.ndarray, analytic: bool
) -> tuple[np.ndarray, float]:
    """Labels of one star by curve_fit, NaN if it gave up, and seconds."""
    good = np.flatnonzero(~spectra.mask[row])
    sigma = spectra.ivar[row, good].astype(float) ** -0.5
    labels = torch.as_tensor(start)[None].clone()

    def flux(_: Any, *values: float) -> np.ndarray:
        labels[0, free] = torch.as_tensor(values, dtype=torch.float64)
        return network(labels)[0].numpy()[good]

    def slopes(_: Any, *values: float) -> np.ndarray:
        labels[0, free] = torch.as_tensor(values, dtype=torch.float64)
        rise = network.coefficients_and_slopes(labels)[1][0, free]
        return (rise @ network.basis).numpy()[:, good].T

    more: dict[str, Callable] = {"jac": slopes} if analytic else {}
    begin = time.perf_counter()
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore", OptimizeWarning)
            found, _ = curve_fit(
                flux, None, spectra.flux[row, good].astype(float), start[free], sigma=sigma,
                absolute_sigma=True, **more,
            )  # fmt: skip
    except RuntimeError:  # no minimum within its number of calls
        found = np.full(len(free), np.nan)
    return found, time.perf_counter() - begin


def timed(*args: Any, **kw: Any) -> tuple[FitResult, float]:
    """A fit of ours, and spectra per second."""
    begin = time.perf_counter()
    result = fit_spectra(*args, **kw)
    return result, len(result) / (time.perf_counter() - begin)


def differences(result: FitResult, found: np.ndarray, emulator: Emulator) -> np.ndarray:
    """|ours - theirs| / sigma (stars, labels), of stars inside the hull for both."""
    at = [result.labels.names.index(name) for name in result.free]
    ours = result.labels.values[: len(found)]
    other = ours.copy()
    other[:, at] = found
    inside = emulator.hull.contains(other) & ~result.flags[: len(found)].any(axis=1)
    sigma = result.labels.errors[: len(found)][:, at]
    return (np.abs(ours - other)[:, at] / sigma)[inside]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--emulator", default="apogee")
    parser.add_argument("--stars", type=int, default=1000)
    parser.add_argument("--theirs", type=int, default=30)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="100 stars, 4 of theirs, no record")
    given = parser.parse_args()
    if given.quick:
        given.stars, given.theirs = 100, 4
    torch.set_num_threads(given.cores)
    rng = np.random.default_rng(given.seed)
    emulator = Emulator.load(given.emulator)
    truth = stars(emulator, given.stars, rng)
    spectra = observe(emulator, truth, rng)
    low, high = emulator.hull.low, emulator.hull.high
    off = np.array([OFF.get(name, 0.05) for name in emulator.labels])
    begin = np.clip(truth + off * rng.standard_normal(truth.shape), low, high)
    held = {n: truth[:, i] for i, n in enumerate(emulator.labels) if i >= FREE}
    begin[:, FREE:] = truth[:, FREE:]
    start = Labels(emulator.labels, begin)
    plain: dict[str, Any] = {"rv": False, "broadening": False, "continuum_order": None}
    local = emulator.on(spectra.grid)
    result, per_s = timed(local, spectra, start=start, starts=1, fixed=held, **plain)
    network = copy.deepcopy(local.network).double()
    free = np.arange(min(FREE, len(emulator.labels)))
    rows = range(given.theirs)
    pairs = [theirs(network, spectra, i, begin[i], free, False) for i in rows]
    seconds = float(np.mean([s for _, s in pairs]))
    exact = [theirs(network, spectra, i, begin[i], free, True) for i in rows]
    exact_seconds = float(np.mean([s for _, s in exact]))
    apart = differences(result, np.array([found for found, _ in pairs]), emulator)
    apart_exact = differences(result, np.array([found for found, _ in exact]), emulator)
    full, full_per_s = timed(emulator, spectra, fixed=held)
    started, started_per_s = timed(emulator, spectra, start=start, starts=1, fixed=held)
    z = (result.labels.values - truth) / result.labels.errors
    figures = {
        "ratio": per_s * seconds,
        "per_s": per_s,
        "worst_difference_sigma": float(np.max(apart, initial=0.0)),
    }
    more = {
        "median_difference_sigma": float(np.median(apart)) if apart.size else None,
        "compared_stars": len(apart),
        "curve_fit_failed": int(sum(np.isnan(found).any() for found, _ in pairs)),
        "curve_fit_s_per_star": seconds,
        "analytic_s_per_star": exact_seconds,
        "analytic_ratio": per_s * exact_seconds,
        "analytic_worst_difference_sigma": float(np.max(apart_exact, initial=0.0)),
        "full_per_s": full_per_s,
        "full_started_per_s": started_per_s,
        "converged": float(result.converged.mean()),
        "full_converged": float(full.converged.mean()),
        "full_started_converged": float(started.converged.mean()),
        "scatter_over_error": float(np.sqrt(np.nanmean(z[~result.flags.any(axis=1)] ** 2))),
        "median_iterations": float(np.median(result.iterations)),
    }
    for name, value in (figures | more).items():
        print(f"{name:32s} {value}")
    if not given.quick:
        settings = {"stars": given.stars, "theirs": given.theirs, "cores": given.cores}
        record("emulator", 5, figures, seed=given.seed, **more, settings=settings)


if __name__ == "__main__":
    main()
