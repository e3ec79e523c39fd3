"""Doppler shifts: by one velocity, or of every spectrum to its rest frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from starnet.errors import DataError
from starnet.preprocess._contract import Transform, register
from starnet.preprocess._params import number, one_of, require
from starnet.preprocess._shift import Kind, shifted
from starnet.spectra import Frame, Spectra, WavelengthGrid, doppler_factor

LIGHT = 299792.458  # km/s


@register
@dataclass(frozen=True, eq=False)
class DopplerShift(Transform):
    """Shift all spectra by one velocity; the grid stays.

    Wavelengths are multiplied by sqrt((1 + v/c) / (1 - v/c)) and the flux is interpolated back
    to the grid, with variance and mask. Pixels that have no counterpart within their chip are
    masked. The flux density is not rescaled.

    Parameters
    ----------
    velocity : float
        km/s; positive moves lines to the red.
    frame : "rest" or "observed", optional
        The frame the result is in. Default: as before.
    kind : "cubic" or "linear"
        Interpolation: cubic keeps narrow lines sharper, linear conserves flux and does not ring.
    """

    velocity: float
    frame: Frame | None = None
    kind: Kind = "cubic"

    def __post_init__(self) -> None:
        number(self, self.velocity, "velocity")
        require(abs(self.velocity) < LIGHT, self, "velocity must be below c", self.velocity)
        one_of(self, self.frame, (None, "rest", "observed"), "frame")
        one_of(self, self.kind, ("cubic", "linear"), "kind")

    def output_grid(self, grid: WavelengthGrid, frame: Frame) -> tuple[WavelengthGrid, Frame]:
        """The same grid, in the frame that is named."""
        return grid, self.frame or frame

    def _apply(self, spectra: Spectra, rng: np.random.Generator) -> Spectra:
        factor = np.full(len(spectra), float(doppler_factor(self.velocity)))
        return shifted(spectra, factor, self.kind).replace(frame=self.frame or spectra.frame)


@register
@dataclass(frozen=True, eq=False)
class ToRest(Transform):
    """Shift observed spectra to their rest frames by ``meta["rv"]`` (km/s); the grid stays.

    The velocity must be the shift that the wavelengths show: barycentric if they are, else as
    observed. A row whose velocity is not finite, or not below that of light, comes out masked
    throughout: it cannot be used, and its neighbours still can. Spectra that are at rest already
    pass unchanged.

    Parameters
    ----------
    kind : "cubic" or "linear"
        Interpolation, as in `DopplerShift`.

    Raises
    ------
    DataError
        If the spectra are observed and have no column ``rv``.
    """

    kind: Kind = "cubic"

    def __post_init__(self) -> None:
        one_of(self, self.kind, ("cubic", "linear"), "kind")

    def output_grid(self, grid: WavelengthGrid, frame: Frame) -> tuple[WavelengthGrid, Frame]:
        """The same grid, at rest."""
        return grid, "rest"

    def _apply(self, spectra: Spectra, rng: np.random.Generator) -> Spectra:
        if spectra.frame == "rest":
            return spectra
        if "rv" not in spectra.meta.colnames:
            raise DataError(
                "Spectra in the observed frame need a column meta['rv'] (km/s) to be shifted to "
                f"rest; there are only {', '.join(spectra.meta.colnames)}. Add measured "
                "velocities, NaN where unknown."
            )
        column = np.ma.filled(np.ma.asarray(spectra.meta["rv"]).astype(float), np.nan)
        velocity = np.where(np.abs(column) < LIGHT, column, np.nan)
        return shifted(spectra, 1.0 / doppler_factor(velocity), self.kind).replace(frame="rest")
