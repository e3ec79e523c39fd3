"""Figures of the bench, from its results.

    python benchmarks/bench_figures.py

Reads ``results/bench-3.json`` and writes ``docs/figures/bench-curves.png``: robust scatter of each
method by the number of stars that it learnt from, on observed-looking APOGEE stars and on MILES.
Reads ``results/bench-2.json`` and writes ``docs/figures/bench-networks.png``: robust scatter of
each network; dashed that of the network of 2018, dotted 15 per cent below it.
"""

from __future__ import annotations

import json
from typing import Any

from matplotlib.figure import Figure
from PIL import Image

from _record import RESULTS, ROOT

FOLDER = ROOT / "docs" / "figures"
FIRST = "starnet-2018"
LABELS = (("teff", "Teff (K)"), ("logg", "log g (dex)"), ("fe_h", "[Fe/H] (dex)"))
SUITES = (("apogee-mock", "observed-looking APOGEE"), ("miles", "MILES"))
COLOURS = {
    "starnet-finetuned": "#D55E00",
    "starnet-projection": "#E69F00",
    "starnet-2018": "#CC79A7",
    "cannon": "#0072B2",
    "gp": "#009E73",
    "payne": "#56B4E9",
    "matisse": "black",
}
"""Methods that are named; the others are grey."""
COLOURS_KEPT = 64
"""In a picture, which is a quarter of its size then."""
WORST = 2.1
"""Scatter of networks that is shown, in units of that of the network of 2018."""
HIGHEST = 4.0
"""Scatter that is shown, in units of the smallest of all methods."""


def curves(result: dict[str, Any]) -> Figure:
    """Scatter of each method by training stars, a row for each set of stars."""
    suites = [(key, title) for key, title in SUITES if key in result]
    figure = Figure(figsize=(10, 3.6 * len(suites)), layout="constrained")
    grid = figure.subplots(len(suites), len(LABELS), squeeze=False)
    for axes, (key, title) in zip(grid, suites, strict=True):
        for axis, (label, name) in zip(axes, LABELS, strict=True):
            _panel(axis, result[key], label)
            axis.set_title(title, fontsize=9)
            axis.set_ylabel(f"scatter of {name}")
            axis.set_xlabel("stars learnt from")
    known: dict[str, Any] = {}
    for axes in grid:
        handles, names = axes[0].get_legend_handles_labels()
        known |= dict(zip(names, handles, strict=True))
    figure.legend(known.values(), known, loc="outside lower center", ncols=4, fontsize=8)
    return figure


def _panel(axis: Any, sizes: dict[str, Any], label: str) -> None:
    known = {int(n) if n.isdecimal() else None: methods for n, methods in sizes.items()}
    steps = sorted(n for n in known if n)
    least = min(m[label] for n in steps for m in known[n].values())
    methods = dict.fromkeys(name for n in steps for name in known[n])
    for method in sorted(methods, key=lambda name: name in COLOURS):
        points = [(n, known[n][method]) for n in steps if method in known[n]]
        x, y = zip(*((n, m[label]) for n, m in points), strict=True)
        error = [m[f"{label}_err"] for _, m in points]
        colour = COLOURS.get(method, "0.75")
        axis.errorbar(x, y, error, marker="o", markersize=3, linewidth=1.2, color=colour,
                      label=method if method in COLOURS else "other methods")  # fmt: skip
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_ylim(0.9 * least, HIGHEST * least)
    axis.set_xticks(steps, [f"{n:,}" for n in steps], fontsize=8)
    axis.minorticks_off()
    ticks = [tick for k in range(-2, 4) for tick in (10.0**k, 2 * 10.0**k, 5 * 10.0**k)]
    axis.set_yticks(inside := [t for t in ticks if 0.9 * least < t < HIGHEST * least],
                    [f"{t:g}" for t in inside])  # fmt: skip
    axis.grid(color="0.92")


def networks(result: dict[str, Any]) -> Figure:
    """Scatter of each network; those that are slower than the network of 2018 are hollow."""
    rows = {k: v for k, v in result.items() if isinstance(v, dict) and "per_s" in v}
    order = sorted(rows, key=lambda name: -rows[name]["teff"]["scatter"])
    names = [f"{name}  {rows[name]['per_s']:,}/s" for name in order]
    least = rows[FIRST]["per_s"]
    figure = Figure(figsize=(10, 1.4 + 0.26 * len(order)), layout="constrained")
    axes = figure.subplots(1, 3, sharey=True)
    for axis, (label, name) in zip(axes, LABELS, strict=True):
        first = rows[FIRST][label]["scatter"]
        axis.axvline(first, color="0.6", linestyle="--", linewidth=1)
        axis.axvline(0.85 * first, color="0.6", linestyle=":", linewidth=1)
        axis.set_xlim(0, WORST * first)
        for y, method in enumerate(order):
            own, fast = rows[method], rows[method]["per_s"] >= least
            value = own[label]["scatter"]
            if value > WORST * first:
                axis.text(0.98 * WORST * first, y, f"{value:.3g} \u2192", ha="right", va="center",
                          fontsize=8)  # fmt: skip
                continue
            axis.errorbar(value, y, xerr=own[label]["scatter_err"], marker="o",
                          color="#D55E00", mfc="#D55E00" if fast else "white")  # fmt: skip
        axis.set_xlabel(f"scatter of {name}")
        axis.grid(color="0.92")
    axes[0].set_yticks(range(len(order)), names, fontsize=8)
    axes[0].set_ylim(-0.6, len(order) - 0.4)
    return figure


def main() -> None:
    """Make the figures whose results are there."""
    for number, name, make in ((3, "curves", curves), (2, "networks", networks)):
        path = RESULTS / f"bench-{number}.json"
        if not path.exists():
            print(f"{path.name} is not there; bench-{name}.png is left as it is.")
            continue
        figure = FOLDER / f"bench-{name}.png"
        make(json.loads(path.read_text())).savefig(figure, dpi=110)
        with Image.open(figure) as image:
            small = image.convert("RGB").quantize(COLOURS_KEPT)
        small.save(figure, optimize=True)
        print(f"wrote {figure.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
