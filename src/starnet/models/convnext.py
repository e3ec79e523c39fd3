"""ConvNeXt along the spectrum.

Liu, Mao, Wu, Feichtenhofer, Darrell and Xie 2022 (arXiv:2201.03545), in one dimension: a stem that
cuts the spectrum into patches, blocks of a depthwise convolution and two dense layers for each
position, layer normalisation, and strided convolutions between stages.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from starnet.models._parts import (
    PixelScale,
    Readout,
    check_dropout,
    check_sizes,
    check_stages,
    patches,
)
from starnet.models.registry import register

FIRST_SCALE = 0.1
"""Of what a block adds, at the start. The paper has 1e-6 for networks of tens of blocks."""


@dataclass(frozen=True)
class ConvNeXtConfig:
    """Everything that defines a `ConvNeXt` but its weights.

    Attributes
    ----------
    n_pixels, n_labels : int
        Length of the input spectrum and number of outputs.
    n_channels : int
        1 for flux alone, 2 with the mask as second channel.
    patch : int
        Pixels that become one position in the stem; it decides most of the cost.
    widths, blocks : tuple of int
        Features of each stage, and its blocks; every stage but the first halves the length.
    kernel : int
        Length of the depthwise convolutions; odd.
    expand : int
        Hidden nodes at each position, in units of its features.
    positions : int
        Stretches of the spectrum over which features are averaged; 1 averages over all of it, as
        in the paper.
    dense : tuple of int
        Hidden nodes between features and labels.
    dropout : float
        Share of the inputs of dense layers dropped in training.
    """

    n_pixels: int
    n_labels: int
    n_channels: int = 1
    patch: int = 32
    widths: tuple[int, ...] = (32, 48, 64)
    blocks: tuple[int, ...] = (1, 1, 1)
    kernel: int = 7
    expand: int = 4
    positions: int = 57
    dense: tuple[int, ...] = (128,)
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_sizes(self, "n_pixels", "n_labels", "n_channels", "patch", "widths", "blocks")
        check_sizes(self, "kernel", "expand", "positions", "dense")
        check_dropout(self.dropout)
        check_stages(self.widths, self.blocks, self.kernel)

    @property
    def length(self) -> int:
        """Length of the features after the last stage."""
        length = -(-self.n_pixels // self.patch)
        for _ in self.widths[1:]:
            length = -(-length // 2)
        return length


class _Block(nn.Module):
    """What is near in the spectrum, then what is at one position; added to what was there."""

    def __init__(self, width: int, kernel: int, expand: int) -> None:
        super().__init__()
        self.near = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, expand * width)
        self.down = nn.Linear(expand * width, width)
        self.size = nn.Parameter(torch.full((width,), FIRST_SCALE))

    def forward(self, h: Tensor) -> Tensor:
        """Features (B, P, F) to the same shape."""
        out = self.near(h.transpose(1, 2)).transpose(1, 2)
        out = self.down(functional.gelu(self.up(self.norm(out))))
        return h + self.size * out


class _Halved(nn.Module):
    """Half the positions, (B, P, F) to (B, ceil(P / 2), F'), by a convolution of length 2."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(n_in)
        self.pair = nn.Linear(2 * n_in, n_out)

    def forward(self, h: Tensor) -> Tensor:
        return self.pair(patches(self.norm(h).transpose(1, 2), 2))


@register("convnext", ConvNeXtConfig)
class ConvNeXt(nn.Module):
    """The network of a `ConvNeXtConfig`: (B, C, P) spectra to (B, L) scaled labels."""

    def __init__(self, config: ConvNeXtConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        self.scale = PixelScale(config.n_pixels)
        self.stem = nn.Linear(config.n_channels * config.patch, widths[0])
        self.stem_norm = nn.LayerNorm(widths[0])
        halved = (None, *(_Halved(a, b) for a, b in pairwise(widths)))
        layers: list[nn.Module] = []
        for width, count, half in zip(widths, config.blocks, halved, strict=True):
            layers += [] if half is None else [half]
            layers += [_Block(width, config.kernel, config.expand) for _ in range(count)]
        self.layers = nn.Sequential(*layers)
        self.norm = nn.LayerNorm(widths[-1])
        self.readout = Readout(
            widths[-1], config.length, config.positions, config.dense, config.n_labels,
            config.dropout,
        )  # fmt: skip

    def fit_inputs(self, inputs: NDArray[Any]) -> None:
        """Take the scale of pixels from training inputs (N, C, P)."""
        self.scale.fit(inputs)

    def forward(self, x: Tensor) -> Tensor:
        """Labels (B, L) of spectra (B, C, P)."""
        h = self.stem_norm(self.stem(patches(self.scale(x), self.config.patch)))  # -> (B, P', F)
        return self.readout(self.norm(self.layers(h)).transpose(1, 2))
