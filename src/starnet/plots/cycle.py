"""Figure of the cycle: a spectrum, what its labels make of it, and what is left, chip by chip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from starnet.errors import DataError
from starnet.plots._style import BLUE, LINE, ORANGE, dress

Array = NDArray[Any]


def cycle_panels(
    wavelength: Array,
    flux: Array,
    model: Array,
    error: Array,
    used: Array,
    *,
    chips: Sequence[tuple[int, int]] | None = None,
    title: str = "",
) -> Figure:
    """A spectrum and its reconstruction, and their difference beneath, for each chip.

    Parameters
    ----------
    wavelength, flux, model, error, used : array (P,)
        One row of an `inference.Cycle` that was made with ``keep=True``; pixels that were not
        used are shaded.
    chips : sequence of (start, stop), optional
        Pixel ranges. Default: one with every pixel.
    title : str

    Raises
    ------
    DataError
        If the arrays have different lengths.
    """
    lengths = {np.shape(part) for part in (wavelength, flux, model, error, used)}
    if len(lengths) != 1:
        raise DataError(f"The arrays of a spectrum have one length; received {sorted(lengths)}.")
    ranges = list(chips or [(0, len(wavelength))])
    heights = [height for _ in ranges for height in (3.0, 1.2)]
    figure = Figure(figsize=(10.5, 2.6 * len(ranges) + 0.6), layout="constrained")
    axes = figure.subplots(2 * len(ranges), 1, squeeze=False, height_ratios=heights)[:, 0]
    for i, (a, b) in enumerate(ranges):
        parts = (part[a:b] for part in (wavelength, flux, model, error, used))
        _chip(axes[2 * i], axes[2 * i + 1], *parts)
    axes[0].set_title(title, fontsize=9.5, loc="left")
    axes[0].legend(frameon=False, fontsize=8.5, ncols=3, loc="lower right")
    axes[-1].set_xlabel("wavelength (Å)", fontsize=9.5)
    return figure


def _chip(
    top: Axes, below: Axes, wave: Array, flux: Array, model: Array, error: Array, used: Array
) -> None:
    good = np.asarray(used, dtype=bool)
    seen = np.where(good, flux, np.nan)
    left = np.where(good, flux - model, np.nan)
    sigma = np.where(good & np.isfinite(error), error, np.nan)
    top.step(wave, seen, where="mid", color="0.35", lw=0.8, label="observed")
    top.plot(wave, model, color=ORANGE, lw=0.9, label="emulated from its labels")
    both = np.concatenate([seen[good], model])
    low, high = np.percentile(both, [0.2, 99.8])
    top.set_ylim(min(0.9, float(low)) - 0.05, float(high) + 0.07)
    top.set_ylabel("flux / continuum", fontsize=9)
    below.fill_between(wave, -sigma, sigma, color=BLUE, alpha=0.25, lw=0)
    below.step(wave, left, where="mid", color="0.2", lw=0.7)
    below.axhline(0.0, **LINE)
    edge = 5 * float(np.nanmedian(np.abs(left))) if good.any() else 0.0
    below.set_ylim(-max(edge, 0.02), max(edge, 0.02))
    below.set_ylabel("residual", fontsize=9)
    for axis in (top, below):
        dress(axis)
        axis.set_xlim(wave[0], wave[-1])
        axis.fill_between(
            wave, 0, 1, where=~good, step="mid", color="0.88", lw=0, zorder=-1,
            transform=axis.get_xaxis_transform(), label="not used" if axis is top else None,
        )  # fmt: skip
    top.tick_params(labelbottom=False)
