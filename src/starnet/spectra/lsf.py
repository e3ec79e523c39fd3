"""Line-spread functions: how wide an infinitely narrow line comes out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starnet.errors import GridError

FloatArray = NDArray[Any]  # float64


@dataclass(frozen=True, eq=False)
class LineSpread:
    """A Gaussian line-spread function, by resolving power or by width.

    Exactly one of the two is given. Each is a number, or an array with a value for each pixel of
    the grid that carries it.

    Parameters
    ----------
    resolution : float or array (P,)
        Resolving power R = wavelength / FWHM.
    fwhm : float or array (P,)
        Full width at half maximum in Angstrom.

    Raises
    ------
    GridError
        If both or none are given, or a value is not positive and finite.
    """

    resolution: FloatArray | float | None = None
    fwhm: FloatArray | float | None = None

    def __post_init__(self) -> None:
        if (self.resolution is None) == (self.fwhm is None):
            raise GridError("A LineSpread takes either resolution or fwhm, and exactly one.")
        name = "fwhm" if self.resolution is None else "resolution"
        value = np.asarray(getattr(self, name), dtype=float)
        if value.ndim > 1 or not np.all(np.isfinite(value)) or np.any(value <= 0):
            raise GridError(
                f"LineSpread {name} must be positive and finite, a number or one per pixel; "
                f"received {value if value.size < 5 else f'shape {value.shape}'}."
            )
        object.__setattr__(self, name, float(value) if value.ndim == 0 else value)

    @property
    def per_pixel(self) -> bool:
        """Whether there is one value for each pixel."""
        return isinstance(self._value, np.ndarray)

    @property
    def _value(self) -> FloatArray | float:
        value = self.fwhm if self.resolution is None else self.resolution
        assert value is not None  # one of the two, by construction
        return value

    def fwhm_at(self, wavelength: ArrayLike) -> FloatArray:
        """FWHM in Angstrom at each wavelength (Angstrom, shape (P,))."""
        wave = np.asarray(wavelength, dtype=float)
        if self.per_pixel and np.shape(self._value) != wave.shape:
            raise GridError(
                f"This LineSpread has a value for each of {np.size(self._value)} pixels; "
                f"received {wave.size} wavelengths. Ask at the wavelengths of its own grid."
            )
        if self.resolution is None:
            return np.broadcast_to(np.asarray(self.fwhm, dtype=float), wave.shape).copy()
        return wave / self.resolution

    def take(self, pixels: NDArray[Any] | slice) -> LineSpread:
        """The same line spread for a selection of pixels."""
        if not self.per_pixel:
            return self
        value = np.asarray(self._value)[pixels]
        return LineSpread(fwhm=value) if self.resolution is None else LineSpread(resolution=value)

    def matches(self, other: LineSpread | None, *, rtol: float = 1e-3) -> bool:
        """Whether the other one is the same kind with the same values."""
        if other is None or (self.resolution is None) != (other.resolution is None):
            return False
        mine, theirs = np.asarray(self._value), np.asarray(other._value)
        return mine.shape == theirs.shape and bool(np.allclose(mine, theirs, rtol=rtol))

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready description."""
        name = "fwhm" if self.resolution is None else "resolution"
        return {name: np.asarray(self._value).tolist()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> LineSpread:
        """The inverse of `to_dict`."""
        (name, value), *rest = data.items()
        if rest or name not in ("fwhm", "resolution"):
            raise GridError(f"A line spread is {{fwhm: ...}} or {{resolution: ...}}, not {data}.")
        return cls(**{name: np.asarray(value, dtype=float)})
