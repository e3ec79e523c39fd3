"""The transforms on files of real surveys, read here without the readers."""

import numpy as np
import pytest
from astropy.io import fits

from starnet.preprocess import (
    FillMasked,
    InterpolateMasked,
    MatchLSF,
    Pipeline,
    PolynomialContinuum,
    Resample,
    RunningQuantile,
    SelectPixels,
    SplineContinuum,
    Standard2018,
)
from starnet.preprocess.chip_median import APSTAR_CHIPS
from starnet.spectra import LineSpread, Spectra, WavelengthGrid


@pytest.fixture(scope="module")
def miles(shared_data) -> Spectra:
    """Thirty stars of MILES."""
    files = sorted((shared_data / "miles").glob("MILES_res2.50_star_*.fits"))[::26]
    flux = np.stack([np.asarray(fits.getdata(file), dtype=float).ravel() for file in files])
    grid = WavelengthGrid.linear(3540.5, 0.9, flux.shape[1], "air", lsf=LineSpread(fwhm=2.5))
    return Spectra(grid, flux, mask=flux <= 0)


@pytest.fixture(scope="module")
def apstar(shared_data) -> Spectra:
    """The combined spectra of the apStar files; only pixels without a value or error are masked."""
    flux, error = [], []
    for file in sorted((shared_data / "apogee" / "apStar").glob("apStar-*.fits")):
        with fits.open(file) as hdus:
            images = [np.atleast_2d(hdu.data)[0] for hdu in hdus[1:3]]  # type: ignore[union-attr]
        flux.append(images[0])
        error.append(images[1])
    grid = WavelengthGrid.log10(
        4.179, 6e-6, 8575, "vacuum", chips=APSTAR_CHIPS, lsf=LineSpread(resolution=22500.0)
    )
    flux, error = np.stack(flux), np.stack(error)
    mask = ~(flux > 0) | ~(error > 0) | (error > flux)
    return Spectra.from_error(grid, np.where(mask, 0, flux), error, mask=mask)


def test_standard_2018_on_apogee(apstar):
    out = Standard2018(masked_as_zero=False)(apstar)
    assert out.n_pixels == 7214
    some = ~out.mask.all(axis=1)
    assert some.sum() > 15
    for a, b in out.grid.chips:
        for row in np.flatnonzero(some):
            good = ~out.mask[row, a:b]
            assert np.median(out.flux[row, a:b][good]) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(
        out.snr[some], SelectPixels(APSTAR_CHIPS)(apstar).snr[some], rtol=1e-4
    )


@pytest.mark.parametrize(
    "transform",
    [
        SplineContinuum(intervals=5),
        RunningQuantile(window=60.0, quantile=0.9),
        PolynomialContinuum(order=4),
        SplineContinuum(spacing=30.0, lower=1.0, weighted=False),
    ],
    ids=lambda transform: type(transform).__name__,
)
def test_continua_of_apogee(apstar, transform):
    out = transform(apstar)
    enough = (~apstar.mask).sum(axis=1) > 5000
    level = np.array(
        [np.median(f[~m]) for f, m in zip(out.flux[enough], out.mask[enough], strict=True)]
    )
    assert np.all((level > 0.6) & (level < 1.2))
    inside = np.concatenate([np.arange(a, b) for a, b in APSTAR_CHIPS])
    lost = (out.mask & ~apstar.mask)[np.ix_(enough, inside)]
    assert lost.mean() < 1e-3


@pytest.mark.parametrize(
    "transform",
    [SplineContinuum(intervals=12), RunningQuantile(150.0), PolynomialContinuum(order=6)],
    ids=lambda transform: type(transform).__name__,
)
def test_continua_of_miles(miles, transform):
    out = transform(miles)
    assert (out.mask & ~miles.mask).mean() < 0.01
    assert 0.7 < np.median(out.flux[~out.mask]) < 1.05
    assert not out.ivar.any()


def test_miles_to_another_resolution_and_grid(miles):
    """A coarser vacuum grid at R = 1000: equal in the mean, and sharp lines get shallower."""
    target = WavelengthGrid.log10(np.log10(4000), 1e-4, 2000, "vacuum")
    pipeline = Pipeline((MatchLSF(resolution=700.0), Resample(target), InterpolateMasked()))
    out = pipeline(miles)
    assert out.grid.matches(target)
    assert out.grid.lsf is not None
    assert out.grid.lsf.matches(LineSpread(resolution=700.0))
    inside = (miles.grid.to_vacuum().wavelength > 4001) & (miles.grid.wavelength < 6330)
    for row in range(len(miles)):
        if miles.mask[row].any():
            continue
        width = np.diff(target.edges)
        mean = (out.flux[row] * width).sum() / width.sum()
        assert mean == pytest.approx(miles.flux[row][inside].mean(), rel=5e-3)
        assert np.abs(np.diff(out.flux[row])).sum() < np.abs(np.diff(miles.flux[row])).sum()


def test_apogee_to_half_its_resolution(apstar):
    out = Pipeline((MatchLSF(resolution=11000.0), FillMasked(1.0)))(apstar)
    good = ~out.mask & (apstar.ivar > 0)
    assert np.all(out.ivar[good] > 0)
    assert np.median(out.ivar[good] / apstar.ivar[good]) > 3
