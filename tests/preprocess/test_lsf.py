"""The line spread after matching, measured on lines."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d

from starnet.errors import GridError
from starnet.preprocess import MatchLSF
from starnet.spectra import LineSpread, Spectra, WavelengthGrid

FWHM = 2 * np.sqrt(2 * np.log(2))


def line_spectrum(grid: WavelengthGrid, centre: float) -> Spectra:
    """A line of the grid's own width, as the mean of the profile over pixels nearly is."""
    assert grid.lsf is not None
    sigma = np.interp(centre, grid.wavelength, grid.lsf.fwhm_at(grid.wavelength)) / FWHM
    flux = np.exp(-0.5 * ((grid.wavelength - centre) / sigma) ** 2)
    return Spectra(grid, flux[None], np.full((1, grid.n_pixels), 4.0))


def measured_fwhm(spectra: Spectra) -> float:
    wave, flux = spectra.grid.wavelength, spectra.flux[0].astype(float)
    centre = (wave * flux).sum() / flux.sum()
    return FWHM * float(np.sqrt(((wave - centre) ** 2 * flux).sum() / flux.sum()))


@settings(max_examples=30, deadline=None)
@given(target=st.floats(2.6, 30.0), centre=st.floats(4300, 4700))
def test_lines_get_the_width_that_is_asked_for(target, centre):
    grid = WavelengthGrid.linear(4000, 0.9, 1100, "air", lsf=LineSpread(fwhm=2.5))
    spectra = line_spectrum(grid, centre)
    out = MatchLSF(fwhm=target)(spectra)
    assert measured_fwhm(out) == pytest.approx(target, rel=2e-3)
    assert out.flux.sum() == pytest.approx(spectra.flux.sum(), rel=1e-5)
    assert out.grid.lsf is not None
    assert out.grid.lsf.matches(LineSpread(fwhm=target))


@pytest.mark.parametrize("centre", [15250.0, 16000.0, 16800.0])
@pytest.mark.parametrize("resolution", [20000.0, 8000.0, 2000.0])
def test_the_width_follows_wavelength(apstar_grid, resolution, centre):
    grid = replace(apstar_grid, lsf=LineSpread(resolution=22500.0), chips=())
    out = MatchLSF(resolution=resolution)(line_spectrum(grid, centre))
    assert measured_fwhm(out) == pytest.approx(centre / resolution, rel=5e-3)


def test_agrees_with_scipy_where_the_kernel_is_constant(rng):
    grid = WavelengthGrid.linear(4000, 1.0, 500, "air", lsf=LineSpread(fwhm=2.0))
    spectra = Spectra(grid, rng.uniform(0, 1, (3, 500)))
    sigma = np.sqrt(8.0**2 - 2.0**2) / FWHM
    expected = gaussian_filter1d(spectra.flux.astype(float), sigma, truncate=6)
    out = MatchLSF(fwhm=8.0)(spectra)
    np.testing.assert_allclose(out.flux[:, 30:-30], expected[:, 30:-30], atol=2e-5)


def test_variance_of_white_noise(rng):
    """The inverse variance that comes out is that of the noise that comes out."""
    grid = WavelengthGrid.linear(4000, 1.0, 400, "air", lsf=LineSpread(fwhm=2.0))
    noise = rng.standard_normal((600, 400))
    out = MatchLSF(fwhm=7.0)(Spectra(grid, noise, np.ones_like(noise)))
    np.testing.assert_allclose(out.flux.var(axis=0) * out.ivar[0], 1, atol=0.25)
    assert (out.flux.var(axis=0) * out.ivar[0]).mean() == pytest.approx(1, abs=0.02)


def test_pixels_between_masked_ones_are_masked_when_too_little_is_left():
    grid = WavelengthGrid.linear(4000, 1.0, 60, "air", lsf=LineSpread(fwhm=2.0))
    mask = np.zeros((1, 60), bool)
    mask[0, 20:29] = mask[0, 30:39] = True
    mask[0, 50] = True
    flux = np.where(mask, 1e3, 5.0)
    out = MatchLSF(fwhm=9.0)(Spectra(grid, flux, mask=mask))
    assert np.flatnonzero(out.mask[0]).tolist() == [*range(20, 39), 50]
    np.testing.assert_allclose(out.flux[0][~out.mask[0]], 5.0, rtol=1e-6)


def test_the_same_width_changes_nothing_and_a_sharper_one_is_refused():
    grid = WavelengthGrid.linear(4000, 0.9, 300, "air", lsf=LineSpread(fwhm=2.5))
    spectra = line_spectrum(grid, 4100)
    np.testing.assert_allclose(MatchLSF(fwhm=2.5)(spectra).flux, spectra.flux, rtol=1e-6)
    with pytest.raises(GridError, match=r"FWHM 2\.500 A and 2\.000 A is asked for"):
        MatchLSF(fwhm=2.0)(spectra)
    with pytest.raises(GridError, match="has no line spread"):
        MatchLSF(fwhm=4.0)(spectra.replace(grid=replace(grid, lsf=None)))
