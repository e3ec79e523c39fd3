"""Boosted trees: the same answers from arrays as from scikit-learn, and a start that goes on."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from starnet.baselines.boosting import Boosting
from starnet.baselines.contract import load_fitted
from starnet.errors import MissingDependencyError
from tests.baselines.made import linear_stars

ensemble = pytest.importorskip("sklearn.ensemble")


def test_trees_from_arrays_are_those_of_scikit_learn(monkeypatch):
    made = []
    plain = ensemble.HistGradientBoostingRegressor.fit

    def keep(self, *args):
        made.append(plain(self, *args))
        return self

    monkeypatch.setattr(ensemble.HistGradientBoostingRegressor, "fit", keep)
    rng = np.random.default_rng(1)
    x = rng.standard_normal((300, 5)).astype(np.float32)
    y = np.sin(x[:, 0]) + x[:, 1] ** 2
    trees, offset = Boosting(trees=40)._grow(x, y, 0)
    others = rng.standard_normal((100, 5)).astype(np.float32)
    np.testing.assert_allclose(trees(others) + offset, made[0].predict(others), atol=1e-9)


def test_start_from_a_line_serves_linear_stars():
    spectra, labels = linear_stars(200, 0.01)
    others, truth = linear_stars(60, 0.01, seed=5)
    apart = []
    for linear in (True, False):
        fitted = Boosting(components=6, trees=20, linear=linear).fit(spectra, labels)
        apart.append(np.abs(fitted.predict(others).values - truth.values).mean(axis=0))
    assert np.all(apart[0] < 0.5 * apart[1])


def test_saved_trees_need_no_scikit_learn(tmp_path, monkeypatch):
    spectra, labels = linear_stars(60, 0.01)
    fitted = Boosting(components=4, trees=10).fit(spectra, labels)
    path = fitted.save(tmp_path / "trees.safetensors")
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    back = load_fitted(path).predict(spectra)
    np.testing.assert_array_equal(back.values, fitted.predict(spectra).values)
    with pytest.raises(MissingDependencyError, match="scikit-learn"):
        Boosting().fit(spectra, labels)
