"""Planes of abundance ratios against metallicity."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from starnet.errors import LabelError
from starnet.plots._style import BLUE, LINE, axis_name, dress, label_name
from starnet.spectra import Labels


def abundance_planes(
    predicted: Labels,
    reference: Labels | None = None,
    *,
    names: Sequence[str] | None = None,
    errors: Sequence[float] | None = None,
    columns: int = 6,
) -> Figure:
    """[X/Fe] against [Fe/H], one panel for each element: what is true in grey, beneath.

    Parameters
    ----------
    predicted : Labels
        With ``fe_h`` and some ``x_fe``.
    reference : Labels, optional
        Of the same stars.
    names : sequence of str, optional
        Which ``x_fe``. Default: all.
    errors : sequence of float, optional
        A typical error of each, drawn in the corner.
    columns : int
        Panels in a row.

    Raises
    ------
    LabelError
        If there is no fe_h or no x_fe.
    """
    chosen = list(names or (n for n in predicted.names if n.endswith("_fe") and n != "alpha_fe"))
    if not chosen or "fe_h" not in predicted.names:
        raise LabelError(
            f"Planes of abundances need fe_h and x_fe; received {', '.join(predicted.names)}."
        )
    columns = min(columns, len(chosen))
    rows = -(-len(chosen) // columns)
    height = 1.75 * rows + 0.5
    figure = Figure(figsize=(1.75 * columns, height))
    axes = figure.subplots(rows, columns, squeeze=False)
    figure.subplots_adjust(0.065, 0.45 / height, 0.99, 1 - 0.08 / height, 0.34, 0.24)
    fe_h = predicted.column("fe_h")
    if reference is not None and "fe_h" in reference.names:
        fe_h = np.concatenate([fe_h, reference.column("fe_h")])
    ends = np.nanpercentile(fe_h, [0.5, 99.5]) if np.isfinite(fe_h).any() else (-1.0, 0.5)
    dots = {"s": 5, "linewidths": 0, "rasterized": True}
    for i, (axis, name) in enumerate(zip(axes.flat, chosen, strict=False)):
        axis.axhline(0.0, **{**LINE, "lw": 0.6, "color": "0.7"})
        y = predicted.column(name)
        if reference is not None and name in reference.names:
            truth = reference.column(name)
            axis.scatter(reference.column("fe_h"), truth, color="0.72", label="true", **dots)
            y = np.concatenate([y, truth])
        axis.scatter(
            predicted.column("fe_h"), predicted.column(name), color=BLUE, alpha=0.6,
            label="predicted", **dots,
        )  # fmt: skip
        low, high = np.nanpercentile(y, [0.5, 99.5]) if np.isfinite(y).any() else (-0.3, 0.3)
        middle, half = 0.5 * (low + high), max(0.65 * (high - low), 0.3)
        axis.set(xlim=(ends[0] - 0.1, ends[1] + 0.1), ylim=(middle - half, middle + half))
        axis.locator_params(nbins=3)
        dress(axis)
        if errors is not None and np.isfinite(errors[i]):
            axis.errorbar(
                0.1, 0.14, yerr=min(errors[i], half) / (2 * half), color="0.2", capsize=2, lw=1,
                transform=axis.transAxes,
            )  # fmt: skip
        axis.text(0.95, 0.93, label_name(name), ha="right", va="top", fontsize=9,
                  transform=axis.transAxes)  # fmt: skip
        axis.tick_params(labelsize=7)
    for axis in axes.flat[len(chosen) :]:
        axis.set_visible(False)
    for i, axis in enumerate(axes.flat[: len(chosen)]):
        if i + columns >= len(chosen):
            axis.set_xlabel(axis_name("fe_h"), fontsize=8.5)
        if i % columns == 0:
            axis.set_ylabel("[X/Fe] (dex)", fontsize=8.5)
    axes.flat[0].legend(frameon=False, fontsize=7, loc="lower right", markerscale=2,
                          borderpad=0, handletextpad=0.1)  # fmt: skip
    return figure
