"""Any network with a head: it gives a distribution over labels instead of a number for each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from starnet.errors import ConfigError
from starnet.models.heads import build_head, head_settings
from starnet.models.registry import build_network, config_from_dict, config_to_dict, register


@dataclass(frozen=True)
class HeadedConfig:
    """Everything that defines a `Headed` but its weights.

    Attributes
    ----------
    n_pixels, n_labels, n_channels : int
    trunk : mapping
        Family and settings of a registered network; its sizes are filled in.
    head : mapping
        Kind and settings of the head: ``normal``, ``covariance``, ``mixture`` or ``flow``.
    width : int
        Hidden features between trunk and head.
    """

    n_pixels: int
    n_labels: int
    n_channels: int = 1
    trunk: Mapping[str, Any] = field(default_factory=lambda: {"family": "starnet"})
    head: Mapping[str, Any] = field(default_factory=lambda: {"kind": "covariance"})
    width: int = 128

    def __post_init__(self) -> None:
        for name in ("trunk", "head"):
            if not isinstance(getattr(self, name), Mapping):
                raise ConfigError(f"{name} must be settings; received {getattr(self, name)!r}.")
        if not isinstance(self.width, int) or self.width < 1:
            raise ConfigError(f"width must be a whole number above 0; received {self.width!r}.")
        sizes = {"n_pixels": self.n_pixels, "n_channels": self.n_channels, "n_labels": self.width}
        trunk = config_to_dict(config_from_dict({**self.trunk, **sizes}))
        object.__setattr__(self, "trunk", json.loads(json.dumps(trunk)))
        object.__setattr__(self, "head", head_settings(self.head))


@register("headed", HeadedConfig)
class Headed(nn.Module):
    """The network of a `HeadedConfig`: (B, C, P) spectra to a distribution over scaled labels.

    The trunk gives ``width`` numbers in the place of labels, which go through a rectifier to the
    head. With a StarNet as the trunk, they are its last hidden layer: ``dense: [256]`` and
    ``width: 128`` make the network of 2018.
    """

    def __init__(self, config: HeadedConfig) -> None:
        super().__init__()
        self.config = config
        self.trunk = build_network(config.trunk)
        self.head = build_head(config.head, config.width, config.n_labels)
        if hasattr(self.trunk, "fit_inputs"):
            self.fit_inputs: Any = self.trunk.fit_inputs

    def embed(self, x: Tensor) -> Tensor:
        """Hidden features (B, width) of spectra (B, C, P)."""
        return torch.relu(self.trunk(x))

    def posterior(self, x: Tensor) -> Distribution:
        """Distribution, batch (B,) and event (L,), over the scaled labels of spectra (B, C, P)."""
        return self.head(self.embed(x))

    def forward(self, x: Tensor) -> Tensor:
        """Means (B, L) of the distributions."""
        return self.posterior(x).mean
