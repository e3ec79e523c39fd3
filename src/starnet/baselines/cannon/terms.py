"""Labels to the terms of a polynomial, and the slopes of these."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
MIDDLE = (2.5, 97.5)
"""Percentiles of the training labels whose distance is the scale."""


@dataclass(frozen=True, eq=False)
class Terms:
    """All products of up to ``order`` scaled labels, 1 first, then by order.

    A scaled label is ``(label - pivot) / scale``. Two labels in second order give
    1, a, b, aa, ab, bb.

    Attributes
    ----------
    order : int
    pivots, scales : array (L,)
        In the labels' units.
    """

    order: int
    pivots: Array
    scales: Array

    @classmethod
    def of(cls, labels: Array, order: int) -> Terms:
        """With the medians of training labels (N, L), and the widths of their middle 95 per cent.

        These are the pivots and scales of Casey et al. 2016, so strengths of regularisation mean
        the same. Where nearly all stars share one value the standard deviation is the scale.
        """
        low, high = np.percentile(labels, MIDDLE, axis=0)
        scales = np.where(high > low, high - low, np.std(labels, axis=0))
        return cls(order, np.median(labels, axis=0), scales)

    @cached_property
    def factors(self) -> tuple[tuple[int, ...], ...]:
        """The labels that are multiplied in each of the T terms."""
        labels = range(len(self.pivots))
        return tuple(
            c for n in range(self.order + 1) for c in combinations_with_replacement(labels, n)
        )

    def __len__(self) -> int:
        return len(self.factors)

    def scaled(self, labels: Array) -> Array:
        """Labels (..., L) in units of their scales."""
        return (labels - self.pivots) / self.scales

    def unscaled(self, x: Array) -> Array:
        """The inverse of `scaled`."""
        return self.pivots + self.scales * x

    def values(self, x: Array) -> Array:
        """Terms (M, T) at scaled labels (M, L)."""
        out = np.ones((len(x), len(self)))
        for at, parents, last in self._levels:
            out[:, at] = out[:, parents] * x[:, last]
        return out

    def slopes(self, x: Array) -> Array:
        """Derivatives (M, T, L) of the terms by the scaled labels at (M, L)."""
        value = self.values(x)
        out = np.zeros((*value.shape, x.shape[1]))
        for at, parents, last in self._levels:
            out[:, at] = out[:, parents] * x[:, last, None]
            out[:, at, last] += value[:, parents]
        return out

    def allowed(self, labels: Array) -> Array:
        """Terms (P, T) whose labels may all act, from labels (P, L) that may."""
        columns = [labels[:, list(c)].all(axis=1) for c in self.factors[1:]]
        return np.stack([np.ones(len(labels), dtype=bool), *columns], axis=1)

    @cached_property
    def growth(self) -> tuple[Array, Array]:
        """For each term the one that it grows from and the label that joins, int32 (T,) both."""
        parents, last = np.zeros((2, len(self)), dtype=np.int32)
        for at, own, label in self._levels:
            parents[at], last[at] = own, label
        return parents, last

    @cached_property
    def _levels(self) -> list[tuple[Array, Array, Array]]:
        """For each order: its terms, the terms that they grow from, and the factor that joins."""
        place = {c: i for i, c in enumerate(self.factors)}
        levels = []
        for n in range(1, self.order + 1):
            own = [c for c in self.factors if len(c) == n]
            at = np.array([place[c] for c in own])
            parents = np.array([place[c[:-1]] for c in own])
            levels.append((at, parents, np.array([c[-1] for c in own])))
        return levels
