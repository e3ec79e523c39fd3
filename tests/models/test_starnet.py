"""The published network: its size, its layout, its first weights."""

from __future__ import annotations

import math

import pytest
import torch

from starnet.models import StarNetConfig, build_network


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


def test_dropout_acts_in_training_only():
    network = build_network(StarNetConfig(61, 2, dense=(64,), dropout=0.5), seed=4)
    x = torch.randn(3, 1, 61)
    assert not torch.equal(network(x), network(x))
    network.eval()
    assert torch.equal(network(x), network(x))
