"""Repeat visits: the ratio is 1 for honest errors, whatever the numbers of visits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starnet.errors import DataError
from starnet.evaluate import VisitPairs, repeat_ratio


def visits(seed, n_stars=500, scale=1.0):
    """Values, errors and stars: two to five visits each, errors that differ by a factor of 10."""
    rng = np.random.default_rng(seed)
    star = np.repeat(np.arange(n_stars), rng.integers(2, 6, n_stars))
    error = 10 ** rng.uniform(-1, 0, (star.size, 2))
    value = rng.normal(0, 100, (n_stars, 2))[star]
    return value + scale * error * rng.standard_normal(error.shape), error, star


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([0.5, 1.0, 3.0]))
def test_the_ratio_is_that_of_scatter_to_error(seed, scale):
    value, error, star = visits(seed, scale=scale)
    found = repeat_ratio(value, error, star)
    assert np.all(np.abs(found.ratio / scale - 1) < 0.16)
    assert np.all(np.abs(found.rms / scale - 1) < 0.12)
    assert np.all(found.n_stars == 500)


def test_its_error_is_the_scatter_of_many_experiments():
    found = [repeat_ratio(*visits(seed, n_stars=80), seed=seed) for seed in range(40)]
    ratios = np.concatenate([f.ratio for f in found])
    quoted = np.mean([f.error for f in found])
    assert abs(ratios.mean() - 1) < 0.04
    assert 0.75 < quoted / ratios.std() < 1.5


def test_a_star_with_many_visits_does_not_speak_for_all(rng):
    """50 visits of one star have 1225 pairs, but count as 49 of them."""
    star = np.concatenate([np.repeat(np.arange(200), 2), np.full(50, 999)])
    value = rng.standard_normal((star.size, 1))
    value[400:] *= 10
    error = np.ones_like(value)
    assert repeat_ratio(value, error, star).ratio[0] < 1.6
    assert VisitPairs.of(star).first.size == 200 + 1225


def test_missing_values_and_errors_of_nothing_are_left_out():
    value, error, star = visits(1)
    worse, bad = value.copy(), error.copy()
    worse[::7, 0] = np.nan
    bad[3::7, 0] = 0.0
    found = repeat_ratio(worse, bad, star)
    assert 0.85 < found.ratio[0] < 1.15
    assert found.n_pairs[0] < found.n_pairs[1]
    assert found.ratio[1] == repeat_ratio(value, error, star).ratio[1]
    gone = repeat_ratio(np.full_like(value, np.nan), error, star)
    assert np.isnan(gone.ratio).all()
    assert np.all(gone.n_pairs == 0)


def test_outliers_raise_the_rms_and_hardly_the_ratio():
    value, error, star = visits(2)
    value[::40] += 1000
    found = repeat_ratio(value, error, star)
    assert np.all(found.ratio < 1.3)
    assert np.all(found.rms > 50)


def test_rows_without_a_star_are_of_no_pair():
    star = np.array(["a", "", "a", "", "b"])
    pairs = VisitPairs.of(star)
    assert pairs.first.tolist() == [0]
    assert pairs.second.tolist() == [2]


def test_single_visits_are_refused():
    with pytest.raises(DataError, match=r"No star has two visits.*--visits"):
        repeat_ratio(np.zeros((3, 1)), np.ones((3, 1)), np.arange(3))
    with pytest.raises(DataError, match="one shape"):
        repeat_ratio(np.zeros((3, 1)), np.ones((3, 2)), np.arange(3))
