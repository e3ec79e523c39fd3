"""A batch of spectra on one grid: flux, inverse variance, mask and metadata travel together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import astropy.units as u
import numpy as np
from astropy.table import Table, vstack
from numpy.typing import ArrayLike, NDArray

from starnet.errors import DataError, FrameError, GridError
from starnet.spectra.grid import WavelengthGrid

Float32Array = NDArray[Any]  # float32
BoolArray = NDArray[Any]  # bool
Frame = Literal["rest", "observed"]
TINY_FLUX, TINY_SCALE = 1e-8, 1e-17
"""Fluxes that are all smaller than the first are kept in units of the second: in erg/(s cm2 AA)
their inverse variances would be too large for float32."""


@dataclass(frozen=True, eq=False)
class Spectra:
    """N spectra on one wavelength grid. Frozen: every change makes a new batch.

    Three rules hold for every batch, whoever made it:

    - a pixel whose flux or inverse variance is not finite, or whose inverse variance is negative,
      is masked;
    - a masked pixel (``mask`` True) has inverse variance 0 and a finite flux without meaning;
    - an unmasked pixel with inverse variance 0 is usable and its error is unknown (libraries
      such as MILES give no errors).

    Parameters
    ----------
    grid : WavelengthGrid
        Wavelengths, medium, chips and line spread of all spectra.
    flux : array (N, P)
    ivar : array (N, P), optional
        Inverse variance in 1 / flux_unit**2. Default: unknown (zero).
    mask : array (N, P), optional
        True marks a bad pixel. Default: none beyond the rules above.
    frame : "rest" or "observed"
        Whether the Doppler shift of the star has been taken out. Never guessed.
    meta : Table, optional
        One row for each spectrum. ``id`` (unique name of the spectrum) and ``star`` (name of the
        star; visits share it) are always there; readers add ``file``, ``snr``, ``rv`` (km/s),
        ``ra``, ``dec``, ``survey`` where known.
    flux_unit : str or Unit
        Unit of the flux; dimensionless for normalised spectra. Fluxes such as 1e-15 erg/(s cm2
        AA) are kept in units of 1e-17 of it.

    Raises
    ------
    DataError
        If shapes do not agree.
    FrameError
        If the frame is neither "rest" nor "observed".
    """

    grid: WavelengthGrid
    flux: Float32Array
    ivar: Float32Array = field(default=None)  # type: ignore[assignment]
    mask: BoolArray = field(default=None)  # type: ignore[assignment]
    frame: Frame = "rest"
    meta: Table = field(default=None)  # type: ignore[assignment]
    flux_unit: u.UnitBase = u.dimensionless_unscaled  # type: ignore[assignment]

    def __post_init__(self) -> None:
        scale = _scale(self.flux)
        flux = np.atleast_2d(_float32(self.flux, 1.0 / scale))
        ivar = _matching(self.ivar, flux, "ivar", lambda ivar: _float32(ivar, scale**2))
        negative = _matching(self.ivar, flux, "ivar", lambda ivar: np.asarray(ivar) < 0)
        mask = _matching(self.mask, flux, "mask", lambda mask: np.asarray(mask, dtype=bool))
        if flux.ndim != 2 or flux.shape[1] != self.grid.n_pixels:
            raise DataError(
                f"flux must have shape (N, {self.grid.n_pixels}) for this grid "
                f"({self.grid.describe()}); received {np.shape(self.flux)}."
            )
        if self.frame not in ("rest", "observed"):
            raise FrameError(f'frame must be "rest" or "observed"; received {self.frame!r}.')
        finite = np.isfinite(flux)
        bad = mask | ~finite | ~np.isfinite(ivar) | negative
        object.__setattr__(self, "flux", _frozen(np.where(finite, flux, np.float32(0))))
        object.__setattr__(self, "ivar", _frozen(np.where(bad, np.float32(0), ivar)))
        object.__setattr__(self, "mask", _frozen(bad))
        object.__setattr__(self, "meta", _meta(self.meta, flux.shape[0]))
        unit = u.Unit(self.flux_unit)  # pyright: ignore[reportArgumentType]
        object.__setattr__(self, "flux_unit", unit if scale == 1.0 else u.Unit(scale * unit))  # pyright: ignore

    @classmethod
    def from_error(
        cls,
        grid: WavelengthGrid,
        flux: ArrayLike,
        error: ArrayLike,
        *,
        error_floor: float = 0.0,
        **kw: Any,
    ) -> Spectra:
        """From one-sigma errors instead of inverse variances.

        Pixels whose error is zero, negative or not finite are masked.

        Parameters
        ----------
        grid, flux
            As for `Spectra`.
        error : array (N, P)
            One-sigma errors in units of the flux.
        error_floor : float
            Smallest error as a fraction of the flux; 0.005 is usual for APOGEE, whose errors are
            too small at high S/N.
        """
        flux = np.atleast_2d(np.asarray(flux, dtype=float))
        error = np.atleast_2d(np.asarray(error, dtype=float))
        if error.shape != flux.shape:
            raise DataError(f"error must have the shape of flux {flux.shape}, not {error.shape}.")
        bad = ~np.isfinite(error) | (error <= 0)
        sigma = np.where(bad, 1.0, error)
        if error_floor:
            sigma = np.maximum(sigma, error_floor * np.abs(np.nan_to_num(flux)))
        mask = np.atleast_2d(kw.pop("mask", np.zeros(flux.shape, bool))) | bad
        with np.errstate(over="ignore"):  # an error too small for float32 is no error: masked
            ivar = np.where(mask, 0.0, sigma**-2.0)
        return cls(grid, flux, ivar, mask, **kw)

    def __len__(self) -> int:
        return self.flux.shape[0]

    @property
    def n_pixels(self) -> int:
        """Number of pixels of each spectrum."""
        return self.flux.shape[1]

    @property
    def ids(self) -> NDArray[np.str_]:
        """Unique name of each spectrum, shape (N,)."""
        return np.asarray(self.meta["id"], dtype=str)

    @property
    def stars(self) -> NDArray[np.str_]:
        """Name of each spectrum's star, shape (N,); visits of one star share it."""
        return np.asarray(self.meta["star"], dtype=str)

    @property
    def error(self) -> Float32Array:
        """One-sigma errors (N, P); infinite where masked, NaN where unknown."""
        with np.errstate(divide="ignore"):
            sigma = 1.0 / np.sqrt(self.ivar)
        return np.where(self.mask, np.inf, np.where(self.ivar > 0, sigma, np.nan)).astype("f4")

    @property
    def snr(self) -> NDArray[np.float64]:
        """Median signal to noise per unmasked pixel, shape (N,); NaN where errors are unknown."""
        known = ~self.mask & (self.ivar > 0)
        ratio = np.where(known, self.flux * np.sqrt(self.ivar), np.nan)
        out = np.full(len(self), np.nan)
        some = known.any(axis=1)
        out[some] = np.nanmedian(ratio[some], axis=1)
        return out

    @property
    def masked_fraction(self) -> NDArray[np.float64]:
        """Fraction of masked pixels of each spectrum, shape (N,)."""
        return self.mask.mean(axis=1)

    def __getitem__(self, rows: int | slice | ArrayLike) -> Spectra:
        """Some of the spectra, always as a batch."""
        index = np.atleast_1d(np.arange(len(self))[rows])  # type: ignore[index]
        return replace(
            self,
            flux=self.flux[index],
            ivar=self.ivar[index],
            mask=self.mask[index],
            meta=self.meta[index],
        )

    def select_pixels(self, pixels: ArrayLike | slice) -> Spectra:
        """The same spectra on some of their pixels."""
        where = pixels if isinstance(pixels, slice) else np.asarray(pixels)
        return replace(
            self,
            grid=self.grid.select(where),
            flux=self.flux[:, where],
            ivar=self.ivar[:, where],
            mask=self.mask[:, where],
        )

    def replace(self, **changes: Any) -> Spectra:
        """A batch with some fields changed; the rules above are applied anew."""
        return replace(self, **changes)

    def require(self, *, frame: Frame | None = None, medium: str | None = None) -> Spectra:
        """Itself, or a `FrameError` if frame or medium is another than the one named."""
        if frame is not None and frame != self.frame:
            raise FrameError(
                f"The {frame} frame is needed and these spectra are in the {self.frame} frame. "
                "Correct for the radial velocity first (preprocess.ToRest), or set frame= when "
                "reading if you know it."
            )
        if medium is not None and medium != self.grid.medium:
            raise FrameError(
                f"{medium} wavelengths are needed and these are {self.grid.medium} wavelengths. "
                f"Convert with spectra.replace(grid=spectra.grid.to({medium!r}))."
            )
        return self

    def __repr__(self) -> str:
        return f"Spectra({len(self)} x {self.grid.describe()}, {self.frame} frame)"


def concatenate(batches: Iterable[Spectra]) -> Spectra:
    """Spectra of several batches on one grid, in one batch.

    Raises
    ------
    GridError
        If there is none, or the grids differ.
    FrameError
        If the frames differ.
    DataError
        If the flux units differ.
    """
    parts: Sequence[Spectra] = list(batches)
    if not parts:
        raise GridError("There are no spectra to put together: at least one batch is needed.")
    first = parts[0]
    for part in parts[1:]:
        if not first.grid.matches(part.grid):
            raise GridError(
                f"Spectra of one batch share a grid; received {first.grid.describe()} and "
                f"{part.grid.describe()}. Resample to one grid first (preprocess.Resample)."
            )
        part.require(frame=first.frame)
        if part.flux_unit != first.flux_unit:
            raise DataError(
                f"Spectra of one batch share a flux unit; received {first.flux_unit} and "
                f"{part.flux_unit}."
            )
    return replace(
        first,
        flux=np.concatenate([part.flux for part in parts]),
        ivar=np.concatenate([part.ivar for part in parts]),
        mask=np.concatenate([part.mask for part in parts]),
        meta=vstack([part.meta for part in parts], metadata_conflicts="silent"),
    )


def _scale(flux: Any) -> float:
    """Unit in which the flux is kept: its own, or `TINY_SCALE` of it."""
    array = np.asarray(flux)
    if array.dtype.kind != "f" or not array.size:
        return 1.0
    few = array.ravel()[:: max(1, array.size // 1024)]
    if np.any(np.abs(few) >= TINY_FLUX):  # all but always, and cheaper than to look at every pixel
        return 1.0
    largest = np.nanmax(np.abs(array[np.isfinite(array)]), initial=0.0)
    return TINY_SCALE if 0.0 < largest < TINY_FLUX else 1.0


def _float32(values: Any, factor: float) -> NDArray[Any]:
    """As float32; what is too large becomes infinite, and so is masked."""
    array = np.asarray(values)
    with np.errstate(over="ignore"):
        scaled = array if factor == 1.0 else array.astype(float) * factor
        return scaled.astype(np.float32, copy=False)


def _matching(
    value: Any, flux: NDArray[Any], name: str, convert: Callable[[Any], NDArray[Any]]
) -> NDArray[Any]:
    array = np.atleast_2d(convert(np.zeros(flux.shape, bool) if value is None else value))
    if array.shape != flux.shape:
        raise DataError(f"{name} must have the shape of flux {flux.shape}; it is {array.shape}.")
    return array


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    array.setflags(write=False)
    return array


def _meta(meta: Table | None, n: int) -> Table:
    table = Table() if meta is None else Table(meta, copy=False)
    if len(table.colnames) and len(table) != n:
        raise DataError(f"meta must have a row for each of {n} spectra; it has {len(table)}.")
    if "id" not in table.colnames:
        table["id"] = np.array([f"{i}" for i in range(n)], dtype=str)
    if "star" not in table.colnames:
        table["star"] = np.asarray(table["id"], dtype=str)
    return table
