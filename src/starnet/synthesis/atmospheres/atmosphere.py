"""The value of this room: one 1D model atmosphere in hydrostatic equilibrium."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import PchipInterpolator

from starnet.errors import ConfigError, DataError
from starnet.synthesis.constants import BOLTZMANN

FloatArray = NDArray[Any]  # float64

REQUIRED = ("rhox", "temperature", "gas_pressure", "electron_density")
OPTIONAL = ("density", "opacity_ross", "tau_ross", "tau_5000")
COLUMNS = REQUIRED + OPTIONAL
"""The columns over depth that are positive and therefore interpolated in their logarithm."""
SCALES = ("tau_ross", "tau_5000")
"""The optical depths that can serve as a common depth scale."""


@dataclass(frozen=True, eq=False)
class Atmosphere:
    """One model atmosphere: labels, columns over D depths from the surface inwards, abundances.

    Parameters
    ----------
    teff : float
        Effective temperature, K.
    logg : float
        log10 of the surface gravity in cm/s2.
    m_h, alpha_m : float
        Metallicity and alpha enhancement of the mixture, dex.
    rhox : array (D,)
        Column mass, g/cm2, strictly increasing.
    temperature : array (D,)
        K. It may fall inwards over a few depths near the surface.
    gas_pressure : array (D,)
        dyn/cm2, electrons included, radiation and turbulence not.
    electron_density : array (D,)
        Electrons per cm3.
    density : array (D,), optional
        g/cm3, where the model gives it.
    opacity_ross : array (D,), optional
        Rosseland mean opacity per mass, cm2/g.
    tau_ross, tau_5000 : array (D,), optional
        Optical depth in the Rosseland mean and at 5000 Å, strictly increasing.
    depth : array (D,), optional
        Geometric depth below Rosseland optical depth 1, cm, positive inwards.
    radius : float, optional
        Radius at Rosseland optical depth 1, cm: the model is spherical. None: plane-parallel, or
        the source does not say.
    mass : float
        Solar masses; NaN where unknown or without meaning (plane-parallel).
    vmic : float
        Microturbulence of the model's own opacities, km/s; NaN where the source does not say.
    abundances : mapping
        ``{"H": 12.0, "Fe": 7.45, ...}``: log10 of numbers with hydrogen at 12; empty where the
        source does not say.
    clamped : mapping
        Label to the value that was asked for, where a grid or an emulator moved it to its edge.
    source : str
        Where it comes from.

    Raises
    ------
    DataError
        If columns differ in length, are not positive and finite, or a depth scale does not rise.
    """

    teff: float
    logg: float
    m_h: float
    alpha_m: float
    rhox: FloatArray
    temperature: FloatArray
    gas_pressure: FloatArray
    electron_density: FloatArray
    density: FloatArray | None = None
    opacity_ross: FloatArray | None = None
    tau_ross: FloatArray | None = None
    tau_5000: FloatArray | None = None
    depth: FloatArray | None = None
    radius: float | None = None
    mass: float = np.nan
    vmic: float = np.nan
    abundances: Mapping[str, float] = field(default_factory=dict)
    clamped: Mapping[str, float] = field(default_factory=dict)
    source: str = ""

    def __post_init__(self) -> None:
        for name in ("teff", "logg", "m_h", "alpha_m"):
            if not np.isfinite(getattr(self, name)):
                raise DataError(f"An atmosphere needs a finite {name}{self._where()}.")
        for name in (*COLUMNS, "depth"):
            values = getattr(self, name)
            if values is not None:
                values = np.array(values, dtype=np.float64)  # a copy: the value is frozen
                self._check(name, values)
                values.flags.writeable = False
                object.__setattr__(self, name, values)
        if self.radius is not None and not self.radius > 0:
            raise DataError(f"The radius must be positive, not {self.radius}{self._where()}.")

    def _check(self, name: str, values: FloatArray) -> None:
        n = np.size(self.rhox)
        if values.shape != (n,) or n < 3:
            raise DataError(
                f"Column {name} must hold {max(n, 3)} depths like rhox (three at least), not shape "
                f"{values.shape}{self._where()}."
            )
        positive = name == "depth" or bool(np.all(values > 0))
        if not (positive and np.isfinite(values).all()):
            raise DataError(f"Column {name} must be positive and finite{self._where()}.")
        if name in ("rhox", "depth", *SCALES) and not np.all(np.diff(values) > 0):
            where = int(np.argmin(np.diff(values))) + 1
            raise DataError(
                f"Column {name} must rise from the surface inwards, but does not at depth "
                f"{where + 1} of {n}{self._where()}."
            )

    def _where(self) -> str:
        return f" ({self.source})" if self.source else ""

    def __repr__(self) -> str:
        geometry = "spherical" if self.spherical else "plane-parallel"
        labels = f"teff={self.teff:g}, logg={self.logg:g}, m_h={self.m_h:g}"
        return (
            f"<Atmosphere {labels}, alpha_m={self.alpha_m:g}, {self.n_depths} depths, {geometry}>"
        )

    @property
    def n_depths(self) -> int:
        """Number of depths D."""
        return len(self.rhox)

    @property
    def spherical(self) -> bool:
        """Whether the model has a radius."""
        return self.radius is not None

    @property
    def gravity(self) -> float:
        """Surface gravity, cm/s2."""
        return 10.0**self.logg

    @property
    def electron_pressure(self) -> FloatArray:
        """Electron pressure n k T, dyn/cm2, (D,)."""
        return self.electron_density * BOLTZMANN * self.temperature

    def with_tau_ross(self) -> Atmosphere:
        """Itself with `tau_ross`, integrated from the opacity where the source gives none.

        The integral of opacity over column mass takes the opacity as a power law of the column
        mass between depths; above the first depth it is opacity times column mass, as in ATLAS9
        (Kurucz 1970, SAO Special Report 309).

        Raises
        ------
        DataError
            If there is neither `tau_ross` nor `opacity_ross`.
        """
        if self.tau_ross is not None:
            return self
        if self.opacity_ross is None:
            raise DataError(
                f"The Rosseland optical depth needs the column opacity_ross, which this atmosphere "
                f"does not have{self._where()}."
            )
        return replace(self, tau_ross=optical_depth(self.rhox, self.opacity_ross))

    def resample(self, tau: ArrayLike, scale: str = "tau_ross") -> Atmosphere:
        """The same atmosphere on other depths: monotone cubics of log column over log tau.

        Parameters
        ----------
        tau : array (K,)
            Optical depths within the model's own, rising.
        scale : "tau_ross" or "tau_5000"
            Which optical depth. A depth that the model has keeps its values.

        Raises
        ------
        ConfigError
            If the scale is unknown, or ``tau`` reaches beyond the model.
        """
        if scale not in SCALES:
            raise ConfigError(f"The depth scale must be one of {', '.join(SCALES)}, not {scale!r}.")
        model = self.with_tau_ross() if scale == "tau_ross" else self
        own = getattr(model, scale)
        if own is None:
            raise ConfigError(
                f"This atmosphere has no {scale}{self._where()}; use the other scale."
            )
        x, target = np.log10(own), np.log10(np.asarray(tau, dtype=np.float64))
        if not (target.min() >= x[0] - 1e-9 and target.max() <= x[-1] + 1e-9):
            raise ConfigError(
                f"The depths must lie within log {scale} {x[0]:.2f} to {x[-1]:.2f} of the model, "
                f"not {target.min():.2f} to {target.max():.2f}."
            )
        target = np.clip(target, x[0], x[-1])
        new: dict[str, Any] = {
            name: 10.0 ** PchipInterpolator(x, np.log10(values))(target)
            for name in COLUMNS
            if (values := getattr(model, name)) is not None
        }
        if model.depth is not None:
            new["depth"] = PchipInterpolator(x, model.depth)(target)
        return replace(model, **new)


def optical_depth(rhox: FloatArray, opacity: FloatArray) -> FloatArray:
    """Optical depth (..., D) from column mass and opacity per mass, both (..., D).

    The opacity is a power law of column mass between depths, so that each step has a closed form.
    """
    x, area = np.log(rhox), opacity * rhox
    rise = np.diff(np.log(area), axis=-1)
    # mean of exp between two ends: (b - a) / ln(b / a), which tends to their mean for b = a
    small = np.abs(rise) < 1e-6
    mean = np.where(
        small,
        0.5 * (area[..., 1:] + area[..., :-1]),
        np.diff(area, axis=-1) / np.where(small, 1.0, rise),
    )
    steps = np.concatenate([area[..., :1], mean * np.diff(x, axis=-1)], axis=-1)
    return np.cumsum(steps, axis=-1)
