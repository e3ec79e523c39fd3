"""The Cramer-Rao limit: how well labels can be known at all from a spectrum with given noise.

With ``J`` the derivatives of the flux by everything that is unknown and ``W`` the inverse variance
of each pixel, no unbiased estimate has a covariance below the inverse of ``J W J^T`` (Rao 1945;
for stellar labels Ting et al. 2017, ApJ 843, 32). Derivatives are those of an emulator. An
estimate that knows how stars are distributed can be better than the limit where it is weak.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starnet.errors import ConfigError, DataError, LabelError
from starnet.spectra import Labels, WavelengthGrid

if TYPE_CHECKING:
    from starnet.synthesis.emulator import Emulator

Array = NDArray[Any]
LIGHT = 299792.458  # km/s
SINGULAR = 1e-11
"""Eigenvalues of the scaled information below this are none."""
TOUCHED = 1e-3
"""Share in a direction without information from which on a label is unknown."""


def cramer_rao(
    emulator: Emulator,
    labels: Labels,
    *,
    ivar: ArrayLike | None = None,
    snr: ArrayLike | None = None,
    continuum: int | None = None,
    rv: bool = False,
    broadening: bool = False,
    known: Sequence[str] = (),
    batch: int = 32,
) -> Array:
    """Smallest one-sigma errors of the labels of N stars, all of them unknown together.

    Parameters
    ----------
    emulator : Emulator
        On the pixels of the spectra: ``emulator.on(grid)``.
    labels : Labels
        Of N stars, as engines take them; ``vmac`` and ``vsini`` broaden the spectra.
    ivar : array (P,) or (N, P), optional
        Inverse variance of the normalised flux, 0 where masked.
    snr : float or array (N,), optional
        Instead of ``ivar``: signal to noise of a pixel at the continuum, alike in all chips.
    continuum : int, optional
        Also unknown: a polynomial of this order, times the flux, in each chip. 0 is its scale.
    rv : bool
        Also unknown: the radial velocity.
    broadening : bool
        Also unknown: the width of a narrow Gaussian that broadens all lines.
    known : sequence of str
        Labels that are known exactly; their error is 0.
    batch : int
        Stars that are computed together.

    Returns
    -------
    array (N, L)
        In the order of ``emulator.labels`` and in their units; infinite where the spectrum says
        nothing of a label, or nothing that another unknown does not mimic.

    Raises
    ------
    ConfigError
        If not just one of ``ivar`` and ``snr`` is given, or one is negative or not finite.
    DataError
        If their shapes do not fit.
    LabelError
        If a label is missing, or a known one is not among the emulator's.
    """
    from starnet.synthesis.contract import check_labels

    check_labels(labels)
    own = emulator.labels
    if strange := [name for name in known if name not in own]:
        raise LabelError(f"known names {', '.join(strange)}; the emulator has {', '.join(own)}.")
    if continuum is not None and (not isinstance(continuum, int) or continuum < 0):
        raise ConfigError(
            f"continuum must be an order of at least 0, or None; received {continuum!r}."
        )
    weights = _weights(emulator.grid, len(labels), ivar, snr)
    free = np.array([i for i, name in enumerate(own) if name not in known], dtype=int)
    out = np.zeros((len(labels), len(own)))
    for start in range(0, len(labels), batch):
        part = slice(start, start + batch)
        flux, slopes = spectra_and_slopes(emulator, labels[part])
        extra = nuisances(emulator.grid, flux, continuum, rv, broadening)
        rows = np.concatenate([slopes[:, free], extra], axis=1)  # (B, M, P)
        out[part, free] = smallest_errors(rows, weights[part])[:, : free.size]
    return out


def spectra_and_slopes(emulator: Emulator, labels: Labels) -> tuple[Array, Array]:
    """Flux (N, P) and its derivatives (N, L, P), broadened by vmac and vsini of the labels."""
    import torch

    values = torch.as_tensor(emulator.own(labels), dtype=torch.float32)
    with torch.no_grad():
        flux, slopes = (part.double().numpy() for part in emulator.flux_and_slopes(values))
    still = np.zeros(len(labels))
    speed = {n: labels.column(n) if n in labels.names else still for n in ("vmac", "vsini")}
    for i in np.flatnonzero(speed["vmac"] + speed["vsini"]):
        rows = np.concatenate([flux[i, None], slopes[i]])
        rows = _broadened(emulator.grid, rows, speed["vmac"][i], speed["vsini"][i])
        flux[i], slopes[i] = rows[0], rows[1:]
    return flux, slopes


def _broadened(grid: WavelengthGrid, rows: Array, vmac: float, vsini: float) -> Array:
    """Rows (R, P) of one star as `starnet.synthesis.observe.broaden` would, all together."""
    from scipy.ndimage import convolve1d

    from starnet.synthesis.observe import broadening as by

    out = rows.copy()
    for a, b in grid.chips:
        step = by.velocity_step(grid, a, b)
        spin = by.velocity_kernel(by.rotation_cdf, vsini, step)
        macro = by.velocity_kernel(by.radial_tangential_cdf, vmac, step, by.REACH)
        kernel = np.convolve(spin, macro)
        out[:, a:b] = convolve1d(rows[:, a:b], kernel, axis=1, mode="nearest")
    return out


def nuisances(
    grid: WavelengthGrid, flux: Array, continuum: int | None, rv: bool, broadening: bool
) -> Array:
    """Derivatives of flux (N, P) by what else may be unknown, (N, M, P).

    A velocity shifts by ``-v / c`` in log wavelength; a narrow Gaussian of standard deviation s
    adds ``s**2 / 2`` times the second derivative. Both are taken from splines in each chip.
    """
    rows = []
    if continuum is not None:
        for a, b in grid.chips:
            x = np.linspace(-1, 1, b - a)
            for order in range(continuum + 1):
                shape = np.zeros(grid.n_pixels)
                shape[a:b] = np.polynomial.legendre.Legendre.basis(order)(x)
                rows.append(flux * shape)
    if rv or broadening:
        first, second = _by_velocity(grid, flux)
        rows += [-first] * rv + [0.5 * second] * broadening
    return np.stack(rows, axis=1) if rows else np.zeros((len(flux), 0, grid.n_pixels))


def smallest_errors(rows: Array, ivar: Array) -> Array:
    """Errors (N, M) from derivatives (N, M, P) and inverse variances (N, P).

    The information is scaled to a unit diagonal. Directions without information (an eigenvalue
    below `SINGULAR`) are left out of the inverse, and what lies along them has an infinite error.
    """
    information = np.einsum("nmp,nkp->nmk", rows * ivar[:, None], rows, optimize=True)
    diagonal = np.sqrt(np.einsum("nmm->nm", information))
    scale = np.where(diagonal > 0, diagonal, 1.0)
    values, vectors = np.linalg.eigh(information / scale[:, :, None] / scale[:, None, :])
    empty = values < SINGULAR
    inverse = np.where(empty, 0.0, 1 / np.where(empty, 1.0, values))
    variance = np.einsum("nmk,nk,nmk->nm", vectors, inverse, vectors)
    unknown = np.einsum("nmk,nk->nm", vectors**2, empty.astype(float)) > TOUCHED**2
    return np.where(unknown, np.inf, np.sqrt(variance) / scale)


def _weights(grid: WavelengthGrid, n: int, ivar: ArrayLike | None, snr: ArrayLike | None) -> Array:
    """Inverse variance (N, P)."""
    if (ivar is None) == (snr is None):
        raise ConfigError("A limit needs the noise: give either ivar or snr.")
    given = np.asarray(ivar if snr is None else snr, dtype=float)
    if not np.all(np.isfinite(given) & (given >= 0)):
        what = "ivar" if snr is None else "snr"
        raise ConfigError(f"{what} must be finite and not negative; give 0 for masked pixels.")
    if snr is None:
        if given.shape not in ((grid.n_pixels,), (n, grid.n_pixels)):
            raise DataError(
                f"ivar must have shape ({n}, {grid.n_pixels}) for these stars and the emulator's "
                f"pixels; received {given.shape}. Take emulator.on(the spectra's grid)."
            )
        return np.broadcast_to(given, (n, grid.n_pixels))
    if given.shape not in ((), (n,)):
        raise DataError(f"snr must be a number or {n} of them; received {given.shape}.")
    inside = np.zeros(grid.n_pixels)
    for a, b in grid.chips:
        inside[a:b] = 1.0
    return np.broadcast_to(given, (n,))[:, None] ** 2 * inside


def _by_velocity(grid: WavelengthGrid, flux: Array) -> tuple[Array, Array]:
    """First and second derivative of flux (N, P) by velocity in km/s, within each chip."""
    from scipy.interpolate import make_interp_spline

    speed = np.log(grid.to_vacuum().wavelength) * LIGHT
    first, second = np.zeros_like(flux), np.zeros_like(flux)
    for a, b in grid.chips:
        if b - a >= 6:
            spline = make_interp_spline(speed[a:b], flux[:, a:b], k=5, axis=1)
            first[:, a:b] = spline(speed[a:b], 1)
            second[:, a:b] = spline(speed[a:b], 2)
    return first, second
