"""The figures of an assessment, by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from starnet.evaluate.results import Assessment, RepeatAssessment
from starnet.evaluate.scores import LEVELS, binomial_band
from starnet.evaluate.strata import NAMES, Stratum

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[Any]
CURVE = np.arange(0.02, 1.0, 0.02)
"""Levels of a curve of coverage."""
BINS = 20
"""Of histograms, as there are ranks; half as many for few stars."""
FEW = 400
AGAINST = ("teff", "logg", "fe_h")
"""Labels that z-scores of all others are drawn against."""
FEWEST_PAIRS = 8
"""Pairs from which on a ratio is drawn."""


def assessment_figures(result: Assessment | RepeatAssessment) -> dict[str, Figure]:
    """Every figure of an assessment by name, in the order of the report."""
    if isinstance(result, Assessment):
        return _of_truth(result)
    return _of_repeats(result)


def _of_truth(result: Assessment) -> dict[str, Figure]:
    from starnet import plots

    names, n = result.names, result.count()
    figures = {
        "coverage": plots.coverage_points(
            names, LEVELS, result.coverage(), binomial_band(np.array(LEVELS)[:, None], n)
        ),
        "coverage_curves": plots.coverage_curves(
            names, CURVE, result.coverage(CURVE.tolist()), binomial_band(CURVE[:, None], n)
        ),
    }
    parts = result.strata[1:]
    if parts:
        found = np.stack([_enough(result, s) for s in parts])
        figures["coverage_strata"] = plots.stratum_map(
            names, _counted(parts), 100 * found, centre=68, reach=15, orange="low",
            title=f"stars (%) whose truth is in the 68% interval, by S/N and {result.by} labels",
        )  # fmt: skip
    bins = BINS if np.median(n) >= FEW else BINS // 2
    band = binomial_band(1 / bins, n)
    figures["pit"] = plots.uniform_histograms(names, _counts(result.pit, bins, 1.0), band)
    figures["ranks"] = plots.uniform_histograms(
        names, _counts(result.ranks, bins, BINS), band,
        ends=(-0.5, BINS - 0.5), across=f"rank of the truth among {BINS - 1} samples",
    )  # fmt: skip
    if np.isfinite(result.snr).any():
        figures["z_snr"] = plots.z_trends(names, result.z, result.snr, NAMES["snr"])
    own = result.covariates
    figures["z_own"] = plots.z_trends(names, result.z, own.values, f"the label itself, {result.by}")
    for name in (a for a in AGAINST if a in own.names):
        across = f"{result.by} {plots.axis_name(name)}"
        figures[f"z_{name}"] = plots.z_trends(names, result.z, own.column(name), across)
    if result.limit is not None:
        rows = [result.strata[0], *(s for s in parts if s.by == "snr")][-4:]
        over = np.stack([result.over_limit(s) for s in rows])
        figures["over_limit"] = plots.over_limit(names, over, _titles(rows))
    return figures


def _of_repeats(result: RepeatAssessment) -> dict[str, Figure]:
    from starnet import plots

    names, parts = result.names, result.strata[1:]
    groups = [result.strata[0], *(s for s in parts if s.by == "snr")][:5]
    found = [result.ratio(s) for s in groups]
    figures = {"ratio": plots.ratios(names, *_drawn(found), _titles(groups))}
    if parts:
        values = _drawn([result.ratio(s) for s in parts])[0]
        figures["ratio_strata"] = plots.stratum_map(
            names, _counted(parts), values, centre=1.0, reach=0.75, form="{:.2f}",
            title="scatter of repeats over quoted error, by S/N and by predicted labels",
        )  # fmt: skip
    figures["differences"] = plots.difference_histograms(names, result.scaled)
    over = [o for s in groups if (o := result.over_limit(s)) is not None]
    if over:
        figures["over_limit"] = plots.ratios(
            names, *_drawn(over), _titles(groups), band=None,
            of="scatter of repeats / Cramér-Rao limit",
        )  # fmt: skip
    return figures


def _drawn(found: list[Any]) -> tuple[Array, Array]:
    """Ratios and their errors (G, L), without those of next to no pairs."""
    known = np.stack([f.n_pairs >= FEWEST_PAIRS for f in found])
    ratio, error = (np.stack([getattr(f, n) for f in found]) for n in ("ratio", "error"))
    return np.where(known, ratio, np.nan), np.where(known, error, np.nan)


def _enough(result: Assessment, stratum: Stratum) -> Array:
    """Coverage at 68% of a stratum, NaN for labels that few of its stars have."""
    return np.where(result.count(stratum) >= 10, result.coverage([0.68], stratum)[0], np.nan)


def _counts(values: Array, bins: int, end: float) -> Array:
    """Stars in bins of one width from 0 to ``end``, (B, L)."""
    edges = np.linspace(0, end, bins + 1)
    return np.stack([np.histogram(v[np.isfinite(v)], edges)[0] for v in values.T], axis=1)


def _counted(parts: Sequence[Stratum]) -> list[str]:
    """Titles with the number of rows."""
    return [f"{stratum.title} ({np.count_nonzero(stratum.rows)})" for stratum in parts]


def _titles(parts: Sequence[Stratum]) -> list[str]:
    return [stratum.title for stratum in parts]
