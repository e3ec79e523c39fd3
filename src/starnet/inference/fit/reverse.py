"""The network of an emulator forwards, and derivatives backwards through it.

All slopes of a star cost as much as 20 evaluations. Where only the slope of chi-square is wanted,
one number for each label, going backwards costs two; without a graph there is nothing to set up.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from starnet.models.emulator import EmulatorNetwork


def forward(network: EmulatorNetwork, labels: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Coefficients (B, K) of labels (B, L), and a function that takes derivatives back.

    The function takes derivatives (B, K) of something by the coefficients to those by the labels
    (B, L).
    """
    x = network.scaled(labels)
    hidden, bends = x, []
    for layer in network.layers:
        z = layer(hidden)
        gate = torch.sigmoid(z)
        bends.append(gate * (1 + z * (1 - gate)))
        out = z * gate
        hidden = hidden + out if out.shape == hidden.shape and len(bends) > 1 else out
    value = (network.head(hidden) + network.bypass(x)) * network.spread

    def back(slope: Tensor) -> Tensor:
        slope = slope * network.spread
        down = slope @ network.head.weight
        for layer, bend in zip(reversed(list(network.layers)), reversed(bends), strict=True):
            weight: Tensor = layer.weight  # type: ignore[assignment]
            through = (down * bend) @ weight
            adds = layer is not network.layers[0] and weight.shape[0] == weight.shape[1]
            down = down + through if adds else through
        return (down + slope @ network.bypass.weight) * (2 / (network.high - network.low))

    return value, back
