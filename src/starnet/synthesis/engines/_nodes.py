"""Which nodes of a grid surround a point, and with what weights."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from starnet.errors import ConfigError, LabelError
from starnet.synthesis.atmospheres import LabelHull
from starnet.synthesis.contract import Array

SLACK = 1e-9
"""In units of a label's range: what rounding may put outside."""
MOST_CUBIC = 5
"""Labels up to which cubic interpolation (4**L nodes) is offered."""
WHAT = "grid of spectra"


class LatticeNodes:
    """Nodes that fill a lattice; the last label varies fastest.

    Parameters
    ----------
    names : sequence of str
    axes : sequence of array
        Rising values of each label.
    cubic : bool
        Local cubics through four nodes along each label (Lagrange; at the ends through the last
        four), which fall back to the two around the point where one of the others is a hole.
    """

    def __init__(self, names: Sequence[str], axes: Sequence[Array], cubic: bool) -> None:
        if cubic and len(axes) > MOST_CUBIC:
            raise ConfigError(
                f"Cubic interpolation is offered up to {MOST_CUBIC} labels; this grid has "
                f"{len(axes)}. Use method='linear'."
            )
        self.names, self.axes, self.cubic = tuple(names), tuple(axes), cubic
        self.shape = tuple(axis.size for axis in axes)

    def place(self, values: Array, outside: str) -> Array:
        """Labels (N, L) within the lattice: as they are, moved to its edge, or `LabelError`."""
        low = np.array([axis[0] for axis in self.axes])
        high = np.array([axis[-1] for axis in self.axes])
        margin = SLACK * np.where(high > low, high - low, 1.0)
        far = ~((values >= low - margin) & (values <= high + margin))
        if outside == "error" and far.any():
            row = int(np.flatnonzero(far.any(axis=1))[0])
            parts = [
                f"{n} = {values[row, i]:g} (it covers {low[i]:g} to {high[i]:g})"
                for i, n in enumerate(self.names)
                if far[row, i]
            ]
            raise LabelError(
                f"Outside the {WHAT}: {', '.join(parts)}; {int(far.any(axis=1).sum())} of "
                f'{len(values)} stars are. Choose labels inside or pass outside="clamp".'
            )
        return np.clip(values, low, high)

    def stencils(self, point: Array) -> list[dict[int, float]]:
        """Node -> weight at a point inside; the one to try first comes first."""
        sets = [[_linear(axis, x) for axis, x in zip(self.axes, point, strict=True)]]
        if self.cubic:
            sets.insert(0, [_cubic(axis, x) for axis, x in zip(self.axes, point, strict=True)])
        return [self._product(edges) for edges in sets]

    def _product(self, edges: list[dict[int, float]]) -> dict[int, float]:
        weights: dict[int, float] = {}
        for corner in product(*edges):
            value = float(np.prod([edge[i] for edge, i in zip(edges, corner, strict=True)]))
            weights[int(np.ravel_multi_index(corner, self.shape))] = value
        return weights

    def point(self, node: int) -> Array:
        """Labels of a node (L,)."""
        at = np.unravel_index(node, self.shape)
        return np.array([axis[i] for axis, i in zip(self.axes, at, strict=True)])

    def by_distance(self, node: int, most: int) -> list[int]:
        """Other nodes, the nearest first, in steps of the lattice."""
        at = np.unravel_index(node, self.shape)
        grid = np.indices(self.shape).reshape(len(self.shape), -1)
        distance = ((grid - np.array(at)[:, None]) ** 2).sum(axis=0)
        order = np.argsort(distance, kind="stable")
        return [int(i) for i in order[: most + 1] if i != node]


class ScatteredNodes:
    """Nodes anywhere: barycentric weights in the Delaunay triangulation of scaled labels."""

    def __init__(self, names: Sequence[str], points: Array) -> None:
        from scipy.spatial import Delaunay, QhullError

        self.names, self.points = tuple(names), points
        self.hull = LabelHull(self.names, points)
        self.scaled = (points - self.hull.low) / self.hull.scale
        try:
            self.triangles = Delaunay(self.scaled) if points.shape[1] > 1 else None
        except QhullError as error:
            raise ConfigError(
                f"The {len(points)} spectra of this grid do not span its labels "
                f"{', '.join(self.names)}; leave out a label that the others give."
            ) from error

    def place(self, values: Array, outside: str) -> Array:
        """Labels (N, L) within the hull: as they are, moved to its edge, or `LabelError`."""
        return self.hull.place(values, outside, WHAT)

    def stencils(self, point: Array) -> list[dict[int, float]]:
        """Node -> weight at a point inside."""
        x = (point - self.hull.low) / self.hull.scale
        if self.triangles is None:
            order = np.argsort(self.scaled[:, 0], kind="stable")
            edge = _linear(self.scaled[order, 0], float(x[0]))
            return [{int(order[i]): w for i, w in edge.items()}]
        simplex = int(self.triangles.find_simplex(x[None], tol=1e-6)[0])
        if simplex < 0:  # rounding at the edge
            return [{int(((self.scaled - x) ** 2).sum(axis=1).argmin()): 1.0}]
        matrix = self.triangles.transform[simplex]
        part = matrix[:-1] @ (x - matrix[-1])
        weights = np.clip(np.append(part, 1.0 - part.sum()), 0.0, 1.0)
        nodes = self.triangles.simplices[simplex]
        kept = zip(nodes, weights / weights.sum(), strict=True)
        return [{int(node): float(w) for node, w in kept if w > SLACK}]

    def point(self, node: int) -> Array:
        """Labels of a node (L,)."""
        return self.points[node]

    def by_distance(self, node: int, most: int) -> list[int]:
        """Other nodes, the nearest first, in units of each label's range."""
        distance = ((self.scaled - self.scaled[node]) ** 2).sum(axis=1)
        return [int(i) for i in np.argsort(distance, kind="stable")[: most + 1] if i != node]


def _linear(axis: Array, x: float) -> dict[int, float]:
    if axis.size == 1:
        return {0: 1.0}
    i = int(np.clip(np.searchsorted(axis, x, side="right") - 1, 0, axis.size - 2))
    part = float((x - axis[i]) / (axis[i + 1] - axis[i]))
    return {k: w for k, w in ((i, 1.0 - part), (i + 1, part)) if abs(w) > SLACK}


def _cubic(axis: Array, x: float) -> dict[int, float]:
    """Lagrange weights of the four nodes around ``x``; fewer where the axis has fewer."""
    if axis.size < 3:
        return _linear(axis, x)
    n = min(4, axis.size)
    i = int(np.clip(np.searchsorted(axis, x, side="right") - 2, 0, axis.size - n))
    nodes = axis[i : i + n]
    weights: dict[int, float] = {}
    for k in range(n):
        others = np.delete(nodes, k)
        weights[i + k] = float(np.prod((x - others) / (nodes[k] - others)))
    return {k: w for k, w in weights.items() if abs(w) > SLACK}
