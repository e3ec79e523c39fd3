"""Tables of a bench: residuals by method, size, label and stratum, and what each method costs.

Predictions of all folds are pooled, so that every tested star counts once; then each seed is
judged by itself, and the figures of seeds are averaged. Residuals are predicted minus reference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from starnet.evaluate import scores
from starnet.evaluate.bench.cells import Outcome
from starnet.evaluate.bench.run import BenchRun
from starnet.evaluate.metrics import residual_table, robust_scatter
from starnet.evaluate.strata import Stratum, strata
from starnet.spectra import Labels

Array = NDArray[Any]
ONE_SIGMA = 0.6826894921370859
BEYOND = 3.0
"""Quoted errors beyond which a residual is counted."""
RESAMPLES = 200
"""Of the stars, for the error of a scatter."""
KEYS = ("method", "size", "label", "by", "stratum")
AVERAGED = (
    "n_train", "n", "missing", "median", "scatter", "scatter_err", "tails", "beyond_3", "r2",
    "coverage_68", "quoted", "train_s", "pretrain_s", "per_s", "per_s_errors", "peak_gb",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Pooled:
    """What a method made of every tested star, learning from so many, with one seed.

    Attributes
    ----------
    method : str
    size, seed : int
        ``size`` 0 is all stars.
    predicted, truth : Labels
        Of N spectra of all folds.
    star, snr : array (N,)
    costs : mapping
        ``n_train`` and ``train_s`` (means over folds), ``pretrain_s``, ``per_s``,
        ``per_s_errors`` (medians), ``peak_gb`` (largest).
    folds, of : int
        Folds that are there, and those that should be.
    """

    method: str
    size: int
    seed: int
    predicted: Labels
    truth: Labels
    star: NDArray[np.str_]
    snr: Array
    costs: Mapping[str, float]
    folds: int
    of: int


def pooled(run: BenchRun) -> list[Pooled]:
    """Results of a run, folds together; in the order of methods, then of sizes."""
    groups: dict[tuple[str, int, int], list[Outcome]] = {}
    for outcome in run.outcomes:
        cell = outcome.cell
        groups.setdefault((cell.method, cell.size, cell.seed), []).append(outcome)
    order = list(run.suite.methods)
    made = [_pool(some) for some in groups.values() if any(o.result for o in some)]
    return sorted(made, key=lambda p: (order.index(p.method), p.costs["n_train"], p.seed))


def scores_table(some: Sequence[Pooled], edges: Mapping[str, Sequence[float]]) -> Table:
    """One row for each method, size, seed, label and stratum.

    ``n`` spectra with a label and a truth, ``missing`` the fraction without a label; ``median``
    and ``scatter`` (robust) of the residuals, ``scatter_err`` by resampling the stars (over all
    stars only); ``tails``, the fraction beyond five scatters, and ``beyond_3`` that beyond three
    quoted errors; ``r2``; ``coverage_68`` of quoted errors and ``quoted``, their median; then what
    it cost. Errors of the truth are added to quoted ones in squares.
    """
    rows = [row for one in some for row in _rows(one, edges)]
    return Table(rows=rows) if rows else Table()


def averaged(by_seed: Table) -> Table:
    """Means over seeds of `scores_table`, with ``seeds`` and ``scatter_spread`` among them."""
    groups: dict[tuple[Any, ...], list[Any]] = {}
    for row in by_seed:
        groups.setdefault(tuple(row[key] for key in KEYS), []).append(row)
    return Table(rows=[_mean(rows) for rows in groups.values()]) if groups else Table()


def cells_table(run: BenchRun) -> Table:
    """One row for each cell: its status, cost and, where it failed, the reason."""
    rows = []
    for outcome in run.outcomes:
        cell = outcome.cell
        about = outcome.result.about if outcome.result else {}
        costs = ("train_s", "pretrain_s", "per_s", "per_s_errors", "peak_gb")
        rows.append({
            "method": cell.method, "size": _size(cell.size), "fold": cell.fold, "seed": cell.seed,
            "stars": cell.n_stars, "status": outcome.status,
            **{name: float(about.get(name, np.nan)) for name in costs},
            "reason": outcome.reason, "key": cell.key, "code": str(about.get("code", "")),
        })  # fmt: skip
    return Table(rows=rows) if rows else Table()


def _pool(some: Sequence[Outcome]) -> Pooled:
    results = [o.result for o in some if o.result is not None]
    names = results[0].truth.names
    parts = [
        Labels(
            names,
            np.concatenate([getattr(r, side).values for r in results]),
            np.concatenate([getattr(r, side).errors for r in results]),
            results[0].truth.specs,
        )
        for side in ("predicted", "truth")
    ]
    cell = some[0].cell
    own = [o.cell for o in some if o.result is not None]
    return Pooled(
        method=cell.method,
        size=cell.size,
        seed=cell.seed,
        predicted=parts[0],
        truth=parts[1],
        star=np.concatenate([r.star for r in results]),
        snr=np.concatenate([r.snr for r in results]),
        costs={
            "n_train": float(np.mean([c.n_stars for c in own])),
            "train_s": float(np.mean([r.about["train_s"] for r in results])),
            "pretrain_s": float(results[0].about.get("pretrain_s", 0.0)),
            **{k: float(np.median([r.about[k] for r in results])) for k in _SPEEDS},
            "peak_gb": float(np.max([r.about["peak_gb"] for r in results])),
        },
        folds=len(results),
        of=len(some),
    )


def _rows(one: Pooled, edges: Mapping[str, Sequence[float]]) -> Iterator[dict[str, Any]]:
    columns = {"snr": one.snr, **dict(zip(one.truth.names, one.truth.values.T, strict=True))}
    own = {k: v for k, v in edges.items() if k in columns} if edges else None
    for stratum in strata(columns, own):
        picked = np.flatnonzero(stratum.rows)
        table = residual_table(one.predicted[picked], one.truth[picked])
        for found in table:
            yield _row(one, stratum, picked, found)


def _row(one: Pooled, stratum: Stratum, rows: Array, found: Any) -> dict[str, Any]:
    name = str(found["label"])
    truth = one.truth.column(name)[rows]
    residual = one.predicted.column(name)[rows] - truth
    at = one.truth.index(name)
    error = np.hypot(one.predicted.errors[rows, at], np.nan_to_num(one.truth.errors[rows, at]))
    z = np.abs(residual / np.where(error > 0, error, np.nan))
    judged, known = z[np.isfinite(z)], np.isfinite(truth)
    pair = one.predicted.values[rows, at : at + 1], error[:, None]
    inside = scores.coverage(pair, truth[:, None], [ONE_SIGMA])
    everything = stratum.by == "all"
    return {
        "method": one.method,
        "size": _size(one.size),
        "seed": one.seed,
        "folds": f"{one.folds} of {one.of}",
        "label": name,
        "unit": str(found["unit"]),
        "by": stratum.by,
        "stratum": stratum.title,
        "low": stratum.low,
        "high": stratum.high,
        "n": int(found["n"]),
        "missing": float(np.mean(~np.isfinite(residual[known]))) if known.any() else np.nan,
        "median": float(found["median"]),
        "scatter": float(found["scatter"]),
        "scatter_err": _scatter_error(residual, one.star[rows]) if everything else np.nan,
        "tails": float(found["outliers"]),
        "beyond_3": float(np.mean(judged > BEYOND)) if judged.size else np.nan,
        "r2": float(found["r2"]),
        "coverage_68": float(inside[0, 0]),
        "quoted": float(np.median(error[np.isfinite(z)])) if judged.size else np.nan,
        **one.costs,
    }


def _scatter_error(residual: Array, star: NDArray[np.str_]) -> float:
    """Standard deviation of the robust scatter among samples of the stars, drawn with repeats."""
    good = np.isfinite(residual)
    if good.sum() < 10:
        return float("nan")
    values = residual[good]
    _, of = np.unique(star[good], return_inverse=True)
    members = np.argsort(of, kind="stable")
    ends = np.cumsum(np.bincount(of))
    rng = np.random.default_rng(0)
    found = []
    for _ in range(RESAMPLES):
        drawn = rng.integers(0, len(ends), len(ends))
        if len(ends) == len(values):
            rows = members[drawn]
        else:
            rows = np.concatenate([members[ends[i - 1] if i else 0 : ends[i]] for i in drawn])
        found.append(robust_scatter(values[rows]))
    return float(np.std(found, ddof=1))


def _mean(rows: Sequence[Any]) -> dict[str, Any]:
    first = rows[0]
    kept = {name: first[name] for name in first.colnames if name not in (*AVERAGED, "seed")}
    scatter = [float(row["scatter"]) for row in rows]
    return {
        **kept,
        "seeds": len(rows),
        **{name: float(np.mean([row[name] for row in rows])) for name in AVERAGED},
        "scatter_spread": float(np.std(scatter, ddof=1)) if len(rows) > 1 else np.nan,
    }


def _size(size: int) -> str:
    return str(size) if size else "all"


_SPEEDS = ("per_s", "per_s_errors")
