"""Whether predicted labels are flatter than true ones, why, and how to undo it.

With a star's true label t, its label in a table y = t + error, and its prediction p, three
different things flatten a plot of one against another:

1. Errors of the table. Against y even perfect predictions lie on a slope of
   ``reliability = var(t) / var(y)`` (regression dilution; Fuller 1987, Measurement Error Models,
   section 1.1). Nothing is wrong with p. `Attenuation.slope` is the slope against t, in which the
   known errors of y are taken out (section 1.2 there); `Attenuation.naive` is that against y.
2. Noise of the spectra. The best guess of t from a noisy spectrum is the mean of t over all stars
   that could look like it, which lies nearer to the middle; its slope against t is
   ``1 - mean(error of p ** 2) / var(t)`` (`Attenuation.expected`), and no number of training stars
   changes this (Ting 2024, arXiv 2412.05806; 2025, arXiv 2512.23138). Such predictions are the
   most accurate ones, and t against p has a slope of 1 (`Attenuation.reverse`).
3. Faults of a network: too stiff, stopped early, or trained on other stars. Then the slope is
   below what is expected, and the reverse slope is not 1.

Errors of *training* labels are none of these. If they are zero on average for stars that look
alike, what is learnt, the mean of y at a given spectrum, is the mean of t; it is only learnt less
well. They flatten models in which labels are the input, from labels to spectrum.

Stars that the network was trained on must not be used: their predictions share the errors of
their labels, which hides the first effect.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starnet.errors import DataError, LabelError
from starnet.evaluate.metrics import MAD_TO_SIGMA, robust_scatter
from starnet.spectra import Labels

Array = NDArray[Any]
FEWEST = 30
"""Stars, at least."""
FAR = 5.0
"""Stars farther from the line than this many robust scatters do not count."""
FLATTEST = 0.1
"""Below this slope nothing can be undone."""


@dataclass(frozen=True)
class Attenuation:
    """Slopes of predicted against true labels, one label.

    Attributes
    ----------
    slope, slope_error : float
        Of the prediction against the true label, and its one-sigma error.
    naive : float
        Of the prediction against the label of the table, errors and all.
    reliability : float
        Share of the variance of the table's labels that is not their errors.
    expected : float
        Slope that the quoted errors of best guesses ask for; NaN where none were given.
    reverse, reverse_error : float
        Slope of the true label against the prediction; 1 for best guesses.
    middle, predicted_middle : float
        Mean true label of these stars, and mean prediction.
    spread : float
        Standard deviation of predictions at a given true label.
    quoted : float
        Root mean square of the errors that were given; NaN without.
    n, n_far : int
        Stars that count, and those that were too far off to.
    """

    slope: float
    slope_error: float
    naive: float
    reliability: float
    expected: float
    reverse: float
    reverse_error: float
    middle: float
    predicted_middle: float
    spread: float
    quoted: float
    n: int
    n_far: int

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Confidence interval of the slope."""
        from scipy.stats import norm

        if not 0 < level < 1:
            raise DataError(f"level must lie between 0 and 1; received {level}.")
        half = float(norm.ppf(0.5 + level / 2)) * self.slope_error
        return self.slope - half, self.slope + half

    @property
    def verdict(self) -> str:
        """What the slopes say, in a sentence; differences of two sigma count."""
        off = self.slope - 1
        if abs(off) <= 2 * self.slope_error:
            return "Predictions are as steep as the true labels."
        if off > 0:
            return "Predictions are steeper than the true labels."
        if not math.isfinite(self.expected):
            return "Predictions are flatter than the true labels."
        if abs(self.slope - self.expected) <= 2 * self.slope_error:
            return "Predictions are flatter, as much as noise of the spectra makes best guesses."
        if self.slope < self.expected:
            return "Predictions are flatter than their quoted errors explain."
        return "Predictions are flatter, but less than their quoted errors would have best guesses."

    def corrected(self, values: ArrayLike, errors: ArrayLike | None = None) -> tuple[Array, Array]:
        """Predictions stretched so that their mean at any true label is that label, and errors.

        For comparisons star by star with other catalogues, and for mean labels of groups of stars
        whose labels are far from those of all stars, such as clusters. The errors grow.

        Not for: the label itself, if it shall be as accurate as possible (best guesses are, and
        stretching adds noise); distributions of labels, which come out too wide by the errors, as
        best guesses are too narrow; trends of something with the label: regression on stretched
        labels is flattened again by their errors, on best guesses it is not (regression
        calibration; Carroll et al. 2006, Measurement Error in Nonlinear Models, chapter 4). And
        not for spectra much noisier or much better than those of the stars it was measured on,
        nor beyond their range of labels: noisier ones are flatter.

        Parameters
        ----------
        values : array
            Predictions of stars like those it was measured on.
        errors : array, optional
            Their quoted errors; they are scaled to the scatter that was measured.

        Raises
        ------
        DataError
            If the slope is too small or too uncertain to divide by.
        """
        if not self.slope > max(FLATTEST, 3 * self.slope_error):
            raise DataError(
                f"A slope of {self.slope:.2f} +- {self.slope_error:.2f} cannot be undone; it must "
                f"be above {FLATTEST} and three times its error. The label is hardly measured."
            )
        predictions = np.asarray(values, dtype=float)
        out = self.middle + (predictions - self.predicted_middle) / self.slope
        if errors is None or not self.quoted > 0:
            return out, np.where(np.isfinite(out), self.spread / self.slope, np.nan)
        return out, np.asarray(errors, dtype=float) * (self.spread / self.quoted / self.slope)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        values = dataclasses.asdict(self)
        return {k: None if isinstance(v, float) and v != v else v for k, v in values.items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Attenuation:
        """The inverse of `to_dict`."""
        values: dict[str, Any] = {k: math.nan if v is None else v for k, v in data.items()}
        return cls(**values)


def attenuation(
    predicted: ArrayLike,
    truth: ArrayLike,
    predicted_error: ArrayLike | None = None,
    truth_error: ArrayLike = 0.0,
) -> Attenuation:
    """How flat predictions of one label are, apart from what errors of the table make of it.

    Parameters
    ----------
    predicted, truth : array (N,)
        Of stars that were not trained on; NaN where unknown.
    predicted_error : float or array (N,), optional
        Quoted errors of the predictions as measures of the true label, without noise of the table.
    truth_error : float or array (N,)
        One-sigma errors of ``truth``; 0 where it is exact. Stars where it is NaN do not count. From
        two independent tables it is `error_of_repeats`.

    Raises
    ------
    DataError
        If shapes differ, fewer than 30 stars count, or the labels vary no more than by their
        errors.
    """
    p, y, sigma, own = _columns(predicted, truth, truth_error, predicted_error)
    keep = _near(p, y)
    n_far = int(len(keep) - keep.sum())
    p, y, sigma, own = p[keep], y[keep], sigma[keep], own[keep]
    true = _true_variance(y, sigma)
    dp, dy = p - p.mean(), y - y.mean()
    slope = float(np.mean(dp * dy) / true)
    reverse = float(np.mean(dp * dy) / np.var(p)) if np.var(p) > 0 else math.nan
    each = (dy * (dp - slope * dy) + slope * sigma**2) / true  # Fuller 1987, theorem 1.2.1
    back = dp * (dy - reverse * dp) / np.var(p) if np.var(p) > 0 else np.full_like(dp, np.nan)
    quoted = float(np.mean(own**2))
    return Attenuation(
        slope=slope,
        slope_error=float(np.sqrt(np.mean(each**2) / len(p))),
        naive=float(np.mean(dp * dy) / np.var(y)),
        reliability=float(true / np.var(y)),
        expected=float(1 - quoted / true),
        reverse=reverse,
        reverse_error=float(np.sqrt(np.mean(back**2) / len(p))),
        middle=float(y.mean()),
        predicted_middle=float(p.mean()),
        spread=float(np.sqrt(max(np.var(p) - slope**2 * true, 0.0))),
        quoted=math.sqrt(quoted),
        n=len(p),
        n_far=n_far,
    )


def attenuations(predicted: Labels, truth: Labels) -> dict[str, Attenuation]:
    """`attenuation` of each label that both have, with the errors that they carry.

    Errors of ``truth`` that are all unknown make a `LabelError`: without them the first of the
    three effects cannot be told from the others.
    """
    shared = [name for name in predicted.names if name in truth.names]
    if len(predicted) != len(truth) or not shared:
        raise LabelError(
            "Predictions and truth must be of the same stars and share a label; received "
            f"{len(predicted)} and {len(truth)} stars, labels {', '.join(predicted.names)} and "
            f"{', '.join(truth.names)}."
        )
    out = {}
    for name in shared:
        i, j = predicted.index(name), truth.index(name)
        if not np.isfinite(truth.errors[:, j]).any():
            raise LabelError(
                f"The true labels {name} have no errors, so their part in the slope is unknown. "
                "Give errors with the labels (0 where they are exact, as of synthetic stars), or "
                "estimate them with error_of_repeats."
            )
        own = predicted.errors[:, i]
        given = own if np.isfinite(own).any() else None
        out[name] = attenuation(predicted.values[:, i], truth.values[:, j], given,
                                truth.errors[:, j])  # fmt: skip
    return out


def error_of_repeats(first: ArrayLike, second: ArrayLike) -> float:
    """Error of one measurement from two independent ones of the same stars with equal errors.

    The robust scatter of their differences over the square root of 2; a constant offset between
    the two does not count. Tables that share spectra, lines or models are not independent, and
    what they share is missed.

    Raises
    ------
    DataError
        If shapes differ or fewer than 30 stars have both.
    """
    a, b = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if a.shape != b.shape or a.ndim != 1:
        raise DataError(f"Repeats must be two arrays of one shape; received {a.shape}, {b.shape}.")
    if (n := int(np.isfinite(a - b).sum())) < FEWEST:
        raise DataError(f"Repeats need at least {FEWEST} stars that have both; received {n}.")
    return robust_scatter(a - b) / math.sqrt(2)


def _columns(predicted: ArrayLike, truth: ArrayLike, *errors: ArrayLike | None) -> list[Array]:
    """Everything as arrays (N,) of the stars that have all; errors that are None are NaN."""
    p, y = np.asarray(predicted, dtype=float), np.asarray(truth, dtype=float)
    given = [np.asarray(np.nan if e is None else e, dtype=float) for e in errors]
    if p.ndim != 1 or y.shape != p.shape or any(e.shape not in ((), p.shape) for e in given):
        raise DataError(
            "Predictions, truth and errors must be arrays of one length (errors may be numbers); "
            f"received {p.shape}, {y.shape}, {', '.join(str(e.shape) for e in given)}."
        )
    if any(np.any(e < 0) for e in given):
        raise DataError("Errors must not be negative.")
    columns = [p, y, *(np.broadcast_to(e, p.shape) for e in given)]
    needed = [c for c, e in zip(columns, (0, 0, *errors), strict=True) if e is not None]
    good = np.all(np.isfinite(needed), axis=0)
    if good.sum() < FEWEST:
        raise DataError(
            f"A slope needs at least {FEWEST} stars with prediction, true label and errors; "
            f"received {good.sum()}."
        )
    return [column[good] for column in columns]


def _true_variance(y: Array, sigma: Array) -> float:
    """Variance of labels without that of their errors."""
    total, errors = float(np.var(y)), float(np.mean(sigma**2))
    uncertain = total * math.sqrt(2 / len(y))
    if np.ptp(y) == 0 or total - errors <= 2 * uncertain:
        raise DataError(
            f"The true labels vary by {math.sqrt(total):.3g} and their errors are "
            f"{math.sqrt(errors):.3g}: too little is left to measure a slope. Use stars that "
            "differ more, or better labels."
        )
    return total - errors


def _near(p: Array, y: Array, rounds: int = 10) -> NDArray[np.bool_]:
    """Stars that are not far off the line through most of them."""
    from scipy.stats import siegelslopes

    some = np.random.default_rng(0).permutation(len(p))[:400]  # it takes all pairs
    slope, intercept = np.asarray(siegelslopes(p[some], y[some]), dtype=float)
    keep = np.ones(len(p), dtype=bool)
    for _ in range(rounds):
        off = p - intercept - slope * y
        scatter = MAD_TO_SIGMA * np.median(np.abs(off))
        now = np.abs(off) <= max(FAR * scatter, 1e-9 * np.ptp(p))
        if np.array_equal(now, keep) or np.ptp(y[now]) == 0:
            break
        keep = now
        slope, intercept = np.polyfit(y[keep], p[keep], 1)
    return keep
