"""What single readers promise beyond the contract, checked on real files where they are there."""

import re
import warnings

import numpy as np
import pytest
from _survey_files import (
    ID,
    apstar,
    apvisit,
    galah,
    galah_table,
    lamost,
    mastar,
    miles,
    sdss,
)

from starnet import surveys
from starnet.errors import ConfigError, ReadError
from starnet.spectra import doppler_factor
from starnet.surveys import SURVEYS, ReadOptions, read_file


def test_apstar_takes_the_and_of_the_visits_and_reads_each_of_them(tmp_path):
    path = apstar(tmp_path)
    combined, visits = read_file(path), read_file(path, options=ReadOptions(visits=True))
    assert (len(combined), len(visits)) == (1, 3)
    assert not combined.mask[0, 30]
    assert visits.mask[:, 30].tolist() == [True, False, False]
    assert combined.mask[0, 40]  # an error of 1e10
    assert list(visits.ids) == [f"apVisit-dr17-1000-5600{i}-001" for i in (1, 2, 3)]
    assert set(visits.stars) == set(combined.stars) == {ID}
    assert visits.meta["rv"].tolist() == [13.0, 14.0, 15.0]
    assert visits.meta["snr"].tolist() == [21.0, 22.0, 23.0]


def test_a_star_of_one_visit_is_its_combination(tmp_path):
    path = apstar(tmp_path, visits=1)
    one, visit = read_file(path), read_file(path, options=ReadOptions(visits=True))
    assert np.array_equal(one.flux, visit.flux)


def test_apstar_has_the_three_chips_of_2018(shared_data):
    grid = read_file(surveys.find(shared_data / "apogee/apStar")[0]).grid
    assert sum(b - a for a, b in grid.chips) == 7214
    assert grid.sampling == "log"
    assert grid.lsf is not None
    assert grid.lsf.resolution == 22500


def test_apvisit_comes_to_rest_by_its_own_shift_not_by_the_heliocentric_one(shared_data):
    folder = shared_data / "apogee"
    visit = read_file(folder / "apVisit/apVisit-r6-5094-56651-082.fits")
    star = read_file(
        folder / "apStar/apStar-r6-2M00005143+5615568.fits", options=ReadOptions(visits=True)
    )
    assert set(visit.stars) == set(star.stars)
    target, chip = star[list(star.ids).index(visit.ids[0])], slice(3700, 6000)
    wave, expected = target.grid.wavelength[chip], target.flux[0, chip]

    def agreement(velocity: float) -> float:
        at_rest = np.interp(wave, visit.grid.wavelength / doppler_factor(velocity), visit.flux[0])
        return float(np.corrcoef(at_rest, expected)[0, 1])

    assert agreement(visit.meta["rv"][0]) > 0.98
    assert agreement(visit.meta["v_helio"][0]) < agreement(visit.meta["rv"][0]) - 0.05


def test_apvisit_chips_are_in_order(tmp_path):
    grid = read_file(apvisit(tmp_path)).grid
    assert grid.chips == ((0, 60), (60, 120), (120, 180))
    assert np.diff(grid.wavelength).min() > 0.19


def test_aspcapstar_keeps_raw_and_calibrated_parameters(shared_data):
    spectra = read_file(surveys.find(shared_data / "apogee/aspcapStar")[0])
    assert spectra.meta["fparam"][0][:2] == pytest.approx([2500.6, 1.0209])
    assert spectra.meta["param"][0][0] == -9999
    assert 0.5 < np.median(spectra.flux[~spectra.mask]) < 1.5


def test_sdss_velocity_position_and_class(shared_data, tmp_path):
    star = read_file(shared_data / "sdss/spec-3128-54776-0008.fits")
    assert star.ids[0] == "3128-54776-0008"
    assert star.meta["rv"][0] == pytest.approx(-42.7, abs=0.1)
    assert (star.meta["ra"][0], star.meta["class"][0]) == (pytest.approx(341.01617), "STAR")
    dwarf = read_file(shared_data / "sdss/spec-0266-51602-0031.fits")
    assert dwarf.meta["subclass"][0] == "WD"
    assert read_file(sdss(tmp_path)).stars[0] == "SDSS J000400.00-020000.0"


def test_sdss_line_spread_is_the_files_own(shared_data):
    grid = read_file(shared_data / "sdss/spec-3586-55181-0500.fits").grid
    assert grid.lsf is not None
    resolution = grid.wavelength / grid.lsf.fwhm_at(grid.wavelength)
    assert 1000 < resolution.min() < resolution.max() < 3000


def test_mastar_is_at_rest_whatever_the_velocity(shared_data):
    """The G2V star was shifted by 51.7 km/s: its calcium line lies where it should in vacuum."""
    spectra = read_file(shared_data / "sdss/mastar_example_spectral_types.fits")
    row = int(np.argmin(np.abs(spectra.meta["rv"] + 51.4)))
    assert _centre(spectra.grid.wavelength, spectra.flux[row], 8544.44) < 15


def test_mastar_without_errors_has_unknown_errors(shared_data):
    spectra = read_file(shared_data / "sdss/mastar_selected_dwarfs.fits")
    assert not spectra.ivar.any()
    assert 0 < spectra.masked_fraction.mean() < 0.05


def test_mastar_flagged_velocities_are_unknown(tmp_path):
    spectra = read_file(mastar(tmp_path))
    assert np.isnan(spectra.meta["rv"]).tolist() == [False, False, True]
    assert list(spectra.stars) == ["7-1", "7-1", "7-2"]


def test_miles_is_in_air_and_at_rest(shared_data):
    star = read_file(shared_data / "miles/MILES_res2.50_star_m0001V.fits")
    assert _centre(star.grid.wavelength, star.flux[0], 6562.80) < 10
    assert (star.ids[0], star.grid.wavelength[0], star.n_pixels) == ("0001", 3540.5, 4300)
    other = read_file(shared_data / "miles/MILES_res2.50_star_m0985V.fits")
    assert (other.ids[0], other.stars[0]) == ("0985", "NGC 7789 971(946)")


def test_miles_without_the_table_has_the_number_as_star(tmp_path):
    assert read_file(miles(tmp_path)).stars[0] == "0001"


def test_lamost_velocity_takes_the_lines_home(shared_data):
    """In vacuum, heliocentric: with Z taken out, calcium lies at its laboratory wavelength."""
    spectra = [read_file(p) for p in surveys.find(shared_data / "lamost")[::2]]
    good = [s for s in spectra if abs(s.meta["rv"][0]) > 40 and s.meta["subclass"][0][0] in "GK"]
    assert len(good) > 5
    offsets = {
        name: [
            _centre(one.grid.wavelength / factor(one.meta["rv"][0]), one.flux[0], 8544.44)
            for one in good
        ]
        for name, factor in (("rest", doppler_factor), ("observed", lambda velocity: 1.0))
    }
    assert np.median(offsets["rest"]) < 20
    assert np.median(offsets["observed"]) > 40


def test_lamost_groups_of_visits_are_found_by_position(shared_data):
    from astropy.table import Table, vstack

    folder = shared_data / "lamost"
    groups = Table.read(next(folder.glob("*.csv")))
    group = {str(row["combined_file"]).split("/")[-1]: row["GroupID"] for row in groups}
    paths = surveys.find(folder)
    meta = vstack([read_file(path).meta for path in paths])
    stars = surveys.stars_by_position(meta["ra"], meta["dec"], meta["star"])
    assert len(set(meta["star"])) == 151
    pairs = {(group[path.name], star) for path, star in zip(paths, stars, strict=True)}
    assert len(pairs) == len(set(group.values())) == len(set(stars))


def test_lamost_pilot_survey_has_wavelengths_from_its_header(tmp_path):
    wave = read_file(lamost(tmp_path, pilot=True)).grid.wavelength
    assert wave == pytest.approx(10 ** (3.6 + 1e-4 * np.arange(60)))


def test_lamost_of_higher_resolution_says_that_it_is_not_known(tmp_path):
    from astropy.io import fits
    from astropy.table import Table

    table = Table({"FLUX": [[1.0, 1.0]], "WAVELENGTH": [[5000.0, 5001.0]]})
    head = fits.Header({"TELESCOP": "LAMOST"})
    path = tmp_path / "med.fits"
    fits.HDUList([fits.PrimaryHDU(header=head), fits.BinTableHDU(table)]).writeto(path)
    with pytest.raises(ReadError, match="only low resolution"):
        read_file(path)


def test_galah_example_is_in_air_and_at_rest(shared_data):
    star = read_file(shared_data / "galah/example_spectrum.txt")
    assert (star.grid.medium, star.frame, star.n_pixels) == ("air", "rest", 635)
    assert _centre(star.grid.wavelength, star.flux[0], 6562.80, half=8) < 3


@pytest.mark.parametrize("hdus", [5, 8])
def test_galah_ccd_starts_where_it_should(tmp_path, hdus):
    """CRPIX1 is 0 in DR3 and 1 in DR4; the first pixel is CRVAL1 in both."""
    star = read_file(galah(tmp_path, hdus=hdus))
    assert (star.grid.wavelength[0], star.frame) == (4713.0, "observed")
    assert star.meta["rv"][0] == 12.5
    assert star.error[0, 0] == pytest.approx(2.0)


def test_galah_gap_makes_chips(tmp_path):
    assert read_file(galah_table(tmp_path)).grid.chips == ((0, 30), (30, 60))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# wave sob uob\n1.0 2.0\n", "fewer"),
        ("# wave sob uob\n", "0 lines"),
        ("# wave sob\n5000 x\n5001 1\n", "no number"),
    ],
)
def test_galah_text_that_is_not_whole(tmp_path, text, message):
    path = tmp_path / "a.txt"
    path.write_text(text)
    with pytest.raises(ReadError, match=message):
        read_file(path)


@pytest.mark.parametrize("pattern", ["apogee/apStar/*2M19*", "sdss/spec-[03]*-5[15]*"])
def test_as_specutils_reads_it(shared_data, pattern):
    from specutils import Spectrum

    paths = surveys.find(shared_data / pattern)
    assert len(paths) > 1
    for path in paths:
        ours = read_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # theirs has some about units
            theirs = Spectrum.read(path)
        wave = theirs.spectral_axis.to_value("Angstrom")
        assert ours.grid.wavelength == pytest.approx(wave, rel=3e-7)  # theirs is float32 for SDSS
        assert np.allclose(ours.flux[0], np.nan_to_num(theirs.flux.value), rtol=1e-6)
        assert theirs.uncertainty is not None
        good = ~ours.mask[0]
        array = theirs.uncertainty.array[good]
        error = array if "Star" in path.name else array**-0.5
        assert ours.error[0, good] == pytest.approx(error, rel=1e-5)


@pytest.mark.parametrize("bits", [(0, 12), ("BADPIX", "sig_skyline"), ("0", 12)])
def test_mask_bits_by_number_and_by_name(shared_data, bits):
    path = surveys.find(shared_data / "apogee/apVisit")[0]
    default = read_file(path).masked_fraction
    assert read_file(path, options=ReadOptions(mask_bits=bits)).masked_fraction > default


def test_unknown_bits_are_an_error_that_lists_the_known(tmp_path):
    with pytest.raises(ConfigError, match=r"NOPE.*12 SIG_SKYLINE"):
        read_file(apstar(tmp_path), options=ReadOptions(mask_bits=("NOPE",)))
    with pytest.raises(ConfigError, match="no bit 99"):
        SURVEYS["sdss"].bits.value((99,))  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "wrong", [{"error_floor": -1.0}, {"medium": "water"}, {"frame": "mine"}, {"mask_bits": "0"}]
)
def test_options_that_are_wrong(wrong):
    with pytest.raises(ConfigError, match=re.escape(next(iter(wrong)))):
        ReadOptions(**wrong)


def _centre(wave, flux, line, half=12.0):
    """Distance of an absorption line's centre from where it should be, in km/s."""
    near = np.abs(wave - line) < half
    wave, flux = wave[near], flux[near].astype(float)
    ends = [flux[:3].mean(), flux[-3:].mean()]
    depth = np.clip(1 - flux / np.interp(wave, wave[[0, -1]], ends), 0, None)
    core = slice(max(0, depth.argmax() - 3), depth.argmax() + 4)
    return abs(np.average(wave[core], weights=depth[core]) / line - 1) * 299792.458
