"""`starnet predict`, `info` and `plot --cycle` with models that come with the package."""

import numpy as np
import pytest
from astropy.io import fits
from tests.inference import stand_ins

from starnet import _shipped
from starnet.catalog import read_table
from starnet.cli import app
from starnet.errors import ReadError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return stand_ins.ship(tmp_path_factory.mktemp("shipped"))


@pytest.fixture(autouse=True)
def shipped(folder, monkeypatch):
    monkeypatch.setattr(_shipped, "SHIPPED", folder)


@pytest.fixture
def spec(tmp_path):
    """An SDSS file whose wavelengths are those of the model "red", moving at 40 km/s."""
    spectra = stand_ins.observed(stand_ins.labels_of(1), shift=40.0)
    names, arrays = ("flux", "loglam", "ivar"), (
        spectra.flux[0], np.log10(spectra.grid.wavelength), spectra.ivar[0],
    )  # fmt: skip
    columns = [fits.Column(n, "D", array=a) for n, a in zip(names, arrays, strict=True)]
    table = fits.BinTableHDU.from_columns(columns)
    path = tmp_path / "spec-0001-50000-0001.fits"
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(path)
    return path


def call(*words):
    app([str(word) for word in words], standalone_mode=False)


def test_a_file_gets_its_model_and_a_row_with_errors(spec, tmp_path):
    (tmp_path / "notes.fits").write_text("no spectrum")
    call("predict", spec, tmp_path / "notes.fits", "--out", tmp_path / "labels.fits")
    table = read_table(tmp_path / "labels.fits")
    assert [str(name) for name in table["model"]] == ["red", ""]
    assert float(table["rv"][0]) == pytest.approx(40.0, abs=1.0)
    assert float(table["teff_err"][0].value) > 0
    assert np.asarray(table["flag"]).tolist() == [0, 4]
    call("predict", spec, "--model", "red", "--no-cycle", "--out", tmp_path / "named.csv")
    assert "chi2" not in read_table(tmp_path / "named.csv").colnames


def test_spectra_that_no_model_reads_name_the_models(tmp_path):
    hdu = fits.PrimaryHDU(np.ones(300))
    hdu.header.update({"CRVAL1": 3540.5, "CDELT1": 0.9, "CRPIX1": 1.0, "TPLLIB": "MILES"})
    hdu.writeto(tmp_path / "m0001V.fits")
    with pytest.raises(ReadError, match="No spectrum could be labelled"):
        call("predict", tmp_path / "m0001V.fits", "--out", tmp_path / "labels.ecsv")
    message = str(read_table(tmp_path / "labels.ecsv")["message"][0])
    assert "blue reads" in message
    assert "starnet synth" in message


def test_info_lists_models_and_shows_their_cards(folder, capsys):
    call("info")
    shown = " ".join(capsys.readouterr().out.split())
    assert "model red" in shown
    assert "emulator blue" in shown
    call("info", "red")
    shown = " ".join(capsys.readouterr().out.split())
    assert "made up" in shown
    assert "hot stars" in shown
    assert "stand-in" in shown
    call("info", folder / "emulators" / "blue")
    assert "stand-in" in capsys.readouterr().out
    with pytest.raises(ReadError, match=r"by name \(blue, red\) or folder"):
        call("info", "green")


def test_the_cycle_is_drawn(spec, tmp_path):
    call("plot", spec, "--cycle", "--out", tmp_path / "figures")
    assert len(list((tmp_path / "figures").glob("cycle-*.png"))) == 1
