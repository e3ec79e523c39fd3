"""Parts that several networks share: checks of settings, scaled pixels, and the way to labels."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from starnet.errors import ConfigError

LIMIT = 10.0
"""Scaled pixels are bent to stay within it, so that a spike or a bad pixel has no long lever."""
LEAST = 0.1
"""Smallest spread of a pixel that counts, in units of the median one."""


def check_sizes(config: Any, *names: str) -> None:
    """Settings named must be whole numbers above 0, or tuples of such, which lists become.

    Raises
    ------
    ConfigError
        Naming the setting.
    """
    for name in names:
        value = getattr(config, name)
        if isinstance(value, list | tuple):
            object.__setattr__(config, name, tuple(value))
            for entry in value:
                _positive(f"every entry of {name}", entry)
        else:
            _positive(name, value)


def check_dropout(value: float) -> None:
    """A share of nodes that are dropped must be at least 0 and below 1."""
    if not 0 <= value < 1:
        raise ConfigError(f"dropout must be at least 0 and below 1; received {value}.")


def check_stages(widths: tuple[int, ...], blocks: tuple[int, ...], kernel: int) -> None:
    """Stages of convolutions have a width and a number of blocks each, and an odd kernel."""
    if not widths or len(widths) != len(blocks):
        raise ConfigError(
            f"widths and blocks must have one entry for each stage; received {widths} and {blocks}."
        )
    if kernel % 2 == 0:
        raise ConfigError(f"kernel must be odd; received {kernel}.")


def check_choice(name: str, value: Any, known: tuple[str, ...]) -> None:
    """A setting that is one of several words."""
    if value not in known:
        raise ConfigError(f"{name} must be one of {', '.join(known)}; received {value!r}.")


def _positive(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"{name} must be a whole number above 0; received {value!r}.")


class PixelScale(nn.Module):
    """Flux less its mean and over its spread, pixel by pixel; 0 at masked pixels.

    Pixels of a normalised spectrum are all near 1 and differ by little, which no initialisation
    is made for. Until `fit` has seen training spectra, the flux stays as it is.

    Parameters
    ----------
    n_pixels : int
    """

    center: Tensor
    inverse: Tensor

    def __init__(self, n_pixels: int) -> None:
        super().__init__()
        self.register_buffer("center", torch.zeros(n_pixels))
        self.register_buffer("inverse", torch.ones(n_pixels))

    @torch.no_grad()
    def fit(self, inputs: NDArray[Any]) -> None:
        """Take means and spreads from inputs (N, C, P); masked pixels do not count."""
        flux = inputs[:, 0]
        good = inputs[:, 1] < 0.5 if inputs.shape[1] > 1 else np.ones(flux.shape, dtype=bool)
        count = np.maximum(good.sum(axis=0), 1)
        mean = np.sum(flux, axis=0, where=good, dtype=float) / count
        square = np.sum(np.square(flux - mean), axis=0, where=good, dtype=float)
        spread = np.sqrt(square / count)
        middle = np.median(spread[spread > 0]) if np.any(spread > 0) else 1.0
        self.center.copy_(torch.from_numpy(mean))
        self.inverse.copy_(torch.from_numpy(1 / np.maximum(spread, LEAST * middle)))

    def forward(self, x: Tensor) -> Tensor:
        """Scaled channels (B, C, P) of spectra (B, C, P); the mask stays as it is."""
        z = (x[:, :1] - self.center) * self.inverse
        z = LIMIT * torch.tanh(z / LIMIT)
        if x.shape[1] == 1:
            return z
        return torch.cat([z * (1 - x[:, 1:2]), x[:, 1:]], dim=1)


class Readout(nn.Module):
    """Features (B, F, P) to labels (B, L): averaged to a few positions, then dense layers.

    Parameters
    ----------
    width, length : int
        F and P.
    positions : int
        Stretches of the spectrum of which the mean is taken; 1 forgets where features were.
    dense : tuple of int
        Hidden nodes.
    n_labels : int
    dropout : float
        Share of the inputs of every dense layer dropped in training.
    """

    def __init__(
        self,
        width: int,
        length: int,
        positions: int,
        dense: tuple[int, ...],
        n_labels: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.positions = min(positions, length)
        nodes = (width * self.positions, *dense)
        self.dense = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(nodes))
        self.head = nn.Linear(nodes[-1], n_labels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: Tensor) -> Tensor:
        """Labels (B, L) of features (B, F, P)."""
        if self.positions != h.shape[2]:
            h = functional.adaptive_avg_pool1d(h, self.positions)  # -> (B, F, positions)
        h = h.flatten(1)
        for layer in self.dense:
            h = functional.gelu(layer(self.dropout(h)))
        return self.head(self.dropout(h))


def patches(x: Tensor, length: int) -> Tensor:
    """Spectra (B, C, P) cut into patches (B, ceil(P / length), C * length), zeros at the end."""
    short = -x.shape[2] % length
    x = functional.pad(x, (0, short)) if short else x
    return x.unflatten(2, (-1, length)).transpose(1, 2).flatten(2)
