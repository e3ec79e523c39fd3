"""The training curve."""

from __future__ import annotations

import numpy as np
from astropy.table import Table
from matplotlib.figure import Figure

from starnet.plots._style import LINE, panels


def training_curve(*histories: Table) -> Figure:
    """Loss of each epoch, training and validation, for one network or the members of an ensemble.

    Parameters
    ----------
    *histories : Table
        With columns ``epoch``, ``train_loss``, ``valid_loss``, as `training.History` gives them.
    """
    figure, axes = panels(1, size=5.0)
    axis = axes[0, 0]
    alpha = 1.0 if len(histories) == 1 else 0.5
    for i, table in enumerate(histories):
        names = ("training", "validation") if i == 0 else (None, None)
        axis.plot(table["epoch"], table["train_loss"], color="C0", alpha=alpha, label=names[0])
        if np.isfinite(np.asarray(table["valid_loss"])).any():
            axis.plot(table["epoch"], table["valid_loss"], color="C1", alpha=alpha, label=names[1])
        best = (table.meta or {}).get("best_epoch")
        if best:
            axis.axvline(best, **LINE, ls=":", label="best epoch" if i == 0 else None)
    axis.set(xlabel="epoch", ylabel="loss (scaled labels)", yscale="log")
    axis.legend(frameon=False)
    return figure
