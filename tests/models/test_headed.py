"""Networks with heads, alone, in ensembles and with dropout left on."""

import numpy as np
import pytest
import torch

from starnet.errors import ConfigError, ModelError
from starnet.models import (
    HeadedConfig,
    MonteCarloDropout,
    apply_network,
    build_network,
    config_from_dict,
    config_to_dict,
    distribution_of,
    gather,
)
from starnet.models.heads import components, outputs_of

TRUNK = {"family": "starnet", "filters": [2, 4], "dense": [8]}


def headed(kind="covariance", seed=0, **trunk):
    config = HeadedConfig(80, 3, trunk=TRUNK | trunk, head={"kind": kind}, width=6)
    return build_network(config, seed=seed).eval()


def plain(seed=0, **settings):
    sizes = {"n_pixels": 80, "n_labels": 3}
    return build_network(TRUNK | sizes | settings, seed=seed).eval()


def spectra(n=5):
    return torch.from_numpy(np.random.default_rng(0).normal(size=(n, 1, 80)).astype(np.float32))


def test_the_forward_pass_is_the_mean():
    network = headed()
    found = network.posterior(spectra())
    assert torch.equal(network(spectra()), found.mean)
    assert found.covariance_matrix.shape == (5, 3, 3)
    assert network.embed(spectra()).shape == (5, 6)
    assert np.allclose(apply_network(network, spectra().numpy()), found.mean.detach(), atol=1e-6)


def test_a_model_with_a_head_is_saved_and_loaded(toy_model, toy_spectra, tmp_path):
    import dataclasses

    from starnet.artifact import load_model

    grid = toy_model.grid
    network = build_network(HeadedConfig(grid.n_pixels, 2, trunk=TRUNK, width=5), seed=3).eval()
    model = dataclasses.replace(toy_model, network=network)
    there = load_model(model.save(tmp_path / "headed"))
    x = torch.from_numpy(model.inputs(model.prepare(toy_spectra)))
    first, second = network.posterior(x), there.network.posterior(x)
    assert torch.equal(first.mean, second.mean)
    assert torch.equal(first.covariance_matrix, second.covariance_matrix)


def test_the_trunk_may_be_of_any_family_and_keeps_what_it_fits():
    trunk = {"family": "projection", "scales": [0.0], "components": [3], "views": [[0]]}
    network = build_network(HeadedConfig(80, 2, trunk=trunk, width=7), seed=0)
    assert network.fit_inputs == network.trunk.fit_inputs
    assert not hasattr(headed(), "fit_inputs")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"trunk": {"family": "oak"}}, "oak"),
        ({"head": {"kind": "hydra"}}, "hydra"),
        ({"head": {"kind": "normal", "size": 3}}, "size"),
        ({"width": 0}, "width"),
        ({"trunk": 3}, "trunk must be settings"),
    ],
)
def test_wrong_settings_are_named(change, named):
    with pytest.raises((ConfigError, ModelError), match=named):
        HeadedConfig(**({"n_pixels": 80, "n_labels": 3} | change))
    values = {"family": "headed", "n_pixels": 80, "n_labels": 3} | change
    with pytest.raises(ModelError, match=named):
        config_from_dict(values)


def test_defaults_are_written_out():
    values = config_to_dict(HeadedConfig(80, 3))
    assert values["trunk"]["filters"] == [4, 16]
    assert values["head"] == {"kind": "covariance"}


# Ensembles


def test_an_ensemble_is_the_mixture_of_its_members():
    members = [headed("covariance", 1), headed("mixture", 2)]
    both, x = gather(members), spectra()
    found = both.posterior(x)
    parts = components(found)
    assert parts.means.shape == (5, 4, 3)
    assert torch.allclose(parts.log_weights.exp().sum(dim=1), torch.ones(5))
    assert torch.allclose(found.mean, both(x), atol=1e-6)
    assert both.distributes
    assert len(outputs_of(both, x)) == 2


def test_an_ensemble_of_readers_is_a_mixture_too():
    settings = {"family": "reader", "n_pixels": 60, "n_labels": 2, "components": 3, "hidden": [8]}
    both = gather([build_network(settings, seed=i).eval() for i in range(2)])
    x = torch.ones(4, 2, 60)
    assert components(both.posterior(x)).means.shape == (4, 2, 2)


def test_a_member_that_gives_labels_alone_is_told():
    mixed = gather([headed(), plain()])
    assert not mixed.distributes
    assert distribution_of(mixed, spectra()) is None
    assert distribution_of(plain(), spectra()) is None
    with pytest.raises(ModelError, match="1 of the 2 members"):
        mixed.posterior(spectra())


def test_members_must_give_the_same_labels():
    with pytest.raises(ModelError, match="same channels, pixels and labels"):
        gather([headed(), build_network(HeadedConfig(80, 2, trunk=TRUNK), seed=0)])


# Dropout


def test_dropout_makes_a_mixture_and_leaves_no_trace():
    network = headed(dropout=0.4)
    wrapped = MonteCarloDropout(network, passes=6)
    before = {name: p.clone() for name, p in network.state_dict().items()}
    found = wrapped.posterior(spectra())
    assert components(found).means.shape == (5, 6, 3)
    assert found.mean.std() > 0
    assert not any(module.training for module in network.modules())
    assert all(torch.equal(before[name], p) for name, p in network.state_dict().items())
    assert torch.equal(network(spectra()), network(spectra()))


def test_dropout_of_a_network_without_a_head():
    wrapped = MonteCarloDropout(plain(dropout=0.4), passes=400)
    found = wrapped.posterior(spectra())
    with torch.no_grad():
        again = wrapped(spectra())
    assert found.covariance_matrix.shape == (5, 3, 3)
    sigma = found.variance.sqrt()
    assert ((again - found.mean).abs() < 0.5 * sigma).all()


def test_the_state_is_restored_after_an_error():
    network = plain(dropout=0.2)
    with pytest.raises(RuntimeError):
        MonteCarloDropout(network).posterior(torch.ones(2, 1, 40))
    assert not network.training


def test_a_network_without_dropout_is_refused():
    with pytest.raises(ModelError, match="no dropout"):
        MonteCarloDropout(plain())
    with pytest.raises(ModelError, match="2 passes"):
        MonteCarloDropout(plain(dropout=0.1), passes=1)
