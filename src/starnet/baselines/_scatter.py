"""Components of noisy stars, and what is left of their flux when labels have said all they know.

Flux is ``center + basis c + common a + scatter + noise``: the coefficients c follow from labels, a
is normal, and scatter is each pixel's own, see `Components`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.baselines._decompose import BLOCK, centred, decompose, leading
from starnet.baselines.components import Components, noise_of
from starnet.spectra import Spectra

Array = NDArray[Any]
MOST = 4000
"""Stars that components and scatter are taken from, at most."""
CLIP = 4.0
CUT, EXPECTED = 9.0, 0.99501
"""Squares beyond which a normal residual counts no more, and their mean below it."""


def weighted_components(spectra: Spectra, n: int, seed: int) -> Components:
    """The n strongest components of stars, each pixel and each star weighted by its noise.

    The weights of a pixel in a star are taken as a product of both, so that one decomposition
    does it (as Tipping and Bishop 1999, J. R. Stat. Soc. B 61, 611, for equal noise). The scatter
    is a first guess: a fifth of the spread over the stars.
    """
    some = _some(spectra, seed)[1]
    off, center, spread = centred(some)
    good = ~some.mask
    seen = good.sum(axis=0) >= 2
    floor = 1e-3 * np.median(spread[seen]) if seen.any() else 1.0
    rest = np.where(seen, np.maximum(0.2 * spread, floor + 1e-9) ** 2, np.inf)
    none = np.zeros((len(center), 0))
    weight = np.where(good, 1 / (_noise(some) + rest.astype(np.float32)), np.float32(0))
    column = np.sqrt(weight.mean(axis=0))
    used = column > 0
    row = np.sqrt(weight[:, used].sum(axis=1) / np.maximum(good[:, used].sum(axis=1), 1))
    row /= np.median(row[row > 0]) if np.any(row > 0) else 1.0
    row = np.minimum(row, 2.0)[:, None]
    off *= row
    off *= column
    vectors = decompose(off, some.mask, min(n, *off.shape), seed)
    size = np.where(row > 0, 1 / np.where(row > 0, row, 1.0), 0.0)
    prior = np.maximum(((off @ vectors.astype(np.float32)) * size).var(axis=0, dtype=float), 1e-30)
    unit = np.where(used, 1 / np.where(used, column, 1.0), 0.0)
    noise = np.zeros(len(center))  # of spectra that know none: all is scatter
    return Components(center, vectors * unit[:, None], prior, rest, noise, none)


def unexplained(
    parts: Components, spectra: Spectra, value: Array, most: int, seed: int
) -> Components:
    """The same components with what flux of coefficients (N, K) leaves: ``rest`` and ``common``.

    The coefficients shall be of stars that the network has not seen. Directions in common are the
    strongest ones of the residuals, each in units of its error, whose variance stands out of what
    noise alone would show; the variance that they truly have follows from what they show (Baik
    and Silverstein 2006, J. Multivariate Anal. 97, 1382).
    """
    rows, some = _some(spectra, seed)
    good = ~some.mask
    noise = _noise(some)
    residual = some.flux - parts.spectrum(value[rows]).astype(np.float32)
    residual[some.mask] = 0
    scatter = scatter_of(residual, noise, good)
    seen = np.isfinite(scatter)
    out = replace(parts, rest=scatter**2, common=parts.common[:, :0])
    if most < 1 or seen.sum() < 2:
        return out
    weight = np.where(good, 1 / np.sqrt(noise + out.rest.astype(np.float32)), np.float32(0))
    vectors = _standing_out(np.clip(residual * weight, -CLIP, CLIP), int(seen.sum()), most, seed)
    own = np.maximum(1 - (vectors**2).sum(axis=1), 0.1)
    error = np.where(seen, 1 / np.maximum(np.sqrt(average(weight**2, good)), 1e-30), 0.0)
    left = np.maximum(own * error**2 - average(noise, good), 0.01 * scatter**2)
    return replace(out, rest=np.where(seen, left, np.inf), common=vectors * error[:, None])


def _standing_out(scaled: Array, used: int, most: int, seed: int) -> Array:
    """Directions (P, M) whose variance in residuals (N, P) is more than noise of 1 shows.

    Their lengths squared are the variances that they truly have.
    """
    n, p = scaled.shape
    k = min(most + 8, n, p)
    start = np.random.default_rng(seed).standard_normal((p, k))
    vectors = leading(scaled.astype(np.float32), k, start)[:, :most]
    size = ((scaled @ vectors) ** 2).sum(axis=0) / n
    ratio = used / n
    shown = size - 1 - ratio
    out = shown > 2 * np.sqrt(ratio)
    true = 0.5 * (shown[out] + np.sqrt(shown[out] ** 2 - 4 * ratio))
    return vectors[:, out] * np.sqrt(true)


def scatter_of(residual: Array, noise: Array, good: Array) -> Array:
    """Scatter (P,) beyond the noise of residuals (N, P), by which they become standard normal.

    Residuals beyond three sigma count as three. Infinite where fewer than two stars are seen.

    Parameters
    ----------
    noise, good : array (N, P)
        Variance of the noise, and which pixels count.
    """
    some = slice(0, MOST // 4)
    good = good[some]
    found = _beyond(residual[some] ** 2, noise[some], good)
    seen = good.sum(axis=0) >= 2
    usual = np.median(found[seen]) if seen.any() else 1.0
    return np.where(seen, np.maximum(found, max(0.02 * usual, 1e-6)), np.inf)


def average(values: Array, good: Array) -> Array:
    """Mean (P,) of the good ones of (N, P)."""
    count = np.maximum(good.sum(axis=0), 1)
    return values.sum(axis=0, where=good, dtype=float) / count


def _some(spectra: Spectra, seed: int) -> tuple[Array, Spectra]:
    """At most `MOST` rows, and their spectra."""
    rows = np.sort(np.random.default_rng(seed).permutation(len(spectra))[:MOST])
    return rows, spectra if len(rows) == len(spectra) else spectra[rows]


def _noise(spectra: Spectra) -> Array:
    """Variance of the noise (N, P), float32; 0 of spectra whose errors are unknown."""
    n_pixels = spectra.grid.n_pixels
    out = np.empty((len(spectra), n_pixels), np.float32)
    for start in range(0, len(out), BLOCK):
        rows = slice(start, start + BLOCK)
        out[rows] = noise_of(spectra[rows], np.zeros(n_pixels))
    return out


def _beyond(square: Array, variance: Array, good: Array) -> Array:
    """Standard deviation (P,) beyond a variance (N, P) of values whose squares (N, P) are given."""
    count = good.sum(axis=0)
    low, high = np.zeros(square.shape[1]), square.max(axis=0, initial=0.0).astype(float)
    for _ in range(25):
        middle = 0.5 * (low + high)
        scaled = square / np.maximum(variance + middle, 1e-30)
        small = np.where(good, np.minimum(scaled, CUT), 0.0).sum(axis=0) > EXPECTED * count
        low, high = np.where(small, middle, low), np.where(small, high, middle)
    return np.sqrt(high)
