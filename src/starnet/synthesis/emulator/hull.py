"""Where an emulator holds: a box in all labels, linear limits, a convex hull in the first few."""

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
    limits : array (M, L + 1)
        ``limits[:, :L] @ labels + limits[:, L] <= 0`` inside, in the labels' own units: for
        example c_fe - o_fe - 0.15 <= 0, which leaves carbon stars out. May be empty.
    """

    names: tuple[str, ...]
    low: Array
    high: Array
    facets: Array
    limits: Array

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        low: Array,
        high: Array,
        points: Array,
        limits: Sequence[tuple[str, str, float]] = (),
    ) -> LabelHull:
        """Bounds and limits as given, and the convex hull of points (N, L) in three labels.

        Parameters
        ----------
        limits : sequence of (a, b, most)
            The label a is at most the label b plus this.
        """
        from scipy.spatial import ConvexHull

        names = tuple(names)
        low, high = np.asarray(low, dtype=float), np.asarray(high, dtype=float)
        facets = ConvexHull(_scaled(points, low, high)[:, :3]).equations
        rows = np.zeros((len(limits), len(names) + 1))
        for row, (a, b, most) in zip(rows, limits, strict=True):
            row[names.index(a)], row[names.index(b)], row[-1] = 1.0, -1.0, -most
        return cls(names, low, high, np.unique(np.round(facets, 6), axis=0), rows)

    def contains(self, labels: Array) -> NDArray[np.bool_]:
        """Which of labels (N, L) lie inside, (N,). NaN lies outside."""
        labels = np.asarray(labels, dtype=float)
        span = SLACK * (self.high - self.low)
        inside = np.all((labels >= self.low - span) & (labels <= self.high + span), axis=1)
        inside &= np.all(self._over(labels) <= SLACK, axis=1)
        return inside & (self._beyond(labels) <= SLACK)

    def clip(self, labels: Array) -> Array:
        """Labels (N, L), those outside moved to the edge: into the box, then to its middle."""
        moved = np.clip(labels, self.low, self.high)
        for row in self.limits:  # back along the gradient, then into the box again
            over = np.maximum(moved @ row[:-1] + row[-1], 0.0) / (row[:-1] @ row[:-1])
            moved = np.clip(moved - 1.01 * over[:, None] * row[:-1], self.low, self.high)
        middle = self._middle()
        for _ in range(30):
            out = self._beyond(moved) > SLACK
            if not out.any():
                break
            moved[out, :3] += 0.1 * (middle - moved[out, :3])
        return moved

    def _middle(self) -> Array:
        return 0.5 * (self.low + self.high)[:3]

    def _over(self, labels: Array) -> Array:
        return np.asarray(labels @ self.limits[:, :-1].T + self.limits[:, -1])

    def _beyond(self, labels: Array) -> Array:
        if not len(self.facets):
            return np.full(len(labels), -1.0)
        x = _scaled(np.asarray(labels, dtype=float), self.low, self.high)[:, :3]
        beyond = (x @ self.facets[:, :3].T + self.facets[:, 3]).max(axis=1)
        return np.where(np.isfinite(beyond), beyond, np.inf)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        bounds = zip(self.names, self.low.tolist(), self.high.tolist(), strict=True)
        return {
            "bounds": {n: [a, b] for n, a, b in bounds},
            "facets": self.facets.tolist(),
            "limits": self.limits.tolist(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LabelHull:
        """The inverse of `to_dict`."""
        bounds = np.array(list(data["bounds"].values()), dtype=float)
        facets = np.array(data["facets"], dtype=float).reshape(-1, 4)
        limits = np.array(data.get("limits", []), dtype=float).reshape(-1, len(bounds) + 1)
        return cls(tuple(data["bounds"]), bounds[:, 0], bounds[:, 1], facets, limits)


def _scaled(labels: Array, low: Array, high: Array) -> Array:
    return 2 * (labels - low) / (high - low) - 1
