"""The Cannon against itself, against scipy, and its second version."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import curve_fit, minimize_scalar

from starnet.baselines.cannon import Cannon, Pixels, Terms, fit_pixels, solve_stars
from starnet.baselines.cannon.choose import left_out
from starnet.baselines.cannon.lasso import descend
from starnet.errors import ConfigError, LabelError, TrainingError
from starnet.spectra import Labels, Spectra, WavelengthGrid

NAMES = ("one", "two", "three")


def terms_of(n_labels: int = 3, order: int = 2) -> Terms:
    return Terms(order, np.linspace(1, 2, n_labels), np.linspace(2, 3, n_labels))


def stars(n: int, n_pixels: int, seed: int = 0, order: int = 2, n_labels: int = 3):
    """Spectra of known coefficients, scatter and errors, some masked, and their labels."""
    rng = np.random.default_rng(seed)
    terms = terms_of(n_labels, order)
    theta = 0.05 * rng.standard_normal((n_pixels, len(terms)))
    theta[:, 0] = rng.uniform(0.7, 1.0, n_pixels)
    scatter = rng.uniform(0.0, 0.02, n_pixels)
    scatter[: n_pixels // 4] = 0.0
    x = rng.uniform(-0.6, 0.6, (n, n_labels))
    error = rng.uniform(0.003, 0.02, (n, n_pixels))
    flux = terms.values(x) @ theta.T
    flux += np.hypot(error, scatter) * rng.standard_normal(flux.shape)
    ivar = np.where(rng.random(flux.shape) < 0.03, 0.0, error**-2)
    names = NAMES if n_labels == 3 else tuple(f"label{i}" for i in range(n_labels))
    labels = Labels(names, terms.unscaled(x))
    return flux.astype("f4"), ivar.astype("f4"), labels, terms, Pixels(theta, scatter**2)


def spectra_of(flux: np.ndarray, ivar: np.ndarray) -> Spectra:
    grid = WavelengthGrid.linear(5000, 1, flux.shape[1], "vacuum")
    return Spectra(grid, flux, ivar, ivar == 0)


@pytest.mark.parametrize(("n_labels", "order", "n"), [(3, 2, 10), (2, 3, 10), (21, 2, 253)])
def test_number_and_order_of_terms(n_labels, order, n):
    terms = terms_of(n_labels, order)
    assert len(terms) == n
    x = np.random.default_rng(1).standard_normal((4, n_labels))
    expected = np.stack([x[:, list(c)].prod(axis=1) for c in terms.factors], axis=1)
    np.testing.assert_allclose(terms.values(x), expected)
    assert terms.factors[: n_labels + 1] == ((), *((i,) for i in range(n_labels)))


@pytest.mark.parametrize("order", [1, 2, 3])
def test_slopes_are_those_of_small_steps(order):
    terms, h = terms_of(3, order), 1e-6
    x = np.random.default_rng(2).standard_normal((5, 3))
    for i in range(3):
        step = h * np.eye(3)[i]
        small = (terms.values(x + step) - terms.values(x - step)) / (2 * h)
        np.testing.assert_allclose(terms.slopes(x)[:, :, i], small, atol=1e-7)


def test_recovers_coefficients_and_scatter():
    flux, ivar, labels, terms, truth = stars(4000, 60)
    design = terms.values(terms.scaled(labels.values))
    pixels = fit_pixels(flux, ivar, design)
    apart = (pixels.coefficients - truth.coefficients) @ design.T
    assert np.sqrt(np.mean(apart**2)) < 1.2 * 0.018 * np.sqrt(10 / 4000)
    some = truth.scatter2 > 0.005**2
    ratio = np.sqrt(pixels.scatter2[some] / truth.scatter2[some])
    assert np.all(np.abs(ratio - 1) < 0.15)
    assert np.all(pixels.scatter2[:15] < 0.0015**2)


def one_pixel(flux: np.ndarray, ivar: np.ndarray, design: np.ndarray):
    """Coefficients and s2 of one pixel by scipy, on the stars with weight."""
    good = ivar > 0
    f, v, a = flux[good].astype(float), 1.0 / ivar[good].astype(float), design[good]

    def fit(s2: float) -> tuple[np.ndarray, float]:
        root = 1 / np.sqrt(v + s2)
        theta = np.linalg.lstsq(a * root[:, None], f * root)[0]
        return theta, float(np.sum((root * (f - a @ theta)) ** 2 - 2 * np.log(root)))

    best: Any = minimize_scalar(
        lambda s: fit(s**2)[1], bounds=(0.0, 0.2), method="bounded", options={"xatol": 1e-9}
    )
    return fit(best.x**2)[0], best.x**2


def test_is_the_optimum_that_scipy_finds():
    flux, ivar, labels, terms, _ = stars(300, 40, seed=4)
    design = terms.values(terms.scaled(labels.values))
    pixels = fit_pixels(flux, ivar, design)
    for j in range(40):
        theta, s2 = one_pixel(flux[:, j], ivar[:, j], design)
        assert np.max(np.abs(design @ (pixels.coefficients[j] - theta))) < 2e-6
        assert np.sqrt(pixels.scatter2[j]) == pytest.approx(np.sqrt(s2), abs=3e-5)


def test_pixels_without_stars_have_no_weight():
    flux, ivar, labels, terms, _ = stars(80, 30)
    ivar[:, 3] = 0.0
    ivar[9:, 4] = 0.0  # nine stars for ten coefficients
    pixels = fit_pixels(flux, ivar, terms.values(terms.scaled(labels.values)))
    assert np.isinf(pixels.scatter2[[3, 4]]).all()
    assert np.isfinite(np.delete(pixels.scatter2, [3, 4])).all()
    fitted = Cannon().fit(spectra_of(flux, ivar), labels)
    assert np.isnan(fitted.flux(labels)[:, [3, 4]]).all()
    assert np.isfinite(fitted.predict(spectra_of(flux, ivar)).values).all()


def test_labels_are_those_of_curve_fit():
    flux, ivar, labels, terms, truth = stars(30, 200, seed=7)
    x = terms.scaled(labels.values)
    bounds = np.array([[-2.0, 2.0]] * 3)
    points = np.vstack([np.zeros(3), x])
    got = solve_stars(flux, ivar, truth, terms, bounds=bounds, points=points, starts=3)
    assert got.converged.all()
    assert not got.at_edge.any()
    for i in range(30):
        good = ivar[i] > 0
        sigma = np.sqrt(1 / ivar[i, good].astype(float) + truth.scatter2[good])

        def model(_, *x, good=good):
            return truth.coefficients[good] @ terms.values(np.array([x]))[0]

        found, covariance = curve_fit(
            model, None, flux[i, good], x[i], sigma=sigma, absolute_sigma=True, xtol=1e-10
        )
        error = np.sqrt(np.diag(covariance))
        assert np.all(np.abs(got.x[i] - found) < 0.01 * error)
        np.testing.assert_allclose(got.covariance[i], covariance, rtol=2e-2, atol=1e-9)


def test_errors_are_as_large_as_the_scatter_of_labels():
    flux, ivar, labels, *_ = stars(1200, 60, seed=8)
    spectra = spectra_of(flux, ivar)
    fitted = Cannon().fit(spectra[:900], labels[:900])
    got = fitted.predict(spectra[900:])
    z = (got.values - labels.values[900:]) / got.errors
    assert np.std(z) == pytest.approx(1.0, abs=0.1)


def test_labels_stay_within_the_margin():
    flux, ivar, labels, *_ = stars(200, 40, seed=9)
    spectra = spectra_of(flux, ivar)
    fitted = Cannon(margin=0.1).fit(spectra, labels)
    odd = spectra.replace(flux=np.full_like(flux, 3.0))
    low, high = labels.bounds().T
    room = 0.1 * (high - low) + 1e-9
    got = fitted.predict(odd).values
    read = np.asarray(np.isfinite(got).all(axis=1))
    assert read.any()
    inside = (got[read] >= low - room) & (got[read] <= high + room)
    assert inside.all()
    assert np.any(fitted.solve(odd).at_edge & read)


def test_a_censored_label_acts_in_its_windows_only():
    flux, ivar, labels, *_ = stars(200, 40)
    fitted = Cannon(censor={"two": ((5010, 5019),)}).fit(spectra_of(flux, ivar), labels)
    with_two = np.array([1 in c for c in fitted.terms.factors])
    inside = np.zeros(40, bool)
    inside[10:20] = True
    assert np.all(fitted.pixels.coefficients[np.ix_(~inside, with_two)] == 0)
    assert np.all(fitted.pixels.coefficients[np.ix_(inside, with_two)] != 0)
    design = fitted.terms.values(fitted.terms.scaled(labels.values))
    alone = fit_pixels(flux[:, :5], ivar[:, :5], design[:, ~with_two])
    np.testing.assert_allclose(
        fitted.pixels.coefficients[:5][:, ~with_two], alone.coefficients, atol=1e-5
    )


def test_descent_meets_the_conditions_of_a_minimum():
    """Where a coefficient is not 0 the slope is the price, elsewhere it is below."""
    rng = np.random.default_rng(3)
    basis = rng.standard_normal((6, 80, 9))
    matrix = basis.transpose(0, 2, 1) @ basis
    right = np.einsum("mnt,mn->mt", basis, basis[:, :, 2] + 0.5 * rng.standard_normal((6, 80)))
    price = 30.0
    theta = descend(matrix, right, np.zeros((6, 9)), price)
    slope = 2 * (right - np.einsum("mts,ms->mt", matrix, theta))
    np.testing.assert_allclose(slope[:, 0], 0, atol=1e-2)
    active = theta[:, 1:] != 0
    assert 0 < active.mean() < 0.7
    np.testing.assert_allclose(
        slope[:, 1:][active], price * np.sign(theta[:, 1:][active]), atol=1e-2
    )
    assert np.all(np.abs(slope[:, 1:][~active]) <= price * 1.0001)


def test_without_price_descent_is_least_squares():
    flux, ivar, labels, terms, _ = stars(200, 10)
    design = terms.values(terms.scaled(labels.values))
    plain, priced = (fit_pixels(flux, ivar, design, strength=s) for s in (0.0, 1e-9))
    apart = (plain.coefficients - priced.coefficients) @ design.T
    assert np.max(np.abs(apart)) < 1e-5


def test_a_path_takes_the_strength_that_others_prefer_and_silences_a_dead_label():
    """Nothing answers to the third label; a strong price says so, a far too strong one is left."""
    _, _, labels, terms, truth = stars(150, 40, seed=5)
    theta = truth.coefficients.copy()
    dead = np.array([2 in c for c in terms.factors])
    theta[:, dead] = 0.0
    rng = np.random.default_rng(6)
    flux = terms.values(terms.scaled(labels.values)) @ theta.T
    flux += 0.01 * rng.standard_normal(flux.shape)
    spectra = spectra_of(flux, np.full(flux.shape, 0.01**-2))
    said: list[str] = []
    cannon = Cannon(regularization=(0.0, 100.0, 1e6))
    fitted = cannon.fit(spectra, labels, seed=1, report=said.append)
    assert fitted.strength == 100.0
    assert len(said) == len(fitted.scores) == 3
    strong = Cannon(regularization=1000.0).fit(spectra, labels).pixels.coefficients == 0
    assert np.mean(strong[:, dead]) > 0.9
    assert np.mean(strong[:, ~dead]) < 0.5


def test_stars_that_judge_a_price_are_left_out_with_all_their_visits():
    names = np.array([f"s{i % 25}" for i in range(100)])  # four visits each, apart from each other
    away = left_out(names, 3)
    assert len(set(names[away])) == 5
    assert set(names[away]).isdisjoint(names[~away])
    assert not np.array_equal(away, left_out(names, 4))


def test_more_coefficients_than_stars_need_a_price():
    flux, ivar, labels, *_ = stars(60, 12, n_labels=10)
    spectra = spectra_of(flux, ivar)
    with pytest.raises(TrainingError, match="66 coefficients a pixel and needs at least 67 stars"):
        Cannon().fit(spectra, labels)
    fitted = Cannon(regularization=100.0).fit(spectra, labels)
    assert np.isfinite(fitted.pixels.coefficients).all()


@settings(max_examples=6, deadline=None)
@given(
    shift=st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=3),
    power=st.lists(st.floats(-3, 3), min_size=3, max_size=3),
)
def test_units_of_labels_do_not_matter(shift, power):
    flux, ivar, labels, *_ = stars(60, 8, seed=2)
    spectra, scale = spectra_of(flux, ivar), 10.0 ** np.array(power)
    other = Labels(NAMES, np.array(shift) + scale * labels.values)
    one = Cannon(regularization=1.0).fit(spectra, labels).predict(spectra)
    two = Cannon(regularization=1.0).fit(spectra, other).predict(spectra)
    back = (two.values - np.array(shift)) / scale
    np.testing.assert_allclose(back, one.values, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(two.errors / scale, one.errors, rtol=1e-3)


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ({"order": 4}, "order of the cannon must be 1, 2 or 3"),
        ({"regularization": -1.0}, "from 0 up"),
        ({"regularization": ()}, "from 0 up"),
        ({"starts": 0}, "starts of 1 or more"),
        ({"margin": float("nan")}, "margin of 0 or more"),
        ({"censor": {"one": [[5020, 5010]]}}, "first wavelength is the lower"),
        ({"censor": {"one": [5010]}}, "a lower and an upper wavelength"),
    ],
)
def test_wrong_settings(wrong, what):
    with pytest.raises(ConfigError, match=what):
        Cannon(**wrong)


def test_windows_of_no_label_or_no_pixel():
    flux, ivar, labels, *_ = stars(60, 20)
    with pytest.raises(LabelError, match="'four'"):
        Cannon(censor={"four": ((5000, 5010),)}).fit(spectra_of(flux, ivar), labels)
    with pytest.raises(ConfigError, match="No pixel lies"):
        Cannon(censor={"one": ((6000, 6010),)}).fit(spectra_of(flux, ivar), labels)
