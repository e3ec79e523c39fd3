"""Distributions of networks in the units of their labels, against draws from the same."""

import numpy as np
import pytest
import torch

from starnet.inference import MixturePosterior, SampledPosterior
from starnet.inference.network_posterior import network_posterior
from starnet.models import HeadedConfig, MonteCarloDropout, build_network, distribution_of, gather
from starnet.spectra import LabelScale

TRUNK = {"family": "starnet", "filters": [2, 4], "dense": [8], "dropout": 0.2}
NAMES = ("teff", "logg", "fe_h")
BOUNDS = {"low": (3000.0, 0.0, -2.0), "high": (7000.0, 5.0, 0.5)}
LINEAR = LabelScale(NAMES, (5000.0, 2.5, -0.5), (800.0, 1.2, 0.5), **BOUNDS)
LOG = LabelScale(NAMES, (3.7, 2.5, -0.5), (0.07, 1.2, 0.5), **BOUNDS, log10=("teff",))
KINDS = ["normal", "covariance", "mixture", "flow"]


def network(kind="covariance", seed=0):
    if kind == "flow":
        pytest.importorskip("zuko")
    head = {"kind": kind} | ({"transforms": 1, "nodes": [8]} if kind == "flow" else {})
    return build_network(HeadedConfig(60, 3, trunk=TRUNK, head=head, width=6), seed=seed)


def spectra(n=5):
    return np.random.default_rng(0).normal(size=(n, 1, 60)).astype(np.float32)


@pytest.mark.parametrize("scale", [LINEAR, LOG], ids=["linear", "log10"])
@pytest.mark.parametrize("kind", KINDS)
def test_it_agrees_with_draws_from_the_network(kind, scale):
    made = network(kind)
    found = network_posterior(made, spectra(), scale, batch_size=2, draws=4000)
    assert isinstance(found, SampledPosterior if kind == "flow" else MixturePosterior)
    assert found.names == NAMES
    assert made.training, "the mode must be as it was"
    with torch.no_grad():
        given = distribution_of(made.eval(), torch.from_numpy(spectra()))
        drawn = given.sample((20_000,)).double().numpy()
    drawn = SampledPosterior(NAMES, scale.inverse(drawn.reshape(-1, 3)).reshape(drawn.shape))
    assert np.allclose((found.mean - drawn.mean) / drawn.error, 0, atol=0.08)
    assert np.allclose(found.error / drawn.error, 1, atol=0.08)
    size = drawn.error[:, :, None] * drawn.error[:, None]
    assert np.allclose((found.covariance - drawn.covariance) / size, 0, atol=0.12)
    # log-normal labels are described as normal ones, so quantiles agree less well
    shape = 0.15 if scale is LOG else 0.05
    for level in (0.16, 0.84):
        assert np.allclose(drawn.cdf(found.quantiles([level])[0]), level, atol=shape)


@pytest.mark.parametrize("kind", KINDS)
def test_the_density_is_per_unit_of_each_label(kind):
    made = network(kind).eval()
    found = network_posterior(made, spectra(), LINEAR, draws=4)
    scaled = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)
    with torch.no_grad():
        given = distribution_of(made, torch.from_numpy(spectra()))
        wanted = given.log_prob(torch.from_numpy(scaled)).numpy() - np.log(LINEAR.scale).sum()
    values = LINEAR.inverse(scaled)
    assert np.allclose(found.log_prob(values), wanted, rtol=1e-3)
    assert np.allclose(found[[3, 1]].log_prob(values[[3, 1]]), wanted[[3, 1]], rtol=1e-3)


def test_the_same_seed_gives_the_same_and_leaves_the_generator():
    made, before = network("flow"), torch.get_rng_state()
    first, second = (network_posterior(made, spectra(), LINEAR, seed=4) for _ in range(2))
    assert np.array_equal(first.draws, second.draws)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("kind", KINDS)
def test_no_spectra_give_no_stars(kind):
    found = network_posterior(network(kind), spectra(0), LINEAR)
    assert len(found) == 0
    assert found.mean.shape == (0, 3)


def test_networks_of_other_kinds():
    settings = {"n_pixels": 60, "n_labels": 3}
    plain = build_network(TRUNK | settings, seed=0)
    assert network_posterior(plain, spectra(), LINEAR) is None
    assert network_posterior(gather([plain, network()]), spectra(), LINEAR) is None
    both = network_posterior(gather([network(seed=1), network("mixture", 2)]), spectra(), LINEAR)
    assert both.means.shape == (5, 4, 3)
    reader = {"family": "reader", "n_pixels": 30, "n_labels": 3, "components": 3, "hidden": [8]}
    one = network_posterior(build_network(reader, seed=0), spectra().reshape(5, 2, 30), LINEAR)
    assert one.means.shape == (5, 1, 3)
    dropped = network_posterior(MonteCarloDropout(plain, passes=8), spectra(), LINEAR)
    assert np.all(dropped.error > 0)
