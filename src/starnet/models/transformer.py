"""Transformer on patches of pixels.

Vaswani et al. 2017 (arXiv:1706.03762) as Dosovitskiy et al. 2020 (arXiv:2010.11929) feed it with
patches, normalisation before each part. The place of a patch is that of its first pixel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from starnet.errors import ConfigError
from starnet.models._parts import (
    PixelScale,
    Readout,
    check_choice,
    check_dropout,
    check_sizes,
    patches,
)
from starnet.models.registry import register

Pool = Literal["mean", "token", "all"]
LONGEST = 10_000.0
"""Longest wave of the places over 2 pi, in pixels, as in Vaswani et al. (2017), section 3.5."""


@dataclass(frozen=True)
class TransformerConfig:
    """Everything that defines a `Transformer` but its weights.

    Attributes
    ----------
    n_pixels, n_labels : int
        Length of the input spectrum and number of outputs.
    n_channels : int
        1 for flux alone, 2 with the mask as second channel.
    patch : int
        Pixels of a patch; cost falls with it, attention's by its square.
    own : bool
        Every patch has an embedding of its own instead of one for all: pixels of aligned spectra
        are always the same wavelengths.
    width, layers, heads : int
        Features of a patch, layers, and heads of attention in each; heads divide the width.
    expand : int
        Hidden nodes of a patch in each layer, in units of its features.
    pool : {"mean", "token", "all"}
        What labels are read from: the mean of all patches, one that is added, or all patches side
        by side.
    dense : tuple of int
        Hidden nodes between features and labels.
    dropout : float
        Share of what a layer adds, and of the inputs of dense layers, dropped in training.
    """

    n_pixels: int
    n_labels: int
    n_channels: int = 1
    patch: int = 64
    own: bool = True
    width: int = 48
    layers: int = 2
    heads: int = 4
    expand: int = 2
    pool: Pool = "all"
    dense: tuple[int, ...] = (128,)
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_sizes(self, "n_pixels", "n_labels", "n_channels", "patch", "width", "layers")
        check_sizes(self, "heads", "expand", "dense")
        check_choice("pool", self.pool, get_args(Pool))
        check_dropout(self.dropout)
        if self.width % (2 * self.heads):
            raise ConfigError(
                f"width must be a multiple of 2 * heads, {2 * self.heads}; received {self.width}."
            )

    @property
    def n_patches(self) -> int:
        """Patches, the last of which may be filled up with zeros."""
        return -(-self.n_pixels // self.patch)


class _Layer(nn.Module):
    """Attention between patches, then two dense layers for each."""

    def __init__(self, width: int, heads: int, expand: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.asked = nn.Linear(width, 3 * width)
        self.told = nn.Linear(width, width)
        self.second_norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, expand * width)
        self.down = nn.Linear(expand * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: Tensor) -> Tensor:
        """Features (B, N, F) to the same shape."""
        h = h + self.dropout(self._attended(self.norm(h)))
        return h + self.dropout(self.down(functional.gelu(self.up(self.second_norm(h)))))

    def _attended(self, h: Tensor) -> Tensor:
        split = self.asked(h).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = split  # (B, heads, N, F / heads) each
        out = functional.scaled_dot_product_attention(query, key, value)
        return self.told(out.transpose(1, 2).flatten(2))


class _Own(nn.Module):
    """A dense layer for each patch, (B, N, I) to (B, N, O)."""

    def __init__(self, n: int, n_in: int, n_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n, n_in, n_out) / math.sqrt(n_in))
        self.bias = nn.Parameter(torch.zeros(n, 1, n_out))

    def forward(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, x.transpose(0, 1), self.weight).transpose(0, 1)


@register("transformer", TransformerConfig)
class Transformer(nn.Module):
    """The network of a `TransformerConfig`: (B, C, P) spectra to (B, L) scaled labels."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        n, width, n_in = config.n_patches, config.width, config.n_channels * config.patch
        self.scale = PixelScale(config.n_pixels)
        self.embedding = _Own(n, n_in, width) if config.own else nn.Linear(n_in, width)
        self.place = nn.Parameter(places(n, width, config.patch))
        if config.pool == "token":
            self.token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.layers = nn.Sequential(
            *(
                _Layer(width, config.heads, config.expand, config.dropout)
                for _ in range(config.layers)
            )
        )
        self.norm = nn.LayerNorm(width)
        length = n if config.pool == "all" else 1
        self.readout = Readout(
            width, length, length, config.dense, config.n_labels, config.dropout
        )  # fmt: skip

    def fit_inputs(self, inputs: NDArray[Any]) -> None:
        """Take the scale of pixels from training inputs (N, C, P)."""
        self.scale.fit(inputs)

    def forward(self, x: Tensor) -> Tensor:
        """Labels (B, L) of spectra (B, C, P)."""
        pool = self.config.pool
        h = self.embedding(patches(self.scale(x), self.config.patch)) + self.place  # (B, N, F)
        if pool == "token":
            h = torch.cat([self.token.expand(len(h), -1, -1), h], dim=1)
        h = self.norm(self.layers(h))
        h = h[:, :1] if pool == "token" else h.mean(1, keepdim=True) if pool == "mean" else h
        return self.readout(h.transpose(1, 2))


def places(n: int, width: int, patch: int) -> Tensor:
    """Sines and cosines (N, F) of the first pixel of each patch; they are learnt on from there."""
    rate = LONGEST ** -(torch.arange(0, width, 2) / width)
    angle = patch * torch.arange(n)[:, None] * rate
    return torch.stack([angle.sin(), angle.cos()], dim=2).flatten(1)
