"""The observer: signal to noise, errors against scatter, streams, records, bad input."""

import json
from dataclasses import replace

import numpy as np
import pytest
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st

from starnet.errors import ConfigError, DataError, GridError
from starnet.spectra import Spectra, WavelengthGrid
from starnet.synthesis.observe import (
    BadPixels,
    ContinuumError,
    Instrument,
    Observer,
    Ripples,
    SkyLines,
    Telluric,
    sky_sources,
)
from starnet.synthesis.observe.effects import drawn_lines, packaged

INSTRUMENT = Instrument.preset("apogee").cut(16000, 16200)
FINE = WavelengthGrid.log10(np.log10(15990), 2e-6, 4000, "vacuum")
EFFECTS = ("sky", "telluric", "continuum", "pixels")


def clean_spectra(n: int = 4, depth: float = 0.5, start: int = 0) -> Spectra:
    """Spectra with a comb of lines, named star<i>; star i is deeper than star i - 1."""
    lines = np.zeros(FINE.n_pixels)
    lines[100::173] = 1.0
    kernel = np.exp(-0.5 * (np.arange(-30, 31) / 8) ** 2)
    shape = np.convolve(lines, kernel, mode="same")
    scale = depth * (0.5 + 0.1 * np.arange(start, start + n))[:, None]
    names = [f"star{i}" for i in range(start, start + n)]
    return Spectra(FINE, 1 - scale * shape, meta=Table({"id": names}))


@pytest.fixture(scope="module")
def many() -> Spectra:
    """The same spectrum under 400 names."""
    one = clean_spectra(1)
    names = Table({"id": [f"s{i}" for i in range(400)]})
    return Spectra(FINE, np.repeat(one.flux, 400, axis=0), meta=names)


@pytest.mark.parametrize("snr", [5.0, 60.0, 1000.0])
def test_signal_to_noise_comes_out_as_asked(snr):
    observer = replace(Observer(INSTRUMENT, error_floor=0.0), snr=snr, pixels=None)
    out = observer(clean_spectra())
    np.testing.assert_allclose(out.snr, snr, rtol=0.03)
    np.testing.assert_allclose(out.meta["snr"], out.snr)
    np.testing.assert_allclose(out.meta["snr_photon"], snr)


def test_signal_to_noise_is_drawn_evenly_in_its_logarithm_or_given(many):
    out = Observer.noise_only(INSTRUMENT, (20, 320))(many)
    powers = np.log2(np.asarray(out.meta["snr_photon"]) / 20)
    counts = np.histogram(powers, bins=4, range=(0, 4))[0]
    assert counts.sum() == 400
    assert np.all(np.abs(counts - 100) < 40)
    given = Observer(INSTRUMENT)(clean_spectra(3), snr=[10.0, 50.0, 200.0])
    np.testing.assert_array_equal(given.meta["snr_photon"], [10, 50, 200])


@pytest.mark.parametrize(
    ("floor", "read", "sky"), [(0.0, 0.0, None), (0.02, 0.5, None), (0.0, 0.1, 2.0)]
)
def test_errors_are_the_scatter_of_unmasked_pixels(many, floor, read, sky):
    lines = None if sky is None else SkyLines(brightness=sky, residual=0.0, shift=0.0)
    plain = Observer.noise_only(INSTRUMENT, 80.0)
    observer = replace(plain, error_floor=floor, read_fraction=read, sky=lines, velocity=0.0)
    out = observer(many)
    truth = INSTRUMENT.project(many[0]).flux[0]
    chi = (out.flux - truth) * np.sqrt(out.ivar)
    good = ~out.mask
    assert np.std(chi[good]) == pytest.approx(1.0, abs=0.005)
    assert np.mean(chi[good]) == pytest.approx(0.0, abs=0.01)
    pixel = np.std(np.where(good, chi, 0), axis=0)[good.all(axis=0)]  # and at every pixel
    assert np.all(np.abs(pixel - 1) < 5.5 / np.sqrt(2 * 400))
    np.testing.assert_array_equal(out.ivar[out.mask], 0)


def test_the_floor_limits_bright_stars_and_is_quoted():
    off = replace(Observer.noise_only(INSTRUMENT, 5000.0), error_floor=0.005)
    assert off(clean_spectra(1)).snr[0] == pytest.approx(200, rel=0.02)


def test_photon_noise_falls_with_the_flux_and_read_noise_does_not():
    clean = clean_spectra(1, depth=1.8)
    photons = Observer.noise_only(INSTRUMENT, 50.0)
    for observer, power in [(photons, 0.5), (replace(photons, read_fraction=1.0), 0.0)]:
        out, flux = observer(clean), INSTRUMENT.project(clean).flux[0]
        good = ~out.mask[0]
        ratio = out.error[0, good] / flux[good] ** power
        np.testing.assert_allclose(ratio, np.median(ratio), rtol=1e-3)


def test_same_seed_same_spectra_whatever_the_batch():
    observer = Observer(INSTRUMENT, seed=7)
    clean = clean_spectra(5)
    together = observer(clean)
    order = [3, 0, 4, 1, 2]
    shuffled = observer(clean[order])
    for i in range(5):
        alone = observer(clean[i])
        for name in ("flux", "ivar", "mask"):
            np.testing.assert_array_equal(getattr(alone, name)[0], getattr(together, name)[i])
        np.testing.assert_array_equal(shuffled.flux[order.index(i)], together.flux[i])
        assert list(alone.meta[0].values()) == list(together.meta[i].values())


def test_other_seeds_visits_and_names_are_other_noise():
    clean = clean_spectra(1)
    base = Observer(INSTRUMENT, seed=7)(clean)
    for other in (
        Observer(INSTRUMENT, seed=8)(clean),
        Observer(INSTRUMENT, seed=7)(clean, visit=1),
        Observer(INSTRUMENT, seed=7)(clean.replace(meta=Table({"id": ["another"]}))),
    ):
        noise = (other.flux - base.flux)[~(other.mask | base.mask)]
        assert np.mean(noise != 0) > 0.99
        assert other.meta["rv_residual"][0] != base.meta["rv_residual"][0]


@pytest.mark.parametrize("effect", EFFECTS)
def test_one_effect_left_out_leaves_the_draws_of_the_others(effect):
    clean = clean_spectra(2)
    full = Observer(INSTRUMENT)(clean)
    less = replace(Observer(INSTRUMENT), **{effect: None})(clean)
    assert not np.array_equal(full.flux, less.flux)
    shared = [c for c in less.meta.colnames if c not in ("snr", "masked_fraction")]
    assert set(shared) < set(full.meta.colnames)
    for name in shared:
        np.testing.assert_array_equal(full.meta[name], less.meta[name])


def test_what_was_done_is_recorded(many):
    out = Observer(INSTRUMENT, seed=3)(many[:200], visit=2)
    meta = out.meta
    assert list(meta["id"]) == list(many.meta["id"][:200])
    assert set(meta["instrument"]) == {"apogee"}
    assert set(meta["observer_seed"]) == {3}
    assert set(meta["visit"]) == {2}
    for name, sigma in [("rv_residual", 0.3), ("sky_velocity", 40.0), ("telluric_residual", 0.1)]:
        assert np.std(meta[name]) == pytest.approx(sigma, rel=0.2)
    assert np.std(meta["lsf_width"]) == pytest.approx(0.03, rel=0.2)
    np.testing.assert_allclose(meta["masked_fraction"], out.masked_fraction)


@pytest.mark.parametrize("own", [False, True])
def test_residual_velocity_and_width_are_in_the_flux(own):
    at = 2000
    flux = 1 - 0.5 * np.exp(-0.5 * ((np.arange(4000) - at) / 8) ** 2)
    clean = Spectra(FINE, np.repeat(flux[None], 6, axis=0))
    clean = INSTRUMENT.project(clean) if own else clean
    quiet = Observer.noise_only(INSTRUMENT, 1e6)
    out = replace(quiet, rv_sigma=5.0, lsf_sigma=0.1)(clean)
    base = quiet(clean)
    wave = INSTRUMENT.grid.wavelength
    for i, row in enumerate(out.meta):
        good = ~(out.mask[i] | base.mask[i]) & (np.abs(wave - FINE.wavelength[at]) < 4)
        here, there = (1 - s.flux[i, good].astype(float) for s in (out, base))
        centre = [np.sum(d * wave[good]) / d.sum() for d in (here, there)]
        shift = (centre[0] / centre[1] - 1) * 299792.458
        assert shift == pytest.approx(row["rv_residual"], abs=0.002)
        wider = row["lsf_width"] > 1
        assert (here.max() < there.max()) == wider or abs(row["lsf_width"] - 1) < 0.005
    assert np.all(out.meta["lsf_width"] >= 1) == own


def test_bad_pixels_are_masked_but_for_a_few():
    pixels = BadPixels(fraction=0.2, length=3.0, flagged=0.9, amplitude=5.0)
    out = replace(Observer.noise_only(INSTRUMENT, 1e4), pixels=pixels)(clean_spectra(40))
    base = Observer.noise_only(INSTRUMENT, 1e4)(clean_spectra(40))
    off = np.abs(out.flux - base.flux) > 0.01
    assert np.mean(out.mask) == pytest.approx(0.17, abs=0.03)  # runs overlap
    flagged = np.mean(out.mask[off])
    assert 0.85 < flagged < 0.97
    assert np.all(np.isfinite(out.flux))


def test_residuals_of_the_sky_are_where_its_lines_are_and_not_in_the_errors():
    sky = SkyLines(brightness=10.0, residual=0.1, shift=0.3)
    quiet = Observer.noise_only(INSTRUMENT, 3000.0)
    out = replace(quiet, sky=sky, velocity=0.0)(clean_spectra(60))
    base = INSTRUMENT.project(clean_spectra(60)).flux
    chi = np.abs((out.flux - base) * np.sqrt(out.ivar))
    wave = INSTRUMENT.grid.wavelength
    lines = np.array([a for a, s in packaged("emission") if s > 0.3 and wave[0] < a < wave[-1]])
    assert lines.size >= 3
    near = np.min(np.abs(wave[:, None] - lines), axis=1)
    assert np.median(chi[:, near < 0.4]) > 3
    assert np.median(chi[:, near > 3]) < 1
    peak = out.error[:, near < 0.2].mean() / out.error[:, near > 3].mean()
    assert peak > 1.5  # photons of the sky are quoted


def test_tellurics_scale_with_their_depth():
    telluric = Telluric(amplitude=0.2, lines=((16050.0, 0.5), (16100.0, 0.25)))
    quiet = Observer.noise_only(INSTRUMENT, 1e6)
    out = replace(quiet, telluric=telluric, velocity=0.0)(clean_spectra(3))
    ratio = out.flux / quiet(clean_spectra(3)).flux - 1
    wave = INSTRUMENT.grid.wavelength
    for at, depth in telluric.lines:
        pixel = np.argmin(np.abs(wave - at))
        expected = depth * np.asarray(out.meta["telluric_residual"])
        np.testing.assert_allclose(ratio[:, pixel], expected, rtol=0.1)


def test_continuum_is_smooth_and_as_large_as_said(many):
    observer = replace(Observer.noise_only(INSTRUMENT, 1e6), continuum=ContinuumError(0.03, 3))
    out, base = observer(many[:100]), Observer.noise_only(INSTRUMENT, 1e6)(many[:100])
    good = ~out.mask[0]
    ratio = np.log(out.flux[:, good] / base.flux[:, good])
    assert np.sqrt(np.mean(ratio**2)) == pytest.approx(0.03, rel=0.15)
    np.testing.assert_allclose(
        np.sqrt(np.mean(ratio**2, axis=1)), out.meta["continuum_rms"], rtol=1e-3
    )


def test_lines_move_against_the_star_and_into_air():
    grid = INSTRUMENT.grid
    for target, velocity in [(grid, 0.0), (grid, 100.0), (grid.to_air(), 0.0)]:
        drawn = drawn_lines(target, np.array([16100.0]), np.array([0.7]), velocity)
        wave = target.to_vacuum().wavelength
        at = np.sum(drawn * wave) / drawn.sum()
        assert at == pytest.approx(16100 * (1 - velocity / 299792.458), abs=0.01)
        assert drawn.max() == pytest.approx(0.7, rel=0.08)


def test_packaged_lines_have_sources():
    assert set(sky_sources()) == {"emission", "absorption", "bands"}
    assert "made up" in sky_sources()["bands"]
    for kind in ("emission", "absorption"):
        at, strength = np.array(packaged(kind)).T
        assert np.all(np.diff(at) > 0)
        assert np.all((strength > 0) & (strength <= 1))


def test_packaged_sky_lines_are_in_a_real_sky(shared_data):
    from astropy.io import fits

    paths = sorted((shared_data / "apogee/apVisit").glob("apVisit-r5-*.fits"))
    if not paths:
        pytest.skip("no visits")
    with fits.open(paths[0]) as file:
        wave, sky = file[4].data, file[5].data
    found = 0
    for at, strength in packaged("emission"):
        for chip in range(3):
            near = np.abs(wave[chip] - at) < 0.8
            around = np.abs(wave[chip] - at) < 15
            if strength > 0.2 and near.sum() > 5 and wave[chip].min() + 15 < at:
                found += 1
                assert sky[chip][near].max() > 3 * np.median(sky[chip][around])
    assert found >= 10


@pytest.mark.parametrize("unit", [3e7, 2e-14])
def test_absolute_spectra_give_the_same_in_their_unit(unit):
    clean = clean_spectra(2)
    normal = Observer(INSTRUMENT)(clean)
    absolute = Observer(INSTRUMENT)(clean.replace(flux=clean.flux.astype(float) * unit))
    scale = unit / absolute.flux_unit.scale
    good = ~normal.mask
    np.testing.assert_array_equal(normal.mask, absolute.mask)
    np.testing.assert_allclose(absolute.flux[good] / scale, normal.flux[good], rtol=1e-5)
    np.testing.assert_allclose(absolute.ivar * scale**2, normal.ivar, rtol=1e-4)


@pytest.mark.parametrize(
    "observer",
    [
        Observer(Instrument.preset("apogee"), seed=3),
        Observer.noise_only(Instrument.preset("miles"), 50.0),
        Observer(INSTRUMENT, sky=SkyLines(lines=((16000.0, 1.0),)), pixels=BadPixels(0.02)),
    ],
)
def test_observers_go_to_json_and_back(observer):
    again = Observer.from_dict(json.loads(json.dumps(observer.to_dict())))
    assert again == observer
    assert hash(again) == hash(observer)


def test_a_short_description_is_enough():
    made = Observer.from_dict({"instrument": "lamost", "snr": [10, 50], "sky": None})
    assert made == Observer(Instrument.preset("lamost"), snr=(10, 50), sky=None)


def test_where_the_sky_has_no_lines_it_leaves_nothing():
    instrument = Instrument.generic(5000, 4000, 4100)
    grid = WavelengthGrid.log10(np.log10(3990), 5e-6, 2700, "vacuum")
    clean = Spectra(grid, np.ones((2, 2700)))
    with_sky = Observer(instrument)(clean)
    without = replace(Observer(instrument), sky=None, telluric=None)(clean)
    np.testing.assert_array_equal(with_sky.flux, without.flux)
    np.testing.assert_array_equal(with_sky.ivar, without.ivar)


def test_observed_frame_keeps_the_sky_in_place():
    out = Observer(INSTRUMENT)(clean_spectra(2).replace(frame="observed"))
    assert out.frame == "observed"
    np.testing.assert_array_equal(out.meta["sky_velocity"], 0.0)


@pytest.mark.parametrize("snr", [0.0, -3.0, np.nan, np.inf, [10.0, 0.0], [10.0] * 3])
def test_bad_signal_to_noise_is_refused(snr):
    with pytest.raises(ConfigError, match=r"Signal to noise must be positive|one for each"):
        Observer(INSTRUMENT)(clean_spectra(2), snr=snr)


def test_bad_spectra_are_refused():
    observer, clean = Observer(INSTRUMENT), clean_spectra(2)
    bad = np.array(clean.flux)
    bad[1, 50] = np.nan
    with pytest.raises(DataError, match="'star1' with 1 such pixels"):
        observer(clean.replace(flux=bad))
    with pytest.raises(DataError, match="positive median flux"):
        observer(clean.replace(flux=-clean.flux))
    with pytest.raises(DataError, match="at least one"):
        observer(clean[[]])
    with pytest.raises(GridError, match="do not cover"):
        observer(clean.select_pixels(slice(0, 2000)))
    with pytest.raises(ConfigError, match="visit"):
        observer(clean, visit=-1)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Observer(INSTRUMENT, seed=-1), "seed must be"),
        (lambda: Observer(INSTRUMENT, snr=(0, 10)), "snr must be"),
        (lambda: Observer(INSTRUMENT, snr=(20, 10)), "snr must be"),
        (lambda: Observer(INSTRUMENT, error_floor=np.nan), "error_floor must be"),
        (lambda: Observer(INSTRUMENT, read_fraction=1.5), "read_fraction must be"),
        (lambda: Observer("apogee"), "instrument must be"),
        (lambda: Observer(INSTRUMENT, sky=Telluric()), "sky must be SkyLines"),
        (lambda: Observer.from_dict({"seed": 1}), "described by an instrument"),
        (lambda: Observer.from_dict({"instrument": "apogee", "cloud": 1}), "as needed"),
        (lambda: SkyLines.from_dict({"moon": 1}), "no parameter moon"),
        (lambda: SkyLines(lines=((np.nan, 1.0),)), "lines must be pairs"),
        (lambda: SkyLines(brightness=0), "brightness must be"),
        (lambda: Telluric(amplitude=2), "amplitude must be"),
        (lambda: ContinuumError(order=-1), "order must be"),
        (lambda: BadPixels(fraction=2.0), "fraction must be at most 1"),
        (lambda: BadPixels(length=0.1), "length must be"),
    ],
)
def test_bad_parameters_are_refused(make, says):
    with pytest.raises(ConfigError, match=says):
        make()


@given(amplitude=st.floats(1e-3, 0.05), length=st.floats(2.0, 30.0))
@settings(max_examples=15, deadline=None)
def test_ripples_have_their_amplitude_and_go_together_over_their_length(amplitude, length):
    grid = WavelengthGrid.linear(5000.0, 1.0, 20000, "vacuum")
    factor, drawn = Ripples(amplitude, length).draw(np.random.default_rng(1), grid)
    wave = factor - 1
    assert wave.std() == pytest.approx(amplitude, rel=0.15)
    lag = round(length)
    together = np.mean(wave[:-lag] * wave[lag:]) / wave.var()
    assert together == pytest.approx(np.exp(-0.25 * (lag / length) ** 2), abs=0.1)
    assert drawn["ripple"] == pytest.approx(amplitude)


def test_ripples_are_left_out_by_default_and_survive_a_description():
    assert Observer(Instrument.preset("apogee")).ripples is None
    observer = Observer(Instrument.preset("apogee"), ripples=Ripples((0.001, 0.01), 5.0))
    assert Observer.from_dict(observer.to_dict()) == observer
    with pytest.raises(ConfigError, match=r"below 0\.5"):
        Ripples(amplitude=2.0)
