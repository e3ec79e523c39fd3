"""Is a label constrained by these pixels at all, and do the members of an ensemble agree on it?

A network answers for every label, also where the lines are masked, lost in noise or not there: it
then gives what stars usually have, with an error as wide as stars are different. The information
content of a label is the part of that width which the spectrum takes away,

    1 - error**2 / spread**2,

0 if the answer is the training set's and 1 if it is the spectrum's (the averaging kernel of a
linear retrieval: Rodgers 2000, Inverse Methods for Atmospheric Sounding, section 2.4).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starnet.errors import DataError
from starnet.spectra import Labels, LabelScale

if TYPE_CHECKING:
    from starnet.synthesis.emulator import Emulator

Array = NDArray[Any]
LEAST = 0.75
"""A label with less information is not measured: its error is more than half of the spread of
the training set, so that the spectrum tells less than where in that half a star is."""
MOST_APART = 1.0
"""Members that scatter by more than this many quoted errors disagree: what the networks do not
know is then as large as what the spectrum does not tell."""


def spread_of(scale: LabelScale, values: ArrayLike) -> Array:
    """Standard deviation of the training labels, (N, L) at values (N, L), in their units.

    The same for all stars but of labels whose logarithm was scaled.
    """
    at = np.asarray(values, dtype=float)
    middle = np.broadcast_to(scale.inverse(np.zeros((1, len(scale.names)))), at.shape)
    return np.abs(scale.inverse_derivative(scale.forward(np.where(np.isfinite(at), at, middle))))


def information(
    errors: ArrayLike, spread: LabelScale | ArrayLike, values: ArrayLike | None = None
) -> Array:
    """Information content (N, L) of each label, from 0 to 1; NaN where there is no error.

    Parameters
    ----------
    errors : array (N, L)
        Predicted one-sigma errors in the labels' units, the network's own (noise and line
        content); what is added to all stars alike may be in them.
    spread : LabelScale or array (L,) or (N, L)
        Of the training set: `Model.scale`, or standard deviations.
    values : array (N, L), optional
        Predicted labels, needed with a scale.

    Raises
    ------
    DataError
        If shapes do not fit, a spread is not positive, or values are missing.
    """
    sigma = np.asarray(errors, dtype=float)
    if isinstance(spread, LabelScale):
        at = np.asarray(np.nan if values is None else values, dtype=float)
        if at.shape != sigma.shape:
            raise DataError(
                "Information by a scale needs the predicted values, one for each error; received "
                f"{'none' if values is None else at.shape} for {sigma.shape}."
            )
        wide = spread_of(spread, at)
    else:
        wide = np.asarray(spread, dtype=float)
    _check(sigma, wide)
    return np.clip(1.0 - (sigma / wide) ** 2, 0.0, 1.0)


def _check(sigma: Array, wide: Array) -> None:
    if sigma.ndim != 2 or wide.shape not in (sigma.shape, sigma.shape[1:]):
        raise DataError(
            "Information needs errors (N, L) and a spread for each label, (L,) or (N, L); received "
            f"{sigma.shape} and {wide.shape}."
        )
    if not np.all(np.isfinite(wide) & (wide > 0)):
        raise DataError(
            "The spread of every training label must be positive and finite; a label that does "
            "not vary cannot be learnt. Leave it out."
        )


def information_of_pixels(
    emulator: Emulator, labels: Labels, ivar: ArrayLike, spread: ArrayLike, *, batch: int = 64
) -> Array:
    """Information content (N, L) that any method could find in these pixels, at most.

    The Cramer-Rao bound with the training set's spread as a normal prior: with derivatives J and
    weights W, the errors are those of the inverse of ``J W J^T + diag(1 / spread**2)``. Continuum,
    velocity and broadening are taken as known.

    Parameters
    ----------
    emulator : Emulator
        On the pixels of the spectra.
    labels : Labels
        Of N stars; they are moved to the edge of the emulator's hull, and stars without teff,
        logg and fe_h come out NaN.
    ivar : array (P,) or (N, P)
        Inverse variance of the normalised flux, 0 where masked.
    spread : array (L,)
        Of the emulator's L labels, in their order.

    Raises
    ------
    DataError
        If shapes do not fit or a spread is not positive.
    """
    import torch

    own = emulator.own(labels)
    wide = np.asarray(spread, dtype=float)
    weight = np.asarray(ivar, dtype=np.float32)
    _check(own, wide)
    if weight.shape not in ((emulator.grid.n_pixels,), (len(own), emulator.grid.n_pixels)):
        raise DataError(
            f"ivar must be given for the {emulator.grid.n_pixels} pixels of the emulator, for all "
            f"or for each of {len(own)} stars; received {weight.shape}."
        )
    weight = np.broadcast_to(weight, (len(own), emulator.grid.n_pixels))
    out = np.full(own.shape, np.nan)
    known = np.flatnonzero(np.all(np.isfinite(own), axis=1))
    for start in range(0, known.size, batch):
        rows = known[start : start + batch]
        with torch.no_grad():
            at = torch.as_tensor(emulator.hull.clip(own[rows]), dtype=torch.float32)
            slopes = emulator.flux_and_slopes(at)[1].numpy() * wide[:, None]  # (B, L, P)
        fisher = np.einsum("blp,bp,bkp->blk", slopes, weight[rows], slopes, optimize=True)
        inverse = np.linalg.inv(fisher.astype(float) + np.eye(wide.size))
        out[rows] = 1.0 - np.diagonal(inverse, axis1=1, axis2=2)
    return out


def not_measured(content: ArrayLike, least: float = LEAST) -> NDArray[np.bool_]:
    """Which labels (N, L) the pixels do not constrain, of their information content.

    NaN (no error known) is not flagged.
    """
    return np.asarray(content, dtype=float) < least


def disagreement(member_values: ArrayLike, errors: ArrayLike) -> Array:
    """Scatter of the members of an ensemble over the quoted error, (N, L).

    Parameters
    ----------
    member_values : array (M, N, L)
        Labels of each of M members, in their units.
    errors : array (N, L)
        Quoted by the ensemble, without the scatter of its members (the mean of theirs).

    Raises
    ------
    DataError
        If there are fewer than two members, or shapes do not fit.
    """
    values, sigma = np.asarray(member_values, dtype=float), np.asarray(errors, dtype=float)
    if values.ndim != 3 or len(values) < 2 or values.shape[1:] != sigma.shape:
        raise DataError(
            "Members disagree where there are two or more, with values (M, N, L) and errors "
            f"(N, L); received {values.shape} and {sigma.shape}."
        )
    scatter = np.std(values, axis=0, ddof=1)
    return scatter / np.where(sigma > 0, sigma, np.nan)


def members_disagree(apart: ArrayLike, most: float = MOST_APART) -> NDArray[np.bool_]:
    """Where members are further apart than ``most`` quoted errors, (N, L); NaN is not flagged."""
    return np.asarray(apart, dtype=float) > most
