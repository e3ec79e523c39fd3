import dataclasses

import numpy as np
import pytest
import torch

from starnet.dataset import from_arrays, open_dataset
from starnet.errors import LabelError, TrainingError, TrainingInterrupted
from starnet.inference import Predictor
from starnet.preprocess import AddNoise, ChipMedian, InterpolateMasked, Pipeline
from starnet.spectra import Labels
from starnet.training import Recipe, TrainingConfig, train, train_model

RECIPE = Recipe(
    preprocess=Pipeline((ChipMedian(), InterpolateMasked())),
    networks=({"family": "starnet", "filters": [2, 4], "dense": [16]},),
    training=TrainingConfig(epochs=3, batch_size=16, lr=3e-3),
    split=(0.6, 0.2, 0.2),
)


@pytest.fixture
def dataset(labelled, tmp_path):
    spectra, labels = labelled(60, visits=2)
    return open_dataset(from_arrays(spectra, labels, tmp_path / "set.zarr"))


def weights(result):
    return torch.cat([p.flatten() for p in result.model.network.parameters()])


def test_it_learns_and_the_test_stars_are_not_seen(labelled, tmp_path):
    dataset = open_dataset(from_arrays(*labelled(300), tmp_path / "set.zarr"))
    recipe = RECIPE.with_settings(epochs=60)
    result = train_model(dataset, recipe, progress=False)
    train_rows, valid, test = result.rows
    stars = dataset.stars
    assert not set(stars[test]) & (set(stars[train_rows]) | set(stars[valid]))
    prediction = Predictor(result.model).predict(dataset.read(test))
    residual = prediction.labels.values - dataset.labels.values[test]
    assert np.std(residual[:, 0]) < 300  # the labels scatter by 870 K and 1.4 dex
    assert np.std(residual[:, 1]) < 0.5
    assert result.model.provenance["stars"] == {"train": 180, "valid": 60, "test": 60}


def test_scales_come_from_training_stars_alone(dataset):
    result = train_model(dataset, RECIPE, progress=False)
    values = dataset.labels.values[result.rows[0]]
    assert result.model.scale.mean == pytest.approx(values.mean(axis=0))
    assert result.model.scale.low == pytest.approx(values.min(axis=0))


@pytest.mark.parametrize("augmented", [False, True])
def test_the_same_seed_gives_the_same_weights(dataset, augmented):
    steps = (AddNoise(snr=(20, 50)), ChipMedian()) if augmented else (ChipMedian(),)
    recipe = dataclasses.replace(RECIPE, preprocess=Pipeline(steps))
    first, second = (train_model(dataset, recipe, progress=False) for _ in range(2))
    other = train_model(dataset, recipe.with_settings(seed=1), rows=first.rows, progress=False)
    assert torch.equal(weights(first), weights(second))
    assert not torch.equal(weights(first), weights(other))
    assert not first.model.pipeline.random


def test_from_disk_and_from_memory_see_the_same_spectra(dataset, monkeypatch):
    fit, streams = train.fit, []

    def watching(network, stream, valid, *args, **kw):
        for source in (stream, valid):  # in one order: by the sum of the flux
            batches = list(source.batches(1000, seed=0, epoch=0))
            inputs, targets = (np.concatenate(c) for c in list(zip(*batches, strict=True))[:2])
            order = np.argsort(inputs.sum(axis=(1, 2)))
            streams.append((inputs[order], targets[order]))
        return fit(network, stream, valid, *args, **kw)

    monkeypatch.setattr(train, "fit", watching)
    train_model(dataset, RECIPE, progress=False)
    monkeypatch.setattr(train, "IN_MEMORY", 0)
    train_model(dataset, RECIPE, progress=False)
    assert len(streams) == 4
    for memory, disk in zip(streams[:2], streams[2:], strict=True):
        assert np.array_equal(memory[0], disk[0])
        assert np.allclose(memory[1], disk[1], atol=1e-6)


def test_missing_labels_are_no_obstacle_but_stars_without_any_are_for_nothing(labelled, tmp_path):
    spectra, labels = labelled(60)
    values = np.array(labels.values)
    values[:20, 1] = np.nan
    values[20:30] = np.nan
    kept = Labels(labels.names, values)
    dataset = open_dataset(from_arrays(spectra, kept, tmp_path / "set.zarr"))
    result = train_model(dataset, RECIPE, progress=False)
    rows = np.concatenate(result.rows)
    assert np.array_equal(np.sort(rows), np.r_[:20, 30:60])
    assert torch.isfinite(weights(result)).all()


def test_ensembles_differ_by_seed_and_stars_and_speak_with_their_mean(dataset):
    recipe = RECIPE.with_settings(copies=3, bagging=0.7)
    result = train_model(dataset, recipe, progress=False)
    spectra = dataset.read(result.rows[2])
    x = torch.from_numpy(result.model.inputs(result.model.prepare(spectra)))
    with torch.no_grad():
        members = result.model.network.member_outputs(x)
    assert members.shape == (3, 24, 2)
    assert members.std(dim=0).min() > 0
    mean = result.model.scale.inverse(members.mean(dim=0).numpy())
    predicted = Predictor(result.model).predict(spectra).labels.values
    assert np.allclose(predicted, mean, rtol=1e-5)
    assert len(result.histories) == 3


def test_the_mask_as_a_second_channel(dataset):
    result = train_model(dataset, dataclasses.replace(RECIPE, mask_channel=True), progress=False)
    assert result.model.network.config.n_channels == 2
    assert np.isfinite(Predictor(result.model).predict(dataset.read([0, 1])).labels.values).all()


def test_an_interrupted_run_goes_on_from_its_checkpoint(dataset, tmp_path, monkeypatch):
    recipe = RECIPE.with_settings(copies=2)
    unbroken = train_model(dataset, recipe, progress=False)
    fit, calls = train.fit, []

    def stopping(*args, **kw):
        calls.append(1)
        if len(calls) == 2:
            raise TrainingInterrupted("stopped")
        return fit(*args, **kw)

    monkeypatch.setattr(train, "fit", stopping)
    with pytest.raises(TrainingInterrupted):
        train_model(dataset, recipe, progress=False, checkpoint_dir=tmp_path / "work")
    monkeypatch.setattr(train, "fit", fit)
    resumed = train_model(dataset, recipe, progress=False, checkpoint_dir=tmp_path / "work")
    assert torch.equal(weights(resumed), weights(unbroken))


def test_nothing_to_learn_from_is_said(dataset, labelled, tmp_path):
    with pytest.raises(LabelError, match="fe_h"):
        train_model(dataset, RECIPE.with_settings(labels=("fe_h",)), progress=False)
    spectra, labels = labelled(10)
    empty = Labels(labels.names, np.full(labels.values.shape, np.nan))
    blank = open_dataset(from_arrays(spectra, empty, tmp_path / "blank.zarr"))
    with pytest.raises(TrainingError, match="No spectrum"):
        train_model(blank, RECIPE, progress=False)
