"""Figures of spectra: what was observed beside what an emulator makes of the labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from starnet.errors import DataError
from starnet.plots._style import BLUE, LINE, ORANGE, dress

Array = NDArray[Any]


def reconstructions(
    wavelength: Array,
    flux: Array,
    model: Array,
    error: Array,
    titles: Sequence[str],
    *,
    window: tuple[float, float] | None = None,
) -> Figure:
    """Spectra with their reconstructions, and the residuals beneath, one panel for each star.

    Parameters
    ----------
    wavelength : array (P,)
        Vacuum Angstrom.
    flux, model, error : array (S, P)
        Over continuum; pixels where any is not finite are not drawn.
    titles : sequence of str
        Of the S stars.
    window : (start, stop), optional
        Wavelengths to draw. Default: all.

    Raises
    ------
    DataError
        If shapes do not fit, or nothing lies in the window.
    """
    shape = len(titles), len(wavelength)
    if any(np.shape(part) != shape for part in (flux, model, error)) or not titles:
        raise DataError(f"flux, model and error must have shape {shape}, for titles and pixels.")
    low, high = window or (wavelength[0], wavelength[-1])
    inside = (wavelength >= low) & (wavelength <= high)
    if not inside.any():
        raise DataError(f"No pixel lies from {low:g} to {high:g} A.")
    n = len(titles)
    height = 2.5 * n + 0.5
    figure = Figure(figsize=(10.5, height))
    outer = figure.add_gridspec(
        n, 1, left=0.075, right=0.99, bottom=0.5 / height, top=1 - 0.3 / height, hspace=0.2
    )
    axes = []
    for i, title in enumerate(titles):
        inner = outer[i].subgridspec(2, 1, height_ratios=[3, 1.2], hspace=0.05)
        axes += [figure.add_subplot(inner[0]), figure.add_subplot(inner[1])]
        good = inside & np.isfinite(flux[i] + error[i])
        seen = np.where(good, flux[i], np.nan)[inside]
        made, sigma = model[i][inside], np.where(good, error[i], np.nan)[inside]
        top, below, wave = axes[2 * i], axes[2 * i + 1], wavelength[inside]
        top.step(wave, seen, where="mid", color="0.35", lw=0.9, label="observed")
        top.plot(wave, made, color=ORANGE, lw=1.0, label="emulated from its labels")
        top.set_ylabel("flux / continuum", fontsize=9)
        top.set_title(title, fontsize=9.5, loc="left")
        both = np.concatenate([made, seen])
        both = both[np.isfinite(both)] if np.isfinite(both).any() else np.ones(1)
        top.set_ylim(min(0.9, np.percentile(both, 0.2)) - 0.04, np.percentile(both, 99.8) + 0.06)
        below.fill_between(wave, -sigma, sigma, color=BLUE, alpha=0.25, lw=0, label="quoted error")
        below.step(wave, seen - made, where="mid", color="0.2", lw=0.7)
        below.axhline(0.0, **LINE)
        edge = max(4 * float(np.nanmedian(sigma)) if np.isfinite(sigma).any() else 0.0, 0.02)
        below.set_ylim(-edge, edge)
        below.set_ylabel("residual", fontsize=9)
        for axis in (top, below):
            dress(axis)
            axis.set_xlim(low, high)
        top.tick_params(labelbottom=False)
        below.locator_params(axis="y", nbins=3)
        if i < n - 1:
            below.tick_params(labelbottom=False)
    handles = [*axes[0].get_legend_handles_labels()[0], *axes[1].get_legend_handles_labels()[0]]
    figure.legend(handles=handles, frameon=False, fontsize=8.5, ncols=3, loc="lower right")
    axes[-1].set_xlabel("vacuum wavelength (Å)", fontsize=9.5, loc="left")
    return figure
