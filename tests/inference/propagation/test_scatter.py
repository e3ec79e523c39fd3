"""Intrinsic scatter: what was put in comes out, and no bin has a hole."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starnet.errors import ConfigError, DataError, LabelError, ModelError
from starnet.inference.propagation import IntrinsicScatter, combine
from starnet.spectra import Labels

NAMES = ("teff", "logg", "fe_h", "mg_fe")
SIZE = np.array([60.0, 0.1, 0.05, 0.04])


def stars(n=3000, seed=0, scatter=1.0, noise=0.7, outliers=0.0):
    """Predicted labels, their propagated errors and the truth."""
    rng = np.random.default_rng(seed)
    low, high = np.array([[3800, 0, -2, -0.2], [6800, 5, 0.5, 0.5]])
    truth = low + (high - low) * rng.random((n, 4))
    error = noise * SIZE * rng.uniform(0.5, 2.0, (n, 4))
    residual = rng.normal(size=(n, 4)) * np.hypot(error, scatter * SIZE)
    residual[rng.random((n, 4)) < outliers] *= 100
    return Labels(NAMES, truth + residual), error, Labels(NAMES, truth)


@pytest.mark.parametrize("outliers", [0.0, 0.02])
def test_what_was_put_in_comes_out(outliers):
    found = IntrinsicScatter.fit(*stars(20000, outliers=outliers), bins=2)
    np.testing.assert_allclose(found.scatter, np.tile(SIZE, (8, 1)), rtol=0.2)
    np.testing.assert_allclose(np.median(found.scatter, axis=0), SIZE, rtol=0.08)


def test_bins_follow_the_predicted_labels():
    predicted, error, truth = stars(20000)
    poor = predicted.column("fe_h") < -1
    rng = np.random.default_rng(1)
    values = predicted.values + np.where(poor[:, None], 5 * SIZE * rng.normal(size=(20000, 4)), 0)
    values[:, 2] = predicted.values[:, 2]
    found = IntrinsicScatter.fit(Labels(NAMES, values), error, truth, by=("fe_h",))
    at = found.at(np.array([[5000, 2, -1.8, 0], [5000, 2, 0.3, 0], [9999.5, -2, 3, 0]]))
    assert (at[0, [0, 1, 3]] > 3 * SIZE[[0, 1, 3]]).all()
    np.testing.assert_allclose(at[1], SIZE, rtol=0.2)
    np.testing.assert_array_equal(at[1], at[2])  # beyond the bins the nearest counts


def test_noise_alone_leaves_nothing():
    found = IntrinsicScatter.fit(*stars(4000, scatter=0.0), by=())
    assert found.scatter.shape == (1, 4)
    assert (found.scatter < 0.25 * SIZE).all()
    predicted, error, truth = stars(4000, scatter=0.0)
    np.testing.assert_array_equal(IntrinsicScatter.fit(predicted, 3 * error, truth).scatter, 0)


def test_errors_of_the_truth_are_noise_too():
    predicted, error, truth = stars(8000, scatter=0.0)
    known = Labels(NAMES, truth.values, error)
    assert (IntrinsicScatter.fit(predicted, None, known, by=()).scatter < 0.25 * SIZE).all()
    assert (IntrinsicScatter.fit(predicted, None, truth, by=()).scatter > 0.5 * SIZE).all()


def test_sixty_eight_percent_are_within():
    predicted, error, truth = stars(6000)
    found = IntrinsicScatter.fit(predicted, error, truth)
    fresh, error, truth = stars(6000, seed=5)
    total = combine(error[:, :, None] ** 2 * np.eye(4), found.at(fresh.values))
    sigma = np.sqrt(np.diagonal(total, axis1=1, axis2=2))
    within = np.mean(np.abs(fresh.values - truth.values) < sigma, axis=0)
    np.testing.assert_allclose(within, 0.683, atol=0.025)


@settings(deadline=None, max_examples=25)
@given(
    n=st.integers(20, 200),
    bins=st.integers(1, 5),
    holes=st.floats(0, 0.5),
    spread=st.floats(1e-6, 50),
    seed=st.integers(0, 2**31),
)
def test_no_bin_has_a_hole(n, bins, holes, spread, seed):
    rng = np.random.default_rng(seed)
    predicted, error, truth = stars(n, seed)
    clumped = truth.values[:1] + spread * (predicted.values - truth.values[:1])
    clumped[rng.random(clumped.shape) < holes] = np.nan
    clumped[:10] = predicted.values[:10]
    found = IntrinsicScatter.fit(Labels(NAMES, clumped), error, truth, bins=bins, min_stars=10)
    assert np.isfinite(found.scatter).all()
    assert (found.scatter >= 0).all()
    assert ((found.reach > 0) | (found.n_stars >= 10)).all()
    anywhere = rng.uniform(-1e4, 1e4, (50, 4))
    assert np.isfinite(found.at(anywhere)).all()
    again = IntrinsicScatter.from_dict(json.loads(json.dumps(found.to_dict())))
    np.testing.assert_array_equal(again.at(anywhere), found.at(anywhere))
    assert again.to_dict() == found.to_dict()


def test_small_bins_take_in_their_neighbours_first():
    truth = stars(400)[2]
    values = truth.values.copy()
    values[:, 0] = np.linspace(4000, 6000, 400)
    residual = np.where(values[:, 0] < 5000, 10.0, 100.0) * np.where(np.arange(400) % 2, 1, -1)
    known = truth.values.copy()
    known[:, 0] = values[:, 0] - residual
    found = IntrinsicScatter.fit(
        Labels(NAMES, values), None, Labels(NAMES, known), by=("teff",), bins=10, min_stars=60
    )
    assert (found.n_stars[:, 0] < 60).all()
    np.testing.assert_array_equal(found.reach[:, 0], 1)
    np.testing.assert_allclose(found.scatter[:3, 0], 10)
    np.testing.assert_allclose(found.scatter[-3:, 0], 100)


def test_missing_predictions():
    found = IntrinsicScatter.fit(*stars())
    row = np.array([[5000, 2.0, np.nan, 0.1], [np.nan] * 4, [5000, 2.0, -0.5, 0.1]])
    at = found.at(row)
    np.testing.assert_array_equal(np.isnan(at), np.isnan(row))
    np.testing.assert_array_equal(at[0, [0, 1, 3]], found.scatter.max(axis=0)[[0, 1, 3]])


def test_bad_input_is_named():
    predicted, error, truth = stars(40)
    with pytest.raises(LabelError, match=r"teff needs at least 50 stars.*received 40"):
        IntrinsicScatter.fit(predicted, error, truth)
    constant = Labels(NAMES, np.where(np.arange(4) == 1, 2.5, truth.values))
    with pytest.raises(LabelError, match=r"logg are all 2.5"):
        IntrinsicScatter.fit(predicted, error, constant, min_stars=20)
    with pytest.raises(LabelError, match="in common"):
        IntrinsicScatter.fit(predicted, error, Labels(("vmic",), np.ones((40, 1))))
    with pytest.raises(ConfigError, match="by=rv"):
        IntrinsicScatter.fit(predicted, error, truth, by=("rv",))
    with pytest.raises(ConfigError, match="bins"):
        IntrinsicScatter.fit(predicted, error, truth, bins=0)
    with pytest.raises(DataError, match="same stars"):
        IntrinsicScatter.fit(predicted, error, truth[:5], min_stars=20)
    blind = np.full_like(error, np.nan)
    with pytest.raises(LabelError, match="received 0"):
        IntrinsicScatter.fit(predicted, blind, truth, min_stars=20)
    found = IntrinsicScatter.fit(predicted, error, truth, min_stars=20)
    with pytest.raises(DataError, match=r"\(N, 4\)"):
        found.at(np.ones((3, 2)))
    with pytest.raises(DataError, match=r"\(N, L, L\)"):
        combine(np.ones((2, 3, 3)), np.ones((2, 4)))


def test_a_damaged_entry_is_refused():
    kept = IntrinsicScatter.fit(*stars()).to_dict()
    for wrong in ({"scatter": [[1.0]]}, {"scatter": None}, {"by": 3}, {"by": {"rv": [1.0]}}):
        with pytest.raises(ModelError, match="damaged"):
            IntrinsicScatter.from_dict(kept | wrong)
    with pytest.raises(ModelError, match="reach"):
        IntrinsicScatter.from_dict({k: v for k, v in kept.items() if k != "reach"})
