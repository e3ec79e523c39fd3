"""Principal components of spectra with masked pixels, and what a noisy spectrum says of them.

    components = Components.fit(spectra, 60)
    for rows, seen in components.see(others):
        seen.mean, seen.covariance                 # (M, K), (M, K, K)

Several of the methods that StarNet is held against work on components: a spectrum of thousands of
pixels is a mean plus a few dozen coefficients times components, and noise. For any given errors
and masks, chi-square over all pixels then is, but for a constant, a quadratic form of the
coefficients. That form is kept, so that no method needs the pixels again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.baselines.contract import weights
from starnet.spectra import Spectra

Array = NDArray[Any]
BLOCK = 256
"""Spectra worked on at a time."""
EXACT = 1000
"""Fewer spectra or pixels than this are decomposed exactly."""
ROUNDS = 3
"""How often masked pixels are filled anew."""


@dataclass(frozen=True, eq=False)
class Seen:
    """What M spectra say of their K coefficients c.

    Chi-square of a spectrum is ``c @ normal @ c - 2 c @ side`` and a constant.

    Attributes
    ----------
    normal : array (M, K, K)
    side : array (M, K)
    prior : array (K,)
        Variance of the coefficients among training spectra.
    good : array (M,)
        Whether there is a good pixel at all.
    """

    normal: Array
    side: Array
    prior: Array
    good: Array

    @cached_property
    def covariance(self) -> Array:
        """Of the most probable coefficients, (M, K, K)."""
        root = np.sqrt(self.prior)  # a matrix with eigenvalues of at least 1 is inverted
        scaled = root[:, None] * self.normal * root + np.eye(len(root))
        return root[:, None] * np.linalg.inv(scaled) * root

    @cached_property
    def mean(self) -> Array:
        """Most probable coefficients (M, K), with the training spectra's spread as prior."""
        return np.einsum("mkj,mj->mk", self.covariance, self.side)


@dataclass(frozen=True, eq=False)
class Components:
    """Mean spectrum, components, and the variance that they leave.

    Attributes
    ----------
    center : array (P,)
    basis : array (P, K)
        Component k times coefficient k, summed, is the spectrum less the mean.
    prior : array (K,)
        Variance of the coefficients among training spectra.
    rest : array (P,)
        Variance of the training spectra's pixels that neither components nor noise explain.
    noise : array (P,)
        Typical variance of the noise of training spectra, 0 where they do not tell; it stands in
        for errors that are unknown.
    """

    center: Array
    basis: Array
    prior: Array
    rest: Array
    noise: Array

    @classmethod
    def fit(cls, spectra: Spectra, n: int, *, power: float = 0.0, seed: int = 0) -> Components:
        """The n first components of spectra (N, P), fewer where there are not so many spectra.

        Masked pixels are filled with what the components say, in turns (an expectation
        maximisation, Roweis 1998; Bailey 2012, PASP 124, 1015).

        Parameters
        ----------
        spectra : Spectra
        n : int
        power : float
            Pixels are divided by this power of their standard deviation: 0 finds what varies
            most, 1 makes all pixels alike.
        seed : int
            Of the random start for large sets.
        """
        flux, center, scale = _centred(spectra, power)
        k = max(1, min(n, 2 * len(flux) // 3, flux.shape[1] - 1))
        masked = bool(spectra.mask.any())
        start = np.random.default_rng(seed).standard_normal((flux.shape[1], k + 10))
        vectors = np.zeros((0, 0))
        for turn in range(ROUNDS if masked else 1):
            vectors = leading(flux, k, start if turn == 0 else vectors)
            if masked:
                _fill(flux, spectra.mask, vectors)
        coefficients = flux @ vectors.astype(np.float32)
        out = cls(
            center=center,
            basis=vectors * scale[:, None],
            prior=np.maximum(coefficients.astype(float).var(axis=0), 1e-30),
            rest=np.zeros(len(center)),
            noise=_typical_noise(spectra),
        )
        return replace(out, rest=_rest(out, spectra, flux, coefficients, scale, vectors))

    @property
    def n(self) -> int:
        """Number of components."""
        return self.basis.shape[1]

    @cached_property
    def _pairs(self) -> Array:
        """Products of all pairs of components (P, K (K + 1) / 2), float32."""
        i, j = np.triu_indices(self.n)
        basis = self.basis.astype(np.float32)
        return basis[:, i] * basis[:, j]

    def see(self, spectra: Spectra) -> Iterator[tuple[slice, Seen]]:
        """Blocks of rows, and what they say of their coefficients."""
        i, j = np.triu_indices(self.n)
        for start in range(0, len(spectra), BLOCK):
            rows = slice(start, min(start + BLOCK, len(spectra)))
            weight, flux = self._weighed(spectra, rows)
            normal = np.empty((len(weight), self.n, self.n))
            normal[:, i, j] = normal[:, j, i] = weight.astype(np.float32) @ self._pairs
            side = (weight * (flux - self.center)) @ self.basis
            yield rows, Seen(normal, side, self.prior, np.asarray(weight.any(axis=1)))

    def _weighed(self, spectra: Spectra, rows: slice) -> tuple[Array, Array]:
        """Inverse variances with what components leave, and flux, (M, P) both."""
        part = Spectra(spectra.grid, spectra.flux[rows], spectra.ivar[rows], spectra.mask[rows])
        weight = weights(part)
        variance = 1 / np.where(weight > 0, weight, 1.0)
        variance[~(part.ivar > 0).any(axis=1)] = self.noise
        total = variance + self.rest
        return np.where(part.mask, 0.0, 1 / np.maximum(total, 1e-12)), part.flux

    def coefficients(self, spectra: Spectra) -> Array:
        """Most probable coefficients (N, K)."""
        out = np.empty((len(spectra), self.n))
        for rows, seen in self.see(spectra):
            out[rows] = seen.mean
        return out

    def spectrum(self, coefficients: Array) -> Array:
        """Spectra (N, P) of coefficients (N, K)."""
        return self.center + coefficients @ self.basis.T

    def arrays(self) -> dict[str, Array]:
        """To be saved."""
        return {f"components.{name}": getattr(self, name) for name in _NAMES}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Components:
        """The inverse of `arrays`."""
        return cls(**{name: arrays[f"components.{name}"] for name in _NAMES})


_NAMES = ("center", "basis", "prior", "rest", "noise")


def _centred(spectra: Spectra, power: float) -> tuple[Array, Array, Array]:
    """Flux less its mean over scale (N, P) float32, 0 where masked; mean and scale (P,)."""
    count = np.maximum((~spectra.mask).sum(axis=0), 1)
    flux = np.array(spectra.flux)
    flux[spectra.mask] = 0
    center = flux.sum(axis=0, dtype=float) / count
    flux -= center.astype(np.float32)
    flux[spectra.mask] = 0
    spread = np.sqrt(np.einsum("np,np->p", flux, flux, dtype=float) / count)
    usual = np.median(spread[spread > 0]) if np.any(spread > 0) else 1.0
    scale = np.maximum(spread / usual, 1e-3) ** power
    flux /= scale.astype(np.float32)
    return flux, center, scale


def leading(flux: Array, k: int, start: Array, turns: int = 5) -> Array:
    """The k leading right singular vectors (P, k) of (N, P).

    Exact where N or P is small. Else by turns from a start (P, >= k), as in Halko, Martinsson and
    Tropp 2011, SIAM Review 53, 217, algorithm 4.4.
    """
    n, p = flux.shape
    if n <= min(p, EXACT):
        exact = flux.astype(float)
        value, vector = np.linalg.eigh(exact @ exact.T)
        keep = np.argsort(value)[::-1][:k]
        return exact.T @ (vector[:, keep] / np.sqrt(np.maximum(value[keep], 1e-30)))
    if p <= EXACT:
        gram = sum((b.T @ b for b in _double(flux)), np.zeros((p, p)))
        return np.linalg.eigh(gram)[1][:, ::-1][:, :k]
    q = np.linalg.qr(start)[0].astype(np.float32)
    for _ in range(turns):
        q = np.linalg.qr(flux.T @ (flux @ q))[0]
    small = flux @ q
    vector = np.linalg.eigh(small.T.astype(float) @ small)[1][:, ::-1]
    return q.astype(float) @ vector[:, :k]


def _double(flux: Array) -> Iterator[Array]:
    """Blocks of rows in float64."""
    return (flux[i : i + BLOCK].astype(float) for i in range(0, len(flux), BLOCK))


def _fill(flux: Array, mask: Array, vectors: Array) -> None:
    """Put what the components say where pixels are masked, in place."""
    v = vectors.astype(np.float32)
    for i in range(0, len(flux), BLOCK):
        part, bad = flux[i : i + BLOCK], mask[i : i + BLOCK]
        part[bad] = ((part @ v) @ v.T)[bad]


def _typical_noise(spectra: Spectra) -> Array:
    """Median over spectra of the variance of noise (P,), 0 where unknown."""
    few = slice(None, None, max(1, len(spectra) // 500))
    ivar = spectra.ivar[few]
    known = np.where(ivar > 0, ivar, np.nan)
    out = np.zeros(ivar.shape[1])
    some = np.isfinite(known).any(axis=0)
    out[some] = 1 / np.nanmedian(known[:, some], axis=0)
    return out


def _rest(
    out: Components,
    spectra: Spectra,
    flux: Array,
    coefficients: Array,
    scale: Array,
    vectors: Array,
) -> Array:
    """Variance of pixels (P,) that components and noise leave, at least 1e-3 of what is left."""
    left, noise, count = (np.zeros(len(scale)) for _ in range(3))
    v = vectors.astype(np.float32)
    for i in range(0, len(flux), BLOCK):
        rows = slice(i, i + BLOCK)
        good, ivar = ~spectra.mask[rows], spectra.ivar[rows]
        apart = np.where(good, flux[rows] - coefficients[rows] @ v.T, 0)
        left += np.einsum("np,np->p", apart, apart, dtype=float)
        noise += np.where(ivar > 0, 1 / np.where(ivar > 0, ivar, 1), 0).sum(axis=0, dtype=float)
        count += good.sum(axis=0)
    share = len(flux) / max(1.0, len(flux) - out.n)  # components have taken up some of the noise
    left = share * left / np.maximum(count, 1) * scale**2
    rest = np.maximum(left - noise / np.maximum(count, 1), 1e-3 * left)
    return np.maximum(rest, 1e-4 * np.median(left) + 1e-10)
