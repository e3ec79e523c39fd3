"""The convex hull of labels: what lies inside, and where the edge is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.optimize import nnls
from scipy.spatial import ConvexHull

from starnet.errors import ConfigError, LabelError

from .atmosphere import FloatArray

OUTSIDE = ("error", "clamp")
TOLERANCE = 1e-6
"""In units of each label's range."""


class LabelHull:
    """Convex hull of points in label space; flat hulls (points on a line or plane) are allowed.

    Parameters
    ----------
    names : sequence of str
        The L labels.
    points : array (N, L)
        The models or training labels.
    """

    def __init__(self, names: Sequence[str], points: FloatArray) -> None:
        self.names = tuple(names)
        self.low, self.high = points.min(axis=0), points.max(axis=0)
        self.scale = np.where(self.high > self.low, self.high - self.low, 1.0)
        scaled = (points - self.low) / self.scale
        self.centre = scaled.mean(axis=0)
        shifted = scaled - self.centre
        sizes, directions = np.linalg.eigh(shifted.T @ shifted)  # sizes rise
        flat = int(np.sum(sizes <= 1e-12 * len(points)))
        self._across, self._within = directions.T[:flat], directions.T[flat:]
        self._faces, vertices = _faces(shifted @ self._within.T)
        self._vertices = scaled[vertices]

    @property
    def limits(self) -> Mapping[str, tuple[float, float]]:
        """Lowest and highest value of each label."""
        return {
            name: (float(low), float(high))
            for name, low, high in zip(self.names, self.low, self.high, strict=True)
        }

    def _distance(self, scaled: FloatArray) -> FloatArray:
        """How far outside each point is, (N,); not positive inside."""
        shifted = scaled - self.centre
        inside = shifted @ self._within.T  # (N, L) -> (N, rank)
        outside = inside @ self._faces[:, :-1].T + self._faces[:, -1]  # (N, faces)
        across = np.abs(shifted @ self._across.T)
        return np.concatenate([outside, across], axis=1).max(axis=1, initial=-np.inf)

    def contains(self, values: FloatArray) -> FloatArray:
        """Whether each row of (N, L) lies within the hull; a NaN lies outside."""
        return self._distance((values - self.low) / self.scale) <= TOLERANCE

    def nearest(self, value: FloatArray) -> FloatArray:
        """The nearest point of the hull, (L,), distances in units of each label's range."""
        target = (value - self.low) / self.scale
        heavy = 1e4  # holds the weights' sum at one
        rows = np.vstack([self._vertices.T, np.full(len(self._vertices), heavy)])
        weights, _ = nnls(rows, np.append(target, heavy), maxiter=50 * len(self._vertices))
        nearest = weights @ self._vertices / weights.sum()
        nearest = np.where(np.abs(nearest - target) < TOLERANCE, target, nearest)
        return nearest * self.scale + self.low

    def along(self, value: FloatArray, axis: int) -> tuple[float, float] | None:
        """The hull's extent in one label through the point; None where the line misses it."""
        start = (value - self.low) / self.scale
        step = np.eye(len(self.names))[axis]
        slope = self._faces[:, :-1] @ (self._within @ step)
        room = -self._faces[:, -1] - self._faces[:, :-1] @ (self._within @ (start - self.centre))
        if np.abs(self._across @ step).max(initial=0) > TOLERANCE:
            return None
        level = np.abs(slope) < 1e-12
        if np.any(room[level] < -TOLERANCE) or np.all(level):
            return None
        reach = room[~level] / slope[~level]
        low = reach[slope[~level] < 0].max(initial=-np.inf)
        high = reach[slope[~level] > 0].min(initial=np.inf)
        if low > high + TOLERANCE:
            return None
        ends = (start[axis] + np.array([low, high])) * self.scale[axis] + self.low[axis]
        return float(ends[0]), float(ends[1])

    def place(self, values: FloatArray, outside: str, what: str) -> FloatArray:
        """Labels (N, L) within the hull: as they are, moved to its edge, or an error.

        Raises
        ------
        ConfigError
            If ``outside`` is neither "error" nor "clamp".
        LabelError
            If a label is NaN or infinite, or lies outside and ``outside`` is "error".
        """
        if outside not in OUTSIDE:
            raise ConfigError(f"outside must be one of {', '.join(OUTSIDE)}, not {outside!r}.")
        if not np.isfinite(values).all():
            row, axis = np.argwhere(~np.isfinite(values))[0]
            raise LabelError(
                f"The {what} needs finite labels, but {self.names[axis]} is {values[row, axis]} in "
                f"row {row}; give a value or leave that star out."
            )
        bad = ~self.contains(values)
        if not bad.any():
            return values
        if outside == "error":
            rows = np.flatnonzero(bad)
            raise LabelError(self._message(values[rows[0]], what, len(rows)))
        placed = values.copy()
        placed[bad] = [self.nearest(value) for value in values[bad]]
        return placed

    def _message(self, value: FloatArray, what: str, count: int) -> str:
        others = f" ({count} stars lie outside)" if count > 1 else ""
        remedy = f'{others}; choose labels inside or pass outside="clamp".'
        margin = TOLERANCE * self.scale
        far = (value < self.low - margin) | (value > self.high + margin)
        if far.any():
            parts = [
                f"{n} = {value[i]:g} (it covers {self.low[i]:g} to {self.high[i]:g})"
                for i, n in enumerate(self.names)
                if far[i]
            ]
            return f"Outside the {what}: {', '.join(parts)}{remedy}"
        spans = [(n, self.along(value, i)) for i, n in enumerate(self.names)]
        point = ", ".join(f"{n} = {value[i]:g}" for i, n in enumerate(self.names))
        ways = [f"{n} {s[0]:.4g} to {s[1]:.4g}" for n, s in spans if s is not None]
        hint = f" With the other labels held it covers {' or '.join(ways)}" if ways else ""
        return f"No models of the {what} surround {point}.{hint}{remedy}"


def _faces(points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Faces (F, rank + 1), outward normal and offset, and the indices of the hull's vertices."""
    rank = points.shape[1]
    if rank == 0:
        return np.zeros((0, 1)), np.zeros(1, dtype=int)
    if rank == 1:
        ends = np.array([points[:, 0].argmin(), points[:, 0].argmax()])
        low, high = points[ends, 0]
        return np.array([[-1.0, low], [1.0, -high]]), ends
    hull = ConvexHull(points)
    return np.unique(np.round(hull.equations, 12), axis=0), hull.vertices
