"""Results of an assessment: frozen, with tables of one row for each stratum and label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from starnet.evaluate import repeats, scores
from starnet.evaluate.metrics import MAD_TO_SIGMA, robust_scatter
from starnet.evaluate.strata import Stratum
from starnet.spectra import Labels, label_spec

Array = NDArray[Any]
By = Literal["predicted", "true"]


@dataclass(frozen=True, eq=False)
class Assessment:
    """Predictions held against the truth: N stars, L labels; NaN where one of the two is missing.

    Attributes
    ----------
    names : tuple of str
    predicted, truth : Labels
        The errors of ``predicted`` are those that are assessed, of ``truth`` those of references.
    error : array (N, L)
        One-sigma errors of the differences: quoted, with those of the references in squares.
    pit, z, crps, ranks : array (N, L)
        `evaluate.pit`, `z_scores`, `crps`, and `ranks` among 19 samples (`MEMBERS`).
    snr : array (N,)
        NaN where unknown.
    strata : tuple of Stratum
        The first is all stars.
    by : str
        Whether strata are of "predicted" or of "true" labels.
    limit : array (N, L), optional
        Cramer-Rao limits.
    about : mapping
        What else a report should say: counts of rows left out, source of the limit.
    """

    names: tuple[str, ...]
    predicted: Labels
    truth: Labels
    error: Array
    pit: Array
    z: Array
    crps: Array
    ranks: Array
    snr: Array
    strata: tuple[Stratum, ...]
    by: By = "predicted"
    limit: Array | None = None
    about: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.snr)

    def __repr__(self) -> str:
        return f"Assessment({len(self)} stars: {', '.join(self.names)}; see table())"

    @property
    def covariates(self) -> Labels:
        """The labels that strata go by."""
        return self.predicted if self.by == "predicted" else self.truth

    def count(self, stratum: Stratum | None = None) -> NDArray[np.intp]:
        """Stars (L,) of which a label has a prediction, an error and a truth."""
        return np.isfinite(self.pit[self._rows(stratum)]).sum(axis=0)

    def coverage(
        self, levels: Sequence[float] = scores.LEVELS, stratum: Stratum | None = None
    ) -> Array:
        """Fractions (Q, L) of stars whose truth lies in the central intervals of Q levels."""
        return scores.coverage_of_pit(self.pit[self._rows(stratum)], levels)

    def over_limit(self, stratum: Stratum | None = None) -> Array:
        """Robust scatter (L,) of (predicted - true) over the limit of each star; NaN without."""
        if self.limit is None:
            return np.full(len(self.names), np.nan)
        gap = self.predicted.values - self.truth.values
        known = np.where(np.isfinite(self.limit) & (self.limit > 0), self.limit, np.nan)
        pulls = (gap / known)[self._rows(stratum)]
        return np.array([robust_scatter(p) for p in pulls.T])

    def table(self) -> Table:
        """One row for each stratum and label.

        ``label``, ``unit``, ``by`` and ``stratum`` (with ``low`` and ``high``), ``n``; ``bias``
        (median of predicted - true), ``scatter`` (robust), ``quoted`` (median error: sharpness);
        ``coverage_50`` to ``coverage_95``; ``z_median``, ``z_scatter`` (robust) and ``factor``,
        1.4826 times the median of \\|z\\|, by which errors are too small; ``crps`` (mean);
        ``over_limit``.
        """
        rows = []
        for stratum in self.strata:
            over = self.over_limit(stratum)
            rows += [self._row(stratum, i, float(v)) for i, v in enumerate(over)]
        return Table(rows=rows)

    def _rows(self, stratum: Stratum | None) -> NDArray[np.bool_]:
        return self.strata[0].rows if stratum is None else stratum.rows

    def _row(self, stratum: Stratum, i: int, over_limit: float) -> dict[str, Any]:
        inside = stratum.rows & np.isfinite(self.pit[:, i])
        gap = (self.predicted.values - self.truth.values)[inside, i]
        z, levels = self.z[inside, i], scores.LEVELS
        found = scores.coverage_of_pit(self.pit[inside, i], levels)
        return {
            **_place(self.names[i], stratum),
            "n": int(inside.sum()),
            "bias": _median(gap),
            "scatter": robust_scatter(gap),
            "quoted": _median(self.error[inside, i]),
            **{f"coverage_{q * 100:.0f}": float(c) for q, c in zip(levels, found, strict=True)},
            "z_median": _median(z),
            "z_scatter": robust_scatter(z),
            "factor": MAD_TO_SIGMA * _median(np.abs(z)),
            "crps": float(np.mean(self.crps[inside, i])) if inside.any() else np.nan,
            "over_limit": over_limit,
        }


@dataclass(frozen=True, eq=False)
class RepeatAssessment:
    """Repeat visits held against each other: N visits, M pairs, L labels.

    Attributes
    ----------
    names : tuple of str
    predicted : Labels
        With the errors that are assessed.
    pairs : VisitPairs
    scaled : array (M, L)
        Differences of pairs over the quadrature sum of their errors.
    snr : array (M,)
        The lower of the two signal to noise ratios.
    covariates : Labels
        Of the M pairs: means of the two predictions.
    strata : tuple of Stratum
        Of the pairs; the first is all.
    limit : array (N, L), optional
    about : mapping
    """

    names: tuple[str, ...]
    predicted: Labels
    pairs: repeats.VisitPairs
    scaled: Array
    snr: Array
    covariates: Labels
    strata: tuple[Stratum, ...]
    limit: Array | None = None
    about: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.pairs)

    def __repr__(self) -> str:
        stars = np.unique(self.pairs.star).size
        return f"RepeatAssessment({len(self)} pairs of visits of {stars} stars; see table())"

    def ratio(self, stratum: Stratum | None = None) -> repeats.RepeatRatio:
        """Scatter over quoted error; see `evaluate.repeat_ratio`."""
        rows = self.strata[0].rows if stratum is None else stratum.rows
        return repeats.ratio_of(self.scaled[rows], self.pairs.select(rows))

    def over_limit(self, stratum: Stratum | None = None) -> repeats.RepeatRatio | None:
        """Scatter over the Cramer-Rao limit; None without."""
        if self.limit is None:
            return None
        rows = self.strata[0].rows if stratum is None else stratum.rows
        some = self.pairs.select(rows)
        known = np.where(np.isfinite(self.limit), self.limit, np.nan)
        return repeats.ratio_of(
            repeats.scaled_differences(self.predicted.values, known, some), some
        )

    def table(self) -> Table:
        """One row for each stratum and label.

        ``label``, ``unit``, ``by`` and ``stratum``, ``n_stars``, ``n_pairs``; ``scatter`` (of one
        visit: of the differences over the root of 2), ``quoted`` (median error); ``ratio`` and
        ``ratio_err``, ``rms``, ``over_limit`` and ``over_limit_err``.
        """
        return Table(rows=[row for s in self.strata for row in self._rows(s)])

    def _rows(self, stratum: Stratum) -> list[dict[str, Any]]:
        found, over = self.ratio(stratum), self.over_limit(stratum)
        some = self.pairs.select(stratum.rows)
        out = []
        for i, name in enumerate(self.names):
            seen = np.isfinite(self.scaled[stratum.rows, i])
            first, second = some.first[seen], some.second[seen]
            value, error = self.predicted.values[:, i], self.predicted.errors[:, i]
            row = {
                **_place(name, stratum),
                "n_stars": int(found.n_stars[i]),
                "n_pairs": int(found.n_pairs[i]),
                "scatter": MAD_TO_SIGMA * _median(np.abs(value[first] - value[second])) / 2**0.5,
                "quoted": _median(np.hypot(error[first], error[second])) / 2**0.5,
                "ratio": float(found.ratio[i]),
                "ratio_err": float(found.error[i]),
                "rms": float(found.rms[i]),
                "over_limit": np.nan if over is None else float(over.ratio[i]),
                "over_limit_err": np.nan if over is None else float(over.error[i]),
            }
            out.append(row)
        return out


def _place(name: str, stratum: Stratum) -> dict[str, Any]:
    """The first columns of a row."""
    return {
        "label": name,
        "unit": label_spec(name).unit,
        "by": stratum.by,
        "stratum": stratum.title,
        "low": stratum.low,
        "high": stratum.high,
    }


def _median(values: Array) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else float("nan")
