"""Figures of a bench, by the names under which they are saved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.table import Table

from starnet.evaluate.bench.tables import Pooled
from starnet.spectra import label_spec

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def bench_figures(names: Sequence[str], some: Sequence[Pooled], table: Table) -> dict[str, Figure]:
    """One-to-one, residuals against S/N, bars, and learning curves where there are sizes.

    Parameters
    ----------
    names : sequence of str
        Of the labels.
    some : sequence of Pooled
    table : Table
        As `averaged` gives it.
    """
    from starnet.plots import bench

    if not some:
        return {}
    largest = shown(some)
    predicted = {one.method: one.predicted for one in largest}
    truth = {one.method: one.truth for one in largest}
    notes = {one.method: [_note(table, one, name) for name in names] for one in largest}
    figures = {}
    if len(sizes(table)) > 1:
        curves = {one.method: _curve(table, one.method, names) for one in largest}
        figures["learning_curves"] = bench.learning_curves(names, curves)
    pairs = {one.method: _at(table, one, names) for one in largest}
    figures["scatter"] = bench.scatter_bars(
        names, {m: p[0] for m, p in pairs.items()}, {m: p[1] for m, p in pairs.items()}
    )
    figures["one_to_one"] = bench.method_grid(predicted, truth, notes=notes)
    if all(np.isfinite(one.snr).any() for one in largest):
        snr = {one.method: one.snr for one in largest}
        figures["residuals_snr"] = bench.method_grid(predicted, truth, snr=snr, notes=notes)
    return figures


def shown(some: Sequence[Pooled]) -> list[Pooled]:
    """Of each method the result of most stars, with the first seed."""
    out: dict[str, Pooled] = {}
    for one in some:
        known = out.get(one.method)
        if known is None or one.costs["n_train"] > known.costs["n_train"]:
            out[one.method] = one
    return list(out.values())


def sizes(table: Table) -> list[str]:
    """Sizes of a table, as they are written there, small ones first."""
    found = {str(row["size"]): float(row["n_train"]) for row in lines(table) if row["n_train"] > 0}
    return sorted(found, key=lambda size: found[size])


def lines(table: Table) -> list[Any]:
    """Rows of a table."""
    every: Any = table
    return list(every)


def rows_of(table: Table, method: str, size: str | None = None, by: str = "all") -> list[Any]:
    """Rows of a method, of one size or of all."""
    return [
        row
        for row in lines(table)
        if row["method"] == method and row["by"] == by and size in (None, str(row["size"]))
    ]


def _at(table: Table, one: Pooled, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    size = str(one.size) if one.size else "all"
    found = {str(row["label"]): row for row in rows_of(table, one.method, size)}
    pairs = [
        (found[n]["scatter"], found[n]["scatter_err"]) if n in found else (np.nan, np.nan)
        for n in names
    ]
    scatter, error = np.array(pairs, dtype=float).T
    return scatter, error


def _curve(table: Table, method: str, names: Sequence[str]) -> tuple[Any, Any, Any]:
    """Stars (S,), scatter (S, L) and error (S, L)."""
    points: dict[float, dict[str, Any]] = {}
    for row in rows_of(table, method):
        points.setdefault(float(row["n_train"]), {})[str(row["label"])] = row
    stars = np.array(sorted(points))
    parts = [
        [[float(points[n][name][key]) for name in names] for n in stars]
        for key in ("scatter", "scatter_err")
    ]
    return stars, np.array(parts[0]), np.array(parts[1])


def _note(table: Table, one: Pooled, name: str) -> str:
    scatter, _ = _at(table, one, [name])
    unit = label_spec(name).unit
    text = f"{scatter[0]:.0f}" if unit == "K" else f"{scatter[0]:.3f}"
    return f"scatter {text} {unit}".strip() if np.isfinite(scatter[0]) else "no labels"
