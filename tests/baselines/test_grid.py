"""Chi-square fit: interpolation on toy functions, and the fit against a search of others."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.optimize import minimize

from starnet.baselines.grid import Grid, Search
from starnet.baselines.interpolate import Lattice, Smooth, lagrange
from starnet.spectra import Labels, Spectra
from tests.baselines.made import NAMES, linear_stars, log_grid


def function(x: np.ndarray) -> np.ndarray:
    """Three labels to two values, cubic in each."""
    a, b, c = x.T
    return np.column_stack([a**3 - a * b + 0.2 * c, b**2 * c - a])


def nodes(n: int = 5) -> np.ndarray:
    axes = [np.linspace(-1, 1, n), np.linspace(-2, 0, n) ** 3, np.linspace(0, 1, n)]
    return np.array(list(itertools.product(*axes)))


def slopes(model, x):
    """By finite differences, (M, K, L)."""
    step = 1e-5
    parts = [(model(x + step * e)[0] - model(x - step * e)[0]) / (2 * step) for e in np.eye(3)]
    return np.stack(parts, axis=2)


def test_cubic_lattice_is_exact_for_cubics_on_uneven_axes():
    grid = np.random.default_rng(1).permutation(nodes())
    model = Lattice.find(grid, function(grid), 3)
    x = np.random.default_rng(2).uniform([-1, -8, 0], [1, 0, 1], (40, 3))
    value, slope = model(x)
    np.testing.assert_allclose(value, function(x), atol=1e-9)
    np.testing.assert_allclose(slope, slopes(model, x), atol=1e-4)
    np.testing.assert_allclose(model(grid)[0], function(grid), atol=1e-9)


def test_linear_lattice_is_that_of_scipy():
    from scipy.interpolate import RegularGridInterpolator

    grid = nodes()
    model = Lattice.find(grid, function(grid), 1)
    x = np.random.default_rng(2).uniform([-1, -8, 0], [1, 0, 1], (40, 3))
    other = RegularGridInterpolator(model.axes, model.values)(x)
    np.testing.assert_allclose(model(x)[0], other, atol=1e-12)


def test_scattered_stars_are_no_lattice():
    grid = nodes()
    assert Lattice.find(grid[:-1], function(grid[:-1]), 3) is None
    assert Lattice.find(np.vstack([grid[:-1], grid[:1]]), function(grid), 3) is None


def test_lagrange_has_as_many_nodes_as_there_are():
    rows, weight, slope = lagrange(np.array([0.0, 1.0]), np.array([0.25, 2.0]), 3)
    np.testing.assert_allclose(weight, [[0.75, 0.25], [-1.0, 2.0]])
    np.testing.assert_allclose(slope, [[-1, 1], [-1, 1]])
    assert rows.shape == (2, 2)


def test_smooth_interpolation_of_scattered_stars():
    rng = np.random.default_rng(3)
    x, others = rng.uniform(-1, 1, (400, 3)), rng.uniform(-0.9, 0.9, (50, 3))
    noise = 0.05 * rng.standard_normal((400, 2))
    model, missed = Smooth.fit(x, function(x))
    assert np.abs(model(others)[0] - function(others)).max() < 0.01
    np.testing.assert_allclose(model(others)[1], slopes(model, others), atol=1e-5)
    noisy, missed = Smooth.fit(x, function(x) + noise)
    assert np.sqrt(np.mean((noisy(others)[0] - function(others)) ** 2)) < 0.025
    assert np.all(np.abs(missed.std(axis=0) / 0.05 - 1) < 0.15)


def test_fit_finds_the_lowest_chi_square_over_pixels():
    """Of a search by others with all pixels, from the truth."""
    spectra, labels = linear_stars(200, 0.02, curved=0.5)
    fitted = Grid(components=8, misfit=False, pixel_power=0.0).fit(spectra, labels)
    others, truth = linear_stars(5, 0.02, curved=0.5, seed=8)
    core, own = fitted.core, fitted.components
    _, seen = next(own.see(others))
    got = core.answer(seen)[0]
    variance = 0.02**2 + own.rest

    for i, guess in enumerate(fitted.scale.forward(truth.values)):

        def chi2(x, i=i):
            model = own.spectrum(core.model(x[None])[0])[0]
            return np.sum((others.flux[i] - model) ** 2 / variance)

        best = minimize(chi2, guess, method="Nelder-Mead", options={"xatol": 1e-5, "fatol": 1e-5})
        if np.all((best.x > core.box[0]) & (best.x < core.box[1])):
            np.testing.assert_allclose(got[i], best.x, atol=2e-3)


def test_regular_grid_of_synthetic_spectra():
    theta = np.array(list(itertools.product(*[np.linspace(-1, 1, 5)] * 3)))
    shapes = 0.1 * np.random.default_rng(1).standard_normal((2, 60, 3))

    def flux_of(x):
        return 1 + x @ shapes[0].T + 0.5 * (x**3) @ shapes[1].T

    def values_of(x):
        return np.column_stack([5000 + 100 * x[:, 0], 2.5 + x[:, 1], 0.3 * x[:, 2]])

    labels = Labels(NAMES, values_of(theta))
    fitted = Grid(log10=(), pixel_power=0.0).fit(Spectra(log_grid(60), flux_of(theta)), labels)
    assert isinstance(fitted.core, Search)
    assert isinstance(fitted.core.model, Lattice)
    x = np.random.default_rng(4).uniform(-0.9, 0.9, (30, 3))
    noisy = flux_of(x) + 1e-4 * np.random.default_rng(5).standard_normal((30, 60))
    others = Spectra(log_grid(60), noisy, np.full((30, 60), 1e8))
    apart = (fitted.predict(others).values - values_of(x)) / [100, 1, 0.3]
    assert np.median(np.abs(apart)) < 5e-3


def test_misfit_serves_where_labels_do_not_say_all():
    """A colour that no label knows of moves the plain fit and not the one that knows of it."""
    spectra, labels = linear_stars(200, 0.002)
    rng = np.random.default_rng(9)
    slope = np.linspace(-1, 1, spectra.n_pixels)

    def reddened(s):
        return s.replace(flux=s.flux + 0.1 * rng.standard_normal((len(s), 1)) * slope)

    others, truth = linear_stars(60, 0.002, seed=8)
    train, test = reddened(spectra), reddened(others)
    apart = []
    for misfit in (False, True):
        fitted = Grid(components=10, misfit=misfit).fit(train, labels)
        apart.append(np.abs(fitted.predict(test).values - truth.values).mean())
    assert apart[1] < 0.5 * apart[0]


@pytest.mark.parametrize("degree", [1, 3])
def test_lattice_needs_two_nodes_along_each_label(degree):
    grid = nodes()
    flat = grid[grid[:, 2] == 0]
    assert Lattice.find(flat, function(flat), degree) is None
