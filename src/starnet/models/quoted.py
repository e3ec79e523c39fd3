"""A kernel and networks beside it, with errors that stars left out of their training have set.

How sure the kernel is, how far the networks beside it are from it, and how far they are from one
another say which stars are hard. How large an error comes with that was measured on stars that
other copies of the networks had never seen (`training.quote`):

    error of a label = exp(w0 + w1 log(kernel) + w2 log(apart) + w3 log(members)).

It is the error of what a table such as that of the training stars would say, noise and all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, MultivariateNormal

from starnet.errors import ModelError
from starnet.models.ensemble import EnsembleConfig
from starnet.models.kernel import Kernel, KernelConfig
from starnet.models.registry import build_network, config_from_dict, config_to_dict, register

TERMS = ("kernel", "apart", "members")
"""What errors depend on, each as a logarithm of scaled labels."""
LEAST_APART, LEAST_SPREAD = 0.05, 0.02
"""Networks that agree better than this, in scaled labels, agree."""
MOST = 4.0
"""Natural logarithm of the largest and smallest error in scaled labels."""


@dataclass(frozen=True)
class QuotedConfig:
    """The members, each as `config_to_dict` writes it: a kernel with ``spread``, then others."""

    members: tuple[Mapping[str, Any], ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "members", tuple(json.loads(json.dumps(list(self.members)))))
        first = config_from_dict(self.members[0]) if self.members else None
        if not isinstance(first, KernelConfig) or not first.spread:
            raise ModelError(
                "The first member must be a network of the family 'kernel' with spread: true; "
                f"received {type(first).__name__}."
            )
        EnsembleConfig(self.members)

    @property
    def n_pixels(self) -> int:
        """Pixels of the input."""
        return config_from_dict(self.members[0]).n_pixels

    @property
    def n_channels(self) -> int:
        """Channels of the input."""
        return config_from_dict(self.members[0]).n_channels

    @property
    def n_labels(self) -> int:
        """Number of labels."""
        return config_from_dict(self.members[0]).n_labels


@register("quoted", QuotedConfig)
class Quoted(nn.Module):
    """The network of a `QuotedConfig`: (B, C, P) to the mean of its members' labels (B, L)."""

    widths: Tensor
    root: Tensor

    def __init__(self, config: QuotedConfig) -> None:
        super().__init__()
        self.config = config
        self.members = nn.ModuleList(build_network(member) for member in config.members)
        n = config.n_labels
        self.register_buffer("widths", torch.tensor([[0.0, 1.0, 0.0, 0.0]]).repeat(n, 1))
        self.register_buffer("root", torch.eye(n))

    def forward(self, x: Tensor) -> Tensor:
        """Labels (B, L) of spectra (B, C, P)."""
        return torch.stack([member(x) for member in self.members]).mean(dim=0)

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (B, L), and the logarithms (B, L, 3) that errors follow from, as in `TERMS`."""
        kernel = self.members[0]
        assert isinstance(kernel, Kernel)
        own, variance, noise = kernel.mean_and_variance(x)
        terms = [0.5 * (variance + noise).log()]
        said = [_voices(member, x) for member in list(self.members)[1:]]
        mean = torch.stack([own, *(voices.mean(dim=0) for voices in said)]).mean(dim=0)
        voices = torch.cat(said) if said else own[None]
        apart = (own - mean).square() + LEAST_APART**2
        spread = (voices - voices.mean(dim=0)).square().mean(dim=0) + LEAST_SPREAD**2
        return mean, torch.stack([*terms, 0.5 * apart.log(), 0.5 * spread.log()], dim=2)

    def distribution(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and error (B, L) of scaled labels."""
        mean, terms = self.parts(x)
        log = self.widths[:, 0] + (self.widths[:, 1:] * terms).sum(dim=2)
        return mean, log.clamp(-MOST, MOST).exp()

    def posterior(self, x: Tensor) -> Distribution:
        """Normal distribution over scaled labels; correlations are alike for all stars."""
        mean, error = self.distribution(x)
        lower = error[:, :, None] * self.root
        return MultivariateNormal(mean, scale_tril=lower, validate_args=False)


def with_errors(members: list[nn.Module], widths: Tensor, correlation: Tensor) -> Quoted:
    """Trained members with errors: coefficients (L, 4) and correlations (L, L) of the labels."""
    out = Quoted(QuotedConfig(tuple(config_to_dict(m.config) for m in members)))
    out.members = nn.ModuleList(members)
    out.widths.copy_(widths.half())
    out.root.copy_(torch.linalg.cholesky(correlation.double()).half())
    return out


def _voices(network: nn.Module, x: Tensor) -> Tensor:
    """What a network's members say one by one, (M, B, L)."""
    members = getattr(network, "members", None)
    if members is not None:
        return torch.cat([_voices(member, x) for member in members])
    outputs: Any = getattr(network, "member_outputs", None)
    return network(x)[None] if outputs is None else outputs(x)
