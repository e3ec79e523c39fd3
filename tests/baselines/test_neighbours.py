"""Nearest neighbours: the plain mean as scikit-learn has it, and its correction."""

from __future__ import annotations

import numpy as np
import pytest

from starnet.baselines.neighbours import Near, Neighbours
from tests.baselines.made import linear_stars


def test_without_correction_it_is_a_weighed_mean_of_the_nearest():
    neighbors = pytest.importorskip("sklearn.neighbors")
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((80, 3)), rng.standard_normal((80, 2))
    points = rng.standard_normal((10, 3))

    def tricube(distance):
        far = 1.05 * distance.max(axis=1, keepdims=True)
        return (1 - (distance / far) ** 3) ** 3

    other = neighbors.KNeighborsRegressor(9, weights=tricube).fit(x, y)
    own = Near(np.ones(3), x, y, 9, 1e9).regress(points)[0]
    np.testing.assert_allclose(own, other.predict(points), atol=1e-6)


def test_correction_helps_and_chosen_settings_are_told():
    spectra, labels = linear_stars(150, 0.002)
    others, truth = linear_stars(60, 0.002, seed=5)
    said: list[str] = []
    fitted = Neighbours(components=6, neighbours=(15, 40)).fit(spectra, labels, report=said.append)
    plain = Neighbours(components=6, strengths=(1e9,)).fit(spectra, labels)
    apart = [np.abs(f.predict(others).values - truth.values).mean(axis=0) for f in (fitted, plain)]
    assert np.all(apart[0] < 0.3 * apart[1])
    assert any(line.startswith("neighbours: ") and "power" in line for line in said)
