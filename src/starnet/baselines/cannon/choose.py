"""Which strength of regularisation stars prefer that had no part in the fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.baselines.cannon.pixels import Pixels, fit_pixels
from starnet.baselines.contract import Report

Array = NDArray[Any]
LEFT_OUT = 0.2
"""Part of the stars that judge."""
TOGETHER = 2**20
"""Numbers (stars times pixels) that are judged at once."""


def choose_strength(
    flux: Array,
    ivar: Array,
    design: Array,
    allowed: Array | None,
    strengths: Sequence[float],
    stars: NDArray[np.str_],
    *,
    seed: int,
    report: Report | None,
) -> tuple[float, Array]:
    """The strength of greatest likelihood, one for all pixels, and the scores of all.

    Of equal scores the greater strength is taken. ``stars`` (N,) are the names of the spectra's
    stars: a star is left out with all its visits, or not at all.
    """
    if len(strengths) == 1:
        return float(strengths[0]), np.zeros(0)
    away = left_out(stars, seed)
    out, rest = np.flatnonzero(away), np.flatnonzero(~away)
    scores = np.empty(len(strengths))
    for i, strength in enumerate(strengths):
        pixels = fit_pixels(
            flux[rest], ivar[rest], design[rest], allowed=allowed, strength=strength
        )
        scores[i] = log_likelihood(flux[out], ivar[out], design[out], pixels)
        if report is not None:
            report(f"regularization {strength:g}: ln L of the stars left out {scores[i]:.5f}")
    best = max(range(len(strengths)), key=lambda i: (scores[i], strengths[i]))
    return float(strengths[best]), scores


def left_out(stars: NDArray[np.str_], seed: int) -> NDArray[np.bool_]:
    """Which of N spectra judge: those of a fifth of the stars."""
    _, first, star = np.unique(stars, return_index=True, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(first))
    away = np.zeros(len(first), dtype=bool)
    away[np.argsort(first)[order[: max(1, round(LEFT_OUT * len(first)))]]] = True
    return away[star]


def log_likelihood(flux: Array, ivar: Array, design: Array, pixels: Pixels) -> float:
    """ln L for each good pixel of each star, on average; the constant is left out."""
    total, count = 0.0, 0
    step = max(1, TOGETHER // len(flux))
    for first in range(0, flux.shape[1], step):
        part = slice(first, first + step)
        used = (ivar[:, part] > 0) & np.isfinite(pixels.scatter2[part])
        known = np.where(used, ivar[:, part], 1.0).astype(float)
        variance = 1.0 / known + np.where(used, pixels.scatter2[part], 0.0)
        residual = flux[:, part] - design @ pixels.coefficients[part].T
        terms = -0.5 * (residual**2 / variance + np.log(variance))
        total += float(np.sum(terms[used]))
        count += int(used.sum())
    return total / count if count else -np.inf
