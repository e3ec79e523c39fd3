"""Figures of predicted labels against references, and of the Kiel diagram."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from starnet.errors import LabelError
from starnet.plots._style import COLOURS, DOT, LINE, axis_name, label_name, panels
from starnet.spectra import Labels


def one_to_one(
    predicted: Labels, reference: Labels, *, summary: Sequence[str] | None = None
) -> Figure:
    """Predicted against reference labels, one panel for each label.

    Parameters
    ----------
    predicted, reference : Labels
        Of the same stars in the same order.
    summary : sequence of str, optional
        A line to write into each panel, such as its scatter.
    """
    names = _shared(predicted, reference)
    figure, axes = panels(len(names))
    for i, (name, axis) in enumerate(zip(names, axes[0], strict=True)):
        x, y = reference.column(name), predicted.column(name)
        low, high = _range(x, y)
        axis.plot([low, high], [low, high], **LINE)
        axis.scatter(x, y, **DOT)
        axis.set(xlim=(low, high), ylim=(low, high), aspect="equal")
        axis.set_xlabel(f"reference {axis_name(name)}", fontsize=9)
        axis.set_ylabel(f"predicted {axis_name(name)}", fontsize=9)
        if summary:
            axis.set_title(summary[i], fontsize=9)
    return figure


def residuals(predicted: Labels, reference: Labels, *, against: str | None = None) -> Figure:
    """Residuals (predicted minus reference), one panel for each label.

    Parameters
    ----------
    predicted, reference : Labels
        Of the same stars in the same order.
    against : str, optional
        The reference label on the horizontal axis; by default each label's own.
    """
    names = _shared(predicted, reference)
    figure, axes = panels(1, len(names), size=5.0)
    figure.set_size_inches(6.4, 2.2 * len(names))
    for name, axis in zip(names, axes[:, 0], strict=True):
        x = reference.column(against or name)
        residual = predicted.column(name) - reference.column(name)
        axis.axhline(0.0, **LINE)
        limit = np.nanpercentile(np.abs(residual), 99) if np.isfinite(residual).any() else 1.0
        edge = 1.2 * max(limit, 1e-6)
        far = np.abs(residual) > edge  # drawn at the edge, pointing to where they are
        axis.scatter(x[~far], residual[~far], **DOT)
        for sign, marker in ((1, "^"), (-1, "v")):
            beyond = far & (np.sign(residual) == sign)
            y = np.full(np.count_nonzero(beyond), 0.96 * sign * edge)
            axis.scatter(x[beyond], y, marker=marker, s=22, color="crimson")
        _running_median(axis, x, residual)
        axis.set_ylim(-edge, edge)
        axis.set_xlabel(f"reference {axis_name(against or name)}", fontsize=9)
        axis.set_ylabel(rf"$\Delta$ {axis_name(name)}", fontsize=9)
    return figure


def kiel(*samples: tuple[str, Labels], colour: str = "fe_h") -> Figure:
    """Kiel diagrams (log g against Teff), one panel for each sample, with shared axes.

    Parameters
    ----------
    *samples : (title, Labels)
        Labels with ``teff`` and ``logg``, and the label that gives the colour where they have it.
    colour : str
        Label for the colour.
    """
    figure, axes = panels(len(samples), sharex=True, sharey=True)
    coloured = [s.column(colour) for _, s in samples if colour in s.names]
    finite = np.concatenate(coloured)[np.isfinite(np.concatenate(coloured))] if coloured else []
    span = np.percentile(finite, [1, 99]) if len(finite) else (None, None)
    dots = None
    for (title, labels), axis in zip(samples, axes[0], strict=True):
        c = labels.column(colour) if colour in labels.names else None
        scale = {} if c is None else {"cmap": COLOURS, "vmin": span[0], "vmax": span[1]}
        dots = axis.scatter(labels.column("teff"), labels.column("logg"), c=c, **scale, **DOT)
        axis.set_title(title, fontsize=9)
        axis.set_xlabel(axis_name("teff"), fontsize=9)
    axes[0, 0].invert_xaxis()
    axes[0, 0].invert_yaxis()
    axes[0, 0].set_ylabel(axis_name("logg"), fontsize=9)
    if coloured and dots is not None:
        figure.colorbar(dots, ax=axes, label=label_name(colour))
    return figure


def _shared(predicted: Labels, reference: Labels) -> list[str]:
    names = [name for name in predicted.names if name in reference.names]
    if not names or len(predicted) != len(reference):
        raise LabelError(
            "A comparison needs the same stars with a label in common; received "
            f"{len(predicted)} and {len(reference)} stars."
        )
    return names


def _range(*values: NDArray) -> tuple[float, float]:
    """Limits that hold all values, with a margin."""
    both = np.concatenate(values)
    both = both[np.isfinite(both)]
    if not both.size:
        return 0.0, 1.0
    low, high = both.min(), both.max()
    margin = 0.06 * (high - low) or 1.0
    return float(low - margin), float(high + margin)


def _running_median(axis: Axes, x: NDArray, y: NDArray, bins: int = 12) -> None:
    good = np.isfinite(x) & np.isfinite(y)
    if np.count_nonzero(good) < 5 * bins:
        return
    edges = np.quantile(x[good], np.linspace(0, 1, bins + 1))
    which = np.clip(np.searchsorted(edges, x[good], side="right") - 1, 0, bins - 1)
    middle = [np.median(x[good][which == b]) for b in range(bins) if np.any(which == b)]
    median = [np.median(y[good][which == b]) for b in range(bins) if np.any(which == b)]
    axis.plot(middle, median, color="crimson", lw=1.5)
