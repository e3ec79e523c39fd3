"""How far labels are off when their noise is taken out, in bins of what is predicted.

Fabbro et al. (2018, MNRAS 475, 2978) measured it on synthetic spectra in bins of each label by
itself. Here the bins are in several labels together, looked up by the predicted labels (the true
ones are not known of a star that one wants to know), and no bin is empty: one with too few stars
takes in its neighbours, then theirs, until it has enough.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starnet.errors import ConfigError, DataError, LabelError, ModelError
from starnet.spectra import Labels

Array = NDArray[Any]
BY = ("teff", "logg", "fe_h")
"""Labels that bins are made in, as far as a model predicts them."""
ONE_SIGMA = 0.6826894921370859
"""Part of a normal distribution within one sigma."""
RANGE = (0.01, 0.99)
"""Quantiles of the predicted labels between which the bins lie; those at the ends are open."""


@dataclass(frozen=True, eq=False)
class IntrinsicScatter:
    """One sigma of each label beyond the propagated noise, by bin of the predicted labels.

    Make it with `fit`.

    Attributes
    ----------
    names : tuple of str
        The L labels.
    by : tuple of str
        Labels, of these, that the bins are made in.
    edges : tuple of tuple of float
        Inner edges of the bins in each of them; the outermost bins are open.
    scatter : array (cells, L)
        In the labels' units; cells in C order of the bins.
    n_stars : array (cells, L)
        Stars of the cell itself.
    reach : array (cells, L)
        How many cells away the neighbours are that were taken in; 0 for the cell alone.
    min_stars : int
        Stars that each number was measured on, at least.
    """

    names: tuple[str, ...]
    by: tuple[str, ...]
    edges: tuple[tuple[float, ...], ...]
    scatter: Array
    n_stars: Array
    reach: Array
    min_stars: int

    @classmethod
    def fit(
        cls,
        predicted: Labels,
        propagated_error: ArrayLike | None,
        truth: Labels,
        *,
        by: Sequence[str] | None = None,
        bins: int = 5,
        min_stars: int = 50,
    ) -> IntrinsicScatter:
        """From stars whose labels are known.

        In each bin it is the sigma with which 68.3 % of the residuals are smaller than
        sqrt(noise^2 + sigma^2), noise being the propagated error and, where it is known, the
        error of the true label: sigma^2 is that quantile of residual^2 - noise^2, or 0 where
        noise explains everything. An offset counts as scatter: the star's error does not ask why.

        Parameters
        ----------
        predicted : Labels
            Of N stars. Missing ones (NaN) do not count.
        propagated_error : array (N, L) or None
            One sigma, from `propagate`; stars where it is NaN do not count. None takes all
            residuals as scatter, for spectra without known errors.
        truth : Labels
            Of the same stars; labels that it has not, or ``predicted`` has not, are left out.
        by : sequence of str, optional
            Labels that the bins are made in. Default: of teff, logg and fe_h those there are.
        bins : int
            In each of them, evenly between the 1 % and 99 % quantiles of the predicted labels.
        min_stars : int
            Smallest number of stars that a scatter is measured on.

        Raises
        ------
        LabelError
            If there are too few stars for a label, or its true values are all the same.
        DataError
            If the stars do not agree in number.
        ConfigError
            If a setting is wrong.
        """
        names = tuple(name for name in predicted.names if name in truth.names)
        by = tuple(name for name in BY if name in names) if by is None else tuple(by)
        _check_settings(names, by, bins, min_stars)
        values = predicted.select(names).values if names else np.zeros((0, 0))
        excess = _excess(predicted, propagated_error, truth, names)
        _check_stars(names, excess, truth, min_stars)
        edges = tuple(_inner_edges(values[:, names.index(name)], bins) for name in by)
        cells = _cells(values[:, [names.index(name) for name in by]], edges)
        shape = tuple(len(e) + 1 for e in edges)
        found = [_filled(column, cells, shape, min_stars) for column in excess.T]
        scatter, n_stars, reach = (np.stack(part, axis=1) for part in zip(*found, strict=True))
        return cls(names, by, edges, scatter, n_stars, reach, min_stars)

    def at(self, values: ArrayLike) -> Array:
        """Scatter (N, L) at predicted labels (N, L), in the order of ``names``.

        Beyond the bins the nearest one counts. A label that is NaN has none; where only a label
        that the bins are made in is missing, it is the largest of all bins.
        """
        values = np.asarray(values, dtype=float)
        if values.ndim != 2 or values.shape[1] != len(self.names):
            raise DataError(
                f"Labels must have shape (N, {len(self.names)}) for {', '.join(self.names)}; "
                f"received {values.shape}."
            )
        cells = _cells(values[:, [self.names.index(name) for name in self.by]], self.edges)
        out = self.scatter[cells]
        out[cells < 0] = self.scatter.max(axis=0)
        return np.where(np.isnan(values), np.nan, out)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "names": list(self.names),
            "by": {name: list(edges) for name, edges in zip(self.by, self.edges, strict=True)},
            "scatter": self.scatter.tolist(),
            "n_stars": self.n_stars.tolist(),
            "reach": self.reach.tolist(),
            "min_stars": self.min_stars,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> IntrinsicScatter:
        """The inverse of `to_dict`.

        Raises
        ------
        ModelError
            If an entry is missing or does not fit the others.
        """
        try:
            names, by = tuple(data["names"]), data["by"]
            edges = tuple(tuple(map(float, column)) for column in by.values())
            shape = (int(np.prod([len(e) + 1 for e in edges])), len(names))
            scatter = np.asarray(data["scatter"], float)
            n_stars, reach = (np.asarray(data[key], int) for key in ("n_stars", "reach"))
            fits = all(a.shape == shape for a in (scatter, n_stars, reach))
            if not (fits and set(by) <= set(names) and np.all(scatter >= 0)):
                raise ValueError(f"numbers of shape {shape}, 0 or more, are wanted")
            return cls(names, tuple(by), edges, scatter, n_stars, reach, int(data["min_stars"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelError(
                f"The intrinsic scatter kept with the model is damaged ({error}); measure it "
                "again with IntrinsicScatter.fit."
            ) from error


def combine(propagated_covariance: ArrayLike, scatter: ArrayLike) -> Array:
    """Total covariance (N, L, L): propagated noise, with scatter (N, L) in squares on its diagonal.

    Intrinsic scatter of different labels is taken as independent. Where noise is unknown (NaN)
    so is the total.
    """
    covariance, extra = np.array(propagated_covariance, dtype=float), np.asarray(scatter, float)
    if covariance.ndim != 3 or covariance.shape != (*extra.shape, extra.shape[-1]):
        raise DataError(
            "The covariance must be (N, L, L) and the scatter (N, L); received "
            f"{covariance.shape} and {extra.shape}."
        )
    covariance += extra[:, :, None] ** 2 * np.eye(extra.shape[1])
    return covariance


def _check_settings(names: tuple[str, ...], by: tuple[str, ...], bins: int, least: int) -> None:
    if not names:
        raise LabelError("Predicted and true labels have none in common; give the same names.")
    if strange := [name for name in by if name not in names]:
        raise ConfigError(
            f"Bins can be made in {', '.join(names)}, which are predicted and known; received "
            f"by={', '.join(strange)}."
        )
    if bins < 1 or least < 2:
        raise ConfigError(
            f"bins must be 1 or more and min_stars 2 or more; received {bins} and {least}."
        )


def _excess(
    predicted: Labels, error: ArrayLike | None, truth: Labels, names: tuple[str, ...]
) -> Array:
    """Squared residual minus squared noise (N, L), NaN where it is not known."""
    shape = predicted.values.shape
    error = np.zeros(shape) if error is None else np.asarray(error, dtype=float)
    if len(truth) != len(predicted) or error.shape != shape:
        raise DataError(
            f"Predicted labels {shape}, propagated errors and true labels must be of the same "
            f"stars; received errors {error.shape} and true labels of {len(truth)} stars."
        )
    known = truth.select(names)
    own = error[:, [predicted.index(name) for name in names]]
    residual = predicted.select(names).values - known.values
    return residual**2 - own**2 - np.nan_to_num(known.errors) ** 2


def _check_stars(names: tuple[str, ...], excess: Array, truth: Labels, least: int) -> None:
    for name, column in zip(names, excess.T, strict=True):
        good = np.isfinite(column)
        if (n := int(good.sum())) < least:
            raise LabelError(
                f"The intrinsic scatter of {name} needs at least {least} stars with predicted "
                f"and true values and a propagated error; received {n}. Give more stars, leave "
                "the label out, or lower min_stars."
            )
        if np.ptp(known := truth.column(name)[good]) == 0:
            raise LabelError(
                f"The true values of {name} are all {known[0]:g}: the scatter of a constant says "
                "nothing of other stars. Give stars that differ, or leave the label out."
            )


def _inner_edges(values: Array, bins: int) -> tuple[float, ...]:
    """Between bins, evenly; none where the values do not vary."""
    low, high = np.nanquantile(values, RANGE)
    return tuple(float(e) for e in np.unique(np.linspace(low, high, bins + 1)[1:-1]))


def _cells(values: Array, edges: Sequence[Sequence[float]]) -> Array:
    """Cell (N,) of each row of values (N, D); -1 where one is missing."""
    cell = np.zeros(len(values), dtype=int)
    for column, inner in zip(values.T, edges, strict=True):
        cell = cell * (len(inner) + 1) + np.searchsorted(inner, column, side="right")
    cell[np.isnan(values).any(axis=1)] = -1
    return cell


def _filled(
    excess: Array, cells: Array, shape: tuple[int, ...], least: int
) -> tuple[Array, Array, Array]:
    """Scatter, own stars and reach of every cell, for one label."""
    known = np.isfinite(excess)
    placed = known & (cells >= 0)
    counts = np.bincount(cells[placed], minlength=int(np.prod(shape)))
    places = np.array(list(np.ndindex(*shape)), dtype=int)  # (cells, D)
    scatter, reach = np.zeros(counts.size), np.zeros(counts.size, dtype=int)
    for i, place in enumerate(places):
        away = np.abs(places - place).max(axis=1, initial=0)  # (cells,)
        stars = known  # stars without a place count when all cells together are too few
        for far in range(away.max() + 1):
            if counts[near := away <= far].sum() >= least:
                stars = placed & near[cells]
                break
        reach[i] = far
        scatter[i] = np.sqrt(max(0.0, float(np.quantile(excess[stars], ONE_SIGMA))))
    return scatter, counts, reach
