"""Errors for a model, from stars of a data set that it has not learnt from."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.artifact import Model
from starnet.catalog.stored import Tick, label_rows
from starnet.dataset import SpectraDataset
from starnet.errors import DataError, LabelError
from starnet.inference import Predictor
from starnet.inference.calibration import FEWEST, Calibration
from starnet.inference.propagation import IntrinsicScatter, propagate
from starnet.spectra import Labels
from starnet.training import Recipe, split_rows

Array = NDArray[Any]
BLOCK = 1000


def calibrate(
    model: Model,
    dataset: SpectraDataset,
    rows: Array,
    *,
    tick: Tick = lambda done, total: None,
) -> Model:
    """The model with errors that hold on these stars.

    A network that gives labels alone gets the scatter of its labels about the truth, to which
    each star's own noise is added (`IntrinsicScatter`, `propagate`). Then the errors, whoever made
    them, are calibrated (`Calibration`).

    Parameters
    ----------
    model : Model
        What it has of scatter and calibration is replaced.
    dataset : SpectraDataset
    rows : array
        Rows of stars with known labels that the network has not been trained on.
    tick : callable
        Told rows done and in all.

    Raises
    ------
    LabelError, DataError
        If there are too few stars; the message says how many are needed.
    """
    plain = dataclasses.replace(model, calibration={}, scatter={})
    truth = dataset.labels.select([n for n in model.labels if n in dataset.labels.names])[rows]
    about = {"spectra": len(rows), "data": str(dataset.provenance.get("name", ""))}
    if not np.isfinite(_predicted(plain, dataset, rows[:1], tick)[0].errors).any():
        found, noise = _propagated(plain, dataset, rows, tick)
        made = IntrinsicScatter.fit(found, noise, truth)
        plain = dataclasses.replace(plain, scatter=made.to_dict())
    found, snr = _predicted(plain, dataset, rows, tick)
    strata = {k: found.column(k) for k in ("teff", "fe_h") if k in found.names} | {"snr": snr}
    fitted = Calibration.fit(found, truth, strata, star=dataset.stars[rows], about=about)
    return dataclasses.replace(plain, calibration=fitted.to_dict())


def unseen(model: Model, dataset: SpectraDataset) -> Array:
    """Rows of a data set whose stars a model has not been trained on.

    All rows, unless it is the data set that the model was made of (`train_model`); then those that
    were kept for validation. Its test stars stay untouched, for tests.
    """
    origin = model.provenance
    if origin.get("dataset") != dataset.provenance or "recipe" not in origin:
        return np.arange(len(dataset))
    return split_rows(dataset, Recipe.from_dict(origin["recipe"]))[1]


def with_errors(
    model: Model, dataset: SpectraDataset, rows: Array, *, tick: Tick = lambda done, total: None
) -> tuple[Model, str]:
    """`calibrate`, as far as the stars suffice, and a sentence that says how far."""
    stars = len(np.unique(dataset.stars[rows]))
    try:
        return calibrate(model, dataset, rows, tick=tick), f"errors: calibrated on {stars} stars"
    except (LabelError, DataError) as error:
        reason = str(error)
    plain = dataclasses.replace(model, calibration={}, scatter={})
    truth = dataset.labels.select([n for n in model.labels if n in dataset.labels.names])[rows]
    try:
        found, noise = _propagated(plain, dataset, rows, tick)
        made = IntrinsicScatter.fit(found, noise, truth).to_dict()
        return dataclasses.replace(plain, scatter=made), (
            f"errors: noise of the pixels and scatter of {stars} stars; not calibrated, for which "
            f"{FEWEST} stars are needed"
        )
    except (LabelError, DataError):
        return model, f"errors: none. {reason}"


def _predicted(
    model: Model, dataset: SpectraDataset, rows: Array, tick: Tick
) -> tuple[Labels, Array]:
    quiet = Predictor(model, compares=False, min_snr=0.0)
    table = label_rows(quiet, dataset, rows, tick=tick)
    return Labels.from_table(table, model.labels), np.asarray(table["snr"], dtype=float)


def _propagated(
    model: Model, dataset: SpectraDataset, rows: Array, tick: Tick
) -> tuple[Labels, Array | None]:
    """Labels, and their errors by the noise of pixels; None where spectra have no errors."""
    values, errors = [], []
    for start in range(0, len(rows), BLOCK):
        prepared = model.prepare(dataset.read(rows[start : start + BLOCK]))
        found, covariance = propagate(model, prepared)
        values.append(found)
        errors.append(np.sqrt(np.einsum("nll->nl", covariance)))
        tick(min(start + BLOCK, len(rows)), len(rows))
    noise = np.concatenate(errors)
    return Labels(model.labels, np.concatenate(values)), noise if np.isfinite(noise).any() else None
