"""Observed spectra to calibrate on, and what is accepted of their stars."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from starnet.errors import ConfigError, DataError, ReadError
from starnet.spectra.air import air_to_vacuum
from starnet.synthesis.lines.isotopes import TERRESTRIAL, Fractions

Array = NDArray[Any]  # float64


@dataclass(frozen=True, eq=False)
class Star:
    """A star that is known well: labels as `Synthesizer` takes them, and isotopes.

    Attributes
    ----------
    name : str
    labels : mapping
        teff, logg, fe_h, vmic, and abundances x_fe.
    isotopes : Fractions
    source : str
        Whose values these are.
    """

    name: str
    labels: Mapping[str, float]
    isotopes: Fractions = field(default_factory=lambda: TERRESTRIAL)
    source: str = ""


def carbon(ratio: float) -> Fractions:
    """Terrestrial fractions with another 12C/13C."""
    return dict(TERRESTRIAL) | {6: {12: ratio / (1 + ratio), 13: 1 / (1 + ratio)}}


SUN = Star(
    "Sun",
    {"teff": 5772.0, "logg": 4.44, "fe_h": 0.0, "vmic": 1.0},
    source="teff and logg: nominal values of IAU 2015 resolution B3; vmic of the solar model of "
    "MARCS (Gustafsson et al. 2008, A&A 486, 951)",
)
ARCTURUS = Star(
    "Arcturus",
    {
        "teff": 4286.0,
        "logg": 1.66,
        "fe_h": -0.52,
        "vmic": 1.7,
        "c_fe": 0.09,
        "n_fe": 0.38,
        "o_fe": 0.50,
        "ne_fe": 0.4,
        "na_fe": 0.11,
        "mg_fe": 0.37,
        "al_fe": 0.34,
        "si_fe": 0.33,
        "s_fe": 0.3,
        "ar_fe": 0.4,
        "k_fe": 0.20,
        "ca_fe": 0.11,
        "sc_fe": 0.19,
        "ti_fe": 0.27,
        "v_fe": 0.20,
        "cr_fe": -0.05,
        "mn_fe": -0.21,
        "co_fe": 0.09,
        "ni_fe": 0.06,
    },
    carbon(7.0),
    source="Ramirez and Allende Prieto 2011 (ApJ 743, 135); of C, N and O the abundances from "
    "molecules in the H band, log n = 7.96, 7.64 and 8.64 (Smith et al. 2013, ApJ 765, 16); "
    "12C/13C: Abia et al. 2012 (A&A 548, A55); Ne, S and Ar, which nothing here depends on, like "
    "the other alpha elements",
)
"""`Star`s whose atlases calibrate."""


@dataclass(frozen=True, eq=False)
class Atlas:
    """A spectrum of high resolution with its continuum near 1.

    Attributes
    ----------
    wavelength : array (N,)
        Vacuum Angstrom, rising; of any velocity.
    flux : array (N,)
    source : str

    Raises
    ------
    DataError
        If the wavelengths do not rise, or flux and wavelengths do not fit together.
    """

    wavelength: Array
    flux: Array
    source: str = ""

    def __post_init__(self) -> None:
        wave, flux = np.array(self.wavelength, dtype=float), np.array(self.flux, dtype=float)
        if wave.ndim != 1 or wave.shape != flux.shape or wave.size < 16:
            raise DataError(
                f"an atlas needs as many fluxes as wavelengths, 16 at least; received {flux.shape} "
                f"and {wave.shape}{self._where()}."
            )
        if not (np.isfinite(wave).all() and (np.diff(wave) > 0).all() and wave[0] > 0):
            raise DataError(
                f"the wavelengths of an atlas must be finite and rise{self._where()}; sort them "
                "and remove what comes twice."
            )
        if not np.isfinite(flux).any():
            raise DataError(f"an atlas needs finite fluxes; all are NaN{self._where()}.")
        for name, value in (("wavelength", wave), ("flux", flux)):
            value.setflags(write=False)
            object.__setattr__(self, name, value)

    def _where(self) -> str:
        return f" in {self.source}" if self.source else ""

    @classmethod
    def read(cls, path: str | os.PathLike[str], medium: Literal["air", "vacuum"]) -> Atlas:
        """From a text file of two columns, wavelength in Angstrom and flux.

        Raises
        ------
        ConfigError
            If the medium is neither air nor vacuum.
        ReadError
            If there is no such file, or it is not a table of numbers.
        """
        if medium not in ("air", "vacuum"):
            raise ConfigError(f"the medium of an atlas is air or vacuum; received {medium!r}.")
        place = Path(path)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # numpy warns of empty files
                rows = np.loadtxt(place, ndmin=2, usecols=(0, 1))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error).splitlines()[0].rstrip(".")
            raise ReadError(
                f"{place} cannot be read as an atlas: {reason}. Give a text file with two columns, "
                "wavelength in Angstrom and flux."
            ) from error
        if not rows.size:
            raise ReadError(f"{place} is empty; an atlas has two columns, wavelength and flux.")
        wave = air_to_vacuum(rows[:, 0]) if medium == "air" else rows[:, 0]
        return cls(wave, rows[:, 1], place.name)
