"""Errors made honest on stars whose labels are known: scales by stratum, then conformal levels.

With z = (true - predicted) / quoted error of calibration stars, which no network has learnt from,

1. each label gets a scale for each stratum of S/N, Teff and [Fe/H], the product of one factor for
   each of the three, found by turns until the central 68.3 % of every stratum is within one
   error (iterative proportional fitting, as for tables of counts: Deming and Stephan 1940);
2. what is left of the shape goes into split-conformal quantiles of |z| (Papadopoulos et al. 2002;
   Lei et al. 2018, JASA 113, 1094): of n stars the ceil((n + 1) p)-th smallest |z| covers a new
   star with a chance of at least p, whatever the distribution.

Strata go by *predicted* labels and the star's own S/N, so a star without truth has them too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

from starnet.errors import DataError, LabelError
from starnet.inference.posterior import LabelPosterior
from starnet.spectra import Labels

Array = NDArray[Any]
ONE_SIGMA = 0.682689492137
LEVELS = (0.2, 0.4, 0.5, ONE_SIGMA, 0.8, 0.9, 0.95, 0.99)
EDGES: Mapping[str, tuple[float, ...]] = {
    "snr": (35.0, 50.0, 70.0, 100.0, 140.0, 200.0),
    "teff": (4200.0, 4600.0, 5000.0, 5800.0),
    "fe_h": (-1.0, -0.5, -0.2, 0.0),
}
"""Inner edges of the strata."""
FEWEST = 200
"""Stars of a label, at least."""
SHRINK = 20
"""A stratum of so many stars gets half of the correction that it asks for."""
ROUNDS = 20
LARGEST = 50.0
"""A factor is never larger than this, nor smaller than its inverse."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """How quoted errors are corrected, label by label.

    Attributes
    ----------
    names : tuple of str
        The L labels.
    edges : mapping of covariate to tuple of float
        Inner edges of its strata.
    factors : mapping of covariate to array (L, strata)
        Their product, times ``overall``, multiplies the error.
    overall : array (L,)
    levels : tuple of float
        Q probabilities.
    quantiles : array (L, Q)
        Absolute z, in corrected errors, that covers with each of these.
    about : dict
        Number of stars, and what they were.
    """

    names: tuple[str, ...]
    edges: Mapping[str, tuple[float, ...]]
    factors: Mapping[str, Array]
    overall: Array
    levels: tuple[float, ...]
    quantiles: Array
    about: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def fit(
        cls,
        predicted: Labels,
        truth: Labels,
        covariates: Mapping[str, ArrayLike],
        *,
        star: ArrayLike | None = None,
        edges: Mapping[str, tuple[float, ...]] | None = None,
        about: Mapping[str, Any] | None = None,
    ) -> Calibration:
        """From calibration stars.

        Parameters
        ----------
        predicted : Labels
            N predictions with their errors.
        truth : Labels
            Of the same spectra; errors of reference labels, where there are any, count in squares
            against the scatter.
        covariates : mapping of name to array (N,)
            Of ``snr``, ``teff``, ``fe_h`` (predicted), those that shall make strata.
        star : array (N,), optional
            Name of each spectrum's star; then stars are counted instead of spectra.
        edges : mapping, optional
            In place of `EDGES`.
        about : mapping, optional

        Raises
        ------
        DataError
            If a label has fewer than `FEWEST` stars, or all errors or residuals are zero.
        LabelError
            If no label is shared, or predictions have no errors.
        """
        chosen = {k: tuple((edges or EDGES).get(k, EDGES.get(k, ()))) for k in covariates}
        bins = {k: strata(covariates[k], chosen[k]) for k in covariates}
        names = tuple(name for name in predicted.names if name in truth.names)
        if len(predicted) != len(truth) or not names or _without(predicted):
            raise LabelError(
                "A calibration needs predictions with errors and true labels of the same stars; "
                f"received {len(predicted)} and {len(truth)} rows that share "
                f"{', '.join(names) or 'no label'}{_without(predicted)}."
            )
        rows = [_fit_label(name, predicted, truth, bins, chosen, star) for name in names]
        return cls(
            names=names,
            edges=chosen,
            factors={k: np.stack([row[1][k] for row in rows]) for k in covariates},
            overall=np.array([row[0] for row in rows]),
            levels=LEVELS,
            quantiles=np.stack([row[2] for row in rows]),
            about={"stars": min(row[3] for row in rows), **(about or {})},
        )

    def scale(self, name: str, covariates: Mapping[str, ArrayLike]) -> Array:
        """What the errors (N,) of a label are multiplied with; 1 for a label that it lacks.

        A covariate that is missing or NaN counts as typical.
        """
        if name not in self.names:
            return np.ones(_length(covariates))
        i = self.names.index(name)
        out = np.full(_length(covariates), self.overall[i])
        for key, table in self.factors.items():
            if key in covariates:
                which = strata(covariates[key], self.edges[key])
                out = out * np.where(which < 0, 1.0, table[i][which])
        return out

    def scales(self, names: tuple[str, ...], covariates: Mapping[str, ArrayLike]) -> Array:
        """`scale` of several labels, (N, L)."""
        return np.stack([self.scale(name, covariates) for name in names], axis=1)

    def reach(self, names: tuple[str, ...]) -> Array:
        """Quantiles (L, Q) of |z| of labels; those of a normal distribution where unknown."""
        normal = ndtri(0.5 * (1 + np.array(self.levels)))
        known = dict(zip(self.names, self.quantiles, strict=True))
        return np.stack([known.get(name, normal) for name in names])

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "labels": list(self.names),
            "edges": {k: list(v) for k, v in self.edges.items()},
            "factors": {k: _rounded(v) for k, v in self.factors.items()},
            "overall": _rounded(self.overall),
            "levels": list(self.levels),
            "quantiles": _rounded(self.quantiles),
            "about": dict(self.about),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Calibration:
        """The inverse of `to_dict`.

        Raises
        ------
        DataError
            If something is missing or has another shape.
        """
        try:
            names, levels = tuple(data["labels"]), tuple(data["levels"])
            edges = {k: tuple(v) for k, v in data["edges"].items()}
            factors = {k: np.array(data["factors"][k], dtype=float) for k in edges}
            overall = np.array(data["overall"], dtype=float)
            quantiles = np.array(data["quantiles"], dtype=float)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"The calibration of errors is spelled wrongly: {error}.") from error
        shapes = [(factors[k].shape, (len(names), len(edges[k]) + 1)) for k in edges]
        shapes += [(overall.shape, (len(names),)), (quantiles.shape, (len(names), len(levels)))]
        if any(a != b for a, b in shapes):
            raise DataError("The calibration of errors has tables of the wrong size.")
        return cls(names, edges, factors, overall, levels, quantiles, dict(data.get("about", {})))


class CalibratedPosterior(LabelPosterior):
    """A posterior whose errors are corrected; means stay.

    Parameters
    ----------
    base : LabelPosterior
        Of N stars and L labels.
    scale : array (N, L)
        What its errors are multiplied with; NaN for a label that is missing.
    levels : sequence of Q probabilities, optional
    reach : array (L, Q), optional
        Half widths of central intervals of these probabilities, in corrected errors; normal ones
        by default.
    """

    def __init__(
        self,
        base: LabelPosterior,
        scale: ArrayLike,
        levels: ArrayLike | None = None,
        reach: ArrayLike | None = None,
    ) -> None:
        self.base = base
        self.names = base.names
        self.scale = np.asarray(scale, dtype=float)
        self.levels = None if levels is None else np.asarray(levels, dtype=float)
        self.reach = None if reach is None else np.asarray(reach, dtype=float)
        if self.scale.shape != base.mean.shape:
            raise DataError(
                f"scale must have the shape of the labels {base.mean.shape}; it is "
                f"{self.scale.shape}."
            )

    def __len__(self) -> int:
        return len(self.base)

    def __getitem__(self, rows: Any) -> CalibratedPosterior:
        return CalibratedPosterior(self.base[rows], self.scale[rows], self.levels, self.reach)

    @property
    def mean(self) -> Array:
        return np.where(np.isnan(self.scale), np.nan, self.base.mean)

    @property
    def covariance(self) -> Array:
        return self.base.covariance * self.scale[:, :, None] * self.scale[:, None, :]

    def quantiles(self, levels: ArrayLike) -> Array:
        wanted = np.asarray(levels, dtype=float)
        z = np.sign(wanted - 0.5)[:, None] * self._half(np.abs(2 * wanted - 1))  # (Q, L)
        usual = self.base.quantiles(np.clip(ndtr(z).T.ravel(), 1e-9, 1 - 1e-9))
        n = len(self.names)
        usual = usual.reshape(n, wanted.size, len(self), n)
        own = np.stack([usual[i, :, :, i] for i in range(n)], axis=2)  # (Q, N, L)
        return self.mean + (own - self.mean) * self.scale

    def cdf(self, values: ArrayLike) -> Array:
        inner = self.mean + (np.asarray(values, dtype=float) - self.mean) / self.scale
        z = ndtri(np.clip(self.base.cdf(inner), 1e-15, 1 - 1e-15))
        return 0.5 + 0.5 * np.sign(z) * self._within(np.abs(z))

    def samples(self, n: int, seed: int = 0) -> Array:
        return self.mean + (self.base.samples(n, seed) - self.mean) * self.scale

    def log_prob(self, values: ArrayLike) -> Array:
        inner = self.mean + (np.asarray(values, dtype=float) - self.mean) / self.scale
        return self.base.log_prob(inner) - np.log(self.scale).sum(axis=1)

    def _half(self, share: Array) -> Array:
        """Half width, in errors, of central intervals of these probabilities: (Q, L)."""
        normal = ndtri(0.5 * (1 + np.clip(share, 0, 1 - 1e-12)))
        if self.reach is None or self.levels is None:
            return np.repeat(normal[:, None], len(self.names), axis=1)
        return np.stack([_stretched(normal, *self._knots(i)) for i in range(len(self.names))], 1)

    def _within(self, z: Array) -> Array:
        """Probability (N, L) of a central interval that reaches out to |z| (N, L)."""
        normal = z
        if self.reach is not None and self.levels is not None:
            columns = []
            for i in range(len(self.names)):
                usual, own = self._knots(i)
                columns.append(_stretched(z[:, i], own, usual))
            normal = np.stack(columns, axis=1)
        return 2 * ndtr(normal) - 1

    def _knots(self, i: int) -> tuple[Array, Array]:
        assert self.levels is not None
        assert self.reach is not None
        usual = ndtri(0.5 * (1 + self.levels))
        return usual, np.maximum.accumulate(self.reach[i] + 1e-9 * np.arange(len(usual)))


def _stretched(z: Array, knots: Array, to: Array) -> Array:
    """z between 0 and the last knot by lines between knots; in proportion beyond."""
    inside = np.interp(z, np.concatenate([[0], knots]), np.concatenate([[0], to]))
    return np.where(z > knots[-1], z * to[-1] / knots[-1], inside)


def strata(values: ArrayLike, edges: tuple[float, ...]) -> Array:
    """Stratum of each value (N,), from 0; -1 for NaN."""
    array = np.asarray(values, dtype=float)
    return np.where(np.isnan(array), -1, np.searchsorted(np.asarray(edges), array, side="right"))


def conformal_quantile(values: ArrayLike, level: float) -> float:
    """The ceil((n + 1) level)-th smallest of n values; infinite if n is too small for the level."""
    sorted_values = np.sort(np.asarray(values, dtype=float))
    k = math.ceil((sorted_values.size + 1) * level - 1e-9)
    return float(sorted_values[k - 1]) if 0 < k <= sorted_values.size else math.inf


def _fit_label(
    name: str,
    predicted: Labels,
    truth: Labels,
    bins: Mapping[str, Array],
    edges: Mapping[str, tuple[float, ...]],
    star: ArrayLike | None,
) -> tuple[float, dict[str, Array], Array, int]:
    """Overall factor, factors by covariate, conformal quantiles, number of stars."""
    gap = truth.column(name) - predicted.column(name)
    error, reference = _errors(predicted, name), np.nan_to_num(_errors(truth, name))
    good = np.isfinite(gap) & np.isfinite(error) & (error > 0) & np.isfinite(reference)
    n = len(np.unique(np.asarray(star)[good])) if star is not None else int(good.sum())
    if n < FEWEST:
        raise DataError(
            f"The errors of {name} cannot be calibrated on {n} stars that have it with an error; "
            f"at least {FEWEST} are needed. Give more stars, or leave the label out."
        )
    gap, error, reference = gap[good], error[good], reference[good]
    if not np.any(gap != 0):
        raise DataError(f"The residuals of {name} are all zero: are truth and prediction the same?")
    own = {k: v[good] for k, v in bins.items()}
    factors = {k: np.ones(len(edges[k]) + 1) for k in bins}
    overall = _width(gap, error, reference)
    for _ in range(ROUNDS):
        for key, which in own.items():
            for b in range(len(factors[key])):
                rows = which == b
                if rows.any():
                    now = error[rows] * overall * _product(factors, own, rows)
                    step = _width(gap[rows], now, reference[rows])
                    step **= rows.sum() / (rows.sum() + SHRINK)
                    factors[key][b] = np.clip(factors[key][b] * step, 1 / LARGEST, LARGEST)
        every = np.ones(len(gap), bool)
        overall *= _width(gap, error * overall * _product(factors, own, every), reference)
    scaled = np.hypot(error * overall * _product(factors, own, np.ones(len(gap), bool)), reference)
    quantiles = np.array([conformal_quantile(np.abs(gap) / scaled, level) for level in LEVELS])
    return overall, factors, np.maximum.accumulate(quantiles), n


def _errors(labels: Labels, name: str) -> Array:
    """Errors (N,) of a label, 0 where there are none at all."""
    if labels.errors is None:
        return np.zeros(len(labels))
    return np.asarray(labels.errors, dtype=float)[:, labels.index(name)]


def _without(labels: Labels) -> str:
    known = labels.errors is not None and np.isfinite(labels.errors).any()
    return "" if known else "; the predictions have no errors"


def _product(factors: Mapping[str, Array], bins: Mapping[str, Array], rows: Array) -> Array:
    out = np.ones(int(rows.sum()))
    for key, which in bins.items():
        part = which[rows]
        out *= np.where(part < 0, 1.0, factors[key][part])
    return out


def _width(gap: Array, error: Array, reference: Array) -> float:
    """Factor on the errors with which 68.3 % of the gaps are within them and the reference's."""
    z = np.abs(gap) / error
    if not reference.any():
        middle = min(conformal_quantile(z, ONE_SIGMA), float(z.max()))
        return max(middle, 1 / LARGEST)
    factors = np.geomspace(1 / LARGEST, LARGEST, 200)
    for factor in factors:
        if np.mean(np.abs(gap) <= np.hypot(error * factor, reference)) >= ONE_SIGMA:
            return float(factor)
    return LARGEST


def _length(covariates: Mapping[str, ArrayLike]) -> int:
    return len(np.atleast_1d(next(iter(covariates.values()))))


def _rounded(values: Array) -> list[Any]:
    return np.round(values, 5).tolist()
