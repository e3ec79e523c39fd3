"""Whether a network looks where it should: its slopes against those of the physics.

Of a star with emulated flux F and labels a, with J = dF / da (L, P) and W the inverse variances,
the unbiased estimate of least variance has d a / d F = (J W J^T)^-1 J W (Aitken 1936), continuum,
velocity and broadening among the unknowns: that is what the slopes of the best network look like
if it may not lean on how stars are distributed. With the inverse covariance of the population
added to J W J^T, it may. A network's slopes are held against these weights, and against J itself,
to which they are alike only as far as a label's lines are its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from starnet.errors import DataError, ReadError
from starnet.spectra import Labels, Spectra, WavelengthGrid

if TYPE_CHECKING:
    from starnet.artifact import Model
    from starnet.synthesis.emulator import Emulator

Array = NDArray[Any]
NUISANCE: dict[str, Any] = {"continuum": 4, "rv": True, "broadening": True}
"""What else is unknown beside the labels."""
TINY = 1e-12


@dataclass(frozen=True, eq=False)
class Agreement:
    """Of N stars and the L labels that network and emulator share.

    Attributes
    ----------
    names : tuple of str
    slope : array (N, L)
        Correlation over pixels of d label / d flux with the emulator's d flux / d label.
    optimal : array (N, L)
        With the weights of least variance; `informed` with those that know the population.
    informed : array (N, L)
    diagonal : array (N, L)
        Sum over pixels of d label / d flux times d flux / d label: 1 if a label answers to itself.
    windows : mapping of label to (share, chance)
        Part of that sum, of its sizes, which lies in given windows, and part of the pixels
        that does; median over the stars.
    """

    names: tuple[str, ...]
    slope: Array
    optimal: Array
    informed: Array
    diagonal: Array
    windows: Mapping[str, tuple[float, float]]

    def table(self) -> Table:
        """Medians over the stars, one row for each label."""
        out = Table({"label": np.array(self.names)})
        for name in ("slope", "optimal", "informed", "diagonal"):
            out[name] = np.round(np.nanmedian(getattr(self, name), axis=0), 3)
        if self.windows:
            none = (np.nan, np.nan)
            pairs = [self.windows.get(name, none) for name in self.names]
            out["in_windows"] = np.round([share for share, _ in pairs], 3)
            out["by_chance"] = np.round([chance for _, chance in pairs], 3)
        return out


def agreement(
    model: Model,
    spectra: Spectra,
    emulator: Emulator,
    labels: Labels | None = None,
    *,
    population: Labels | None = None,
    windows: Mapping[str, Array] | None = None,
) -> Agreement:
    """How a network's slopes at spectra go with the emulator's.

    Parameters
    ----------
    model : Model
    spectra : Spectra
        N spectra at rest, as the model takes them.
    emulator : Emulator
        Of these spectra, on any pixels.
    labels : Labels, optional
        Of the N stars, where the emulator's slopes are taken. Default: those that the model
        predicts. Labels the emulator has and these lack are in the middle of its range.
    population : Labels, optional
        Stars whose covariance the informed weights know. Default: none, NaN.
    windows : mapping of label to array (P,), optional
        Weights on the pixels that the network sees, as `read_windows` gives them.

    Raises
    ------
    DataError
        If no label is shared, or rows do not fit.
    """
    from starnet.explain.sensitivity import attributions, usable

    prepared, rows = usable(model, spectra)
    names = tuple(name for name in model.labels if name in emulator.labels)
    if not names or (labels is not None and len(labels) != len(spectra)):
        have = "as many labels as spectra" if names else "a label in common"
        raise DataError(f"Agreement needs a model and an emulator with {have}.")
    here = emulator.on(prepared.grid)
    prior = None if population is None else _inverse_covariance(here, population)
    columns = [model.labels.index(name) for name in names]
    parts = []
    for part, found, values in attributions(model, prepared):
        given = found if labels is None else labels[rows[part]]
        physics = physics_of(here, given, prepared[part], prior)
        order = [here.labels.index(name) for name in names]
        own = np.nan_to_num(values[:, columns])
        parts.append(_compared(own, tuple(p[:, order] for p in physics), windows, names))
    slope, best, wise, diagonal, shares = (
        np.concatenate(column) for column in zip(*parts, strict=True)
    )
    return Agreement(names, slope, best, wise, diagonal, _medians(shares, names, windows))


def optimal_weights(
    slopes: Array, extra: Array, ivar: Array, inverse_covariance: Array | None = None
) -> Array:
    """(J W J^T + P)^-1 J W of one star: (L, P).

    Parameters
    ----------
    slopes : array (L, P)
        d flux / d label.
    extra : array (M, P)
        Derivatives by what else is unknown.
    ivar : array (P,)
    inverse_covariance : array (L, L), optional
        Of the labels among stars. Default: nothing is known of them.
    """
    rows = np.concatenate([slopes, extra])
    information = (rows * ivar) @ rows.T
    n = len(slopes)
    if inverse_covariance is not None:
        information[:n, :n] += inverse_covariance
    scale = np.sqrt(np.maximum(np.diag(information), TINY))
    inverse = np.linalg.pinv(information / np.outer(scale, scale), rcond=TINY, hermitian=True)
    return ((inverse / np.outer(scale, scale)) @ (rows * ivar))[:n]


def read_windows(folder: str | Path, grid: WavelengthGrid) -> dict[str, Array]:
    """Element windows of ASPCAP on a grid: label to weights (P,).

    A folder with ``wave.dat`` (vacuum Angstrom, in its first column) and a file ``X.filt`` for each
    element, a weight a line. Weights below 0 count as 0.

    Raises
    ------
    ReadError
        If there are no such files, or they do not go together.
    """
    folder = Path(folder)
    try:
        wave = np.loadtxt(folder / "wave.dat", ndmin=2)[:, 0]
        files = {path.stem: np.loadtxt(path).ravel() for path in sorted(folder.glob("*.filt"))}
    except (OSError, ValueError) as error:
        raise ReadError(
            f"{folder} holds no element windows: wave.dat and X.filt of each element are needed, "
            f"one number a line ({error})."
        ) from error
    wrong = [name for name, weight in files.items() if weight.shape != wave.shape]
    if not files or wrong:
        raise ReadError(
            f"{folder} must have files X.filt as long as wave.dat ({wave.size}); "
            f"{', '.join(wrong) or 'none is there'}."
        )
    own = grid.to_vacuum().wavelength
    out = {}
    for name, weight in files.items():
        label = "fe_h" if name == "Fe" else f"{name.lower()}_fe"
        out[label] = np.interp(own, wave, np.maximum(weight, 0.0), left=0.0, right=0.0)
    return out


def physics_of(
    emulator: Emulator, labels: Labels, prepared: Spectra, prior: Array | None = None
) -> tuple[Array, Array, Array]:
    """Emulator's slopes, and weights of least variance without and with a population.

    Parameters
    ----------
    emulator : Emulator
        On the pixels that the network sees.
    labels : Labels
        Of n stars.
    prepared : Spectra
        Of the same stars, as the network sees them: their masks, and errors for the last.
    prior : array (L, L), optional
        Inverse covariance of the population's labels. Without it the last are NaN.

    Returns
    -------
    arrays (n, L, P)
        In the order of the emulator's labels, in units of the chip's median flux.
    """
    from starnet.evaluate.limits import nuisances, spectra_and_slopes

    flux, slopes = spectra_and_slopes(emulator, _within(emulator, labels))
    level = _levels(emulator.grid, flux, prepared.mask)
    flux, slopes = flux / level, slopes / level[:, None]
    extra = nuisances(emulator.grid, flux, **NUISANCE)
    ivar = np.where(prepared.mask, 0.0, 1.0)
    best = [optimal_weights(*row) for row in zip(slopes, extra, ivar, strict=True)]
    if prior is None:
        wise = np.full_like(slopes, np.nan)
    else:
        noise = np.where(prepared.mask, 0.0, prepared.ivar)
        rows = zip(slopes, extra, noise, strict=True)
        wise = np.stack([optimal_weights(*row, prior) for row in rows])
    return slopes, np.stack(best), wise


def _within(emulator: Emulator, labels: Labels) -> Labels:
    """The emulator's labels of stars, moved to the edge of what it holds where they are beyond."""
    names = [name for name in labels.names if name in (*emulator.labels, "m_h")]
    own = emulator.own(labels.select(names))
    middle = 0.5 * (emulator.hull.low + emulator.hull.high)
    return Labels(emulator.labels, emulator.hull.clip(np.where(np.isfinite(own), own, middle)))


def _levels(grid: WavelengthGrid, flux: Array, mask: Array) -> Array:
    """Median of each chip's good pixels, on every pixel, as the network's preprocessing has it."""
    out = np.ones_like(flux)
    seen = np.where(mask, np.nan, flux)
    for a, b in grid.chips:
        some = np.isfinite(seen[:, a:b]).any(axis=1)
        out[some, a:b] = np.nanmedian(seen[some, a:b], axis=1)[:, None]
    return out


def _inverse_covariance(emulator: Emulator, population: Labels) -> Array:
    values = population.select(emulator.labels).values
    covariance = np.cov(values[np.isfinite(values).all(axis=1)].T)
    scale = np.sqrt(np.diag(covariance))
    inverse = np.linalg.pinv(covariance / np.outer(scale, scale), rcond=1e-6, hermitian=True)
    return inverse / np.outer(scale, scale)


def _compared(
    own: Array,
    physics: tuple[Array, ...],
    windows: Mapping[str, Array] | None,
    names: tuple[str, ...],
) -> tuple[Array, ...]:
    use = own * physics[0]  # (n, L, P)
    shares = np.full(own.shape[:2], np.nan)
    for i, name in enumerate(names):
        if windows and name in windows:
            total = np.abs(use[:, i]).sum(axis=1)
            inside = np.abs(use[:, i])[:, windows[name] > 0].sum(axis=1)
            shares[:, i] = inside / np.maximum(total, TINY)
    pairs = (_correlation(own, other) for other in physics)
    return (*pairs, use.sum(axis=2), shares)


def _correlation(one: Array, other: Array) -> Array:
    """Over pixels, (n, L); NaN where one does not vary."""
    a = one - one.mean(axis=2, keepdims=True)
    b = other - other.mean(axis=2, keepdims=True)
    norm = np.sqrt((a**2).sum(axis=2) * (b**2).sum(axis=2))
    return np.where(norm > 0, (a * b).sum(axis=2) / np.where(norm > 0, norm, 1.0), np.nan)


def _medians(
    shares: Array, names: tuple[str, ...], windows: Mapping[str, Array] | None
) -> dict[str, tuple[float, float]]:
    out = {}
    for i, name in enumerate(names):
        if windows and name in windows:
            chance = float(np.mean(windows[name] > 0))
            out[name] = float(np.nanmedian(shares[:, i])), chance
    return out
