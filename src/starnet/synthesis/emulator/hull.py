"""Where an emulator holds: a box in all labels, and a convex hull in the first few."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
SLACK = 1e-6


@dataclass(frozen=True, eq=False)
class LabelHull:
    """Labels that the training spectra surround.

    Attributes
    ----------
    names : tuple of str
        The L labels.
    low, high : array (L,)
        Bounds of each.
    facets : array (F, 4)
        ``facets[:, :3] @ x + facets[:, 3] <= 0`` inside, where x is the first three labels
        scaled from -1 to 1 by their bounds. May be empty.
    """

    names: tuple[str, ...]
    low: Array
    high: Array
    facets: Array

    @classmethod
    def of(cls, names: Sequence[str], low: Array, high: Array, points: Array) -> LabelHull:
        """Bounds as given, and the convex hull of points (N, L) in the first three labels."""
        from scipy.spatial import ConvexHull

        low, high = np.asarray(low, dtype=float), np.asarray(high, dtype=float)
        x = _scaled(points, low, high)[:, :3]
        hull = ConvexHull(x)
        return cls(tuple(names), low, high, np.unique(np.round(hull.equations, 6), axis=0))

    def contains(self, labels: Array) -> NDArray[np.bool_]:
        """Which of labels (N, L) lie inside, (N,). NaN lies outside."""
        labels = np.asarray(labels, dtype=float)
        span = SLACK * (self.high - self.low)
        inside = np.all((labels >= self.low - span) & (labels <= self.high + span), axis=1)
        return inside & (self._beyond(labels) <= SLACK)

    def clip(self, labels: Array) -> Array:
        """Labels (N, L), those outside moved to the edge: into the box, then to its middle."""
        moved = np.clip(labels, self.low, self.high)
        middle = self._middle()
        for _ in range(30):
            out = self._beyond(moved) > SLACK
            if not out.any():
                break
            moved[out, :3] += 0.1 * (middle - moved[out, :3])
        return moved

    def _middle(self) -> Array:
        return 0.5 * (self.low + self.high)[:3]

    def _beyond(self, labels: Array) -> Array:
        if not len(self.facets):
            return np.full(len(labels), -1.0)
        x = _scaled(np.asarray(labels, dtype=float), self.low, self.high)[:, :3]
        beyond = (x @ self.facets[:, :3].T + self.facets[:, 3]).max(axis=1)
        return np.where(np.isfinite(beyond), beyond, np.inf)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        bounds = zip(self.names, self.low.tolist(), self.high.tolist(), strict=True)
        return {"bounds": {n: [a, b] for n, a, b in bounds}, "facets": self.facets.tolist()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LabelHull:
        """The inverse of `to_dict`."""
        bounds = np.array(list(data["bounds"].values()), dtype=float)
        facets = np.array(data["facets"], dtype=float).reshape(-1, 4)
        return cls(tuple(data["bounds"]), bounds[:, 0], bounds[:, 1], facets)


def _scaled(labels: Array, low: Array, high: Array) -> Array:
    return 2 * (labels - low) / (high - low) - 1
