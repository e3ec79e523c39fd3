"""Figures of a search over hyperparameters."""

from __future__ import annotations

import numpy as np
from astropy.table import Table
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


def setting_slices(trials: Table, settings: list[str]) -> Figure:
    """Value against each setting, a panel for each; pruned trials are where they were ended.

    Parameters
    ----------
    trials : Table
        As for `search_history`, with a column for each setting: numbers, or names of choices.
    settings : list of str
    """
    columns = min(4, len(settings))
    rows = -(-len(settings) // columns)
    figure, axes = panels(columns, rows, size=2.9, sharey=True)
    state = np.asarray(trials["state"]).astype(str)
    for axis, name in zip(axes.flat, settings, strict=False):
        for each in ("pruned", "complete"):
            part = trials[(state == each) & np.isfinite(np.asarray(trials["value"]))]
            if len(part):
                x = np.asarray(part[name])
                x = x if x.dtype.kind == "f" else x.astype(str)
                axis.scatter(x, part["value"], color=_STATES[each], **DOT)
        axis.set(xlabel=name, yscale="log")
        axis.tick_params(axis="x", labelrotation=60)
    for axis in axes[:, 0]:
        axis.set(ylabel="scatter")
    for axis in list(axes.flat)[len(settings) :]:
        axis.set_visible(False)
    return figure
