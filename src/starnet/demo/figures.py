"""The figures of the demo's report, from its result."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.polynomial.legendre import legvander
from numpy.typing import NDArray

from starnet import plots
from starnet.demo.lines import line_names
from starnet.demo.run import DemoResult
from starnet.evaluate import robust_scatter
from starnet.evaluate.limits import spectra_and_slopes
from starnet.library import vmac_relation
from starnet.spectra import Labels
from starnet.synthesis.emulator import Emulator

Array = NDArray[Any]
MAIN = ("teff", "logg", "fe_h")
BINS = ((0.0, 70.0), (70.0, 140.0), (140.0, np.inf))
"""Ranges of signal to noise."""
FEWEST = 5
"""Stars from which on a bin has a scatter."""
ORDER = 4
"""Of the continuum in each chip that a reconstruction is brought to."""
EXAMPLE_WINDOW = (16100.0, 16300.0)
SEQUENCE_WINDOWS = ((15670.0, 15830.0), (16695.0, 16855.0))
SEQUENCE = ((3900, 1.1), (4200, 1.7), (4500, 2.2), (4800, 2.7), (5100, 3.2), (5500, 3.8),
            (6000, 4.1), (6600, 4.2))  # fmt: skip
"""Teff and log g of stars up the giant branch and down to the turn-off."""


def main_labels(result: DemoResult) -> Figure:
    """Teff, log g and [Fe/H] against the truth, with residuals."""
    names = [n for n in MAIN if n in result.predicted.names] or list(result.predicted.names[:3])
    some = result.predicted.select(names)
    return plots.comparison(some, result.truth, np.asarray(result.seen.snr))


def other_labels(result: DemoResult) -> Figure | None:
    """The same for the rest; None if there is none."""
    names = [n for n in result.predicted.names if n not in MAIN]
    if not names:
        return None
    some = result.predicted.select(names)
    return plots.comparison(some, result.truth, np.asarray(result.seen.snr), columns=6)


def ratios(result: DemoResult) -> tuple[list[str], Array, list[str]]:
    """Labels, scatter of (predicted - true) / limit by bin (B, L), and names of the bins."""
    snr, names, rows = np.asarray(result.seen.snr), list(result.predicted.names), []
    for low, high in BINS:
        inside = result.good & (snr >= low) & (snr < high)
        row = [_pulls(result, name)[inside] for name in names]
        rows.append([robust_scatter(v) if np.isfinite(v).sum() >= FEWEST else np.nan for v in row])
    titles = [_range(low, high) for low, high in BINS]
    return names, np.array(rows), titles


def _range(low: float, high: float) -> str:
    if low > 0 and np.isfinite(high):
        return f"S/N {low:.0f} to {high:.0f}"
    return f"S/N above {low:.0f}" if low > 0 else f"S/N below {high:.0f}"


def _pulls(result: DemoResult, name: str) -> Array:
    limit = result.limit[:, result.emulator.labels.index(name)]
    return (result.predicted.column(name) - result.truth.column(name)) / limit


def limits(result: DemoResult) -> Figure:
    """Scatter over the Cramer-Rao limit of each label."""
    names, rows, titles = ratios(result)
    return plots.over_limit(names, rows, titles, bar=1.5)


def kiel(result: DemoResult) -> Figure | None:
    """Kiel diagrams of true and predicted labels; None if the model lacks one of the two."""
    if not {"teff", "logg"} <= set(result.predicted.names):
        return None
    figure = plots.kiel(("true", result.truth), ("predicted", result.predicted))
    figure.set_size_inches(10.5, 4.6)
    return figure


def planes(result: DemoResult) -> Figure | None:
    """[X/Fe] against [Fe/H]; None if the model lacks them."""
    names = [n for n in result.predicted.names if n.endswith("_fe")]
    if not names or "fe_h" not in result.predicted.names:
        return None
    column = [result.emulator.labels.index(n) for n in names]
    errors = np.median(result.limit[:, column], axis=0)
    return plots.abundance_planes(
        result.predicted, result.truth, names=names, errors=errors.tolist()
    )


def examples(result: DemoResult) -> Figure:
    """Spectra of a few stars, the emulator's reconstruction from predicted labels, residuals."""
    rows = chosen_stars(result)
    flux, model, error = reconstructed(result, rows)
    titles = [title(result, row) for row in rows]
    wave = result.seen.grid.to_vacuum().wavelength
    return plots.reconstructions(wave, flux, model, error, titles, window=EXAMPLE_WINDOW)


def chosen_stars(result: DemoResult) -> list[int]:
    """A cool giant, a metal-poor star, a dwarf and the noisiest, of those without flags."""
    usable = result.good & result.predicted.complete
    usable = usable if usable.any() else np.ones(len(result), dtype=bool)
    snr, rows = np.asarray(result.seen.snr), []
    clear = np.clip(snr / 100.0, 0, 1)
    teff, fe_h = result.truth.column("teff"), result.truth.column("fe_h")
    for score in (clear - teff / 500, clear - 4 * fe_h, clear + teff / 500, -snr):
        left = np.where(usable, score, -np.inf)
        left[rows] = -np.inf
        if np.isfinite(left).any():
            rows.append(int(np.argmax(left)))
    return rows


def title(result: DemoResult, row: int) -> str:
    """What a star is, predicted and true."""
    parts = []
    for name in (n for n in MAIN if n in result.predicted.names):
        form = ".0f" if name == "teff" else ".2f"
        found, true = result.predicted.column(name)[row], result.truth.column(name)[row]
        unit = " K" if name == "teff" else ""
        parts.append(f"{plots.label_name(name)} {found:{form}}{unit} (true {true:{form}})")
    snr = float(np.asarray(result.seen.snr)[row])
    return f"{result.seen.ids[row]}, S/N {snr:.0f}:  " + ",  ".join(parts)


def reconstructed(result: DemoResult, rows: list[int]) -> tuple[Array, Array, Array]:
    """Flux over continuum, its emulation from predicted labels, and error (S, P) of some stars.

    Labels that the model does not give are taken as solar, vmac by its relation; the continuum is
    the polynomial in each chip that brings the spectrum nearest to the emulation.
    """
    found = result.predicted[rows]
    known = dict(zip(found.names, found.values.T, strict=True))
    three = [np.nan_to_num(known.get(n, result.truth[rows].column(n)), nan=0.0) for n in MAIN]
    values = {n: np.nan_to_num(v) for n, v in known.items()} | dict(zip(MAIN, three, strict=True))
    values["vmac"] = vmac_relation(*three)
    labels = Labels(tuple(values), np.stack(list(values.values()), axis=1))
    labels = result.emulator.clamped(labels)
    model = spectra_and_slopes(result.emulator, labels)[0]
    seen = result.seen[rows]
    weight = np.where(seen.mask, 0.0, seen.ivar)
    continuum = np.full(model.shape, np.nan)
    for a, b in seen.grid.chips:
        basis = legvander(np.linspace(-1, 1, b - a), ORDER)
        for i in range(len(rows)):
            root = np.sqrt(weight[i, a:b])
            terms = basis * (model[i, a:b] * root)[:, None]
            fit = np.linalg.lstsq(terms, seen.flux[i, a:b] * root, rcond=None)[0]
            continuum[i, a:b] = basis @ fit
    error = np.full(weight.shape, np.nan)
    np.divide(1.0, np.sqrt(weight), out=error, where=weight > 0)
    return seen.flux / continuum, np.where(np.isfinite(continuum), model, np.nan), error / continuum


def sequence(emulator: Emulator) -> Figure:
    """Generated spectra of solar composition from cool giants to the turn-off, lines named."""
    labels = sequence_labels()
    labels = emulator.clamped(labels)
    flux, _ = spectra_and_slopes(emulator, labels)
    titles = [f"{t:.0f} K, {g:.1f}" for t, g in labels.values[:, :2]]
    return plots.sequence(
        emulator.grid.to_vacuum().wavelength, flux, titles, windows=SEQUENCE_WINDOWS,
        lines=line_names(emulator, labels), values=labels.column("teff"),
    )  # fmt: skip


def sequence_labels() -> Labels:
    """Labels of the sequence."""
    teff, logg = np.array(SEQUENCE, dtype=float).T
    solar = np.zeros(teff.size)
    return Labels(("teff", "logg", "fe_h"), np.column_stack([teff, logg, solar]))
