"""Figure 5 of `errors`: the cheating test of the shipped APOGEE network, a response matrix.

    python benchmarks/errors_5_response.py --cache FOLDER [--physics FOLDER] [--model apogee]

Stars are drawn from the population that the package ships, with a seed that nothing was trained
with. Each is computed by the synthesizer itself (engine lte, not the emulator) with each label
changed up and down by 0.1 dex (50 K, 0.1 km/s), all others held, on APOGEE's pixels through its
line spread; the spectra are kept in --cache. There is no noise in them; errors are quoted as of a
signal to noise of 300 and, beside it, 100: what a network may take from how stars are distributed
grows with the errors, and so the diagonal falls. ``ideal`` is the mean diagonal of the best linear
estimate that knows the covariance of the population around each star, continuum, velocity and
broadening unknown: what a network of least mean error has.

An element is measured in a star if its Cramer-Rao limit, all labels unknown together, S/N 100, is
below 0.1 dex, and counts if that is so in a quarter of the stars. ``matrix`` is the median over
stars in which both elements are measured, ``spread`` the robust scatter over them; ``stars.X`` the
stars where X is measured. fe_h is changed at fixed [X/Fe]; ``iron_alone`` is the change of iron at
fixed [X/H]. ``emulator`` is the same from the emulator's spectra.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import starnet
from _record import ROOT, record
from _references import PHYSICS
from starnet.evaluate.limits import nuisances, spectra_and_slopes
from starnet.explain import Response, changed, optimal_weights, response_from, shared_labels
from starnet.explain.agreement import NUISANCE
from starnet.library import draw
from starnet.plots import save
from starnet.plots.response import response_matrix
from starnet.spectra import Labels
from starnet.synthesis.emulator import Emulator
from starnet.synthesis.observe import Instrument
from starnet.synthesis.observe.lsf import in_chips

Array = NDArray[Any]
SEED = 880_505
N_STARS = 24
SNRS = (300.0, 100.0, 1000.0)
"""Quoted; the first gives the figures."""
LIMIT_SNR = 100.0
RESOLUTION = 200_000.0
POPULATION = 6000
NEAR = (300.0, 0.3, 0.15)
"""Widths in teff, logg and fe_h within which stars are near each other."""


def stars_of(n: int, names: tuple[str, ...], emulator: Emulator) -> Labels:
    """Stars whose changes all lie within the emulator's reach, macroturbulence included."""

    def accept(labels: Labels) -> NDArray[np.bool_]:
        around = emulator.covers(changed(labels, names)).reshape(len(labels), -1)
        return emulator.covers(labels) & around.all(axis=1)

    return draw(n, SEED, accept=accept, vmac=True)


def computed(stars: Labels, names: tuple[str, ...], cache: Path, physics: Path) -> Array:
    """Spectra (N, 2 L, P) of changed stars by the engine, each star kept when it is done."""
    from starnet.synthesis.lte.synthesizer import LteSynthesizer

    cache.mkdir(parents=True, exist_ok=True)
    grid = Instrument.preset("apogee").grid
    engine = LteSynthesizer.from_inputs(physics, resolution=RESOLUTION)
    rows = []
    for i in range(len(stars)):
        path = cache / f"response-{SEED}-{len(names)}-{i}.npy"
        if not path.exists():
            many = changed(stars[i], names)
            made = engine.synthesize(many, grid, outside="clamp", batch=4).normalized
            np.save(path, made.astype(np.float32))
            print(f"star {i + 1} of {len(stars)} computed", flush=True)
        rows.append(np.load(path))
    return np.stack(rows)


def ideal_diagonal(limits: Emulator, stars: Labels, snr: float, names: tuple[str, ...]) -> float:
    """Mean over labels of the median diagonal of (I + P)^-1 I, I information, P of the population.

    P is the inverse covariance of the abundances of stars near in teff, logg and fe_h; these three
    themselves are not confined.
    """
    others = draw(POPULATION, SEED + 1, accept=limits.covers).select(limits.labels).values
    flux, slopes = spectra_and_slopes(limits, stars)
    extra = nuisances(limits.grid, flux, **NUISANCE)
    weight = snr**2 * in_chips(limits.grid)
    rows = []
    for x, jacobian, more in zip(stars.select(limits.labels).values, slopes, extra, strict=True):
        near = np.exp(-0.5 * np.sum(((others - x)[:, :3] / NEAR) ** 2, axis=1))
        covariance = np.cov(others.T, aweights=near)
        covariance[:3, :3] += np.diag([1e6, 1.0, 1.0])
        known = optimal_weights(jacobian, more, weight, np.linalg.pinv(covariance))
        rows.append(np.einsum("lp,lp->l", known, jacobian))
    middle = np.median(rows, axis=0)
    return float(np.mean([middle[limits.labels.index(name)] for name in names]))


def figures(found: Response) -> dict[str, Any]:
    """Numbers of one response."""
    names = found.elements
    index = [found.names.index(name) for name in names]
    block = np.ix_(index, index)
    changed_, moved, value = found.largest
    return {
        "mean_diagonal": _short(found.mean_diagonal),
        "largest_off_diagonal": _short(abs(value)),
        "largest_is": f"{changed_} changed, {moved} moves by {value:+.3f}",
        "measured": list(names),
        "diagonal": {
            n: _short(v) for n, v in zip(names, np.diag(found.matrix[block]), strict=True)
        },
        "matrix": np.round(found.matrix[block], 3).tolist(),
        "spread": np.round(found.spread[block], 3).tolist(),
    }


def beside(found: Response) -> dict[str, Any]:
    """All labels, and what is not in the figures."""
    limit = np.median(found.limit, axis=0)
    share = found.measured.sum(axis=0)
    iron = found.iron
    return {
        "labels": list(found.names),
        "units": "dex, km/s, 1000 K",
        "not_measured": [n for n in found.names if n not in found.counted],
        "stars": {n: int(k) for n, k in zip(found.names, share, strict=True)},
        "limit": {n: _short(v) for n, v in zip(found.names, limit, strict=True)},
        "all_labels": np.round(np.nan_to_num(found.everywhere), 3).tolist(),
        "iron_alone": {}
        if iron is None
        else {n: _short(v) for n, v in zip(found.names, iron, strict=True)},
    }


def _short(value: float) -> float:
    return float(f"{value:.3g}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, required=True, help="folder for the spectra")
    parser.add_argument("--physics", type=Path, default=PHYSICS)
    parser.add_argument("--model", default="apogee")
    parser.add_argument("--figures", type=Path, default=ROOT / "docs" / "figures")
    parser.add_argument("--quick", type=int, default=0, help="so many stars; nothing is recorded")
    arguments = parser.parse_args()
    predictor = starnet.load(arguments.model)
    emulator = Emulator.load("apogee")
    limits = emulator.on(predictor.model.input_grid)
    names = shared_labels(predictor.labels, emulator.labels)
    stars = stars_of(arguments.quick or N_STARS, names, emulator)
    flux = computed(stars, names, arguments.cache, arguments.physics)
    made = emulator.synthesize(changed(stars, names), predictor.model.input_grid, outside="clamp")
    kinds = {"engine": flux, "emulator": made.normalized.reshape(flux.shape)}
    found: dict[str, dict[float, Response]] = {}
    for kind, spectra in kinds.items():
        found[kind] = {
            snr: response_from(
                predictor, stars, names, spectra, limits, snr=snr, limit_snr=LIMIT_SNR
            )
            for snr in SNRS
        }
        for snr, one in found[kind].items():
            print(f"{kind}, S/N {snr:g}: diagonal {one.mean_diagonal:.3f}, largest {one.largest}")
    first = found["engine"][SNRS[0]]
    ideal = {
        f"s{snr:.0f}": _short(ideal_diagonal(limits, stars, snr, first.elements)) for snr in SNRS
    }
    print("ideal:", ideal)
    print(first.table())
    if arguments.quick:
        return
    at = {f"s{snr:.0f}": figures(found["engine"][snr]) for snr in SNRS[1:]}
    figure = response_matrix(
        first.names, first.matrix, measured=first.counted, title=f"engine, S/N {SNRS[0]:g}"
    )
    save(figure, arguments.figures / "response-apogee.png", dpi=110)
    record(
        "errors", 5, figures(first), seed=SEED, n_stars=len(stars), quoted_snr=SNRS[0],
        limit_snr=LIMIT_SNR, ideal=ideal, **at,
        emulator={f"s{snr:.0f}": figures(one) for snr, one in found["emulator"].items()},
        **beside(first),
    )  # fmt: skip


if __name__ == "__main__":
    main()
