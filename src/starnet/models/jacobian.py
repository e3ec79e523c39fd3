"""Outputs of a network and their slopes with respect to one channel of its input.

Any network is served by one backward pass per output and batch. The convolution block of StarNet
on CPU has a shorter way: all outputs of all spectra go back through the dense layers as one
matrix product, and through the block only along the maxima that ReLU let through.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from starnet.models._fused import Weights
from starnet.models._slopes import OpenBlock
from starnet.models.ensemble import Ensemble
from starnet.models.starnet import StarNet, binned


def outputs_and_slopes(network: nn.Module, x: Tensor, channel: int = 0) -> tuple[Tensor, Tensor]:
    """Outputs of a network, and their derivatives with respect to one channel of its input.

    The network must treat each spectrum by itself, as every registered one does. Parameters are
    left alone and gather no gradients; the mode (training or evaluation) is the caller's choice.

    Parameters
    ----------
    network : nn.Module
        (B, C, P) to (B, L).
    x : (B, C, P)
    channel : int
        The others are held fixed.

    Returns
    -------
    (B, L), (B, L, P)
        Both without a graph.
    """
    if type(network) is Ensemble:
        pairs = [outputs_and_slopes(member, x, channel) for member in network.members]
        outputs, slopes = zip(*pairs, strict=True)
        return torch.stack(outputs).mean(dim=0), torch.stack(slopes).mean(dim=0)
    if type(network) is StarNet and not network.training and _has_short_way(network):
        found = _starnet(network, x, channel)
        if found is not None:
            return found
    return slopes_by_backward(network, x, channel)


def slopes_by_backward(network: nn.Module, x: Tensor, channel: int = 0) -> tuple[Tensor, Tensor]:
    """`outputs_and_slopes` for any network: one backward pass for each output of the batch."""
    with torch.inference_mode(False), torch.enable_grad():
        x = x.detach().clone().requires_grad_()
        fixed = {name: p.detach() for name, p in network.named_parameters()}
        out = functional_call(network, fixed, (x,))
        n_outputs = out.shape[1]
        slopes = x.new_empty(x.shape[0], n_outputs, x.shape[2])
        for i in range(n_outputs):
            (back,) = torch.autograd.grad(out[:, i].sum(), x, retain_graph=i + 1 < n_outputs)
            slopes[:, i] = back[:, channel]
    return out.detach(), slopes


def _has_short_way(network: StarNet) -> bool:
    return len(network.convs) == 2 and network.config.activation == "relu"


@torch.no_grad()
def _starnet(network: StarNet, x: Tensor, channel: int) -> tuple[Tensor, Tensor] | None:
    """The short way, or None where the compiled block does not serve."""
    config = network.config
    weights = cast(Weights, tuple(p for c in network.convs for p in (c.weight, c.bias)))
    means, width = binned(x, config.binning), x.shape[-1]
    block = OpenBlock.of(means, weights, pool=config.pool, same=config.padding == "same")
    if block is None:
        return None
    h, closed = block.out.flatten(1), []
    for layer in network.dense:
        h = functional.relu(layer(h))
        closed.append(h <= 0)
    head = network.head.weight
    g = head.expand(len(x), *head.shape)  # (B, L, nodes)
    for layer, shut in zip(reversed(network.dense), reversed(closed), strict=True):
        g = block.product(g.masked_fill(shut[:, None], 0.0), cast(Tensor, layer.weight))
    slopes = block.slopes(g.unflatten(2, block.out.shape[1:]), channel)
    if config.binning > 1:
        each = slopes.repeat_interleave(config.binning, dim=-1) / config.binning
        slopes = functional.pad(each, (0, width - each.shape[-1]))
    return network.head(h), slopes
