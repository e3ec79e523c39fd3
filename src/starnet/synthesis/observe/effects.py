"""What the sky, the detector and the reduction leave in a spectrum, beyond photon noise.

Each is a frozen value that draws one star's share from that star's own generator. Amounts are in
units of the star's median flux. What is drawn is returned beside the arrays, to be recorded.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np
import yaml
from numpy.polynomial import legendre
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from starnet.spectra import WavelengthGrid, doppler_factor, vacuum_to_air
from starnet.synthesis.observe._described import Described, Interval, interval, number, require
from starnet.synthesis.observe.lsf import FWHM

Array = NDArray[Any]
Lines = tuple[tuple[float, float], ...]
Record = dict[str, float]
WINDOW = 5.0  # sigma to which a line is drawn


@dataclass(frozen=True)
class SkyLines(Described):
    """Emission lines of the night sky: their photons, and what their subtraction leaves.

    The sky is ``brightness * strength`` at the peak of each line, with the instrument's line
    spread. Its photons add to the noise, and the quoted errors know of them. The subtraction is
    wrong by a normal fraction ``residual`` of each line, and by one wavelength shift of normal
    size ``shift`` for all; the quoted errors know nothing of either.

    Parameters
    ----------
    brightness : float or (low, high)
        Of a line of strength 1 in units of the star's median flux; drawn evenly in its logarithm.
    residual : float
        Fraction of a line.
    shift : float
        km/s.
    lines : ((wavelength, strength), ...)
        Vacuum Angstrom. Default: the packaged list, whose sources `sky_sources` tells.
    """

    brightness: Interval = (0.05, 3.0)
    residual: float = 0.02
    shift: float = 0.1
    lines: Lines = ()

    def __post_init__(self) -> None:
        pair = interval("SkyLines", "brightness", self.brightness, positive=True)
        object.__setattr__(self, "brightness", pair)
        number("SkyLines", "residual", self.residual, 0, 1)
        number("SkyLines", "shift", self.shift, 0, 1000)
        object.__setattr__(self, "lines", checked_lines("SkyLines", self.lines))

    def draw(
        self, rng: np.random.Generator, grid: WavelengthGrid, velocity: float
    ) -> tuple[Array, Array, Record]:
        """Sky (P,), residual (P,) and what was drawn, for a star that moves at a velocity."""
        low, high = np.log(np.asarray(self.brightness, dtype=float))
        brightness = float(np.exp(rng.uniform(low, high)))
        shift = float(self.shift * rng.standard_normal())
        lines = self.lines or packaged("emission")
        wrong = self.residual * rng.standard_normal(len(lines))
        at, strength = np.array(lines).T
        strength = brightness * strength
        sky = drawn_lines(grid, at, strength, velocity)
        left = drawn_lines(grid, at, strength * (1 + wrong), velocity + shift) - sky
        return sky, left, {"sky_brightness": brightness, "sky_shift": shift}


@dataclass(frozen=True)
class Telluric(Described):
    """What is left of absorption by the Earth's atmosphere after its correction.

    The flux is multiplied by ``1 + e * depth(wavelength)``, where ``e`` is normal and one number
    for all lines of a spectrum: the air mass or the water column was taken wrong.

    Parameters
    ----------
    amplitude : float
        Standard deviation of ``e``.
    lines : ((wavelength, depth), ...)
        Vacuum Angstrom. Default: the packaged list, whose sources `sky_sources` tells; in the
        optical its positions within the bands are made up.
    """

    amplitude: float = 0.1
    lines: Lines = ()

    def __post_init__(self) -> None:
        number("Telluric", "amplitude", self.amplitude, 0, 1)
        object.__setattr__(self, "lines", checked_lines("Telluric", self.lines))

    def draw(
        self, rng: np.random.Generator, grid: WavelengthGrid, velocity: float
    ) -> tuple[Array, Record]:
        """Factor (P,) and what was drawn."""
        wrong = float(self.amplitude * rng.standard_normal())
        at, depth = np.array(self.lines or packaged("absorption")).T
        deep = np.minimum(drawn_lines(grid, at, depth, velocity), 1.0)
        return np.maximum(1 + wrong * deep, 0.0), {"telluric_residual": wrong}


@dataclass(frozen=True)
class ContinuumError(Described):
    """A smooth factor on each chip: exp of a random Legendre polynomial.

    Coefficients are normal, so scaled that the exponent has standard deviation ``amplitude`` over
    a chip; `starnet.preprocess.ContinuumShape` does the same in training.
    """

    amplitude: float = 0.01
    order: int = 3

    def __post_init__(self) -> None:
        number("ContinuumError", "amplitude", self.amplitude, 0, 1)
        whole = isinstance(self.order, int) and 0 <= self.order <= 50
        require(whole, "ContinuumError", "order must be an integer from 0 to 50", self.order)

    def draw(self, rng: np.random.Generator, grid: WavelengthGrid) -> tuple[Array, Record]:
        """Factor (P,) and its root mean square over the chips."""
        exponent = np.zeros(grid.n_pixels)
        orders = np.arange(self.order + 1)
        scale = self.amplitude * np.sqrt((2 * orders + 1) / orders.size)
        squares = 0.0
        for a, b in grid.chips:
            draws = scale * rng.standard_normal(orders.size)
            exponent[a:b] = legendre.legval(np.linspace(-1, 1, b - a), draws)
            squares += float(np.sum(exponent[a:b] ** 2))
        rms = np.sqrt(squares / sum(b - a for a, b in grid.chips))
        return np.exp(exponent), {"continuum_rms": float(rms)}


@dataclass(frozen=True)
class Ripples(Described):
    """A factor on each chip that wavers about 1 over some pixels: flat fields, fringes and alike.

    White noise smoothed by a Gaussian, of root mean square ``amplitude``; the quoted errors know
    nothing of it. Visits of one star differ by it: in APOGEE's by 0.5 to 1.2 per cent over 5 to 80
    pixels after a continuum of eighth order (measured on the visits of 11 cool stars, DR12 to
    DR14), in LAMOST's low-resolution spectra by 0.3 to 0.7 per cent.

    Parameters
    ----------
    amplitude : float or (low, high)
        Drawn evenly in its logarithm.
    length : float or (low, high)
        Sigma of the Gaussian in pixels, drawn likewise.
    """

    amplitude: Interval = (0.001, 0.01)
    length: Interval = (2.0, 40.0)

    def __post_init__(self) -> None:
        for name in ("amplitude", "length"):
            pair = interval("Ripples", name, getattr(self, name), positive=True)
            object.__setattr__(self, name, pair)
        must = "amplitude must be below 0.5 and length below 1000 pixels"
        fine = np.max(self.amplitude) < 0.5 and np.max(self.length) < 1000
        require(bool(fine), "Ripples", must, (self.amplitude, self.length))

    def draw(self, rng: np.random.Generator, grid: WavelengthGrid) -> tuple[Array, Record]:
        """Factor (P,), its amplitude and length."""
        pairs = (np.log(np.broadcast_to(v, 2)) for v in (self.amplitude, self.length))
        amplitude, length = (float(np.exp(rng.uniform(low, high))) for low, high in pairs)
        factor = np.ones(grid.n_pixels)
        for a, b in grid.chips:
            smooth = gaussian_filter1d(rng.standard_normal(b - a), length, mode="wrap")
            factor[a:b] += amplitude * smooth * np.sqrt(2 * np.sqrt(np.pi) * length)
        return factor, {"ripple": amplitude, "ripple_length": length}


@dataclass(frozen=True)
class BadPixels(Described):
    """Runs of bad pixels: most are masked, a few slip through.

    Parameters
    ----------
    fraction : float or (low, high)
        Of the pixels, before runs overlap; drawn evenly.
    length : float
        Mean length of a run in pixels (geometric distribution).
    flagged : float
        Fraction of the runs that the mask tells of.
    amplitude : float
        A run is off by a normal number of this standard deviation, in median fluxes.
    """

    fraction: Interval = (0.0, 0.1)
    length: float = 4.0
    flagged: float = 0.98
    amplitude: float = 0.3

    def __post_init__(self) -> None:
        pair = interval("BadPixels", "fraction", self.fraction, positive=False)
        require(pair[1] <= 1, "BadPixels", "fraction must be at most 1", self.fraction)
        object.__setattr__(self, "fraction", pair)
        number("BadPixels", "length", self.length, 1)
        number("BadPixels", "flagged", self.flagged, 0, 1)
        number("BadPixels", "amplitude", self.amplitude, 0)

    def draw(self, rng: np.random.Generator, grid: WavelengthGrid) -> tuple[Array, Array, Record]:
        """Offset (P,) in median fluxes, mask (P,), and the fraction drawn."""
        low, high = np.asarray(self.fraction, dtype=float)
        fraction = float(rng.uniform(low, high))
        n = grid.n_pixels
        offset, mask = np.zeros(n), np.zeros(n, dtype=bool)
        for _ in range(rng.poisson(fraction * n / self.length)):
            start = int(rng.integers(n))
            stop = start + int(rng.geometric(1 / self.length))
            offset[start:stop] += self.amplitude * rng.standard_normal()
            mask[start:stop] |= bool(rng.random() < self.flagged)
        return offset, mask, {"bad_fraction": fraction}


def drawn_lines(grid: WavelengthGrid, wavelength: Array, strength: Array, velocity: float) -> Array:
    """Sum (P,) of lines with the grid's line spread, each with its strength at the peak.

    Parameters
    ----------
    wavelength : array (L,)
        Vacuum Angstrom, where the observer is at rest.
    velocity : float
        km/s of the grid's frame (the star) away from the observer: lines move to the blue.
    """
    moved = wavelength / float(doppler_factor(velocity))
    at = moved if grid.medium == "vacuum" else vacuum_to_air(moved)
    wave = grid.wavelength
    assert grid.lsf is not None
    sigma = np.interp(at, wave, grid.lsf.fwhm_at(wave)) / FWHM
    low = np.searchsorted(wave, at - WINDOW * sigma)
    count = np.searchsorted(wave, at + WINDOW * sigma, side="right") - low
    line = np.repeat(np.arange(at.size), count)
    pixel = np.arange(line.size) - np.repeat(np.cumsum(count) - count, count) + low[line]
    value = strength[line] * np.exp(-0.5 * ((wave[pixel] - at[line]) / sigma[line]) ** 2)
    return np.bincount(pixel, value, minlength=wave.size)


def checked_lines(owner: str, lines: Any) -> Lines:
    """Pairs of positive wavelength and strength as floats."""
    try:
        pairs = tuple((float(a), float(b)) for a, b in lines)
    except (TypeError, ValueError):
        pairs = ((np.nan, np.nan),)
    fine = all(0 < a < np.inf and 0 <= b < np.inf for a, b in pairs)
    require(fine, owner, "lines must be pairs (vacuum wavelength in Angstrom, strength)", lines)
    return pairs


@lru_cache(maxsize=1)
def _sky() -> dict[str, Any]:
    text = resources.files("starnet.synthesis.observe").joinpath("sky.yaml").read_text("utf-8")
    return yaml.safe_load(text)


def sky_sources() -> dict[str, str]:
    """Where the packaged lines are from: emission, absorption, and optical bands."""
    return {name: part["source"].strip() for name, part in _sky().items()}


@lru_cache(maxsize=2)
def packaged(kind: str) -> Lines:
    """The packaged lines: "emission" or "absorption"."""
    lines = [(float(a), float(b)) for a, b in _sky()[kind]["lines"]]
    if kind == "absorption":
        for start, stop, n, depth in _sky()["bands"]["list"]:
            jitter = np.modf(np.arange(n) * 0.6180339887)[0] - 0.5
            at = start + (np.arange(n) + 0.5 + 0.8 * jitter) * (stop - start) / n
            lines += [(float(a), float(depth)) for a in at]
    return tuple(sorted(lines))
