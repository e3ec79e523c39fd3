"""The Cannon in C against the same steps in numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starnet.baselines.cannon import Pixels, fit_pixels, solve_stars
from starnet.baselines.cannon import _compiled as fast
from starnet.baselines.cannon.stars import _least
from tests.baselines.test_cannon import stars

pytestmark = pytest.mark.skipif(
    fast.pixel_library(10, "float32") is None, reason="no C compiler here"
)


def plainly(monkeypatch, work):
    """What work gives with numpy alone, and then in C."""
    monkeypatch.setenv("STARNET_FUSED", "0")
    plain = work()
    monkeypatch.delenv("STARNET_FUSED")
    return plain, work()


def count_calls(monkeypatch, name, module):
    """Counts calls of a function, which still does its work."""
    calls, whole = [], getattr(module, name)
    monkeypatch.setattr(module, name, lambda *a, **k: (calls.append(1), whole(*a, **k))[1])
    return calls


# one star fewer and more than a block; one pixel more than vectors, than copies, than a thread's
@pytest.mark.parametrize(
    ("n", "n_pixels", "order", "dtype"),
    [(255, 41, 2, "f4"), (257, 300, 2, "f8"), (60, 1, 3, "f4"), (600, 33, 1, "f4")],
)
def test_pixels_are_those_of_numpy(monkeypatch, n, n_pixels, order, dtype):
    from starnet.baselines.cannon import pixels as module

    flux, ivar, labels, terms, _ = stars(n, n_pixels, seed=3, order=order)
    flux, ivar = flux.astype(dtype), ivar.astype(dtype)
    flux[ivar == 0] = 9.0  # whatever masked pixels hold
    ivar[:, 0] = 0.0  # a dead pixel
    design = terms.values(terms.scaled(labels.values))
    calls = count_calls(monkeypatch, "fit_compiled", module)
    plain, ours = plainly(monkeypatch, lambda: fit_pixels(flux, ivar, design))
    assert calls == [1]
    assert np.isinf(ours.scatter2[0])
    np.testing.assert_array_equal(np.isinf(plain.scatter2), np.isinf(ours.scatter2))
    assert np.max(np.abs(design @ (ours.coefficients - plain.coefficients).T)) < 2e-6
    good = np.isfinite(plain.scatter2)
    np.testing.assert_allclose(np.sqrt(ours.scatter2[good]), np.sqrt(plain.scatter2[good]),
                               atol=3e-6)  # fmt: skip


def test_nan_in_masked_pixels_has_no_say():
    flux, ivar, labels, terms, _ = stars(90, 20)
    design = terms.values(terms.scaled(labels.values))
    whole = fit_pixels(flux, ivar, design)
    flux = np.where(ivar == 0, np.nan, flux).astype("f4")
    np.testing.assert_array_equal(fit_pixels(flux, ivar, design).coefficients, whole.coefficients)


def test_held_terms_are_those_of_numpy(monkeypatch):
    flux, ivar, labels, terms, _ = stars(200, 30, seed=5)
    design = terms.values(terms.scaled(labels.values))
    allowed = np.random.default_rng(1).random((30, 10)) < 0.6
    allowed[:, 0] = True
    plain, ours = plainly(monkeypatch, lambda: fit_pixels(flux, ivar, design, allowed=allowed))
    assert np.all(ours.coefficients[~allowed] == 0)
    assert np.max(np.abs(design @ (ours.coefficients - plain.coefficients).T)) < 2e-6


@pytest.mark.parametrize(
    ("n", "order", "n_labels", "dtype"),
    [(33, 2, 3, "f4"), (65, 2, 3, "f8"), (5, 3, 2, "f4"), (20, 2, 9, "f4"), (20, 1, 5, "f4")],
)
def test_stars_are_those_of_numpy(monkeypatch, n, order, n_labels, dtype):
    from starnet.baselines.cannon import stars as module

    flux, ivar, labels, terms, truth = stars(n, 523, seed=8, order=order, n_labels=n_labels)
    flux, ivar = flux.astype(dtype), ivar.astype(dtype)
    scatter2 = truth.scatter2.copy()
    scatter2[7] = np.inf
    pixels = Pixels(truth.coefficients, scatter2)
    points = np.vstack([np.zeros(n_labels), terms.scaled(labels.values)])
    bounds = np.array([[-0.5, 2.0]] * n_labels)
    calls = count_calls(monkeypatch, "descend_compiled", module)
    plain, ours = plainly(
        monkeypatch,
        lambda: solve_stars(flux, ivar, pixels, terms, bounds=bounds, points=points, starts=3),
    )
    assert calls == [1]
    np.testing.assert_array_equal(plain.pixels, ours.pixels)
    np.testing.assert_array_equal(plain.converged, ours.converged)
    np.testing.assert_array_equal(plain.at_edge, ours.at_edge)
    assert ours.at_edge.any()
    assert plain.converged.all()
    sigma = np.sqrt(np.diagonal(ours.covariance, axis1=1, axis2=2))
    assert np.max(np.abs(plain.x - ours.x) / sigma) < 0.02
    np.testing.assert_allclose(plain.covariance, ours.covariance, rtol=3e-3,
                               atol=1e-4 * np.max(ours.covariance))  # fmt: skip
    np.testing.assert_allclose(plain.chi2, ours.chi2, rtol=2e-3)


def test_many_terms_are_left_to_numpy(monkeypatch):
    from starnet.baselines.cannon import pixels as module

    monkeypatch.setattr(fast, "MOST_TERMS", 9)
    calls = count_calls(monkeypatch, "fit_compiled", module)
    flux, ivar, labels, terms, _ = stars(80, 8)
    fit_pixels(flux, ivar, terms.values(terms.scaled(labels.values)))
    assert not calls


def test_without_a_compiler_numpy_does_it(monkeypatch, caplog):
    def none(*_):
        raise fast.CannotCompileError("no C compiler was found")

    monkeypatch.setattr(fast, "compiled", none)
    fast.pixel_library.cache_clear()
    fast._say_once.cache_clear()
    try:
        flux, ivar, labels, terms, _ = stars(80, 8)
        found = fit_pixels(flux, ivar, terms.values(terms.scaled(labels.values)))
        assert np.isfinite(found.coefficients).all()
        assert "no C compiler" in caplog.text
    finally:
        fast.pixel_library.cache_clear()


@given(st.integers(1, 12), st.integers(0, 14), st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_the_least_come_first(n, count, seed):
    rank = np.random.default_rng(seed).standard_normal((4, n))
    wanted = np.argsort(rank, axis=1, kind="stable")[:, :count]
    np.testing.assert_array_equal(_least(rank, count)[:, :count], wanted)
