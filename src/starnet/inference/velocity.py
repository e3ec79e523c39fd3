"""Radial velocities by cross-correlation with emulated spectra.

Each spectrum is divided by its running mean and laid on the emulator's grid, which is even in the
logarithm of wavelength, so that a velocity is a shift. The correlation coefficient at every shift
counts good pixels only, and weighs them; its maximum over all shifts and templates is the
velocity, and its curvature the error (Zucker 2003, MNRAS 342, 1291, eq. 12).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import next_fast_len
from scipy.ndimage import gaussian_filter1d, uniform_filter1d

from starnet.errors import GridError
from starnet.preprocess import ToRest
from starnet.spectra import Labels, Spectra, WavelengthGrid
from starnet.synthesis.emulator import Emulator

Array = NDArray[Any]
LIGHT = 299792.458  # km/s
LARGEST = 1000.0
"""Velocities (km/s) beyond this are not looked for: no star of the Galaxy has them."""
SMOOTH = 1000.0
"""km/s over which the running mean is taken, three times over."""
MODEL_ERROR = 0.05
EXCESS = 1.5
"""Errors of the formula times this are those of synthetic stars, whose templates never fit."""
CONTRAST = 7.0
"""A peak must stand this many robust sigma above the rest of the correlation."""
SECOND = 0.75
"""No other peak may be as high as this part of it: binaries have two."""
AGREE = 12.0
"""km/s within which a file's velocity is that of the spectrum."""
TEMPLATES = (
    (3900.0, 0.9, -0.2), (3900.0, 4.7, 0.0), (4300.0, 1.7, -0.2), (4700.0, 2.5, 0.0),
    (4700.0, 1.6, -1.5), (4700.0, 4.6, 0.0), (5400.0, 4.5, 0.0), (5400.0, 2.6, -1.8),
    (6000.0, 4.3, 0.0), (6200.0, 4.2, -1.2), (6700.0, 4.1, 0.0),
)  # fmt: skip
"""teff, logg, fe_h; those that the emulator does not have are moved to its edge."""


@dataclass(frozen=True, eq=False)
class Velocities:
    """Velocities of N spectra.

    Attributes
    ----------
    value, error : array (N,)
        km/s, positive to the red; NaN where nothing could be measured.
    peak : array (N,)
        Correlation coefficient at the maximum.
    contrast : array (N,)
        Height of the maximum over the median of the correlation, in robust sigma of it.
    second : array (N,)
        Highest other maximum, as a part of the highest.
    at_file : array (N,)
        Correlation at the velocity that the file gives, as a part of the highest; NaN for none.
    """

    value: Array
    error: Array
    peak: Array
    contrast: Array
    second: Array
    at_file: Array

    @property
    def good(self) -> NDArray[np.bool_]:
        """Whether the maximum is one to be trusted, (N,)."""
        return (self.contrast > CONTRAST) & (self.second < SECOND)


def measure_velocity(spectra: Spectra, emulator: Emulator) -> Velocities:
    """Velocities of spectra, by cross-correlation with templates from an emulator.

    Parameters
    ----------
    spectra : Spectra
        In the observed frame, or at rest to see whether they are; of any grid.
    emulator : Emulator
        On its own grid, which is even in the logarithm of wavelength.

    Raises
    ------
    GridError
        If less than a tenth of the emulator's wavelengths are covered.
    """
    if emulator.grid.sampling != "log":
        raise GridError(
            f"Velocities need an emulator even in log wavelength; received "
            f"{emulator.grid.describe()}. Take it as it is loaded, before Emulator.on."
        )
    step = LIGHT * float(np.median(np.diff(np.log(emulator.grid.wavelength))))
    most = int(np.ceil(LARGEST / step))
    prepared = _templates(emulator, _width(spectra.grid, emulator.grid), most)
    known = np.full(len(spectra), np.nan)
    if "rv" in spectra.meta.colnames:
        known = np.ma.filled(np.ma.asarray(spectra.meta["rv"]).astype(float), np.nan)
    rows = [
        _one(*_laid(spectra[i], emulator.grid), prepared, step, most, known[i])
        for i in range(len(spectra))
    ]
    columns = np.array(rows, dtype=float).reshape(len(rows), 6).T
    return Velocities(*columns)


def to_rest(spectra: Spectra, emulator: Emulator | None) -> Spectra:
    """Observed spectra at rest, by the file's velocity where the spectrum agrees, else by its own.

    ``meta`` gets ``rv`` (what was taken out), ``rv_err`` (NaN for a file's) and ``rv_bad``, where
    there is no velocity to be trusted. Spectra without any velocity come out masked. Spectra at
    rest pass unchanged; without an emulator the file's velocity is taken as it is.
    """
    if spectra.frame == "rest":
        return spectra
    meta = spectra.meta.copy()
    if emulator is None:
        return ToRest()(spectra)
    found = measure_velocity(spectra, emulator)
    given = np.full(len(spectra), np.nan)
    if "rv" in meta.colnames:
        given = np.ma.filled(np.ma.asarray(meta["rv"]).astype(float), np.nan)
    agree = np.abs(found.value - given) <= np.maximum(AGREE, 4 * found.error)
    measured = (found.good & ~agree) | ~np.isfinite(given)
    meta["rv"] = np.where(measured, found.value, given)
    meta["rv_err"] = np.where(measured, found.error, np.nan)
    meta["rv_bad"] = ~found.good & ~(agree & (found.contrast > 0.5 * CONTRAST))
    return ToRest()(spectra.replace(meta=meta))


@lru_cache(maxsize=8)
def _templates(emulator: Emulator, sigma: float, most: int) -> tuple[Array, Array, int]:
    """Transforms (T, F) of templates and of their squares, and the length of the transform."""
    import torch

    labels = Labels(("teff", "logg", "fe_h"), np.array(TEMPLATES))
    own = emulator.hull.clip(emulator.own(labels))
    with torch.no_grad():
        flux = emulator.flux(torch.as_tensor(own, dtype=torch.float32)).numpy().astype(float)
    if sigma > 0.3:
        flux = gaussian_filter1d(flux, sigma, axis=1, mode="nearest")
    good = np.ones_like(flux)
    lines = _filtered(flux, good, emulator.grid)
    n = int(next_fast_len(lines.shape[1] + 2 * most, real=True) or 0)
    return np.conj(np.fft.rfft(lines, n)), np.conj(np.fft.rfft(lines**2, n)), n


def _width(grid: WavelengthGrid, own: WavelengthGrid) -> float:
    """Sigma in pixels that brings the emulator's lines to those of the spectra, to a tenth."""
    if grid.lsf is None or own.lsf is None:
        return 0.0
    want = float(np.median(grid.lsf.fwhm_at(grid.wavelength) / grid.wavelength))
    have = float(np.median(own.lsf.fwhm_at(own.wavelength) / own.wavelength))
    step = float(np.median(np.diff(np.log(own.wavelength))))
    return round(float(np.sqrt(max(want**2 - have**2, 0.0))) / 2.3548 / step, 1)


def _laid(one: Spectra, grid: WavelengthGrid) -> tuple[Array, Array, int]:
    """A spectrum's lines and their weights on the log grid, and the number of good pixels."""
    source = one.grid.to_vacuum().wavelength
    good = ~one.mask[0]
    flux, weight = np.zeros(grid.n_pixels), np.zeros(grid.n_pixels)
    for a, b in one.grid.chips:
        inside = (grid.wavelength >= source[a]) & (grid.wavelength <= source[b - 1])
        at, wave = grid.wavelength[inside], source[a:b]
        if np.count_nonzero(good[a:b]) < 50:
            continue
        use = good[a:b]
        flux[inside] = np.interp(at, wave[use], one.flux[0, a:b][use])
        noise = np.where(one.ivar[0, a:b] > 0, 1 / np.sqrt(np.maximum(one.ivar[0, a:b], 1e-30)), 0)
        level = np.median(np.abs(one.flux[0, a:b][use])) or 1.0
        relative = np.interp(at, wave, np.where(use, noise / level, 0.0))
        covered = np.interp(at, wave, use.astype(float)) > 0.99
        weight[inside] = covered / (relative**2 + MODEL_ERROR**2)
    if np.count_nonzero(weight) < 0.1 * grid.n_pixels:
        return flux, np.zeros_like(weight), 0
    lines = _filtered(flux[None], (weight > 0)[None].astype(float), grid)[0]
    count = min(int(good.sum()), int(np.count_nonzero(weight)))
    return np.clip(lines, -0.9, 0.3), weight / weight.max(), count


def _filtered(flux: Array, good: Array, grid: WavelengthGrid) -> Array:
    """Flux (N, P) over its running mean, less 1; 0 where bad."""
    step = LIGHT * float(np.median(np.diff(np.log(grid.wavelength))))
    size = max(3, round(SMOOTH / step))
    top, bottom = flux * good, good
    for _ in range(3):
        top = uniform_filter1d(top, size, axis=1, mode="constant")
        bottom = uniform_filter1d(bottom, size, axis=1, mode="constant")
    mean = top / np.maximum(bottom, 1e-3)
    fine = (good > 0) & (mean > 0)
    return np.where(fine, flux / np.where(fine, mean, 1.0) - 1.0, 0.0)


def _one(
    lines: Array,
    weight: Array,
    count: int,
    prepared: tuple[Array, Array, int],
    step: float,
    most: int,
    known: float,
) -> tuple[float, ...]:
    """Value, error, peak, contrast, second and at_file of one spectrum."""
    if not count:
        return (np.nan,) * 2 + (0.0,) * 3 + (np.nan,)
    templates, squares, n = prepared
    mean = np.sum(weight * lines) / np.sum(weight)
    data = weight * (lines - mean)
    cross = _shifts(np.fft.irfft(np.fft.rfft(data, n) * templates, n), most)
    power = _shifts(np.fft.irfft(np.fft.rfft(weight, n) * squares, n), most)
    norm = np.sum(data * (lines - mean))
    coefficient = cross / np.sqrt(np.maximum(power * norm, 1e-30))  # (T, 2 most + 1)
    best = np.unravel_index(np.argmax(coefficient), coefficient.shape)
    curve = coefficient[best[0]]
    at, top, bend = _parabola(curve, int(best[1]))
    shifts = step * (np.arange(curve.size) - most)
    middle = np.median(curve)
    spread = 1.4826 * np.median(np.abs(curve - middle)) or 1e-9
    slope = -bend * top / step**2
    error = EXCESS * np.sqrt((1 - min(top, 0.999999) ** 2) / max(count * slope, 1e-12))
    at_file = np.nan
    if np.isfinite(known) and abs(known) < LARGEST:
        at_file = float(np.interp(known, shifts, coefficient.max(axis=0))) / max(top, 1e-9)
    velocity = step * (at - most)
    second = _second(curve - middle, int(best[1]))
    doppler = LIGHT * np.tanh(velocity / LIGHT)  # from a shift in log wavelength
    return doppler, error, top, (top - middle) / spread, second, at_file


def _shifts(correlation: Array, most: int) -> Array:
    """Shifts from -most to +most pixels, in order."""
    return np.concatenate([correlation[:, -most:], correlation[:, : most + 1]], axis=1)


def _parabola(curve: Array, i: int) -> tuple[float, float, float]:
    """Place, height and second derivative of a maximum through three points."""
    if not 0 < i < curve.size - 1:
        return float(i), float(curve[i]), 0.0
    a, b, c = curve[i - 1 : i + 2]
    bend = a - 2 * b + c
    off = 0.5 * (a - c) / bend if bend < 0 else 0.0
    return i + float(off), float(b - 0.25 * (a - c) * off), float(bend)


def _second(curve: Array, i: int) -> float:
    """Highest maximum beyond the valleys on both sides of the first, as a part of it."""
    left, right = i, i
    while left > 0 and curve[left - 1] < curve[left]:
        left -= 1
    while right < curve.size - 1 and curve[right + 1] < curve[right]:
        right += 1
    others = np.concatenate([curve[:left], curve[right + 1 :]])
    return float(others.max(initial=0.0) / curve[i]) if curve[i] > 0 else 1.0
