"""The network of an emulator: labels of a star to its spectrum.

Spectra are a mean and a sum of K components, ``flux = mean + c(labels) @ basis``, and a small
dense network gives the K numbers. So everything that is linear in the spectrum (line spread,
other pixels, projections) is done once, on the components, and a thousand spectra cost one
product of matrices. The components are those of the training spectra (Jolliffe 2002, Principal
Component Analysis); dense networks for labels to spectra: Ting et al. 2019 (ApJ 879, 69).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from starnet.errors import ConfigError


@dataclass(frozen=True)
class EmulatorConfig:
    """Everything that defines an `EmulatorNetwork` but its weights.

    Attributes
    ----------
    n_labels, n_pixels : int
    components : int
        K.
    hidden : tuple of int
        Nodes of the hidden layers. Layers after the first that are as wide as the one before
        add to it (He et al. 2016, arXiv:1512.03385).
    """

    n_labels: int
    n_pixels: int
    components: int = 256
    hidden: tuple[int, ...] = (384, 384, 384)

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", tuple(int(n) for n in self.hidden))
        sizes = (self.n_labels, self.n_pixels, self.components, *self.hidden)
        if not self.hidden or min(sizes) < 1:
            raise ConfigError(f"Sizes of an emulator must be 1 or more; received {sizes}.")

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**vars(self), "hidden": list(self.hidden)}


class EmulatorNetwork(nn.Module):
    """The network of an `EmulatorConfig`: (B, L) labels to (B, P) normalised flux.

    Labels are in their own units; ``low`` and ``high`` (L,) scale them to -1 to 1.
    """

    low: Tensor
    high: Tensor
    mean: Tensor
    basis: Tensor
    spread: Tensor

    def __init__(self, config: EmulatorConfig) -> None:
        super().__init__()
        self.config = config
        n, k = config.n_labels, config.components
        self.register_buffer("low", -torch.ones(n))
        self.register_buffer("high", torch.ones(n))
        self.register_buffer("mean", torch.ones(config.n_pixels))
        self.register_buffer("basis", torch.zeros(k, config.n_pixels))
        self.register_buffer("spread", torch.ones(k))
        sizes = (n, *config.hidden)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))
        self.head = nn.Linear(sizes[-1], k)
        self.bypass = nn.Linear(n, k, bias=False)
        for layer in self.layers:
            nn.init.normal_(layer.weight, std=math.sqrt(1.5 / layer.in_features))  # type: ignore[arg-type]

    def scaled(self, labels: Tensor) -> Tensor:
        """Labels (B, L) from -1 to 1."""
        return 2 * (labels - self.low) / (self.high - self.low) - 1

    def coefficients(self, labels: Tensor) -> Tensor:
        """What the components are multiplied with: (B, L) -> (B, K)."""
        x = self.scaled(labels)
        hidden = x
        for i, layer in enumerate(self.layers):
            out = functional.silu(layer(hidden))
            hidden = hidden + out if self._adds(i) else out
        return (self.head(hidden) + self.bypass(x)) * self.spread

    def coefficients_and_slopes(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Coefficients (B, K) and their derivatives by each label (B, L, K).

        All derivatives go forward through the layers together: no graph is kept.
        """
        x = self.scaled(labels)
        first = torch.diag(2 / (self.high - self.low)).to(x.dtype)  # (L, L)
        hidden, slope = x, first.expand(len(x), -1, -1)
        for i, layer in enumerate(self.layers):
            z = layer(hidden)  # (B, H)
            gate = torch.sigmoid(z)
            bend = gate * (1 + z * (1 - gate))  # derivative of silu
            out, rise = z * gate, (slope @ layer.weight.T) * bend[:, None]  # type: ignore[operator]
            hidden, slope = (hidden + out, slope + rise) if self._adds(i) else (out, rise)
        value = self.head(hidden) + self.bypass(x)
        rise = slope @ self.head.weight.T + first @ self.bypass.weight.T
        return value * self.spread, rise * self.spread

    def forward(self, labels: Tensor) -> Tensor:
        """Normalised flux (B, P) of labels (B, L)."""
        return torch.addmm(self.mean, self.coefficients(labels), self.basis)

    def _adds(self, i: int) -> bool:
        return i > 0 and self.config.hidden[i] == self.config.hidden[i - 1]
