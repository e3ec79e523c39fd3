"""Small networks that learn side by side, each without one fold of the stars.

Every star is held out by one member, which tells when that member has learnt enough and what its
flux is worth on stars that it has not seen; together, as their mean, they are one network that has
learnt from all stars (Breiman 1996, Machine Learning 24, 123; stopping: Prechelt 1998).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from starnet.baselines._forms import Forms

CHECKS = 60
"""How often the held-out stars are looked at."""
PATIENCE = 20
"""Looks without any gain after which the members stop."""
WARM = 0.05
SHARED = 4096
"""Held-out stars that are looked at, at most."""


@dataclass(frozen=True)
class Course:
    """How members learn: steps, stars of a step, learning rate, weight decay of AdamW, seed."""

    steps: int
    batch_size: int
    lr: float
    weight_decay: float
    seed: int

    def rate(self, step: int) -> float:
        """Learning rate of a step: a rise and a cosine."""
        rise = (step + 1) / max(1, int(WARM * self.steps))
        return self.lr * min(rise, 0.5 * (1 + math.cos(math.pi * step / self.steps)) + 1e-3)


class Members(nn.Module):
    """M dense networks of the same sizes: (B, L) scaled labels to (M, B, K) coefficients.

    Layers after the first that are as wide as the one before add to it, and a linear map goes
    around all of them, as in `starnet.models.emulator`.
    """

    spread: Tensor

    def __init__(self, members: int, n_labels: int, hidden: tuple[int, ...], n_out: int) -> None:
        super().__init__()
        sizes = (n_labels, *hidden)
        pairs = list(itertools.pairwise(sizes))
        self.weight = nn.ParameterList(
            torch.randn(members, a, b) * math.sqrt(1.5 / a) for a, b in pairs
        )
        self.bias = nn.ParameterList(0.3 * torch.randn(members, 1, b) for _, b in pairs)
        self.head = nn.Parameter(torch.randn(members, sizes[-1], n_out) * 0.3 / sizes[-1] ** 0.5)
        self.level = nn.Parameter(torch.zeros(members, 1, n_out))
        self.bypass = nn.Parameter(torch.zeros(members, n_labels, n_out))
        self.register_buffer("spread", torch.ones(n_out))

    def forward(self, x: Tensor) -> Tensor:
        """Coefficients (M, B, K) of scaled labels (B, L)."""
        hidden = x
        for i, (weight, bias) in enumerate(zip(self.weight, self.bias, strict=True)):
            out = functional.silu(hidden @ weight + bias)
            hidden = hidden + out if i and out.shape == hidden.shape else out
        return (hidden @ self.head + self.level + x @ self.bypass) * self.spread

    def mean_and_slopes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The members' mean (B, K), and its derivatives by each scaled label (B, L, K)."""
        n, size = x.shape
        hidden: Tensor = x
        slope = torch.eye(size, dtype=x.dtype).expand(n, -1, -1)  # (.., B, L, H)
        for i, (weight, bias) in enumerate(zip(self.weight, self.bias, strict=True)):
            z = hidden @ weight + bias  # (M, B, H)
            gate = torch.sigmoid(z)
            rise = (slope @ weight[:, None]) * (gate * (1 + z * (1 - gate)))[..., None, :]
            out, adds = z * gate, i and z.shape == hidden.shape
            hidden, slope = (hidden + out, slope + rise) if adds else (out, rise)
        value = hidden @ self.head + self.level + x @ self.bypass
        rise = slope @ self.head[:, None] + self.bypass[:, None]
        return (value.mean(0) * self.spread, rise.mean(0) * self.spread)


def learn(
    members: Members,
    x: Tensor,
    forms: Forms,
    held: Tensor,
    course: Course,
    report: Callable[[str], None],
) -> Tensor:
    """Trains the members; each ends as it was best on its own fold, whose loss (M,) is returned.

    The loss of a star is the root of its chi-square per pixel: a wrong label does not rule.

    Parameters
    ----------
    x : Tensor (N, L)
        Scaled labels.
    forms : Forms
        Of the N stars.
    held : Tensor (M, N) of bool
        Which stars each member does not learn from.
    """
    teaches = (~held).float()
    optimizer = torch.optim.AdamW(
        members.parameters(), lr=course.lr, weight_decay=course.weight_decay
    )
    generator = torch.Generator().manual_seed(course.seed)
    best = torch.full((len(held),), math.inf)
    kept = {name: p.detach().clone() for name, p in members.named_parameters()}
    idle = 0
    looked = torch.randperm(len(x), generator=generator)[:SHARED]
    every = max(1, course.steps // CHECKS)
    for step in range(course.steps):
        rows = _batch(len(x), course.batch_size, generator)
        value = _losses(members(x[rows]), forms[rows], teaches[:, rows]).sum()
        optimizer.param_groups[0]["lr"] = course.rate(step)
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(members.parameters(), 5.0 * len(held))
        optimizer.step()
        if (step + 1) % every == 0 or step + 1 == course.steps:
            with torch.no_grad():
                now = _losses(members(x[looked]), forms[looked], held[:, looked].float())
                better = now < best
                best = torch.where(better, now, best)
                idle = 0 if better.any() else idle + 1
                for name, p in members.named_parameters():
                    kept[name][better] = p.detach()[better]
            if (step + 1) % (10 * every) == 0:
                report(
                    f"step {step + 1} of {course.steps}, chi on held-out stars {best.mean():.4g}"
                )
            if idle == PATIENCE:
                break
    with torch.no_grad():
        for name, p in members.named_parameters():
            p.copy_(kept[name])
    return best


def _batch(n: int, size: int, generator: torch.Generator) -> Tensor:
    if n <= size:
        return torch.arange(n)
    return torch.randint(n, (size,), generator=generator)


def _losses(value: Tensor, forms: Forms, share: Tensor) -> Tensor:
    """Mean loss (M,) of coefficients (M, B, K) over the stars that each member shares (M, B)."""
    each = (forms.chi2(value) / forms.pixels.clamp_min(1) + 1e-12).sqrt()
    return (each * share).sum(1) / share.sum(1).clamp_min(1)


def of_own_fold(value: Tensor, held: Tensor) -> Tensor:
    """Coefficients (N, K) by the member that has not seen the star, of (M, N, K)."""
    return value[held.float().argmax(0), torch.arange(held.shape[1])]
