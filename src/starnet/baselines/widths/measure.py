"""Equivalent widths with errors, for many stars at once: a Gaussian under a local continuum.

The continuum at a line is a straight line through the windows near it, from which what absorbs is
clipped. A first pass with free centres and widths gives each star's velocity and its usual width,
which a second one holds loosely. A line counts if it looks like the star's others: so blends, lines
that are lost in noise, and saturated ones, whose profile is no Gaussian, drop out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.spectra import Spectra

Array = NDArray[Any]
REACH = 4.0
"""Angstrom on each side of a line within which windows of continuum count."""
FEWEST_PIXELS = 6
EDGE = 0.6
"""Angstrom between a line and the end of the pixels, at least."""
FIRST_WIDTH = 0.07
"""Angstrom, standard deviation at 6000 Angstrom with which profiles begin."""
LEAST_NOISE = 0.002
"""Error of a continuum, at least, as a fraction of it."""
LIMITS = (1.0e-6, 2.2e-5)
"""Of width / wavelength: 6 to 130 milliangstrom at 6000 Angstrom."""
STEPS = 7
ROOT = float(np.sqrt(2 * np.pi))


@dataclass(frozen=True, eq=False)
class Widths:
    """What was measured of n lines in N stars.

    Attributes
    ----------
    log_width, error : array (N, n)
        ln(width / wavelength) and its error; NaN where a line does not count.
    velocity, spread : array (N,)
        Of the lines, and the standard deviation of their profiles, both / wavelength.
    """

    log_width: Array
    error: Array
    velocity: Array
    spread: Array


@dataclass(frozen=True, eq=False)
class _Profiles:
    """Depth, centre and width / wavelength of a line in N stars, with errors and misfit (N,)."""

    depth: Array
    centre: Array
    spread: Array
    error: Array
    misfit: Array


def measure(spectra: Spectra, lines: Array, windows: Array) -> Widths:
    """Widths of lines (n,) with windows (C, 2) of continuum, both in vacuum Angstrom."""
    wave = spectra.grid.to_vacuum().wavelength
    clear = np.zeros(len(wave), dtype=bool)
    for low, high in windows:
        clear[slice(*np.searchsorted(wave, [low, high]))] = True
    inside = (lines > wave[0] + EDGE) & (lines < wave[-1] - EDGE)
    cuts = [_normalised(spectra, wave, clear, line) for line in lines[inside]]
    n = len(spectra)
    first = [_gaussian(*cut, np.zeros(n), np.full(n, FIRST_WIDTH / 6000), loose=True)
             for cut in cuts]  # fmt: skip
    strong = [p.depth / np.maximum(p.error, 1e-9) for p in first]
    use = np.stack([(s > 10) & (p.depth > 0.05) for s, p in zip(strong, first, strict=True)], 1)
    velocity = _middle(np.stack([p.centre for p in first], axis=1), use)
    spread = np.clip(_middle(np.stack([p.spread for p in first], axis=1), use), 2e-6, 6e-5)
    found = [_gaussian(*cut, velocity, spread, loose=False) for cut in cuts]
    width, error = zip(*(_width(p, velocity, spread) for p in found), strict=True)
    both = np.full((2, n, len(lines)), np.nan)
    both[:, :, inside] = np.stack([np.stack(width, axis=1), np.stack(error, axis=1)])
    return Widths(both[0], both[1], velocity, spread)


def _middle(values: Array, use: Array) -> Array:
    """Median (N,) of those in use of (N, n); NaN where fewer than three are."""
    kept = np.where(use & (use.sum(axis=1) >= 3)[:, None], values, np.nan)
    out = np.full(len(values), np.nan)
    some = np.isfinite(kept).any(axis=1)
    out[some] = np.nanmedian(kept[some], axis=1)
    return out


def _normalised(
    spectra: Spectra, wave: Array, clear: Array, line: float
) -> tuple[Array, Array, Array]:
    """Around a line: (wave - line) / line (Q,), absorption and its error (N, Q); inf if unused."""
    rows = slice(*np.searchsorted(wave, [line - REACH, line + REACH]))
    flux = spectra.flux[:, rows].astype(float)
    good, at = ~spectra.mask[:, rows], (wave[rows] - line) / REACH
    ivar = spectra.ivar[:, rows].astype(float)
    level, noise, enough = _continuum(flux, good & clear[rows], at)
    core = slice(*np.searchsorted(wave[rows], [line - 0.45, line + 0.45]))
    safe = np.where(level > 0, level, 1.0)[:, core]
    known = np.where(ivar[:, core] > 0, 1 / np.sqrt(np.maximum(ivar[:, core], 1e-30)) / safe, 0.0)
    error = np.where(known > 0, known, noise[:, None])
    usable = good[:, core] & enough[:, None] & (level[:, core] > 0)
    absorbed = np.where(usable, 1 - flux[:, core] / safe, 0.0)
    x = at[core] * REACH / line
    return x, absorbed, np.where(usable, np.maximum(error, 1e-4), np.inf)


def _continuum(flux: Array, use: Array, at: Array) -> tuple[Array, Array, Array]:
    """Straight lines (N, Q), relative noise about them (N,), and whether there are enough pixels.

    What lies lower than 1.5 or higher than 3 times the noise is clipped, four times.
    """
    terms = np.stack([np.ones_like(at), at])
    level, noise, count = np.ones(flux.shape), np.ones(len(flux)), np.zeros(len(flux))
    off = np.zeros(flux.shape)
    for _ in range(5):
        use = use & (off > -1.5) & (off < 3.0)
        weight = use.astype(float)
        gram = np.einsum("nq,iq,jq->nij", weight, terms, terms) + 1e-6 * np.eye(2)
        right = (weight * flux) @ terms.T
        level = np.linalg.solve(gram, right[..., None])[..., 0] @ terms
        count = weight.sum(axis=1)
        noise = np.sqrt((weight * (flux - level) ** 2).sum(axis=1) / np.maximum(count - 2, 1))
        off = (flux - level) / np.maximum(noise, 1e-30)[:, None]
    relative = noise / np.maximum(np.abs(level).mean(axis=1), 1e-30)
    return level, np.maximum(1.15 * relative, LEAST_NOISE), count >= FEWEST_PIXELS


def _gaussian(
    x: Array, absorbed: Array, error: Array, velocity: Array, spread: Array, *, loose: bool
) -> _Profiles:
    """Gaussians of least squares, from a centre and a width (N,) that are held loosely or not."""
    begin = np.stack([np.full(len(absorbed), 0.3), np.nan_to_num(velocity),
                      np.log(np.where(spread > 0, spread, 1e-5))], axis=1)  # fmt: skip
    sigma = np.array([2.0, 1.5e-5, 0.6] if loose else [2.0, 2e-6, 0.15])
    near = np.abs(x - begin[:, 1:2]) < (3.0 if loose else 2.2) * np.exp(begin[:, 2:])
    weight = np.where(near & np.isfinite(error), 1 / np.maximum(error, 1e-4) ** 2, 0.0)
    value = begin.copy()
    prior = np.diag(sigma**-2.0)
    for _ in range(STEPS):
        off = x - value[:, 1:2]
        width = np.exp(value[:, 2:])
        shape = np.exp(-0.5 * (off / width) ** 2)
        slope = np.stack([shape, value[:, :1] * shape * off / width**2,
                          value[:, :1] * shape * (off / width) ** 2], axis=1)  # fmt: skip
        left = absorbed - value[:, :1] * shape
        hessian = np.einsum("niq,nq,njq->nij", slope, weight, slope) + prior
        gradient = (slope * (weight * left)[:, None]).sum(2) + (begin - value) / sigma**2
        step = np.linalg.solve(hessian, gradient[..., None])[..., 0]
        limit = np.array([0.3, 1e-5, 0.3])
        value = value + np.clip(step, -limit, limit)
    count = (weight > 0).sum(axis=1)
    chi2 = (weight * left**2).sum(axis=1) / np.maximum(count - 3, 1)
    covariance = np.linalg.inv(hessian)
    relative = np.stack([1 / np.maximum(np.abs(value[:, 0]), 1e-6), np.zeros(len(x_ := value)),
                         np.ones(len(x_))], axis=1)  # fmt: skip
    part = np.sqrt(np.einsum("ni,nij,nj->n", relative, covariance, relative))
    usual = np.sqrt(1 / np.maximum(np.max(weight, axis=1), 1e-30))
    level = np.hypot(usual / 3, LEAST_NOISE) * 1.4 / np.maximum(np.abs(value[:, 0]), 1e-6)
    total = np.hypot(part * np.sqrt(np.maximum(chi2, 1)), level) * np.abs(value[:, 0])
    bad = count < 4
    misfit = np.sqrt((np.where(weight > 0, left, 0) ** 2).sum(axis=1) / np.maximum(count, 1))
    blank = lambda a: np.where(bad, np.nan, a)  # noqa: E731
    return _Profiles(blank(value[:, 0]), blank(value[:, 1]), blank(np.exp(value[:, 2])),
                     blank(total), blank(misfit))  # fmt: skip


def _width(found: _Profiles, velocity: Array, spread: Array) -> tuple[Array, Array]:
    """ln(width / wavelength) and its error (N,), NaN where the line does not look like others."""
    width = found.depth * found.spread * ROOT
    relative = found.error / np.maximum(found.depth, 1e-9)
    with np.errstate(invalid="ignore"):
        good = (
            (found.depth > 0)
            & (np.abs(found.centre - velocity) < 0.5 * spread)
            & (np.abs(np.log(found.spread / spread)) < 0.3)
            & (relative < 0.25)
            & (found.misfit < np.maximum(0.08 * found.depth, 4 * found.error))
            & (width > LIMITS[0])
            & (width < LIMITS[1])
        )
    return (
        np.where(good, np.log(np.where(good, width, 1.0)), np.nan),
        np.where(good, relative, np.nan),
    )
