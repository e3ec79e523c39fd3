import json
import pickle

import numpy as np
import pytest
from safetensors import SafetensorError

from starnet.artifact import JSON_NAME, WEIGHTS_NAME, load_model
from starnet.errors import FrameError, GridError, ModelError, OutputError
from starnet.inference import Predictor
from starnet.preprocess import Pipeline, Resample


def test_a_saved_model_predicts_the_same_to_the_last_bit(toy_model, toy_spectra, tmp_path):
    before = Predictor(toy_model).predict(toy_spectra).labels.values
    back = load_model(toy_model.save(tmp_path / "model"))
    assert np.array_equal(Predictor(back).predict(toy_spectra).labels.values, before)
    assert back.labels == ("teff", "logg")
    assert back.input_grid.matches(toy_spectra.grid, tolerance=1e-6)


def test_the_json_can_be_read_by_people_and_the_folder_holds_no_code(toy_model, tmp_path):
    folder = toy_model.save(tmp_path / "model")
    assert sorted(p.name for p in folder.iterdir()) == [JSON_NAME, WEIGHTS_NAME]
    about = json.loads((folder / JSON_NAME).read_text())
    assert about["labels"]["teff"]["unit"] == "K"
    assert about["pipeline"]["steps"][0]["transform"] == "ChipMedian"
    header = (folder / WEIGHTS_NAME).read_bytes()[8:]
    assert header.startswith(b'{"')  # safetensors: a length, then JSON, then numbers


def test_loading_never_unpickles(toy_model, tmp_path, monkeypatch):
    folder = toy_model.save(tmp_path / "model")
    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, None)
    load_model(folder)


def damage(folder, how):
    weights, about = folder / WEIGHTS_NAME, folder / JSON_NAME
    if how == "no weights":
        weights.unlink()
    elif how == "truncated weights":
        weights.write_bytes(weights.read_bytes()[:-10])
    elif how == "no json":
        about.unlink()
    elif how == "no JSON inside":
        about.write_text("{not json")
    elif how == "foreign json":
        about.write_text('{"format": "something else"}')
    else:
        data = json.loads(about.read_text())
        data.update(how)
        about.write_text(json.dumps(data))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("no weights", "absent or does not belong"),
        ("truncated weights", "checksum"),
        ("no json", "is no StarNet model"),
        ("no JSON inside", "cannot be read"),
        ("foreign json", "does not describe a StarNet model"),
        ({"format_version": 99}, "Upgrade"),
        ({"network": {"family": "unknown"}}, "cannot build"),
        ({"labels": {}}, "cannot build"),
        ({"pipeline": {"transform": "Unknown"}}, "cannot build"),
    ],
)
def test_damaged_and_foreign_models_are_refused_with_a_sentence(toy_model, tmp_path, how, message):
    folder = toy_model.save(tmp_path / "model")
    damage(folder, how)
    with pytest.raises(ModelError, match=message):
        load_model(folder)


def test_a_model_is_replaced_on_purpose_only(toy_model, tmp_path):
    folder = toy_model.save(tmp_path / "model")
    with pytest.raises(OutputError, match="exists"):
        toy_model.save(folder)
    toy_model.save(folder, overwrite=True)
    assert load_model(folder).name == "toy"
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_a_failed_save_leaves_nothing_behind(toy_model, tmp_path, monkeypatch):
    for kind in (OSError, SafetensorError):

        def full(*_, kind=kind):
            raise kind("No space left on device")

        monkeypatch.setattr("starnet.models.stored.save_file", full)
        with pytest.raises(OutputError, match="No space left"):
            toy_model.save(tmp_path / "model")
        assert list(tmp_path.iterdir()) == []


def test_what_is_no_model_is_never_replaced(toy_model, tmp_path):
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "chapter1.tex").write_text("years of work")
    with pytest.raises(OutputError, match="is not replaced"):
        toy_model.save(folder, overwrite=True)
    assert (folder / "chapter1.tex").read_text() == "years of work"


def test_other_grids_and_frames_are_refused_with_the_remedy(toy_model, toy_spectra):
    with pytest.raises(GridError, match=r"model\.adapt\(spectra\)"):
        toy_model.prepare(toy_spectra.select_pixels(slice(0, 100)))
    with pytest.raises(FrameError, match="observed frame"):
        toy_model.prepare(toy_spectra.replace(frame="observed"))
    with pytest.raises(GridError, match="air"):
        toy_model.prepare(toy_spectra.replace(grid=toy_spectra.grid.to_air()))
    shifted = toy_spectra.grid.shifted(60.0)
    with pytest.raises(GridError, match="train a model"):
        toy_model.prepare(toy_spectra.replace(grid=shifted))


def test_a_model_that_resamples_reads_other_grids(toy_model, toy_spectra):
    from dataclasses import replace

    steps = (Resample(toy_spectra.grid), *toy_model.pipeline.steps)
    flexible = replace(toy_model, pipeline=Pipeline(steps))
    other = toy_spectra.replace(grid=toy_spectra.grid.shifted(5.0))
    assert flexible.prepare(other).grid.matches(toy_spectra.grid)


def test_not_a_number_becomes_null(toy_model, tmp_path):
    from dataclasses import replace

    odd = replace(toy_model, provenance={"loss": np.float32("nan"), "rows": np.arange(3)})
    about = json.loads((odd.save(tmp_path / "model") / JSON_NAME).read_text())
    assert about["provenance"] == {"loss": None, "rows": [0, 1, 2]}


def test_spectra_are_adapted_on_request(toy_model, toy_spectra):
    meta = toy_spectra.meta.copy()
    meta["rv"] = 30.0
    grid = toy_spectra.grid.shifted(30.0)
    observed = toy_spectra.replace(grid=grid.to_air(), frame="observed", meta=meta)
    adapted = toy_model.adapt(observed)
    toy_model.check(adapted.grid, adapted.frame)
    good = ~adapted.mask & ~toy_spectra.mask
    assert good.mean() > 0.7
    assert np.abs(adapted.flux - toy_spectra.flux)[good].mean() < 0.01
    far = toy_spectra.grid.shifted(30000.0)
    with pytest.raises(GridError):
        toy_model.adapt(toy_spectra.replace(grid=far))
