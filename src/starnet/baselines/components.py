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
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.baselines._decompose import centred, decompose
from starnet.baselines._gram import Gram
from starnet.baselines.contract import weights
from starnet.errors import ModelError
from starnet.spectra import Spectra

Array = NDArray[Any]
BLOCK = 256
"""Spectra worked on at a time."""
WIDEST = 2**25
"""Products of pixels of pairs of components that are kept, at most: 128 MB."""


@dataclass(frozen=True, eq=False)
class Seen:
    """What M spectra say of their K coefficients c.

    Chi-square of a spectrum is ``least - 2 c @ side + c @ normal @ c``.

    Attributes
    ----------
    normal : array (M, K, K)
    side : array (M, K)
    prior : array (K,)
        Variance of the coefficients among training spectra.
    least : array (M,)
        Of coefficients of 0.
    pixels : array (M,)
        How many pixels count.
    """

    normal: Array
    side: Array
    prior: Array
    least: Array
    pixels: Array

    @property
    def good(self) -> Array:
        """Whether there is a good pixel at all, (M,)."""
        return self.pixels > 0

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
    """Mean spectrum, components, and what they leave.

    Attributes
    ----------
    center : array (P,)
    basis : array (P, K)
        Component k times coefficient k, summed, is the spectrum less the mean.
    prior : array (K,)
        Variance of the coefficients among training spectra.
    rest : array (P,)
        Variance of each pixel by itself that neither components nor noise explain; infinite where
        the pixel shall not count.
    noise : array (P,)
        Typical variance of the noise of training spectra, 0 where they do not tell; it stands in
        for errors that are unknown.
    common : array (P, M)
        What is left that pixels have in common, each column times a standard normal number, which
        is the most probable one in chi-square.
    """

    center: Array
    basis: Array
    prior: Array
    rest: Array
    noise: Array
    common: Array

    @classmethod
    def fit(cls, spectra: Spectra, n: int, *, power: float = 0.0, seed: int = 0) -> Components:
        """The n first components of spectra (N, P), fewer where there are not so many spectra.

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
        flux, center, spread = centred(spectra)
        usual = np.median(spread[spread > 0]) if np.any(spread > 0) else 1.0
        scale = np.maximum(spread / usual, 1e-3) ** power
        flux /= scale.astype(np.float32)
        k = max(1, min(n, 2 * len(flux) // 3, flux.shape[1] - 1))
        vectors = decompose(flux, spectra.mask, k, seed)
        coefficients = flux @ vectors.astype(np.float32)
        out = cls(
            center=center,
            basis=vectors * scale[:, None],
            prior=np.maximum(coefficients.astype(float).var(axis=0), 1e-30),
            rest=np.zeros(len(center)),
            noise=_typical_noise(spectra),
            common=np.zeros((len(center), 0)),
        )
        return replace(out, rest=_rest(out, spectra, flux, coefficients, scale, vectors))

    @property
    def n(self) -> int:
        """Number of components."""
        return self.basis.shape[1]

    @cached_property
    def _gram(self) -> Gram:
        """Products of all pairs of components, those in common among them, float32."""
        return Gram(np.hstack([self.basis, self.common]).astype(np.float32), WIDEST)

    def see(self, spectra: Spectra) -> Iterator[tuple[slice, Seen]]:
        """Blocks of rows, and what they say of their coefficients."""
        basis = np.hstack([self.basis, self.common])
        for start in range(0, len(spectra), BLOCK):
            rows = slice(start, min(start + BLOCK, len(spectra)))
            part = Spectra(spectra.grid, spectra.flux[rows], spectra.ivar[rows], spectra.mask[rows])
            weight = self.weights(part)
            off = part.flux - self.center
            off[part.mask] = 0
            pull = weight * off
            normal = self._gram(weight.astype(np.float32)).astype(float)
            form = _without(normal, pull @ basis, np.vecdot(pull, off), self.n)
            yield rows, Seen(form[0], form[1], self.prior, form[2], np.count_nonzero(weight, 1))

    def weights(self, spectra: Spectra) -> Array:
        """Inverse variances (N, P) of what components leave, 0 where masked."""
        total = noise_of(spectra, self.noise) + self.rest
        return np.where(spectra.mask, 0.0, 1 / np.maximum(total, 1e-12))

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
        return {f"components.{f.name}": getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array], n_pixels: int) -> Components:
        """The inverse of `arrays`.

        Raises
        ------
        ModelError
            If they are of other pixels.
        """
        out = cls(**{f.name: arrays[f"components.{f.name}"] for f in fields(cls)})
        if len(out.center) != n_pixels:
            raise ModelError(f"Components must have {n_pixels} pixels; received {len(out.center)}.")
        return out


def noise_of(spectra: Spectra, typical: Array) -> Array:
    """Variance of the noise (N, P); the typical one (P,) of spectra whose errors are unknown."""
    weight = weights(spectra)
    variance = 1 / np.where(weight > 0, weight, 1.0)
    variance[~(spectra.ivar > 0).any(axis=1)] = typical
    return variance


def _without(normal: Array, side: Array, least: Array, k: int) -> tuple[Array, Array, Array]:
    """The form in the first k coefficients, at the best of the others, whose prior is normal."""
    if normal.shape[1] == k:
        return normal, side, least
    inner = normal[:, k:, k:] + np.eye(normal.shape[1] - k)
    both = np.concatenate([normal[:, k:, :k], side[:, k:, None]], axis=2)
    taken = np.swapaxes(both, 1, 2) @ np.linalg.solve(inner, both)  # (N, k + 1, k + 1)
    return (
        normal[:, :k, :k] - taken[:, :k, :k],
        side[:, :k] - taken[:, :k, k],
        least - taken[:, k, k],
    )


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
