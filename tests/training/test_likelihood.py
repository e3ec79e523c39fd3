"""Training of networks with heads: quoted errors are the errors that are made."""

import dataclasses

import numpy as np
import pytest
import torch

from starnet.artifact import load_model
from starnet.dataset import from_arrays, open_dataset
from starnet.errors import ConfigError, ModelError, TrainingError
from starnet.inference.network_posterior import network_posterior
from starnet.models import HeadedConfig, build_network
from starnet.models.heads import build_head, label_log_prob
from starnet.preprocess import ChipMedian, Pipeline
from starnet.spectra import Labels
from starnet.training import ArrayStream, Recipe, TrainingConfig, fit, load_recipe, train_model
from starnet.training.losses import likelihood_sum

TRUNK = {"family": "starnet", "filters": [4, 8], "dense": [32]}
HEADED = {"family": "headed", "trunk": TRUNK, "width": 32}


def recipe(kind="covariance", **training):
    settings = {"loss": "likelihood", "batch_size": 32, "lr": 3e-3, "epochs": 2, "clip_norm": 5.0}
    settings |= training
    return Recipe(
        preprocess=Pipeline((ChipMedian(),)),
        networks=({**HEADED, "head": {"kind": kind}},),
        training=TrainingConfig(**settings),
        split=(0.7, 0.15, 0.15),
    )


def noisy(labels, seed=1):
    """Labels blurred by errors of their own, a tenth of them missing; and the errors."""
    rng = np.random.default_rng(seed)
    errors = np.array([150.0, 0.3]) * rng.uniform(0.1, 2.0, labels.values.shape)
    values = labels.values + errors * rng.standard_normal(errors.shape)
    values[rng.random(values.shape) < 0.1] = np.nan
    return Labels(labels.names, values, errors)


def z_scores(result, dataset, truth):
    test = result.rows[2]
    model = result.model
    inputs = model.inputs(model.prepare(dataset.read(test)))
    posterior = network_posterior(model.network, inputs, model.scale)
    return (truth.values[test] - posterior.mean) / posterior.error, posterior


def test_quoted_errors_match_the_scatter(labelled, tmp_path):
    spectra, truth = labelled(1500)
    dataset = open_dataset(from_arrays(spectra, noisy(truth), tmp_path / "set.zarr"))
    how = recipe(label_errors=True, epochs=25, schedule="onecycle", patience=None)
    result = train_model(dataset, how, progress=False)
    z, posterior = z_scores(result, dataset, truth)
    assert np.all(np.median(posterior.error, axis=0) < [120, 0.25])  # labels scatter by 870, 1.4
    within = np.mean(np.abs(z) < 1, axis=0)
    assert np.all((within > 0.5) & (within < 0.9)), within
    assert np.all((np.std(z, axis=0) > 0.6) & (np.std(z, axis=0) < 1.5)), z.std(axis=0)
    known = result.model.provenance["label_errors"]
    assert known == {"teff": 1.0, "logg": 1.0}
    there = load_model(result.model.save(tmp_path / "model"))
    again, _ = z_scores(dataclasses.replace(result, model=there), dataset, truth)
    assert np.allclose(again, z)


def test_members_of_an_ensemble_are_trained_and_mixed(labelled, tmp_path):
    spectra, truth = labelled(80)
    dataset = open_dataset(from_arrays(spectra, truth, tmp_path / "set.zarr"))
    result = train_model(dataset, dataclasses.replace(recipe("mixture"), copies=2), progress=False)
    _, posterior = z_scores(result, dataset, truth)
    assert posterior.means.shape[1] == 6
    assert len(result.histories) == 2


def test_label_errors_are_used_where_there_are_any(labelled, tmp_path):
    spectra, truth = labelled(60)
    found = []
    for i, labels in enumerate((truth, noisy(truth))):
        dataset = open_dataset(from_arrays(spectra, labels, tmp_path / f"{i}.zarr"))
        for used in (False, True):
            result = train_model(dataset, recipe(label_errors=used), progress=False)
            found.append(torch.cat([p.flatten() for p in result.model.network.parameters()]))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[2], found[3])


def test_an_ensemble_is_fitted_member_by_member():
    from starnet.models import gather

    members = [build_network({**HEADED, "n_pixels": 50, "n_labels": 2}, seed=i) for i in (1, 2)]
    rng = np.random.default_rng(0)
    stream = ArrayStream(rng.normal(size=(16, 1, 50)), rng.normal(size=(16, 2)))
    config = TrainingConfig(loss="likelihood", epochs=1, batch_size=16, temper=0.0)
    together = fit(gather(members), stream, None, config, progress=False)
    alone = [build_network({**HEADED, "n_pixels": 50, "n_labels": 2}, seed=i) for i in (1, 2)]
    losses = [fit(one, stream, None, config, progress=False).epochs[0].train_loss for one in alone]
    assert together.epochs[0].train_loss == pytest.approx(np.mean(losses), rel=1e-4)


# The loss


def found(kind="covariance", n=6):
    torch.manual_seed(0)
    return build_head({"kind": kind}, 5, 3)(torch.randn(n, 5))


def test_the_loss_is_the_mean_of_a_label():
    one, target = found(), torch.randn(6, 3)
    target[0, 1], target[2] = torch.nan, torch.nan
    total, weight = likelihood_sum([one], target)
    assert weight.item() == 14
    assert total.item() == pytest.approx(-label_log_prob(one, target).sum().item(), rel=1e-5)
    twice, more = likelihood_sum([one, one], target)
    assert (twice.item(), more.item()) == pytest.approx((2 * total.item(), 28), rel=1e-5)


def test_weights_of_stars():
    one, target = found(), torch.randn(6, 3)
    weights = torch.ones(6, 3)
    weights[1:] = 0
    total, weight = likelihood_sum([one], target, weights=weights)
    assert weight.item() == 3
    assert total.item() == pytest.approx(-label_log_prob(one, target)[0].item(), rel=1e-5)


@pytest.mark.parametrize("kind", ["normal", "covariance", "mixture", "flow"])
def test_tempering_counts_stars_by_their_errors(kind):
    if kind == "flow":
        pytest.importorskip("zuko")
    one, target = found(kind, 1), torch.zeros(1, 3)
    plain, hot = (likelihood_sum([one], target, temper=t)[0].item() for t in (0.0, 0.5))
    assert (plain == hot) == (kind == "flow")
    if kind == "normal":
        assert hot / plain == pytest.approx(one.stddev.log().mean().exp().item(), rel=1e-4)


# What does not go together


def test_losses_and_networks_must_fit():
    stream = ArrayStream(np.zeros((4, 1, 50)), np.zeros((4, 2)))
    sizes = {"n_pixels": 50, "n_labels": 2}
    with pytest.raises(TrainingError, match="gives labels alone"):
        fit(build_network({**TRUNK, **sizes}), stream, None, TrainingConfig(loss="likelihood"))
    with pytest.raises(TrainingError, match="loss: likelihood"):
        fit(build_network(HeadedConfig(50, 2, trunk=TRUNK)), stream, None, TrainingConfig())
    with pytest.raises(ConfigError, match="label_errors needs"):
        TrainingConfig(label_errors=True)


def test_a_flow_and_missing_labels_do_not_go_together(labelled, tmp_path):
    pytest.importorskip("zuko")
    spectra, truth = labelled(60)
    dataset = open_dataset(from_arrays(spectra, noisy(truth), tmp_path / "set.zarr"))
    with pytest.raises(ModelError, match="missing"):
        train_model(dataset, recipe("flow"), progress=False)


def test_the_recipe_of_the_package():
    shipped = load_recipe("starnet-errors")
    assert shipped.training.label_errors
    sizes = {"n_pixels": 300, "n_labels": 3, "n_channels": 1}
    network = build_network({**shipped.networks[0], **sizes}, seed=0)
    plain = build_network({**load_recipe("starnet-2018").networks[0], **sizes}, seed=0)
    shapes = [[p.shape for p in n.parameters()][:-2] for n in (network, plain)]
    assert shapes[0] == shapes[1]  # the network of 2018 but for its last layer
