"""Rotation and macroturbulence against analytic profiles and integration over the disc."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starnet.errors import ConfigError, DataError, GridError
from starnet.spectra import Spectra, WavelengthGrid
from starnet.synthesis.observe import broaden, broaden_spectra
from starnet.synthesis.observe.broadening import (
    LIGHT,
    gaussian_cdf,
    radial_tangential_cdf,
    rotation_cdf,
    velocity_kernel,
)

STEP = 1.0  # km/s
GRID = WavelengthGrid.log10(4.2, np.log10(np.e) * STEP / LIGHT, 801, "vacuum")
VELOCITY = (np.arange(801) - 400) * STEP


@pytest.fixture
def line():
    """A line in one pixel, in the middle."""
    flux = np.ones((1, 801))
    flux[0, 400] = 0.0
    return flux


def gray_rotation(v: np.ndarray, vsini: float, eps: float) -> np.ndarray:
    """Gray 2005, eq. 18.14, as it stands there; 0 beyond the limb."""
    y = np.clip(1 - (v / vsini) ** 2, 0, None)
    top = 2 * (1 - eps) * np.sqrt(y) + 0.5 * np.pi * eps * y
    return top / (np.pi * vsini * (1 - eps / 3))


def gray_macro(v: np.ndarray, zeta: float) -> np.ndarray:
    """Gray 2005, ch. 17: both streams of equal area; the integral over the disc by quadrature.

    A patch at angle theta has a radial stream of dispersion zeta cos(theta) and a tangential one
    of zeta sin(theta); the weight of an annulus is 2 sin cos dtheta.
    """
    theta = (np.arange(2000) + 0.5) * 0.5 * np.pi / 2000
    total = np.zeros_like(v)
    for part in (np.cos(theta), np.sin(theta)):
        wide = zeta * part
        profile = np.exp(-((v[:, None] / wide) ** 2)) / (np.sqrt(np.pi) * wide)
        total += 0.5 * (profile * 2 * np.sin(theta) * np.cos(theta)).sum(axis=1) * 0.5 * np.pi / 2e3
    return total


@pytest.mark.parametrize(("vsini", "eps"), [(2.3, 0.6), (25.0, 0.0), (80.0, 1.0)])
def test_a_delta_line_comes_out_as_the_pixel_mean_of_grays_rotation_profile(line, vsini, eps):
    out = 1 - broaden(line, GRID, vsini=vsini, limb_darkening=eps)[0]
    fine = (np.arange(-200 * 500, 201 * 500) + 0.5) / 500 - 0.5  # 500 points to a pixel
    mean = gray_rotation(fine, vsini, eps).reshape(-1, 500).mean(axis=1)
    np.testing.assert_allclose(out[200:601], mean[:401], atol=2e-5)


def test_rotation_equals_the_sum_over_a_limb_darkened_disc():
    eps, n = 0.6, 1500
    x = (np.arange(n) + 0.5) * 2 / n - 1
    inside = np.clip(1 - x[:, None] ** 2 - x**2, 0, None)
    bright = np.where(inside > 0, 1 - eps + eps * np.sqrt(inside), 0).sum(axis=1)  # over columns
    below = np.cumsum(bright) / bright.sum()
    np.testing.assert_allclose(rotation_cdf(x + 1 / n, eps), below, atol=3e-4)


def test_macroturbulence_equals_the_sum_over_the_disc(line):
    zeta = 12.0
    out = 1 - broaden(line, GRID, vmac=zeta)[0]
    fine = ((np.arange(-70 * 10, 71 * 10) + 0.5) / 10 - 0.5) * STEP  # 10 points to a pixel
    mean = gray_macro(fine, zeta).reshape(-1, 10).mean(axis=1)
    np.testing.assert_allclose(out[330:471], mean, atol=2e-6)


def test_gaussian_macroturbulence_has_its_width(line):
    out = 1 - broaden(line, GRID, vmac=10.0, macroturbulence="gaussian")[0]
    sigma = np.sqrt(np.sum(out * VELOCITY**2))
    assert sigma == pytest.approx(np.hypot(10 / np.sqrt(2), STEP / np.sqrt(12)), rel=1e-5)


@pytest.mark.parametrize("cdf", [rotation_cdf, radial_tangential_cdf, gaussian_cdf])
def test_distributions_rise_from_0_to_1_about_their_middle(cdf):
    x = np.linspace(-6, 6, 2001)
    values = cdf(x)
    assert np.all(np.diff(values) >= -1e-12)
    np.testing.assert_allclose([values[0], cdf(0.0), values[-1]], [0, 0.5, 1], atol=1e-12)
    np.testing.assert_allclose(values + values[::-1], 1, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.floats(0.01, 400), st.floats(0.01, 60), st.floats(0, 1))
def test_equivalent_widths_stay_for_any_velocities(vsini, vmac, eps):
    flux = np.ones((1, 2501))
    flux[0, 1240:1260] = 0.4
    grid = WavelengthGrid.log10(4.2, np.log10(np.e) * STEP / LIGHT, 2501, "vacuum")
    out = broaden(flux, grid, vsini=vsini, vmac=vmac, limb_darkening=eps)
    assert np.sum(1 - out) == pytest.approx(12.0, rel=1e-8)
    assert out.min() >= 0.4 - 1e-12


def test_each_star_has_its_own_velocities_whatever_its_neighbours(rng):
    flux = 1 - 0.5 * rng.random((4, 801))
    vsini, vmac = np.array([0.0, 5, 60, 0]), np.array([0.0, 0, 8, 3])
    together = broaden(flux, GRID, vsini=vsini, vmac=vmac)
    for i in range(4):
        alone = broaden(flux[i], GRID, vsini=vsini[i], vmac=vmac[i])
        np.testing.assert_array_equal(alone[0], together[i])
    np.testing.assert_array_equal(together[0], flux[0])


def test_nothing_crosses_from_chip_to_chip(line):
    grid = WavelengthGrid(GRID.wavelength, "vacuum", chips=((0, 401), (401, 801)))
    out = broaden(line, grid, vsini=30.0)
    np.testing.assert_allclose(out[0, 401:], 1.0, rtol=1e-14)


def test_spectra_record_what_was_done(line):
    out = broaden_spectra(Spectra(GRID, line), vsini=[20.0], vmac=3.0)
    assert out.meta["vsini"][0] == 20.0
    assert out.meta["vmac"][0] == 3.0
    assert 0.9 < out.flux.min() < 1


def test_a_width_of_nothing_is_one_weight():
    np.testing.assert_array_equal(velocity_kernel(gaussian_cdf, 0.0, 1.0), [1.0])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"vsini": -1.0}, "vsini must be finite, from 0"),
        ({"vsini": np.nan}, "vsini must be finite"),
        ({"vmac": [1.0, 2.0]}, "one for each of 1"),
        ({"vmac": 4000.0}, "below 3000"),
        ({"limb_darkening": 1.5}, "limb_darkening must be from 0 to 1"),
        ({"macroturbulence": "isotropic"}, "radial-tangential"),
    ],
)
def test_bad_velocities_are_refused(line, options, says):
    with pytest.raises(ConfigError, match=says):
        broaden(line, GRID, **options)


def test_bad_flux_and_grids_are_refused(line):
    with pytest.raises(GridError, match="even in the logarithm"):
        broaden(np.ones((1, 900)), WavelengthGrid.linear(4000, 3.0, 900, "air"), vsini=10)
    with pytest.raises(DataError, match="shape"):
        broaden(np.ones((1, 5)), GRID, vsini=10)
    line[0, 3] = np.nan
    with pytest.raises(DataError, match="row 0"):
        broaden(line, GRID, vsini=10)
    with pytest.raises(DataError, match="finite and unmasked"):
        broaden_spectra(Spectra(GRID, line), vsini=10)
