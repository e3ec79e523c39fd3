"""One look for every figure: panels, axis names, saving whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from starnet._whole import whole_file
from starnet.spectra import label_spec

DOT = {"s": 9, "alpha": 0.55, "linewidths": 0, "rasterized": True}
"""How a star is drawn."""
LINE = {"color": "0.25", "lw": 1.0, "zorder": 0}
"""How a line of reference is drawn."""
COLOURS = "viridis"
BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
"""Colours that everyone tells apart (Okabe and Ito 2008)."""

_NAMES = {"teff": r"$T_\mathrm{eff}$", "logg": r"$\log g$", "snr": "S/N"}


def label_name(name: str) -> str:
    """A label as it is written on an axis, without its unit."""
    if name in _NAMES:
        return _NAMES[name]
    head, _, tail = name.rpartition("_")
    if tail in ("h", "fe", "m") and head:
        return f"[{head.capitalize() if len(head) < 3 else head}/{tail.capitalize()}]"
    return name


def axis_name(name: str) -> str:
    """A label as it is written on an axis, with its unit."""
    unit = label_spec(name).unit
    return f"{label_name(name)} ({unit})" if unit else label_name(name)


def panels(columns: int, rows: int = 1, *, size: float = 3.4, **kw: Any) -> tuple[Figure, Any]:
    """A figure with a grid of panels, and the panels as an array (rows, columns)."""
    figure = Figure(figsize=(size * columns, size * 0.95 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **kw)
    for axis in axes.flat:
        dress(axis)
    return figure, axes


def dress(axis: Axes) -> None:
    """Ticks inside, on all sides."""
    axis.tick_params(direction="in", top=True, right=True, which="both", labelsize=8)


def save(figure: Figure, path: str | Path, *, dpi: int = 150) -> Path:
    """Write a figure; the format is that of the ending.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    with whole_file(path, "The figure") as partial:
        figure.savefig(partial, dpi=dpi)
    return Path(path)
