"""The command line as a newcomer uses it: in its own process where the exit code matters."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import yaml
from astropy.io import fits
from astropy.table import Table

from starnet.catalog import read_table
from starnet.cli import app
from starnet.errors import ConfigError, ReadError
from starnet.inference import LabelFlag

VERBS = ["info", "train", "predict", "plot", "demo", "dataset build", "download apogee"]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """A folder of 40 made-up stars in the files of the MILES library, with a label table."""
    from tests.conftest import labelled_spectra

    folder = tmp_path_factory.mktemp("library")
    spectra, labels = labelled_spectra(40)
    for i, flux in enumerate(spectra.flux, start=1):
        hdu = fits.PrimaryHDU(flux)
        hdu.header.update({"CRVAL1": 3540.5, "CDELT1": 0.9, "CRPIX1": 1.0, "TPLLIB": "MILES"})
        hdu.writeto(folder / f"m{i:04d}V.fits")
    table = Table({"star": [f"{i:04d}" for i in range(1, 41)], "teff": labels.column("teff")})
    table["logg"] = labels.column("logg")
    table.write(folder / "labels.csv")
    return folder


def run(*words, **kw):
    """Run `starnet` in a process of its own."""
    command = [sys.executable, "-m", "starnet", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **kw)


def call(*words):
    """Run `starnet` in this process; what it raises comes out."""
    app([str(word) for word in words], standalone_mode=False)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb, capsys):
    call(*verb.split(), "--help")
    assert len(capsys.readouterr().out) > 300


@pytest.fixture(scope="module")
def trained(library, tmp_path_factory):
    """A data set, a model and a label table, made by the command line."""
    folder = tmp_path_factory.mktemp("work")
    call("dataset", "build", library, "--labels", library / "labels.csv",
         "--out", folder / "set.zarr")  # fmt: skip
    call("train", folder / "set.zarr", "--out", folder / "model", "--epochs", 2, "--seed", 3)
    call("predict", library, "--model", folder / "model", "--out", folder / "labels.ecsv")
    return folder


def test_from_a_folder_to_a_table(trained):
    table = read_table(trained / "labels.ecsv")
    assert len(table) == 40
    assert np.isfinite(table["teff"].value).all()
    work = trained / "model.training"
    made = {path.name for path in work.iterdir()}
    assert {"split.ecsv", "test.ecsv", "residuals.ecsv", "training_curve.png"} <= made
    assert "checkpoints" not in made
    parts = read_table(work / "split.ecsv")["part"]
    assert {part: int(np.sum(parts == part)) for part in ("train", "valid", "test")} == {
        "train": 32, "valid": 4, "test": 4,
    }  # fmt: skip


def test_the_effective_settings_are_kept_and_can_be_used_again(trained, tmp_path):
    config = trained / "model.training" / "config.yaml"
    settings = yaml.safe_load(config.read_text())
    assert settings["epochs"] == 2
    assert settings["recipe"] == "starnet-2018"
    out = tmp_path / "again"
    call("train", trained / "set.zarr", "--config", config, "--out", out, "--epochs", 1)
    kept = yaml.safe_load((tmp_path / "again.training" / "config.yaml").read_text())
    assert (kept["epochs"], kept["seed"]) == (1, 3)
    predict = yaml.safe_load((trained / "labels.ecsv.config.yaml").read_text())
    assert predict["max_masked"] == 0.2


@pytest.mark.parametrize("what", ["model", "set.zarr", "", "library", "spectrum"])
def test_info_describes_whatever_it_is_given(trained, library, what, capsys):
    path = {"library": library, "spectrum": library / "m0001V.fits", "": ""}.get(
        what, trained / what
    )
    call("info", *([path] if path else []))
    expected = {"": "recipes", "library": "miles", "spectrum": "air"}.get(what, "teff")
    assert expected in capsys.readouterr().out


def test_figures_with_and_without_a_reference(trained, library, tmp_path):
    call("plot", trained / "labels.ecsv", "--reference", library / "labels.csv",
         "--out", tmp_path / "a")  # fmt: skip
    call("plot", trained / "model.training", "--out", tmp_path / "b")
    assert {p.name for p in (tmp_path / "a").iterdir()} >= {"one_to_one.png", "residuals.png"}
    assert (tmp_path / "b" / "training_curve.png").is_file()


def test_training_anew_under_the_same_name_gives_a_new_model(trained, library, tmp_path):
    out = tmp_path / "model"
    call("train", trained / "set.zarr", "--out", out, "--epochs", 1)
    first = (out / "weights.safetensors").read_bytes()
    table = Table.read(library / "labels.csv", format="ascii.csv", converters={"star": str})
    table["teff"] = 11000.0 - table["teff"]
    table.write(tmp_path / "other.csv")
    call("dataset", "build", library, "--labels", tmp_path / "other.csv",
         "--out", tmp_path / "other.zarr")  # fmt: skip
    call("train", tmp_path / "other.zarr", "--out", out, "--epochs", 1, "--overwrite")
    assert (out / "weights.safetensors").read_bytes() != first


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["info", "nowhere"], "There is no nowhere"),
        (["train", "nowhere.zarr", "--out", "m"], "nowhere.zarr"),
        (["predict", "x.fits", "--model", "nowhere"], "There is no model 'nowhere'"),
        (["plot", "nowhere.fits"], "There is no nowhere.fits"),
        (["train", "x", "--out", "m", "--recipe", "unknown"], "There is no recipe"),
    ],
)
def test_errors_are_one_sentence_and_the_exit_code_is_1(words, sentence, tmp_path):
    done = run(*words, cwd=tmp_path)
    assert done.returncode == 1
    assert sentence in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_unknown_settings_in_a_file_are_refused(trained, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("epoch: 3\n")
    done = run("train", trained / "set.zarr", "--out", tmp_path / "m", "--config", config)
    assert done.returncode == 1
    assert "does not know: epoch" in " ".join(done.stderr.split())


def test_bad_files_in_a_folder_are_named_and_the_rest_is_labelled(trained, library, tmp_path):
    folder = tmp_path / "mixed"
    folder.mkdir()
    good = library / "m0001V.fits"
    (folder / "m0001V.fits").write_bytes(good.read_bytes())
    (folder / "m0002V.fits").write_bytes(good.read_bytes()[:3000])
    (folder / "m0003V.fits").write_bytes(b"")
    (folder / "notes.fits").write_text("these are notes")
    fits.PrimaryHDU(np.zeros((5, 5))).writeto(folder / "image.fits")
    done = run("predict", folder, "--model", trained / "model", "--out", tmp_path / "labels.csv")
    assert done.returncode == 0
    table = Table.read(tmp_path / "labels.csv", format="ascii.csv")
    assert (table["flag"] < 4).sum() == 1
    for name in ("m0002V.fits", "m0003V.fits", "notes.fits", "image.fits"):
        assert name in done.stdout
    nothing = run("predict", folder / "notes.fits", "--model", trained / "model",
                  "--out", tmp_path / "n.csv")  # fmt: skip
    assert nothing.returncode == 1
    assert "No spectrum could be labelled" in nothing.stderr


def test_spectra_of_another_grid_are_adapted_on_request(trained, library, tmp_path):
    flux = fits.getdata(library / "m0001V.fits")
    half = fits.PrimaryHDU(flux[:80])
    half.header.update({"CRVAL1": 3540.5, "CDELT1": 0.9, "CRPIX1": 1.0, "TPLLIB": "MILES"})
    half.writeto(tmp_path / "m0777V.fits")
    out, model = tmp_path / "labels.ecsv", trained / "model"
    words = "predict", tmp_path / "m0777V.fits", "--model", model, "--out", out
    with pytest.raises(ReadError, match="No spectrum could be labelled"):
        call(*words)
    call(*words, "--adapt")
    table = read_table(out)
    assert int(table["flag"][0]) & LabelFlag.MANY_MASKED
    assert float(table["masked_fraction"][0]) == pytest.approx(0.5, abs=0.02)
    call("predict", trained / "set.zarr", "--model", model, "--adapt", "--out", out)
    assert len(read_table(out)) == 40


def test_a_model_among_the_spectra_is_a_mistake(trained, library):
    with pytest.raises(ConfigError, match="is a model, not a spectrum: give it as --model"):
        call("predict", trained / "model", library)


@pytest.mark.skipif(os.name != "posix", reason="signals are those of POSIX")
def test_ctrl_c_in_training_leaves_a_checkpoint_and_a_sentence(trained, tmp_path):
    out = tmp_path / "model"
    command = [sys.executable, "-m", "starnet", "train", str(trained / "set.zarr"), "--out",
               str(out), "--epochs", "100000", "--recipe", str(_patient(tmp_path))]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    work = tmp_path / "model.training" / "checkpoints"
    deadline = time.monotonic() + 90
    while not list(work.glob("**/*.safetensors")) and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert "stopped" in stderr.lower() or "interrupted" in stderr.lower()
    assert not out.exists()
    assert list(work.glob("**/*.safetensors"))


def _patient(folder):
    """A recipe that never stops early."""
    path = folder / "patient.yaml"
    text = "networks: [{family: starnet, filters: [], dense: [8]}]\n"
    path.write_text(text + "training: {patience: null, batch_size: 8}\n")
    return path
