"""Figures of a bench: methods against each other. Numbers come from its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import NDArray

from starnet.errors import DataError
from starnet.plots._style import DOT, LINE, axis_name, dress
from starnet.spectra import Labels

Array = NDArray[Any]
COLOURS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C564B",
    "#7F7F7F", "#5E3C99", "#66A61E", "#E7298A",
)  # fmt: skip
MARKS = "osD^vPX*<>ph"
WIDE = 0.995
"""Share of the residuals that axes hold; those beyond stand at the edge."""


def styles(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Colour and mark of each method, the same in every figure of a bench."""
    return {
        name: {
            "color": COLOURS[i % len(COLOURS)],
            "marker": MARKS[i % len(MARKS)],
            "ls": ("-", "--", ":")[i // len(COLOURS) % 3],
        }
        for i, name in enumerate(names)
    }


def method_grid(
    predicted: Mapping[str, Labels],
    truth: Mapping[str, Labels],
    *,
    snr: Mapping[str, Array] | None = None,
    notes: Mapping[str, Sequence[str]] | None = None,
) -> Figure:
    """Predicted against reference labels, or residuals against S/N; a row for each method.

    Parameters
    ----------
    predicted, truth : mapping of method to Labels (N, L)
    snr : mapping of method to array (N,), optional
        Then residuals are drawn against it.
    notes : mapping of method to sequence of str, optional
        A line for each panel, such as its scatter.

    Raises
    ------
    DataError
        If there is no method.
    """
    if not predicted:
        raise DataError("A figure of methods needs results of at least one.")
    names = next(iter(truth.values())).names
    rows, columns = len(predicted), len(names)
    figure = Figure(figsize=(3.5 * columns, 2.5 * rows + 0.4), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex="col", sharey="col")
    spans = [_span(predicted, truth, i, snr is not None) for i in range(columns)]
    for row, method in zip(axes, predicted, strict=True):
        for i, (axis, name) in enumerate(zip(row, names, strict=True)):
            dress(axis)
            x, y = truth[method].values[:, i], predicted[method].values[:, i]
            if snr is None:
                _against_truth(axis, x, y, spans[i])
            else:
                _against_snr(axis, snr[method], y - x, spans[i])
            note = notes[method][i] if notes else ""
            axis.set_title(f"{method}   {note}" if i == 0 else note, fontsize=8.5, loc="left")
            if axis is axes[-1, i]:
                axis.set_xlabel("S/N" if snr else f"reference {axis_name(name)}", fontsize=9)
            what = rf"$\Delta$ {axis_name(name)}" if snr else f"predicted {axis_name(name)}"
            axis.set_ylabel(what, fontsize=8.5)
    return figure


def learning_curves(
    names: Sequence[str],
    curves: Mapping[str, tuple[Array, Array, Array]],
    *,
    what: str = "robust scatter",
) -> Figure:
    """Scatter against the number of training stars, both logarithmic; a panel for each label.

    Parameters
    ----------
    names : sequence of str
        Of the L labels.
    curves : mapping of method to (stars (S,), scatter (S, L), error (S, L))
        A method with one size of 0 stars is a line across: it needed none.

    Raises
    ------
    DataError
        If there is no curve.
    """
    if not curves:
        raise DataError("Learning curves need results of at least one method.")
    figure = Figure(figsize=(3.7 * len(names), 4.6), layout="constrained")
    axes = figure.subplots(1, len(names), squeeze=False)[0]
    style = styles(list(curves))
    for i, (axis, name) in enumerate(zip(axes, names, strict=True)):
        dress(axis)
        for method, (stars, scatter, error) in curves.items():
            own = style[method]
            seen = np.isfinite(scatter[:, i]) & (scatter[:, i] > 0)
            if not seen.any():
                continue
            if not np.any(stars > 0):
                axis.axhline(scatter[seen, i][0], color=own["color"], ls=(0, (6, 2)), lw=1.3)
                continue
            axis.errorbar(
                stars[seen], scatter[seen, i], yerr=np.nan_to_num(error[seen, i]), **own, ms=5,
                lw=1.4, elinewidth=0.9, capsize=0,
            )  # fmt: skip
        axis.set(xscale="log", yscale="log")
        _plain_ticks(axis)
        axis.set_xlabel("stars to learn from", fontsize=9)
        axis.set_ylabel(f"{what} of {axis_name(name)}", fontsize=9)
        axis.grid(which="major", color="0.92", lw=0.7)
        axis.set_axisbelow(True)
    _legend(figure, curves, style)
    return figure


def scatter_bars(
    names: Sequence[str], scatter: Mapping[str, Array], error: Mapping[str, Array]
) -> Figure:
    """Scatter of each method with its error as bars, a panel for each label.

    Parameters
    ----------
    names : sequence of str
        Of the L labels.
    scatter, error : mapping of method to array (L,)

    Raises
    ------
    DataError
        If there is no method.
    """
    if not scatter:
        raise DataError("Bars of methods need results of at least one.")
    methods = list(scatter)
    figure = Figure(
        figsize=(1.6 + 3.0 * len(names), 0.34 * len(methods) + 1.2), layout="constrained"
    )
    axes = figure.subplots(1, len(names), squeeze=False, sharey=True)[0]
    style, y = styles(methods), np.arange(len(methods))
    for i, (axis, name) in enumerate(zip(axes, names, strict=True)):
        dress(axis)
        values = np.array([scatter[m][i] for m in methods])
        spread = np.array([error[m][i] for m in methods])
        axis.barh(
            y, np.nan_to_num(values), color=[style[m]["color"] for m in methods], height=0.66,
            xerr=np.nan_to_num(spread), error_kw={"lw": 0.9, "ecolor": "0.25"},
        )  # fmt: skip
        known = values[np.isfinite(values)]
        edge = _edge(known)
        for at, value in zip(y, values, strict=True):
            if value > edge:
                axis.text(0.98 * edge, at, f"{value:.3g} →", ha="right", va="center",
                          fontsize=7.5, color="white")  # fmt: skip
        axis.set_xlim(0, edge)
        axis.tick_params(axis="y", left=False, right=False)
        axis.set_xlabel(f"robust scatter of {axis_name(name)}", fontsize=9)
    axes[0].set_yticks(y, methods, fontsize=9)
    axes[0].invert_yaxis()
    return figure


def _edge(values: Array) -> float:
    """Where the axis of bars ends: one poor method does not squeeze the others."""
    if not values.size:
        return 1.0
    return float(min(1.12 * values.max(), 4.0 * np.median(values)) or 1.0)


def _legend(
    figure: Figure, curves: Mapping[str, tuple[Array, Array, Array]], style: Mapping[str, Any]
) -> None:
    from matplotlib.lines import Line2D

    handles = []
    for method, (stars, _, _) in curves.items():
        own = dict(style[method])
        if not np.any(stars > 0):
            own |= {"marker": "", "ls": (0, (6, 2))}
        handles.append(Line2D([], [], label=method, lw=1.4, ms=5, **own))
    columns = min(len(handles), 5)
    figure.legend(handles=handles, loc="outside upper center", ncols=columns, frameon=False,
                  fontsize=9)  # fmt: skip


def _span(
    predicted: Mapping[str, Labels], truth: Mapping[str, Labels], i: int, residual: bool
) -> tuple[float, float]:
    """Limits of the axes of one label, for all methods alike."""
    if residual:
        gaps = [np.abs(predicted[m].values[:, i] - truth[m].values[:, i]) for m in predicted]
        ends = [np.quantile(g[np.isfinite(g)], WIDE) for g in gaps if np.isfinite(g).any()]
        edge = 1.15 * float(np.median(ends)) if ends else 1.0
        return -(edge or 1.0), edge or 1.0
    every = np.concatenate([t.values[:, i] for t in truth.values()])
    every = every[np.isfinite(every)]
    low, high = (every.min(), every.max()) if every.size else (0.0, 1.0)
    margin = 0.08 * (high - low) or 1.0
    return float(low - margin), float(high + margin)


def _against_truth(axis: Axes, x: Array, y: Array, span: tuple[float, float]) -> None:
    axis.plot(span, span, **LINE)
    inside = np.clip(y, *span)
    axis.scatter(x, inside, **{**DOT, "s": 6})
    axis.set(xlim=span, ylim=span)


def _against_snr(axis: Axes, x: Array, y: Array, span: tuple[float, float]) -> None:
    axis.axhline(0.0, **LINE)
    axis.scatter(x, np.clip(y, 0.98 * span[0], 0.98 * span[1]), **{**DOT, "s": 6})
    axis.set(ylim=span, xscale="log")
    _plain_ticks(axis, y=False)


def _plain_ticks(axis: Axes, y: bool = True) -> None:
    """Numbers such as 200 and 0.05 on logarithmic axes, where there is room for them."""
    for one in (axis.xaxis, axis.yaxis) if y else (axis.xaxis,):
        one.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=12))
        one.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        one.set_minor_formatter(NullFormatter())


__all__ = ["learning_curves", "method_grid", "scatter_bars", "styles"]
