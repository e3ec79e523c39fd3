"""Coefficients of spectra as functions of labels: on a regular grid, and among scattered stars."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
LENGTHS = (0.7, 1.5, 3.0)
"""Tried, in units of the spread of labels and for three of them."""
SMOOTHINGS = np.logspace(-6, 3, 19)
NODES = 1000
"""Stars that carry the kernel, at most."""


@dataclass(frozen=True, eq=False)
class Smooth:
    """A polynomial through all stars, and a Gaussian kernel through what it leaves.

    Attributes
    ----------
    weight : array (T, K)
        Of the terms of `terms`.
    order : int
        1 or 2.
    nodes : array (n, L)
        Scaled labels of the stars that carry the kernel.
    kernel_weight : array (n, K)
    length : float
    """

    weight: Array
    order: int
    nodes: Array
    kernel_weight: Array
    length: float

    @classmethod
    def fit(cls, labels: Array, values: Array, seed: int = 0) -> tuple[Smooth, Array]:
        """Through values (N, K) at labels (N, L), and what stars left out miss by (n, K).

        The polynomial is quadratic where stars are at least twice as many as its terms. The
        kernel's length, and for each value its smoothing, are those with the smallest misses of
        stars left out (in closed form, Rasmussen and Williams 2006, equation 5.12).
        """
        n, n_labels = labels.shape
        order = 2 if n >= (n_labels + 1) * (n_labels + 2) else 1
        design, _ = terms(labels, order)
        weight = np.linalg.lstsq(design, values, rcond=1e-10)[0]
        some = np.sort(np.random.default_rng([seed, 41]).permutation(n)[:NODES])
        left = (values - design @ weight)[some]
        lengths = [size * np.sqrt(n_labels / 3) for size in LENGTHS]
        tried = [_smoothed(labels[some], left, length) for length in lengths]
        gauge = np.maximum(left.var(axis=0), 1e-30)
        best = int(
            np.argmin([np.log((m**2).mean(axis=0) / gauge + 1e-12).mean() for _, m in tried])
        )
        kernel_weight, missed = tried[best]
        share = len(some) / max(1, len(some) - design.shape[1])  # the polynomial saw all stars
        out = cls(weight, order, labels[some], kernel_weight, lengths[best])
        return out, missed * np.sqrt(share)

    def __call__(self, labels: Array) -> tuple[Array, Array]:
        """Values (M, K) and their slopes (M, K, L) at labels (M, L)."""
        design, design_slope = terms(labels, self.order)
        kernel = _gauss(labels, self.nodes, self.length)
        n_labels, k = labels.shape[1], self.weight.shape[1]
        value = design @ self.weight + kernel @ self.kernel_weight
        slope = np.einsum("mtl,tk->mkl", design_slope, self.weight)
        carried = self.kernel_weight[:, :, None] * self.nodes[:, None, :]  # (n, K, L)
        there = (kernel @ carried.reshape(len(self.nodes), -1)).reshape(-1, k, n_labels)
        here = (kernel @ self.kernel_weight)[:, :, None] * labels[:, None, :]
        return value, slope + (there - here) / self.length**2

    def arrays(self) -> dict[str, Array]:
        """To be saved."""
        return {
            "weight": self.weight,
            "nodes": self.nodes,
            "kernel_weight": self.kernel_weight,
            "shape": np.array([self.order, self.length], dtype=float),
        }

    @classmethod
    def from_arrays(cls, arrays: Any) -> Smooth:
        """The inverse of `arrays`."""
        order, length = arrays["shape"]
        return cls(
            arrays["weight"], int(order), arrays["nodes"], arrays["kernel_weight"], float(length)
        )


def terms(labels: Array, order: int) -> tuple[Array, Array]:
    """1, labels and (order 2) their products: (M, T), and slopes (M, T, L)."""
    m, n = labels.shape
    first = np.broadcast_to(np.vstack([np.zeros(n), np.eye(n)]), (m, n + 1, n))
    value = np.hstack([np.ones((m, 1)), labels])
    if order == 1:
        return value, first
    i, j = np.triu_indices(n)
    slope = labels[:, i, None] * np.eye(n)[j] + labels[:, j, None] * np.eye(n)[i]
    return np.hstack([value, labels[:, i] * labels[:, j]]), np.concatenate([first, slope], axis=1)


def _gauss(one: Array, other: Array, length: float) -> Array:
    """Gaussian kernel (M, n) of points (M, L) and (n, L)."""
    square = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1) - 2 * one @ other.T
    return np.exp(-0.5 * np.maximum(square, 0) / length**2)


def _smoothed(points: Array, values: Array, length: float) -> tuple[Array, Array]:
    """Kernel weights (n, K) with the best smoothing of each value, and misses left out (n, K)."""
    eigen, vector = np.linalg.eigh(_gauss(points, points, length))
    eigen, side = np.maximum(eigen, 0), vector.T @ values
    best = np.full(values.shape[1], np.inf)
    weight, missed = np.zeros_like(values), np.zeros_like(values)
    for smoothing in SMOOTHINGS:
        inverse = 1 / (eigen + smoothing)
        now = vector @ (inverse[:, None] * side)
        miss = now / ((vector**2) @ inverse)[:, None]
        size = (miss**2).mean(axis=0)
        better = size < best
        best[better] = size[better]
        weight[:, better], missed[:, better] = now[:, better], miss[:, better]
    return weight, missed


@dataclass(frozen=True, eq=False)
class Lattice:
    """Values at the nodes of a regular grid, with polynomials of some degree between them.

    Attributes
    ----------
    axes : tuple of arrays
        Scaled labels along each axis.
    values : array (n1, n2, ..., K)
    degree : int
        1: multilinear. 3: cubic through the four nodes about a point, in each label in turn.
    """

    axes: tuple[Array, ...]
    values: Array
    degree: int

    @classmethod
    def find(cls, labels: Array, values: Array, degree: int) -> Lattice | None:
        """The grid whose nodes labels (N, L) are, if they are one."""
        rounded = np.round(labels, 6)
        axes, places = [], []
        for column in rounded.T:
            axis, place = np.unique(column, return_inverse=True)
            axes.append(axis)
            places.append(place)
        shape = tuple(axis.size for axis in axes)
        if np.prod([float(n) for n in shape]) != len(labels) or min(shape) < 2:
            return None
        flat = np.asarray(np.ravel_multi_index(tuple(places), shape))
        if len(np.unique(flat)) != len(flat):
            return None
        out = np.empty((len(labels), values.shape[1]))
        out[flat] = values
        return cls(tuple(axes), out.reshape(*shape, -1), degree)

    def __call__(self, labels: Array) -> tuple[Array, Array]:
        """Values (M, K) and their slopes (M, K, L) at labels (M, L)."""
        m, n_labels = labels.shape
        parts = [
            lagrange(axis, column, self.degree)
            for axis, column in zip(self.axes, labels.T, strict=True)
        ]
        value = np.zeros((m, self.values.shape[-1]))
        slope = np.zeros((*value.shape, n_labels))
        for corner in product(*(range(part[0].shape[1]) for part in parts)):
            picked = list(zip(corner, parts, strict=True))
            node = self.values[tuple(rows[:, c] for c, (rows, _, _) in picked)]
            weight = np.stack([w[:, c] for c, (_, w, _) in picked])  # (L, M)
            value += weight.prod(axis=0)[:, None] * node
            for i, (c, (_, _, change)) in enumerate(picked):
                rest = np.delete(weight, i, axis=0).prod(axis=0)
                slope[:, :, i] += (change[:, c] * rest)[:, None] * node
        return value, slope

    def arrays(self) -> dict[str, Array]:
        """To be saved."""
        out = {f"axis{i}": axis for i, axis in enumerate(self.axes)}
        return out | {"lattice": self.values, "degree": np.array([self.degree])}

    @classmethod
    def from_arrays(cls, arrays: Any) -> Lattice:
        """The inverse of `arrays`."""
        values = arrays["lattice"]
        axes = tuple(arrays[f"axis{i}"] for i in range(values.ndim - 1))
        return cls(axes, values, int(arrays["degree"][0]))


def lagrange(axis: Array, x: Array, degree: int) -> tuple[Array, Array, Array]:
    """Nodes about each x (M,), their weights and the weights' slopes, (M, degree + 1) each.

    Lagrange's polynomial through the nearest nodes, as many as there are at most; beyond the
    ends it goes on.
    """
    n = min(degree + 1, len(axis))
    first = np.clip(np.searchsorted(axis, x) - n // 2, 0, len(axis) - n)
    rows = first[:, None] + np.arange(n)
    node = axis[rows]
    weight, slope = np.ones_like(node), np.zeros_like(node)
    for i in range(n):
        for j in range(n):
            if j == i:
                continue
            factor, gap = x - node[:, j], node[:, i] - node[:, j]
            slope[:, i] = (slope[:, i] * factor + weight[:, i]) / gap
            weight[:, i] = weight[:, i] * factor / gap
    return rows, weight, slope
