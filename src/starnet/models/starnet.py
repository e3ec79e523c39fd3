"""StarNet: convolutions over the spectrum, max-pooling, dense layers, labels.

Fabbro et al. 2018, MNRAS 475, 2978. The defaults are the published network; the other
architectures of that paper (dense layers only, one convolution, five) differ by arguments.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, cast, get_args

from torch import Tensor, nn
from torch.nn import functional

from starnet.errors import ConfigError
from starnet.models._fused import Weights, conv_block, zero_padded
from starnet.models._parts import check_choice, check_dropout, check_sizes
from starnet.models.registry import register

Padding = Literal["valid", "same"]
Activation = Literal["relu", "leaky_relu", "elu", "gelu", "silu"]
Initialiser = Literal["he_normal", "he_uniform", "glorot_normal", "glorot_uniform"]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "leaky_relu": functional.leaky_relu,
    "elu": functional.elu,
    "gelu": functional.gelu,
    "silu": functional.silu,
}

# Standard deviation of a unit normal cut at two sigma: Keras' he_normal draws from the cut normal
# and widens it so that the variance comes out as 2 / fan_in.
_CUT_NORMAL_STD = 0.87962566103423978


@dataclass(frozen=True)
class StarNetConfig:
    """Everything that defines a StarNet but its weights.

    Attributes
    ----------
    n_pixels, n_labels : int
        Length of the input spectrum and number of outputs.
    n_channels : int
        1 for flux alone, 2 with the mask as second channel.
    filters : tuple of int
        Filters of each convolution; empty for dense layers only (then nothing is pooled).
    kernel : int
        Kernel length of the convolutions; the step is 1.
    pool : int
        Length and step of the max-pooling after the last convolution.
    dense : tuple of int
        Nodes of each hidden dense layer.
    padding : {"valid", "same"}
        "same" adds zeros so that convolutions keep the length, the odd one on the right.
    dropout : float
        Share of the nodes dropped after each hidden dense layer in training.
    activation : {"relu", "leaky_relu", "elu", "gelu", "silu"}
        After every layer but the last. The compiled convolutions are for "relu" alone.
    initialiser : {"he_normal", "he_uniform", "glorot_normal", "glorot_uniform"}
        How weights are drawn (He et al. 2015, arXiv:1502.01852; Glorot and Bengio 2010).
    binning : int
        Neighbouring pixels whose mean the first convolution sees as one; a remainder at the end
        is left out. Where a line spans several pixels little is lost and all is faster.
    """

    n_pixels: int
    n_labels: int
    n_channels: int = 1
    filters: tuple[int, ...] = (4, 16)
    kernel: int = 8
    pool: int = 4
    dense: tuple[int, ...] = (256, 128)
    padding: Padding = "valid"
    dropout: float = 0.0
    activation: Activation = "relu"
    initialiser: Initialiser = "he_normal"
    binning: int = 1

    def __post_init__(self) -> None:
        check_sizes(self, "n_pixels", "n_labels", "n_channels", "filters", "kernel", "pool")
        check_sizes(self, "dense", "binning")
        check_choice("padding", self.padding, get_args(Padding))
        check_choice("activation", self.activation, get_args(Activation))
        check_choice("initialiser", self.initialiser, get_args(Initialiser))
        check_dropout(self.dropout)
        if self.n_features < 1:
            raise ConfigError(
                f"n_pixels must leave something after binning by {self.binning}, "
                f"{len(self.filters)} convolutions of length {self.kernel} and pooling by "
                f"{self.pool}; received {self.n_pixels}."
            )

    @property
    def n_features(self) -> int:
        """Inputs of the first dense layer."""
        pixels = self.n_pixels // self.binning
        if not self.filters:
            return pixels * self.n_channels
        lost = len(self.filters) * (self.kernel - 1) if self.padding == "valid" else 0
        return (pixels - lost) // self.pool * self.filters[-1]


@register("starnet", StarNetConfig)
class StarNet(nn.Module):
    """The network of a `StarNetConfig`: (B, C, P) spectra to (B, L) scaled labels."""

    def __init__(self, config: StarNetConfig) -> None:
        super().__init__()
        self.config = config
        channels = (config.n_channels, *config.filters)
        self.convs = nn.ModuleList(nn.Conv1d(a, b, config.kernel) for a, b in pairwise(channels))
        nodes = (config.n_features, *config.dense)
        self.dense = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(nodes))
        self.head = nn.Linear(nodes[-1], config.n_labels)
        self.activation = ACTIVATIONS[config.activation]
        initialise(self, config.initialiser)

    def forward(self, x: Tensor) -> Tensor:
        """Labels (B, L) of spectra (B, C, P)."""
        h = self._convolved(x).flatten(1)  # -> (B, n_features)
        for layer in self.dense:
            h = self.activation(layer(h))
            h = functional.dropout(h, self.config.dropout, self.training)
        return self.head(h)

    def _convolved(self, x: Tensor) -> Tensor:
        config = self.config
        x = binned(x, config.binning)
        if len(self.convs) == 2 and config.activation == "relu":
            weights = [p for conv in self.convs for p in (conv.weight, conv.bias)]
            same = config.padding == "same"
            return conv_block(x, *cast(Weights, weights), pool=config.pool, same=same)
        if not self.convs:
            return x
        total = config.kernel - 1 if config.padding == "same" else 0
        for conv in self.convs:
            x = self.activation(conv(zero_padded(x, (total // 2, total - total // 2))))
        return functional.max_pool1d(x, config.pool).transpose(1, 2)  # (B, P', F), as the block


def binned(x: Tensor, n: int) -> Tensor:
    """Means (B, C, P // n) of n neighbouring pixels of (B, C, P); a remainder is dropped."""
    if n == 1:
        return x
    whole = x.shape[-1] // n * n
    return x[..., :whole].unflatten(-1, (-1, n)).mean(dim=-1)


def initialise(network: nn.Module, name: str) -> None:
    """Fresh weights for the convolutions and dense layers of a network; biases are zero."""
    for module in network.modules():
        if isinstance(module, nn.Conv1d | nn.Linear):
            _DRAWN[name](module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _he_normal(weight: Tensor) -> None:
    """He et al. 2015 (arXiv 1502.01852), eq. 10, drawn as Keras draws it."""
    std = math.sqrt(2.0 / weight[0].numel()) / _CUT_NORMAL_STD
    nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)


def _he_uniform(weight: Tensor) -> None:
    nn.init.kaiming_uniform_(weight, nonlinearity="relu")


_DRAWN: dict[str, Callable[[Tensor], object]] = {
    "he_normal": _he_normal,
    "he_uniform": _he_uniform,
    "glorot_normal": nn.init.xavier_normal_,
    "glorot_uniform": nn.init.xavier_uniform_,
}
