"""Figures of how far quoted errors can be trusted: coverage, PIT, z-scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from starnet.errors import DataError
from starnet.plots._style import BLUE, GREEN, LINE, ORANGE, dress, label_name

Array = NDArray[Any]
MARKS = (("o", "0.2"), ("s", BLUE), ("^", ORANGE), ("D", GREEN))
POINT = {"s": 30, "zorder": 3, "edgecolors": "white", "linewidths": 0.5}
COLUMNS = 6
"""Panels in a row."""
WIDTH = 10.5
"""Inches."""
RUNNING = 9
"""Bins of a running median, at most."""
FEWEST = 12
"""Stars in one of them, at least."""


def small_panels(n: int, *, tall: float = 1.0, **kw: Any) -> tuple[Figure, list[Axes]]:
    """A figure with n small panels in rows of `COLUMNS`."""
    columns = min(n, COLUMNS)
    rows = -(-n // columns)
    side = WIDTH / max(columns, 3)
    width, height = side * columns, side * tall * rows + 0.5
    figure = Figure(figsize=(width, height))  # laid out by hand: that is three times as fast
    figure.subplots_adjust(
        left=0.62 / width, right=1 - 0.08 / width, bottom=0.5 / height, top=1 - 0.08 / height,
        wspace=0.07, hspace=0.09 if kw.get("sharex", True) else 0.22,
    )  # fmt: skip
    axes = list(figure.subplots(rows, columns, squeeze=False, **kw).flat)
    for axis in axes[n:]:
        axis.remove()
    for i, axis in enumerate(axes[:n]):
        dress(axis)
        axis.tick_params(labelsize=7.5, labelbottom=i + columns >= n, labelleft=i % columns == 0)
    return figure, axes[:n]


def name_axes(figure: Figure, across: str, up: str) -> None:
    """Names of the axes that all small panels share."""
    width, height = figure.get_size_inches()
    figure.supxlabel(across, fontsize=9.5, y=0.04 / height, va="bottom")
    figure.supylabel(up, fontsize=9.5, x=0.05 / width, ha="left")


def coverage_points(
    names: Sequence[str],
    levels: Sequence[float],
    found: Array,
    bands: tuple[Array, Array],
) -> Figure:
    """Coverage minus what it should be, of all labels side by side, a mark for each level.

    Parameters
    ----------
    names : sequence of str
        Of the L labels.
    levels : sequence of float
        Q nominal coverages, 0 to 1; four at most.
    found : array (Q, L)
    bands : (low, high), each an array (Q, L)
        Between which it is found by chance where errors are right.

    Raises
    ------
    DataError
        If shapes do not fit.
    """
    _fits(found, (len(levels), len(names)), "found")
    figure = Figure(figsize=(WIDTH, 3.9), layout="constrained")
    axis = figure.subplots()
    dress(axis)
    x = np.arange(len(names))
    for at in x[::2]:
        axis.axvspan(at - 0.5, at + 0.5, color="0.96", lw=0, zorder=-3)
    axis.axhline(0.0, **{**LINE, "lw": 1.2})
    edge = 5.0
    for q, (level, (mark, colour)) in enumerate(zip(levels, MARKS, strict=False)):
        at = x + 0.2 * (q - (len(levels) - 1) / 2)
        gap, low, high = (100 * (np.asarray(v)[q] - level) for v in (found, *bands))
        axis.bar(at, high - low, 0.16, bottom=low, color=colour, alpha=0.2, lw=0, zorder=1)
        axis.scatter(at, gap, marker=mark, color=colour, label=f"{100 * level:g}%", **POINT)
        edge = max(edge, 1.12 * float(np.nanmax(np.abs([gap, low, high]), initial=0.0)))
    axis.set_xticks(x, [label_name(name) for name in names], rotation=40, fontsize=9)
    axis.set(xlim=(-0.6, len(names) - 0.4), ylim=(-edge, edge))
    axis.set_ylabel("coverage found − nominal (points)", fontsize=9.5)
    axis.legend(frameon=False, fontsize=9, ncols=4, loc="lower left", bbox_to_anchor=(0, 1.0),
                columnspacing=1.4)  # fmt: skip
    return figure


def coverage_curves(
    names: Sequence[str], levels: Array, found: Array, bands: tuple[Array, Array]
) -> Figure:
    """Found against nominal coverage at many levels, a panel for each label.

    Parameters are those of `coverage_points`.

    Raises
    ------
    DataError
        If shapes do not fit.
    """
    _fits(found, (len(levels), len(names)), "found")
    figure, axes = small_panels(len(names), sharex=True, sharey=True)
    for i, (name, axis) in enumerate(zip(names, axes, strict=True)):
        axis.plot([0, 1], [0, 1], **LINE)
        axis.fill_between(levels, bands[0][:, i], bands[1][:, i], color=BLUE, alpha=0.22, lw=0)
        axis.plot(levels, found[:, i], color=ORANGE, lw=1.6)
        _inside(axis, label_name(name))
        axis.set(xlim=(0, 1), ylim=(0, 1))
        axis.set_xticks([0.25, 0.5, 0.75], ["0.25", "0.5", "0.75"])
        axis.set_yticks([0.25, 0.5, 0.75], ["0.25", "0.5", "0.75"])
    name_axes(figure, "nominal coverage", "found")
    return figure


def uniform_histograms(
    names: Sequence[str],
    counts: Array,
    bands: tuple[Array, Array],
    *,
    ends: tuple[float, float] = (0.0, 1.0),
    across: str = "probability below the truth (PIT)",
) -> Figure:
    """Histograms that are flat where errors are right: of PIT values or of ranks.

    Parameters
    ----------
    names : sequence of str
        Of the L labels.
    counts : array (B, L)
        Stars in B bins of one width.
    bands : (low, high), each an array (L,)
        Fractions of the stars between which a bin's lies by chance.
    ends : (low, high)
        Of the horizontal axis.
    across : str
        What it is.

    Raises
    ------
    DataError
        If shapes do not fit.
    """
    counts = np.asarray(counts, dtype=float)
    _fits(counts, (len(counts), len(names)), "counts")
    share = counts / np.maximum(counts.sum(axis=0), 1) * len(counts)  # 1 is flat
    edges = np.linspace(*ends, len(counts) + 1)
    figure, axes = small_panels(len(names), tall=0.78, sharex=True, sharey=True)
    top = float(np.clip(np.max(share, initial=1.0) * 1.25, 1.9, 6.0))
    for i, (name, axis) in enumerate(zip(names, axes, strict=True)):
        low, high = (part[i] * len(counts) for part in bands)
        out = (share[:, i] < low) | (share[:, i] > high)
        axis.stairs(share[:, i], edges, fill=True, color="#A9CDE6", zorder=1)
        axis.stairs(np.where(out, share[:, i], 0.0), edges, fill=True, color=ORANGE, zorder=1)
        axis.axhspan(low, high, color="0.3", alpha=0.2, lw=0, zorder=2)
        axis.axhline(1.0, **{**LINE, "zorder": 2})
        _inside(axis, label_name(name))
        axis.set(xlim=ends, ylim=(0, top))
        if ends == (0.0, 1.0):
            axis.set_xticks([0.25, 0.5, 0.75], ["0.25", "0.5", "0.75"])
    name_axes(figure, across, "stars over expected")
    return figure


def z_trends(names: Sequence[str], z: Array, x: Array, across: str | None = None) -> Figure:
    """z-scores against a quantity, with their running median and 68% band.

    Where errors are right the median lies on 0 and the band ends at -1 and 1 (dashed).

    Parameters
    ----------
    names : sequence of str
        Of the L labels.
    z : array (N, L)
    x : array (N,) or (N, L)
        What they are drawn against; of each label its own if there are L.
    across : str, optional
        What it is, where it is the same for all.

    Raises
    ------
    DataError
        If shapes do not fit.
    """
    _fits(z, (len(z), len(names)), "z")
    own = np.ndim(x) == 2
    figure, axes = small_panels(len(names), tall=0.86, sharex=not own, sharey=True)
    for i, (name, axis) in enumerate(zip(names, axes, strict=True)):
        at = x[:, i] if own else x
        known = np.isfinite(at) & np.isfinite(z[:, i])
        at, value = at[known], z[known, i]
        dots = {"color": "0.45", "s": 4, "alpha": min(0.5, 150 / max(value.size, 1)), "lw": 0}
        axis.scatter(at, np.clip(value, -4.9, 4.9), rasterized=True, **dots)
        for level in (-1, 1):
            axis.axhline(level, **{**LINE, "ls": "--", "lw": 0.8})
        axis.axhline(0, **{**LINE, "lw": 0.8})
        _running(axis, at, value)
        _inside(axis, label_name(name))
        axis.set_ylim(-5, 5)
        if own:
            axis.tick_params(labelbottom=True)
            axis.locator_params(axis="x", nbins=4)
        if at.size:
            low, high = np.percentile(at, [0.5, 99.5])
            axis.set_xlim(low - 0.03 * (high - low or 1), high + 0.03 * (high - low or 1))
    name_axes(figure, across or "the label itself", "(predicted − true) / error")
    return figure


def stratum_map(
    names: Sequence[str],
    strata: Sequence[str],
    values: Array,
    *,
    centre: float,
    reach: float,
    title: str,
    form: str = "{:.0f}",
    orange: str = "high",
) -> Figure:
    """A number for each stratum and label, coloured by how far it is from where it should be.

    Parameters
    ----------
    names, strata : sequence of str
        Of the L labels (columns) and S strata (rows).
    values : array (S, L)
        NaN where there is none.
    centre, reach : float
        The right value, and the distance from it at which the colour is full.
    title : str
    form : str
        Of the numbers.
    orange : "high" or "low"
        Which side is orange; the other one is purple.

    Raises
    ------
    DataError
        If shapes do not fit.
    """
    values = np.asarray(values, dtype=float)
    _fits(values, (len(strata), len(names)), "values")
    figure = Figure(figsize=(WIDTH, 0.27 * len(strata) + 1.2), layout="constrained")
    axis = figure.subplots()
    colours = "PuOr_r" if orange == "high" else "PuOr"
    image = axis.imshow(values - centre, cmap=colours, vmin=-reach, vmax=reach, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            dark = abs(value - centre) > 0.75 * reach
            axis.text(column, row, form.format(value), ha="center", va="center", fontsize=7.5,
                      color="white" if dark else "0.15")  # fmt: skip
    axis.set_xticks(range(len(names)), [label_name(n) for n in names], rotation=40, fontsize=9)
    axis.set_yticks(range(len(strata)), strata, fontsize=8.5)
    axis.tick_params(length=0)
    axis.set_title(title, fontsize=9.5, loc="left")
    bar = figure.colorbar(image, ax=axis, pad=0.01, aspect=12)
    bar.set_ticks([-reach, 0, reach], labels=[form.format(centre + v) for v in (-reach, 0, reach)])
    bar.ax.tick_params(labelsize=8)
    return figure


def _running(axis: Axes, x: Array, y: Array) -> None:
    """Median, 16th and 84th percentile in bins of as many stars."""
    bins = min(RUNNING, x.size // FEWEST)
    if bins < 2:
        return
    parts = np.array_split(np.argsort(x, kind="stable"), bins)
    middle = np.array([np.median(x[part]) for part in parts])
    low, median, high = np.array([np.percentile(y[part], [16, 50, 84]) for part in parts]).T
    axis.fill_between(middle, low, high, color=BLUE, alpha=0.28, lw=0, zorder=2)
    axis.plot(middle, median, color=ORANGE, lw=1.6, zorder=3)


def _inside(axis: Axes, text: str) -> None:
    """The name of a panel in its corner."""
    box = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8}
    axis.text(0.05, 0.95, text, transform=axis.transAxes, va="top", fontsize=9, bbox=box, zorder=5)


def _fits(values: Any, shape: tuple[int, int], what: str) -> None:
    if np.shape(values) != shape or not shape[1]:
        raise DataError(f"{what} must have shape {shape}; received {np.shape(values)}.")
