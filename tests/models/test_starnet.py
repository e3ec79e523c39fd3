"""The published network: its size, its layout, its first weights."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from starnet.errors import ConfigError
from starnet.models import StarNetConfig, build_network
from starnet.models.jacobian import outputs_and_slopes, slopes_by_backward
from starnet.models.starnet import ACTIVATIONS


@pytest.mark.parametrize(
    ("padding", "count"), [("valid", 7_406_903), ("same", 7_419_191)], ids=["valid", "same"]
)
def test_number_of_parameters(padding, count):
    network = build_network(StarNetConfig(7214, 3, padding=padding))
    assert sum(p.numel() for p in network.parameters()) == count


def test_layers_in_the_order_of_the_paper():
    network = build_network(StarNetConfig(7214, 3))
    shapes = {name: tuple(p.shape) for name, p in network.named_parameters()}
    assert shapes == {
        "convs.0.weight": (4, 1, 8),
        "convs.0.bias": (4,),
        "convs.1.weight": (16, 4, 8),
        "convs.1.bias": (16,),
        "dense.0.weight": (256, 28800),
        "dense.0.bias": (256,),
        "dense.1.weight": (128, 256),
        "dense.1.bias": (128,),
        "head.weight": (3, 128),
        "head.bias": (3,),
    }


def test_he_normal_weights():
    network = build_network(StarNetConfig(2000, 3), seed=0)
    weight = network.dense[0].weight
    he = math.sqrt(2 / weight.shape[1])
    assert weight.std().item() == pytest.approx(he, rel=0.01)
    assert weight.abs().max().item() <= 2 * he / 0.8796
    assert weight.abs().max().item() > 2 * he, "cut at two sigma of the wider normal"
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any(), name


def test_independent_arithmetic():
    """The forward pass written out with einsum, in double precision."""
    network = build_network(StarNetConfig(61, 2, n_channels=2, dense=(9, 5)), seed=4).double()
    p = {name: value.detach() for name, value in network.named_parameters()}
    x = torch.randn(3, 2, 61, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def conv(h, w, b):  # (B, C, P), (F, C, K) -> (B, F, P - K + 1)
        windows = h.unfold(2, w.shape[2], 1)  # (B, C, P', K)
        return (torch.einsum("bcpk,fck->bfp", windows, w) + b[:, None]).clamp(min=0)

    h = conv(conv(x, p["convs.0.weight"], p["convs.0.bias"]),
             p["convs.1.weight"], p["convs.1.bias"])  # fmt: skip
    h = h[..., : h.shape[2] // 4 * 4].unflatten(2, (-1, 4)).amax(3)  # (B, F, P')
    h = h.permute(0, 2, 1).reshape(3, -1)  # position before filter, as Keras flattens
    for i in range(2):
        h = (h @ p[f"dense.{i}.weight"].T + p[f"dense.{i}.bias"]).clamp(min=0)
    torch.testing.assert_close(network(x), h @ p["head.weight"].T + p["head.bias"])


def test_binned_pixels_count_as_their_mean():
    network = build_network(StarNetConfig(194, 2, n_channels=2, dense=(9,), binning=3), seed=4)
    of_means = build_network(StarNetConfig(64, 2, n_channels=2, dense=(9,)), seed=0)
    of_means.load_state_dict(network.state_dict())
    x = torch.randn(3, 2, 194)
    means = torch.stack([x[..., 3 * i : 3 * i + 3].mean(dim=-1) for i in range(64)], dim=-1)
    torch.testing.assert_close(network(x), of_means(means))  # the last two pixels are left out
    with pytest.raises(ConfigError, match="binning by 20"):
        StarNetConfig(200, 2, binning=20)
    with pytest.raises(ConfigError, match="binning"):
        StarNetConfig(200, 2, binning=0)


def test_dropout_acts_in_training_only():
    network = build_network(StarNetConfig(61, 2, dense=(64,), dropout=0.5), seed=4)
    x = torch.randn(3, 1, 61)
    assert not torch.equal(network(x), network(x))
    network.eval()
    assert torch.equal(network(x), network(x))


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "elu", "gelu", "silu"])
def test_other_activations_take_torchs_way_and_have_the_right_slopes(activation):
    config = StarNetConfig(60, 2, filters=(2, 3), dense=(8,), activation=activation)
    network = build_network(config, seed=1).eval()
    x = torch.randn(3, 1, 60, generator=torch.Generator().manual_seed(0))
    convs, f = network.convs, ACTIVATIONS[activation]
    h = functional.max_pool1d(f(convs[1](f(convs[0](x)))), 4).transpose(1, 2).flatten(1)
    expected = network.head(f(network.dense[0](h)))
    assert torch.allclose(network(x), expected, atol=1e-5)
    slopes = outputs_and_slopes(network, x)[1]
    assert torch.allclose(slopes, slopes_by_backward(network, x)[1], atol=1e-5)


@pytest.mark.parametrize("name", ["he_normal", "he_uniform", "glorot_normal", "glorot_uniform"])
def test_initialisers_draw_weights_of_the_variance_of_their_papers(name):
    config = StarNetConfig(400, 2, filters=(), dense=(300,), initialiser=name)
    weight = build_network(config, seed=0).dense[0].weight
    variance = 2 / 400 if name.startswith("he") else 2 / (400 + 300)
    assert weight.var().item() == pytest.approx(variance, rel=0.02)


def test_an_unknown_activation_is_refused_with_those_there_are():
    with pytest.raises(ConfigError, match=r"activation must be one of relu.*received 'tanhh'"):
        StarNetConfig(60, 2, activation="tanhh")
