"""Flux-conserving resampling: against specutils, and by what must hold for any grid."""

from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import VarianceUncertainty
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from specutils import Spectrum
from specutils.manipulation import FluxConservingResampler

from starnet.errors import GridError
from starnet.preprocess import Resample
from starnet.preprocess._matrix import ByValue
from starnet.preprocess._rows import chip_edges
from starnet.preprocess.resample import _overlaps
from starnet.spectra import LineSpread, Spectra, WavelengthGrid, air_to_vacuum

FINE = WavelengthGrid.linear(5000.0, 1.0, 400, "vacuum")
steps = hnp.arrays(float, st.integers(5, 60), elements=st.floats(0.2, 5.0))


def spectra_on(grid: WavelengthGrid, n: int = 2, seed: int = 0) -> Spectra:
    rng = np.random.default_rng(seed)
    shape = n, grid.n_pixels
    return Spectra(grid, rng.uniform(0.5, 2, shape), rng.uniform(1, 9, shape))


@pytest.mark.parametrize(
    ("start", "step", "n"), [(5010, 2.7, 120), (5010, 0.37, 900), (5100.5, 1, 150)]
)
def test_agrees_with_specutils(start, step, n):
    grid = WavelengthGrid.linear(start, step, n, "vacuum")
    spectra = spectra_on(FINE)
    ours = Resample(grid)(spectra)
    theirs = FluxConservingResampler()(
        Spectrum(
            flux=spectra.flux[0].astype(float) * u.Jy,
            spectral_axis=FINE.quantity,
            uncertainty=VarianceUncertainty(1 / spectra.ivar[0].astype(float)),
        ),
        grid.quantity,
    )
    assert not ours.mask.any()
    np.testing.assert_allclose(ours.flux[0], theirs.flux.value, rtol=1e-5)
    np.testing.assert_allclose(ours.ivar[0], theirs.uncertainty.array, rtol=1e-5)


@settings(max_examples=60, deadline=None)
@given(old=steps, new=steps)
def test_conserves_flux_on_any_grids(old, new):
    source = WavelengthGrid(5000 + np.cumsum(old), "vacuum")
    span = chip_edges(source.wavelength)
    cuts = span[0] + np.concatenate([[0], np.cumsum(new)]) * (span[-1] - span[0]) / new.sum()
    target = WavelengthGrid(0.5 * (cuts[1:] + cuts[:-1]), "vacuum")
    assume(not source.matches(target, tolerance=0.02))  # the arrays would pass as they are
    edges = chip_edges(target.wavelength)
    spectra = spectra_on(source)
    out = Resample(target, max_masked=0.99)(spectra)
    inside = (edges[:-1] >= span[0] - 1e-9) & (edges[1:] <= span[-1] + 1e-9)
    cumulative = np.concatenate(
        [np.zeros((2, 1)), np.cumsum(spectra.flux * np.diff(span), axis=1)], axis=1
    )
    for row in range(2):
        integral = np.interp(edges, span, cumulative[row])
        mean = np.diff(integral) / np.diff(edges)
        good = inside & ~out.mask[row]
        np.testing.assert_allclose(out.flux[row][good], mean[good], rtol=2e-5)


@settings(max_examples=30, deadline=None)
@given(widths=steps, level=st.floats(-1e3, 1e3))
@example(widths=np.ones(5), level=3e-62)
@example(widths=np.full(5, 0.7), level=2e-20)
def test_a_constant_stays_constant(widths, level):
    target = WavelengthGrid(5020 + np.cumsum(widths), "vacuum")
    spectra = Spectra(FINE, np.full((1, 400), level))
    out = Resample(target)(spectra)
    same_unit = out.flux[~out.mask] * out.flux_unit.to(spectra.flux_unit)  # tiny fluxes change it
    np.testing.assert_allclose(same_unit, spectra.flux[0, 0], rtol=1e-5, atol=0)


def test_the_same_grid_changes_nothing():
    spectra = spectra_on(FINE)
    out = Resample(FINE)(spectra)
    np.testing.assert_array_equal(out.flux, spectra.flux)
    np.testing.assert_array_equal(out.ivar, spectra.ivar)
    # and the matrix itself, past the short cut
    two = replace(FINE, wavelength=FINE.wavelength + 1e-9 * np.arange(400))
    matrix, covered = _overlaps(ByValue.of(FINE), ByValue.of(two))
    np.testing.assert_allclose(matrix.weights.toarray(), np.eye(400), atol=1e-6)
    assert covered == pytest.approx(1)


def test_masked_parts_are_left_out_and_masked_beyond_a_half():
    old = WavelengthGrid.linear(5000.5, 1.0, 20, "vacuum")
    new = WavelengthGrid.linear(5002.0, 4.0, 5, "vacuum")  # four old pixels each
    mask = np.zeros((1, 20), bool)
    mask[0, 0] = mask[0, 4:6] = mask[0, 8:11] = mask[0, 12:16] = True
    spectra = Spectra(old, np.where(mask, 99.0, np.arange(20.0)), np.full((1, 20), 4.0), mask)
    out = Resample(new)(spectra)
    assert out.mask[0].tolist() == [False, False, True, True, False]
    np.testing.assert_allclose(out.flux[0, [0, 1, 4]], [2.0, 6.5, 17.5])
    np.testing.assert_allclose(out.ivar[0, [0, 1, 4]], [12.0, 8.0, 16.0])
    assert Resample(new, max_masked=0)(spectra).mask[0].tolist() == [True] * 4 + [False]
    assert not Resample(new, max_masked=0.75)(spectra).mask[0, 2]


def test_one_unknown_error_makes_the_pixel_unknown():
    old = WavelengthGrid.linear(5000.5, 1.0, 8, "vacuum")
    ivar = np.full((1, 8), 4.0)
    ivar[0, 5] = 0
    out = Resample(WavelengthGrid.linear(5002.0, 4.0, 2, "vacuum"))(
        Spectra(old, np.ones((1, 8)), ivar)
    )
    assert out.ivar[0].tolist() == [16.0, 0.0]
    assert not out.mask.any()


def test_air_goes_to_vacuum_and_a_line_stays_where_it_is():
    air = WavelengthGrid.linear(5000, 0.5, 800, "air")
    line = 5183.604
    flux = 1 - 0.8 * np.exp(-0.5 * ((air.wavelength - line) / 2.0) ** 2)
    target = WavelengthGrid.log10(np.log10(5050), 4e-5, 700, "vacuum")
    out = Resample(target)(Spectra(air, flux[None]))
    assert out.grid.medium == "vacuum"
    depth = 1 - out.flux[0]
    centre = (depth * target.wavelength)[~out.mask[0]].sum() / depth[~out.mask[0]].sum()
    assert centre == pytest.approx(float(air_to_vacuum(line)), abs=0.01)


def test_pixels_between_detectors_are_not_invented():
    """Chips far apart without pixels between them, as in apVisit files."""
    wave = np.concatenate([np.arange(5000.0, 5050), np.arange(5100.0, 5150)])
    old = WavelengthGrid(wave, "vacuum", chips=((0, 50), (50, 100)))
    new = WavelengthGrid.linear(5000, 1.0, 150, "vacuum")
    out = Resample(new)(Spectra(old, np.ones((1, 100))))
    assert out.mask[0].tolist() == [False] * 50 + [True] * 50 + [False] * 50


def test_half_a_grid_is_flagged_and_none_is_an_error():
    spectra = spectra_on(FINE)
    twice = WavelengthGrid.linear(5000, 1.0, 800, "vacuum")
    out = Resample(twice)(spectra)
    assert out.mask[:, 401:].all()
    assert not out.mask[:, :400].any()
    with pytest.raises(GridError, match=r"cover 50\.0% of the grid.*60% of it must"):
        Resample(twice, min_coverage=0.6)(spectra)
    Resample(twice, min_coverage=0.4)(spectra)
    with pytest.raises(GridError, match=r"cover 0\.0%.*Check the unit"):
        Resample(WavelengthGrid.linear(15000, 1.0, 800, "vacuum"))(spectra)


def test_the_line_spread_travels_along():
    lsf = LineSpread(fwhm=np.linspace(1, 2, 400))
    new = WavelengthGrid.linear(5100, 2.0, 100, "vacuum", lsf=LineSpread(resolution=9.0))
    out = Resample(new)(spectra_on(replace(FINE, lsf=lsf)))
    assert out.grid.lsf is not None
    np.testing.assert_allclose(
        out.grid.lsf.fwhm_at(new.wavelength), 1 + (new.wavelength - 5000) / 399, rtol=1e-9
    )
    assert Resample(new)(spectra_on(FINE)).grid.lsf is None


@settings(max_examples=20, deadline=None)
@given(step=st.floats(0.3, 3.0), start=st.floats(5010, 5012))
def test_errors_as_if_independent_are_right_for_sums(step, start):
    target = WavelengthGrid.linear(start, step, int(300 / step), "vacuum")
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((400, FINE.n_pixels)) * 0.1
    spectra = Spectra(FINE, 1 + noise, np.full(noise.shape, 100.0))
    out = Resample(target, independent=True)(spectra)
    sums, expected = out.flux.sum(axis=1).std(), np.sqrt((1 / out.ivar[0]).sum())
    assert sums == pytest.approx(expected, rel=0.12)
    own = Resample(target)(spectra)
    np.testing.assert_array_equal(own.flux, out.flux)
    pixel = own.flux[:, 20:-20].std(axis=0)
    np.testing.assert_allclose(np.median(pixel * np.sqrt(own.ivar[0, 20:-20])), 1, rtol=0.05)
