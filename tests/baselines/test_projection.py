"""Regression on components and MATISSE, held against ridge regression of others and toy models."""

from __future__ import annotations

import numpy as np
import pytest

from starnet.baselines.local import local_regression, nearest
from starnet.baselines.projection import RIDGES, Matisse, PcaRegression, features, ridge
from tests.baselines.made import linear_stars


def made(n: int = 120) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    x = rng.standard_normal((n, 8)) * 0.5 ** np.arange(8)
    return x, np.column_stack([x @ rng.standard_normal(8), rng.standard_normal(n)])


def test_ridge_is_that_of_scikit_learn():
    linear = pytest.importorskip("sklearn.linear_model")
    x, y = made()
    y += 0.3 * np.random.default_rng(4).standard_normal(y.shape)
    _, weight, offset = ridge(x, y)
    size = np.linalg.eigvalsh(np.cov(x.T, bias=True) * len(x)).max()
    for i in range(2):
        others = linear.RidgeCV(alphas=RIDGES * size).fit(x, y[:, i])  # by leave-one-out
        ours = x @ weight[:, i] + offset[i]
        assert np.abs(ours - others.predict(x)).max() < 0.05 * y[:, i].std()


def test_ridge_finds_what_is_exact_and_holds_back_noise():
    x, y = made()
    score, weight, offset = ridge(x, y)
    np.testing.assert_allclose(x @ weight[:, 0] + offset[0], y[:, 0], atol=1e-5)
    assert score[1] > 0.5
    assert np.std(x @ weight[:, 1]) < 0.35


def test_products_of_all_pairs_once():
    x = np.arange(6.0).reshape(2, 3)
    got = features(x, 2)
    np.testing.assert_array_equal(got[1], [3, 4, 5, 9, 12, 16])


@pytest.mark.parametrize("method", [PcaRegression(components=12), Matisse(components=12)])
def test_linear_stars_are_read_exactly(method):
    spectra, labels = linear_stars(160, 0.001)
    others, truth = linear_stars(40, 0.001, seed=5)
    got = method.fit(spectra, labels).predict(others)
    apart = np.abs(got.values - truth.values) / labels.values.std(axis=0)
    assert np.median(apart) < 0.01


def test_vectors_of_neighbours_read_curved_stars_better_than_one_vector():
    spectra, labels = linear_stars(500, 0.002, curved=0.5)
    others, truth = linear_stars(100, 0.002, curved=0.5, seed=5)
    one = PcaRegression(order=1, components=4).fit(spectra, labels).predict(others)
    many = (
        Matisse(components=4, neighbours=(60,), strengths=(1e-4,))
        .fit(spectra, labels)
        .predict(others)
    )
    first, second = (np.median(np.abs(p.values - truth.values), axis=0) for p in (one, many))
    assert np.all(second < 0.7 * first)


def test_nearest_are_those_of_scikit_learn():
    neighbors = pytest.importorskip("sklearn.neighbors")
    rng = np.random.default_rng(6)
    points, others = rng.standard_normal((9, 4)), rng.standard_normal((50, 4))
    rows, weight = nearest(points, others, 7)
    expected = neighbors.NearestNeighbors(n_neighbors=7).fit(others).kneighbors(points)[1]
    np.testing.assert_array_equal(np.sort(rows, axis=1), np.sort(expected, axis=1))
    assert np.all(weight > 0)
    own, _ = nearest(others[:5], others, 7, np.arange(5))
    assert not np.any(own == np.arange(5)[:, None])


@pytest.mark.parametrize("n", [3, 20])
def test_local_regression_is_weighed_ridge(n):
    """By either of its two systems, for fewer stars than components and for more."""
    rng = np.random.default_rng(7)
    x, y, w = rng.standard_normal((2, n, 5)), rng.standard_normal((2, n, 2)), rng.random((2, n))
    points = rng.standard_normal((2, 5))
    value, slope = local_regression(points, x, y, w, 0.01)
    for i in range(2):
        share = w[i] / w[i].sum()
        dx, dy = x[i] - share @ x[i], y[i] - share @ y[i]
        gram = dx.T @ (share[:, None] * dx)
        damped = gram + 0.01 * np.trace(gram) * np.eye(5)
        expected = np.linalg.solve(damped, dx.T @ (share[:, None] * dy))
        np.testing.assert_allclose(slope[i], expected, rtol=1e-6, atol=1e-9)
        expected_value = share @ y[i] + (points[i] - share @ x[i]) @ expected
        np.testing.assert_allclose(value[i], expected_value, rtol=1e-6)
