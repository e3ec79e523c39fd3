"""Components of spectra taken to other pixels and a broader line spread: one matrix.

Spectra on the emulator's grid are band-limited: their line spread leaves next to nothing at half
a cycle a pixel. So a shift by a fraction of a pixel and a Gaussian are exact in the frequencies
that there are: the kernel is the inverse transform of ``exp(-2 pi**2 s**2 f**2)`` over
``|f| < 1/2``, tapered far out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from starnet.errors import GridError
from starnet.spectra import WavelengthGrid

Array = NDArray[Any]
FWHM = float(np.sqrt(8 * np.log(2)))
TAPER = 6.0
"""Sigma, in pixels, of the Gaussian that ends the kernel of a pure shift."""
FREQUENCIES = 65


def decoder_matrix(
    source: WavelengthGrid, target: WavelengthGrid, width: float = 1.0, shift: float = 0.0
) -> csr_array:
    """Weights (Q, P) from P pixels even in log wavelength to Q pixels of another grid.

    Parameters
    ----------
    source : WavelengthGrid
        In vacuum, even in the logarithm, with its line spread.
    target : WavelengthGrid
        In air or vacuum. Without a line spread it keeps that of ``source``. Rows of pixels that
        ``source`` does not reach are empty.
    width : float
        Factor on the target's line spread.
    shift : float
        Velocity of the star in km/s.

    Raises
    ------
    GridError
        If the target's line spread is narrower than that of the source.
    """
    log_wave = np.log(source.wavelength)
    step = (log_wave[-1] - log_wave[0]) / (log_wave.size - 1)
    wave = target.to_vacuum().wavelength
    at = (np.log(wave) - shift / 299792.458 - log_wave[0]) / step  # (Q,) in source pixels
    sigma = _extra(source, target, width) / (wave * step)
    half = int(np.ceil(4 * np.hypot(sigma.max(initial=0.0), TAPER)))
    centre = np.rint(at).astype(int)
    offset = np.arange(-half, half + 1)
    column = centre[:, None] + offset
    kernel = _kernel(offset, at - centre, sigma)
    inside = (column >= 0) & (column < log_wave.size)
    reached = (at > -0.5) & (at < log_wave.size - 0.5)
    kernel = np.where(inside & reached[:, None], kernel, 0.0)
    total = kernel.sum(axis=1, keepdims=True)
    kernel = np.divide(kernel, total, out=np.zeros_like(kernel), where=reached[:, None])
    rows = np.broadcast_to(np.arange(wave.size)[:, None], column.shape)
    keep = np.abs(kernel) > 1e-7
    shape = wave.size, log_wave.size
    return csr_array((kernel[keep], (rows[keep], column[keep])), shape=shape)


def _extra(source: WavelengthGrid, target: WavelengthGrid, width: float) -> Array:
    """Sigma (Angstrom) of what is still to be convolved with, at each pixel of the target."""
    wave = target.to_vacuum().wavelength
    if target.lsf is None:
        return np.zeros(wave.size)
    want = target.lsf.fwhm_at(target.wavelength) * width
    if source.lsf is None:
        return want / FWHM
    own = source.lsf.fwhm_at(source.wavelength)
    have = np.interp(wave, source.wavelength, own)
    worst = int(np.argmax(have / want))
    if have[worst] > want[worst] * 1.001:
        raise GridError(
            f"The emulator's spectra have a FWHM of {have[worst]:.3f} A at {wave[worst]:.0f} A and "
            f"{want[worst]:.3f} A is wanted: they cannot be made sharper. Use an instrument of "
            "lower resolution, or train an emulator on sharper spectra."
        )
    return np.sqrt(np.maximum(want**2 - have**2, 0.0)) / FWHM


def _kernel(offset: Array, at: Array, sigma: Array) -> Array:
    """Weights (Q, N) of pixels at ``offset`` (N,) for places ``at`` (Q,) and widths (Q,).

    The inverse transform of a Gaussian's transform, cut at half a cycle a pixel, by Gauss-Legendre
    quadrature over the frequencies: ``cos(2 pi f (offset - at))`` comes apart into two products.
    """
    nodes, weights = np.polynomial.legendre.leggauss(FREQUENCIES)
    turn, weights = 0.5 * np.pi * (nodes + 1), 0.5 * weights  # 2 pi f, f from 0 to 1/2, both sides
    damp = weights * np.exp(-0.5 * (sigma[:, None] * turn) ** 2)
    out = (damp * np.cos(at[:, None] * turn)) @ np.cos(np.outer(turn, offset))
    out += (damp * np.sin(at[:, None] * turn)) @ np.sin(np.outer(turn, offset))
    x = offset - at[:, None]
    return np.asarray(out * np.exp(-0.5 * x**2 / (TAPER**2 + sigma[:, None] ** 2)))
