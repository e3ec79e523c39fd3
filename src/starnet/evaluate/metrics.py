"""How good predicted labels are, in numbers that a few outliers do not move."""

from __future__ import annotations

from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import ArrayLike, NDArray

from starnet.errors import LabelError
from starnet.spectra import Labels

MAD_TO_SIGMA = 1.4826
"""A normal distribution's standard deviation over its median absolute deviation."""


def robust_scatter(residual: ArrayLike) -> float:
    """1.4826 times the median absolute deviation from the median; NaN values do not count."""
    values = _finite(residual)
    if values.size == 0:
        return float("nan")
    return float(MAD_TO_SIGMA * np.median(np.abs(values - np.median(values))))


def residual_table(predicted: Labels, reference: Labels) -> Table:
    """Residuals, predicted minus reference, one row for each label.

    Parameters
    ----------
    predicted, reference : Labels
        Of the same stars in the same order; labels are matched by name.

    Returns
    -------
    Table
        ``label``, ``unit``, ``n`` (pairs that both have), ``median``, ``scatter`` (robust),
        ``std``, ``outliers`` (fraction beyond five robust scatters), ``r2``.

    Raises
    ------
    LabelError
        If the numbers of stars differ or no label is shared.
    """
    shared = [name for name in predicted.names if name in reference.names]
    if len(predicted) != len(reference) or not shared:
        raise LabelError(
            f"Predictions and references must be of the same stars and share a label; received "
            f"{len(predicted)} and {len(reference)} stars, labels {', '.join(predicted.names)} "
            f"and {', '.join(reference.names)}."
        )
    rows = [_row(name, predicted, reference) for name in shared]
    return Table(rows=rows)


def _row(name: str, predicted: Labels, reference: Labels) -> dict[str, Any]:
    truth = reference.column(name)
    residual = predicted.column(name) - truth
    pairs = np.isfinite(residual)
    values, scatter = residual[pairs], robust_scatter(residual)
    row = {"label": name, "unit": predicted.units[predicted.index(name)], "n": int(pairs.sum())}
    if not values.size:
        return {**row, **dict.fromkeys(("median", "scatter", "std", "outliers", "r2"), np.nan)}
    centre = float(np.median(values))
    total = float(np.sum((truth[pairs] - truth[pairs].mean()) ** 2))
    return {
        **row,
        "median": centre,
        "scatter": scatter,
        "std": float(np.std(values)),
        "outliers": float(np.mean(np.abs(values - centre) > 5 * scatter)),
        "r2": 1.0 - float(np.sum(values**2)) / total if total > 0 else np.nan,
    }


def _finite(values: ArrayLike) -> NDArray[Any]:
    array = np.asarray(values, dtype=float)
    return array[np.isfinite(array)]
