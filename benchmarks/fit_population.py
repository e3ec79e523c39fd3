"""Fits the population of stars that the package draws from, to tables of APOGEE's labels.

    python benchmarks/fit_population.py DATA/labels --out apogee.yaml

What it writes (and `starnet/library/populations` holds) are numbers of a model: a mixture of
Gaussians in Teff, log g and [Fe/H] (expectation maximisation), and two sequences of abundances
along [Fe/H], with their scatter. No star of the tables is in it. Numbers that no table gives
(`ADOPTED`) are written with their sources.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from astropy.table import Table
from numpy.typing import NDArray

from starnet.library.population import ALPHA_DIVIDE, TRACERS, divide

Array = NDArray[Any]
SEED = 4
WITHIN = {"teff": (3600.0, 7000.0), "logg": (0.0, 5.0), "fe_h": (-2.4, 0.5)}
COMPONENTS = 14
MEASURED = ("c", "n", "o", "na", "mg", "al", "si", "s", "k", "ca", "ti", "mn", "ni")
NODES = (-1.8, -1.2, -0.9, -0.6, -0.4, -0.2, 0.0, 0.2, 0.35)
LOGG_NODES = (1.0, 1.75, 2.4, 3.0, 3.6)
UNITS = np.array([500.0, 0.8, 0.3])
ADOPTED: dict[str, Any] = {
    "about": (
        "Not in the table, or not well measured there: V and Cr follow iron, Co the alpha elements "
        "by a third, Ce falls with [Fe/H] and scatters widely. Trends as in Jonsson et al. 2020, "
        "AJ 160, 120, and Cunha et al. 2017, ApJ 844, 145; scatters by eye."
    ),
    "fe_h": [-2.0, -1.0, 0.0, 0.4],
    "elements": {
        "v_fe": {"low": [-0.05, -0.02, 0.0, 0.05], "high": [0.0, 0.03, 0.05, 0.08], "sd": 0.07},
        "cr_fe": {"low": [-0.05, -0.02, 0.0, 0.02], "high": [-0.05, 0.0, 0.0, 0.02], "sd": 0.05},
        "co_fe": {"low": [0.0, -0.02, 0.0, 0.08], "high": [0.05, 0.08, 0.04, 0.1], "sd": 0.06},
        "ce_fe": {"low": [0.0, 0.0, 0.0, -0.15], "high": [-0.1, -0.05, -0.08, -0.2], "sd": 0.15},
    },
}
BOUNDS = {
    "teff": [3800, 6800], "logg": [0.5, 5.0], "fe_h": [-2.0, 0.4], "vmic": [0.5, 2.8],
    "c_fe": [-0.7, 0.4], "n_fe": [-0.4, 0.9], "o_fe": [-0.3, 0.6], "na_fe": [-0.6, 0.6],
    "mg_fe": [-0.3, 0.6], "al_fe": [-0.5, 0.6], "si_fe": [-0.3, 0.6], "s_fe": [-0.4, 0.7],
    "k_fe": [-0.5, 0.6], "ca_fe": [-0.4, 0.6], "ti_fe": [-0.4, 0.6], "v_fe": [-0.5, 0.5],
    "cr_fe": [-0.5, 0.5], "mn_fe": [-0.7, 0.5], "co_fe": [-0.5, 0.5], "ni_fe": [-0.4, 0.4],
    "ce_fe": [-0.8, 1.0],
}  # fmt: skip
"""Of the plan synth-apogee, where the emulator of APOGEE holds."""


def mixture(x: Array, k: int, rng: np.random.Generator, steps: int = 300) -> tuple[Any, ...]:
    """Weights (k,), means (k, D) and covariances (k, D, D) by expectation maximisation."""
    mean = x[rng.choice(len(x), k, replace=False)]
    cov = np.repeat(np.cov(x.T)[None] / k, k, axis=0)
    weight = np.full(k, 1 / k)
    for _ in range(steps):
        log = log_density(x, weight, mean, cov)
        share = np.exp(log - np.logaddexp.reduce(log, axis=1, keepdims=True))
        total = share.sum(axis=0) + 1e-9
        weight, mean = total / len(x), share.T @ x / total[:, None]
        for i in range(k):
            away = x - mean[i]
            cov[i] = (share[:, i, None] * away).T @ away / total[i] + 1e-4 * np.eye(x.shape[1])
    return weight, mean, cov


def log_density(x: Array, weight: Array, mean: Array, cov: Array) -> Array:
    """Logarithm of each weighted component at each point, (N, k)."""
    out = np.empty((len(x), len(weight)))
    for i, (w, m, c) in enumerate(zip(weight, mean, cov, strict=True)):
        z = np.linalg.solve(np.linalg.cholesky(c), (x - m).T)
        scale = np.linalg.slogdet(2 * np.pi * c)[1]
        out[:, i] = np.log(w) - 0.5 * (np.sum(z**2, axis=0) + scale)
    return out


def stars(path: Path) -> dict[str, Any]:
    """The mixture in Teff, log g and [Fe/H]."""
    table = Table.read(path, format="ascii.csv")
    rows = np.stack([np.array(table[n], dtype=float) for n in WITHIN], axis=1)
    low, high = np.array(list(WITHIN.values())).T
    rows = rows[np.all((rows > low) & (rows < high), axis=1)]
    rng = np.random.default_rng(SEED)
    x = rows[rng.permutation(len(rows))] / UNITS
    tries = [mixture(x[5000:25000], COMPONENTS, rng, 120) for _ in range(3)]
    score = [np.logaddexp.reduce(log_density(x[:5000], *t), axis=1).mean() for t in tries]
    weight, mean, cov = tries[int(np.argmax(score))]
    print(f"{len(rows)} stars; log density of 5000 others for each start: {np.round(score, 4)}")
    order = np.argsort(-weight)
    return {
        "weights": rounded(weight[order], 4),
        "means": [rounded(m, d) for m, d in zip((mean * UNITS)[order].T, (0, 3, 3), strict=True)],
        "covariances": [significant(c * np.outer(UNITS, UNITS)) for c in cov[order]],
    }


def sequences(path: Path) -> dict[str, Any]:
    """Means along [Fe/H] and scatter of the abundances of both sequences."""
    table = Table.read(path, format="ascii.csv")
    iron = np.array(table["FE_H"], dtype=float)
    logg = np.array(table["LOGG"], dtype=float)
    x = np.stack([np.array(table[f"{e.upper()}_H"], dtype=float) - iron for e in MEASURED], axis=1)
    names = [f"{e}_fe" for e in MEASURED]
    good = np.all(np.abs(x) < 1.5, axis=1) & (iron > -2.2)
    x, iron, logg = x[good], iron[good], logg[good]
    solar = np.abs(iron) < 0.05
    zero = np.median(x[solar], axis=0)  # zero points: thin-disc stars of solar [Fe/H] are solar
    kept = [names.index("c_fe"), names.index("n_fe")]
    zero[kept] = 0.0  # which giants have changed
    x = x - zero
    high = divide(iron, x[:, [names.index(t) for t in TRACERS]].mean(axis=1))
    out: dict[str, Any] = {"names": names, "fe_h": list(NODES), "logg": list(LOGG_NODES)}
    out["high_fraction"] = rounded(smooth(iron, high.astype(float), NODES, np.mean), 3)
    along = np.zeros_like(x)
    for _ in range(3):  # means along [Fe/H], then C and N along log g, in turns
        lines = {}
        for name, mask in (("low", ~high), ("high", high)):
            left = x - along
            lines[name] = np.stack([smooth(iron[mask], v, NODES) for v in left[mask].T])
        line = np.where(high[:, None], *(at(lines[s], NODES, iron) for s in ("high", "low")))
        turn = np.zeros((len(names), len(LOGG_NODES)))
        turn[kept] = [smooth(logg, (x - line)[:, i], LOGG_NODES) for i in kept]
        along = at(turn, LOGG_NODES, logg)
    rest = x - line - along
    for name, mask in (("low", ~high), ("high", high)):
        out[name] = {n: rounded(v, 3) for n, v in zip(names, lines[name], strict=True)}
        out[f"scatter_{name}"], out[f"correlation_{name}"] = spread(rest[mask])
    out["along_logg"] = {names[i]: rounded(turn[i], 3) for i in kept}
    out["zero_points"] = dict(zip(names, rounded(zero, 3), strict=True))
    print(f"{len(x)} stars, {high.mean():.2f} of them above [alpha/Fe] = {ALPHA_DIVIDE}")
    return out


def smooth(x: Array, y: Array, nodes: tuple[float, ...], middle: Any = np.median) -> Array:
    """Middle of y about each node, from the stars nearer to it than to the next (at least 40)."""
    edges = np.concatenate([[-np.inf], np.diff(nodes) / 2 + nodes[:-1], [np.inf]])
    out = np.full(len(nodes), np.nan)
    for i, (a, b) in enumerate(itertools.pairwise(edges)):
        inside = (x >= a) & (x < b)
        if inside.sum() >= 40:
            out[i] = middle(y[inside])
    known = np.isfinite(out)
    return np.interp(nodes, np.array(nodes)[known], out[known])


def at(lines: Array, nodes: tuple[float, ...], x: Array) -> Array:
    """Lines (E, nodes) at x, (N, E)."""
    return np.stack([np.interp(x, nodes, line) for line in lines], axis=1)


def spread(rest: Array) -> tuple[Any, Any]:
    """Robust standard deviations, and correlations of what lies within three of them."""
    sd = 1.4826 * np.median(np.abs(rest - np.median(rest, axis=0)), axis=0)
    near = np.all(np.abs(rest) < 3 * sd, axis=1)
    matrix = np.corrcoef(rest[near].T)
    lower = [rounded(matrix[i, :i], 2) for i in range(1, len(matrix))]
    return rounded(sd, 3), lower


def rounded(values: Any, digits: int) -> list[float]:
    """Plain numbers for YAML."""
    return [float(v) for v in np.round(np.asarray(values, dtype=float), digits)]


def significant(matrix: Array) -> list[float]:
    """Lower triangle of a matrix, to four figures."""
    return [float(f"{v:.4g}") for v in matrix[np.tril_indices(len(matrix))]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("labels", type=Path, help="folder of the two tables")
    parser.add_argument("--out", type=Path, default=Path("apogee.yaml"))
    arguments = parser.parse_args()
    data = {
        "name": "apogee",
        "about": (
            "Stars as APOGEE observes them. Teff, log g and [Fe/H]: a mixture of Gaussians fitted "
            "to 49,999 stars of its Data Release 17; abundances: two sequences fitted to 9,618 "
            "giants of Data Release 12 labels; numbers of a model, no star of the tables."
        ),
        "command": "python benchmarks/fit_population.py FOLDER --out apogee.yaml",
        "bounds": BOUNDS,
        "limits": [["c_fe", "o_fe", 0.15]],
        "stars": stars(arguments.labels / "apogee_dr17_subset_50k.csv"),
        "sequences": sequences(arguments.labels / "apogee_dr12_19_labels.csv"),
        "adopted": ADOPTED,
    }
    text = yaml.safe_dump(data, sort_keys=False, default_flow_style=None, width=99)
    arguments.out.write_text(text)


if __name__ == "__main__":
    main()
