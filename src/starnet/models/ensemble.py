"""Several networks as one: the mean of what they say, and how far they differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from starnet.errors import ModelError
from starnet.models.heads import distributes, distribution_of, equal_mixture
from starnet.models.registry import build_network, config_from_dict, config_to_dict, register


@dataclass(frozen=True)
class EnsembleConfig:
    """The members of an ensemble, each as `config_to_dict` writes it.

    They read the same inputs and give the same labels.
    """

    members: tuple[Mapping[str, Any], ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "members", tuple(self.members))
        shapes = {(c.n_channels, c.n_pixels, c.n_labels) for c in self._configs()}
        if len(shapes) != 1:
            raise ModelError(
                "An ensemble needs members with the same channels, pixels and labels; received "
                f"{sorted(shapes) or 'none'}."
            )

    def _configs(self) -> list[Any]:
        return [config_from_dict(member) for member in self.members]

    @property
    def n_pixels(self) -> int:
        """Pixels of the input."""
        return self._configs()[0].n_pixels

    @property
    def n_channels(self) -> int:
        """Channels of the input."""
        return self._configs()[0].n_channels

    @property
    def n_labels(self) -> int:
        """Number of labels."""
        return self._configs()[0].n_labels


@register("ensemble", EnsembleConfig)
class Ensemble(nn.Module):
    """Networks side by side; (B, C, P) to the mean of their labels (B, L).

    The mean of deep ensembles (Lakshminarayanan et al. 2017, arXiv 1612.01474). It wraps its
    members and changes none of them.
    """

    def __init__(self, config: EnsembleConfig) -> None:
        super().__init__()
        self.config = config
        self.members = nn.ModuleList(build_network(member) for member in config.members)

    def member_outputs(self, x: Tensor) -> Tensor:
        """What each member says, (M, B, L)."""
        return torch.stack([member(x) for member in self.members])

    def forward(self, x: Tensor) -> Tensor:
        """Labels (B, L) of spectra (B, C, P)."""
        return self.member_outputs(x).mean(dim=0)

    @property
    def distributes(self) -> bool:
        """Whether every member gives a distribution, so that the ensemble does."""
        return all(map(distributes, self.members))

    def posterior(self, x: Tensor) -> Distribution:
        """The equal mixture of the members' distributions over scaled labels.

        Raises
        ------
        ModelError
            If a member gives labels alone.
        """
        parts = [distribution_of(member, x) for member in self.members]
        given = [part for part in parts if part is not None]
        if len(given) < len(parts):
            raise ModelError(
                f"{len(parts) - len(given)} of the {len(parts)} members of this ensemble give no "
                "distribution over labels. Train all of them with a head (family 'headed')."
            )
        return equal_mixture(given)


def gather(networks: list[nn.Module]) -> nn.Module:
    """One network as it is; several as an `Ensemble` that shares their weights."""
    if len(networks) == 1:
        return networks[0]
    ensemble = Ensemble(EnsembleConfig(tuple(config_to_dict(n.config) for n in networks)))
    ensemble.members = nn.ModuleList(networks)
    return ensemble
