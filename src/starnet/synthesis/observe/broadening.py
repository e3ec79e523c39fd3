"""Broadening by the star itself: rotation and macroturbulence, each star by its own.

Both are convolutions in velocity, so the grid must be even in the logarithm of wavelength. The
weights are the profile integrated over each pixel: a line that falls into one pixel comes out as
the mean of the analytic profile over each pixel, all weights are positive, and their sum is one,
so that equivalent widths stay. Beyond its ends a spectrum goes on with its last value.

Profiles are given by their cumulative distribution F over velocity in units of their width:

- rotation (Gray 2005, The Observation and Analysis of Stellar Photospheres, 3rd ed., eq. 18.14),
  with x = v / (v sin i) and linear limb darkening eps,
  G(x) = [2 (1 - eps) sqrt(1 - x^2) + (pi eps / 2) (1 - x^2)] / [pi (1 - eps / 3)];
- radial-tangential macroturbulence (Gray 1975, ApJ 202, 148; Gray 2005, chapter 17) with equal
  areas and velocities of both streams, integrated over the disc: with x = |v| / zeta,
  M(x) = (2 / sqrt(pi)) [exp(-x^2) - sqrt(pi) x erfc(x)];
- Gaussian macroturbulence exp(-x^2) / sqrt(pi): zeta is sqrt(2) standard deviations, FWHM / 1.665.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.signal import oaconvolve
from scipy.special import erf, erfc

from starnet.errors import ConfigError, DataError, GridError
from starnet.spectra import Spectra, WavelengthGrid

Array = NDArray[Any]
Macroturbulence = Literal["radial-tangential", "gaussian"]
Cumulative = Callable[[Array], Array]
LIGHT = 299792.458  # km/s
REACH = 4.5  # widths of macroturbulence, beyond which less than 1e-9 is left
UNEVEN = 0.02  # of a pixel: how far an even grid may be off


def rotation_cdf(x: ArrayLike, limb_darkening: float = 0.6) -> Array:
    """Fraction of the rotation profile below velocity ``x`` (in units of v sin i)."""
    at = np.clip(np.asarray(x, dtype=float), -1.0, 1.0)
    disc = at * np.sqrt(1 - at**2) + np.arcsin(at)
    dark = at - at**3 / 3
    top = (1 - limb_darkening) * disc + 0.5 * np.pi * limb_darkening * dark
    return 0.5 + top / (np.pi * (1 - limb_darkening / 3))


def radial_tangential_cdf(x: ArrayLike) -> Array:
    """Fraction of the radial-tangential profile below velocity ``x`` (in units of zeta)."""
    at = np.asarray(x, dtype=float)
    a = np.abs(at)
    half = 0.5 * erf(a) - a**2 * erfc(a) + a * np.exp(-(a**2)) / np.sqrt(np.pi)
    return 0.5 + np.sign(at) * half


def gaussian_cdf(x: ArrayLike) -> Array:
    """Fraction of ``exp(-x**2) / sqrt(pi)`` below ``x``."""
    return 0.5 * (1 + erf(np.asarray(x, dtype=float)))


def velocity_kernel(cdf: Cumulative, width: float, step: float, reach: float = 1.0) -> Array:
    """Weights (2 r + 1,) of a profile in pixels of ``step`` km/s; the sum is one.

    Parameters
    ----------
    cdf : callable
        Cumulative distribution over velocity / width.
    width, step : float
        km/s. A width of 0 gives the single weight 1.
    reach : float
        Where the profile ends, in units of its width.
    """
    if width == 0:
        return np.ones(1)
    r = int(np.ceil(reach * width / step + 0.5))
    edges = (np.arange(-r, r + 2) - 0.5) * step / width
    weights = np.diff(cdf(edges))
    return weights / weights.sum()


def broaden(
    flux: ArrayLike,
    grid: WavelengthGrid,
    *,
    vsini: ArrayLike = 0.0,
    vmac: ArrayLike = 0.0,
    limb_darkening: float = 0.6,
    macroturbulence: Macroturbulence = "radial-tangential",
) -> Array:
    """Flux (N, P) broadened by rotation and macroturbulence.

    Parameters
    ----------
    flux : array (N, P)
    grid : WavelengthGrid
        Even in the logarithm of wavelength within each chip.
    vsini, vmac : float or array (N,)
        Projected rotation velocity, and zeta of the macroturbulence, km/s; 0 leaves it out.
    limb_darkening : float
        Linear coefficient of the rotation profile, from 0 to 1.
    macroturbulence : "radial-tangential" or "gaussian"

    Raises
    ------
    GridError
        If a chip is not even in the logarithm of wavelength.
    ConfigError
        If a velocity is negative, not finite or not below 3000 km/s, or an option is unknown.
    DataError
        If the flux is not finite, or its shape does not fit.
    """
    values = np.atleast_2d(np.asarray(flux, dtype=float))
    _check_flux(values, grid)
    if not 0 <= limb_darkening <= 1:
        raise ConfigError(f"limb_darkening must be from 0 to 1; received {limb_darkening!r}.")
    if macroturbulence not in ("radial-tangential", "gaussian"):
        raise ConfigError(
            'macroturbulence must be "radial-tangential" or "gaussian"; received '
            f"{macroturbulence!r}."
        )
    rotation = _velocities(vsini, "vsini", len(values))
    turbulence = _velocities(vmac, "vmac", len(values))
    mixed = gaussian_cdf if macroturbulence == "gaussian" else radial_tangential_cdf
    out = values.copy()
    for a, b in grid.chips:
        step = velocity_step(grid, a, b)
        for row in np.flatnonzero((rotation > 0) | (turbulence > 0)):
            spin = velocity_kernel(lambda x: rotation_cdf(x, limb_darkening), rotation[row], step)
            macro = velocity_kernel(mixed, turbulence[row], step, REACH)
            # each row alone: what comes out must not depend on the batch
            out[row, a:b] = _convolved(values[row, a:b], np.convolve(spin, macro))
    return out


def broaden_spectra(spectra: Spectra, **options: Any) -> Spectra:
    """Clean spectra broadened by `broaden`; ``vsini`` and ``vmac`` are recorded in ``meta``.

    Parameters
    ----------
    spectra : Spectra
        Without masked pixels; inverse variances pass unchanged, as clean spectra have none.
    **options
        As for `broaden`.
    """
    check_clean(spectra)
    flux = broaden(spectra.flux, spectra.grid, **options)
    meta = spectra.meta.copy()
    for name in ("vsini", "vmac"):
        meta[name] = _velocities(options.get(name, 0.0), name, len(spectra))
    return spectra.replace(flux=flux, meta=meta)


def velocity_step(grid: WavelengthGrid, start: int, stop: int) -> float:
    """Width of the pixels of a chip in km/s.

    Raises
    ------
    GridError
        If they are not all equally wide.
    """
    axis = np.log(grid.wavelength[start:stop])
    step = float((axis[-1] - axis[0]) / max(axis.size - 1, 1))
    if axis.size > 2:
        even = axis[0] + step * np.arange(axis.size)
        if np.max(np.abs(axis - even)) > UNEVEN * step:
            raise GridError(
                "Rotation and macroturbulence need pixels that are even in the logarithm of "
                f"wavelength; received {grid.describe()}. Compute on WavelengthGrid.log10, or "
                "bring the spectra there with preprocess.Resample first."
            )
    return step * LIGHT


def check_clean(spectra: Spectra) -> None:
    """Raise a `DataError` if any pixel in a chip of clean spectra is masked or not finite."""
    counts = np.sum([spectra.mask[:, a:b].sum(axis=1) for a, b in spectra.grid.chips], axis=0)
    bad = np.flatnonzero(counts)
    if bad.size:
        n = int(counts[bad[0]])
        raise DataError(
            f"Clean spectra must be finite and unmasked everywhere; {bad.size} of {len(spectra)} "
            f"are not, the first is {str(spectra.ids[bad[0]])!r} with {n} such pixels. Look for "
            "NaN from the synthesis, or leave those spectra out."
        )


def _check_flux(flux: Array, grid: WavelengthGrid) -> None:
    if flux.ndim != 2 or flux.shape[1] != grid.n_pixels:
        raise DataError(
            f"flux must have shape (N, {grid.n_pixels}) for this grid; received {flux.shape}."
        )
    if not np.all(np.isfinite(flux)):
        rows = np.flatnonzero(~np.isfinite(flux).all(axis=1))
        raise DataError(
            f"Flux must be finite; {rows.size} of {len(flux)} spectra are not, the first is row "
            f"{rows[0]}. Leave them out, or look for the cause in the synthesis."
        )


def _velocities(value: ArrayLike, name: str, n: int) -> Array:
    array = np.asarray(value, dtype=float)
    if array.ndim > 1 or (array.ndim == 1 and array.size != n):
        raise ConfigError(
            f"{name} must be a number or one for each of {n} spectra; received {array.shape}."
        )
    bad = ~(np.isfinite(array) & (array >= 0) & (array < 3000))
    if np.any(bad):
        raise ConfigError(
            f"{name} must be finite, from 0 to below 3000 km/s; received "
            f"{np.atleast_1d(array)[np.atleast_1d(bad)][0]}."
        )
    return np.broadcast_to(array, (n,)).astype(float)


def _convolved(values: Array, kernel: Array) -> Array:
    if kernel.size == 1:
        return values
    padded = np.pad(values, kernel.size // 2, mode="edge")
    return oaconvolve(padded, kernel, mode="valid")
