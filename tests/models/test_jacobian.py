"""Slopes by the short way against torch's gradients and finite differences."""

from __future__ import annotations

import logging

import pytest
import torch

from starnet.models import (
    EnsembleConfig,
    StarNetConfig,
    _kernel,
    _slopes,
    build_network,
    config_to_dict,
    plain_operations,
)
from starnet.models.jacobian import outputs_and_slopes, slopes_by_backward

CONFIGS = [
    StarNetConfig(301, 3),
    StarNetConfig(1203, 7, dense=(40, 30)),  # more outputs than are done together
    StarNetConfig(200, 2, n_channels=2, padding="same", dense=(24,)),
    StarNetConfig(90, 1, filters=(3, 5), kernel=3, pool=1, dense=(20,)),
    StarNetConfig(130, 4, filters=(6, 24), kernel=5, pool=3, dense=()),
]
every_config = pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.filters}-{c.dense}")


def made(config, n=5, seed=0):
    """A network and spectra, of short binary fractions: sums in the block are exact."""
    network = build_network(config, seed=seed).eval()
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in network.parameters():
            p.copy_((p * 16).round() / 16 if p.dim() == 3 else p)
            if p.dim() == 1:
                p.copy_(torch.randn(p.shape, generator=draw).div(5).mul(16).round() / 16)
    x = torch.randn(n, config.n_channels, config.n_pixels, generator=draw).mul(4).round() / 4
    return network, x


@every_config
@pytest.mark.parametrize("channel", [0, -1], ids=["first", "last"])
def test_the_short_way_is_torchs_gradient(config, channel):
    network, x = made(config)
    channel = channel % config.n_channels
    with plain_operations():
        wanted = slopes_by_backward(network, x, channel)
    found = outputs_and_slopes(network, x, channel)
    assert found[1].shape == (5, config.n_labels, config.n_pixels)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5 * b.abs().max().item())
        assert not a.requires_grad


def test_the_short_way_is_taken(monkeypatch):
    network, x = made(CONFIGS[0])
    if _kernel.load(_kernel.BlockShape(1, 4, 16, 8, 4)) is None:
        pytest.skip("no C compiler")
    monkeypatch.setattr("starnet.models.jacobian.slopes_by_backward", None)
    outputs_and_slopes(network, x)
    with pytest.raises(TypeError):
        outputs_and_slopes(network.double(), x.double())


def test_finite_differences():
    """Networks of ReLU are linear in pieces: a small step finds the derivative exactly."""
    network, x = made(StarNetConfig(60, 3, dense=(8,)))
    network, x = network.double(), x.double() + 0.01
    _, slopes = outputs_and_slopes(network, x)
    step = 1e-7
    for pixel in range(0, 60, 7):
        moved = x.clone()
        moved[:, 0, pixel] += step
        with torch.no_grad():
            found = (network(moved) - network(x)) / step
        torch.testing.assert_close(found, slopes[:, :, pixel], rtol=1e-5, atol=1e-6)


def test_an_ensemble_is_the_mean_of_its_members():
    members = tuple(config_to_dict(StarNetConfig(80, 2, dense=(n,))) for n in (8, 16))
    network = build_network(EnsembleConfig(members), seed=1).eval()
    x = torch.randn(4, 1, 80)
    for a, b in zip(outputs_and_slopes(network, x), slopes_by_backward(network, x), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_dropout_is_not_passed_over():
    network, x = made(StarNetConfig(301, 3, dropout=0.5))
    quiet = outputs_and_slopes(network, x)[1]
    torch.manual_seed(0)
    assert not torch.equal(outputs_and_slopes(network.train(), x)[1], quiet)


def test_a_spectrum_of_nan_stays_alone():
    network, x = made(CONFIGS[0])
    clean = outputs_and_slopes(network, x)[1]
    x[1] = torch.nan
    out, slopes = outputs_and_slopes(network, x)
    assert torch.isnan(out[1]).all()
    assert torch.equal(slopes[[0, 2, 3, 4]], clean[[0, 2, 3, 4]])


def test_parameters_gather_nothing():
    network, x = made(StarNetConfig(90, 2, filters=(8,), dense=(12,)))
    with torch.inference_mode():
        outputs_and_slopes(network, x)
    assert all(p.grad is None and p.requires_grad for p in network.parameters())


def test_wrong_code_is_not_trusted(monkeypatch, caplog):
    network, x = made(CONFIGS[0])
    wanted = slopes_by_backward(network, x)[1]
    _slopes._trusted.cache_clear()
    _kernel.say_once.cache_clear()
    monkeypatch.setattr(_slopes.OpenBlock, "product", lambda self, v, weight: 2 * (v @ weight))
    try:
        with caplog.at_level(logging.WARNING, logger="starnet.models"):
            found = outputs_and_slopes(network, x)[1]
    finally:
        _slopes._trusted.cache_clear()
        _kernel.say_once.cache_clear()
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    if _kernel.load(_kernel.BlockShape(1, 4, 16, 8, 4)) is not None:
        assert "other numbers" in caplog.text
