"""The response matrix as a heat map with numbers: what moves when one label is changed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from starnet.errors import DataError
from starnet.plots._style import label_name

Array = NDArray[Any]
FAINT = 0.995
"""Numbers this close to what they should be, after rounding, are left out off the diagonal."""


def response_matrix(
    names: Sequence[str],
    matrix: Array,
    *,
    measured: Collection[str] | None = None,
    title: str = "",
) -> Figure:
    """A heat map of responses, red and blue, with a number in each cell that is not 0.00.

    Parameters
    ----------
    names : sequence of str
        Of the L labels.
    matrix : array (L, L)
        Row: what was changed; column: what was predicted. NaN is grey.
    measured : collection of str, optional
        Labels that are measured; the names of the others are grey. Default: all.
    title : str

    Raises
    ------
    DataError
        If the shape does not fit.
    """
    values = np.asarray(matrix, dtype=float)
    n = len(names)
    if values.shape != (n, n) or not n:
        raise DataError(f"A response of {n} labels has shape ({n}, {n}); received {values.shape}.")
    side = 1.6 + 0.40 * n
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axis = figure.subplots()
    axis.set_facecolor("0.93")
    shown = axis.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1)
    for (i, j), value in np.ndenumerate(values):
        if np.isfinite(value) and (i == j or abs(value) >= 1 - FAINT):
            colour = "white" if abs(value) > 0.6 else "0.15"
            text = f"{value:.2f}".replace("0.", ".", 1)
            axis.text(j, i, text, ha="center", va="center", fontsize=6.8, color=colour)
    kept = set(names if measured is None else measured)
    spelled = [label_name(name) for name in names]
    axis.set_xticks(range(n), spelled, rotation=55, ha="left", rotation_mode="anchor", fontsize=8)
    axis.set_yticks(range(n), spelled, fontsize=8)
    axis.tick_params(length=0, top=False, labeltop=True, labelbottom=False)
    for ticks in (axis.get_xticklabels(), axis.get_yticklabels()):
        for tick, name in zip(ticks, names, strict=True):
            tick.set_color("0.1" if name in kept else "0.65")
    axis.set_xlabel("change of the prediction", fontsize=9)
    axis.xaxis.set_label_position("bottom")
    axis.set_ylabel("label that was changed, all else held", fontsize=9)
    for edge in np.arange(n - 1) + 0.5:
        axis.axhline(edge, color="white", lw=0.6)
        axis.axvline(edge, color="white", lw=0.6)
    bar = figure.colorbar(shown, ax=axis, shrink=0.55, pad=0.02)
    bar.ax.tick_params(labelsize=8)
    bar.set_label("predicted change / true change (dex, km/s, 1000 K)", fontsize=8)
    if title:
        axis.set_title(title, fontsize=10, loc="left")
    return figure
