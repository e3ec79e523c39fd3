"""Principal components with masked pixels, and what noisy spectra say of them."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from starnet.baselines import components as module
from starnet.baselines._decompose import leading
from starnet.baselines.components import Components
from starnet.spectra import Spectra
from tests.baselines.made import log_grid, low_rank


def spectra_of(flux: np.ndarray, ivar: float = 0.0, mask: np.ndarray | None = None) -> Spectra:
    return Spectra(log_grid(flux.shape[1]), flux, np.full(flux.shape, ivar), mask)


def same_directions(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Cosines between columns."""
    return np.abs(np.sum(one * other, axis=0)) / np.linalg.norm(one, axis=0)


@pytest.mark.parametrize("shape", [(80, 200), (1300, 60), (1100, 1200)])
def test_components_are_those_of_scikit_learn(shape):
    """The exact ways, by rows and by pixels, and the one by turns for large sets."""
    decomposition = pytest.importorskip("sklearn.decomposition")
    flux = low_rank(*shape, 6, 0.002)
    pca = decomposition.PCA(6, svd_solver="full" if min(shape) < 500 else "arpack").fit(flux)
    own = Components.fit(spectra_of(flux), 6)
    assert np.all(same_directions(own.basis, pca.components_.T) > 1 - 1e-5)
    expected = pca.explained_variance_ * (len(flux) - 1) / len(flux)
    np.testing.assert_allclose(own.prior, expected, rtol=1e-4)
    np.testing.assert_allclose(own.center, pca.mean_, atol=1e-6)


def test_leading_vectors_are_orthonormal():
    flux = low_rank(50, 70, 5, 0.1).astype(np.float32)
    vectors = leading(flux - flux.mean(axis=0), 5, np.zeros((70, 5)))
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(5), atol=1e-5)


def test_masked_pixels_do_not_turn_components():
    flux = low_rank(400, 120, 4, 0.001)
    mask = np.random.default_rng(3).random(flux.shape) < 0.1
    whole = Components.fit(spectra_of(flux), 4)
    spoilt = spectra_of(np.where(mask, 50.0, flux), mask=mask)
    assert np.all(same_directions(Components.fit(spoilt, 4).basis, whole.basis) > 0.9999)


def test_chi_square_over_pixels_is_a_form_of_coefficients():
    """Differences of chi-square agree with a sum over all good pixels."""
    flux = low_rank(60, 100, 4, 0.01)
    mask = np.random.default_rng(4).random(flux.shape) < 0.1
    spectra = spectra_of(flux, 0.01**-2, mask)
    own = Components.fit(spectra, 4)
    _, seen = next(own.see(spectra))
    weight = np.where(mask, 0, 1 / (0.01**2 + own.rest))
    rng = np.random.default_rng(5)
    one, other = rng.standard_normal((2, 60, 4))

    def direct(c):
        return (weight * (flux - own.spectrum(c)) ** 2).sum(axis=1)

    def form(c):
        return np.einsum("mi,mij,mj->m", c, seen.normal, c) - 2 * (c * seen.side).sum(axis=1)

    np.testing.assert_allclose(form(one) - form(other), direct(one) - direct(other), rtol=1e-4)


def test_what_pixels_have_in_common_counts_in_chi_square():
    """As with the full covariance of the pixels."""
    rng = np.random.default_rng(5)
    basis, common = rng.standard_normal((40, 3)), rng.standard_normal((40, 2))
    rest, none = np.full(40, 0.01), np.zeros(40)
    own = Components(np.ones(40), basis, np.ones(3), rest, none, common)
    mask = rng.random((6, 40)) < 0.1
    spectra = spectra_of(1 + rng.standard_normal((6, 40)), 25.0, mask)
    value = rng.standard_normal((6, 3))
    _, seen = next(own.see(spectra))
    assert np.array_equal(seen.pixels, 40 - mask.sum(axis=1))
    for i, c in enumerate(value):
        good = ~mask[i]
        covariance = np.diag(np.full(good.sum(), 0.05)) + common[good] @ common[good].T
        left = (spectra.flux[i] - own.spectrum(c))[good]
        got = seen.least[i] - 2 * c @ seen.side[i] + c @ seen.normal[i] @ c
        np.testing.assert_allclose(got, left @ np.linalg.solve(covariance, left), rtol=1e-3)


def test_coefficients_have_honest_errors():
    clean = low_rank(500, 80, 3, 0.0)
    noise = 0.02 * np.random.default_rng(6).standard_normal(clean.shape)
    own = Components.fit(spectra_of(clean, 0.02**-2), 3)
    _, seen = next(own.see(spectra_of(clean + noise, 0.02**-2)))
    truth = (clean[: len(seen.mean)] - own.center) @ own.basis
    z = (seen.mean - truth) / np.sqrt(np.einsum("mkk->mk", seen.covariance))
    assert 0.9 < z.std() < 1.1


def test_unknown_errors_are_those_of_training_spectra():
    flux = low_rank(200, 80, 3, 0.01)
    own = Components.fit(spectra_of(flux), 3)
    assert np.all(own.noise == 0)
    np.testing.assert_allclose(np.median(own.rest), 1e-4, rtol=0.1)


def test_blocks_do_not_matter(monkeypatch):
    spectra = spectra_of(low_rank(30, 50, 3, 0.01))
    own = Components.fit(spectra, 3)
    whole = own.coefficients(spectra)
    monkeypatch.setattr(module, "BLOCK", 7)
    np.testing.assert_allclose(own.coefficients(spectra), whole, atol=1e-7)


def test_memory_is_a_few_copies_of_the_flux():
    spectra = spectra_of(low_rank(1500, 1500, 3, 0.01), 1e4)
    tracemalloc.start()
    try:
        Components.fit(spectra, 5)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3.5 * spectra.flux.nbytes
