"""Residual dense network on a linear projection of all pixels.

Spectra at rest are aligned: a pixel is a wavelength, and what it says of a star is not what its
neighbour says. One matrix that begins as the principal components of the training spectra, and is
learnt on from there, takes the place of convolutions and of the wide dense layer behind them; the
dense blocks that follow are residual (He et al. 2015, arXiv:1512.03385) and normalised before each
part (Ba et al. 2016, arXiv:1607.06450). Nearly all of the cost is that matrix.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from starnet.errors import ConfigError
from starnet.models._parts import PixelScale, check_dropout, check_sizes
from starnet.models.registry import register

MOST = 2000
"""Spectra at most that principal components are taken from."""
FIRST_SCALE = 0.1
"""Of the last layer of a block at the start, next to torch's own."""


@dataclass(frozen=True)
class ResMLPConfig:
    """Everything that defines a `ResMLP` but its weights.

    Attributes
    ----------
    n_pixels, n_labels : int
        Length of the input spectrum and number of outputs.
    n_channels : int
        1 for flux alone, 2 with the mask as second channel.
    width : int
        Features that the pixels are projected on.
    blocks : int
        Residual blocks of two dense layers.
    expand : int
        Hidden nodes of a block, in units of ``width``.
    whiten_power : float
        Components are divided by this power of their standard deviation at the start: 0 leaves
        them, 1 makes them all alike.
    noise : float
        Noise on the flux in training, in units of each pixel's spread in the training spectra.
    dropout : float
        Share of the hidden nodes of blocks dropped in training.
    learnt : bool
        Whether the projection is learnt on; False keeps the principal components, for small
        training sets. A mask then has no say, but that masked pixels count as average ones.
    """

    n_pixels: int
    n_labels: int
    n_channels: int = 1
    width: int = 256
    blocks: int = 3
    expand: int = 1
    whiten_power: float = 0.5
    noise: float = 0.0
    dropout: float = 0.0
    learnt: bool = True

    def __post_init__(self) -> None:
        check_sizes(self, "n_pixels", "n_labels", "n_channels", "width", "blocks", "expand")
        check_dropout(self.dropout)
        if not 0 <= self.whiten_power <= 1:
            raise ConfigError(f"whiten_power must be from 0 to 1; received {self.whiten_power}.")
        if not self.noise >= 0:
            raise ConfigError(f"noise must be 0 or more; received {self.noise}.")


class _Block(nn.Module):
    """Two dense layers, added to what was there."""

    def __init__(self, width: int, expand: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, expand * width)
        self.dropout = nn.Dropout(dropout)
        self.down = nn.Linear(expand * width, width)
        with torch.no_grad():
            self.down.weight.mul_(FIRST_SCALE)

    def forward(self, h: Tensor) -> Tensor:
        return h + self.down(self.dropout(functional.gelu(self.up(self.norm(h)))))


class _Fixed(nn.Module):
    """A dense layer that is kept as it is."""

    weight: Tensor
    bias: Tensor

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.register_buffer("weight", layer.weight.detach())
        self.register_buffer("bias", layer.bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight, self.bias)


@register("resmlp", ResMLPConfig)
class ResMLP(nn.Module):
    """The network of a `ResMLPConfig`: (B, C, P) spectra to (B, L) scaled labels.

    `fit_inputs` should see training spectra before training: without it the projection begins at
    random, on pixels that are not scaled.
    """

    def __init__(self, config: ResMLPConfig) -> None:
        super().__init__()
        self.config = config
        self.scale = PixelScale(config.n_pixels)
        stem = nn.Linear(config.n_channels * config.n_pixels, config.width)
        self.stem = stem if config.learnt else _Fixed(stem)
        self.blocks = nn.Sequential(
            *(_Block(config.width, config.expand, config.dropout) for _ in range(config.blocks))
        )
        self.head = nn.Linear(config.width, config.n_labels)

    def forward(self, x: Tensor) -> Tensor:
        """Labels (B, L) of spectra (B, C, P)."""
        z = self.scale(x)
        if self.training and self.config.noise:
            shaken = z[:, :1] + self.config.noise * torch.randn_like(z[:, :1])
            z = torch.cat([shaken, z[:, 1:]], dim=1)
        return self.head(self.blocks(self.stem(z.flatten(1))))  # (B, C P) -> (B, F) -> (B, L)

    @torch.no_grad()
    def fit_inputs(self, inputs: NDArray[Any]) -> None:
        """Take the scale of pixels and the principal components from training inputs (N, C, P).

        Jolliffe 2002, Principal Component Analysis, chapter 3. Where there are fewer components
        than ``width``, the rest stay as they were drawn.
        """
        self.scale.fit(inputs)
        flux = self.scale(torch.from_numpy(np.array(inputs[:MOST], dtype=np.float32)))[:, 0]
        rows = _components(flux - flux.mean(dim=0), self.config.width, self.config.whiten_power)
        n, pixels = rows.shape
        self.stem.weight[:n] = 0.0  # a mask begins with no say
        self.stem.weight[:n, :pixels] = rows
        self.stem.bias.zero_()


def _components(flux: Tensor, n: int, power: float) -> Tensor:
    """Rows (at most n, P) that project centred flux (N, P) on partly whitened components.

    Their mean square over the spectra is 1.
    """
    value, vector = torch.linalg.eigh((flux @ flux.T).double())  # (N, N), rising
    keep = torch.nonzero(value > 1e-9 * value[-1]).flatten().flip(0)[:n]
    value, vector = value[keep], vector[:, keep]
    std = torch.sqrt(value / len(flux))
    size = std ** (1 - power)
    weight = std**-power * math.sqrt(len(keep)) / size.norm()
    return (flux.T @ (vector / value.sqrt()).float() * weight.float()).T
