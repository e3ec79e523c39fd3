"""Figure 6 of `errors`: whether the strongest features of each label are lines of its species.

    python benchmarks/errors_6_features.py [--model apogee] [--stars 96]

Stars of the population that the package ships are made by the emulator, with a seed that nothing
was trained with, errors quoted as of a signal to noise of 100. d label / d flux of the shipped
APOGEE network is averaged, with its sign, over the stars in which the label is measured (its
Cramer-Rao limit, all labels unknown, is below 0.1 dex), and over the line spread as a line is. The
20 largest maxima of its size, a resolution element apart, are the features. ``fraction.LABEL`` is
the part of them within half a resolution element of a known line of that species, molecules
included (of any line, for teff and logg): one that is at least 1 % deep in one of five kinds of
stars (`KnownLines`).

Beside it: ``weighted``, the same where each feature counts by its size; ``used``, of features of
d label / d flux times the emulator's d flux / d label, which is where the answer to the label
comes from, and ``used_weighted``; ``optimal``, the fraction that weights of least variance have,
the best that anyone can do; ``chance``, the part of all pixels that lie so near to such a line;
``lines``, how many such lines there are, which for some elements is fewer than 20: ``as_many`` is
the fraction of as many features as there are lines, 20 at most. ``faint`` is ``fraction`` with
lines of 0.5 %. Oxygen and carbon act on each other's molecules through CO, so that lines of CN
and C2 are oxygen's too in physics, and not in this count.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from numpy.typing import NDArray

import starnet
from _record import record
from starnet.evaluate import cramer_rao
from starnet.explain import KnownLines, strongest_features
from starnet.explain.agreement import physics_of
from starnet.explain.features import Features
from starnet.explain.response import MEASURED, UNITS, quoted
from starnet.explain.sensitivity import attributions
from starnet.library import draw
from starnet.spectra import Labels
from starnet.synthesis.emulator import Emulator

Array = NDArray[Any]
SEED = 880_506
N_STARS = 96
SNR = 100.0
MAIN = ("teff", "logg")
FAINT = 0.005
KINDS = ("slope", "use", "optimal")
COLUMNS = (
    "fraction", "weighted", "used", "used_weighted", "optimal", "faint", "chance", "lines",
    "as_many",
)  # fmt: skip


def mean_maps(predictor: Any, stars: Labels, known: Array, emulator: Emulator) -> dict[str, Array]:
    """Mean maps (L, P) of the network, of what it uses, and of the best weights, where measured.

    Labels are those of the emulator that the model has; ``known`` (N, L) says where they count.
    """
    model = predictor.model
    grid = model.input_grid
    seen = quoted(grid, emulator.on(grid).synthesize(stars, grid).normalized, SNR)
    prepared = model.prepare(seen)
    here = emulator.on(prepared.grid)
    rows = [model.labels.index(name) for name in here.labels]
    sums = {kind: np.zeros((len(rows), prepared.grid.n_pixels)) for kind in KINDS}
    for part, _, values in attributions(model, prepared):
        own = np.nan_to_num(values[:, rows])
        slopes, best, _ = physics_of(here, stars[part], prepared[part])
        counts = known[part][:, :, None]
        for kind, value in zip(KINDS, (own, own * slopes, best), strict=True):
            sums[kind] += np.sum(np.where(counts, value, 0.0), axis=0)
        print(f"{part.stop} of {len(stars)} stars", flush=True)
    n = np.maximum(known.sum(axis=0), 1)[:, None]
    return {kind: total / n for kind, total in sums.items()}


def weighted(found: Features) -> float:
    """Part of the features on a line of their own species, each counted by its size."""
    size = np.abs(found.value)
    return float(size[found.own >= 0].sum() / size.sum())


def as_many(found: Features, n: int) -> float:
    """Part of the first n features on a line of their own species."""
    return float(np.mean(found.own[: max(n, 1)] >= 0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="apogee")
    parser.add_argument("--emulator", default="apogee")
    parser.add_argument("--stars", type=int, default=N_STARS)
    parser.add_argument("--quick", type=int, default=0, help="so many stars; nothing is recorded")
    arguments = parser.parse_args()
    predictor = starnet.load(arguments.model)
    emulator = Emulator.load(arguments.emulator)
    stars = draw(arguments.quick or arguments.stars, SEED, accept=emulator.covers, vmac=True)
    limit = cramer_rao(emulator.on(predictor.model.input_grid), stars, snr=SNR)
    known = limit < MEASURED * np.array([UNITS.get(name, 1.0) for name in emulator.labels])
    counted = [n for n, k in zip(emulator.labels, known.mean(axis=0), strict=True) if k >= 0.25]
    maps = mean_maps(predictor, stars, known, emulator)
    grid = predictor.model.grid
    lines = KnownLines.shipped().on(grid)
    faint = KnownLines.shipped().on(grid, shallowest=FAINT)
    out: dict[str, dict[str, Any]] = {column: {} for column in COLUMNS}
    top: dict[str, list[str]] = {}
    for i, name in enumerate(emulator.labels):
        if name not in counted or name not in predictor.labels:
            continue
        found = {kind: strongest_features(grid, name, maps[kind][i], lines=lines) for kind in KINDS}
        more = strongest_features(grid, name, maps["slope"][i], lines=faint)
        row = (
            found["slope"].fraction, weighted(found["slope"]), found["use"].fraction,
            weighted(found["use"]), found["optimal"].fraction, more.fraction,
            found["slope"].chance, len(lines.of_label(name)),
            as_many(found["slope"], len(lines.of_label(name))),
        )  # fmt: skip
        for column, value in zip(COLUMNS, row, strict=True):
            out[column][name] = round(value, 3)
        print(f"{name:6s}", "  ".join(f"{c} {v:.2f}" for c, v in zip(COLUMNS, row, strict=True)))
        top[name] = [
            f"{r['wavelength']:.1f} {r['species'] or '(' + r['beside'] + ')'}"
            for r in found["slope"].rows()[:6]
        ]
    measured = [name for name in out["fraction"] if name not in (*MAIN, "vmic")]
    passed = [name for name in (*MAIN, *measured) if out["fraction"][name] >= 0.8]
    summary = {
        "mean_as_many": round(float(np.mean([out["as_many"][n] for n in measured])), 3),
        "mean": round(float(np.mean([out["fraction"][n] for n in measured])), 3),
        "mean_used": round(float(np.mean([out["used"][n] for n in measured])), 3),
        "mean_weighted": round(float(np.mean([out["weighted"][n] for n in measured])), 3),
        "mean_optimal": round(float(np.mean([out["optimal"][n] for n in measured])), 3),
        "at_least_0.8": passed,
    }
    print(summary)
    if not arguments.quick:
        record(
            "errors", 6, {"fraction": out.pop("fraction")}, seed=SEED, n_stars=len(stars), snr=SNR,
            **out, summary=summary, strongest=top,
        )  # fmt: skip


if __name__ == "__main__":
    main()
