# pyright: reportArgumentType=false, reportOperatorIssue=false, reportCallIssue=false
"""To and from `specutils.Spectrum` and astropy tables, with units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np
from astropy.nddata import InverseVariance, StdDevUncertainty, VarianceUncertainty
from astropy.table import QTable, Table

from starnet.errors import FrameError, GridError
from starnet.spectra.batch import Frame, Spectra
from starnet.spectra.grid import Medium, WavelengthGrid

if TYPE_CHECKING:
    from specutils import Spectrum


def to_specutils(spectra: Spectra, row: int | None = None) -> Spectrum:
    """A `specutils.Spectrum` of one row, or of all rows with flux of shape (N, P).

    Flux and wavelength have units, the uncertainty is an `InverseVariance`, the mask goes along,
    and ``meta`` holds frame, medium and the metadata of the rows.
    """
    from specutils import Spectrum

    pick: Any = slice(None) if row is None else row
    meta = {name: np.asarray(spectra.meta[name])[pick] for name in spectra.meta.colnames}
    return Spectrum(
        flux=spectra.flux[pick].astype(float) << spectra.flux_unit,
        spectral_axis=spectra.grid.quantity,
        uncertainty=InverseVariance(spectra.ivar[pick].astype(float) << spectra.flux_unit**-2),
        mask=np.array(spectra.mask[pick]),
        meta={**meta, "frame": spectra.frame, "medium": spectra.grid.medium},
    )


def from_specutils(
    spectrum: Spectrum,
    *,
    medium: Medium | None = None,
    frame: Frame | None = None,
    **meta: Any,
) -> Spectra:
    """Spectra of a `specutils.Spectrum` (one, or several on one axis).

    Parameters
    ----------
    spectrum : specutils.Spectrum
        Flux (P,) or (N, P); uncertainty of any kind; a mask where True is bad.
    medium, frame : str
        What the wavelengths are. Needed unless ``spectrum.meta`` says so: they are not guessed.
    **meta
        Columns of metadata for the rows, for example ``id=[...]``.

    Raises
    ------
    FrameError
        If medium or frame is not known.
    """
    found: Mapping[str, Any] = spectrum.meta or {}
    medium = medium or found.get("medium")
    frame = frame or found.get("frame")
    if medium is None or frame is None:
        raise FrameError(
            'Say what the wavelengths are: medium="vacuum" or "air", and frame="rest" or '
            '"observed"; a specutils.Spectrum does not tell.'
        )
    flux = np.atleast_2d(spectrum.flux.value)
    wave = spectrum.spectral_axis.to_value(u.AA, equivalencies=u.spectral())
    order = slice(None, None, -1) if wave.size > 1 and wave[0] > wave[-1] else slice(None)
    ivar = _ivar(spectrum.uncertainty, spectrum.flux.unit)
    mask = None if spectrum.mask is None else np.atleast_2d(spectrum.mask)[:, order]
    if ivar is not None:
        unknown = np.zeros_like(flux, dtype=bool) if mask is None else mask
        mask = unknown | ~(ivar[:, order] > 0)
    return Spectra(
        WavelengthGrid(np.array(wave[order]), medium),
        flux[:, order],
        None if ivar is None else ivar[:, order],
        mask,
        frame=frame,
        meta=_rows(found, meta, flux.shape[0]),
        flux_unit=spectrum.flux.unit,
    )


def to_table(spectra: Spectra) -> QTable:
    """A table with one row for each spectrum: metadata, then flux, ivar and mask as vectors.

    Wavelength, medium and frame are in ``table.meta``; `from_table` takes it back.
    """
    table = QTable(spectra.meta)
    table["flux"] = spectra.flux << spectra.flux_unit
    table["ivar"] = spectra.ivar << spectra.flux_unit**-2
    table["mask"] = spectra.mask
    table.meta = {**spectra.grid.to_dict(), "frame": spectra.frame}
    return table


def from_table(table: Table) -> Spectra:
    """The inverse of `to_table`.

    Raises
    ------
    GridError
        If the table has no wavelengths or lacks a column.
    """
    absent = [name for name in ("flux", "ivar", "mask") if name not in table.colnames]
    about: Mapping[str, Any] = table.meta or {}
    if absent or "medium" not in about:
        raise GridError(
            f"A table of spectra has columns flux, ivar, mask and wavelengths in its meta; "
            f"this one lacks {', '.join(absent) or 'the wavelengths'}."
        )
    flux = u.Quantity(table["flux"])
    others = [name for name in table.colnames if name not in ("flux", "ivar", "mask")]
    return Spectra(
        WavelengthGrid.from_dict(about),
        flux.value,
        u.Quantity(table["ivar"]).value,
        np.asarray(table["mask"], dtype=bool),
        frame=about["frame"],
        meta=Table(table[others]) if others else None,
        flux_unit=flux.unit,
    )


def _ivar(uncertainty: Any, unit: u.UnitBase) -> np.ndarray | None:
    """Inverse variance (N, P) in ``unit**-2`` of any astropy uncertainty; 0 where not usable."""
    if uncertainty is None:
        return None
    exact = np.asarray(uncertainty.array, dtype=float)  # float32 squares of 1e-20 are zero
    exact = np.where(exact > 0, exact, np.nan)  # a negative error squared would look good
    uncertainty = type(uncertainty)(exact, unit=uncertainty.unit)
    if isinstance(uncertainty, (StdDevUncertainty, VarianceUncertainty)):
        uncertainty = uncertainty.represent_as(VarianceUncertainty)
        variance = u.Quantity(uncertainty.array, uncertainty.unit or unit**2).to_value(unit**2)
        with np.errstate(divide="ignore"):
            return np.atleast_2d(np.where(variance > 0, 1.0 / variance, 0.0))
    inverse = u.Quantity(uncertainty.array, uncertainty.unit or unit**-2).to_value(unit**-2)
    return np.atleast_2d(np.where(np.isfinite(inverse), inverse, 0.0))


def _rows(found: Mapping[str, Any], given: dict[str, Any], n: int) -> Table | None:
    columns = {key: np.atleast_1d(value) for key, value in given.items()}
    for key in ("id", "star", "snr", "rv", "file"):
        value = np.atleast_1d(found.get(key, []))
        if key not in columns and value.shape == (n,):
            columns[key] = value
    return Table(columns) if columns else None
