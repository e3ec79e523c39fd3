"""What a fit found, for N stars."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable, Table
from numpy.typing import ArrayLike, NDArray

from starnet.inference.flags import LabelFlag, legend, of_the_star
from starnet.inference.predict import CARRIED
from starnet.spectra import Labels, Spectra

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class FitResult:
    """Labels that fit N spectra best, and how well they do.

    Attributes
    ----------
    labels : Labels
        All L labels of the emulator with errors, (N, L); NaN where there is no fit. Labels that
        were held have no errors.
    free : tuple of str
        The F labels that were fitted.
    covariance : array (N, F, F)
        Of the free labels in their units, with velocity, width and continuum taken into account:
        the inverse of half the second derivative of chi-square (Gauss-Newton).
    chi2 : array (N,)
        NaN where the errors of the flux are unknown.
    dof : array (N,)
        Pixels less everything fitted.
    rv, rv_err : array (N,)
        Residual velocity, km/s, positive to the red.
    broadening, broadening_err : array (N,)
        Standard deviation of the extra Gaussian, km/s. At 0 the error is an upper limit (1 sigma).
    continuum : array (N, C, T)
        Legendre coefficients of each chip in units of the flux.
    excess : array (N,)
        Root mean square of the residuals beyond the noise, as a fraction of the continuum.
    converged : array (N,)
    iterations : array (N,)
        Evaluations of the best start.
    errors_from_residuals : array (N,)
        Flux errors were unknown: label errors are scaled so that chi-square were 1 per pixel.
    flags : array (N, L)
        `LabelFlag` bits.
    snr, masked_fraction : array (N,)
    meta : Table
    about : dict
        Emulator, versions and settings.
    """

    labels: Labels
    free: tuple[str, ...]
    covariance: Array
    chi2: Array
    dof: Array
    rv: Array
    rv_err: Array
    broadening: Array
    broadening_err: Array
    continuum: Array
    excess: Array
    converged: Array
    iterations: Array
    errors_from_residuals: Array
    flags: Array
    snr: Array
    masked_fraction: Array
    meta: Table
    about: dict[str, Any] = field(default_factory=dict)
    draw: Callable[[FitResult], Array] | None = field(default=None, repr=False)
    """Makes the spectra (N, P) of a result; see `model`."""

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        flagged = int(np.count_nonzero(self.flags.any(axis=1)))
        return f"FitResult({len(self)} spectra: {', '.join(self.free)}; {flagged} flagged)"

    def __getitem__(self, rows: int | slice | ArrayLike) -> FitResult:
        """Some of the stars, always as a batch."""
        at = np.atleast_1d(np.arange(len(self))[rows])  # type: ignore[index]
        own = ("free", "about", "draw")
        return replace(self, **{k: v[at] for k, v in self._fields().items() if k not in own})

    @cached_property
    def model(self) -> Array:
        """Best spectra (N, P) in units of the flux; NaN outside chips and where there is no fit."""
        assert self.draw is not None
        return self.draw(self)

    def residuals(self, spectra: Spectra) -> Array:
        """Flux less model (N, P) of the spectra that were fitted; NaN where masked."""
        return np.where(spectra.mask, np.nan, spectra.flux - self.model)

    @property
    def reduced_chi2(self) -> Array:
        """Chi-square per degree of freedom, (N,)."""
        return self.chi2 / np.maximum(self.dof, 1)

    def correlation(self, row: int) -> Array:
        """Correlations (F, F) of the errors of one star."""
        sigma = np.sqrt(np.diag(self.covariance[row]))
        return self.covariance[row] / np.outer(sigma, sigma)

    def to_table(self) -> QTable:
        """One row for each spectrum, in the style of `Prediction.to_table`.

        Ids and S/N, each label with error and flag, then velocity, width, chi-square and flags.
        """
        table = QTable({"id": np.asarray(self.meta["id"], dtype=str)})
        table["star"] = np.asarray(self.meta["star"], dtype=str)
        table["snr"] = np.asarray(self.snr, dtype=np.float32)
        table["masked_fraction"] = np.asarray(self.masked_fraction, dtype=np.float32)
        for i, (name, unit) in enumerate(zip(self.labels.names, self.labels.units, strict=True)):
            table[name] = self.labels.values[:, i] << u.Unit(unit)  # pyright: ignore
            table[f"{name}_err"] = self.labels.errors[:, i] << u.Unit(unit)  # pyright: ignore
            table[f"{name}_flag"] = self.flags[:, i].astype(np.int16)
        for name in ("rv", "rv_err", "broadening", "broadening_err"):
            column = f"fit_{name}" if name.startswith("rv") else name
            table[column] = getattr(self, name) << u.Unit("km/s")  # pyright: ignore
        table["chi2"], table["dof"] = self.chi2, self.dof.astype(np.int32)
        table["excess"] = self.excess.astype(np.float32)
        table["converged"] = self.converged
        table["iterations"] = self.iterations.astype(np.int16)
        table["flag"] = of_the_star(self.flags, self.labels.names).astype(np.int16)
        for name in CARRIED:
            if name in self.meta.colnames:
                table[name] = np.asarray(self.meta[name])
        table.meta = {**self.about, "flag_bits": legend()}
        return table

    def _fields(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def not_fitted(labels: tuple[str, ...], meta: dict[str, Any]) -> FitResult:
    """The result of one spectrum that was not fitted at all; all is NaN and flagged.

    Parameters
    ----------
    labels : tuple of str
        Of the emulator.
    meta : mapping
        What is known of the spectrum, ``id`` and ``star`` among it.
    """
    nan, none = np.full(1, np.nan), np.zeros(1, dtype=int)
    values = np.full((1, len(labels)), np.nan)
    names = ("chi2", "rv", "rv_err", "broadening", "broadening_err", "excess", "snr")
    return FitResult(
        labels=Labels(labels, values),
        free=labels,
        covariance=np.full((1, len(labels), len(labels)), np.nan),
        continuum=np.full((1, 0, 0), np.nan),
        dof=none,
        converged=np.zeros(1, dtype=bool),
        iterations=none,
        errors_from_residuals=np.zeros(1, dtype=bool),
        flags=np.full((1, len(labels)), LabelFlag.FAILED, dtype=np.int16),
        masked_fraction=np.ones(1),
        meta=Table({name: [value] for name, value in meta.items()}),
        **dict.fromkeys(names, nan),
    )
