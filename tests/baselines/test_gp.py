"""Gaussian process: against scikit-learn with the same kernel, and its search for a kernel."""

from __future__ import annotations

import numpy as np
import pytest

from starnet.baselines.components import Seen
from starnet.baselines.gp import JITTER, Processes, most_likely


def made(n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((n, 3))
    return x, np.sin(x[:, 0]) + 0.3 * x[:, 1]


def seen_at(x: np.ndarray, variance: float) -> Seen:
    """What a spectrum says that fixes coefficients x with so much variance."""
    prior = np.full(x.shape[1], 1e8)
    normal = np.tile(np.eye(x.shape[1]) / variance, (len(x), 1, 1))
    return Seen(normal, x / variance, prior, np.zeros(len(x)), np.full(len(x), 50))


def process(x, y, amplitudes, noise=0.01) -> Processes:
    metric = np.array([[1.0, 0.25, 0.04]])
    return Processes(x, y[:, None], np.full((len(x), 1), noise), metric, np.array([amplitudes]))


def test_mean_and_variance_are_those_of_scikit_learn():
    gaussian = pytest.importorskip("sklearn.gaussian_process")
    kernels = gaussian.kernels
    x, y = made()
    lengths = np.array([1.0, 2.0, 5.0])
    kernel = (
        kernels.ConstantKernel(0.5)
        + kernels.ConstantKernel(0.2) * kernels.DotProduct(1e-9)
        + kernels.ConstantKernel(1.5) * kernels.Matern(1.0, nu=2.5)
    )
    other = gaussian.GaussianProcessRegressor(kernel, alpha=0.01 + JITTER, optimizer=None)
    points = np.random.default_rng(2).standard_normal((20, 3))
    mean, std = other.fit(x / lengths, y).predict(points / lengths, return_std=True)
    value, variance = process(x, y, (0.5, 0.2, 1.5)).answer(seen_at(points, 1e-12))
    np.testing.assert_allclose(value[:, 0], mean, atol=1e-6)
    np.testing.assert_allclose(variance[:, 0], std**2, atol=1e-6)


def test_noise_of_the_spectrum_is_carried_through_the_slope():
    x, y = made()
    core = process(x, y, (0.5, 0.2, 1.5))
    points = np.random.default_rng(2).standard_normal((5, 3))

    def at(c):
        return core.answer(seen_at(c, 1e-12))

    slope = np.stack([(at(points + 1e-4 * e)[0] - at(points - 1e-4 * e)[0]) for e in np.eye(3)])
    expected = ((slope / 2e-4) ** 2).sum(axis=0) * 1e-6
    more = core.answer(seen_at(points, 1e-6))[1] - at(points)[1]
    np.testing.assert_allclose(more, expected, rtol=1e-2, atol=1e-9)


def test_most_likely_kernel_knows_which_component_matters():
    rng = np.random.default_rng(3)
    x = rng.standard_normal((150, 4))
    y = np.sin(2 * x[:, 1]) + 0.1 * rng.standard_normal(150)
    metric, _, noise = most_likely(x, np.ones(4), y / y.std(), np.zeros(150), 30)
    assert np.argmax(metric) == 1
    assert 0.05 < np.sqrt(noise) * y.std() < 0.2


def test_known_errors_of_labels_are_not_noise_again():
    rng = np.random.default_rng(3)
    x = rng.standard_normal((150, 2))
    y = x[:, 0] + 0.3 * rng.standard_normal(150)
    blind = most_likely(x, np.ones(2), y, np.zeros(150), 40)[2]
    told = most_likely(x, np.ones(2), y, np.full(150, 0.09), 40)[2]
    assert told < 0.3 * blind
