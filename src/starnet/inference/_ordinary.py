"""Where good stars are, by signal to noise: distances of features, and limits of any number."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
DIMENSIONS = 32
"""Features that count, at most."""
KNOTS = (20.0, 35.0, 60.0, 100.0, 200.0)
"""Signal to noise at which limits are fitted; between them they are interpolated in its log."""
SHARPEST = 70.0
"""Signal to noise beyond which features are expected to be no better known: real spectra differ
from made ones by 0.7 to 1.6 per cent (rms of a pixel), which is the noise of this."""
LEAST = {"pixels": 2.2, "waves": 1.0, "emulator": 3.0}
"""Limits are never lower than this: see the floors in `_evidence`, and `inference.cycle`; the
first and the last leave room for quoted errors that are too small by 40 per cent."""
UPPER = 0.97
"""Quantile that says how far a number reaches above its median at a signal to noise. It lies in
the tail, whose shape changes with the noise: ripples of real spectra are lost in it at S/N 20 and
are all there is at S/N 200, and the 90th percentile, which is of noise in the one and of ripples
in the other, made the limits of bright stars twice as large as any good star needs."""


def directions_of(off: Array, ordered: bool) -> Array:
    """Principal directions (D, F) of features, or none where they are such already."""
    if ordered:
        return np.zeros((0, 0))
    centred = off - off.mean(axis=0)
    kept = min(DIMENSIONS, off.shape[1], len(off) // 10)
    return np.linalg.svd(centred, full_matrices=False)[2][:kept]


def project(off: Array, directions: Array) -> Array:
    """Features (N, F) on directions (D, F), or the first of them; (N, D)."""
    off = np.asarray(off, dtype=float)
    return off @ directions.T if directions.size else off[:, :DIMENSIONS]


def local_moments(off: Array, snr: Array) -> tuple[Array, Array]:
    """Mean (B, D) and inverse root of the covariance (B, D, D) about each knot."""
    width = off.shape[1]
    overall = np.var(off, axis=0) + 1e-12
    centres, whitening = [], []
    for knot in np.minimum(KNOTS, SHARPEST):
        near = np.exp(-0.5 * (np.log(snr / knot) / 0.35) ** 2) + 1e-9
        share = near / near.sum()
        mean = share @ off
        gap = off - mean
        covariance = (gap * share[:, None]).T @ gap
        few = min(1.0, width * float(np.sum(share**2)))  # D over the effective number of stars
        diagonal = np.diag(np.diag(covariance) + 1e-3 * overall)
        covariance = (1 - 0.5 * few) * covariance + 0.5 * few * diagonal + 1e-3 * diagonal
        values, vectors = np.linalg.eigh(covariance)
        root = vectors / np.sqrt(np.maximum(values, 1e-12))
        centres.append(mean)
        whitening.append(root @ vectors.T)
    return np.array(centres), np.array(whitening)


def distance(off: Array, snr: Array, centres: Array, whitening: Array) -> Array:
    """Mean square of whitened features (N,), interpolated between knots."""
    each = [
        np.mean(((off - mean) @ root) ** 2, axis=1)
        for mean, root in zip(centres, whitening, strict=True)
    ]
    share = _shares(np.minimum(snr, SHARPEST))
    return np.einsum("nb,bn->n", share, np.array(each))


def fit_limits(columns: dict[str, Array], snr: Array, share: float) -> Array:
    """Limits (B, S) that leave ``share`` of stars outside, each number the same fraction.

    A number whose limits are those of `LEAST` leaves nearly none outside, the others more.

    The logarithm of each is taken in units of its reach from its median to `UPPER`, both by signal
    to noise, so that stars of all signals to noise tell together how far it goes beyond.
    """
    middle, spread, reach = {}, {}, {}
    for name, values in columns.items():
        logs = np.log(np.maximum(values, 1e-6))
        knots = [_weighted(logs, np.log(snr / knot) / 0.35) for knot in KNOTS]
        middle[name] = np.array([q[0] for q in knots])
        spread[name] = np.array([max(q[1] - q[0], 1e-3) for q in knots])
        at = at_knots(np.column_stack([middle[name], spread[name]]), snr)
        reach[name] = (logs - at[:, 0]) / at[:, 1]

    def limits_of(tail: float) -> Array:
        rows = []
        for name, values in reach.items():
            far = np.exp(middle[name] + np.quantile(values, 1 - tail) * spread[name])
            rows.append(np.maximum(far, LEAST.get(name, 0.0)))
        return np.column_stack(rows)

    found = np.column_stack(list(columns.values()))
    low, high = share / len(columns) / 2, share
    for _ in range(40):  # the tail of each number that makes the tail of all, `LEAST` counted
        tail = 0.5 * (low + high)
        beyond = found > np.exp(at_knots(np.log(limits_of(tail)), snr))
        low, high = (tail, high) if np.any(beyond, axis=1).mean() < share else (low, tail)
    return limits_of(low)


def _weighted(values: Array, distance: Array) -> tuple[float, float]:
    """Median and `UPPER` quantile with normal weights of a distance."""
    order = np.argsort(values)
    total = np.cumsum((np.exp(-0.5 * distance**2) + 1e-9)[order])
    places = np.searchsorted(total, np.array([0.5, UPPER]) * total[-1])
    middle, upper = values[order][np.minimum(places, len(values) - 1)]
    return float(middle), float(upper)


def _shares(snr: Array) -> Array:
    """Weights (N, B) of the knots for linear interpolation in log S/N, constant beyond."""
    log = np.log(np.asarray(snr, dtype=float))
    return np.stack([np.interp(log, np.log(KNOTS), row) for row in np.eye(len(KNOTS))], axis=1)


def at_knots(values: Array, snr: Array) -> Array:
    """Values (B, S) at knots, at each signal to noise (N, S)."""
    return _shares(snr) @ values
