"""Figures of repeat visits: how far they scatter, over what was quoted or can be known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from starnet.errors import DataError
from starnet.plots._style import BLUE, GREEN, LINE, ORANGE, PURPLE, dress, label_name
from starnet.plots.calibration import WIDTH, name_axes, small_panels

Array = NDArray[Any]
MARKS = (("o", "0.15"), ("s", BLUE), ("^", ORANGE), ("D", GREEN), ("v", PURPLE))
EDGES = 4.0, 10.0
"""Least and greatest end of an axis of ratios; those beyond stand there."""


def ratios(
    names: Sequence[str],
    ratio: Array,
    error: Array,
    groups: Sequence[str],
    *,
    of: str = "scatter of repeats / quoted error",
    band: tuple[float, float] | None = (0.8, 1.25),
) -> Figure:
    """Ratios of labels with their errors, a mark for each group of stars; on a logarithmic axis.

    Parameters
    ----------
    names : sequence of str
        Of the L labels.
    ratio, error : array (G, L)
        NaN where there is none.
    groups : sequence of str
        Of the G groups, such as ranges of signal to noise; five at most.
    of : str
        What it is.
    band : (low, high), optional
        Shaded.

    Raises
    ------
    DataError
        If shapes do not fit.
    """
    ratio, error = (np.asarray(part, dtype=float) for part in (ratio, error))
    shape = len(groups), len(names)
    if ratio.shape != shape or error.shape != shape or len(groups) > len(MARKS) or not names:
        raise DataError(
            f"ratio and error must have shape {shape}, of up to {len(MARKS)} groups; received "
            f"{ratio.shape} and {error.shape}."
        )
    figure = Figure(figsize=(WIDTH, 3.9), layout="constrained")
    axis = figure.subplots()
    dress(axis)
    x = np.arange(len(names))
    for at in x[::2]:
        axis.axvspan(at - 0.5, at + 0.5, color="0.96", lw=0, zorder=-3)
    if band is not None:
        axis.axhspan(*band, color=GREEN, alpha=0.14, lw=0, zorder=-2)
    axis.axhline(1.0, **{**LINE, "lw": 1.2})
    known = ratio[np.isfinite(ratio)]
    floor = max(0.75 * float(np.min(known, initial=0.8)), 0.08)
    edge = float(np.clip(1.3 * np.max(known, initial=1.0), *EDGES))
    for i, (mark, colour) in enumerate(MARKS[: len(groups)]):
        at = x + 0.15 * (i - (len(groups) - 1) / 2)
        shown = np.clip(ratio[i], floor, 0.97 * edge)
        bars = np.clip([np.minimum(error[i], 0.7 * shown), error[i]], 0, None)
        axis.errorbar(at, shown, bars, fmt=mark, ms=5.5, color=colour, mec="white", mew=0.5,
                      elinewidth=1, label=groups[i], zorder=3)  # fmt: skip
    axis.set_yscale("log")
    ticks = (0.1, 0.2, 0.3, 0.5, 0.8, 1.0, 1.25, 2.0, 3.0, 5.0, 8.0)
    ticks = [t for t in ticks if floor <= t <= edge]
    axis.set_yticks(ticks, [f"{t:g}" for t in ticks])
    axis.yaxis.set_minor_locator(_none())
    axis.set(xlim=(-0.6, len(names) - 0.4), ylim=(floor, edge))
    axis.set_xticks(x, [label_name(name) for name in names], rotation=40, fontsize=9)
    axis.set_ylabel(of, fontsize=9.5)
    axis.legend(frameon=False, fontsize=9, ncols=len(groups), loc="lower left",
                bbox_to_anchor=(0, 1.0))  # fmt: skip
    return figure


def difference_histograms(names: Sequence[str], scaled: Array) -> Figure:
    """Differences of visits over their errors, beside the normal curve that they should follow.

    Parameters
    ----------
    names : sequence of str
        Of the L labels.
    scaled : array (M, L)
        Of M pairs; either sign is counted, for which visit comes first means nothing.

    Raises
    ------
    DataError
        If shapes do not fit.
    """
    if np.shape(scaled)[1:] != (len(names),) or not names:
        raise DataError(f"scaled must have shape (M, {len(names)}); received {np.shape(scaled)}.")
    figure, axes = small_panels(len(names), tall=0.78, sharex=True, sharey=True)
    edges = np.linspace(-5, 5, 26).tolist()
    curve = np.linspace(-5, 5, 201)
    for i, (name, axis) in enumerate(zip(names, axes, strict=True)):
        value = scaled[np.isfinite(scaled[:, i]), i]
        both = np.clip(np.concatenate([value, -value]), -4.99, 4.99)
        if both.size:
            axis.hist(both, edges, density=True, color=BLUE, alpha=0.45)
        axis.plot(curve, np.exp(-0.5 * curve**2) / np.sqrt(2 * np.pi), **{**LINE, "zorder": 3})
        axis.text(0.05, 0.95, label_name(name), transform=axis.transAxes, va="top", fontsize=9)
        axis.set(xlim=(-5, 5), ylim=(0, 0.9))
        axis.set_xticks([-3, 0, 3])
    name_axes(figure, "difference of two visits / quoted error of the difference", "density")
    return figure


def _none() -> Any:
    from matplotlib.ticker import NullLocator

    return NullLocator()
