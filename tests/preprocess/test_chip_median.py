"""The 2018 normalisation, against the paper's steps written out."""

import numpy as np
import pytest

from starnet.errors import GridError
from starnet.preprocess import ChipMedian, Pipeline, Standard2018
from starnet.preprocess.chip_median import APSTAR_CHIPS
from starnet.spectra import Spectra


def as_in_2018(flux: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """NaN to 0, then each chip and its errors over the median of the chip (one spectrum)."""
    flux = np.where(np.isnan(flux), 0, flux)
    chips = [(flux[a:b], error[a:b], np.median(flux[a:b])) for a, b in APSTAR_CHIPS]
    return np.concatenate([f / m for f, _, m in chips]), np.concatenate(
        [e / abs(m) for _, e, m in chips]
    )


@pytest.fixture
def apstar_like(apstar_grid, rng) -> tuple[np.ndarray, np.ndarray, Spectra]:
    flux = rng.uniform(200, 400, (5, 8575))
    flux[:, 3648:6048] *= 1.7
    flux[rng.random(flux.shape) < 0.03] = np.nan
    error = rng.uniform(1, 5, flux.shape)
    return flux, error, Spectra.from_error(apstar_grid, flux, error)


def test_standard_2018_is_that_of_the_paper(apstar_like):
    flux, error, spectra = apstar_like
    out = Standard2018()(spectra)
    assert out.n_pixels == 7214
    assert out.grid.chips == ((0, 2920), (2920, 5320), (5320, 7214))
    for row in range(5):
        expected, expected_error = as_in_2018(flux[row], error[row])
        np.testing.assert_allclose(out.flux[row], expected, rtol=2e-6)
        good = ~out.mask[row]
        np.testing.assert_allclose(out.error[row][good], expected_error[good], rtol=1e-5)
    assert np.all(out.flux[out.mask] == 0)
    assert Pipeline.from_dict(Standard2018().to_dict()) == Standard2018()


def test_standard_2018_needs_the_apstar_grid(apstar_like):
    with pytest.raises(GridError, match=r"grid of 8575 pixels.*Resample"):
        Standard2018()(apstar_like[2].select_pixels(slice(0, 8400)))


def test_masked_pixels_stay_out_of_the_median(apstar_like):
    flux, _, spectra = apstar_like
    out = ChipMedian()(spectra)
    for a, b in APSTAR_CHIPS:
        expected = flux[:, a:b] / np.nanmedian(flux[:, a:b], axis=1, keepdims=True)
        good = ~out.mask[:, a:b]
        np.testing.assert_allclose(out.flux[:, a:b][good], expected[good], rtol=2e-6)
    assert out.mask[:, :322].all()
    assert out.flux_unit.is_equivalent("")


@pytest.mark.parametrize("level", [0.0, -3.0])
def test_a_chip_without_light_is_masked(apstar_grid, level):
    flux = np.full((1, 8575), 5.0)
    flux[0, 3648:6048] = level
    out = ChipMedian()(Spectra(apstar_grid, flux))
    assert out.mask[0, 3648:6048].all()
    assert not out.mask[0, 322:3242].any()


@pytest.mark.parametrize("scale", [1e-17, 1e17])
def test_units_far_from_one_do_no_harm(apstar_like, scale):
    spectra = apstar_like[2]
    scaled = spectra.replace(flux=spectra.flux * scale, ivar=spectra.ivar / scale**2)
    first, second = ChipMedian()(spectra), ChipMedian()(scaled)
    np.testing.assert_allclose(second.flux, first.flux, rtol=1e-5)
    np.testing.assert_allclose(second.ivar, first.ivar, rtol=1e-4)
