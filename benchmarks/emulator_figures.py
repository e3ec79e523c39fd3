"""Figures of the emulator's benchmarks, from their results.

    python benchmarks/emulator_figures.py

Reads ``results/emulator-3.json`` (made with ``--swaps``) and writes
``docs/figures/emulator-real.png``: bias of Teff, log g and [Fe/H] on APOKASC giants, Arcturus and
the Sun, with each ingredient of the fit swapped in turn.
"""

from __future__ import annotations

import json
from typing import Any

from matplotlib.figure import Figure

from _record import RESULTS, ROOT

LABELS = (("teff", "Teff (K)", 60.0), ("logg", "log g", 0.15), ("fe_h", "[Fe/H]", 0.06))
STARS = (("giants", "#0072B2", "o"), ("arcturus", "#D55E00", "^"), ("sun", "#009E73", "s"))
FIGURE = ROOT / "docs" / "figures" / "emulator-real.png"


def real(swaps: dict[str, dict[str, Any]]) -> Figure:
    """Found minus accepted for each swap; the band is what the giants may be off by."""
    names = list(swaps)
    figure = Figure(figsize=(10, 0.3 * len(names) + 1.2), layout="constrained")
    axes = figure.subplots(1, 3, sharey=True)
    for axis, (label, title, bar) in zip(axes, LABELS, strict=True):
        axis.axvspan(-bar, bar, color="0.92", zorder=0)
        axis.axvline(0.0, color="0.6", linewidth=0.8)
        for star, colour, marker in STARS:
            values = [swaps[name][star][label] for name in names]
            axis.plot(values, range(len(names)), marker, color=colour, label=star, markersize=5)
        axis.set_xlabel(f"found - accepted, {title}")
        axis.grid(axis="y", color="0.92")
    axes[0].set_yticks(range(len(names)), names)
    axes[0].invert_yaxis()
    axes[0].legend(fontsize=8)
    return figure


def main() -> None:
    result = json.loads((RESULTS / "emulator-3.json").read_text())
    if "swaps" not in result:
        raise SystemExit("emulator-3.json has no swaps; run emulator_3_real.py with --swaps first.")
    real(result["swaps"]).savefig(FIGURE, dpi=110)
    print(f"wrote {FIGURE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
