import json

import astropy.units as u
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from starnet.errors import FrameError, GridError
from starnet.spectra import LineSpread, WavelengthGrid, doppler_factor


@pytest.mark.parametrize(
    ("grid", "sampling"),
    [
        (WavelengthGrid.linear(3540.5, 0.9, 4300, "air"), "linear"),
        (WavelengthGrid.log10(4.179, 6e-6, 8575, "vacuum"), "log"),
        (WavelengthGrid(np.array([4000.0, 4001.0, 4003.0, 4004.0]), "air"), "arbitrary"),
    ],
)
def test_sampling_is_recognised(grid, sampling):
    assert grid.sampling == sampling


@pytest.mark.parametrize("unit", [u.nm, u.micron, u.GHz, u.eV, 1 / u.cm])
def test_every_unit_comes_to_angstrom(unit):
    wave = np.linspace(4000.0, 9000.0, 50)
    axis = (wave * u.AA).to(unit, equivalencies=u.spectral())
    assert np.allclose(WavelengthGrid.from_quantity(axis, "air").wavelength, wave, rtol=1e-12)


def test_nanometres_taken_for_angstrom_are_refused_far_from_the_optical():
    with pytest.raises(GridError, match="from_quantity"):
        WavelengthGrid(np.linspace(15.1, 17.0, 100), "vacuum")


@pytest.mark.parametrize(
    ("wave", "message"),
    [
        ([5000.0], "at least 2"),
        ([5000.0, np.nan, 5002.0], "finite"),
        ([5002.0, 5001.0, 5000.0], "increase"),
        ([5000.0, 5001.0, 5001.0], "pixel 2"),
    ],
)
def test_wrong_wavelengths_are_refused(wave, message):
    with pytest.raises(GridError, match=message):
        WavelengthGrid(np.array(wave), "air")


def test_the_medium_is_never_guessed():
    with pytest.raises(FrameError, match="vacuum"):
        WavelengthGrid(np.arange(4000.0, 4010.0), "")  # type: ignore[arg-type]


def test_air_and_vacuum_never_match(apstar_grid):
    air = apstar_grid.to_air()
    assert not apstar_grid.matches(air)
    assert apstar_grid.matches(air.to_vacuum())


def test_matching_tolerates_a_tenth_of_a_pixel_and_no_more():
    grid = WavelengthGrid.linear(5000.0, 1.0, 100, "air")
    assert grid.matches(WavelengthGrid.linear(5000.05, 1.0, 100, "air"))
    assert not grid.matches(WavelengthGrid.linear(5000.2, 1.0, 100, "air"))


@given(st.floats(2500.0, 25000.0))
def test_air_and_vacuum_are_inverses(start):
    grid = WavelengthGrid.linear(start, 0.5, 20, "vacuum")
    back = grid.to_air().to_vacuum()
    assert np.max(np.abs(back.wavelength - grid.wavelength)) < 1e-8


def test_air_agrees_with_specutils(apstar_grid):
    from specutils.utils.wcs_utils import vac_to_air

    theirs = vac_to_air(apstar_grid.quantity, method="Ciddor1996").to_value(u.AA)
    assert np.allclose(apstar_grid.to_air().wavelength, theirs, rtol=0, atol=1e-8)


@given(st.floats(-800.0, 800.0))
def test_doppler_there_and_back(velocity):
    grid = WavelengthGrid.linear(5000.0, 1.0, 10, "vacuum")
    back = grid.shifted(velocity).shifted(-velocity)
    assert np.allclose(back.wavelength, grid.wavelength, rtol=1e-12)
    assert doppler_factor(velocity) == pytest.approx(1 + velocity / 299792.458, abs=1e-5)


def test_selection_keeps_chips_and_line_spread(apstar_grid):
    chips = apstar_grid.chips
    pixels = np.concatenate([np.arange(a, b) for a, b in chips])
    lsf = LineSpread(fwhm=np.linspace(0.6, 0.8, apstar_grid.n_pixels))
    grid = WavelengthGrid(apstar_grid.wavelength, "vacuum", chips, lsf).select(pixels)
    assert grid.chips == ((0, 2920), (2920, 5320), (5320, 7214))
    assert np.array_equal(grid.lsf.fwhm_at(grid.wavelength), lsf.fwhm[pixels])


def test_pixels_between_chips_do_not_join_them(apstar_grid):
    grid = apstar_grid.select(slice(300, 8400))
    assert grid.chips == ((22, 2942), (3348, 5748), (6112, 8006))


@pytest.mark.parametrize("chips", [((0, 5), (4, 9)), ((5, 5),), ((0, 11),), ((3, 6), (0, 2))])
def test_chips_that_overlap_or_run_out_are_refused(chips):
    with pytest.raises(GridError, match="Chips"):
        WavelengthGrid.linear(5000.0, 1.0, 10, "air", chips=chips)


@pytest.mark.parametrize("lsf", [None, LineSpread(resolution=22500.0), LineSpread(fwhm=2.5)])
def test_json_round_trip(apstar_grid, lsf):
    grid = WavelengthGrid(apstar_grid.wavelength, "vacuum", apstar_grid.chips, lsf)
    back = WavelengthGrid.from_dict(json.loads(json.dumps(grid.to_dict())))
    assert np.max(np.abs(back.wavelength - grid.wavelength)) < 1e-6
    assert back.chips == grid.chips
    assert back.lsf is None if lsf is None else lsf.matches(back.lsf)


@pytest.mark.parametrize(
    "wrong", [{}, {"resolution": 1e4, "fwhm": 1.0}, {"fwhm": -1.0}, {"resolution": np.nan}]
)
def test_wrong_line_spreads_are_refused(wrong):
    with pytest.raises(GridError):
        LineSpread(**wrong)


@pytest.mark.parametrize(
    ("grid", "key"),
    [
        (WavelengthGrid.linear(3540.5, 0.9, 4300, "air"), "linear"),
        (WavelengthGrid.log10(4.179, 6e-6, 8575, "vacuum"), "log10"),
        (WavelengthGrid(np.array([4000.0, 4001.0, 4003.0]), "air"), "wavelength"),
    ],
)
def test_even_grids_are_written_in_three_numbers(grid, key):
    assert key in grid.to_dict()
    assert WavelengthGrid.from_dict(grid.to_dict()).matches(grid, tolerance=1e-5)


def test_a_description_without_wavelengths_is_refused():
    with pytest.raises(GridError, match="linear or log10"):
        WavelengthGrid.from_dict({"medium": "air"})
