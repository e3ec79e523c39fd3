"""Instruments: line spreads as measured on lines, presets, coverage, round trips."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import curve_fit

from starnet.errors import ConfigError, DataError, GridError
from starnet.spectra import LineSpread, Spectra, WavelengthGrid, air_to_vacuum
from starnet.synthesis.observe import PRESETS, Instrument, gauss_hermite
from starnet.synthesis.observe.lsf import FWHM


def fine_grid(start: float, stop: float, resolution: float = 300000.0) -> WavelengthGrid:
    step = np.log10(1 + 1 / resolution)
    return WavelengthGrid.log10(
        np.log10(start), step, int(np.log10(stop / start) / step) + 2, "vacuum"
    )


def with_line(grid: WavelengthGrid, at: float) -> Spectra:
    """A line of one fine pixel, the nearest to ``at``."""
    flux = np.ones(grid.n_pixels)
    flux[np.argmin(np.abs(grid.wavelength - at))] = 0.0
    return Spectra(grid, flux)


def measured(spectra: Spectra) -> tuple[float, float]:
    """Centre and FWHM (Angstrom) of a Gaussian fitted to the only line, good pixels alone."""
    good = ~spectra.mask[0]
    wave, depth = spectra.grid.wavelength[good], 1 - spectra.flux[0, good].astype(float)
    near = np.abs(wave - wave[np.argmax(depth)]) < 10
    wave, depth = wave[near], depth[near]

    def gaussian(x, height, centre, sigma):
        return height * np.exp(-0.5 * ((x - centre) / sigma) ** 2)

    start = depth.max(), wave[np.argmax(depth)], 0.5
    fit = curve_fit(gaussian, wave, depth, start)[0]
    return float(fit[1]), float(abs(fit[2]) * FWHM)


@pytest.mark.parametrize("width", [0.9, 1.0, 1.013, 1.5])
@pytest.mark.parametrize("resolution", [2000.0, 22500.0])
def test_a_line_comes_out_with_the_width_of_the_instrument(resolution, width):
    instrument = Instrument.generic(resolution, 5000, 5060)
    grid = fine_grid(4970, 5090)
    line = with_line(grid, 5030.0)
    centre, fwhm = measured(instrument.project(line, width))
    assert fwhm == pytest.approx(width * 5030 / resolution, rel=3e-3)
    assert centre == pytest.approx(grid.wavelength[np.argmin(line.flux[0])], abs=0.01 * fwhm)


def test_line_spread_of_the_clean_spectra_is_taken_off_in_squares():
    grid = replace(fine_grid(4970, 5090), lsf=LineSpread(resolution=20000.0))
    sigma = 5030.0 / 20000 / FWHM
    clean = Spectra(grid, 1 - 0.5 * np.exp(-0.5 * ((grid.wavelength - 5030) / sigma) ** 2))
    _, fwhm = measured(Instrument.generic(8000, 5000, 5060).project(clean))
    assert fwhm == pytest.approx(5030 / 8000, rel=2e-3)


@pytest.mark.parametrize(("at", "chip"), [(15250.0, 0), (15700.0, 0), (16200.0, 1), (16750.0, 2)])
def test_apogees_width_runs_over_its_chips(at, chip):
    apogee = Instrument.preset("apogee")
    piece = apogee.cut(at - 40, at + 40)
    _, fwhm = measured(piece.project(with_line(fine_grid(at - 60, at + 60), at)))
    assert fwhm == pytest.approx(np.interp(at, apogee.grid.wavelength, apogee_fwhm()), rel=5e-3)
    a, b = apogee.grid.chips[chip]
    assert apogee.grid.wavelength[a] < at < apogee.grid.wavelength[b]


def apogee_fwhm() -> np.ndarray:
    grid = Instrument.preset("apogee").grid
    assert grid.lsf is not None
    return grid.lsf.fwhm_at(grid.wavelength)


def test_a_gauss_hermite_line_has_its_analytic_shape():
    base = Instrument.generic(5000, 5000, 5060, sampling=4.0)
    h3 = np.linspace(-0.1, 0.1, base.grid.n_pixels)
    instrument = replace(base, h3=h3, h4=0.08)
    grid = fine_grid(4970, 5090)
    line = with_line(grid, 5020.0)
    out = 1 - instrument.project(line).flux[0].astype(float)
    wave = base.grid.wavelength
    sigma = wave / 5000 / FWHM
    at = grid.wavelength[np.argmin(line.flux[0])]
    profile = gauss_hermite((at - wave) / sigma, h3, 0.08) / sigma
    area = np.sqrt(2 * np.pi) * (1 + 0.08 * 3 / np.sqrt(24))  # of the series
    width = np.gradient(grid.wavelength)[np.argmin(line.flux[0])]
    np.testing.assert_allclose(out, profile * width / area, atol=2e-6)


def test_hermite_terms_are_normal_to_the_gaussian_and_one_another():
    y = np.linspace(-12, 12, 20001)
    third = gauss_hermite(y, 1, 0) - gauss_hermite(y)
    fourth = gauss_hermite(y, 0, 1) - gauss_hermite(y)
    norm = np.sum(gauss_hermite(y) ** 2)
    for a, b, value in [(third, third, 1), (fourth, fourth, 1), (third, fourth, 0)]:
        assert np.sum(a * b) / norm == pytest.approx(value, abs=1e-9)
    assert np.sum(third * gauss_hermite(y)) == pytest.approx(0, abs=1e-9)
    assert np.sum(fourth * gauss_hermite(y)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("scale", [1.0, 3e7, 2e-14])
def test_flat_spectra_stay_flat_in_every_unit(scale):
    instrument = Instrument.generic(3000, 5000, 5060)
    grid = fine_grid(4970, 5090, 60000)
    out = instrument.project(Spectra(grid, np.full((2, grid.n_pixels), scale)), [1.0, 1.07])
    np.testing.assert_allclose(out.flux * out.flux_unit.scale, scale, rtol=1e-6)
    assert not out.mask.any()


def test_air_and_vacuum_are_converted():
    miles = Instrument.preset("miles").cut(5000, 5100)
    centre, fwhm = measured(miles.project(with_line(fine_grid(4950, 5150, 100000), 5050.0)))
    assert air_to_vacuum(centre) == pytest.approx(5050.0, abs=0.03)
    assert fwhm == pytest.approx(2.5, rel=3e-3)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_go_to_json_and_back(name):
    instrument = Instrument.preset(name)
    again = Instrument.from_dict(json.loads(json.dumps(instrument.to_dict())))
    assert again == instrument
    assert hash(again) == hash(instrument)
    assert again.grid.matches(instrument.grid, tolerance=1e-6)
    assert Instrument.from_dict(name) == instrument
    assert len(instrument.source) > 40


def test_presets_are_what_they_say(apstar_grid):
    apogee = Instrument.preset("apogee")
    assert apogee.grid.matches(apstar_grid, tolerance=1e-6)
    assert apogee.grid.chips == apstar_grid.chips
    inside = np.concatenate([np.arange(a, b) for a, b in apstar_grid.chips])
    power = apogee.grid.wavelength / apogee_fwhm()
    assert np.median(power[inside]) == pytest.approx(22500, rel=0.02)
    sdss = Instrument.preset("sdss").grid
    assert sdss.sampling == "log"
    assert sdss.lsf is not None
    power = sdss.wavelength / sdss.lsf.fwhm_at(sdss.wavelength)
    assert 1849 < power.min() < power.max() < 2201
    assert Instrument.preset("miles").medium == "air"


@pytest.mark.parametrize(
    ("name", "pattern"), [("apogee", "apogee/apStar/*r6*"), ("miles", "miles/*")]
)
def test_presets_have_the_pixels_of_real_files(shared_data, name, pattern):
    from starnet.surveys import read_file

    paths = [p for p in sorted(shared_data.glob(pattern)) if p.suffix == ".fits"]
    if not paths:
        pytest.skip("no file of this survey")
    assert Instrument.preset(name).is_own(read_file(paths[0]).grid)


def test_gaps_are_masked_and_coverage_is_enough():
    apogee = Instrument.preset("apogee")
    start, stop = apogee.coverage(velocity=10.0)
    out = apogee.project(
        Spectra(fine_grid(start, stop, 100000), np.ones(fine_grid(start, stop, 100000).n_pixels))
    )
    inside = np.zeros(8575, bool)
    for a, b in apogee.grid.chips:
        inside[a:b] = True
    np.testing.assert_array_equal(out.mask[0], ~inside)
    np.testing.assert_allclose(out.flux[0, inside], 1.0, rtol=1e-6)
    np.testing.assert_array_equal(apogee.project(out).flux, out.flux)  # its own pixels: unchanged


def test_rows_do_not_depend_on_their_neighbours(rng):
    instrument = Instrument.generic(5000, 5000, 5060)
    grid = fine_grid(4970, 5090, 100000)
    clean = Spectra(grid, 1 - 0.3 * rng.random((3, grid.n_pixels)))
    width = np.array([0.97, 1.0, 1.11])
    together = instrument.project(clean, width)
    for i in range(3):
        np.testing.assert_array_equal(
            instrument.project(clean[i], width[i]).flux[0], together.flux[i]
        )


def test_what_does_not_fit_is_refused():
    instrument = Instrument.generic(5000, 5000, 5060)
    flat = with_line(fine_grid(4970, 5030, 100000), 5010.0)
    with pytest.raises(GridError, match=r"do not cover \d+ pixels.*Instrument.coverage"):
        instrument.project(flat)
    coarse = with_line(fine_grid(4970, 5090, 8000), 5010.0)
    with pytest.raises(GridError, match="too coarse"):
        instrument.project(coarse)
    grid = replace(fine_grid(4970, 5090, 100000), lsf=LineSpread(resolution=4000.0))
    with pytest.raises(GridError, match="broader than the instrument"):
        instrument.project(with_line(grid, 5010.0))
    fine = with_line(fine_grid(4970, 5090, 100000), 5010.0)
    with pytest.raises(DataError, match="finite and unmasked"):
        instrument.project(fine.replace(flux=np.where(fine.flux < 1, np.nan, fine.flux)))
    with pytest.raises(ConfigError, match="width"):
        instrument.project(fine, [1.0, 1.0])
    with pytest.raises(ConfigError, match="width"):
        instrument.project(fine, np.nan)
    with pytest.raises(GridError, match="fewer than 2 pixels"):
        instrument.cut(7000, 8000)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda g: Instrument.preset("gaia"), "There is no instrument 'gaia'"),
        (lambda g: Instrument.generic(-5, 5000, 5060), "resolution > 0"),
        (lambda g: Instrument.generic(5000, 5060, 5000), "start < stop"),
        (lambda g: Instrument.generic(5000, 5000, 5060, sampling=0), "sampling > 0"),
        (lambda g: Instrument("x", g, h3=np.nan), "h3 must be finite"),
        (lambda g: Instrument("x", g, h4=[0.1, 0.1]), "one for each"),
        (lambda g: Instrument.from_dict({"name": "x"}), "described by name and grid"),
    ],
)
def test_bad_instruments_are_refused(make, says):
    grid = Instrument.generic(5000, 5000, 5060).grid
    with pytest.raises(ConfigError, match=says):
        make(grid)


def test_an_instrument_needs_a_line_spread():
    with pytest.raises(GridError, match="needs a line spread"):
        Instrument("x", fine_grid(5000, 5010))
