"""A model beside an observed spectrum: pixels, broadening, and what is not known of both.

The pixels of the observation stay where they are; the model moves to them. A model on a fine grid
even in the logarithm is broadened by a Gaussian (the instrument, and macroturbulence as a free
width), shifted by a free velocity, and multiplied by a smooth continuum that fits it best.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import BSpline
from torch import Tensor

from starnet.errors import ConfigError, GridError
from starnet.spectra import WavelengthGrid

from .atlas import Atlas

LIGHT = 299792.458
FWHM = 2.0 * np.sqrt(2.0 * np.log(2.0))
REACH = 5.0
"""Standard deviations to which the Gaussian is followed."""
KNOTS = 80
"""Pixels between knots of the continuum."""
Array = NDArray[Any]  # float64


class Gaussian:
    """Broadens spectra on a fine grid and takes them at pixels, as one linear map.

    Parameters
    ----------
    fine : array (F,)
        Even in the logarithm.
    pixels : array (P,)
        Wavelengths at which the result is wanted; it is not averaged over them.
    sigma : float
        Standard deviation in the logarithm of wavelength.

    Raises
    ------
    GridError
        If pixels are too near the ends of the grid.
    """

    def __init__(self, fine: Array, pixels: Array, sigma: float) -> None:
        step = np.log(fine[-1] / fine[0]) / (len(fine) - 1)
        place = np.log(pixels / fine[0]) / step
        half = int(np.ceil(REACH * sigma / step)) + 1
        start = np.floor(place).astype(np.int64) - half
        if start.min() < 0 or (start + 2 * half + 2).max() > len(fine):
            raise GridError(
                f"the model must reach {half * step * LIGHT:.0f} km/s beyond the pixels; it covers "
                f"{fine[0]:.1f} to {fine[-1]:.1f} Angstrom, they {pixels.min():.1f} to "
                f"{pixels.max():.1f}."
            )
        offset = start[:, None] + np.arange(2 * half + 2) - place[:, None]
        weight = np.exp(-0.5 * (offset * step / sigma) ** 2)
        weight /= weight.sum(axis=1, keepdims=True)
        self.size = 2 * half + 2
        self.start, self.weight = torch.as_tensor(start), torch.as_tensor(weight)

    def __call__(self, flux: Tensor) -> Tensor:
        """(F,) -> (P,)."""
        return (flux.double().unfold(0, self.size, 1)[self.start] * self.weight).sum(-1)


class Continuum:
    """The smooth factor that brings a model nearest to an observation, in closed form.

    Cubic splines in each chip with knots every `KNOTS` pixels.
    """

    def __init__(self, chips: tuple[tuple[int, int], ...], n_pixels: int, knots: float = KNOTS):
        parts = []
        for start, stop in chips:
            pieces = max(1, round((stop - start) / knots))
            t = np.concatenate([[0.0] * 3, np.linspace(0, 1, pieces + 1), [1.0] * 3])
            at = np.linspace(0, 1 - 1e-12, stop - start)
            part = np.zeros((n_pixels, len(t) - 4))
            part[start:stop] = BSpline.design_matrix(at, t, 3).toarray()
            parts.append(part)
        self.splines = torch.as_tensor(np.hstack(parts))

    def __call__(self, model: Tensor, observed: Tensor, good: Tensor) -> Tensor:
        """(P,) from model, observation and which pixels count, (P,) each."""
        rows = self.splines * (model * good)[:, None]
        normal = rows.T @ rows
        normal += 1e-8 * normal.diagonal().mean() * torch.eye(len(normal), dtype=normal.dtype)
        return self.splines @ torch.linalg.solve(normal, rows.T @ observed)


@dataclass(frozen=True, eq=False)
class Observed:
    """An observed spectrum at the resolution of comparison, and how models are brought to it.

    Attributes
    ----------
    pixels : array (P,)
        Vacuum Angstrom, in the observer's frame.
    flux : tensor (P,)
    good : tensor (P,) of bool
    continuum : Continuum
    resolution : float
        Wavelength / FWHM of the comparison.
    velocity : float
        Of the star, km/s.
    broadening : float
        Standard deviation of a Gaussian beside the instrument's, km/s.
    """

    pixels: Array
    flux: Tensor
    good: Tensor
    continuum: Continuum
    resolution: float
    velocity: float = 0.0
    broadening: float = 3.0

    @classmethod
    def of(
        cls,
        atlas: Atlas,
        grid: WavelengthGrid,
        resolution: float = 22_500.0,
        *,
        mask: Array | None = None,
        knots: float = KNOTS,
    ) -> Observed:
        """An atlas at a lower resolution.

        Parameters
        ----------
        atlas : Atlas
        grid : WavelengthGrid
            Pixels; those between chips are left out.
        resolution : float
            Wavelength / FWHM. What the atlas' own finite resolution adds is left to `broadening`.
        mask : array (P,) of bool, optional
            Pixels of the grid that do not count.
        knots : float
            Pixels between knots of the continuum.

        Raises
        ------
        ConfigError
            If the atlas covers none of the pixels, or the mask does not fit.
        """
        wave = grid.to_vacuum().wavelength
        masked = np.zeros(wave.size, bool) if mask is None else np.asarray(mask, dtype=bool)
        if masked.shape != wave.shape:
            raise ConfigError(f"a mask must have {wave.size} pixels; received {masked.shape}.")
        edge = wave * 6.0 / resolution  # pixels blurred with what is beyond the atlas do not count
        covered = (wave > atlas.wavelength[0] + edge) & (wave < atlas.wavelength[-1] - edge)
        if not covered.any():
            raise ConfigError(
                f"the atlas covers {atlas.wavelength[0]:.1f} to {atlas.wavelength[-1]:.1f} "
                f"Angstrom and none of the pixels from {wave[0]:.1f} to {wave[-1]:.1f}."
            )
        flux, sound = _blurred(atlas, wave, resolution)
        return cls.at_pixels(grid, flux, resolution, mask=masked | ~covered | ~sound, knots=knots)

    @classmethod
    def at_pixels(
        cls,
        grid: WavelengthGrid,
        flux: Array,
        resolution: float,
        *,
        mask: Array | None = None,
        knots: float = KNOTS,
        broadening: float = 3.0,
    ) -> Observed:
        """A spectrum that has the resolution of comparison already; not finite: masked."""
        chips = grid.chips or ((0, grid.n_pixels),)
        rows = np.concatenate([np.arange(*chip) for chip in chips])
        sizes = np.cumsum([0, *(stop - start for start, stop in chips)]).tolist()
        places = tuple(pairwise(sizes))
        value = np.asarray(flux, dtype=float)[rows]
        good = np.isfinite(value)
        if mask is not None:
            good &= ~np.asarray(mask, dtype=bool)[rows]
        return cls(
            grid.to_vacuum().wavelength[rows],
            torch.as_tensor(np.where(good, value, 1.0)),
            torch.as_tensor(good),
            Continuum(places, rows.size, knots),
            float(resolution),
            broadening=broadening,
        )

    def map(self, fine: Array) -> Gaussian:
        """From the grid of models to the pixels, with the velocity and broadening of now."""
        sigma = np.hypot(1.0 / self.resolution / FWHM, self.broadening / LIGHT)
        return Gaussian(fine, self.pixels / (1.0 + self.velocity / LIGHT), float(sigma))

    def residuals(self, model: Tensor, to_pixels: Gaussian) -> Tensor:
        """Observation minus model times continuum, (P,); 0 at pixels that do not count.

        The continuum is at its optimum, so its own derivatives are left out: they are zero.
        """
        at_pixels = to_pixels(model)
        factor = self.continuum(at_pixels.detach(), self.flux, self.good)
        return (self.flux - at_pixels * factor) * self.good

    def rms(self, model: Tensor, fine: Array) -> float:
        """Root mean square of the residuals over the pixels that count."""
        return self._rms(self.residuals(model, self.map(fine)))

    def _rms(self, residuals: Tensor) -> float:
        return float(torch.sqrt((residuals**2).sum() / self.good.sum()))

    def tuned(self, model: Tensor, fine: Array, *, reach: float = 4.0) -> Observed:
        """With the velocity (within `reach`) and broadening (0 to 9 km/s) that fit best."""

        def error(**change: float) -> tuple[float, Observed]:
            trial = replace(self, **change)
            return trial.rms(model, fine), trial

        best = error()
        for width, step in ((reach, 1.0), (1.0, 0.25), (0.25, 0.05)):
            near = best[1]
            speeds = near.velocity + np.arange(-width, width + 0.01, step)
            trials = [error(velocity=v, broadening=near.broadening) for v in speeds.tolist()]
            near = min([best, *trials], key=lambda pair: pair[0])[1]
            widths = np.arange(near.broadening - 4 * step, near.broadening + 4.01 * step, step)
            widths = np.unique(np.clip(widths, 0.0, 9.0)).tolist()
            trials = [error(velocity=near.velocity, broadening=b) for b in widths]
            best = min(trials, key=lambda pair: pair[0])
        return best[1]


def _blurred(atlas: Atlas, wave: Array, resolution: float) -> tuple[Array, NDArray[np.bool_]]:
    """Flux of an atlas at pixels (P,), and where no bad value took part."""
    step = 0.05 / resolution
    start, stop = np.log(wave[[0, -1]])
    reach = 6.0 / resolution
    fine = np.exp(np.arange(start - reach, stop + reach + step, step))
    finite = np.isfinite(atlas.flux)
    value = np.interp(fine, atlas.wavelength[finite], atlas.flux[finite])
    broken = np.interp(fine, atlas.wavelength, (~finite).astype(float)) > 0
    to_pixels = Gaussian(fine, wave, 1.0 / resolution / FWHM)
    share = to_pixels(torch.as_tensor(broken.astype(float))).numpy()
    return to_pixels(torch.as_tensor(value)).numpy(), share < 1e-3
