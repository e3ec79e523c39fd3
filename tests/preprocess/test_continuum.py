"""Continua that are known are found, and fits agree with independent ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import LSQUnivariateSpline

from starnet.errors import GridError
from starnet.preprocess import PolynomialContinuum, RunningQuantile, SplineContinuum, Transform
from starnet.spectra import Spectra, WavelengthGrid

GRID = WavelengthGrid.linear(5000.0, 0.5, 1000, "air", chips=((0, 480), (500, 1000)))
X = GRID.wavelength


def stars(n: int = 4, noise: float = 0.002, seed: int = 0) -> tuple[Spectra, np.ndarray]:
    """Spectra with a smooth continuum and forty narrow lines, and that continuum."""
    rng = np.random.default_rng(seed)
    t = (X - 5250) / 250
    continuum = 3 + rng.uniform(-0.5, 0.5, (n, 1)) * t + rng.uniform(-0.5, 0.5, (n, 1)) * t**2
    lines = np.ones((n, X.size))
    for centre in rng.uniform(5000, 5500, 40):
        depth = rng.uniform(0, 0.6, (n, 1))
        lines *= 1 - depth * np.exp(-0.5 * ((X - centre) / 0.7) ** 2)
    flux = continuum * lines * (1 + noise * rng.standard_normal(lines.shape))
    return Spectra(GRID, flux, (noise * continuum) ** -2.0), continuum


INSIDE = np.r_[0:480, 500:1000]


def divisor(transform: Transform, spectra: Spectra) -> np.ndarray:
    """The continuum that a transform divides by; NaN where it has none."""
    out = transform(spectra).flux.astype(float)
    return spectra.flux / np.where(out == 0, np.nan, out)


@pytest.mark.parametrize(
    ("transform", "tolerance"),
    [
        (SplineContinuum(intervals=3, lower=1.0, iterations=8), 0.01),
        (SplineContinuum(spacing=100.0, lower=1.0, iterations=8, weighted=False), 0.01),
        (RunningQuantile(window=40.0, quantile=0.85), 0.02),
    ],
)
def test_finds_the_continuum_over_lines(transform, tolerance):
    spectra, continuum = stars()
    found = divisor(transform, spectra)
    error = (found / continuum - 1)[:, INSIDE]
    assert abs(np.median(error)) < tolerance / 2
    assert np.percentile(np.abs(error), 95) < 2 * tolerance
    plain = divisor(SplineContinuum(intervals=3, iterations=0), spectra)
    assert np.median(plain[:, INSIDE] / continuum[:, INSIDE]) < 1 - tolerance


def test_a_plain_spline_is_that_of_scipy():
    spectra, _ = stars(3)
    mask = np.random.default_rng(1).random(spectra.mask.shape) < 0.1
    spectra = spectra.replace(mask=mask)
    found = divisor(SplineContinuum(intervals=6, iterations=0), spectra)
    for row in range(3):
        for a, b in GRID.chips:
            good = ~mask[row, a:b]
            knots = np.linspace(X[a], X[b - 1], 7)[1:-1]
            flux, weights = spectra.flux[row, a:b][good], np.sqrt(spectra.ivar[row, a:b][good])
            scipy_fit = LSQUnivariateSpline(X[a:b][good], flux, knots, w=weights)
            np.testing.assert_allclose(found[row, a:b][good], scipy_fit(X[a:b][good]), rtol=1e-4)


def test_a_wide_gap_is_bridged_smoothly():
    spectra, continuum = stars(2, noise=1e-4)
    mask = np.zeros(spectra.mask.shape, bool)
    mask[:, 600:800] = True
    spectra = spectra.replace(flux=continuum, mask=mask)
    found = divisor(SplineContinuum(intervals=25, iterations=2), spectra)
    np.testing.assert_allclose(found[:, 500:600], continuum[:, 500:600], rtol=1e-4)
    np.testing.assert_allclose(found[:, 800:], continuum[:, 800:], rtol=1e-4)
    np.testing.assert_allclose(found[:, 600:800], continuum[:, 600:800], rtol=0.03)


def test_unmasked_cosmic_rays_are_clipped():
    spectra, continuum = stars(2)
    flux = np.array(spectra.flux)
    flux[:, 700:703] *= 50
    found = divisor(SplineContinuum(intervals=3, lower=1.5), spectra.replace(flux=flux))
    assert np.max(np.abs(found / continuum - 1)[:, 690:710]) < 0.02


def test_clipping_that_would_leave_nothing_is_not_done():
    spectra, _ = stars(2)
    out = SplineContinuum(intervals=3, lower=1e-9, upper=1e-9)(spectra)
    assert not out.mask[:, INSIDE].any()


@pytest.mark.parametrize("order", [0, 1, 2, 4])
@pytest.mark.parametrize("weighted", [True, False])
def test_a_polynomial_is_that_of_numpy(order, weighted):
    spectra, _ = stars(3)
    pixels = np.sort(np.random.default_rng(2).choice(1000, 200, replace=False))
    transform = PolynomialContinuum(pixels=tuple(pixels.tolist()), order=order, weighted=weighted)
    found = divisor(transform, spectra)
    for row in range(3):
        for a, b in GRID.chips:
            own = pixels[(pixels >= a) & (pixels < b)]
            weights = np.sqrt(spectra.ivar[row, own]) if weighted else None
            fit = np.polynomial.Polynomial.fit(X[own], spectra.flux[row, own], order, w=weights)
            np.testing.assert_allclose(found[row, a:b], fit(X[a:b]), rtol=1e-5)


def test_continuum_pixels_by_ranges_index_or_boolean_are_the_same():
    spectra, _ = stars()
    inside = ((X >= 5010) & (X < 5050)) | ((X >= 5300) & (X < 5400))
    by_range = PolynomialContinuum(ranges=((5010, 5050), (5300, 5400)))(spectra)
    by_bool = PolynomialContinuum(pixels=inside)(spectra)
    by_index = PolynomialContinuum(pixels=tuple(np.flatnonzero(inside).tolist()))(spectra)
    np.testing.assert_array_equal(by_range.flux, by_bool.flux)
    np.testing.assert_array_equal(by_range.flux, by_index.flux)


def test_a_chip_without_continuum_pixels_is_masked():
    spectra, _ = stars()
    out = PolynomialContinuum(ranges=((5010, 5050), (5200, 5230)))(spectra)
    assert not out.mask[:, :480].any()
    assert out.mask[:, 480:].all()


def test_continuum_pixels_beyond_the_grid_are_refused():
    spectra, _ = stars()
    for transform in (
        PolynomialContinuum(pixels=(5, 4000)),
        PolynomialContinuum(ranges=((16000, 16100),)),
        PolynomialContinuum(ranges=((500, 1500),), unit="pixel"),
    ):
        with pytest.raises(GridError, match="Angstrom"):
            transform(spectra)
        with pytest.raises(GridError, match="Angstrom"):
            transform.output_grid(GRID, "rest")


def test_where_the_continuum_is_not_positive_pixels_are_masked():
    flux = np.tile(np.linspace(-1, 1, 1000), (2, 1))
    for transform in (
        PolynomialContinuum(order=1),
        SplineContinuum(intervals=2),
        RunningQuantile(10.0, 0.5),
    ):
        out = transform(Spectra(GRID, flux))
        assert out.mask[:, :495].all()
        assert not out.mask[:, 520:].any()


@settings(max_examples=25, deadline=None)
@given(scale=st.floats(1e-12, 1e12), seed=st.integers(0, 99))
def test_the_unit_of_flux_does_not_matter(scale, seed):
    spectra, _ = stars(2, seed=seed)
    scaled = spectra.replace(flux=spectra.flux * scale, ivar=spectra.ivar / scale**2)
    for transform in (SplineContinuum(), PolynomialContinuum(), RunningQuantile()):
        first, second = transform(spectra), transform(scaled)
        np.testing.assert_allclose(second.flux, first.flux, rtol=2e-3)
        np.testing.assert_allclose(second.ivar, first.ivar, rtol=4e-3)


def test_running_quantile_at_its_nodes_is_the_quantile_of_the_window():
    spectra, _ = stars(3)
    mask = np.random.default_rng(1).random(spectra.mask.shape) < 0.2
    spectra = spectra.replace(mask=mask)
    transform = RunningQuantile(window=61, quantile=0.7, unit="pixel", nodes=1000)
    out = transform(spectra)
    for row in range(3):
        for pixel in (0, 33, 470, 479, 500, 777, 999):
            a, b = GRID.chips[pixel >= 500]
            i, j = max(a, pixel - 30), min(b, pixel + 31)
            window = spectra.flux[row, i:j][~mask[row, i:j]]
            if mask[row, pixel]:
                continue
            expected = spectra.flux[row, pixel] / np.quantile(window.astype(float), 0.7)
            assert out.flux[row, pixel] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_chips_of_very_few_pixels(n):
    grid = WavelengthGrid.linear(5000, 1.0, n + 1, "air", chips=((0, 1), (1, n + 1)))
    spectra = Spectra(grid, np.full((2, n + 1), 4.0))
    for transform in (SplineContinuum(), PolynomialContinuum(), RunningQuantile()):
        np.testing.assert_allclose(transform(spectra).flux, 1.0, rtol=1e-5)
