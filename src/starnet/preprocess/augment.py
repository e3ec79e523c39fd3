"""Augmentation: random changes for training that leave the labels as they are.

Each draws anew for every row at every call, from the generator that is handed in; prediction
leaves them out (`Pipeline.deterministic`). Flux, inverse variance and mask change together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.polynomial import legendre
from scipy.ndimage import convolve1d
from scipy.special import ive

from starnet.errors import DataError, GridError
from starnet.preprocess._contract import Transform, register
from starnet.preprocess._params import Interval, integer, interval, number, one_of, require
from starnet.preprocess._rows import (
    TINY,
    Array,
    fill_linear,
    inverse,
    masked_quantile,
    row_blocks,
    variance,
)
from starnet.preprocess._shift import Kind, shifted
from starnet.preprocess.lsf import FWHM
from starnet.spectra import Frame, Spectra, WavelengthGrid, doppler_factor


@register
@dataclass(frozen=True, eq=False)
class AddNoise(Transform):
    """Gaussian noise: down to a random signal-to-noise ratio, or as large as the errors.

    Parameters
    ----------
    snr : float or (low, high), optional
        Signal to noise per pixel to come to, drawn evenly in its logarithm for each row. The
        noise per pixel is the row's median flux over it; of this, noise that a known error says
        is there already is left out (in squares), so that no pixel gets better and spectra that
        are worse already stay as they are.
    from_ivar : bool
        Add noise by each pixel's own error instead; pixels of unknown error get none. Exactly
        one of the two is given.

    The variance that is added enters the inverse variance; unknown errors stay unknown.

    Raises
    ------
    DataError
        With ``from_ivar``, if no good pixel of the batch has a known error.
    """

    snr: Interval | None = None
    from_ivar: bool = False

    random = True

    def __post_init__(self) -> None:
        one = (self.snr is not None) != self.from_ivar
        require(one, self, "give either snr=(low, high) or from_ivar=True", self.snr)
        if self.snr is not None:
            pair = interval(self, self.snr, "snr")
            require(pair[0] > 0, self, "snr must be positive", self.snr)
            object.__setattr__(self, "snr", pair)

    def _apply(self, spectra: Spectra, rng: np.random.Generator) -> Spectra:
        known = spectra.ivar > TINY
        if self.from_ivar and not known.any() and not spectra.mask.all():
            raise DataError(
                "AddNoise(from_ivar=True) needs errors and these spectra have none. Use "
                "AddNoise(snr=(low, high))."
            )
        own = np.nan_to_num(variance(spectra.ivar, spectra.mask))
        added = own if self.from_ivar else np.maximum(self._wanted(spectra, rng) - own, 0)
        noise = rng.standard_normal(spectra.flux.shape, dtype=np.float32) * np.sqrt(added)
        flux = np.where(spectra.mask, spectra.flux, spectra.flux + noise)
        return spectra.replace(flux=flux, ivar=np.where(known, inverse(own + added), 0))

    def _wanted(self, spectra: Spectra, rng: np.random.Generator) -> Array:
        """Variance to come to, shape (N, 1)."""
        low, high = np.log(np.asarray(self.snr, dtype=float))
        ratio = np.exp(rng.uniform(low, high, len(spectra)))
        level = np.empty(len(spectra))
        for rows in row_blocks(len(spectra)):
            level[rows] = masked_quantile(spectra.flux[rows], spectra.mask[rows], 0.5)
        return np.nan_to_num(np.square(level / ratio))[:, None].astype(np.float32)


@register
@dataclass(frozen=True, eq=False)
class ContinuumShape(Transform):
    """Smooth distortion of each chip: flux times exp of a random Legendre polynomial.

    Coefficients of orders 0 to ``order`` are normal and independent, scaled so that the exponent
    has standard deviation ``amplitude`` over a chip: a_k ~ amplitude sqrt((2 k + 1) / (order + 1)).

    Parameters
    ----------
    amplitude : float
        0.02 stands for continua that are off by two per cent.
    order : int
    """

    amplitude: float = 0.02
    order: int = 2

    random = True

    def __post_init__(self) -> None:
        number(self, self.amplitude, "amplitude")
        require(0 <= self.amplitude <= 1, self, "amplitude must be from 0 to 1", self.amplitude)
        integer(self, self.order, "order", 0)

    def _apply(self, spectra: Spectra, rng: np.random.Generator) -> Spectra:
        shape = np.ones(spectra.flux.shape, dtype=np.float32)
        scale = self.amplitude * np.sqrt((2 * np.arange(self.order + 1) + 1) / (self.order + 1))
        for a, b in spectra.grid.chips:
            x = np.linspace(-1, 1, b - a)
            draws = rng.standard_normal((len(spectra), self.order + 1)) * scale
            vander = legendre.legvander(x, self.order).astype(np.float32)
            shape[:, a:b] = np.exp(draws.astype(np.float32) @ vander.T)
        return spectra.replace(flux=spectra.flux * shape, ivar=spectra.ivar / (shape * shape))


@register
@dataclass(frozen=True, eq=False)
class RVJitter(Transform):
    """A random Doppler shift of each row: velocities that are not known exactly.

    Parameters
    ----------
    sigma : float
        Standard deviation in km/s.
    kind : "cubic" or "linear"
        Interpolation, as in `DopplerShift`.
    """

    sigma: float = 1.0
    kind: Kind = "cubic"

    random = True

    def __post_init__(self) -> None:
        number(self, self.sigma, "sigma")
        require(0 <= self.sigma < 1e4, self, "sigma must be from 0 to 10000 km/s", self.sigma)
        one_of(self, self.kind, ("cubic", "linear"), "kind")

    def _apply(self, spectra: Spectra, rng: np.random.Generator) -> Spectra:
        velocity = self.sigma * rng.standard_normal(len(spectra))
        return shifted(spectra, doppler_factor(velocity), self.kind)


@register
@dataclass(frozen=True, eq=False)
class LSFJitter(Transform):
    """A random broadening of each row: line spreads that differ from fibre to fibre.

    A Gaussian, of one width in pixels for each chip, is drawn for every row. Masked pixels are
    filled from their neighbours beforehand and stay masked. ``grid.lsf`` is not changed: it
    describes the spectra on the whole.

    Parameters
    ----------
    fraction : float or (low, high), optional
        How much broader lines get: 0.1 makes ``grid.lsf`` ten per cent wider. Drawn evenly.
    pixels : float or (low, high), optional
        Standard deviation of the Gaussian in pixels; needs no line spread. Exactly one is given.

    Raises
    ------
    GridError
        With ``fraction``, if the grid has no line spread.
    """

    fraction: Interval | None = None
    pixels: Interval | None = None

    random = True

    def __post_init__(self) -> None:
        one = (self.fraction is None) != (self.pixels is None)
        require(one, self, "give either fraction or pixels", (self.fraction, self.pixels))
        name = "pixels" if self.fraction is None else "fraction"
        object.__setattr__(self, name, interval(self, getattr(self, name), name))

    def output_grid(self, grid: WavelengthGrid, frame: Frame) -> tuple[WavelengthGrid, Frame]:
        """Unchanged; with ``fraction`` there must be a line spread."""
        if self.fraction is not None and grid.lsf is None:
            raise GridError(
                f"LSFJitter(fraction=...) needs the line spread and the grid ({grid.describe()}) "
                "has none. Use LSFJitter(pixels=(low, high)), or set grid.lsf."
            )
        return grid, frame

    def _apply(self, spectra: Spectra, rng: np.random.Generator) -> Spectra:
        given: Any = self.pixels if self.fraction is None else self.fraction
        low, high = given
        drawn = rng.uniform(low, high, len(spectra))
        flux, ivar = np.array(spectra.flux), np.array(spectra.ivar)
        for a, b in spectra.grid.chips:
            sigma = self._sigma(spectra.grid, a, b, drawn)
            wave = spectra.grid.wavelength[a:b]
            for rows in row_blocks(len(spectra)):
                bad = spectra.mask[rows, a:b]
                kernels = _kernels(sigma[rows])
                filled = fill_linear(spectra.flux[rows, a:b], bad, wave)
                flux[rows, a:b] = _convolved(filled, kernels)
                if spectra.ivar[rows, a:b].any():
                    var = fill_linear(variance(spectra.ivar[rows, a:b], bad), bad, wave)
                    ivar[rows, a:b] = inverse(_convolved(var, kernels**2))
        return spectra.replace(flux=flux, ivar=ivar)

    def _sigma(self, grid: WavelengthGrid, a: int, b: int, drawn: Array) -> Array:
        """Width in pixels of each row's Gaussian in one chip, shape (N,)."""
        if self.pixels is not None or grid.lsf is None or b - a < 2:
            return drawn if self.pixels is not None else np.zeros_like(drawn)
        width = np.gradient(grid.wavelength[a:b])
        own = float(np.median(grid.lsf.fwhm_at(grid.wavelength)[a:b] / width)) / FWHM
        return own * np.sqrt(np.square(1 + drawn) - 1)


@register
@dataclass(frozen=True, eq=False)
class LineJitter(Transform):
    """Lines that are deeper or shallower than they should be, as line lists have them.

    For spectra with their continuum at 1. The depth below it is multiplied by exp(a g): g is
    normal with standard deviation 1 in each pixel and alike over the width of a line, drawn anew
    for each row. A network that has seen such spectra leans on many lines rather than on a few.

    Parameters
    ----------
    amplitude : float or (low, high)
        The a of each row, drawn evenly; about the relative error of depths (0.1: ten per cent).
    width : float
        Standard deviation in pixels of the Gaussian that g is smoothed by.

    The inverse variance follows: errors are multiplied by the same factor.
    """

    amplitude: Interval = (0.0, 0.3)
    width: float = 1.5

    random = True

    def __post_init__(self) -> None:
        pair = interval(self, self.amplitude, "amplitude")
        require(pair[1] <= 1, self, "amplitude must be at most 1", self.amplitude)
        object.__setattr__(self, "amplitude", pair)
        number(self, self.width, "width")
        require(0 < self.width <= 100, self, "width must be in (0, 100] pixels", self.width)

    def _apply(self, spectra: Spectra, rng: np.random.Generator) -> Spectra:
        low, high = np.asarray(self.amplitude, dtype=float)
        drawn = rng.uniform(low, high, len(spectra)).astype(np.float32)
        reach = int(np.ceil(4 * self.width))
        kernel = np.exp(-0.5 * np.square(np.arange(-reach, reach + 1) / self.width))
        kernel = (kernel / np.sqrt(np.sum(np.square(kernel)))).astype(np.float32)
        flux, ivar = np.array(spectra.flux), np.array(spectra.ivar)
        for rows in row_blocks(len(spectra)):
            shape = flux[rows].shape[0], flux.shape[1] + 2 * reach
            noise = rng.standard_normal(shape, dtype=np.float32)
            factor = np.exp(drawn[rows, None] * convolve1d(noise, kernel)[:, reach:-reach])
            flux[rows] = 1 - (1 - flux[rows]) * factor
            ivar[rows] /= factor * factor
        return spectra.replace(flux=np.where(spectra.mask, spectra.flux, flux), ivar=ivar)


@register
@dataclass(frozen=True, eq=False)
class MaskRandom(Transform):
    """Mask random stretches of each row, so that a network learns to do without any of them.

    Only the mask (and with it the inverse variance) changes; what the network sees there is for
    a later `FillMasked` or `InterpolateMasked` to say.

    Parameters
    ----------
    fraction : float
        Of the pixels to mask, before stretches overlap one another.
    segments : int
        Number of stretches, all of one length.
    """

    fraction: float = 0.05
    segments: int = 5

    random = True

    def __post_init__(self) -> None:
        number(self, self.fraction, "fraction")
        require(0 <= self.fraction <= 1, self, "fraction must be from 0 to 1", self.fraction)
        integer(self, self.segments, "segments", 1)

    def _apply(self, spectra: Spectra, rng: np.random.Generator) -> Spectra:
        n, p = spectra.flux.shape
        length = min(p, round(self.fraction * p / self.segments))
        start = rng.integers(0, p - length, (n, self.segments), endpoint=True)
        steps = np.zeros((n, p + 1), dtype=np.int16)
        rows = np.arange(n)[:, None]
        np.add.at(steps, (rows, start), 1)
        np.add.at(steps, (rows, start + length), -1)
        inside = np.cumsum(steps[:, :-1], axis=1, dtype=np.int16) > 0
        return spectra.replace(mask=spectra.mask | inside)


def _kernels(sigma: Array) -> Array:
    """Discrete Gaussians exp(-v) I_n(v) of variance v = sigma**2, shape (N, 2 r + 1)."""
    reach = int(np.ceil(4 * float(sigma.max(initial=0)))) + 1
    kernels = ive(np.abs(np.arange(-reach, reach + 1)), np.square(sigma)[:, None])
    return (kernels / kernels.sum(axis=1, keepdims=True)).astype(np.float32)


def _convolved(values: Array, kernels: Array) -> Array:
    """Each row (N, n) with its own kernel (N, 2 r + 1); the ends go on beyond the chip."""
    n, reach = values.shape[1], kernels.shape[1] // 2
    padded = np.pad(values, ((0, 0), (reach, reach)), mode="edge")
    out = np.zeros_like(values)
    for k in range(kernels.shape[1]):
        out += kernels[:, k : k + 1] * padded[:, k : k + n]
    return out
