"""Figures of scatter beside the limit of what can be known, and of residuals by label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from starnet.errors import DataError
from starnet.plots._style import (
    BLUE,
    COLOURS,
    DOT,
    GREEN,
    LINE,
    ORANGE,
    PURPLE,
    axis_name,
    dress,
    label_name,
)
from starnet.spectra import Labels

Array = NDArray[Any]
MARKS = (("o", BLUE), ("s", ORANGE), ("^", GREEN), ("D", PURPLE))


def over_limit(
    names: Sequence[str], ratios: Array, bins: Sequence[str], *, bar: float | None = None
) -> Figure:
    """Scatter over the Cramer-Rao limit of each label, a mark for each bin.

    Parameters
    ----------
    names : sequence of str
        Of the L labels.
    ratios : array (B, L)
        Where one is NaN nothing is drawn; those beyond the axis stand at its end.
    bins : sequence of str
        Names of the B bins, such as ranges of signal to noise; four at most.
    bar : float, optional
        A line at a ratio to be reached.

    Raises
    ------
    DataError
        If shapes do not fit.
    """
    values = np.asarray(ratios, dtype=float)
    if values.shape != (len(bins), len(names)) or len(bins) > len(MARKS) or not len(names):
        raise DataError(
            f"ratios must have shape ({len(bins)}, {len(names)}), of up to {len(MARKS)} bins; "
            f"received {values.shape}."
        )
    figure = Figure(figsize=(10.5, 3.4), layout="constrained")
    axis = figure.subplots()
    dress(axis)
    x = np.arange(len(names))
    finite = values[np.isfinite(values)]
    edge = float(np.clip(1.15 * np.max(finite, initial=2.0), 2.0, 5.0))
    for i, (title, row) in enumerate(zip(bins, values, strict=True)):
        mark, colour = MARKS[i]
        at = x + 0.18 * (i - (len(bins) - 1) / 2)
        axis.scatter(at, np.minimum(row, 0.98 * edge), marker=mark, s=34, color=colour,
                     edgecolors="white", linewidths=0.5, label=title, zorder=3)  # fmt: skip
    axis.axhline(1.0, **{**LINE, "lw": 1.3})
    if bar is not None:
        axis.axhline(bar, **{**LINE, "ls": "--"})
    axis.set_xticks(x, [label_name(name) for name in names], rotation=40, fontsize=9)
    axis.set(xlim=(-0.6, len(names) - 0.4), ylim=(0, edge))
    for at in x[::2]:
        axis.axvspan(at - 0.5, at + 0.5, color="0.96", lw=0, zorder=-2)
    axis.set_ylabel("robust scatter / Cramér-Rao limit", fontsize=9.5)
    axis.legend(
        frameon=False, fontsize=9, ncols=len(bins), loc="lower left", bbox_to_anchor=(0, 1.0)
    )
    return figure


def comparison(
    predicted: Labels, reference: Labels, colour: Array, *, of: str = "S/N", columns: int = 3
) -> Figure:
    """Predicted against true labels with the residuals beneath, coloured by a quantity.

    Parameters
    ----------
    predicted, reference : Labels
        Of the same N stars; labels that both have are drawn.
    colour : array (N,)
        Drawn on a logarithmic scale.
    of : str
        What it is.
    columns : int
        Labels in a row.

    Raises
    ------
    DataError
        If the numbers of stars differ, or no label is shared.
    """
    from matplotlib.colors import LogNorm

    names = [name for name in predicted.names if name in reference.names]
    if not names or not len(predicted) == len(reference) == len(colour):
        raise DataError(
            "A comparison needs the same stars with a label in common; received "
            f"{len(predicted)}, {len(reference)} and {len(colour)} stars."
        )
    columns = min(columns, len(names))
    rows = -(-len(names) // columns)
    width, height = 10.5, 9.2 / columns * 1.42 * rows + 0.5
    figure = Figure(figsize=(width, height))
    outer = figure.add_gridspec(
        rows, columns, left=0.075, right=0.91, bottom=0.5 / height, top=1 - 0.3 / height,
        wspace=0.32 if columns < 5 else 0.42, hspace=0.3,
    )  # fmt: skip
    good = np.asarray(colour)[np.isfinite(colour)]
    low, high = np.percentile(good, [2, 98]) if good.size else (1.0, 10.0)
    shade = {"c": colour, "norm": LogNorm(low, max(high, 1.01 * low)), "cmap": COLOURS, **DOT}
    dots = None
    for i, name in enumerate(names):
        inner = outer[i // columns, i % columns].subgridspec(
            2, 1, height_ratios=[3, 1.3], hspace=0.06
        )
        top, below = figure.add_subplot(inner[0]), figure.add_subplot(inner[1])
        dots = _pair(top, below, predicted.column(name), reference.column(name), shade)
        top.set_title(axis_name(name), fontsize=9.5)
        if i % columns == 0:
            top.set_ylabel("predicted", fontsize=9)
            below.set_ylabel("pred. − true", fontsize=8.5)
        if i + columns >= len(names):
            below.set_xlabel("true", fontsize=9)
    _bar(figure, dots, (low, high), of)
    return figure


def _bar(figure: Figure, dots: Any, span: tuple[float, float], of: str) -> None:
    """A colour bar at the right with round numbers."""
    height = figure.get_size_inches()[1]
    tall = min(0.8, 3.2 / height)
    bar = figure.colorbar(dots, cax=figure.add_axes((0.935, 0.5 - tall / 2, 0.012, tall)))
    steps = np.array([1, 2, 3, 5, 7]) * 10.0 ** np.arange(-2, 6)[:, None]
    ticks = [float(t) for t in steps.ravel() if span[0] <= t <= span[1]]
    bar.set_ticks(ticks, labels=[f"{t:g}" for t in ticks])
    bar.ax.minorticks_off()
    bar.ax.tick_params(labelsize=8)
    bar.set_label(of, fontsize=9)


def _pair(top: Any, below: Any, y: Array, x: Array, shade: dict[str, Any]) -> Any:
    """One label: against the truth, and its residuals; those far out stand at the edge."""
    both = np.concatenate([x, y])[np.isfinite(np.concatenate([x, y]))]
    low, high = np.percentile(both, [0.3, 99.7]) if both.size else (0.0, 1.0)
    margin = 0.06 * (high - low) or 1.0
    ends = low - margin, high + margin
    top.plot(ends, ends, **LINE)
    dots = top.scatter(x, y, **shade)
    top.set(xlim=ends, ylim=ends)
    top.tick_params(labelbottom=False)
    gap = y - x
    finite = np.abs(gap[np.isfinite(gap)])
    edge = 1.3 * float(np.percentile(finite, 98)) if finite.size else 1.0
    below.axhline(0.0, **LINE)
    below.scatter(x, np.clip(gap, -0.97 * edge, 0.97 * edge), **shade)
    below.set(xlim=ends, ylim=(-(edge or 1.0), edge or 1.0))
    for axis, ticks in ((top, 4), (below, 3)):
        dress(axis)
        axis.locator_params(axis="x", nbins=4)
        axis.locator_params(axis="y", nbins=ticks)
        axis.tick_params(labelsize=7.5)
    return dots
