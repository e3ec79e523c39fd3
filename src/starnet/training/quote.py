"""Errors of fine-tuned networks, from stars that were left out of their training.

The training stars are dealt to folds by star; networks made of all other folds read each. No star
is ever judged by a network that has seen it, and test stars have no part in any of it. Networks of
four fifths of the stars are a little worse than the one of all: errors are a little too large
rather than too small (cross-conformal prediction: Vovk 2015, Ann. Math. Artif. Intell. 74, 9).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from starnet.errors import TrainingError
from starnet.spectra import Labels, LabelScale

Array = NDArray[Any]
FREEDOM = 5.0
"""Of Student's t, by which residuals are distributed around the errors."""
LOOSE = 0.3
"""Prior standard deviation of a coefficient, for a term in units of its own scatter."""
ONE_SIGMA = 0.682689492137
FEWEST = 100
"""Stars with a label, at least."""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Stars as networks predicted them that had not seen them: N stars, L labels, K terms.

    Attributes
    ----------
    rows : array (N,)
        Of the data set.
    truth : Labels
        As the data set has them.
    mean : array (N, L)
        Predictions, in scaled labels of ``scale``.
    terms : array (N, L, K)
        As `models.Quoted.parts` gives them.
    scale : LabelScale
    folds : int
    """

    rows: Array
    truth: Labels
    mean: Array
    terms: Array
    scale: LabelScale
    folds: int

    @property
    def residual(self) -> Array:
        """True minus predicted scaled labels (N, L), NaN where a label is missing."""
        return self.scale.forward(self.truth.values) - self.mean

    def predicted(self, widths: Array) -> Labels:
        """Labels with the errors that coefficients (L, 1 + K) give."""
        error = errors_of(widths, self.terms) * self.scale.inverse_derivative(self.mean)
        return Labels(self.truth.names, self.scale.inverse(self.mean), error, self.truth.specs)


def errors_of(widths: Array, terms: Array) -> Array:
    """Errors (N, L) of terms (N, L, K) with coefficients (L, 1 + K)."""
    return np.exp(widths[:, 0] + np.sum(widths[:, 1:] * terms, axis=2))


def fit_widths(residual: Array, terms: Array) -> Array:
    """Coefficients (L, 1 + K) of the logarithm of errors, most likely for residuals (N, L).

    Residuals over errors follow Student's t; then the errors are scaled so that 68.3 % of the
    residuals are within them.

    Raises
    ------
    TrainingError
        If fewer than 100 stars have a label, or all residuals of one are alike.
    """
    columns = []
    for i in range(residual.shape[1]):
        there = np.isfinite(residual[:, i])
        if there.sum() < FEWEST or np.ptp(residual[there, i]) == 0:
            raise TrainingError(
                f"Errors of a label need at least {FEWEST} stars left out that have it, and that "
                f"differ; received {there.sum()}. Fine-tune without errors, or add stars."
            )
        columns.append(_coefficients(residual[there, i], terms[there, i]))
    return np.stack(columns)


def correlations(z: Array) -> Array:
    """Correlations (L, L) of residuals over errors (N, L); outliers count as three errors."""
    from itertools import combinations

    clipped = np.clip(z, -3, 3)
    out = np.eye(z.shape[1])
    for i, j in combinations(range(len(out)), 2):
        both = np.isfinite(z[:, i] + z[:, j])
        out[i, j] = out[j, i] = np.corrcoef(clipped[both, i], clipped[both, j])[0, 1]
    return 0.98 * out + 0.02 * np.eye(len(out))


def _coefficients(residual: Array, terms: Array) -> Array:
    """Of one label: (1 + K,) from residuals (N,) and terms (N, K)."""
    middle = terms.mean(axis=0)
    size = np.maximum(terms.std(axis=0), 1e-3)
    unit = (terms - middle) / size

    def loss(w: Array) -> tuple[float, Array]:
        log = w[0] + unit @ w[1:]
        z2 = (residual * np.exp(-log)) ** 2
        value = np.sum(log + 0.5 * (FREEDOM + 1) * np.log1p(z2 / FREEDOM))
        pull = 1 - (FREEDOM + 1) * z2 / (FREEDOM + z2)  # by log
        slope = np.concatenate([[pull.sum()], pull @ unit + w[1:] / LOOSE**2])
        return float(value + 0.5 * np.sum(w[1:] ** 2) / LOOSE**2), slope

    start = np.zeros(1 + terms.shape[1])
    start[0] = np.log(np.std(residual))
    w = np.asarray(minimize(loss, start, jac=True, method="BFGS").x)
    within = np.quantile(np.abs(residual) * np.exp(-w[0] - unit @ w[1:]), ONE_SIGMA)
    each = w[1:] / size
    return np.concatenate([[w[0] + np.log(within) - middle @ each], each])
