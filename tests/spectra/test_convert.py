import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import InverseVariance, StdDevUncertainty, VarianceUncertainty
from specutils import Spectrum

from starnet.errors import FrameError, GridError
from starnet.spectra import from_specutils, from_table, to_specutils, to_table


def same(a, b):
    assert a.grid.matches(b.grid, tolerance=1e-6)
    assert np.allclose(a.flux, b.flux)
    assert np.allclose(a.ivar, b.ivar)
    assert np.array_equal(a.mask, b.mask)
    assert a.frame == b.frame
    assert a.flux_unit == b.flux_unit


def test_specutils_round_trip(toy_spectra):
    back = from_specutils(to_specutils(toy_spectra))
    same(back, toy_spectra)
    assert np.array_equal(back.stars, toy_spectra.stars)


def test_one_row_to_specutils(toy_spectra):
    spectrum = to_specutils(toy_spectra, 2)
    assert spectrum.flux.shape == (200,)
    same(from_specutils(spectrum), toy_spectra[2])


def test_tables_keep_units_and_everything_else(toy_spectra):
    spectra = toy_spectra.replace(flux_unit="1e-17 erg / (s cm2 AA)")
    table = to_table(spectra)
    assert table["flux"].unit == u.Unit("1e-17 erg / (s cm2 AA)")
    back = from_table(table)
    same(back, spectra)
    assert np.array_equal(back.ids, spectra.ids)


@pytest.mark.parametrize("kind", [StdDevUncertainty, VarianceUncertainty, InverseVariance])
def test_any_uncertainty_becomes_inverse_variance(kind):
    sigma = np.array([0.1, 0.2, 0.5, 1.0])
    uncertainty = StdDevUncertainty(sigma * u.mJy).represent_as(kind)
    spectrum = Spectrum(
        flux=np.ones(4) * u.mJy,
        spectral_axis=[500.0, 501, 502, 503] * u.nm,
        uncertainty=uncertainty,
    )
    spectra = from_specutils(spectrum, medium="air", frame="rest")
    assert np.allclose(spectra.error, sigma)
    assert np.allclose(spectra.grid.wavelength, [5000.0, 5010, 5020, 5030])


def test_falling_axes_are_turned_round():
    axis = np.linspace(2e14, 1.8e14, 5) * u.Hz
    ordered = Spectrum(flux=np.arange(5.0) * u.Jy, spectral_axis=axis[::-1])
    spectra = from_specutils(ordered, medium="vacuum", frame="rest")
    assert np.array_equal(spectra.flux[0], np.arange(5.0)[::-1])


def test_errors_of_zero_are_masked_but_absent_errors_are_unknown():
    axis = [5000.0, 5001, 5002] * u.AA
    sigma = StdDevUncertainty([0.1, 0.0, -0.1])
    bare = Spectrum(flux=np.ones(3) * u.Jy, spectral_axis=axis)
    given = Spectrum(flux=np.ones(3) * u.Jy, spectral_axis=axis, uncertainty=sigma)
    assert not from_specutils(bare, medium="air", frame="rest").mask.any()
    assert from_specutils(given, medium="air", frame="rest").mask.tolist() == [[False, True, True]]


def test_medium_and_frame_are_never_guessed():
    bare = Spectrum(flux=np.ones(3) * u.Jy, spectral_axis=[5000.0, 5001, 5002] * u.AA)
    with pytest.raises(FrameError, match="Say what"):
        from_specutils(bare)


def test_tables_of_something_else_are_refused(toy_spectra):
    table = to_table(toy_spectra)
    table.remove_column("ivar")
    with pytest.raises(GridError, match="ivar"):
        from_table(table)
