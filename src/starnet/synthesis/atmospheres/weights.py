"""Which nodes of a grid surround a point, and with what weights."""

from __future__ import annotations

from itertools import product

import numpy as np
from scipy.optimize import linprog

from .atmosphere import FloatArray

SNAP = 1e-6
"""Coordinates closer than this, in units of a label's range, are equal."""
NEIGHBOURS = 2
"""Nodes on each side of the point, along each label, whose boxes are tried."""


class Lattice:
    """Nodes in L scaled labels; a complete lattice, a ragged one, or scattered points.

    Parameters
    ----------
    points : array (N, L)
        Nodes, each label scaled to the range 0 to 1.
    """

    def __init__(self, points: FloatArray) -> None:
        self.points = points
        rounded = np.round(points / SNAP).astype(np.int64)
        self._index = {tuple(row): i for i, row in enumerate(rounded.tolist())}
        self._axes = [np.unique(column) for column in rounded.T]
        self._places = [
            dict(zip(whole.tolist(), exact.tolist(), strict=True))
            for whole, exact in zip(rounded.T, points.T, strict=True)
        ]

    def weights(self, point: FloatArray) -> dict[int, float]:
        """Node to weight at a point (L,) of the hull; weights are positive, their sum is one.

        A box of nodes with all its corners gives multilinear weights, the narrowest such box among
        the nearest nodes of each label. Where a corner lacks, the weights are those of the simplex
        of the Delaunay triangulation: the solution of a linear program that, among all means of
        nodes that give the point, has the least mean squared distance from it (the lifting
        property of the triangulation; Rajan 1994, Discrete Comput. Geom. 12, 189). It needs no
        triangulation, and flat or degenerate sets of nodes do no harm.
        """
        return self._box(point) or self._simplex(point)

    def _box(self, point: FloatArray) -> dict[int, float] | None:
        position = np.round(point / SNAP).astype(np.int64)
        pairs = [_pairs(axis, int(x)) for axis, x in zip(self._axes, position, strict=True)]
        boxes = sorted(product(*pairs), key=lambda box: sum((b - a) ** 2 for a, b in box))
        for box in boxes:
            corners = list(product(*(sorted(set(edge)) for edge in box)))
            if all(corner in self._index for corner in corners):
                return self._multilinear(point, box, corners)
        return None

    def _multilinear(
        self,
        point: FloatArray,
        box: tuple[tuple[int, int], ...],
        corners: list[tuple[int, ...]],
    ) -> dict[int, float]:
        weights: dict[int, float] = {}
        for corner in corners:
            weight = 1.0
            for x, node, (a, b), place in zip(point, corner, box, self._places, strict=True):
                if b > a:
                    part = float((x - place[a]) / (place[b] - place[a]))
                    weight *= part if node == b else 1.0 - part
            weights[self._index[corner]] = weight
        return _normal(weights)

    def _simplex(self, point: FloatArray) -> dict[int, float]:
        n, dimensions = self.points.shape
        squares = ((self.points - point) ** 2).sum(axis=1)
        # slack takes up rounding at the edge of the hull, at a price that nothing else has
        slack = np.vstack([np.eye(dimensions), np.zeros(dimensions)])
        rows = np.hstack([np.vstack([self.points.T, np.ones(n)]), slack, -slack])
        cost = np.append(squares, np.full(2 * dimensions, 1e4))
        solved = linprog(cost, A_eq=rows, b_eq=np.append(point, 1.0), method="highs")
        return _normal(dict(enumerate(solved.x[:n].tolist())))


def _pairs(nodes: FloatArray, x: int) -> list[tuple[int, int]]:
    """Pairs of node values around ``x``, narrowest first; the node itself where ``x`` is on it."""
    below = nodes[nodes < x][-NEIGHBOURS:].tolist()
    above = nodes[nodes > x][:NEIGHBOURS].tolist()
    exact = [(x, x)] if x in nodes else []
    return exact + sorted(product(below, above), key=lambda pair: pair[1] - pair[0])


def _normal(weights: dict[int, float]) -> dict[int, float]:
    kept = {i: w for i, w in weights.items() if w > 1e-9}
    total = sum(kept.values())
    return {i: w / total for i, w in kept.items()}
