from dataclasses import replace

import numpy as np
import pytest
import torch
from astropy.io import fits
from typer.testing import CliRunner

from starnet.catalog import read_table
from starnet.cli import app
from starnet.errors import ConfigError, ReadError
from starnet.models.emulator import EmulatorConfig, EmulatorNetwork
from starnet.spectra import LineSpread, WavelengthGrid
from starnet.synthesis.emulator import Emulator
from starnet.synthesis.emulator.hull import LabelHull


@pytest.fixture(scope="module")
def emulator(tmp_path_factory):
    """An emulator of two labels on the pixels of apStar files, in a folder."""
    lsf = LineSpread(resolution=30000.0)
    grid = WavelengthGrid.log10(4.179, 6e-6, 8575, "vacuum", lsf=lsf)
    network = EmulatorNetwork(EmulatorConfig(2, 8575, components=3, hidden=(4,)))
    state = network.state_dict()
    at = np.arange(30, 8575, 60)
    lines = np.exp(-0.5 * ((np.arange(8575) - at[:, None]) / 2.5) ** 2)
    share = np.random.default_rng(1).uniform(0, 0.1, (4, len(at)))
    state["low"], state["high"] = torch.tensor([4000.0, 0.0]), torch.tensor([6000.0, 5.0])
    state["mean"] = torch.tensor(1 - 3 * share[3] @ lines).float()
    state["basis"] = torch.tensor(share[:3] @ lines).float()
    network.load_state_dict(state)
    hull = LabelHull(
        ("teff", "logg"),
        np.array([4e3, 0.0]),
        np.array([6e3, 5.0]),
        np.zeros((0, 4)),
        np.zeros((0, 3)),
    )
    made = Emulator(network.eval(), hull, grid, "made up")
    return made, made.save(tmp_path_factory.mktemp("fit") / "emulator")


def write(path, flux, error):
    """An apStar file of one visit."""
    head = fits.Header({"SFILE1": "apVisit-1.fits", "NVISITS": 1, "OBJID": path.stem})
    axis = {"CRVAL1": 4.179, "CDELT1": 6e-6, "CRPIX1": 1}
    hdus = [fits.PrimaryHDU(header=head)]
    hdus += [fits.ImageHDU(a.astype("f4"), fits.Header(axis)) for a in (flux, error)]
    hdus.append(fits.ImageHDU(np.zeros(flux.shape, dtype="i2")))
    fits.HDUList(hdus).writeto(path)


@pytest.fixture
def folder(emulator, tmp_path, rng):
    """Two good files and a broken one."""
    grid = replace(emulator[0].grid, lsf=LineSpread(resolution=22500.0))  # that of the reader
    with torch.no_grad():
        flux = emulator[0].on(grid).flux(torch.tensor([[4500.0, 2.0], [5500.0, 4.0]])).numpy()
    for i, row in enumerate(300 * flux):
        write(tmp_path / f"apStar-{i}.fits", row + rng.normal(0, 1, row.shape), row * 0 + 1)
    (tmp_path / "broken.fits").write_bytes(b"nothing")
    return tmp_path


def run(*words):
    result = CliRunner().invoke(app, ["fit", *map(str, words)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_fits_of_files_with_the_bad_one_named(emulator, folder):
    out = folder / "out" / "fits.fits"
    told = run(folder, "--emulator", emulator[1], "--out", out, "--no-rv", "--starts", 1)
    assert "no fit for broken.fits" in told.output
    table = read_table(out)
    assert len(table) == 3
    assert sorted(np.asarray(table["flag"])) == [0, 0, 4]
    good = table[np.asarray(table["flag"]) == 0]
    off = (good["teff"].value - [4500, 5500]) / good["teff_err"].value
    assert np.abs(off).max() < 5
    assert not list(out.parent.glob(".*parts"))
    assert (out.parent / "fits.fits.config.yaml").is_file()


def test_only_bad_files_are_an_error(emulator, folder):
    with pytest.raises(ReadError, match="No spectrum could be fitted"):
        run(folder / "broken.fits", "--emulator", emulator[1], "--out", folder / "x.csv")


def test_wrong_flags_stop_the_command(emulator, folder):
    with pytest.raises(ConfigError, match="name=value"):
        run(folder, "--emulator", emulator[1], "--fix", "logg", "--out", folder / "x.csv")
    assert not (folder / "x.csv").exists()
