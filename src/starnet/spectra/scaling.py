"""Labels to numbers of order one and back, as a network wants them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starnet.errors import LabelError
from starnet.spectra.labels import Labels

FloatArray = NDArray[Any]  # float64


@dataclass(frozen=True)
class LabelScale:
    """A standard score for each label: (value - mean) / scale, of log10(value) where asked.

    Fit it on training stars only.

    Parameters
    ----------
    names : sequence of str
    mean, scale : sequence of float
        Of the value, or of its log10 for labels in ``log10``.
    low, high : sequence of float
        Range of the training labels; predictions outside are flagged.
    log10 : sequence of str
        Labels whose logarithm is scaled. Temperatures may gain by it.
    """

    names: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    log10: tuple[str, ...] = ()

    @classmethod
    def fit(cls, labels: Labels, *, log10: Sequence[str] = ()) -> LabelScale:
        """From the labels of training stars; missing ones do not count.

        Raises
        ------
        LabelError
            If a label has fewer than two values, does not vary, or has a logarithm of a number
            that is not positive.
        """
        strange = sorted(set(log10) - set(labels.names))
        if strange:
            raise LabelError(f"log10 names labels that are not trained: {', '.join(strange)}.")
        bounds = labels.bounds()
        columns = []
        for name, column, (low, _) in zip(labels.names, labels.values.T, bounds, strict=True):
            values = column[np.isfinite(column)]
            if name in log10 and values.size and low <= 0:
                raise LabelError(f"{name} has values of {low:g}: a logarithm needs positive ones.")
            values = np.log10(values) if name in log10 else values
            if values.size < 2 or np.std(values) == 0:
                raise LabelError(
                    f"The label {name} has {values.size} value(s) in the training set and they do "
                    "not vary: nothing can be learnt from them. Drop the label, or add stars."
                )
            columns.append((float(values.mean()), float(values.std())))
        mean, scale = zip(*columns, strict=True)
        low, high = (tuple(map(float, edge)) for edge in bounds.T)
        return cls(labels.names, mean, scale, low, high, tuple(log10))

    def _is_log(self) -> FloatArray:
        return np.array([name in self.log10 for name in self.names])

    def forward(self, values: ArrayLike) -> FloatArray:
        """Scaled labels (N, L) of labels (N, L); NaN stays NaN."""
        out = np.array(values, dtype=float)
        log = self._is_log()
        out[:, log] = np.log10(out[:, log])
        return (out - self.mean) / self.scale

    def inverse(self, scaled: ArrayLike) -> FloatArray:
        """Labels (N, L) of scaled labels (N, L)."""
        out = np.asarray(scaled, dtype=float) * self.scale + self.mean
        log = self._is_log()
        out[:, log] = 10.0 ** out[:, log]
        return out

    def inverse_derivative(self, scaled: ArrayLike) -> FloatArray:
        """d label / d scaled label (N, L), which turns scaled errors into errors of labels."""
        log = self._is_log()
        factor = np.where(log, np.log(10.0) * self.inverse(scaled), 1.0)
        return factor * np.asarray(self.scale)

    def outside(self, values: ArrayLike) -> NDArray[Any]:
        """Whether labels (N, L) lie outside the range of the training labels."""
        out = np.asarray(values, dtype=float)
        return (out < np.asarray(self.low)) | (out > np.asarray(self.high))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, one entry for each label."""
        rows = zip(self.names, self.mean, self.scale, self.low, self.high, strict=True)
        return {
            name: {"mean": m, "scale": s, "low": a, "high": b, "log10": name in self.log10}
            for name, m, s, a, b in rows
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> LabelScale:
        """The inverse of `to_dict`."""
        columns = ((v["mean"], v["scale"], v["low"], v["high"]) for v in data.values())
        mean, scale, low, high = zip(*columns, strict=True)
        return cls(tuple(data), mean, scale, low, high, tuple(n for n in data if data[n]["log10"]))
