import astropy.units as u
import numpy as np
import pytest
from astropy.table import Table
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from starnet.errors import DataError, FrameError, GridError
from starnet.spectra import Spectra, WavelengthGrid, concatenate

GRID = WavelengthGrid.linear(5000.0, 1.0, 8, "air")
ANY = st.floats(allow_nan=True, allow_infinity=True, width=32)


@example(np.full((3, 8), 1e-9, np.float32), np.full((3, 8), -1e-40, np.float32))
@given(arrays(np.float32, (3, 8), elements=ANY), arrays(np.float32, (3, 8), elements=ANY))
def test_the_three_rules_hold_for_any_input(flux, ivar):
    spectra = Spectra(GRID, flux, ivar)
    bad = ~np.isfinite(flux) | ~np.isfinite(ivar) | (ivar < 0)
    assert np.array_equal(spectra.mask, bad)
    assert np.all(spectra.ivar[spectra.mask] == 0)
    assert np.all(np.isfinite(spectra.flux))
    assert np.all(spectra.ivar >= 0)


@given(arrays(np.float64, (2, 8), elements=st.floats(-1.0, 10.0)))
def test_errors_that_are_not_positive_are_masked(error):
    spectra = Spectra.from_error(GRID, np.ones((2, 8)), error)
    known = error > 1e-15
    assert np.all(spectra.mask[error <= 0])
    assert np.allclose(spectra.error[known], error[known], rtol=1e-5)


def test_the_error_floor_is_a_fraction_of_the_flux():
    spectra = Spectra.from_error(
        GRID, np.full((1, 8), 200.0), np.full((1, 8), 0.1), error_floor=0.005
    )
    assert np.allclose(spectra.error, 1.0)
    assert spectra.snr == pytest.approx(200.0)


def test_unknown_errors_are_neither_masked_nor_good():
    spectra = Spectra(GRID, np.ones((1, 8)))
    assert not spectra.mask.any()
    assert np.isnan(spectra.error).all()
    assert np.isnan(spectra.snr).all()


def test_nothing_can_be_changed_in_place(toy_spectra):
    with pytest.raises(ValueError, match="read-only"):
        toy_spectra.flux[0, 0] = 2.0


@pytest.mark.parametrize("rows", [0, slice(1, 3), [4, 0], np.array([True, False] * 3)])
def test_rows_take_everything_along(toy_spectra, rows):
    some = toy_spectra[rows]
    index = np.atleast_1d(np.arange(6)[rows])
    assert np.array_equal(some.ids, toy_spectra.ids[index])
    assert np.array_equal(some.mask, toy_spectra.mask[index])
    assert np.array_equal(some.ivar, toy_spectra.ivar[index])


def test_concatenation_keeps_rows_and_metadata(toy_spectra):
    both = concatenate([toy_spectra[:2], toy_spectra[2:]])
    assert np.array_equal(both.flux, toy_spectra.flux)
    assert np.array_equal(both.stars, toy_spectra.stars)


def test_concatenation_refuses_what_does_not_fit(toy_spectra):
    with pytest.raises(GridError, match="at least one"):
        concatenate([])
    with pytest.raises(GridError, match="Resample"):
        concatenate([toy_spectra, toy_spectra.select_pixels(slice(0, 50))])
    with pytest.raises(FrameError, match="frame"):
        concatenate([toy_spectra, toy_spectra.replace(frame="observed")])


def test_wrong_shapes_and_frames_are_refused():
    with pytest.raises(DataError, match="flux must have shape"):
        Spectra(GRID, np.ones((2, 9)))
    with pytest.raises(DataError, match="ivar"):
        Spectra(GRID, np.ones((2, 8)), np.ones((1, 8)))
    with pytest.raises(DataError, match="row for each"):
        Spectra(GRID, np.ones((2, 8)), meta=Table({"id": ["a"]}))
    with pytest.raises(FrameError, match="rest"):
        Spectra(GRID, np.ones((2, 8)), frame="topocentric")  # type: ignore[arg-type]


def test_require_names_the_remedy(toy_spectra):
    assert toy_spectra.require(frame="rest", medium="vacuum") is toy_spectra
    with pytest.raises(FrameError, match="ToRest"):
        toy_spectra.replace(frame="observed").require(frame="rest")
    with pytest.raises(FrameError, match=r"grid\.to"):
        toy_spectra.require(medium="air")


@pytest.mark.parametrize("size", [1e-14, 1e-17, 1e-19])
def test_fluxes_in_cgs_units_keep_their_errors(size):
    unit = u.Unit("erg / (s cm2 AA)")
    flux = size * np.linspace(1.0, 2.0, 8)[None]
    spectra = Spectra.from_error(GRID, flux, 0.001 * flux, flux_unit=unit)
    assert not spectra.mask.any()
    assert spectra.snr == pytest.approx(1000.0, rel=1e-4)
    back = (spectra.flux * spectra.flux_unit).to_value(unit)
    assert np.allclose(back, flux, rtol=1e-5)
    given = Spectra(GRID, flux, (0.001 * flux) ** -2.0, flux_unit=unit)
    assert np.allclose(given.ivar, spectra.ivar, rtol=1e-5)
    assert concatenate([spectra, given]).flux_unit == spectra.flux_unit
