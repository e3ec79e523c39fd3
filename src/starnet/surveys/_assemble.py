"""What every reader ends with: errors to inverse variance, floor, masks and metadata."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from starnet.spectra import Frame, Medium, Spectra, WavelengthGrid
from starnet.surveys._options import ReadOptions

SPEED_OF_LIGHT = 299792.458  # km/s
FLUX_UNIT = u.Unit("1e-17 erg / (s cm2 Angstrom)")
RELATIVE = u.dimensionless_unscaled
COLUMNS = {"snr": math.nan, "rv": math.nan, "ra": math.nan, "dec": math.nan}


def assemble(
    grid: WavelengthGrid,
    flux: NDArray[Any],
    *,
    path: Path,
    options: ReadOptions,
    frame: Frame,
    meta: Mapping[str, Any],
    error: NDArray[Any] | None = None,
    ivar: NDArray[Any] | None = None,
    bad: NDArray[Any] | None = None,
    unit: u.UnitBase = RELATIVE,
    largest_error: float = math.inf,
) -> Spectra:
    """Spectra of one file.

    Parameters
    ----------
    grid, flux, frame, unit
        As for `Spectra`; flux (P,) or (N, P).
    error, ivar : array (P,) or (N, P), optional
        One-sigma errors or inverse variances; with none, errors are unknown. Pixels whose error
        is zero, negative, not finite, or ``largest_error`` and more, are masked, and likewise
        those whose inverse variance is zero, negative or not finite.
    bad : bool array, optional
        Pixels that the survey's bit mask calls bad.
    meta : mapping
        Columns of the metadata; a single value stands for every row. ``id`` and ``star`` are
        needed; ``snr``, ``rv``, ``ra`` and ``dec`` are NaN if not given; ``snr`` that the file
        does not give is the median flux over error.
    """
    flux = np.atleast_2d(flux).astype(np.float32, copy=False)
    mask = np.zeros(flux.shape, bool) if bad is None else np.atleast_2d(bad).copy()
    weight: Any = None
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if error is not None:
            sigma = np.atleast_2d(error)
            weight = 1.0 / np.square(sigma, dtype=float)
            mask |= ~((sigma > 0) & (sigma < largest_error))
        elif ivar is not None:
            weight = np.atleast_2d(ivar).astype(np.float32, copy=False)
            mask |= ~(weight > 0)
        if weight is not None and options.error_floor:
            floor = (options.error_floor * np.abs(flux)) ** -2
            weight = np.where(floor < weight, floor, weight)  # NaN flux keeps the weight
    if weight is None:
        weight = np.zeros(flux.shape, np.float32)
    spectra = Spectra(
        _overruled(grid, options.medium),
        flux,
        weight,
        mask,
        frame=options.frame or frame,
        meta=_meta(meta, path, len(flux)),
        flux_unit=unit,
    )
    snr: Any = spectra.meta["snr"]
    if np.isnan(snr).any() and weight.any():
        spectra.meta["snr"] = np.where(np.isnan(snr), spectra.snr, snr)
    return spectra


def _overruled(grid: WavelengthGrid, medium: Medium | None) -> WavelengthGrid:
    if medium is None or medium == grid.medium:
        return grid
    return WavelengthGrid(grid.wavelength, medium, grid.chips, grid.lsf)


def _meta(meta: Mapping[str, Any], path: Path, n: int) -> Any:
    """Columns of the metadata. `Spectra` makes the table: twice would be half of reading."""
    columns = {"id": meta["id"], "star": meta["star"], "file": str(path), **COLUMNS, **meta}
    return {name: _column(value, n) for name, value in columns.items()}


def _column(value: Any, n: int) -> NDArray[Any]:
    array = np.asarray(value)
    return array if array.ndim and array.shape[0] == n else np.full((n, *array.shape), array)


def stem(path: Path) -> str:
    """File name without folder and without .fits, .fit, .txt and .gz."""
    name = path.name
    for suffix in (".gz", ".fz", ".fits", ".fit", ".txt", ".dat", ".csv", ".ecsv"):
        name = name[: -len(suffix)] if name.lower().endswith(suffix) else name
    return name


def velocity(redshift: float) -> float:
    """Radial velocity in km/s of a redshift: relativistic, so that it undoes 1 + z exactly."""
    if not (math.isfinite(redshift) and -0.5 < redshift < 0.5):
        return math.nan  # -9999 and the like
    square = (1.0 + redshift) ** 2
    return SPEED_OF_LIGHT * (square - 1.0) / (square + 1.0)
