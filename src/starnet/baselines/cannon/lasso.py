"""Least squares with a price on the coefficients, for many pixels at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
SWEEPS = 50
ENOUGH = 1e-4
"""A sweep ends the descent when no coefficient moves by this part of its own error."""


def descend(matrix: Array, right: Array, theta: Array, strength: float) -> Array:
    """Coefficients by coordinate descent on the normal equations (Friedman et al. 2010).

    The minimum of ``theta A theta - 2 b theta + strength sum(|theta[1:]|)``, one coefficient after
    the other in all pixels: each has its minimum in closed form when the others are held.

    Parameters
    ----------
    matrix, right : array (M, T, T), (M, T)
        A and b.
    theta : array (M, T)
        Where to begin.
    strength : float

    Returns
    -------
    array (M, T)
    """
    diagonal = np.diagonal(matrix, axis1=1, axis2=2)
    alive = diagonal > 0
    safe = np.where(alive, diagonal, 1.0)
    theta = np.where(alive, theta, 0.0)
    gap = right - np.einsum("mts,ms->mt", matrix, theta)  # b - A theta
    half = np.full(theta.shape[1], 0.5 * strength)
    half[0] = 0.0
    todo = np.arange(len(theta))
    for _ in range(SWEEPS):
        moved = _sweep(matrix, gap, theta, half, safe, todo)
        todo = todo[moved > ENOUGH]
        if not todo.size:
            break
    return theta


def _sweep(matrix: Array, gap: Array, theta: Array, half: Array, safe: Array, rows: Array) -> Array:
    """One round over the coefficients of some rows, in place; the largest move of each row."""
    part, own, at = matrix[rows], gap[rows], theta[rows]
    unit, moved = safe[rows], np.zeros(len(rows))
    for t, price in enumerate(half):
        pull = own[:, t] + unit[:, t] * at[:, t]
        new = np.sign(pull) * np.maximum(np.abs(pull) - price, 0.0) / unit[:, t]
        step = new - at[:, t]
        at[:, t] = new
        own -= part[:, :, t] * step[:, None]
        moved = np.maximum(moved, np.abs(step) * np.sqrt(unit[:, t]))
    gap[rows], theta[rows] = own, at
    return moved
