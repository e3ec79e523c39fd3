"""Selecting, masking and filling pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from starnet.errors import GridError
from starnet.preprocess import ClipFlux, FillMasked, InterpolateMasked, MaskPixels, SelectPixels
from starnet.preprocess._rows import fill_linear, masked_quantile
from starnet.spectra import Spectra, WavelengthGrid, air_to_vacuum

GRID = WavelengthGrid.linear(6000.0, 1.0, 100, "air", chips=((0, 40), (50, 100)))


def ramp(mask: np.ndarray | None = None) -> Spectra:
    mask = np.zeros((2, 100), bool) if mask is None else mask
    return Spectra(GRID, np.tile(np.arange(100.0), (2, 1)), np.ones((2, 100)), mask)


def test_ranges_become_chips_and_chips_cut_ranges():
    out = SelectPixels(((10, 20), (30, 60)))(ramp())
    assert out.flux[0].tolist() == [*range(10, 20), *range(30, 60)]
    assert out.grid.chips == ((0, 10), (10, 20), (30, 40))
    lonely = SelectPixels(((41, 49), (60, 70)))(ramp())
    assert lonely.grid.chips == ((0, 8), (8, 18))


def test_wavelengths_select_in_their_own_medium():
    vacuum = GRID.to_vacuum()
    spectra = ramp().replace(grid=vacuum)
    out = SelectPixels((6009.5, 6020.5), unit="angstrom", medium="air")(spectra)
    assert out.flux[0].tolist() == list(range(10, 21))
    moved = SelectPixels((6009.5, 6020.5), unit="angstrom")(spectra)
    assert moved.flux[0].tolist() == list(range(8, 19))
    assert out.grid.wavelength[0] == pytest.approx(float(air_to_vacuum(6010.0)))


def test_ranges_that_do_not_fit_are_refused():
    with pytest.raises(GridError, match="the grid has only 100"):
        SelectPixels((50, 200))(ramp())
    with pytest.raises(GridError, match="No pixel of the grid"):
        SelectPixels((15000, 16000), unit="angstrom")(ramp())
    with pytest.raises(GridError, match="2 are needed at least"):
        SelectPixels((50, 51))(ramp())
    with pytest.raises(GridError, match="the grid has only 100"):
        MaskPixels((50, 200), unit="pixel").output_grid(GRID, "rest")


def test_masking_by_wavelength_and_by_pixel():
    out = MaskPixels(((5900.0, 6003.0), (6050.0, 6052.0), (7000.0, 7100.0)))(ramp())
    assert np.flatnonzero(out.mask[1]).tolist() == [0, 1, 2, 50, 51]
    assert np.all(out.ivar[out.mask] == 0)
    assert np.flatnonzero(MaskPixels((3, 5), unit="pixel")(ramp()).mask[0]).tolist() == [3, 4]
    assert not MaskPixels((7000.0, 7100.0))(ramp()).mask.any()


def test_clipping_masks_or_limits():
    masked = ClipFlux(5, 90)(ramp())
    assert np.flatnonzero(masked.mask[0]).tolist() == [*range(5), *range(91, 100)]
    limited = ClipFlux(high=90, action="clip")(ramp())
    assert limited.flux[0, 95] == 90
    assert not limited.mask.any()
    assert limited.ivar[0, 95] == 1


def test_interpolation_within_chips_and_nearest_at_their_ends():
    mask = np.zeros((2, 100), bool)
    mask[0, [0, 1, 10, 11, 38, 39, 50, 60]] = True
    mask[1, :40] = True
    spectra = ramp(mask)
    spectra = spectra.replace(flux=np.where(mask, -99, spectra.flux))
    out = InterpolateMasked()(spectra)
    assert out.flux[0, [0, 1, 10, 11, 38, 39, 50, 60]].tolist() == [2, 2, 10, 11, 37, 37, 51, 60]
    assert np.all(out.flux[1, :40] == -99)
    np.testing.assert_array_equal(out.mask, mask)
    np.testing.assert_array_equal(out.ivar, spectra.ivar)


@given(
    values=hnp.arrays(np.float32, (3, 17), elements=st.floats(-100, 100, width=32)),
    bad=hnp.arrays(bool, (3, 17)),
    step=hnp.arrays(float, 17, elements=st.floats(0.1, 5)),
)
def test_filling_is_that_of_numpy_interp(values, bad, step):
    x = np.cumsum(step)
    out = fill_linear(values, bad, x)
    for row in range(3):
        good = ~bad[row]
        if good.any():
            expected = np.interp(x, x[good], values[row][good])
            np.testing.assert_allclose(out[row], expected, atol=1e-3)
        else:
            np.testing.assert_array_equal(out[row], values[row])


@given(
    values=hnp.arrays(np.float32, (3, 12), elements=st.floats(-100, 100, width=32)),
    bad=hnp.arrays(bool, (3, 12)),
    quantile=st.floats(0, 1),
)
def test_quantile_is_that_of_numpy(values, bad, quantile):
    out = masked_quantile(values, bad, quantile)
    for row in range(3):
        good = values[row][~bad[row]].astype(float)
        if good.size:
            assert out[row] == pytest.approx(np.quantile(good, quantile), abs=1e-4)
        else:
            assert np.isnan(out[row])


def test_filling_with_a_value_and_with_medians():
    mask = np.zeros((2, 100), bool)
    mask[0, [5, 45, 70]] = True
    mask[1, 50:] = True
    spectra = ramp(mask)
    assert FillMasked(1.0)(spectra).flux[0, [5, 45, 70]].tolist() == [1, 1, 1]
    out = FillMasked("median")(spectra)
    good = np.setdiff1d(np.arange(100), [5, 45, 70])
    chip = np.setdiff1d(np.arange(50, 100), [70])
    expected = [np.median(good[good < 40]), np.median(good), np.median(chip)]
    assert out.flux[0, [5, 45, 70]].tolist() == expected
    assert np.all(out.flux[1, 50:] == np.median(np.arange(50)))  # no good pixel in that chip
    nothing = FillMasked("median")(ramp(np.ones((2, 100), bool)))
    assert not nothing.flux.any()
