"""Scores against their definitions: integrals, counts and known distributions."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from starnet.errors import ConfigError, DataError
from starnet.evaluate import (
    binomial_band,
    coverage,
    crps,
    crps_of_samples,
    pit,
    ranks,
    sharpness,
    z_scores,
)
from starnet.inference.posterior import MixturePosterior, SampledPosterior

FAST = settings(max_examples=20, deadline=None)
numbers = st.floats(-50, 50)
widths = st.floats(0.05, 20)
seeds = st.integers(0, 2**31)


def honest(seed, n=2000, labels=2):
    """Means, errors and truths that agree, with errors of all sizes."""
    rng = np.random.default_rng(seed)
    error = 10 ** rng.uniform(-2, 2, (n, labels))
    mean = rng.normal(0, 30, (n, labels))
    return mean, error, mean + error * rng.standard_normal((n, labels))


@FAST
@given(seeds)
def test_right_errors_cover_as_often_as_they_say(seed):
    mean, error, truth = honest(seed)
    levels = (0.5, 0.68, 0.9, 0.95)
    found = coverage((mean, error), truth, levels)
    low, high = binomial_band(np.array(levels)[:, None], 2000, probability=1 - 1e-6)
    assert found.shape == (4, 2)
    assert np.all((found >= low) & (found <= high))


@FAST
@given(seeds, st.sampled_from([0.5, 2.0]))
def test_wrong_errors_cover_as_often_as_the_normal_curve_says(seed, factor):
    mean, error, truth = honest(seed)
    found = coverage((mean, factor * error), truth, [0.68])
    expected = 2 * norm.cdf(factor * norm.ppf(0.84)) - 1
    assert np.allclose(found, expected, atol=0.06)
    assert abs(expected - 0.68) > 0.2  # so that right errors would have failed


@FAST
@given(seeds)
def test_pit_and_ranks_are_uniform_where_errors_are_right(seed):
    mean, error, truth = honest(seed, n=1000, labels=1)
    draws = mean + error * np.random.default_rng(seed + 1).standard_normal((9, 1000, 1))
    tenths = np.floor(10 * pit((mean, error), truth)).ravel()
    for values in (tenths, ranks(draws, truth).ravel()):
        count = np.bincount(values.astype(int), minlength=10)
        assert len(count) == 10
        assert np.sum((count - 100) ** 2 / 100) < 45  # chi-square, 9 degrees of freedom
    biased = ranks(draws, truth + 3 * error)
    assert np.mean(biased == 9) > 0.6


@FAST
@given(numbers, widths, numbers)
def test_crps_of_a_normal_is_its_integral(mean, error, truth):
    def square(x):
        return (norm.cdf(x, mean, error) - (x >= truth)) ** 2

    ends = min(mean - 9 * error, truth), max(mean + 9 * error, truth)
    parts = sorted({*ends, truth, mean})
    value = sum(quad(square, a, b, limit=200)[0] for a, b in pairwise(parts))
    found = crps((np.array([[mean]]), np.array([[error]])), np.array([[truth]]))
    assert found[0, 0] == pytest.approx(value, rel=1e-4, abs=1e-6)


@FAST
@given(seeds, st.floats(-3, 3))
def test_samples_and_mixtures_agree_with_the_closed_form(seed, z):
    mean, error = np.array([[2.0, -5.0]]), np.array([[0.5, 3.0]])
    truth = mean + z * error
    exact = crps((mean, error), truth)
    draws = mean + error * np.random.default_rng(seed).standard_normal((20000, 1, 2))
    assert np.allclose(crps_of_samples(draws, truth) / error, exact / error, atol=0.05)
    same = MixturePosterior(
        ("teff", "logg"), np.array([[0.3, 0.7]]), np.stack([mean, mean], axis=1),
        np.stack([np.diag(error[0] ** 2)] * 2)[None],
    )  # fmt: skip
    assert np.allclose(crps(same, truth), exact)
    assert np.allclose(pit(same, truth), pit((mean, error), truth))


def test_crps_of_a_real_mixture_is_that_of_its_samples():
    mixture = MixturePosterior(
        ("teff",), np.array([[0.2, 0.8]]), np.array([[[-2.0], [1.0]]]),
        np.array([[[[0.3]], [[2.0]]]]),
    )  # fmt: skip
    truth = np.array([[0.7]])
    draws = mixture.samples(100_000)
    assert crps(mixture, truth)[0, 0] == pytest.approx(
        crps_of_samples(draws, truth)[0, 0], abs=0.01
    )
    sampled = SampledPosterior(("teff",), draws[:4000])
    assert crps(sampled, truth)[0, 0] == pytest.approx(crps(mixture, truth)[0, 0], abs=0.15)


def test_few_samples_give_the_same_score_on_average(rng):
    """The estimator is fair: its expectation does not depend on the number of samples."""
    truth = np.zeros((20000, 1))
    means = [crps_of_samples(rng.standard_normal((n, 20000, 1)), truth).mean() for n in (2, 5, 30)]
    assert np.allclose(means, crps((truth, truth + 1), truth)[0, 0], atol=0.02)


def test_missing_values_stay_missing_and_spread_nowhere():
    mean, error, truth = honest(3, n=50)
    clean = coverage((mean[5:], error[5:]), truth[5:])
    mean[0], error[1], truth[2], error[3], error[4] = np.nan, np.nan, np.inf, 0.0, -1.0
    for score in (z_scores, pit, crps):
        found = score((mean, error), truth)
        assert np.isnan(found[:5]).all()
        assert np.isfinite(found[5:]).all()
    assert np.array_equal(coverage((mean, error), truth), clean)
    truth[:] = np.nan
    assert np.isnan(coverage((mean, error), truth)).all()
    assert np.isnan(ranks(np.stack([mean, mean]), truth)).all()


def test_sharpness_is_of_errors_or_of_intervals():
    mean, error = np.zeros((3, 1)), np.array([[1.0], [2.0], [7.0]])
    assert sharpness((mean, error)) == 2.0
    assert sharpness((mean, error), 0.95)[0] == pytest.approx(2 * 1.96 * 2, rel=1e-3)
    posterior = MixturePosterior.gaussian(("teff",), mean, error=error)
    assert sharpness(posterior, 0.95)[0] == pytest.approx(2 * 1.96 * 2, rel=1e-3)


def test_what_does_not_fit_is_refused():
    mean = np.zeros((3, 2))
    with pytest.raises(DataError, match="same stars and labels"):
        pit((mean, mean + 1), mean[:2])
    with pytest.raises(DataError, match="one shape"):
        z_scores((mean, mean[:1]), mean)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        coverage((mean, mean + 1), mean, [68])
    with pytest.raises(DataError, match="at least 2"):
        crps_of_samples(mean[None], mean)
