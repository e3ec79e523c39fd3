"""Gaussian process on principal components, with a length for each component."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular

from starnet.baselines.components import Seen
from starnet.baselines.compressed import CompressedFitted, CompressedMethod, Core, Training
from starnet.baselines.contract import Report, register
from starnet.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

Array = NDArray[Any]
ROOT5 = 5**0.5
JITTER = 1e-6
REFUSED = 1e8
"""What is added to -ln L where the covariance cannot be factorised."""
LEAST_NOISE = 1e-3
"""Standard deviation of scaled labels that is noise, at least."""


@dataclass(frozen=True, eq=False)
class Processes(Core):
    """A Gaussian process for each label.

    Attributes
    ----------
    stars : array (N, K)
        Coefficients of the stars that it is conditioned on.
    targets, noise : array (N, L)
        Their scaled labels and the variance of these.
    metric : array (L, K)
        One over the squared length of each component.
    amplitudes : array (L, 3)
        Variance of the constant, of the linear and of the smooth (Matern 5/2) part.
    """

    stars: Array
    targets: Array
    noise: Array
    metric: Array
    amplitudes: Array

    @cached_property
    def solved(self) -> list[tuple[Array, Array]]:
        """For each label the Cholesky factor (N, N) and the weights of the stars (N,)."""
        out = []
        for i in range(self.targets.shape[1]):
            kernel = self._kernel(self.stars, i)[0]
            kernel[np.diag_indices(len(kernel))] += self.noise[:, i] + JITTER
            lower = cholesky(kernel, lower=True, overwrite_a=True, check_finite=False)
            half = solve_triangular(lower, self.targets[:, i], lower=True)
            out.append((lower, solve_triangular(lower, half, lower=True, trans=1)))
        return out

    def _kernel(self, c: Array, i: int) -> tuple[Array, Array]:
        """Kernel of label i (M, N), and the factor of its slope by scaled distance (M, N)."""
        root = np.sqrt(self.metric[i])
        one, other = c * root, self.stars * root
        inner = one @ other.T
        square = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1) - 2 * inner
        r = np.sqrt(5 * np.maximum(square, 0))
        constant, linear, smooth = self.amplitudes[i]
        fade = smooth * np.exp(-r)
        return constant + linear * inner + (1 + r + r * r / 3) * fade, 5 / 3 * (1 + r) * fade

    def answer(self, seen: Seen) -> tuple[Array, Array]:
        """See `Core.answer`. The variance is the process's own and what noise does to its mean."""
        c = seen.mean
        value, variance = (np.empty((len(c), self.targets.shape[1])) for _ in range(2))
        for i, (lower, weight) in enumerate(self.solved):
            kernel, steep = self._kernel(c, i)
            value[:, i] = kernel @ weight
            constant, linear, smooth = self.amplitudes[i]
            own = constant + linear * (c**2 @ self.metric[i]) + smooth
            known = (solve_triangular(lower, kernel.T, lower=True) ** 2).sum(axis=0)
            pull = steep * weight
            slope = pull @ self.stars - pull.sum(axis=1)[:, None] * c + linear * weight @ self.stars
            slope *= self.metric[i]
            moved = np.einsum("mk,mkj,mj->m", slope, seen.covariance, slope)
            variance[:, i] = np.maximum(own - known, 0) + moved
        return value, variance

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """See `Core.state`."""
        return {}, {name: getattr(self, name) for name in _NAMES}

    @classmethod
    def from_state(
        cls, method: Any, settings: Mapping[str, Any], arrays: Mapping[str, Array]
    ) -> Processes:
        """See `Core.from_state`."""
        return cls(**{name: arrays[name] for name in _NAMES})


_NAMES = ("stars", "targets", "noise", "metric", "amplitudes")


@register(CompressedFitted)
@dataclass(frozen=True, kw_only=True)
class GaussianProcess(CompressedMethod):
    """A Gaussian process from principal components to each label.

    The kernel is a constant, a linear part and a Matern 5/2 part, both with one length for each
    component: a power law of the component's spread, times a factor of its own with a prior about
    1. These, the amplitudes and the noise are the most likely ones (Rasmussen and Williams 2006,
    chapter 5). Errors of training labels, where known, add to the noise of each star.

    Parameters
    ----------
    most : int
        Stars that it is conditioned on; of larger sets a random part.
    tuned : int
        Stars on which the likelihood is computed, at most.
    steps : int
        Of the search for the most likely kernel.
    """

    kind = "gp"
    core = Processes
    most: int = 2000
    tuned: int = 500
    steps: int = 40

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.most, self.tuned) < 10 or self.steps < 1:
            raise ConfigError(
                "most and tuned must be at least 10 stars and steps at least 1; received "
                f"{self.most}, {self.tuned} and {self.steps}."
            )

    def _learn(self, training: Training, report: Report) -> Processes:
        """Tune on few stars, condition on more."""
        order = np.random.default_rng([training.seed, 47]).permutation(len(training.targets))
        kept, few = order[: self.most], order[: self.tuned]
        found = [
            most_likely(
                training.coefficients[few],
                training.prior,
                training.targets[few, i],
                training.errors[few, i] ** 2,
                self.steps,
            )
            for i in range(training.targets.shape[1])
        ]
        metric, amplitudes, noise = (np.array(part) for part in zip(*found, strict=True))
        report(f"gp: noise {', '.join(f'{n**0.5:.3f}' for n in noise)} of the spread of labels")
        return Processes(
            training.coefficients[kept],
            training.targets[kept],
            noise + training.errors[kept] ** 2,
            metric,
            amplitudes,
        )


def most_likely(
    c: Array, prior: Array, y: Array, known: Array, steps: int
) -> tuple[Array, Array, float]:
    """Metric (K,), amplitudes (3,) and noise variance for labels y (N,) at coefficients (N, K).

    ``known`` (N,) is the variance of the labels that is known already.
    """
    import torch

    x, target, own = (torch.as_tensor(a, dtype=torch.float64) for a in (c, y, known))
    spread = torch.as_tensor(np.log(prior / prior.max()))
    k = len(prior)
    first = torch.tensor([np.log(prior.sum()) + 1.0, 0.3, -2.0, -1.0, 0.0, -4.0])
    first = torch.cat([first, torch.zeros(k)]).double()
    free = first.clone().requires_grad_(True)

    def loss() -> Tensor:
        free.grad = None
        metric, amplitudes, noise = _unpacked(free, spread)
        scaled = x * metric.sqrt()
        inner = scaled @ scaled.T
        size = inner.diagonal()
        r = torch.sqrt((5 * (size[:, None] + size - 2 * inner)).clamp_min(0) + 1e-12)
        kernel = amplitudes[0] + amplitudes[1] * inner
        kernel = kernel + amplitudes[2] * (1 + r + r * r / 3) * torch.exp(-r)
        lower, failed = torch.linalg.cholesky_ex(kernel + torch.diag(noise + own + JITTER))
        far = (free - first).square()
        value = 0.5 * far[:6].sum() / 3**2 + 0.5 * far[6:].sum() / 0.5**2
        if failed:  # a search that went so far turns back
            value = value + REFUSED
        else:
            half = torch.linalg.solve_triangular(lower, target[:, None], upper=False)
            value = value + 0.5 * half.square().sum() + lower.diagonal().log().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    search = torch.optim.LBFGS([free], max_iter=steps, line_search_fn="strong_wolfe")
    search.step(loss)  # type: ignore[arg-type]
    with torch.no_grad():
        metric, amplitudes, noise = _unpacked(free, spread)
    return metric.numpy(), amplitudes.numpy(), float(noise)


def _unpacked(free: Tensor, spread: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Metric, amplitudes and noise variance of the free numbers."""
    bounded = free.clamp(-30, 30)
    metric = (-bounded[0] - bounded[1] * spread + bounded[6:]).exp()
    return metric, bounded[2:5].exp(), bounded[5].exp() + LEAST_NOISE**2
