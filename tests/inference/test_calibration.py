"""Calibrated errors: they cover what they say, by stratum, and refuse what cannot be done."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from starnet.errors import DataError, LabelError
from starnet.inference.calibration import (
    FEWEST,
    CalibratedPosterior,
    Calibration,
    conformal_quantile,
    strata,
)
from starnet.inference.posterior import MixturePosterior
from starnet.spectra import Labels

NAMES = ("teff", "mg_fe")
WRONG = {"low": 0.5, "high": 2.0}


def made_up(n: int, seed: int, tails: float | None = None) -> tuple[Labels, Labels, dict]:
    """Predictions whose errors are wrong by factors that depend on S/N and Teff."""
    rng = np.random.default_rng(seed)
    snr, teff = np.exp(rng.uniform(np.log(20), np.log(300), n)), rng.uniform(4000, 6000, n)
    true_error = np.stack([3000 / snr, 3 / snr], axis=1)
    noise = rng.standard_normal((n, 2)) if tails is None else rng.standard_t(tails, (n, 2))
    truth = np.stack([teff, rng.normal(0, 0.1, n)], axis=1)
    values = truth + true_error * noise
    factor = np.where(snr < 100, 2.0, 0.5) * np.where(teff < 4600, 1.5, 1.0)
    predicted = Labels(NAMES, values, true_error / factor[:, None])
    return predicted, Labels(NAMES, truth), {"snr": snr, "teff": teff}


def fitted(seed: int = 1, tails: float | None = None) -> Calibration:
    predicted, truth, covariates = made_up(6000, seed, tails)
    return Calibration.fit(predicted, truth, covariates)


def posterior_of(predicted: Labels, calibration: Calibration, covariates: dict):
    base = MixturePosterior.gaussian(NAMES, predicted.values, error=predicted.errors)
    scales = calibration.scales(NAMES, covariates)
    return CalibratedPosterior(base, scales, calibration.levels, calibration.reach(NAMES))


@pytest.mark.parametrize("tails", [None, 3.0])
def test_new_stars_are_covered_in_every_stratum(tails):
    calibration = fitted(tails=tails)
    predicted, truth, covariates = made_up(8000, 2, tails)
    posterior = posterior_of(predicted, calibration, covariates)
    for level, within in ((0.5, 0.025), (0.683, 0.025), (0.95, 0.012)):
        low, high = posterior.interval(level)
        inside = (truth.values >= low) & (truth.values <= high)
        assert np.abs(inside.mean(axis=0) - level).max() < within
    for rows in (covariates["snr"] < 50, covariates["snr"] > 140, covariates["teff"] < 4500):
        one = np.abs(truth.values - posterior.mean)[rows] < posterior.error[rows]
        if tails is None:
            assert np.abs(one.mean(axis=0) - 0.683).max() < 0.035


def test_without_a_calibration_they_are_not():
    predicted, truth, covariates = made_up(8000, 2)
    inside = np.abs(truth.values - predicted.values) < predicted.errors
    assert inside[covariates["snr"] > 120].mean() > 0.9
    assert inside[covariates["snr"] < 80].mean() < 0.5


def test_one_sigma_is_the_central_interval():
    calibration = fitted(tails=3.0)
    predicted, _, covariates = made_up(500, 3, 3.0)
    posterior = posterior_of(predicted, calibration, covariates)
    low, high = posterior.interval(0.682689492137)
    np.testing.assert_allclose(0.5 * (high - low), posterior.error, rtol=0.05)


def test_cdf_is_the_inverse_of_quantiles_and_tails_are_wider():
    calibration = fitted(tails=3.0)
    predicted, _, covariates = made_up(200, 3, 3.0)
    posterior = posterior_of(predicted, calibration, covariates)
    levels = np.array([0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
    values = posterior.quantiles(levels)
    assert (np.diff(values, axis=0) > 0).all()
    for level, at in zip(levels, values, strict=True):
        np.testing.assert_allclose(posterior.cdf(at), level, atol=2e-3)
    wide = (values[-1] - values[0]) / (values[-2] - values[1])
    assert (wide > 1.9).all()  # a normal distribution: 1.82


def test_samples_and_log_prob_are_those_of_the_wider_distribution():
    base = MixturePosterior.gaussian(NAMES, np.zeros((3, 2)), error=np.ones((3, 2)))
    posterior = CalibratedPosterior(base, np.full((3, 2), 2.0))
    assert posterior.samples(4000).std() == pytest.approx(2.0, rel=0.03)
    wanted = stats.norm(0, 2).logpdf(1.5) * 2
    np.testing.assert_allclose(posterior.log_prob(np.full((3, 2), 1.5)), wanted, rtol=1e-6)
    assert len(posterior[[0, 2]]) == 2
    np.testing.assert_allclose(posterior.covariance[0], 4 * np.eye(2))


def test_through_json_it_is_the_same():
    calibration = fitted()
    again = Calibration.from_dict(json.loads(json.dumps(calibration.to_dict())))
    _, _, covariates = made_up(100, 4)
    np.testing.assert_allclose(
        again.scales(NAMES, covariates), calibration.scales(NAMES, covariates), rtol=1e-3
    )
    assert again.about["stars"] == 6000
    with pytest.raises(DataError, match="wrong size"):
        Calibration.from_dict({**calibration.to_dict(), "overall": [1.0]})
    with pytest.raises(DataError, match="spelled wrongly"):
        Calibration.from_dict({"labels": ["teff"]})


def test_unknown_covariates_and_labels_count_as_typical():
    calibration = fitted()
    usual = calibration.scale("teff", {"snr": np.array([np.nan]), "teff": np.array([np.nan])})
    np.testing.assert_allclose(usual, calibration.overall[0])
    assert calibration.scale("ni_fe", {"snr": np.array([50.0])}) == 1.0


def test_errors_of_reference_labels_count():
    predicted, truth, covariates = made_up(4000, 5)
    rng = np.random.default_rng(0)
    noisy = truth.values + 40 * rng.standard_normal(truth.values.shape) * [1, 0]
    known = Labels(NAMES, noisy, np.tile([40.0, 0.0], (4000, 1)))
    with_errors = Calibration.fit(predicted, known, covariates)
    clean = Calibration.fit(predicted, truth, covariates)
    a, b = (c.scale("teff", covariates) for c in (with_errors, clean))
    assert abs(np.median(a / b) - 1) < 0.15
    ignored = Calibration.fit(predicted, Labels(NAMES, noisy), covariates)
    assert np.median(ignored.scale("teff", covariates) / b) > 1.3


def test_too_few_stars_are_refused_with_the_number_needed():
    predicted, truth, covariates = made_up(FEWEST - 1, 1)
    with pytest.raises(DataError, match=f"at least {FEWEST} are needed"):
        Calibration.fit(predicted, truth, covariates)
    predicted, truth, covariates = made_up(600, 1)
    star = np.repeat(np.arange(100), 6)  # visits do not count
    with pytest.raises(DataError, match="100 stars"):
        Calibration.fit(predicted, truth, covariates, star=star)


def test_what_makes_no_sense_is_refused():
    predicted, truth, covariates = made_up(600, 1)
    with pytest.raises(LabelError, match="have no errors"):
        Calibration.fit(Labels(NAMES, predicted.values), truth, covariates)
    with pytest.raises(LabelError, match="no label"):
        Calibration.fit(predicted, Labels(("ni_fe",), truth.values[:, :1]), covariates)
    with pytest.raises(DataError, match="all zero"):
        Calibration.fit(Labels(NAMES, truth.values, predicted.errors), truth, covariates)


@given(n=st.integers(1, 400), level=st.floats(0.05, 0.99))
@settings(max_examples=50, deadline=None)
def test_a_conformal_quantile_covers_at_least_its_level(n, level):
    values = np.random.default_rng(n).exponential(size=n)
    quantile = conformal_quantile(values, level)
    assert np.mean(values <= quantile) >= min(level, 1.0) - 1e-12 or np.isinf(quantile)
    if np.isinf(quantile):
        assert (n + 1) * level > n


def test_strata_of_values():
    found = strata([10, 35, 60, np.nan, np.inf], (35.0, 50.0))
    np.testing.assert_array_equal(found, [0, 1, 2, -1, 2])
