"""Spectra that no model should answer for, made of good stars or of simple profiles: for errors-7.

Everything is on an instrument's own pixels, before (`CASES`) or after (`SPOILED`) the observer has
seen it, and wrong in one way each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from starnet.spectra import Spectra, WavelengthGrid, vacuum_to_air

Array = NDArray[Any]
LIGHT = 299792.458
RYDBERG = 109677.58  # 1 / cm, of hydrogen


@dataclass(frozen=True, eq=False)
class Stars:
    """Clean flux (N, P) over continuum of good stars on a grid, and a generator.

    ``lower`` is the lower level of the hydrogen lines there; ``deep`` their greatest depth, and
    ``wide`` the half widths (Angstrom) of those of white dwarfs and of hot stars.
    """

    grid: WavelengthGrid
    flux: Array
    rng: np.random.Generator
    lower: int = 4
    deep: tuple[float, float] = (0.25, 0.35)
    wide: tuple[tuple[float, float], tuple[float, float]] = ((40.0, 120.0), (8.0, 25.0))

    @property
    def step(self) -> float:
        """km/s of a pixel."""
        return float(LIGHT * np.median(np.diff(np.log(self.grid.wavelength))))

    def some(self, n: int) -> Array:
        """Flux of n of them."""
        return self.flux[self.rng.integers(len(self.flux), size=n)].astype(float)

    def hydrogen(self, depth: float, width: float, last: int) -> Array:
        """Lorentz profiles at every line up to a last upper level, higher ones weaker; (P,)."""
        wave = self.grid.wavelength
        out = np.ones(wave.size)
        first = self.lower + 1
        levels = np.arange(first, last + 1)
        at = 1e8 / (RYDBERG * (1 / self.lower**2 - 1 / levels**2))
        inside = (at > wave[0] - 300) & (at < wave[-1] + 300)
        start = levels[inside].min(initial=last)
        for level, centre in zip(levels[inside], at[inside], strict=True):
            out -= depth * (start / level) ** 2.5 / (1 + ((wave - centre) / width) ** 2)
        return np.maximum(out, 0.1)


def white_dwarf(stars: Stars, n: int) -> Array:
    """Broad hydrogen lines up to level 14 (higher ones are dissolved); in 3 of 10 no line."""
    rng = stars.rng
    (low, high), most = stars.wide[0], stars.deep[0]
    depths = rng.uniform(0, most, n) * (rng.random(n) < 0.7)
    return np.array([stars.hydrogen(d, rng.uniform(low, high), 14) for d in depths])


def hot_star(stars: Stars, n: int) -> Array:
    """8,000 to 20,000 K: hydrogen lines deepest at 9,500 K and nothing else, vsini 5 to 300."""
    rng, out = stars.rng, []
    for teff in rng.uniform(8000, 20000, n):
        depth = 0.08 + (stars.deep[1] - 0.08) * np.exp(-(((teff - 9500) / 5000) ** 2))
        flux = stars.hydrogen(depth, rng.uniform(*stars.wide[1]), 20)
        at = np.arange(-200, 201) * stars.step / rng.uniform(5, 300)
        kernel = np.sqrt(np.clip(1 - at**2, 0, 1))
        padded = np.pad(flux, 200, mode="edge")
        out.append(np.convolve(padded, kernel / kernel.sum(), "valid"))
    return np.array(out)


def galaxy(stars: Stars, n: int) -> Array:
    """4 to 8 stars in random shares, dispersion 150 to 250 km/s, velocity off by 100 (sigma)."""
    rng, out = stars.rng, []
    for _ in range(n):
        members = stars.some(int(rng.integers(4, 9)))
        mixed = rng.dirichlet(np.full(len(members), 2.0)) @ members
        out.append(gaussian_filter1d(mixed, rng.uniform(150, 250) / stars.step))
    return moved(stars, np.array(out), 100 * rng.standard_normal(n))


def wrong_rv(stars: Stars, n: int) -> Array:
    """A velocity off by 50 km/s, to either side."""
    return moved(stars, stars.some(n), stars.rng.choice([-50.0, 50.0], n))


def air_as_vacuum(stars: Stars, n: int) -> Array:
    """Air wavelengths taken for those in vacuum: lines are 82 km/s to the blue."""
    wave = stars.grid.wavelength
    air = np.asarray(vacuum_to_air(wave))
    return np.array([np.interp(wave, air, row) for row in stars.some(n)])


def moved(stars: Stars, flux: Array, velocity: Array) -> Array:
    """Flux (N, P) shifted by velocities (N,) in km/s."""
    wave = stars.grid.wavelength
    pairs = zip(flux, velocity, strict=True)
    return np.array([np.interp(wave, wave * (1 + v / LIGHT), row) for row, v in pairs])


CASES: dict[str, Callable[[Stars, int], Array]] = {
    "white_dwarf": white_dwarf,
    "galaxy": galaxy,
    "hot_star": hot_star,
    "wrong_rv": wrong_rv,
    "air_as_vacuum": air_as_vacuum,
}


def shuffled(spectra: Spectra, chips: Any, rng: np.random.Generator) -> Spectra:
    """Chips in another order, each with its errors and mask; what does not fit is cut or masked."""
    flux, ivar, mask = (np.array(part) for part in (spectra.flux, spectra.ivar, spectra.mask))
    own = np.arange(len(chips))
    for i in range(len(spectra)):
        order = own
        while np.array_equal(order, own):
            order = rng.permutation(own)
        for (a, b), source in zip(chips, order, strict=True):
            c, d = chips[source]
            n = min(b - a, d - c)
            mask[i, a:b], ivar[i, a:b] = True, 0.0
            for to, old in ((flux, spectra.flux), (ivar, spectra.ivar), (mask, spectra.mask)):
                to[i, a : a + n] = old[i, c : c + n]
    return spectra.replace(flux=flux, ivar=ivar, mask=mask)


def wave(spectra: Spectra, chips: Any, amount: float, rng: np.random.Generator) -> Spectra:
    """A sine in each chip, multiplied; its period is a 24th of the chip to a third of it."""
    factor = np.ones(spectra.flux.shape)
    for row in factor:
        for a, b in chips:
            period = (b - a) * np.exp(rng.uniform(np.log(1 / 24), np.log(1 / 3)))
            phase = rng.uniform(0, 2 * np.pi)
            row[a:b] += amount * np.sin(2 * np.pi * np.arange(b - a) / period + phase)
    return spectra.replace(flux=spectra.flux * factor, ivar=spectra.ivar / factor**2)


def step(spectra: Spectra, chips: Any, amount: float, rng: np.random.Generator) -> Spectra:
    """The flux is higher or lower from somewhere in the middle 80 per cent of each chip on."""
    factor = np.ones(spectra.flux.shape)
    for row in factor:
        for a, b in chips:
            start = a + int((b - a) * rng.uniform(0.1, 0.9))
            row[start:b] *= 1 + amount * rng.choice([-1, 1])
    return spectra.replace(flux=spectra.flux * factor, ivar=spectra.ivar / factor**2)


def scattered(spectra: Spectra, chips: Any, amount: float, rng: np.random.Generator) -> Spectra:
    """Light of no spectrum is added, as a fraction of the median flux."""
    known = np.where(spectra.mask, np.nan, spectra.flux)
    return spectra.replace(flux=spectra.flux + amount * np.nanmedian(known, axis=1, keepdims=True))


SPOILED: dict[str, tuple[Callable[..., Spectra], tuple[float, ...]]] = {
    "wave": (wave, (0.01, 0.02, 0.05, 0.10)),
    "step": (step, (0.02, 0.05, 0.10, 0.20)),
    "scattered": (scattered, (0.02, 0.05, 0.10, 0.20)),
}
"""Errors of the continuum, by kind, with the amplitudes that are tried."""
