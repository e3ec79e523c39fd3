import numpy as np
import pytest

from starnet.inference._emission import Over, emission, near_lines
from starnet.spectra import WavelengthGrid
from starnet.synthesis.observe import BadPixels

OPTICAL = WavelengthGrid.log10(3.58, 1e-4, 3720, "vacuum")
INFRARED = WavelengthGrid.log10(4.18, 6e-6, 8000, "vacuum")


def velocity(grid, line):
    return 299792.458 * np.log(grid.wavelength / line)


def star(grid, n, snr, seed=0):
    """Flat spectra with absorption at the first two Balmer lines, and their model."""
    model = np.ones((n, grid.n_pixels))
    for line in (6564.6, 4862.7):
        model -= 0.3 * np.exp(-0.5 * (velocity(grid, line) / 200) ** 2)
    noise = np.full(model.shape, snr**-2.0)
    flux = model + np.random.default_rng(seed).standard_normal(model.shape) / snr
    return Over(flux, model, noise, np.ones(model.shape, dtype=bool))


def with_added(spectra, extra):
    return Over(spectra.flux + extra, spectra.model, spectra.noise, spectra.good)


def test_good_stars_and_runs_of_bad_pixels_have_none():
    spectra = star(OPTICAL, 400, 50.0)
    assert not emission(spectra, OPTICAL).any()
    bad = BadPixels(fraction=(0.0, 0.1), flagged=0.98)
    rng = np.random.default_rng(1)
    extra = np.zeros(spectra.flux.shape)
    for row in extra:
        offset, mask, _ = bad.draw(rng, OPTICAL)
        row += np.where(mask, 0.0, offset)
    assert np.mean(emission(with_added(spectra, extra), OPTICAL) > 0) <= 0.01


@pytest.mark.parametrize("peak", [0.03, 0.05, 0.10])
@pytest.mark.parametrize("lines", [(6564.6,), (6564.6, 4862.7)])
def test_weak_balmer_emission_is_seen(peak, lines):
    spectra = star(OPTICAL, 40, 150.0)
    extra = np.zeros(OPTICAL.n_pixels)
    for line in lines:
        extra += (0.3 + peak) * np.exp(-0.5 * (velocity(OPTICAL, line) / 200) ** 2)
    height = emission(with_added(spectra, extra), OPTICAL)
    assert np.mean(height > 0) > 0.95
    assert np.median(height) == pytest.approx(peak, rel=0.3)


def test_a_slow_wave_is_no_line():
    spectra = star(OPTICAL, 40, 150.0)
    wave = 0.05 * np.cos(velocity(OPTICAL, 6564.6) / 5000)
    assert not emission(with_added(spectra, wave), OPTICAL).any()


def test_broad_emission_is_seen_anywhere_and_narrow_only_at_known_lines():
    for grid, anywhere, known in ((OPTICAL, 5200.0, 5008.2), (INFRARED, 15500.0, 15346.0)):
        spectra = star(grid, 4, 100.0)
        where = near_lines(grid)
        assert 0.005 < where.mean() < 0.3
        assert where[np.argmin(np.abs(grid.wavelength - known))]
        broad = 0.3 * np.exp(-0.5 * (velocity(grid, anywhere) / 2000) ** 2)
        assert (emission(with_added(spectra, broad), grid) > 0.2).all()
    spectra = star(OPTICAL, 4, 100.0)
    for line, found in ((5200.0, False), (5008.2, True)):
        narrow = 0.8 * np.exp(-0.5 * (velocity(OPTICAL, line) / 250) ** 2)
        assert np.all((emission(with_added(spectra, narrow), OPTICAL) > 0) == found)


def test_air_grids_and_masked_lines():
    air = WavelengthGrid.log10(3.58, 1e-4, 3720, "air")
    assert near_lines(air)[np.argmin(np.abs(air.wavelength - 6562.8))]
    spectra = star(OPTICAL, 4, 100.0)
    near = np.abs(velocity(OPTICAL, 6564.6)) < 300
    good = spectra.good & ~near
    lit = Over(spectra.flux + 1.0 * near, spectra.model, spectra.noise, good)
    assert not emission(lit, OPTICAL).any()
