"""Observed stars as numbers of a few components: what chi-square needs, and no pixel more.

With a mean m and K components B, the chi-square of a star whose components have the coefficients c
is ``f0 - 2 c b + c G c``, where ``G = B W B.T``, ``b = B W (f - m)`` and W are the weights of its
pixels: inverse variances of noise and of what labels do not explain, 0 where masked. So training
and fits cost K**2 for each star, whatever its pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from starnet.baselines.contract import weights
from starnet.spectra import Spectra
from starnet.training.emulator import components_of

Array = NDArray[Any]
MOST = 4000
"""Stars that components and scatter are taken from, at most."""
FILLED = 3
"""Passes in which masked pixels are filled in by the components of the pass before."""
BLOCK = 256
CLIP = 4.0
MEDIAN = 0.45494
"""Of the square of a standard normal variable."""
CUT, EXPECTED = 9.0, 0.99501
"""Squares beyond which a normal residual counts no more, and their mean below it."""


@dataclass(frozen=True, eq=False)
class Pixels:
    """N spectra as a fit sees them.

    Attributes
    ----------
    flux, noise : array (N, P), float32
        And variances of the noise; 0 for spectra whose errors are all unknown.
    good : array (N, P) of bool
    known : array (N,) of bool
        Whether errors are known.
    """

    flux: Array
    noise: Array
    good: Array
    known: Array

    @classmethod
    def of(cls, spectra: Spectra) -> Pixels:
        """With nothing of what is under the mask."""
        good = ~spectra.mask
        known = np.any(spectra.ivar > 0, axis=1)
        ivar = weights(spectra)
        noise = np.where(good & known[:, None], 1 / np.where(ivar > 0, ivar, 1.0), 0.0)
        return cls(
            np.where(good, spectra.flux, np.float32(0)), noise.astype(np.float32), good, known
        )

    def __len__(self) -> int:
        return len(self.flux)

    def __getitem__(self, rows: Any) -> Pixels:
        return Pixels(self.flux[rows], self.noise[rows], self.good[rows], self.known[rows])

    def weights(self, scatter: Array) -> Array:
        """Weights (N, P) with a scatter (P,), whose pixels count nothing where it is infinite."""
        return np.where(self.good, 1 / (self.noise + scatter**2), 0.0).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Forms:
    """Chi-square of N stars as a quadratic form in K coefficients.

    Attributes
    ----------
    gram, right, least : Tensor (N, K, K), (N, K), (N,)
        G, b and f0.
    pixels : Tensor (N,)
        Pixels that count.
    """

    gram: Tensor
    right: Tensor
    least: Tensor
    pixels: Tensor

    def chi2(self, value: Tensor) -> Tensor:
        """Of coefficients (..., N, K)."""
        seen = (self.gram @ value[..., None])[..., 0]
        return (self.least + (value * (seen - 2 * self.right)).sum(-1)).clamp_min(0)

    def __getitem__(self, rows: Tensor) -> Forms:
        return Forms(self.gram[rows], self.right[rows], self.least[rows], self.pixels[rows])


@dataclass(frozen=True, eq=False)
class Components:
    """What the flux of a star is made of: ``mean + c basis + a common + scatter + noise``.

    Attributes
    ----------
    mean, basis : array (P,), (K, P)
        The coefficients c follow from the labels.
    scatter : array (P,)
        Of each pixel by itself; infinite where it was never seen.
    common : array (M, P)
        What pixels have in common beyond the labels (reddening, continuum, other elements): a is
        standard normal. Chi-square is that of the least a, so fits and errors allow for it.
    """

    mean: Array
    basis: Array
    scatter: Array
    common: Array

    def forms(self, pixels: Pixels) -> Forms:
        """What chi-square needs of each star."""
        rows = np.concatenate([self.basis, self.common])
        first, second = np.triu_indices(len(rows))
        pairs = (rows[first] * rows[second]).T.copy()  # (P, pairs of K + M)
        parts = []
        for start in range(0, max(len(pixels), 1), BLOCK):
            some = pixels[slice(start, start + BLOCK)]
            weight = some.weights(self.scatter)
            off = np.where(some.good, some.flux - self.mean, 0.0)
            gram = np.empty((len(some), len(rows), len(rows)))
            gram[:, first, second] = gram[:, second, first] = weight @ pairs
            right, least = (weight * off) @ rows.T, (weight * off**2).sum(axis=1)
            parts.append(_without(gram, right.astype(float), least.astype(float), len(self.basis)))
        gram, right, least = (
            np.concatenate(p).astype(np.float32) for p in zip(*parts, strict=True)
        )
        count = (pixels.good & np.isfinite(self.scatter)).sum(axis=1)
        return Forms(*(torch.as_tensor(a) for a in (gram, right, least, count)))

    def residual(self, pixels: Pixels, value: Array) -> Array:
        """Flux (N, P) less that of coefficients (N, K); 0 where masked."""
        return np.where(pixels.good, pixels.flux - self.mean - value @ self.basis, 0.0)


def _without(gram: Array, right: Array, least: Array, k: int) -> tuple[Array, Array, Array]:
    """The form in the first k coefficients, at the best of the others, whose prior is normal."""
    if gram.shape[1] == k:
        return gram, right, least
    cross = gram[:, k:, :k]
    inner = gram[:, k:, k:] + np.eye(gram.shape[1] - k)
    both = np.concatenate([cross, right[:, k:, None]], axis=2)
    solved = np.linalg.solve(inner, both)  # (N, M, k + 1)
    taken = np.swapaxes(both, 1, 2) @ solved
    return (
        gram[:, :k, :k] - taken[:, :k, :k],
        right[:, :k] - taken[:, :k, k],
        least - taken[:, k, k],
    )


def first_scatter(pixels: Pixels) -> tuple[Array, Array]:
    """Mean (P,) and a first guess of the scatter (P,): a fifth of the spread over the stars."""
    mean = average(pixels.flux, pixels.good)
    spread = np.sqrt(average((pixels.flux - mean) ** 2, pixels.good))
    seen = pixels.good.sum(axis=0) >= 2
    floor = 1e-3 * np.median(spread[seen]) if seen.any() else 1.0
    return mean, np.where(seen, np.maximum(0.2 * spread, floor + 1e-9), np.inf)


def average(values: Array, good: Array) -> Array:
    """Mean (P,) of the good ones of (N, P)."""
    count = np.maximum(good.sum(axis=0), 1)
    return (np.where(good, values, 0.0).sum(axis=0) / count).astype(np.float32)


def find_components(pixels: Pixels, mean: Array, scatter: Array, n: int, seed: int) -> Components:
    """The n strongest components of stars, each pixel and each star weighted by its noise.

    The weights of a pixel in a star are taken as a product of both, so that one decomposition
    does it (as Tipping and Bishop 1999, J. R. Stat. Soc. B 61, 611, for equal noise).
    """
    chosen = np.random.default_rng(seed).permutation(len(pixels))[:MOST]
    some = pixels[np.sort(chosen)]
    weight = some.weights(scatter)
    column = np.sqrt(weight.mean(axis=0))
    used = column > 0
    row = np.sqrt(weight[:, used].sum(axis=1) / np.maximum((some.good[:, used]).sum(axis=1), 1))
    row /= np.median(row[row > 0]) if np.any(row > 0) else 1.0
    row = np.minimum(row, 2.0)[:, None]
    off = np.where(some.good, some.flux - mean, 0.0) * column * row  # (M, P)
    basis = np.zeros((0, len(mean)), np.float32)
    for _ in range(FILLED):
        centre, found = components_of(off, n, seed)
        basis = found.numpy()
        whole = off - centre.numpy()
        guess = centre.numpy() + (whole @ basis.T) @ basis
        off = np.where(some.good, off, guess).astype(np.float32)
    basis = np.where(used, basis / np.where(used, column, 1.0), 0.0).astype(np.float32)
    return Components(mean, basis, scatter, basis[:0])


def unexplained(
    parts: Components, pixels: Pixels, value: Array, most: int, seed: int
) -> Components:
    """The same components with what flux of coefficients (N, K) leaves: ``scatter`` and ``common``.

    The coefficients shall be of stars that the network has not seen. Directions in common are the
    strongest ones of the residuals, each in units of its error, whose variance stands out of what
    noise alone would show; the variance that they truly have follows from what they show (Baik
    and Silverstein 2006, J. Multivariate Anal. 97, 1382).
    """
    rows = np.sort(np.random.default_rng(seed).permutation(len(pixels))[:MOST])
    some = pixels[rows]
    residual = parts.residual(some, value[rows])
    scatter = scatter_of(residual, some)
    weight = np.sqrt(some.weights(scatter))
    scaled = np.clip(residual * weight, -CLIP, CLIP).astype(np.float32)
    used = int(np.isfinite(scatter).sum())
    if most < 1 or used < 2:
        return Components(parts.mean, parts.basis, scatter, parts.basis[:0])
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        _, size, found = torch.svd_lowrank(torch.as_tensor(scaled), q=min(most + 8, *scaled.shape))
    ratio = used / len(rows)
    shown = size[:most].numpy().astype(float) ** 2 / len(rows) - 1 - ratio
    out = shown > 2 * np.sqrt(ratio)
    true = 0.5 * (shown[out] + np.sqrt(shown[out] ** 2 - 4 * ratio))
    vectors = found[:, :most].numpy().T[out] * np.sqrt(true)[:, None]  # (M, P), units of error
    own = np.maximum(1 - (vectors**2).sum(axis=0), 0.1)
    error = np.where(np.isfinite(scatter), 1 / np.maximum(_rms(weight, some.good), 1e-30), 0.0)
    noise = average(some.noise, some.good)
    left = np.sqrt(np.maximum(own * error**2 - noise, 0.01 * scatter**2))
    common = (vectors * error).astype(np.float32)
    return Components(
        parts.mean, parts.basis, np.where(np.isfinite(scatter), left, np.inf).astype(np.float32),
        common,
    )  # fmt: skip


def _rms(values: Array, good: Array) -> Array:
    return np.sqrt(average(values**2, good))


def scatter_of(residual: Array, pixels: Pixels) -> Array:
    """Scatter (P,) beyond the noise of residuals (N, P), by which they become standard normal.

    Residuals beyond three sigma count as three. Infinite where fewer than two stars are seen.
    """
    some = slice(0, MOST // 4)
    good = pixels.good[some]
    found = _beyond(residual[some] ** 2, pixels.noise[some], good)
    seen = good.sum(axis=0) >= 2
    usual = np.median(found[seen]) if seen.any() else 1.0
    return np.where(seen, np.maximum(found, max(0.02 * usual, 1e-6)), np.inf).astype(np.float32)


def extra(off: Array, sigma: Array) -> Array:
    """Error (L,) that errors sigma (N, L) need in addition for what labels are off by (N, L).

    With it, the median of ``|off| / error`` is that of a normal distribution.
    """
    square, variance = off**2, np.nan_to_num(sigma) ** 2
    low, high = np.zeros(off.shape[1]), np.nanmax(square, axis=0) / MEDIAN
    for _ in range(40):
        middle = 0.5 * (low + high)
        small = np.nanmedian(square / np.maximum(variance + middle, 1e-30), axis=0) > MEDIAN
        low, high = np.where(small, middle, low), np.where(small, high, middle)
    return np.sqrt(high)


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
