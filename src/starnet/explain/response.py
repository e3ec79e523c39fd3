"""The cheating test: one label of a star is changed, and the network is asked for all of them.

Abundances go together in the sky, and so they do in every training set. A network may give the
magnesium of a star by its silicon and be right on average, and wrong on each star that is special.
Here each star is computed again with one label changed and all else held, once up and once down,
and

    R[a, l] = change of the predicted label l / change of the label a

should be 1 on the diagonal and 0 elsewhere. The spectra have no noise; the errors that are quoted
with them tell a network how much to trust them: one that knows how stars are distributed leans on
that the more the larger they are, and its diagonal falls below 1 by about the squared ratio of the
Cramer-Rao limit and the scatter among its training stars. So only labels that the spectrum of a
star says something of are *measured*: those whose limit at the given signal to noise, all labels
unknown together, is below `MEASURED`.

What "alone" means: of ``x_fe``, the abundance of one element at fixed [Fe/H] and everything else.
Of ``fe_h`` at fixed [X/Fe], all metals together. `Response.iron` gives the change of iron alone,
at fixed [X/H] of the other labelled elements, which follows from the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from starnet.errors import ConfigError, DataError, LabelError
from starnet.spectra import Labels, Spectra, WavelengthGrid
from starnet.synthesis.observe.lsf import in_chips

if TYPE_CHECKING:
    from starnet.inference import Predictor
    from starnet.synthesis.contract import Synthesizer
    from starnet.synthesis.emulator import Emulator

Array = NDArray[Any]
STEPS: Mapping[str, float] = {"teff": 50.0, "logg": 0.1, "vmic": 0.1}
"""By which a label is changed, up and down; other labels by `STEP`."""
STEP = 0.1
UNITS: Mapping[str, float] = {"teff": 1000.0}
"""In which labels are held against each other: 1000 K beside 1 dex and 1 km/s."""
MEASURED = 0.1
"""Cramer-Rao limit below which a label is measured, in the units of `UNITS`."""
FEWEST = 0.25
"""Part of the stars in which a label must be measured to count at all."""


@dataclass(frozen=True, eq=False)
class Response:
    """How L predicted labels of N stars answer to a change of each.

    Attributes
    ----------
    names : tuple of str
        The L labels, changed and predicted.
    each : array (N, L, L)
        ``each[n, a, l]``: change of the predicted label l over the change of the label a, in the
        units of `UNITS`. NaN where a star could not be predicted.
    limit : array (N, L)
        Cramer-Rao limits of the stars at ``snr``, in the units of `UNITS`.
    snr : float
        Signal to noise that the spectra were quoted with.
    limit_snr : float
        That of the limits.
    """

    names: tuple[str, ...]
    each: Array
    limit: Array
    snr: float
    limit_snr: float

    @property
    def measured(self) -> NDArray[np.bool_]:
        """Whether a star's spectrum says enough of a label, (N, L)."""
        return self.limit < MEASURED

    @property
    def elements(self) -> tuple[str, ...]:
        """Names of the labels that are abundances and measured in enough stars."""
        return tuple(n for n in self.counted if n.endswith(("_fe", "_h")))

    @property
    def counted(self) -> tuple[str, ...]:
        """Names of the labels that are measured in at least `FEWEST` of the stars."""
        part = self.measured.mean(axis=0)
        return tuple(n for n, p in zip(self.names, part, strict=True) if p >= FEWEST)

    @property
    def matrix(self) -> Array:
        """Median over the stars in which both labels are measured, (L, L); NaN where none is."""
        return self._over_stars(lambda values: float(np.median(values)))

    @property
    def spread(self) -> Array:
        """Robust standard deviation over those stars, (L, L)."""
        return self._over_stars(_robust)

    @property
    def everywhere(self) -> Array:
        """Median over all stars, measured or not, (L, L)."""
        return np.nanmedian(self.each, axis=0)

    def of(self, names: tuple[str, ...]) -> Array:
        """The rows and columns of `matrix` of some labels, (M, M)."""
        index = [self.names.index(name) for name in names]
        return self.matrix[np.ix_(index, index)]

    @property
    def mean_diagonal(self) -> float:
        """Mean of the diagonal over the elements."""
        return float(np.mean(np.diag(self.of(self.elements)))) if self.elements else float("nan")

    @property
    def largest(self) -> tuple[str, str, float]:
        """Largest off-diagonal among the elements: what was changed, what moved, by how much."""
        names = self.elements
        if len(names) < 2:
            return "", "", float("nan")
        matrix = np.abs(np.nan_to_num(self.of(names)))
        np.fill_diagonal(matrix, -1.0)
        a, b = np.unravel_index(int(np.argmax(matrix)), matrix.shape)
        return names[a], names[b], float(self.of(names)[a, b])

    @property
    def iron(self) -> Array | None:
        """Response (L,) to iron alone: fe_h raised, and all x_fe lowered by as much.

        Median over the stars. The answer of a perfect network is 1 for fe_h, -1 for each x_fe and
        0 for the others. None without fe_h or any x_fe.
        """
        others = [i for i, name in enumerate(self.names) if name.endswith("_fe")]
        if "fe_h" not in self.names or not others:
            return None
        each = self.each[:, self.names.index("fe_h")] - self.each[:, others].sum(axis=1)
        return np.nanmedian(each, axis=0)

    def table(self) -> Table:
        """One row for each label that was changed, one column for each that was predicted."""
        out = Table({"changed": np.array(self.names)})
        for name, column in zip(self.names, self.matrix.T, strict=True):
            out[name] = np.round(column, 4)
        out["limit"] = np.round(np.median(self.limit, axis=0), 5)
        out["measured"] = np.round(self.measured.mean(axis=0), 3)
        out.meta = {
            "snr": self.snr, "limit_snr": self.limit_snr, "n_stars": len(self.each),
            "units": "1000 K, dex, km/s", "mean_diagonal": self.mean_diagonal,
            "largest_off_diagonal": list(self.largest), "elements": list(self.elements),
        }  # fmt: skip
        return out

    def _over_stars(self, how: Callable[[Array], float]) -> Array:
        out = np.full(self.each.shape[1:], np.nan)
        known = self.measured
        for a, b in np.ndindex(*out.shape):
            values = self.each[known[:, a] & known[:, b], a, b]
            values = values[np.isfinite(values)]
            out[a, b] = how(values) if values.size else np.nan
        return out


def response(
    predictor: Predictor,
    stars: Labels,
    synthesizer: Synthesizer,
    limits: Emulator,
    *,
    snr: float = 100.0,
    limit_snr: float = 100.0,
    progress: Callable[[int], None] | None = None,
) -> Response:
    """The response of a model to labels that are changed one at a time.

    Parameters
    ----------
    predictor : Predictor
    stars : Labels
        N stars, as the synthesizer takes them; see `changed` for how far they are moved.
    synthesizer : Synthesizer
        Makes the spectra. An emulator tells what the network makes of the emulator's spectra, an
        engine also what both have wrong.
    limits : Emulator
        On the pixels of the model (``emulator.on(model.input_grid)``): it says what is measured.
    snr : float
        Signal to noise that the spectra are quoted with; there is no noise in them.
    limit_snr : float
        Signal to noise at which a label must be measured.
    progress : callable, optional
        Told the number of spectra that are made.

    Raises
    ------
    LabelError
        If model, stars and emulator have no label in common.
    """
    names = shared_labels(predictor.labels, stars.names, limits.labels)
    grid = predictor.model.input_grid
    many = changed(stars, names)
    made = synthesizer.synthesize(many, grid, outside="clamp", progress=progress)
    flux = made.normalized.reshape(len(stars), 2 * len(names), -1)
    return from_spectra(predictor, stars, names, flux, limits, snr=snr, limit_snr=limit_snr)


def shared_labels(*lists: tuple[str, ...]) -> tuple[str, ...]:
    """Labels that all have, in the order of the first."""
    names = tuple(name for name in lists[0] if all(name in other for other in lists[1:]))
    if not names:
        raise LabelError(
            "A response needs labels that the model, the stars and the emulator all have; they "
            f"have {'; '.join(', '.join(other) for other in lists)}."
        )
    return names


def step_of(name: str) -> float:
    """By which a label is changed, up and down."""
    return STEPS.get(name, STEP)


def changed(stars: Labels, names: tuple[str, ...]) -> Labels:
    """Stars with each label changed: (N * 2 L,), down and up for each label, star by star."""
    values = np.repeat(stars.values[:, None], 2 * len(names), axis=1)
    for i, name in enumerate(names):
        values[:, 2 * i, stars.index(name)] -= step_of(name)
        values[:, 2 * i + 1, stars.index(name)] += step_of(name)
    return replace(
        stars,
        values=values.reshape(-1, len(stars.names)),
        errors=np.full((values.shape[0] * values.shape[1], len(stars.names)), np.nan),
    )


def from_spectra(
    predictor: Predictor,
    stars: Labels,
    names: tuple[str, ...],
    flux: Array,
    limits: Emulator,
    *,
    snr: float = 100.0,
    limit_snr: float = 100.0,
) -> Response:
    """The same from spectra (N, 2 L, P) of `changed` stars that are made already.

    Raises
    ------
    ConfigError
        If a signal to noise is not positive.
    DataError
        If the spectra do not have that shape.
    """
    from starnet.evaluate import cramer_rao

    if not (snr > 0 and limit_snr > 0):
        raise ConfigError(f"A signal to noise must be positive; received {snr}, {limit_snr}.")
    grid = predictor.model.input_grid
    wanted = (len(stars), 2 * len(names), grid.n_pixels)
    if flux.shape != wanted:
        raise DataError(
            f"Spectra of changed stars must have shape {wanted} for {len(stars)} stars and "
            f"{len(names)} labels; received {flux.shape}. Make them of `changed(stars, names)`."
        )
    seen = quoted(grid, flux.reshape(-1, grid.n_pixels), snr)
    quiet = replace(predictor, compares=False)
    found = quiet.predict(seen).labels.select(names).values.reshape(len(stars), len(names), 2, -1)
    units = np.array([UNITS.get(name, 1.0) for name in names])
    steps = np.array([step_of(name) for name in names]) / units
    each = (found[:, :, 1] - found[:, :, 0]) / units / (2 * steps[:, None])
    least = cramer_rao(limits, stars, snr=limit_snr)
    least = least[:, [limits.labels.index(name) for name in names]] / units
    return Response(names, each, least, float(snr), float(limit_snr))


def quoted(grid: WavelengthGrid, flux: Array, snr: float) -> Spectra:
    """Spectra (N, P) without noise, with the errors of a signal to noise; gaps are masked."""
    good = np.broadcast_to(in_chips(grid), flux.shape)
    names = Table({"id": [f"star-{i}" for i in range(len(flux))]})
    ivar = np.where(good, float(snr) ** 2, 0.0)
    return Spectra(grid, flux, ivar, ~good, frame="rest", meta=names)


def _robust(values: Array) -> float:
    return float(1.4826 * np.median(np.abs(values - np.median(values))))
