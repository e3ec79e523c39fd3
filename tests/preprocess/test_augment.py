"""Augmentation: what is drawn has the distribution that is promised, and errors follow."""

from dataclasses import replace

import numpy as np
import pytest

from starnet.errors import DataError, GridError
from starnet.preprocess import (
    AddNoise,
    ContinuumShape,
    LineJitter,
    LSFJitter,
    MaskRandom,
    RVJitter,
)
from starnet.spectra import LineSpread, Spectra, WavelengthGrid

GRID = WavelengthGrid.log10(4.18, 6e-6, 600, "vacuum", lsf=LineSpread(resolution=22500.0))
FWHM = 2 * np.sqrt(2 * np.log(2))


def flat(n: int = 300, level: float = 2.0, ivar: float = 0.0, grid: WavelengthGrid = GRID):
    shape = n, grid.n_pixels
    return Spectra(grid, np.full(shape, level), np.full(shape, ivar))


def test_noise_to_a_signal_to_noise_ratio(rng):
    out = AddNoise(snr=40)(flat(), rng)
    assert out.flux.std() == pytest.approx(2.0 / 40, rel=0.01)
    assert not out.ivar.any()
    low, high = 5.0, 500.0
    drawn = 2.0 / AddNoise(snr=(low, high))(flat(), rng).flux.std(axis=1)
    assert low * 0.8 < drawn.min() < 8
    assert 300 < drawn.max() < high * 1.2
    assert np.median(drawn) == pytest.approx(np.sqrt(low * high), rel=0.35)


def test_noise_that_is_there_already_is_not_added_again(rng):
    spectra = flat(ivar=1 / 0.03**2)
    out = AddNoise(snr=40)(spectra, rng)
    assert out.flux.std() == pytest.approx(0.04, rel=0.01)  # 0.05**2 - 0.03**2
    np.testing.assert_allclose(out.ivar, 1 / 0.05**2, rtol=1e-4)
    unchanged = AddNoise(snr=100)(spectra, rng)
    np.testing.assert_array_equal(unchanged.flux, spectra.flux)
    np.testing.assert_allclose(unchanged.ivar, spectra.ivar, rtol=1e-5)


def test_noise_by_the_errors(rng):
    spectra = flat(ivar=25.0)
    out = AddNoise(from_ivar=True)(spectra, rng)
    assert out.flux.std() == pytest.approx(0.2, rel=0.01)
    np.testing.assert_allclose(out.ivar, 12.5, rtol=1e-5)
    with pytest.raises(DataError, match=r"snr=\(low, high\)"):
        AddNoise(from_ivar=True)(flat(), rng)


def test_continuum_shape_is_smooth_and_as_large_as_promised(rng):
    out = ContinuumShape(0.05, 3)(flat(n=4000, level=1.0, ivar=9.0), rng)
    assert np.log(out.flux).std() == pytest.approx(0.05, rel=0.05)
    np.testing.assert_allclose(out.flux**2 * out.ivar, 9.0, rtol=1e-4)
    fit = np.polynomial.legendre.legfit(np.linspace(-1, 1, 600), np.log(out.flux[:5]).T, 3)
    smooth = np.polynomial.legendre.legval(np.linspace(-1, 1, 600), fit)
    np.testing.assert_allclose(np.log(out.flux[:5]), smooth, atol=1e-5)


@pytest.mark.parametrize("kind", ["linear", "cubic"])
def test_radial_velocities_scatter_as_promised(rng, kind):
    wave = GRID.wavelength
    flux = np.exp(-0.5 * ((wave - wave[300]) / 0.5) ** 2)
    spectra = Spectra(GRID, np.tile(flux, (2000, 1)))
    out = RVJitter(5.0, kind)(spectra, rng)
    good = np.where(out.mask, 0, out.flux).astype(float)
    centre = (good * wave).sum(axis=1) / good.sum(axis=1)
    velocity = 299792.458 * (centre / wave[300] - 1)
    assert velocity.std() == pytest.approx(5.0, rel=0.06)
    assert abs(velocity.mean()) < 0.5
    assert not out.mask[:, 20:-20].any()


@pytest.mark.parametrize("grid", [GRID, WavelengthGrid.linear(15000, 0.2, 600, "air")])
def test_lines_broaden_as_promised(rng, grid):
    lsf = LineSpread(fwhm=0.8)
    wave, step = grid.wavelength, np.diff(grid.wavelength).mean()
    flux = np.exp(-0.5 * ((wave - wave[300]) / (0.8 / FWHM)) ** 2)
    spectra = Spectra(replace(grid, lsf=lsf), np.tile(flux, (500, 1)))

    def width(out: Spectra) -> np.ndarray:
        weight = out.flux.astype(float)
        return np.sqrt((weight * (wave - wave[300]) ** 2).sum(axis=1) / weight.sum(axis=1))

    wider = width(LSFJitter(fraction=(0.2, 0.6))(spectra, rng)) * FWHM / 0.8
    assert 1.19 < wider.min() < 1.22
    assert 1.57 < wider.max() < 1.61
    added = np.sqrt(width(LSFJitter(pixels=0.8)(spectra, rng)) ** 2 - (0.8 / FWHM) ** 2)
    np.testing.assert_allclose(added, 0.8 * step, rtol=0.01)
    with pytest.raises(GridError, match="pixels="):
        LSFJitter(fraction=0.1)(spectra.replace(grid=replace(grid, lsf=None)), rng)


def test_broadening_carries_the_variance(rng):
    noise = rng.standard_normal((400, 600))
    out = LSFJitter(pixels=1.2)(Spectra(GRID, noise, np.ones_like(noise)), rng)
    assert (out.flux.var(axis=0) * out.ivar[0])[10:-10].mean() == pytest.approx(1, abs=0.02)


def test_depths_of_lines_scatter_as_promised(rng):
    lines = flat(n=400, level=0.6, ivar=4.0)
    out = LineJitter(0.2, width=2.0)(lines, rng)
    factor = (1 - out.flux) / 0.4
    log = np.log(factor)
    assert log.std() == pytest.approx(0.2, rel=0.02)
    np.testing.assert_allclose(out.ivar * factor**2, 4.0, rtol=1e-4)
    for lag in (2, 4):  # a Gaussian of 2 pixels with itself
        alike = np.mean(log[:, lag:] * log[:, :-lag]) / log.var()
        assert alike == pytest.approx(np.exp(-((lag / 4) ** 2)), abs=0.02)
    flat_out = LineJitter((0.0, 1.0))(flat(level=1.0), rng)
    np.testing.assert_array_equal(flat_out.flux, 1.0)  # no line, no change
    drawn = np.log((1 - LineJitter((0.1, 0.4))(lines, rng).flux) / 0.4).std(axis=1)
    assert 0.07 < drawn.min() < 0.13
    assert 0.35 < drawn.max() < 0.46


def test_stretches_are_masked(rng):
    out = MaskRandom(0.12, 4)(flat(n=500, ivar=1.0), rng)
    runs = np.diff(out.mask.astype(int), axis=1, prepend=0, append=0)
    assert (runs == 1).sum(axis=1).max() == 4
    assert out.mask.sum(axis=1).max() == 72
    assert out.masked_fraction.mean() == pytest.approx(0.12, rel=0.1)
    assert out.mask.any(axis=0).all()  # every pixel has its turn
    np.testing.assert_array_equal(out.flux, 2.0)
    assert MaskRandom(1.0, 1)(flat(), rng).mask.all()
    assert not MaskRandom(0.0)(flat(), rng).mask.any()
