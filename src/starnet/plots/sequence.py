"""A sequence of spectra, one above the other, with the names of their lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from starnet.errors import DataError
from starnet.plots._style import dress

Array = NDArray[Any]
STEP = 0.32
"""Flux over continuum by which a spectrum is moved up."""


def sequence(
    wavelength: Array,
    flux: Array,
    titles: Sequence[str],
    *,
    windows: Sequence[tuple[float, float]],
    lines: Sequence[tuple[float, str]] = (),
    values: Array | None = None,
) -> Figure:
    """Spectra moved up one by one, in one panel for each window of wavelengths.

    Parameters
    ----------
    wavelength : array (P,)
        Vacuum Angstrom.
    flux : array (S, P)
        Over continuum, the coolest star first.
    titles : sequence of str
        Of the S stars, written at the right.
    windows : sequence of (start, stop)
        Angstrom.
    lines : sequence of (wavelength, name)
        Written above, where they have room.
    values : array (S,), optional
        What gives the colour, rising, such as temperatures. Default: even.

    Raises
    ------
    DataError
        If shapes do not fit or there is no window.
    """
    if np.shape(flux) != (len(titles), len(wavelength)) or not windows or not titles:
        raise DataError(f"flux must have shape {(len(titles), len(wavelength))}, and windows.")
    n = len(titles)
    place = np.linspace(0, 1, n) if values is None else np.asarray(values, dtype=float)
    span = float(np.ptp(place)) or 1.0
    shade = matplotlib.colormaps["plasma"](0.85 - 0.8 * (place - place.min()) / span)
    height = (1.6 + 0.42 * n) * len(windows)
    figure = Figure(figsize=(10.5, height))
    axes = figure.subplots(len(windows), 1, squeeze=False)[:, 0]
    figure.subplots_adjust(0.04, 0.55 / height, 0.915, 1 - 0.1 / height, hspace=0.12)
    for axis, (low, high) in zip(axes, windows, strict=True):
        inside = (wavelength >= low) & (wavelength <= high)
        for i in range(n):
            axis.plot(wavelength[inside], flux[i][inside] + STEP * i, color=shade[i], lw=1.0)
            axis.annotate(
                titles[i], (1.0, 1 + STEP * i), (6, 0), xycoords=("axes fraction", "data"),
                textcoords="offset points", fontsize=8, color=shade[i], va="center",
            )  # fmt: skip
        top = 1 + STEP * (n - 1)
        axis.set(xlim=(low, high), ylim=(0.45, top + 0.42), yticks=[])
        axis.set_ylabel("flux / continuum + constant", fontsize=9)
        _names(axis, lines, (low, high), top + 0.07)
        dress(axis)
    axes[-1].set_xlabel("vacuum wavelength (Å)", fontsize=9.5)
    return figure


def _names(
    axis: Axes, lines: Sequence[tuple[float, str]], window: tuple[float, float], foot: float
) -> None:
    """Names of lines, with a tick; those that would overlap a stronger one are left out."""
    low, high = window
    room = (high - low) / 70
    taken: list[float] = []
    for at, name in lines:
        if not low + room / 2 < at < high - room / 2 or any(abs(at - t) < room for t in taken):
            continue
        taken.append(at)
        axis.plot([at, at], [foot, foot + 0.07], color="0.35", lw=0.7)
        axis.text(at, foot + 0.09, name, fontsize=7.5, ha="center", va="bottom", rotation=90)
