"""Figures of a search over hyperparameters."""

from __future__ import annotations

from collections.abc import Collection
from textwrap import fill

import numpy as np
from astropy.table import Table
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from starnet.plots._style import BLUE, DOT, LINE, ORANGE, PURPLE, panels

_STATES = {"complete": BLUE, "pruned": ORANGE, "failed": PURPLE}
_AXIS = "robust scatter of validation stars (scaled labels)"


def search_history(trials: Table) -> Figure:
    """Value of each trial in the order in which they began, and the best until then.

    Parameters
    ----------
    trials : Table
        With columns ``number``, ``state``, ``value``, ``best``, as `starnet.training.tune`'s
        `Findings` holds them.
    """
    figure, axes = panels(1, size=5.0)
    axis = axes[0, 0]
    state, value = np.asarray(trials["state"]).astype(str), np.asarray(trials["value"])
    for name, colour in _STATES.items():
        rows = (state == name) & np.isfinite(value)
        if rows.any():
            axis.scatter(trials["number"][rows], value[rows], color=colour, label=name, s=16)
    axis.step(trials["number"], trials["best"], where="post", label="best so far", **LINE)
    axis.set(xlabel="trial", ylabel=_AXIS, yscale="log")
    axis.legend(frameon=False)
    return figure


def setting_importance(importance: Table) -> Figure:
    """How much each setting matters, as bars.

    Parameters
    ----------
    importance : Table
        With columns ``setting`` and ``importance``.
    """
    figure, axes = panels(1, size=5.0)
    axis = axes[0, 0]
    names = np.asarray(importance["setting"]).astype(str)[::-1]
    axis.barh(names, np.asarray(importance["importance"])[::-1], color=BLUE)
    axis.set(xlabel="importance (PED-ANOVA, sum 1)")
    return figure


def setting_slices(trials: Table, settings: list[str], log: Collection[str] = ()) -> Figure:
    """Value against each setting, a panel for each; pruned trials are where they were ended.

    Parameters
    ----------
    trials : Table
        As for `search_history`, with a column for each setting: numbers, or names of choices.
    settings : list of str
    log : collection of str
        Settings with a logarithmic axis.
    """
    columns = min(4, len(settings))
    rows = -(-len(settings) // columns)
    figure, axes = panels(columns, rows, size=2.9, sharey=True)
    for axis, name in zip(axes.flat, settings, strict=False):
        _slice(axis, trials, name)
        axis.set(xlabel=name, yscale="log")
        if name in log:
            axis.set_xscale("log")
    for axis in axes[:, 0]:
        axis.set(ylabel="scatter")
    for axis in list(axes.flat)[len(settings) :]:
        axis.set_visible(False)
    return figure


def _slice(axis: Axes, trials: Table, name: str) -> None:
    """The trials of one panel; choices stand in the order of their names."""
    state, value = np.asarray(trials["state"]).astype(str), np.asarray(trials["value"])
    x = np.asarray(trials[name])
    if x.dtype.kind != "f":
        names, x = np.unique(x.astype(str), return_inverse=True)
        axis.set_xticks(range(len(names)), [fill(each, 14) for each in names], rotation=60)
    for each in ("pruned", "complete"):
        rows = (state == each) & np.isfinite(value)
        axis.scatter(x[rows], value[rows], color=_STATES[each], **DOT)
