"""Slopes of simulated stars whose true labels are known."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starnet.errors import DataError, LabelError
from starnet.evaluate.attenuation import (
    Attenuation,
    attenuation,
    attenuations,
    error_of_repeats,
)
from starnet.spectra import Labels

N = 4000


def stars(rng, spectrum_error, label_error, n=N, size=0.5):
    """True labels, spectra of one pixel that tell them, and labels of a table."""
    true = -0.3 + size * rng.standard_normal(n)
    seen = true + spectrum_error * rng.standard_normal(n)
    return true, seen, true + label_error * rng.standard_normal(n)


def best_guess(seen, noise, size=0.5, middle=-0.3):
    share = size**2 / (size**2 + noise**2)
    return middle + share * (seen - middle), np.sqrt(share) * noise


def test_errors_of_the_table_are_taken_out(rng):
    true, _, table = stars(rng, 0.0, 0.3)
    found = attenuation(true, table, truth_error=0.3)
    assert found.naive == pytest.approx(0.5**2 / (0.5**2 + 0.3**2), abs=0.03)
    assert found.naive == pytest.approx(found.reliability, abs=0.03)
    assert abs(found.slope - 1) < 4 * found.slope_error
    assert "as steep" in found.verdict


def test_noise_of_spectra_flattens_best_guesses_as_expected(rng):
    true, seen, table = stars(rng, 0.25, 0.2)
    guess, error = best_guess(seen, 0.25)
    found = attenuation(guess, table, error, 0.2)
    assert found.expected == pytest.approx(0.8, abs=0.02)
    assert abs(found.slope - 0.8) < 4 * found.slope_error
    assert abs(found.reverse - 1) < 4 * found.reverse_error
    assert "best guesses" in found.verdict
    stretched, wider = found.corrected(guess, np.full(N, error))
    assert np.polyfit(true, stretched, 1)[0] == pytest.approx(1, abs=0.03)
    assert np.std(stretched - true) == pytest.approx(wider[0], rel=0.05)
    assert np.std(stretched - true) > np.std(guess - true)


def test_errors_of_training_labels_do_not_flatten(rng):
    """A line through noisy labels is the true one; one through noisy spectra is not."""
    true, seen, _ = stars(rng, 0.25, 0.0)
    noisy = true + 0.6 * rng.standard_normal(N)
    clean_line, noisy_line = np.polyfit(seen, true, 1), np.polyfit(seen, noisy, 1)
    assert noisy_line[0] == pytest.approx(clean_line[0], abs=0.06)
    _, new_seen, table = stars(rng, 0.25, 0.2)
    found = attenuation(np.polyval(noisy_line, new_seen), table, truth_error=0.2)
    assert found.slope == pytest.approx(0.8, abs=0.06), "noise of the spectra, and nothing else"
    backwards = np.polyfit(noisy, seen, 1)[0]
    assert backwards == pytest.approx(0.25 / (0.25 + 0.36), abs=0.05), "labels as input do flatten"


def test_a_stiff_network_is_told_from_noise(rng):
    _, seen, table = stars(rng, 0.05, 0.2)
    found = attenuation(0.7 * seen, table, 0.05, 0.2)
    assert "flatter than their quoted errors" in found.verdict
    assert found.reverse > 1.3


def test_trends_belong_to_best_guesses_and_not_to_stretched_ones(rng):
    true, seen, table = stars(rng, 0.25, 0.0)
    age = 2 - 3 * true
    guess, error = best_guess(seen, 0.25)
    found = attenuation(guess, table, error)
    assert np.polyfit(guess, age, 1)[0] == pytest.approx(-3, rel=0.03)
    assert np.polyfit(found.corrected(guess)[0], age, 1)[0] == pytest.approx(-2.4, rel=0.03)


def test_a_few_wild_stars_change_nothing(rng):
    true, _, table = stars(rng, 0.0, 0.2)
    predicted = true + 0.05 * rng.standard_normal(N)
    before = attenuation(predicted, table, truth_error=0.2)
    predicted[:120] = rng.uniform(3, 9, 120)
    after = attenuation(predicted, table, truth_error=0.2)
    assert after.n_far == 120
    assert after.slope == pytest.approx(before.slope, abs=3 * before.slope_error)


@settings(max_examples=30, deadline=None)
@given(
    slope=st.floats(0.3, 1.5),
    noise=st.floats(0.0, 0.3),
    label_error=st.floats(0.0, 0.4),
    seed=st.integers(0, 2**31),
)
def test_the_slope_is_found_within_its_error(slope, noise, label_error, seed):
    rng = np.random.default_rng(seed)
    true = rng.standard_normal(1500)
    each = label_error * rng.uniform(0.5, 1.5, 1500)
    predicted = 0.2 + slope * true + noise * rng.standard_normal(1500)
    found = attenuation(predicted, true + each * rng.standard_normal(1500), truth_error=each)
    assert abs(found.slope - slope) < 5 * found.slope_error + 1e-9
    moved = attenuation(10 * predicted + 5, 10 * true + 7, truth_error=0.0)
    assert moved.slope == pytest.approx(attenuation(predicted, true).slope, rel=1e-6)


def test_its_error_is_right(rng):
    pulls = []
    for _ in range(200):
        true = 0.5 * rng.standard_normal(300)
        each = rng.uniform(0.05, 0.35, 300)
        predicted = 0.8 * true + 0.1 * rng.standard_normal(300)
        found = attenuation(predicted, true + each * rng.standard_normal(300), truth_error=each)
        pulls.append((found.slope - 0.8) / found.slope_error)
    assert np.std(pulls) == pytest.approx(1, abs=0.2)
    assert abs(np.mean(pulls)) < 0.3
    low, high = found.interval(0.95)
    assert high - low == pytest.approx(3.92 * found.slope_error, rel=1e-3)


def test_labels_bring_their_errors(rng):
    true, seen, table = stars(rng, 0.25, 0.2)
    guess, error = best_guess(seen, 0.25)
    names = ("fe_h", "logg")
    predicted = Labels(names, np.stack([guess, guess], 1), np.full((N, 2), error))
    truth = Labels(names, np.stack([table, true], 1), np.tile([0.2, 0.0], (N, 1)))
    found = attenuations(predicted, truth)
    assert set(found) == set(names)
    assert found["fe_h"].slope == pytest.approx(found["logg"].slope, abs=0.05)
    assert Attenuation.from_dict(json.loads(json.dumps(found["fe_h"].to_dict()))) == found["fe_h"]
    with pytest.raises(LabelError, match="have no errors"):
        attenuations(predicted, Labels(names, truth.values))
    with pytest.raises(LabelError, match="share a label"):
        attenuations(predicted, truth.select(["fe_h"])[:5])


def test_repeats_give_the_error(rng):
    true = rng.standard_normal(N)
    first, second = true + 0.2 * rng.standard_normal((2, N))
    assert error_of_repeats(first, second + 0.7) == pytest.approx(0.2, rel=0.06)
    with pytest.raises(DataError, match="30 stars"):
        error_of_repeats(first[:9], second[:9])
    with pytest.raises(DataError, match="one shape"):
        error_of_repeats(first, second[:9])


def test_missing_stars_do_not_count(rng):
    true, _, table = stars(rng, 0.0, 0.2)
    predicted, each = true.copy(), np.full(N, 0.2)
    predicted[:10], table[10:20], each[20:30] = np.nan, np.nan, np.nan
    found = attenuation(predicted, table, truth_error=each)
    assert found.n + found.n_far == N - 30
    assert found.expected != found.expected
    assert Attenuation.from_dict(json.loads(json.dumps(found.to_dict()))).n == found.n
    values, errors = found.corrected([0.1, np.nan])
    np.testing.assert_array_equal(np.isnan([values, errors]), [[False, True]] * 2)


def test_what_cannot_be_said_is_refused(rng):
    true, _, table = stars(rng, 0.0, 0.5, n=200, size=0.05)
    with pytest.raises(DataError, match="too little is left"):
        attenuation(true, table, truth_error=0.5)
    with pytest.raises(DataError, match="at least 30"):
        attenuation(true[:20], table[:20])
    with pytest.raises(DataError, match="one length"):
        attenuation(true, table[:20])
    with pytest.raises(DataError, match="negative"):
        attenuation(true, table, truth_error=-0.1)
    with pytest.raises(DataError, match="too little is left"):
        attenuation(true, np.full(200, 4.4))
    flat = attenuation(rng.standard_normal(N), rng.standard_normal(N))
    with pytest.raises(DataError, match="cannot be undone"):
        flat.corrected([1.0])
    with pytest.raises(DataError, match="level"):
        flat.interval(1.0)
