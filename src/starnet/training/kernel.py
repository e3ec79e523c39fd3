"""The numbers of a kernel, from stars whose labels are known: amplitudes, lengths and weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from starnet.models.kernel import Kernel, inverse_of

Array = NDArray[Any]
FREEDOM = 4.0
"""Of Student's t, by which stars far off count less."""
LEAST = 1e-4
"""Variance of scaled labels that is noise, at least."""


class Search(Protocol):
    """How long to search, such as a `FineTuneRecipe`."""

    @property
    def iterations(self) -> int:
        """Of the search for amplitudes and lengths."""
        ...

    @property
    def rounds(self) -> int:
        """How often stars are weighed anew."""
        ...


@dataclass(frozen=True, eq=False)
class LeftOut:
    """Scaled labels (N, L) of stars as others predict them, and the variance of their errors.

    ``variance`` is of the label without noise, ``noise`` (L,) that of the labels; NaN where a
    star has no such label.
    """

    mean: Array
    variance: Array
    noise: Array


def fit_kernel(
    network: Kernel, targets: Array, recipe: Search, errors: Array | None = None
) -> LeftOut:
    """Amplitudes, lengths and weights for scaled labels (N, L) of the network's own stars.

    Amplitudes and lengths are the most likely ones for all stars together (Rasmussen and
    Williams 2006, chapter 5), with a broad prior; stars far off count less, as errors of
    Student's t would have it (Lange et al. 1989, JASA 84, 881).

    Parameters
    ----------
    network : Kernel
        After `Kernel.set_features`.
    targets : array (N, L)
        NaN where missing; such a star counts for its other labels.
    recipe : Search
        How long to search.
    errors : array (N, L), optional
        One-sigma errors of the targets, scaled alike; NaN where unknown. Their squares add to
        the noise, which is then what they do not explain.

    Returns
    -------
    LeftOut
        Each star as all other stars predict it, in closed form (chapter 5.4), with the same
        amplitudes and lengths.
    """
    exact = Kernel(network.config).double()
    exact.load_state_dict(network.state_dict())
    whole = exact.shapes(exact.stars, exact.stars)
    known = np.zeros(targets.shape) if errors is None else np.nan_to_num(errors)
    blank = np.full(targets.shape, np.nan)
    out = LeftOut(blank, blank.copy(), np.zeros(targets.shape[1]))
    for i in range(targets.shape[1]):
        there = np.flatnonzero(np.isfinite(targets[:, i]))
        shapes = (whole[0][:, there][:, :, there], whole[1][:, there][:, :, there])
        y, own = torch.as_tensor(np.stack([targets[there, i], known[there, i] ** 2]))
        noise, share = _search(exact, shapes, y, own, i, recipe)
        for name in amplitudes(exact):
            value = getattr(exact, name).data  # as it is shipped, before weights follow from it
            value[i] = value[i].half().double()
        with torch.no_grad():
            precision = (1 / ((noise + own) * share)).half().double()
            weight, left_out, variance = _solve(exact, shapes, y, i, precision)
            out.mean[there, i], out.variance[there, i], out.noise[i] = left_out, variance, noise
            _keep(exact, i, there, weight, precision, noise)
    network.load_state_dict({k: v.float() for k, v in exact.state_dict().items()})
    return out


def amplitudes(network: Kernel) -> tuple[str, ...]:
    """Names of the logarithms of amplitudes and lengths."""
    return ("constant", "linear", "smooth", "length", *(("trust",) if network.config.own else ()))


def _keep(
    exact: Kernel, i: int, there: Array, weight: Tensor, precision: Tensor, noise: Tensor
) -> None:
    """Put what follows from the stars that have label i into the network."""
    exact.weight[i], exact.rest[i] = 0.0, 0.0
    exact.weight[i, there] = weight.half().double()
    exact.rest[i, there] = (weight - exact.weight[i, there]).half().double()
    if exact.config.spread:
        exact.precision[i] = 0.0
        exact.precision[i, there] = precision
        exact.noise[i] = noise.half().double()


def _search(
    exact: Kernel,
    shapes: tuple[Tensor, Tensor],
    y: Tensor,
    own: Tensor,
    i: int,
    recipe: Search,
) -> tuple[Tensor, Tensor]:
    """Sets amplitudes and lengths of label i; gives the noise and each star's share of it."""
    noise = torch.tensor(np.log(0.03), requires_grad=True)
    free = [getattr(exact, name) for name in amplitudes(exact)]
    first = [p.detach().clone()[i] for p in free] + [noise.detach().clone()]
    share = torch.ones_like(y)

    def loss() -> Tensor:
        for variable in (*free, noise):
            variable.grad = None
        now = [p[i] for p in free] + [noise]
        far = sum((0.125 * (a - b).square()).sum() for a, b in zip(now, first, strict=True))
        lower = torch.linalg.cholesky(
            exact.kernel(*shapes, i) + torch.diag((noise.exp() + LEAST + own) * share)
        )
        solved = torch.cholesky_solve(y[:, None], lower)[:, 0]
        value = 0.5 * y @ solved + lower.diagonal().log().sum() + far
        value.backward()  # type: ignore[no-untyped-call]
        return value

    for turn in range(recipe.rounds):
        most = recipe.iterations // (1 if turn == 0 else 2)
        optimizer = torch.optim.LBFGS([*free, noise], max_iter=most, line_search_fn="strong_wolfe")
        optimizer.step(loss)  # type: ignore[arg-type]
        with torch.no_grad():
            usual = noise.exp() + LEAST + own
            _, left_out, variance = _solve(exact, shapes, y, i, 1 / (usual * share))
            off = (y - left_out).square() / (variance + usual)
            share.copy_(((FREEDOM + off) / (FREEDOM + 1)).clamp(0.8, 50.0))
    return noise.detach().exp() + LEAST, share


def _solve(
    exact: Kernel, shapes: tuple[Tensor, Tensor], y: Tensor, i: int, precision: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Weights (N,), each star's label from all others, and its variance without noise."""
    inverse = inverse_of(exact.kernel(*shapes, i), precision)
    weight = inverse @ y
    variance = 1 / inverse.diagonal()
    return weight, y - weight * variance, (variance - 1 / precision).clamp_min(1e-8)
