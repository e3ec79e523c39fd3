"""Maps of where a network looks: one label along the spectrum, with the lines it is at."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from starnet.errors import DataError
from starnet.plots._style import BLUE, GREEN, LINE, ORANGE, PURPLE, axis_name, dress

Array = NDArray[Any]
Mark = tuple[float, str, bool]
COLOURS = (BLUE, ORANGE, GREEN, PURPLE)
PIECES = 3
"""Rows of a spectrum that has no chips."""
APART = 0.018
"""Least distance of two names, as a fraction of the row."""


def sensitivity_map(
    label: str,
    wavelength: Array,
    flux: Array,
    curves: Mapping[str, tuple[Array, Array | None]],
    *,
    chips: Sequence[tuple[int, int]] | None = None,
    marks: Sequence[Mark] = (),
    unit: str = "",
) -> Figure:
    """A label's map in rows, the mean spectrum above it, and names at the strongest features.

    Parameters
    ----------
    label : str
    wavelength, flux : array (P,)
        Vacuum Angstrom; mean spectrum.
    curves : mapping of title to (values (P,), errors (P,) or None)
        One to four maps, such as of synthetic and of observed spectra; errors are a band.
    chips : sequence of (start, stop), optional
        Pixel ranges, a row each. Default: three of equal length.
    marks : sequence of (wavelength, name, own)
        Names of features; those that are not ``own`` are grey.
    unit : str
        Of the map, if it is not the label's per unit flux.

    Raises
    ------
    DataError
        If lengths differ, or there is no curve or more than four.
    """
    lengths = {np.shape(part) for part in (wavelength, flux, *(v for v, _ in curves.values()))}
    if len(lengths) != 1 or not 0 < len(curves) <= len(COLOURS):
        raise DataError(
            f"A map needs one to {len(COLOURS)} curves as long as the wavelengths; received "
            f"{len(curves)} and shapes {sorted(lengths)}."
        )
    whole = len(wavelength)
    cuts = np.linspace(0, whole, PIECES + 1).astype(int)
    ranges = list(chips or itertools.pairwise(cuts))
    heights = [h for _ in ranges for h in (1.1, 2.0)]
    figure = Figure(figsize=(11.0, 2.5 * len(ranges) + 0.5), layout="constrained")
    axes = figure.subplots(2 * len(ranges), 1, squeeze=False, height_ratios=heights)[:, 0]
    edge = 1.15 * max(float(np.nanmax(np.abs(v), initial=0.0)) for v, _ in curves.values()) or 1.0
    for row, (a, b) in enumerate(ranges):
        top, below = axes[2 * row], axes[2 * row + 1]
        _spectrum(top, wavelength[a:b], flux[a:b], marks)
        for colour, (title, (value, error)) in zip(COLOURS, curves.items(), strict=False):
            band = None if error is None else error[a:b]
            _curve(below, wavelength[a:b], value[a:b], band, colour, title)
        below.set(xlim=(wavelength[a], wavelength[b - 1]), ylim=(-edge, edge))
    middle = axes[2 * (len(ranges) // 2) + 1]
    middle.set_ylabel(unit or f"d {axis_name(label)} / d flux", fontsize=9)
    axes[-1].legend(frameon=False, fontsize=8.5, ncols=4, loc="lower right")
    axes[-1].set_xlabel("vacuum wavelength (Å)", fontsize=9.5)
    return figure


def _spectrum(axis: Axes, wave: Array, flux: Array, marks: Sequence[Mark]) -> None:
    axis.plot(wave, flux, color="0.35", lw=0.6)
    dress(axis)
    finite = flux[np.isfinite(flux)]
    low = float(finite.min()) if finite.size else 0.0
    high = float(finite.max()) if finite.size else 1.0
    axis.set(xlim=(wave[0], wave[-1]), ylim=(low - 0.03, high + 0.75 * (high - low)))
    axis.tick_params(labelbottom=False)
    axis.set_ylabel("flux", fontsize=8.5)
    taken: list[float] = []
    span = wave[-1] - wave[0]
    for at, name, own in marks:
        if not wave[0] <= at <= wave[-1] or any(abs(at - x) < APART * span for x in taken):
            continue
        taken.append(at)
        colour = "0.1" if own else "0.6"
        axis.axvline(at, ymax=0.55, color=colour, lw=0.5, ls=":")
        axis.text(
            at, 0.97, name or "?", rotation=90, ha="center", va="top", fontsize=7.5, color=colour,
            transform=axis.get_xaxis_transform(),
        )  # fmt: skip


def _curve(
    axis: Axes, wave: Array, value: Array, error: Array | None, colour: str, title: str
) -> None:
    axis.axhline(0.0, **LINE)
    if error is not None:
        axis.fill_between(wave, value - error, value + error, color=colour, alpha=0.25, lw=0)
    axis.plot(wave, value, color=colour, lw=0.8, label=title)
    dress(axis)
