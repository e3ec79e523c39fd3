"""A reader whose errors are a distribution: a head on what the reader knows, the reader as it is.

The reader gives a mean and a width for each label; the head learns how the labels lie around them,
in units of the widths, given the reader's last hidden layer. One pass through the network is then
one posterior: what an inference by sampling does for each star anew is amortised (Papamakarios
and Murray 2016, arXiv:1605.06376).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from torch import Tensor, nn
from torch.distributions import Distribution

from starnet.errors import ConfigError
from starnet.models.heads import build_head, head_settings, moved
from starnet.models.reader import Reader
from starnet.models.registry import build_network, config_from_dict, config_to_dict, register


@dataclass(frozen=True)
class AmortisedConfig:
    """Everything that defines an `Amortised` but its weights.

    Attributes
    ----------
    n_pixels, n_labels, n_channels : int
    reader : mapping
        Settings of a `ReaderConfig`; its sizes are filled in.
    head : mapping
        Kind and settings of the head.
    hidden : tuple of int
        Nodes of the layers between the reader's and the head.
    """

    n_pixels: int
    n_labels: int
    n_channels: int = 2
    reader: Mapping[str, Any] = field(default_factory=dict)
    head: Mapping[str, Any] = field(default_factory=lambda: {"kind": "flow"})
    hidden: tuple[int, ...] = (256,)

    def __post_init__(self) -> None:
        sizes = {name: getattr(self, name) for name in ("n_pixels", "n_labels", "n_channels")}
        if self.reader.get("family", "reader") != "reader":
            raise ConfigError(
                f"An amortised posterior stands on a reader; received {self.reader['family']!r}. "
                "For other networks, train the family 'headed'."
            )
        reader = config_to_dict(config_from_dict({**self.reader, **sizes, "family": "reader"}))
        object.__setattr__(self, "reader", json.loads(json.dumps(reader)))
        object.__setattr__(self, "head", head_settings(self.head))
        object.__setattr__(self, "hidden", tuple(int(n) for n in self.hidden))


@register("amortised", AmortisedConfig)
class Amortised(nn.Module):
    """The network of an `AmortisedConfig`: (B, 2, P) flux and ivar to distributions."""

    def __init__(self, config: AmortisedConfig) -> None:
        super().__init__()
        self.config = config
        reader = build_network(config.reader)
        assert isinstance(reader, Reader)
        self.reader = reader
        sizes = (reader.config.hidden[-1], *config.hidden)
        layers: list[nn.Module] = [nn.LayerNorm(sizes[0])]
        for a, b in pairwise(sizes):
            layers += [nn.Linear(a, b), nn.SiLU()]
        head = build_head(config.head, sizes[-1], config.n_labels)
        self.top = nn.Sequential(*layers, head)

    def embed(self, x: Tensor) -> Tensor:
        """The reader's last hidden layer (B, H) of flux and ivar (B, 2, P)."""
        return self.reader.embed(x)

    def posterior(self, x: Tensor) -> Distribution:
        """Distribution, batch (B,) and event (L,), over scaled labels of inputs (B, 2, P)."""
        features = self.reader.features(x)
        hidden = self.reader.hidden(features)
        mean, sigma = self.reader.read(features, hidden)
        return moved(self.top(hidden), mean, sigma)

    def forward(self, x: Tensor) -> Tensor:
        """Means (B, L) of the distributions."""
        return self.posterior(x).mean


def amortised(reader: Reader, head: Mapping[str, Any], hidden: tuple[int, ...]) -> Amortised:
    """An untrained head on a reader, whose weights are copied."""
    config = reader.config
    sizes = {name: getattr(config, name) for name in ("n_pixels", "n_labels", "n_channels")}
    made = Amortised(
        AmortisedConfig(**sizes, reader=config_to_dict(config), head=head, hidden=hidden)
    )
    made.reader.load_state_dict(reader.state_dict())
    return made.to(next(reader.parameters()).dtype)
