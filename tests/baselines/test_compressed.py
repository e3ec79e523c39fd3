"""Errors that methods on components share: noise, and scatter of held-out stars."""

from __future__ import annotations

import numpy as np
import pytest

from starnet.baselines import METHODS
from starnet.baselines._excess import excess
from starnet.baselines.compressed import LARGE, held_out
from starnet.errors import ConfigError
from starnet.spectra import Labels
from tests.baselines.made import linear_stars


def test_excess_is_what_noise_does_not_explain():
    rng = np.random.default_rng(1)
    noise = rng.uniform(0.5, 2.0, (20000, 2))
    miss = rng.standard_normal((20000, 2)) * np.sqrt(noise**2 + [0.0, 1.5**2])
    found = excess(miss, noise**2)
    assert found[0] < 0.2
    assert found[1] == pytest.approx(1.5, rel=0.03)


def test_every_star_is_held_out_once_or_a_fifth_of_many():
    stars = np.array([f"star {i // 2}" for i in range(104)])
    folds = held_out(stars, 3)
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(104))
    assert all(not set(stars[train]) & set(stars[test]) for train, test in folds)
    ((train, test),) = held_out(np.arange(5 * LARGE), 3)
    assert len(test) == LARGE
    assert len(train) == 4 * LARGE


def test_errors_follow_the_noise_of_the_star_and_are_honest():
    spectra, labels = linear_stars(150, 0.01)
    fitted = METHODS["pca-regression"](order=1, components=10).fit(spectra, labels)
    for noise in (0.01, 0.05):
        others, truth = linear_stars(400, noise, seed=9)
        got = fitted.predict(others)
        z = (got.values - truth.values) / got.errors
        assert np.all(np.abs(1.4826 * np.median(np.abs(z), axis=0) - 1) < 0.2), noise


def test_known_errors_of_labels_are_not_the_methods():
    """Scatter of reference labels does not count as an error of the method if it is known."""
    spectra, labels = linear_stars(200, 0.005)
    off = np.array([60.0, 0.2, 0.06])
    noisy = labels.values + off * np.random.default_rng(2).standard_normal(labels.values.shape)
    method = METHODS["pca-regression"](order=1, components=10)
    blind = method.fit(spectra, Labels(labels.names, noisy))
    told = method.fit(spectra, Labels(labels.names, noisy, np.tile(off, (200, 1))))
    assert np.all(told.predict(spectra).errors < 0.7 * blind.predict(spectra).errors)


def test_labels_stay_near_those_of_training():
    spectra, labels = linear_stars(100, 0.01)
    fitted = METHODS["pca-regression"](components=10).fit(spectra, labels)
    wild = fitted.predict(spectra.replace(flux=1 + 40 * (spectra.flux - 1))).values
    low, high = labels.bounds().T
    assert np.all(wild > low - 0.4 * (high - low))
    assert np.all(wild < high + 0.4 * (high - low))


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("pca-regression", {"components": 0}),
        ("pca-regression", {"order": 3}),
        ("grid", {"degree": 2}),
        ("gp", {"steps": 0}),
        ("boosting", {"rate": 0.0}),
    ],
)
def test_settings_out_of_range_are_refused(kind, settings):
    with pytest.raises(ConfigError, match="must be"):
        METHODS[kind](**settings)
