"""What networks, fine-tuned and shipped models are given, and what they answer."""

from types import SimpleNamespace

import numpy as np
import pytest

from starnet.dataset import from_arrays, open_dataset
from starnet.evaluate.bench.answers import Work, answer
from starnet.evaluate.bench.entries import Entry
from starnet.preprocess import Pipeline
from starnet.spectra import Labels
from starnet.training import finetune, train

NETWORK = {
    "name": "tiny",
    "preprocess": {"transform": "Pipeline", "steps": [{"transform": "ChipMedian"}]},
    "networks": [{"family": "starnet", "filters": [], "dense": [8]}],
    "training": {"epochs": 2, "batch_size": 16, "device": "cpu"},
    "split": [0.6, 0.2, 0.2],
}


@pytest.fixture
def give(tmp_path, labelled):
    """Makes the work of an entry: 200 stars with two visits, of which 150 are learnt from."""
    spectra, labels = labelled(200, visits=2)
    values = np.column_stack([labels.values, np.linspace(-1, 0, len(labels))])
    from_arrays(spectra, Labels((*labels.names, "fe_h"), values), tmp_path / "stars.zarr")
    data = open_dataset(tmp_path / "stars.zarr")

    def work(entry, **more):
        own = Entry.from_dict("own", entry).to_dict()
        learn, test = np.arange(300), np.arange(300, 400)
        return Work(data, data, own, ("teff", "logg"), learn, test, Pipeline(), **more)

    return work


def test_a_network_stops_by_stars_of_its_own_side_and_has_errors_by_them(give, monkeypatch):
    seen = {}

    def spy(dataset, recipe, **settings):
        seen.update(dataset=dataset, recipe=recipe, rows=settings["rows"])
        return original(dataset, recipe, **settings)

    original = train.train_model
    monkeypatch.setattr("starnet.training.train_model", spy)
    work = give({"network": NETWORK, "also": ["fe_h"]}, noise={"teff": 100.0, "fe_h": 0.3}, seed=2)
    said = answer(work)
    learn, valid, rest = seen["rows"]
    assert np.array_equal(np.sort(np.concatenate([learn, valid])), work.learn)
    assert not rest.size
    stars = work.data.stars
    assert set(stars[learn]).isdisjoint(stars[valid])
    assert len(set(stars[valid])) == pytest.approx(150 / 4, abs=1)
    off = seen["dataset"].labels.values - work.data.labels.values
    assert np.std(off, axis=0) == pytest.approx([100, 0, 0.3], rel=0.2)
    assert seen["recipe"].seed == 2000
    assert said.labels.names == ("teff", "logg", "fe_h")
    assert np.isfinite(said.labels.values).all()
    assert np.isfinite(said.labels.errors).all()
    assert said.about["epochs"] == [2]
    assert min(said.train_s, said.per_s, said.per_s_errors) > 0


def test_fine_tuning_gets_the_rows_and_noisy_labels_of_its_side(give, monkeypatch):
    seen = {}

    def spy(dataset, recipe, readers, *, rows, held):
        seen.update(dataset=dataset, recipe=recipe, rows=rows, held=held)
        raise RuntimeError("enough was seen")

    monkeypatch.setattr(finetune, "fine_tune", spy)
    monkeypatch.setattr(finetune, "hold_out", lambda *_, rows, **__: SimpleNamespace(rows=rows))
    work = give({"finetune": "miles", "errors": True, "also": ["fe_h"]}, noise={"teff": 100.0})
    with pytest.raises(RuntimeError, match="enough"):
        answer(work)
    assert np.array_equal(seen["rows"], work.learn)
    assert np.array_equal(seen["held"].rows, work.learn)
    assert seen["recipe"].labels == ("teff", "logg", "fe_h")
    assert seen["recipe"].log10 == ("teff",)
    assert seen["recipe"].select == {}
    off = seen["dataset"].labels.column("teff") - work.data.labels.column("teff")
    assert np.std(off) == pytest.approx(100, rel=0.2)


def test_a_model_that_is_there_answers_in_rows_of_the_tested(tmp_path, toy_spectra, toy_model):
    toy_model.save(tmp_path / "toy")
    known = Labels(("teff",), np.full((len(toy_spectra), 1), 5000.0))
    from_arrays(toy_spectra, known, tmp_path / "stars.zarr")
    data = open_dataset(tmp_path / "stars.zarr")
    entry = Entry.from_dict("own", {"reader": str(tmp_path / "toy")}).to_dict()
    rows = np.arange(len(data))
    some = [
        answer(Work(data, data, entry, ("teff",), rows[:0], picked, Pipeline())).labels.values
        for picked in (rows, rows[::-1])
    ]
    np.testing.assert_allclose(some[0], some[1][::-1], rtol=1e-5)
