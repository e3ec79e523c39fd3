"""Instruments: the pixels, the medium and the line spread that a spectrum is recorded with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np
import yaml
from numpy.typing import ArrayLike, NDArray

from starnet.errors import ConfigError, GridError
from starnet.spectra import LineSpread, Medium, Spectra, WavelengthGrid, doppler_factor
from starnet.synthesis.observe._described import require
from starnet.synthesis.observe.broadening import check_clean
from starnet.synthesis.observe.lsf import FWHM, REACH, Projection, in_chips, projection_matrix

Array = NDArray[Any]
NODE = 0.02
"""Spacing of the width factors for which matrices are made; between two of them the line spread
is their mixture with exactly the variance wanted, off in shape by less than 1e-4 of its peak."""
WIDEST = 3.0
LARGEST_H = 0.3
SAME = 0.02  # of a pixel


@dataclass(frozen=True, eq=False)
class Instrument:
    """What turns a fine spectrum into recorded pixels.

    Parameters
    ----------
    name : str
    grid : WavelengthGrid
        Pixels, medium, chips (pixels outside every chip are masked) and line spread: ``grid.lsf``
        is the width of the Gaussian, of the recorded spectrum, the pixel's width included.
    h3, h4 : float or array (Q,)
        Gauss-Hermite coefficients of the line spread (see `starnet.synthesis.observe.lsf`).
    source : str
        Where the numbers are from.

    Raises
    ------
    GridError
        If the grid has no line spread.
    ConfigError
        If h3 or h4 are not finite, larger than 0.3, or do not fit the grid.
    """

    name: str
    grid: WavelengthGrid
    h3: Array | float = 0.0
    h4: Array | float = 0.0
    source: str = ""

    def __post_init__(self) -> None:
        if self.grid.lsf is None:
            raise GridError(
                f"The instrument {self.name!r} needs a line spread; give its grid one with "
                "WavelengthGrid(..., lsf=LineSpread(resolution=...))."
            )
        for name in ("h3", "h4"):
            value = np.array(getattr(self, name), dtype=float)
            fits = value.shape in ((), (self.grid.n_pixels,))
            shape = f"{name} must be a number or one for each of {self.grid.n_pixels} pixels"
            require(fits, "Instrument", shape, value.shape)
            fine = bool(np.all(np.abs(value) <= LARGEST_H))  # False for NaN
            must = f"{name} must be finite, from -{LARGEST_H} to {LARGEST_H}"
            require(fine, "Instrument", must, value if value.ndim == 0 else "other values")
            value.setflags(write=False)
            object.__setattr__(self, name, float(value) if value.ndim == 0 else value)

    @classmethod
    def preset(cls, name: str) -> Instrument:
        """One of the instruments that come with the package: `PRESETS` has their names.

        Raises
        ------
        ConfigError
            If there is none of that name.
        """
        table = _presets()
        if name not in table:
            raise ConfigError(
                f"There is no instrument {name!r}; there are {', '.join(table)}. For another one "
                "use Instrument.generic(resolution, start, stop)."
            )
        return table[name]

    @classmethod
    def generic(
        cls,
        resolution: float,
        start: float,
        stop: float,
        *,
        sampling: float = 3.0,
        medium: Medium = "vacuum",
        name: str = "generic",
    ) -> Instrument:
        """One chip of constant resolving power on pixels even in the logarithm of wavelength.

        Parameters
        ----------
        resolution : float
            wavelength / FWHM.
        start, stop : float
            First and last wavelength, Angstrom.
        sampling : float
            Pixels to a FWHM.
        """
        require(np.isfinite(resolution) and resolution > 0, name, "resolution > 0", resolution)
        require(0 < start < stop < np.inf, name, "0 < start < stop (Angstrom)", (start, stop))
        require(np.isfinite(sampling) and sampling > 0, name, "sampling > 0", sampling)
        step = np.log10(1 + 1 / (resolution * sampling))
        n = int(np.floor(np.log10(stop / start) / step + 1e-9)) + 1
        lsf = LineSpread(resolution=resolution)
        grid = WavelengthGrid.log10(np.log10(start), step, max(n, 2), medium, lsf=lsf)
        return cls(name, grid, source="made up")

    @property
    def medium(self) -> Medium:
        """What its wavelengths are measured in."""
        return self.grid.medium

    def coverage(self, velocity: float = 0.0) -> tuple[float, float]:
        """First and last wavelength (Angstrom, in its medium) that clean spectra should have.

        Parameters
        ----------
        velocity : float
            Shifts up to this many km/s are allowed for, beyond the reach of the line spread.
        """
        a, b = self.grid.chips[0][0], self.grid.chips[-1][1] - 1
        wave = self.grid.wavelength
        assert self.grid.lsf is not None
        reach = REACH * self.grid.lsf.fwhm_at(wave) / FWHM
        factor = float(doppler_factor(abs(velocity)))
        return float((wave[a] - reach[a]) / factor), float((wave[b] + reach[b]) * factor)

    def cut(self, start: float, stop: float) -> Instrument:
        """The same instrument with only its pixels from start to stop (Angstrom)."""
        wave = self.grid.wavelength
        inside = (wave >= start) & (wave <= stop)
        if np.count_nonzero(inside) < 2:
            raise GridError(
                f"The instrument {self.name!r} ({self.grid.describe()}) has fewer than 2 pixels "
                f"from {start:g} to {stop:g} A."
            )
        shape = {
            k: v[inside] for k in ("h3", "h4") if isinstance(v := getattr(self, k), np.ndarray)
        }
        return replace(self, grid=self.grid.select(inside), **shape)

    def project(self, spectra: Spectra, width: ArrayLike | None = None) -> Spectra:
        """Clean spectra (N, P) on a fine grid as this instrument records them, without noise.

        Spectra that are on the instrument's own pixels already pass as they are.

        Parameters
        ----------
        spectra : Spectra
            Finite and unmasked everywhere. A line spread that they have is taken off in squares.
        width : float or array (N,), optional
            Factor on the width of the line spread, for each spectrum. Default: 1.

        Returns
        -------
        Spectra
            On `grid`, in the same frame; pixels outside the chips are masked.

        Raises
        ------
        DataError
            If clean spectra are masked or not finite anywhere.
        GridError
            If they do not cover the chips, are broader than the line spread, or too coarse.
        """
        check_clean(spectra)
        factors = width_factors(width, len(spectra))
        if self.is_own(spectra.grid):
            return spectra.replace(grid=self.grid, mask=~in_chips(self.grid)[None] | spectra.mask)
        key = Projection.of(spectra.grid.to(self.medium), self.grid, self.h3, self.h4)
        flux = np.zeros((len(spectra), self.grid.n_pixels))
        for row, factor in enumerate(factors):
            # each row alone: what comes out must not depend on the batch
            flux[row] = _recorded(key, spectra.flux[row].astype(float), float(factor))
        return Spectra(
            self.grid,
            flux,
            mask=np.broadcast_to(~in_chips(self.grid), flux.shape),
            frame=spectra.frame,
            meta=spectra.meta.copy(),
            flux_unit=spectra.flux_unit,
        )

    def is_own(self, grid: WavelengthGrid) -> bool:
        """Whether a grid has the pixels of this instrument."""
        return self.grid.matches(grid, tolerance=SAME)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready description."""
        shape = {name: np.asarray(getattr(self, name)).tolist() for name in ("h3", "h4")}
        return {"name": self.name, "grid": self.grid.to_dict(), **shape, "source": self.source}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any] | str) -> Instrument:
        """The inverse of `to_dict`; a bare name is that of a preset."""
        if isinstance(data, str):
            return cls.preset(data)
        strange = set(data) - {"name", "grid", "h3", "h4", "source"}
        if strange or not {"name", "grid"} <= set(data):
            raise ConfigError(
                "An instrument is described by name and grid, and perhaps h3, h4 and source; "
                f"received {', '.join(data) or 'nothing'}."
            )
        return cls(**{**data, "grid": WavelengthGrid.from_dict(data["grid"])})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Instrument) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(json.dumps(self.to_dict(), sort_keys=True))

    def __repr__(self) -> str:
        return f"Instrument({self.name!r}, {self.grid.describe()})"


def _recorded(key: Projection, flux: Array, factor: float) -> Array:
    """Flux (Q,) of one spectrum (P,) through a line spread that is ``factor`` times as wide."""
    node = int(np.floor(factor / NODE + 1e-9))
    low, high = node * NODE, (node + 1) * NODE
    share = (factor**2 - low**2) / (high**2 - low**2)
    out = projection_matrix(replace(key, width=round(low, 6))) @ flux
    if share > 1e-9:
        out = (1 - share) * out + share * (
            projection_matrix(replace(key, width=round(high, 6))) @ flux
        )
    return out


def width_factors(width: ArrayLike | None, n: int) -> Array:
    """Checked factors on the width of the line spread, shape (n,)."""
    factors = np.asarray(1.0 if width is None else width, dtype=float)
    require(factors.shape in ((), (n,)), "width", f"must be a number or {n} of them", factors.shape)
    bad = ~((factors > NODE) & (factors <= WIDEST))
    require(
        not bad.any(),
        "width",
        f"must be above {NODE} and at most {WIDEST:g}",
        factors[bad].tolist(),
    )
    return np.broadcast_to(factors, (n,)).copy()


@lru_cache(maxsize=1)
def _presets() -> dict[str, Instrument]:
    text = resources.files("starnet.synthesis.observe").joinpath("presets.yaml").read_text("utf-8")
    return {name: _from_preset(name, row) for name, row in yaml.safe_load(text).items()}


def _from_preset(name: str, row: Mapping[str, Any]) -> Instrument:
    sampling = "linear" if "linear" in row else "log10"
    chips = tuple((a, b) for a, b in row.get("chips", ()))
    make = WavelengthGrid.linear if sampling == "linear" else WavelengthGrid.log10
    start, step, n = row[sampling]
    grid = make(start, step, n, row["medium"], chips=chips)
    kind = "fwhm" if "fwhm" in row else "resolution"
    value = row[kind]
    if isinstance(value, list):
        nodes = np.array(value)
        value = np.interp(grid.wavelength, nodes[:, 0], nodes[:, 1])
    lsf = LineSpread(**{kind: value})
    return Instrument(name, replace(grid, lsf=lsf), source=row["source"].strip())


PRESETS = ("apogee", "apogee-sharp", "optical-sharp", "sdss", "segue", "lamost", "miles")
"""Names of the instruments that come with the package."""
