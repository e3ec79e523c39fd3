"""Errors held against the truth, or against repeat visits.

`assess_truth` and `assess_repeats` give frozen results that `evaluate.report.write_report` and
benchmarks read. Strata are ranges of signal to noise, Teff and [Fe/H].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starnet.errors import ConfigError, DataError, LabelError
from starnet.evaluate import repeats, scores
from starnet.evaluate.results import Assessment, By, RepeatAssessment
from starnet.evaluate.strata import LEAST, LEAST_PAIRS, strata
from starnet.spectra import Labels

if TYPE_CHECKING:
    from starnet.inference.posterior import LabelPosterior

Array = NDArray[Any]
MEMBERS = 19
"""Samples of each star that its truth is ranked among: 20 ranks."""


def assess_truth(
    predicted: Labels | LabelPosterior,
    truth: Labels,
    *,
    snr: ArrayLike | None = None,
    by: By = "predicted",
    limit: ArrayLike | None = None,
    edges: Mapping[str, Sequence[float]] | None = None,
    least: int = LEAST,
    seed: int = 0,
    about: Mapping[str, Any] | None = None,
) -> Assessment:
    """Hold predicted distributions against the truth.

    Parameters
    ----------
    predicted : Labels or LabelPosterior
        Of N stars. Labels have errors, which are taken as those of normal distributions.
    truth : Labels
        Of the same stars in the same order; labels that both have are assessed. Where it has
        errors, they are added to the predicted ones in squares.
    snr : array (N,), optional
    by : "predicted" or "true"
        Whose labels the strata go by.
    limit : array (N, L), optional
        Cramer-Rao limits of the labels of ``predicted``, in its order.
    edges : mapping, optional
        Of strata; see `evaluate.strata`.
    least : int
        Stars that a stratum needs.
    seed : int
        Of the samples that ranks are among.
    about : mapping, optional
        For the report.

    Raises
    ------
    LabelError
        If the stars differ in number, no label is shared, no prediction has an error, or a label
        is predicted alike for all stars.
    DataError
        If no star has both a prediction and a truth.
    """
    if by not in ("predicted", "true"):
        raise ConfigError(f'by must be "predicted" or "true"; received {by!r}.')
    posterior = None if isinstance(predicted, Labels) else predicted
    found = _as_labels(predicted)
    names = [name for name in found.names if name in truth.names]
    if len(found) != len(truth) or not names:
        raise LabelError(
            "An assessment needs predictions and truth of the same stars with a label in common; "
            f"received {len(found)} and {len(truth)} stars, labels {', '.join(found.names)} and "
            f"{', '.join(truth.names)}."
        )
    columns = [found.index(name) for name in names]
    found, truth = found.select(names), truth.select(names)
    _check(found)
    given = _given(posterior, found, truth, columns)
    u = scores.pit(given, truth.values)
    if not np.isfinite(u).any():
        raise DataError(
            "No star has a prediction with an error and a truth of the same label. Check that both "
            "tables are of the same stars and that the labels are not all missing."
        )
    known = np.full(len(found), np.nan) if snr is None else np.asarray(snr, dtype=float)
    goes_by = {"predicted": found, "true": truth}[by]
    return Assessment(
        names=tuple(names),
        predicted=found,
        truth=truth,
        error=scores.mean_and_error(given)[1],
        pit=u,
        z=scores.z_scores(given, truth.values),
        crps=scores.crps(given, truth.values),
        ranks=scores.ranks(_draws(given, seed), truth.values, seed=seed),
        snr=known,
        strata=strata({"snr": known, **_columns(goes_by)}, edges, least=least),
        by=by,
        limit=None if limit is None else np.asarray(limit, dtype=float)[:, columns],
        about=dict(about or {}),
    )


def assess_repeats(
    predicted: Labels,
    star: ArrayLike,
    *,
    snr: ArrayLike | None = None,
    limit: ArrayLike | None = None,
    edges: Mapping[str, Sequence[float]] | None = None,
    least: int = LEAST_PAIRS,
    about: Mapping[str, Any] | None = None,
) -> RepeatAssessment:
    """Hold repeat visits against each other; no truth is needed.

    Parameters
    ----------
    predicted : Labels
        Of N visits, with one-sigma errors: those of the noise alone, for what all visits of a star
        have wrong alike does not show.
    star : array (N,)
        Name or number of the star of each visit.
    snr : array (N,), optional
    limit : array (N, L), optional
        Cramer-Rao limits.
    edges, least
        Of strata of pairs, by the lower S/N and the mean of the predictions.
    about : mapping, optional
        For the report.

    Raises
    ------
    LabelError
        If no prediction has an error, or a label is predicted alike for all visits.
    DataError
        If no star has two visits with labels and errors.
    """
    _check(predicted)
    if np.shape(star) != (len(predicted),):
        raise DataError(f"star must name {len(predicted)} visits; received {np.shape(star)}.")
    pairs = repeats.VisitPairs.of(star)
    scaled = repeats.scaled_differences(predicted.values, predicted.errors, pairs)
    if not np.isfinite(scaled).any():
        raise DataError(
            "No star has two visits with labels and errors. Visits without labels are flagged in "
            "the table of predictions, which says why."
        )
    known = np.full(len(predicted), np.nan) if snr is None else np.asarray(snr, dtype=float)
    lower = np.minimum(known[pairs.first], known[pairs.second])
    middle = 0.5 * (predicted.values[pairs.first] + predicted.values[pairs.second])
    means = Labels(predicted.names, middle, specs=predicted.specs)
    return RepeatAssessment(
        names=predicted.names,
        predicted=predicted,
        pairs=pairs,
        scaled=scaled,
        snr=lower,
        covariates=means,
        strata=strata({"snr": lower, **_columns(means)}, edges, least=least),
        limit=None if limit is None else np.asarray(limit, dtype=float),
        about=dict(about or {}),
    )


def _as_labels(predicted: Labels | LabelPosterior) -> Labels:
    if isinstance(predicted, Labels):
        return predicted
    return Labels(tuple(predicted.names), predicted.mean, predicted.error)


def _check(predicted: Labels) -> None:
    """Refuse labels without errors, and those that do not vary."""
    if not np.any(predicted.errors > 0):
        raise LabelError(
            "The predictions have no errors: columns such as "
            f"{predicted.names[0]}_err are absent, empty or 0. `starnet predict` writes them with "
            "models that give errors, such as those of the package, and `starnet fit` always."
        )
    for name, values in zip(predicted.names, predicted.values.T, strict=True):
        known = values[np.isfinite(values)]
        if known.size > 1 and np.ptp(known) == 0:
            raise LabelError(
                f"{name} is predicted as {known[0]:g} for all {known.size} spectra: it has no "
                "variance, so nothing can be said of its errors. Leave it out (--labels)."
            )


def _given(
    posterior: LabelPosterior | None, found: Labels, truth: Labels, columns: Sequence[int]
) -> Any:
    """What is assessed, of the shared labels, with the errors of the truth in squares."""
    extra = np.nan_to_num(truth.errors, nan=0.0)
    if posterior is None:
        return found.values, np.hypot(found.errors, extra)
    same = list(columns) == list(range(len(posterior.names)))
    if same and not extra.any():
        return posterior
    if all(hasattr(posterior, name) for name in ("weights", "means", "covariances")):
        wanted: Any = posterior
        covariance = wanted.covariances[:, :, columns][..., columns]
        covariance = covariance + (extra[:, None, :, None] ** 2) * np.eye(len(columns))
        return replace(
            wanted,
            names=truth.names,
            means=wanted.means[..., columns],
            covariances=covariance,
        )
    from starnet.inference.posterior import SampledPosterior

    draws = posterior.samples(scores.DRAWS)[..., columns]
    noise = np.random.default_rng(0).standard_normal(draws.shape)
    return SampledPosterior(truth.names, draws + extra * noise)


def _draws(given: Any, seed: int) -> Array:
    if isinstance(given, tuple):
        mean, error = scores.mean_and_error(given)
        rng = np.random.default_rng(seed)
        return mean + error * rng.standard_normal((MEMBERS, *mean.shape))
    return given.samples(MEMBERS, seed)


def _columns(labels: Labels) -> dict[str, Array]:
    return dict(zip(labels.names, labels.values.T, strict=True))
