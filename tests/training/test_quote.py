"""Errors from stars held out: of simulated residuals, and of a fine-tuned model."""

import numpy as np
import pytest
import torch

from starnet.artifact import Model, load_model
from starnet.dataset import from_arrays, open_dataset
from starnet.errors import ConfigError, ModelError, TrainingError
from starnet.inference import Predictor
from starnet.models import (
    Kernel,
    KernelConfig,
    Quoted,
    QuotedConfig,
    Reader,
    ReaderConfig,
    config_to_dict,
)
from starnet.models.quoted import with_errors
from starnet.preprocess import ChipMedian, InterpolateMasked, Pipeline
from starnet.spectra import Labels, LabelScale
from starnet.training.finetune import FineTuneRecipe, fine_tune, hold_out
from starnet.training.quote import correlations, errors_of, fit_widths

STARS = 150


def simulated(rng, n=3000, weight=0.8):
    """Residuals (N, 1) whose errors follow the first of two terms, with heavy tails."""
    terms = rng.standard_normal((n, 1, 2)) * [0.5, 1.0]
    error = 0.2 * np.exp(weight * terms[:, :, 0])
    return error * rng.standard_t(5, (n, 1)), terms, error


def test_errors_follow_the_terms_that_matter(rng):
    residual, terms, error = simulated(rng)
    widths = fit_widths(residual, terms)
    assert widths[0, 1] == pytest.approx(0.8, abs=0.1)
    assert abs(widths[0, 2]) < 0.1
    found = errors_of(widths, terms)
    assert np.mean(np.abs(residual) < found) == pytest.approx(0.683, abs=0.001)
    assert np.corrcoef(np.log(found[:, 0]), np.log(error[:, 0]))[0, 1] > 0.98


def test_a_few_wild_stars_change_little(rng):
    residual, terms, _ = simulated(rng)
    before = fit_widths(residual, terms)
    residual[:60] *= 100
    np.testing.assert_allclose(fit_widths(residual, terms), before, atol=0.15)


def test_terms_that_are_alike_for_all_stars_do_nothing(rng):
    residual, terms, _ = simulated(rng)
    terms[:, :, 1] = -3.0
    widths = fit_widths(residual, terms)
    assert np.isfinite(widths).all()
    assert np.mean(np.abs(residual) < errors_of(widths, terms)) == pytest.approx(0.683, abs=0.001)


def test_missing_labels_do_not_count(rng):
    residual, terms, _ = simulated(rng, 400)
    both = np.concatenate([residual, residual], axis=1)
    both[:100, 1] = np.nan
    widths = fit_widths(both, np.concatenate([terms, terms], axis=1))
    assert np.isfinite(widths).all()
    np.testing.assert_allclose(widths[0], widths[1], atol=0.3)
    with pytest.raises(TrainingError, match="at least 100"):
        fit_widths(residual[:80], terms[:80])
    with pytest.raises(TrainingError, match="differ"):
        fit_widths(np.zeros((200, 1)), terms[:200])


def test_correlations_are_found_and_can_be_factored(rng):
    true = np.array([[1, 0.7], [0.7, 1]])
    z = rng.multivariate_normal([0, 0], true, 3000)
    z[:50] *= 30
    z[50:90, 0] = np.nan
    np.testing.assert_allclose(correlations(z), true, atol=0.06)
    np.linalg.cholesky(correlations(np.repeat(z[:, 1:], 2, axis=1)))


RECIPE = {
    "name": "toy",
    "labels": ["teff", "logg"],
    "log10": ["teff"],
    "reader": {},
    "windows": [[10, 70]],
    "preprocess": Pipeline((InterpolateMasked(), ChipMedian())).to_dict(),
    "network": {"scales": [0, 8], "components": [4, 4]},
    "iterations": 6,
    "rounds": 1,
    "beside": {
        "networks": [
            {
                "family": "projection",
                "scales": [0],
                "components": [5],
                "views": [[0]],
                "members": 3,
                "hidden": [8],
            }
        ],
        "training": {"epochs": 4, "batch_size": 32, "lr": 0.01, "patience": None},
        "split": [0.8, 0.0, 0.2],
    },
}


def dataset_of(labelled, folder, wrong=None):
    """Stars whose labels have noise, 150 K and 0.4 dex; a few lack one, one may be wrong."""
    spectra, labels = labelled(STARS)
    noise = np.random.default_rng(5).standard_normal(labels.values.shape) * [150, 0.4]
    values = labels.values + noise
    values[:5, 1] = np.nan
    if wrong is not None:
        values[wrong] = [9000.0, 9.0]
    return open_dataset(from_arrays(spectra, Labels(labels.names, values), folder / "set.zarr"))


def readers(dataset):
    torch.manual_seed(0)
    network = Reader(ReaderConfig(60, 2, components=4, hidden=(8,), order=1)).eval()
    scale = LabelScale.fit(dataset.labels)
    return [Model(network, scale, Pipeline(()), dataset.grid, dataset.frame, ("flux", "ivar"))]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    from tests.conftest import labelled_spectra

    dataset = dataset_of(labelled_spectra, tmp_path_factory.mktemp("toy"))
    recipe, rows = FineTuneRecipe.from_dict(RECIPE), np.arange(120)
    held = hold_out(dataset, recipe, readers(dataset), rows=rows, folds=3)
    model = fine_tune(dataset, recipe, readers(dataset), rows=rows, held=held)
    return dataset, recipe, held, model


def test_a_model_quotes_errors_that_fit_new_stars(made):
    dataset, _, held, model = made
    assert isinstance(model.network, Quoted)
    prediction = Predictor(model, min_snr=0).predict(dataset.read(np.arange(120, STARS))).labels
    assert np.all(prediction.errors > 0)
    z = (prediction.values - dataset.labels.values[120:]) / prediction.errors
    assert 0.5 < np.std(z) < 2
    assert 80 < np.median(prediction.errors[:, 0]) < 400, "noise of the labels and all"
    own = held.predicted(model.network.widths.numpy())
    inside = np.abs(own.values - held.truth.values) < own.errors
    assert inside.sum(axis=0) == pytest.approx(0.683 * np.array([120, 115]), abs=2)


def test_each_star_is_judged_by_networks_that_have_not_seen_it(made, labelled, tmp_path):
    dataset, recipe, held, _ = made
    np.testing.assert_array_equal(held.rows, np.arange(120))
    changed = dataset_of(labelled, tmp_path, wrong=7)
    other = hold_out(changed, recipe, readers(dataset), rows=np.arange(120), folds=3)
    same = held.scale.inverse(held.mean)[7], other.scale.inverse(other.mean)[7]
    np.testing.assert_allclose(*same, rtol=1e-3)


def test_correlated_errors_have_the_same_size(made):
    model = made[3]
    inputs = torch.rand(3, 2, 160) + 0.5
    with torch.no_grad():
        mean, error = model.network.distribution(inputs)
        posterior = model.network.posterior(inputs)
        np.testing.assert_allclose(posterior.mean, mean)
        np.testing.assert_allclose(posterior.stddev, error, rtol=2e-3)
        np.testing.assert_allclose(model.network(inputs), mean, atol=1e-5)


def test_errors_survive_half_precision(made, tmp_path):
    model = made[3]
    model.save(tmp_path / "model", half=True)
    inputs = torch.rand(5, 2, 160) + 0.5
    with torch.no_grad():
        ours, theirs = (
            m.network.distribution(inputs) for m in (model, load_model(tmp_path / "model"))
        )
    np.testing.assert_allclose(theirs[1], ours[1], rtol=0.03)


def test_stars_held_out_must_be_those_that_are_learnt_from(made):
    dataset, recipe, held, _ = made
    with pytest.raises(ConfigError, match="same rows"):
        fine_tune(dataset, recipe, readers(dataset), rows=np.arange(60), held=held)


def test_the_first_member_must_know_its_variance():
    plain = KernelConfig(60, 2, n_stars=5, scales=(0.0,), components=(4,))
    with pytest.raises(ModelError, match="spread"):
        QuotedConfig((config_to_dict(plain),))
    with pytest.raises(ModelError, match="kernel"):
        QuotedConfig(())


def test_a_kernel_alone_quotes_errors_too():
    kernel = Kernel(KernelConfig(60, 2, n_stars=5, scales=(0.0,), components=(4,), spread=True))
    network = with_errors([kernel], torch.tensor([[0.0, 1, 0, 0]]).repeat(2, 1), torch.eye(2))
    x = torch.rand(3, 2, 60) + 0.5
    with torch.no_grad():
        _, variance, noise = kernel.mean_and_variance(x)
        np.testing.assert_allclose(network.distribution(x)[1], (variance + noise).sqrt(), rtol=1e-5)
