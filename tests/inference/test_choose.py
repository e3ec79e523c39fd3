from dataclasses import replace

import numpy as np
import pytest

import starnet
from starnet.catalog import make_catalog, read_table
from starnet.errors import GridError, ModelError, ReadError
from starnet.inference import LabelFlag, load_all, load_predictor
from starnet.spectra import LineSpread, WavelengthGrid
from tests.inference import stand_ins


@pytest.fixture(scope="module")
def truth():
    return stand_ins.labels_of(5)


def test_models_by_name_give_labels_errors_and_chi2(shipped, truth):
    prediction = starnet.load("red").predict(stand_ins.observed(truth))
    table = prediction.to_table()
    assert np.allclose(prediction.labels.values[:, 0], truth[:, 0], atol=300)
    assert np.allclose(table["teff_err"].value, 0.05 * 1500)
    assert str(table["teff_err"].unit) == "K"
    assert np.all(np.asarray(table["chi2"]) < 1.5)
    assert list(table["model"]) == ["red"] * 5
    assert not np.any(table["flag"])
    assert "chi2" not in load_predictor("red", cycle=False).predict(
        stand_ins.observed(truth)).to_table().colnames  # fmt: skip


def test_the_right_model_is_chosen(shipped, truth):
    chooser = starnet.load()
    red, blue = stand_ins.observed(truth), stand_ins.observed(truth, start=3.7, seed=3)
    assert chooser.predict(red).about["model"] == "red"
    assert chooser.predict(blue).about["model"] == "blue"
    assert not chooser.predict(blue).flags.any()


def test_other_pixels_and_observed_frames_are_brought_to_the_model(shipped, truth):
    spectra = stand_ins.observed(truth, shift=47.0)
    shifted = spectra.replace(grid=replace(spectra.grid, wavelength=spectra.grid.wavelength + 0.07))
    prediction = starnet.load().predict(shifted)
    table = prediction.to_table()
    moved = 47.0 + 299792.458 * 0.07 / 15300
    assert np.allclose(table["rv"], moved, atol=1.0)
    assert not prediction.flags.any()
    assert np.allclose(prediction.labels.values[:, 0], truth[:, 0], atol=400)


@pytest.mark.parametrize(
    "grid",
    [
        WavelengthGrid.linear(8400, 0.2, 2000, "vacuum"),
        replace(stand_ins.grid(), lsf=LineSpread(resolution=2000.0)),
        stand_ins.grid().select(slice(0, 900)),
    ],
    ids=["elsewhere", "too broad", "half of it"],
)
def test_spectra_that_no_model_reads(shipped, truth, grid):
    spectra = stand_ins.observed(truth).select_pixels(slice(0, grid.n_pixels)).replace(grid=grid)
    with pytest.raises(GridError, match=r"blue reads.*red reads.*starnet train.*--model"):
        starnet.load().predict(spectra)


def test_names_that_are_none(shipped, tmp_path, monkeypatch):
    with pytest.raises(ModelError, match="comes with blue, red"):
        starnet.load("green")
    monkeypatch.setattr("starnet._shipped.SHIPPED", tmp_path)
    with pytest.raises(ModelError, match="no models"):
        load_all()


def test_bad_spectra_end_flagged(shipped, truth):
    good = stand_ins.observed(np.repeat(truth[:1], 6, axis=0), snr=60)
    flux, ivar, mask = np.array(good.flux), np.array(good.ivar), np.array(good.mask)
    flux[1] = 300 * (1 + 0.0 * flux[1])  # no lines: a hot star
    flux[2, ::7] = np.nan
    ivar[3] /= 400  # S/N 3
    mask[4, :900] = True
    ivar[5] = -1
    prediction = starnet.load("red").predict(good.replace(flux=flux, ivar=ivar, mask=mask))
    flags = np.bitwise_or.reduce(prediction.flags, axis=1)
    assert flags[0] == 0
    assert flags[1] & LabelFlag.POOR_FIT
    assert np.isfinite(prediction.labels.values[2]).all()
    assert flags[3] & LabelFlag.LOW_SNR
    assert np.isnan(prediction.labels.values[3]).all()
    assert flags[4] & LabelFlag.EMPTY_CHIP
    assert flags[5] & LabelFlag.FAILED
    kept = starnet.load("red", min_snr=0.0).predict(good.replace(ivar=ivar)[3])
    assert np.isfinite(kept.labels.values).all()


def test_a_catalogue_of_mixed_files(shipped, truth, tmp_path):
    known = {
        "a": stand_ins.observed(truth[:1]),
        "b": stand_ins.observed(truth[1:2], start=3.7, seed=3),
        "c": stand_ins.observed(truth[2:3], shift=33.0),
        "d": stand_ins.observed(truth[3:4]).select_pixels(slice(0, 500)),
        "f": stand_ins.observed(truth[4:5], snr=2),
    }
    for name in "abcdef":
        (tmp_path / f"{name}.fits").write_text("read by the function below")

    def reader(path):
        if path.stem == "e":
            raise ReadError("e.fits is truncated.")
        one = known[path.stem]
        meta = one.meta.copy()
        meta["file"] = [path.name]
        return one.replace(meta=meta)

    files = [tmp_path / f"{name}.fits" for name in "abcdef"]
    out = tmp_path / "labels.fits"
    report = make_catalog(load_all(), files, out, reader=reader, part_size=4)
    table = read_table(out)
    assert [str(m) for m in table["model"]] == ["red", "blue", "red", "", "", "red"]
    assert np.isnan(table["teff"].value).tolist() == [False] * 3 + [True] * 3
    assert np.isfinite(table["teff_err"].value[:3]).all()
    assert "starnet train" in str(table["message"][3])
    assert "truncated" in str(table["message"][4])
    assert "below 5" in str(table["message"][5])
    assert float(table["rv"][2]) == pytest.approx(33.0, abs=1.0)
    assert table.meta["model"] == "blue red"
    assert (report.n_failed, report.n_flagged) == (3, 3)


def test_labels_that_one_model_lacks_are_nan(shipped, truth, tmp_path):
    chooser = load_all()
    red = chooser.predictors["red"]
    scale = replace(red.model.scale, names=("teff", "logg", "mg_h"))
    other = replace(red, model=replace(red.model, scale=scale))
    mixed = replace(chooser, predictors={**chooser.predictors, "red": other})
    both = {
        "a": stand_ins.observed(truth[:1]),
        "b": stand_ins.observed(truth[:1], start=3.7, seed=3),
    }
    files = [tmp_path / f"{name}.fits" for name in both]
    for path in files:
        path.write_text("read by the function below")
    make_catalog(mixed, files, tmp_path / "l.ecsv", reader=lambda path: both[path.stem])
    table = read_table(tmp_path / "l.ecsv")
    assert np.isnan(table["mg_h"].value).tolist() == [False, True]
    assert np.isnan(table["fe_h"].value).tolist() == [True, False]
    assert table["mg_h_flag"].tolist()[1] == LabelFlag.FAILED
    assert table["fe_h_flag"].tolist()[0] == LabelFlag.FAILED
    assert table["flag"].tolist() == [0, 0]
