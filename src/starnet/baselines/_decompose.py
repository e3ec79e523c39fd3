"""Principal components of spectra with masked pixels, in little more memory than they take."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.spectra import Spectra

Array = NDArray[Any]
BLOCK = 256
"""Spectra worked on at a time."""
EXACT = 1000
"""Fewer spectra or pixels than this are decomposed exactly."""
ROUNDS = 3
"""How often masked pixels are filled anew."""


def centred(spectra: Spectra) -> tuple[Array, Array, Array]:
    """Flux less its mean (N, P) float32, 0 where masked; mean and standard deviation (P,)."""
    count = np.maximum((~spectra.mask).sum(axis=0), 1)
    flux = np.array(spectra.flux)
    flux[spectra.mask] = 0
    center = flux.sum(axis=0, dtype=float) / count
    flux -= center.astype(np.float32)
    flux[spectra.mask] = 0
    return flux, center, np.sqrt(np.einsum("np,np->p", flux, flux, dtype=float) / count)


def decompose(flux: Array, mask: Array, k: int, seed: int) -> Array:
    """The k first components (P, k) of flux (N, P) about its mean.

    Masked pixels, which come as 0, are filled in place with what the components say, in turns (an
    expectation maximisation, Roweis 1998; Bailey 2012, PASP 124, 1015).
    """
    masked = bool(mask.any())
    start = np.random.default_rng(seed).standard_normal((flux.shape[1], k + 10))
    vectors = np.zeros((0, 0))
    for turn in range(ROUNDS if masked else 1):
        vectors = leading(flux, k, start if turn == 0 else vectors)
        if masked:
            _fill(flux, mask, vectors)
    return vectors


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
