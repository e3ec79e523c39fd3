"""Wavelength grids: every spelling of a spectral axis becomes one frozen value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import astropy.units as u
import numpy as np
from numpy.typing import ArrayLike, NDArray

from starnet.errors import FrameError, GridError
from starnet.spectra.air import air_to_vacuum, vacuum_to_air
from starnet.spectra.lsf import LineSpread

FloatArray = NDArray[Any]  # float64
Medium = Literal["vacuum", "air"]
Sampling = Literal["linear", "log", "arbitrary"]
PLAUSIBLE = (100.0, 1e7)  # Angstrom: from the extreme ultraviolet to a millimetre


@dataclass(frozen=True, eq=False)
class WavelengthGrid:
    """The wavelengths of a spectrum's pixels, with medium, chips and line spread.

    Parameters
    ----------
    wavelength : array (P,)
        Pixel centres in Angstrom, strictly increasing.
    medium : "vacuum" or "air"
        What the wavelengths are measured in. There is no default: it is never guessed.
    chips : sequence of (start, stop)
        Pixel ranges that were recorded together (detector chips, arms). Continuum and
        convolution never cross from one to the next. Default: one chip with every pixel.
    lsf : LineSpread, optional
        Line-spread function of the spectra on this grid.

    Raises
    ------
    GridError
        If wavelengths are not finite, increasing and plausible, or chips overlap or run out.
    FrameError
        If the medium is neither "vacuum" nor "air".
    """

    wavelength: FloatArray
    medium: Medium
    chips: tuple[tuple[int, int], ...] = ()
    lsf: LineSpread | None = None

    def __post_init__(self) -> None:
        wave = np.array(self.wavelength, dtype=float)
        _check_wavelength(wave)
        if self.medium not in ("vacuum", "air"):
            raise FrameError(f'medium must be "vacuum" or "air"; received {self.medium!r}.')
        wave.setflags(write=False)
        object.__setattr__(self, "wavelength", wave)
        chips = tuple((int(a), int(b)) for a, b in self.chips) or ((0, wave.size),)
        _check_chips(chips, wave.size)
        object.__setattr__(self, "chips", chips)
        if self.lsf is not None and self.lsf.per_pixel:
            self.lsf.fwhm_at(wave)  # raises if the sizes differ

    @classmethod
    def linear(cls, start: float, step: float, n: int, medium: Medium, **kw: Any) -> WavelengthGrid:
        """``start + step * i`` Angstrom for ``i`` in ``range(n)``."""
        return cls(start + step * np.arange(n), medium, **kw)

    @classmethod
    def log10(cls, start: float, step: float, n: int, medium: Medium, **kw: Any) -> WavelengthGrid:
        """``10 ** (start + step * i)`` Angstrom for ``i`` in ``range(n)``."""
        return cls(10.0 ** (start + step * np.arange(n)), medium, **kw)

    @classmethod
    def from_quantity(cls, axis: u.Quantity, medium: Medium, **kw: Any) -> WavelengthGrid:
        """From any spectral axis with units: nm, micron, GHz, eV or 1/cm."""
        wave: Any = axis.to_value(u.AA, equivalencies=u.spectral())
        return cls(wave, medium, **kw)

    @property
    def n_pixels(self) -> int:
        """Number of pixels."""
        return self.wavelength.size

    @property
    def quantity(self) -> u.Quantity:
        """The wavelengths with their unit."""
        return self.wavelength * u.AA

    @property
    def sampling(self) -> Sampling:
        """Whether the pixels are even in wavelength, in its logarithm, or in neither."""
        if self.n_pixels < 3:
            return "arbitrary"
        for name, axis in (("linear", self.wavelength), ("log", np.log(self.wavelength))):
            step = (axis[-1] - axis[0]) / (axis.size - 1)
            even = axis[0] + step * np.arange(axis.size)
            if np.max(np.abs(axis - even)) < 0.02 * abs(step):
                return name  # type: ignore[return-value]
        return "arbitrary"

    @property
    def edges(self) -> FloatArray:
        """Pixel edges in Angstrom, shape (P + 1,): half-way between centres."""
        wave = self.wavelength
        middle = 0.5 * (wave[1:] + wave[:-1])
        return np.concatenate([[2 * wave[0] - middle[0]], middle, [2 * wave[-1] - middle[-1]]])

    def to_vacuum(self) -> WavelengthGrid:
        """The same pixels in vacuum wavelengths."""
        return self if self.medium == "vacuum" else self._in("vacuum")

    def to_air(self) -> WavelengthGrid:
        """The same pixels in air wavelengths."""
        return self if self.medium == "air" else self._in("air")

    def to(self, medium: Medium) -> WavelengthGrid:
        """The same pixels in the medium that is named."""
        return self.to_vacuum() if medium == "vacuum" else self.to_air()

    def _in(self, medium: Medium) -> WavelengthGrid:
        convert = air_to_vacuum if medium == "vacuum" else vacuum_to_air
        return replace(self, wavelength=convert(self.wavelength), medium=medium)

    def shifted(self, velocity: float) -> WavelengthGrid:
        """The grid with every wavelength multiplied by the Doppler factor of a velocity.

        Parameters
        ----------
        velocity : float
            km/s, positive for a shift to the red; relativistic along the line of sight.
        """
        return replace(self, wavelength=self.wavelength * doppler_factor(velocity))

    def select(self, pixels: ArrayLike | slice) -> WavelengthGrid:
        """A grid of some of the pixels (a slice, indices or a boolean array).

        Chips shrink with their pixels; a chip that loses all of them goes.
        """
        index = np.arange(self.n_pixels)[
            pixels if isinstance(pixels, slice) else np.asarray(pixels)
        ]
        inside = [np.flatnonzero((index >= a) & (index < b)) for a, b in self.chips]
        chips = tuple((int(at[0]), int(at[-1]) + 1) for at in inside if at.size)
        lsf = None if self.lsf is None else self.lsf.take(index)
        return WavelengthGrid(self.wavelength[index], self.medium, chips, lsf)

    def matches(self, other: WavelengthGrid, *, tolerance: float = 0.1) -> bool:
        """Whether the other grid has the same pixels, within a fraction of a pixel.

        Parameters
        ----------
        other : WavelengthGrid
        tolerance : float
            Largest difference, in units of the local pixel width. Air is not vacuum: grids of
            different media never match.
        """
        if self.medium != other.medium or self.n_pixels != other.n_pixels:
            return False
        width = np.diff(self.edges)
        return bool(np.all(np.abs(self.wavelength - other.wavelength) <= tolerance * width))

    def describe(self) -> str:
        """One line for messages: ``8575 px, 15101-16999 A, vacuum, log``."""
        wave = self.wavelength
        return f"{wave.size} px, {wave[0]:.1f}-{wave[-1]:.1f} A, {self.medium}, {self.sampling}"

    def __repr__(self) -> str:
        return f"WavelengthGrid({self.describe()}, {len(self.chips)} chip(s))"

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready description from which every wavelength comes back.

        Even grids are written as start, step and number, others as the list of wavelengths.
        """
        return {
            **_axis_to_dict(self.wavelength),
            "medium": self.medium,
            "chips": [list(chip) for chip in self.chips],
            "lsf": None if self.lsf is None else self.lsf.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> WavelengthGrid:
        """The inverse of `to_dict`."""
        lsf = data.get("lsf")
        return cls(
            _axis_from_dict(data),
            data["medium"],
            tuple((a, b) for a, b in data.get("chips", ())),
            None if lsf is None else LineSpread.from_dict(lsf),
        )


def doppler_factor(velocity: ArrayLike) -> FloatArray:
    """Observed over emitted wavelength for a radial velocity in km/s (relativistic)."""
    beta = np.asarray(velocity, dtype=float) / 299792.458
    return np.sqrt((1.0 + beta) / (1.0 - beta))


def _axis_to_dict(wave: FloatArray) -> dict[str, Any]:
    for name, axis in (("linear", wave), ("log10", np.log10(wave))):
        start, step = float(axis[0]), float((axis[-1] - axis[0]) / (axis.size - 1))
        for digits in (9, 17):  # round numbers where they are as good
            spelled = {name: [round(start, digits), round(step, digits), wave.size]}
            if np.max(np.abs(_axis_from_dict(spelled) - wave)) < 1e-6:
                return spelled
    return {"wavelength": wave.tolist()}


def _axis_from_dict(data: Mapping[str, Any]) -> FloatArray:
    for name in ("linear", "log10"):
        if name in data:
            start, step, n = data[name]
            axis = start + step * np.arange(int(n))
            return axis if name == "linear" else 10.0**axis
    if "wavelength" not in data:
        raise GridError(
            "A grid is described by linear or log10 (start, step, number) or by the list "
            f"wavelength; received {', '.join(data) or 'nothing'}."
        )
    return np.asarray(data["wavelength"], dtype=float)


def _check_wavelength(wave: FloatArray) -> None:
    if wave.ndim != 1 or wave.size < 2:
        raise GridError(f"A grid needs at least 2 wavelengths in one row; received {wave.shape}.")
    if not np.all(np.isfinite(wave)):
        bad = np.count_nonzero(~np.isfinite(wave))
        raise GridError(f"Wavelengths must be finite; {bad} of {wave.size} are not.")
    if np.any(np.diff(wave) <= 0):
        where = int(np.argmax(np.diff(wave) <= 0))
        raise GridError(
            f"Wavelengths must increase; pixel {where + 1} ({wave[where + 1]}) does not follow "
            f"pixel {where} ({wave[where]}). Sort the pixels (and flux with them) first."
        )
    if wave[0] < PLAUSIBLE[0] or wave[-1] > PLAUSIBLE[1]:
        raise GridError(
            f"Wavelengths are in Angstrom between {PLAUSIBLE[0]:g} and {PLAUSIBLE[1]:g}; received "
            f"{wave[0]:g} to {wave[-1]:g}. For other units use WavelengthGrid.from_quantity."
        )


def _check_chips(chips: tuple[tuple[int, int], ...], n_pixels: int) -> None:
    flat = [edge for chip in chips for edge in chip]
    proper = all(a < b for a, b in chips) and flat == sorted(flat)
    if not proper or flat[0] < 0 or flat[-1] > n_pixels:
        raise GridError(
            f"Chips must be increasing, separate (start, stop) ranges within {n_pixels} pixels; "
            f"received {chips}."
        )
