"""Doppler shifts: lines land where they should, there and back is where one was."""

import astropy.units as u
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starnet.errors import DataError
from starnet.preprocess import DopplerShift, ToRest
from starnet.spectra import Spectra, WavelengthGrid

LINE = 5500.0
GRIDS = {
    "log": WavelengthGrid.log10(np.log10(5400), 2e-5, 800, "vacuum"),
    "linear": WavelengthGrid.linear(5400, 0.25, 800, "vacuum"),
    "uneven": WavelengthGrid(5400 + 200 * np.linspace(0, 1, 800) ** 1.2, "vacuum"),
}
each_grid = pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
velocities = st.floats(-800, 800).filter(lambda v: abs(v) > 1e-3)


def with_line(grid: WavelengthGrid, velocity: float | np.ndarray = 0.0) -> Spectra:
    """A Gaussian line (sigma 1.2 A) at rest wavelength LINE, moved by astropy's Doppler formula."""
    v = np.atleast_1d(velocity) * u.km / u.s
    at = v.to_value(u.AA, u.doppler_relativistic(LINE * u.AA))
    sigma = 1.2 * at / LINE
    flux = 1 - 0.7 * np.exp(-0.5 * ((grid.wavelength - at[:, None]) / sigma[:, None]) ** 2)
    return Spectra(grid, flux, np.full(flux.shape, 100.0))


@each_grid
@pytest.mark.parametrize("velocity", [-250.0, -3.1, 0.4, 77.0])
def test_lines_land_where_they_should(grid, velocity):
    out = DopplerShift(velocity)(with_line(grid))
    expected = with_line(grid, velocity)
    assert np.mean(out.mask) < 0.03
    np.testing.assert_allclose(out.flux[~out.mask], expected.flux[~out.mask], atol=2e-3)


@each_grid
@settings(max_examples=25, deadline=None)
@given(velocity=velocities)
def test_there_and_back(grid, velocity):
    spectra = with_line(grid)
    back = DopplerShift(-velocity)(DopplerShift(velocity)(spectra))
    good = ~back.mask[0]
    assert good.mean() > 0.85
    np.testing.assert_allclose(back.flux[0][good], spectra.flux[0][good], atol=4e-3)


@each_grid
def test_rows_go_to_rest_each_by_its_own_velocity(grid):
    velocity = np.array([-300.0, -12.3, 0.0, 5.6, 210.0])
    spectra = with_line(grid, velocity).replace(frame="observed")
    spectra.meta["rv"] = velocity
    out = ToRest()(spectra)
    assert out.frame == "rest"
    expected = np.broadcast_to(with_line(grid).flux, out.flux.shape)
    np.testing.assert_allclose(out.flux[~out.mask], expected[~out.mask], atol=2e-3)
    np.testing.assert_array_equal(out.flux[2], spectra.flux[2])
    assert not out.mask[2].any()


def test_rows_without_a_velocity_are_masked_and_the_others_are_not():
    spectra = with_line(GRIDS["log"], np.zeros(4)).replace(frame="observed")
    spectra.meta["rv"] = np.ma.masked_array([np.nan, 3.0, 5.0, 4e5], [False, False, True, False])
    out = ToRest()(spectra)
    assert out.mask.all(axis=1).tolist() == [True, False, True, True]


def test_without_velocities_there_is_an_error_and_at_rest_none_is_needed():
    spectra = with_line(GRIDS["log"])
    assert ToRest()(spectra) is spectra
    with pytest.raises(DataError, match="NaN where unknown"):
        ToRest()(spectra.replace(frame="observed"))


@each_grid
@pytest.mark.parametrize("kind", ["linear", "cubic"])
def test_shift_by_whole_and_half_pixels_carries_variance(grid, kind):
    rng = np.random.default_rng(0)
    ivar = rng.uniform(1, 2, (1, 800))
    spectra = Spectra(grid, np.ones((1, 800)), ivar)
    wave = grid.wavelength
    ratio = wave[401] / wave[400]
    velocity = 299792.458 * (ratio**2 - 1) / (ratio**2 + 1)
    out = DopplerShift(velocity, kind=kind)(spectra)
    assert out.ivar[0, 401] == pytest.approx(ivar[0, 400], rel=2e-2)
    ratio = (0.5 * (wave[400] + wave[401])) / wave[400]
    velocity = 299792.458 * (ratio**2 - 1) / (ratio**2 + 1)
    out = DopplerShift(velocity, kind=kind)(spectra)
    weights = {"linear": [0.5, 0.5], "cubic": [-1 / 16, 9 / 16, 9 / 16, -1 / 16]}[kind]
    pixels = [399, 400] if kind == "linear" else [398, 399, 400, 401]
    expected = 1 / np.sum(np.square(weights) / ivar[0, pixels])
    assert out.ivar[0, 400] == pytest.approx(expected, rel=2e-2)


def test_linear_conserves_flux():
    spectra = with_line(GRIDS["log"])
    out = DopplerShift(5.3, kind="linear")(spectra)
    width = np.diff(GRIDS["log"].edges)
    before = ((1 - spectra.flux) * width).sum()
    assert ((1 - out.flux) * width)[~out.mask].sum() == pytest.approx(before, rel=1e-4)


def test_masked_pixels_move_with_the_lines():
    grid = GRIDS["log"]
    mask = np.zeros((1, 800), bool)
    mask[0, 400:403] = True
    spectra = with_line(grid).replace(mask=mask)
    step = 299792.458 * np.log(10) * 2e-5
    out = DopplerShift(10.5 * step)(spectra)  # ten and a half pixels to the red
    assert np.flatnonzero(out.mask[0]).tolist() == [*range(11), 410, 411, 412, 413]
    assert np.flatnonzero(DopplerShift(-2000.0)(spectra).mask[0])[-1] == 799


def test_a_shift_beyond_the_grid_masks_everything():
    for grid in GRIDS.values():
        assert DopplerShift(90000.0)(with_line(grid)).mask.all()
        assert DopplerShift(-90000.0)(with_line(grid)).mask.all()
