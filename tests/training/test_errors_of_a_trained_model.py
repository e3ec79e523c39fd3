"""From training to errors: scatter, calibration, and a command that does it for any model."""

import dataclasses

import numpy as np
import pytest
from tests.conftest import labelled_spectra
from typer.testing import CliRunner

import starnet
from starnet.artifact import load_model
from starnet.catalog.calibrate import calibrate, unseen, with_errors
from starnet.cli import app
from starnet.dataset import from_arrays, open_dataset
from starnet.errors import LabelError
from starnet.inference import Predictor
from starnet.preprocess import ChipMedian, InterpolateMasked, Pipeline
from starnet.training import Recipe, TrainingConfig, train_model

RECIPE = Recipe(
    preprocess=Pipeline((ChipMedian(), InterpolateMasked())),
    networks=({"family": "starnet", "filters": [2, 4], "dense": [16]},),
    training=TrainingConfig(epochs=25, batch_size=32, lr=3e-3),
    split=(0.3, 0.35, 0.35),
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("calibrate")
    dataset = open_dataset(from_arrays(*labelled_spectra(900), folder / "set.zarr"))
    return folder, dataset, train_model(dataset, RECIPE, progress=False)


def test_a_plain_network_gets_errors_that_hold_on_test_stars(trained):
    _, dataset, result = trained
    test = result.rows[2]
    before = Predictor(result.model).predict(dataset.read(test))
    assert np.isnan(before.labels.errors).all()
    model = calibrate(result.model, dataset, result.rows[1])
    found = Predictor(model).predict(dataset.read(test))
    np.testing.assert_array_equal(found.labels.values, before.labels.values)
    truth = dataset.labels.values[test]
    inside = np.abs(found.labels.values - truth) < found.labels.errors
    assert np.abs(inside.mean(axis=0) - 0.683).max() < 0.09  # 315 stars: 0.026 is one sigma
    assert (found.noise <= found.labels.errors).all()
    np.testing.assert_allclose(
        np.hypot(found.noise, found.model_error), found.labels.errors, rtol=1e-6
    )
    table = found.to_table()
    assert {"teff_err", "teff_err_noise", "teff_err_model"} <= set(table.colnames)
    low, high = found.posterior.interval(0.95)
    assert np.abs(((truth >= low) & (truth <= high)).mean(axis=0) - 0.95).max() < 0.05


def test_what_was_trained_on_is_never_calibrated_on(trained, labelled, tmp_path):
    _, dataset, result = trained
    assert set(unseen(result.model, dataset)) == set(result.rows[1])
    other = open_dataset(from_arrays(*labelled(30), tmp_path / "other.zarr"))
    strange = dataclasses.replace(result.model, provenance={})
    assert len(unseen(strange, other)) == 30


def test_too_few_stars_are_refused_or_said(trained):
    _, dataset, result = trained
    few = result.rows[1][:120]
    with pytest.raises(Exception, match="at least 200 are needed"):
        calibrate(result.model, dataset, few)
    model, said = with_errors(result.model, dataset, few)
    assert "not calibrated" in said
    assert model.scatter
    assert not model.calibration
    model, said = with_errors(result.model, dataset, few[:10])
    assert said.startswith("errors: none.")
    assert not model.scatter
    with pytest.raises(LabelError):
        calibrate(result.model, dataset, few[:10])


def test_the_command_and_the_front_door(trained, tmp_path):
    folder, dataset, result = trained
    result.model.save(folder / "model")
    run = CliRunner().invoke(
        app, ["calibrate", str(folder / "model"), str(dataset.path), "--out", str(tmp_path / "new")]
    )
    assert run.exit_code == 0, run.output
    assert "calibrated on 315 stars" in " ".join(run.output.split())
    model = load_model(tmp_path / "new")
    assert model.calibration
    assert model.scatter
    front = starnet.train(dataset.path, RECIPE, progress=False)
    assert front.model.calibration
    rows = result.rows[2][:5]
    a, b = (p.predict(dataset.read(rows)).labels.errors for p in (front, Predictor(model)))
    np.testing.assert_allclose(a, b, rtol=1e-3)
