"""Cramer-Rao limits of the rows of a table, of which only labels and S/N are known."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.errors import LabelError
from starnet.evaluate.limits import cramer_rao
from starnet.evaluate.tables import PredictionTable
from starnet.spectra import Labels

Array = NDArray[Any]
NEEDED = ("teff", "logg", "fe_h")
MOST = 1000
"""Spectra whose limit is computed."""


def table_limit(
    table: PredictionTable,
    emulator: str,
    *,
    instrument: str = "",
    labels: Labels | None = None,
    most: int = MOST,
) -> tuple[Array, str]:
    """Limits (N, L) of the labels of a table, all labels of the emulator unknown together.

    The noise is that of the row's S/N, alike in all pixels; no pixel is masked. So the limit is
    lower than that of the spectra themselves where pixels were lost.

    Parameters
    ----------
    table : PredictionTable
    emulator : str
        By name, or a folder.
    instrument : str
        Preset that has the pixels and the line spread. Default: that of the survey in the table,
        else the emulator's own.
    labels : Labels, optional
        What the stars are. Default: what is predicted. Elements without a value are taken in
        solar proportions.
    most : int
        If there are more spectra, the limit of so many is computed, of whole stars at random.

    Returns
    -------
    array (N, L), str
        NaN where there is none, and a sentence on how it was made.

    Raises
    ------
    LabelError
        If teff, logg or fe_h are not among the labels, or no S/N is known.
    ModelError, ConfigError
        If there is no such emulator or instrument.
    """
    from starnet.synthesis.emulator import Emulator

    stars = table.labels if labels is None else labels
    own = Emulator.load(emulator)
    if lacking := [n for n in NEEDED if n not in stars.names]:
        raise LabelError(
            f"A limit needs teff, logg and fe_h of each star; {', '.join(lacking)} is not among "
            f"{', '.join(stars.names)}."
        )
    preset = instrument or _preset(table, emulator)
    ours = own if not preset else own.on(_grid(preset))
    some = _filled(stars.select([n for n in stars.names if n in own.labels]))
    rows = np.flatnonzero(some.complete & (table.snr > 0))
    if not rows.size:
        raise LabelError(
            f"No spectrum of {table.source} has teff, logg, fe_h and a S/N (column snr)."
        )
    rows = _fewer(rows, table.star, most)
    found = cramer_rao(ours, own.clamped(some[rows]), snr=table.snr[rows])
    out = np.full((len(table), len(table.labels.names)), np.nan)
    for i, name in enumerate(table.labels.names):
        if name in own.labels:
            out[rows, i] = found[:, own.labels.index(name)]
    return out, (
        f"Cramér-Rao limit of {rows.size} spectra, by the emulator `{own.title}` on the pixels of "
        f"`{preset or own.title}`, for the S/N of the table alike in all pixels, no pixel masked, "
        f"all {len(own.labels)} labels unknown."
    )


def _filled(labels: Labels) -> Labels:
    """With solar proportions for elements without a value; vmic by its relation if any lacks."""
    names = [n for n in labels.names if n != "vmic" or np.isfinite(labels.column(n)).all()]
    some = labels.select(names)
    values = np.where(
        np.array([n in NEEDED for n in names]), some.values, np.nan_to_num(some.values, nan=0.0)
    )
    return Labels(some.names, values, specs=some.specs)


def _preset(table: PredictionTable, emulator: str) -> str:
    """The instrument that the table tells, or that is called like the emulator."""
    from starnet.synthesis.observe import PRESETS

    surveys = {str(s).lower() for s in table.texts.get("survey", np.array([]))}
    told = surveys.pop() if len(surveys) == 1 else ""
    return next((name for name in (told, emulator) if name in PRESETS), "")


def _grid(preset: str) -> Any:
    from starnet.synthesis.observe import Instrument

    return Instrument.preset(preset).grid


def _fewer(rows: NDArray[np.intp], star: NDArray[np.str_], most: int) -> NDArray[np.intp]:
    """At most so many rows, of whole stars."""
    if rows.size <= most:
        return rows
    names, number, count = np.unique(star[rows], return_inverse=True, return_counts=True)
    order = np.random.default_rng(0).permutation(names.size)
    kept = order[np.cumsum(count[order]) <= most]
    return rows[np.isin(number, kept)]
