"""Rubbish, foreign files, the generic reader, and many files of which some are bad."""

import logging

import numpy as np
import pytest
from _survey_files import apstar, galah_text, miles, sdss
from astropy.io import fits
from astropy.nddata import StdDevUncertainty
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st

from starnet import surveys
from starnet.errors import ConfigError, DataError, ReadError
from starnet.surveys import ReadOptions, find, identify, join_arms, read_file, read_many

KNOWN = ReadOptions(medium="vacuum", frame="rest")


def _write(path, *hdus):
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)
    return path


def _rubbish(folder):
    head = fits.Header({"TELESCOP": "HST", "CRVAL1": 1.0})
    return {
        "empty.fits": b"",
        "text.fits": b"this is no FITS file\n" * 50,
        "zeros.fits": bytes(9000),
        "simple.fits": b"SIMPLE  =                    T" + b" " * 5000,
        "html.fits.gz": b"<html>not found</html>",
        "damaged.fits.gz": b"\x1f\x8b\x08\x00" + b"\x07" * 500,
        "image.fits": _bytes(folder, fits.PrimaryHDU(np.zeros((10, 10)), header=head)),
        "catalogue.fits": _bytes(folder, fits.PrimaryHDU(), fits.BinTableHDU(Table({"ra": [1.0]}))),
    }


def _bytes(folder, *hdus):
    path = folder / "x.fits"
    fits.HDUList(list(hdus)).writeto(path, overwrite=True)
    return path.read_bytes()


@pytest.mark.parametrize("options", [ReadOptions(), KNOWN])
def test_rubbish_is_a_read_error_with_a_sentence(tmp_path, options):
    for name, data in _rubbish(tmp_path).items():
        path = tmp_path / name
        path.write_bytes(data)
        assert identify(path) is None
        with pytest.raises(ReadError) as error:
            read_file(path, options=options)
        assert str(error.value).startswith(f"{path}: ")
        assert str(error.value).endswith(".")


def test_a_foreign_file_is_told_what_it_is_and_what_is_read(tmp_path):
    table = fits.BinTableHDU(Table({"ra": [1.0], "dec": [2.0]}))
    with pytest.raises(ReadError, match=r"columns ra, dec.*APOGEE apStar.*medium="):
        read_file(_write(tmp_path / "a.fits", table))


def test_absent_files_and_folders(tmp_path):
    with pytest.raises(ReadError, match="no such file"):
        read_file(tmp_path / "absent.fits")
    with pytest.raises(ReadError, match="not read"):
        read_file(tmp_path)
    assert identify(tmp_path / "absent.fits") is None
    assert identify(tmp_path) is None
    with pytest.raises(ConfigError, match="no survey 'hubble'"):
        read_file(tmp_path, "hubble")


@settings(deadline=None)
@given(st.binary(max_size=600))
def test_no_bytes_make_identify_raise(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("bytes")
    for start in (b"", b"SIMPLE  =                    T".ljust(80), b"\x1f\x8b"):
        path = folder / "a.fits"
        path.write_bytes(start + data)
        assert identify(path) is None


@settings(deadline=None)
@given(at=st.integers(0, 8000), value=st.integers(0, 255))
def test_one_damaged_byte_never_ends_in_a_traceback(tmp_path_factory, at, value):
    path = sdss(tmp_path_factory.mktemp("damaged"))
    data = bytearray(path.read_bytes())
    data[at] = value
    path.write_bytes(bytes(data))
    identify(path)
    try:
        spectra = read_file(path)
    except ReadError as error:
        assert str(path) in str(error)  # noqa: PT017 - or it is read
    else:
        assert np.all(np.isfinite(spectra.flux))


def test_a_missing_hdu_is_named(tmp_path):
    path = apstar(tmp_path)
    with fits.open(path) as hdus:
        fits.HDUList([hdu.copy() for hdu in hdus[:3]]).writeto(tmp_path / "apStar-two.fits")
    with pytest.raises(ReadError, match=r"apStar-two.*HDU 3"):
        read_file(tmp_path / "apStar-two.fits")


def test_axes_that_do_not_agree(tmp_path):
    path = apstar(tmp_path)
    with fits.open(path, mode="update") as hdus:
        hdus[2].data = np.zeros((5, 30), "f4")
    with pytest.raises(ReadError, match="one shape"):
        read_file(path)


def test_all_masked_spectra_are_read_and_wholly_masked(tmp_path):
    path = apstar(tmp_path)
    with fits.open(path, mode="update") as hdus:
        hdus[2].data[:] = 0.0
    assert read_file(path).mask.all()


def test_wavelengths_in_nanometres_come_out_in_angstrom(tmp_path):
    from astropy import units as u
    from specutils import Spectrum

    wave, flux = np.linspace(480.0, 680.0, 100) * u.nm, np.ones(100) * u.Jy
    spectrum = Spectrum(flux, wave, uncertainty=StdDevUncertainty(0.1 * np.ones(100)))
    path = tmp_path / "nm.fits"
    spectrum.write(path, format="tabular-fits")
    with pytest.raises(ReadError, match="medium="):
        read_file(path)
    read = read_file(path, options=KNOWN)
    assert read.grid.wavelength[[0, -1]] == pytest.approx([4800.0, 6800.0])
    assert read.meta["snr"][0] == pytest.approx(10.0, rel=1e-4)
    assert (read.ids[0], read.meta["file"][0]) == ("nm", str(path))


def test_the_arms_of_desi_become_one_spectrum_with_chips(tmp_path):
    """Layout of https://desidatamodel.readthedocs.io: each arm has its own wavelengths."""
    hdus: list = [fits.PrimaryHDU(header=fits.Header({"INFIL000": "a"}))]
    for name in ("FIBERMAP", "SCORES"):
        hdus.append(fits.BinTableHDU(Table({"TARGETID": [39627, 39628]}), name=name))
    for arm, start in (("B", 3600.0), ("R", 3655.0), ("Z", 3800.0)):
        wave = start + 0.8 * np.arange(80)
        flux, bad = np.ones((2, 80), "f4"), np.zeros((2, 80), "i4")
        bad[0, 3] = 4
        unit = {"BUNIT": "Angstrom"}, {"BUNIT": "10**-17 erg/(s cm2 Angstrom)"}
        ivar = {"BUNIT": "10**+34 (s2 cm4 Angstrom2) / erg2"}
        hdus.append(fits.ImageHDU(wave, fits.Header(unit[0]), name=f"{arm}_WAVELENGTH"))
        hdus.append(fits.ImageHDU(flux, fits.Header(unit[1]), name=f"{arm}_FLUX"))
        hdus.append(fits.ImageHDU(4 * flux, fits.Header(ivar), name=f"{arm}_IVAR"))
        hdus.append(fits.ImageHDU(bad, name=f"{arm}_MASK"))
    path = tmp_path / "coadd-main-dark-7.fits"
    fits.HDUList(hdus).writeto(path)
    read = read_file(path, options=ReadOptions(medium="vacuum", frame="observed"))
    assert list(read.ids) == ["39627", "39628"]
    assert len(read.grid.chips) == 3
    assert 200 < read.n_pixels < 240  # B and R overlap
    assert read.mask.sum(axis=1).tolist() == [2, 0]  # one was in the overlap
    assert np.allclose(read.error[~read.mask], 0.5)


def test_capital_nanometres_and_the_medium_of_the_axis(shared_data):
    path = shared_data / "highres/ATLAS.Sun_47000.fits"
    sun = read_file(path, "specutils", ReadOptions(frame="rest"))  # CTYPE1 AWAV: air
    assert (sun.grid.medium, sun.grid.wavelength[0]) == ("air", pytest.approx(4800.0))
    with pytest.raises(ReadError, match="frame"):
        read_file(path, "specutils")


def test_tiny_flux_units_do_not_overflow(tmp_path):
    from astropy import units as u
    from specutils import Spectrum

    unit = u.Unit("erg / (s cm2 Angstrom)")
    wave = np.linspace(5000.0, 6000.0, 50) * u.AA
    sigma = StdDevUncertainty(np.full(50, 1e-21))
    spectrum = Spectrum(np.full(50, 3e-19) * unit, wave, uncertainty=sigma)
    path = tmp_path / "tiny.fits"
    spectrum.write(path, format="tabular-fits")
    read = read_file(path, options=KNOWN)
    assert not read.mask.any()
    assert (read.flux[0, 0] * read.flux_unit).to_value(unit) == pytest.approx(3e-19, rel=1e-5)
    assert read.meta["snr"][0] == pytest.approx(300.0, rel=1e-4)


def test_bad_files_do_not_stop_the_others(tmp_path, caplog):
    good = [apstar(tmp_path), sdss(tmp_path), miles(tmp_path)]
    bad = tmp_path / "bad.fits"
    bad.write_bytes(good[0].read_bytes()[:5000])
    paths = [good[0], bad, tmp_path / "absent.fits", *good[1:]]
    seen = []
    read = list(read_many(paths, on_error=lambda path, error: seen.append((path, error))))
    assert [spectra.meta["file"][0] for spectra in read] == [str(path) for path in good]
    assert [path.name for path, _ in seen] == ["bad.fits", "absent.fits"]
    assert all(isinstance(error, ReadError) for _, error in seen)
    with caplog.at_level(logging.WARNING):
        assert len(list(read_many(paths))) == 3
    assert "bad.fits" in caplog.text
    assert "absent.fits" in caplog.text


def test_find_expands_files_folders_globs_and_lists(tmp_path):
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    star, other, text = apstar(folder), sdss(tmp_path / "a"), galah_text(folder)
    (folder / "notes.txt").write_text("not a spectrum\n")
    (folder / ".hidden.fits").write_bytes(b"")
    assert find(star) == [star]
    assert find(tmp_path) == sorted([star, other, text])
    assert find(str(tmp_path / "a" / "**" / "ap*.fits")) == [star]
    assert find([star, str(other), star]) == [star, other]
    listed = tmp_path / "list.txt"
    listed.write_text(f"# my stars\na/b/{star.name}  # beside the list\n{other}\n\ngone.fits\n")
    assert [path.name for path in find(listed)] == [star.name, other.name, "gone.fits"]
    assert find(text) == [text]  # text, and no list


@pytest.mark.parametrize("what", ["absent", "*.none", "empty", [], "empty.lst"])
def test_find_nothing(tmp_path, what):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.lst").write_text("# nothing\n")
    with pytest.raises(ReadError):
        find(what if isinstance(what, list) else tmp_path / what)


def test_arms_are_put_together(tmp_path):
    from _survey_files import galah

    arms = []
    for ccd, start in enumerate((4713.0, 4715.0), 1):
        path = galah(tmp_path, name=f"14041300260100{ccd}{ccd}.fits")
        with fits.open(path, mode="update") as hdus:
            hdus[0].header["CRVAL1"] = start
            hdus[0].header["OBJECT"] = "A"
        arms.append(read_file(path))
    joined = join_arms(arms[::-1])
    assert np.all(np.diff(joined.grid.wavelength) > 0)
    assert len(joined.grid.chips) == 2
    assert joined.n_pixels < 120  # cut in the middle of the overlap
    assert joined.ids[0] == "A"
    assert joined.grid.lsf is not None
    with pytest.raises(DataError, match="same rows"):
        join_arms([])
    with pytest.raises(DataError, match="within another"):
        join_arms([arms[0], arms[0].select_pixels(slice(5, 9))])


def test_public_names():
    assert len(set(surveys.__all__)) == len(surveys.__all__)
    assert all(hasattr(surveys, name) for name in surveys.__all__)
