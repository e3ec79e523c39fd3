"""The Payne learnt from stars: components, networks for their coefficients, and what is left."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from starnet.baselines._excess import excess
from starnet.baselines._forms import Forms
from starnet.baselines._least import Labelled, fit_labels
from starnet.baselines._members import Course, Members, learn, of_own_fold
from starnet.baselines._scatter import unexplained, weighted_components
from starnet.baselines.components import Components
from starnet.baselines.contract import Report
from starnet.baselines.payne import REACH, FittedPayne, Payne
from starnet.dataset import k_folds
from starnet.spectra import Labels, Spectra

Array = NDArray[Any]
STARTS = 400
"""Labels of training stars that a fit may begin at."""
TRIED = 1000
"""Stars that errors are measured on, at most."""


def fit_with_stars(
    method: Payne, spectra: Spectra, labels: Labels, *, seed: int, report: Report | None
) -> FittedPayne:
    """Networks, each held out of a fold, and the scatter and errors that held-out stars show."""
    tell = report or (lambda line: None)
    low, high = labels.bounds().T
    x = torch.as_tensor(2 * (labels.values - low) / (high - low) - 1).float()
    held = _folds(spectra.stars, method.folds, seed)
    members, parts, value = _learn(method, spectra, x, held, seed, tell)
    chosen = np.random.default_rng(seed).permutation(len(spectra))
    begin = x.numpy()[chosen[:STARTS]].astype(float)
    options = [parts]
    if most := min(method.common, len(spectra) // 4):
        options.append(unexplained(parts, spectra, value, most, seed))
    tried = chosen[:TRIED]
    some, truth = spectra[tried], x.numpy()[tried]
    ends = [
        _held_out(members, begin, part, some, held[:, tried], method.starts) for part in options
    ]
    off = [_scatter(end - truth) for end, _ in ends]
    best = int(np.argmin([np.mean(np.log(o)) for o in off]))
    tell(f"directions in common {options[best].common.shape[1]}, off by {off[best].round(3)}")
    end, sigma = ends[best]
    return FittedPayne(
        method=method, names=labels.names, grid=spectra.grid, low=low, high=high,
        extra=excess(end - truth, sigma**2), components=options[best], members=members.eval(),
        begin=begin,
    )  # fmt: skip


def _learn(
    method: Payne, spectra: Spectra, x: Tensor, held: Tensor, seed: int, tell: Report
) -> tuple[Members, Components, Array]:
    """Networks, components, and coefficients (N, K) by the network that has not seen the star."""
    n, hidden = _sizes(method, *x.shape)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        members = Members(method.folds, x.shape[1], hidden, n)
    course = Course(method.steps, method.batch_size, method.lr, method.weight_decay, seed)
    parts = weighted_components(spectra, n, seed)
    value = np.zeros((len(x), n))
    for number in range(method.rounds):
        forms = Forms.of(parts, spectra)
        if not number:
            members.spread.copy_(_spread(forms))
        learn(members, x, forms, held, course, tell)
        with torch.no_grad():
            value = of_own_fold(members(x), held).numpy()
        parts = unexplained(parts, spectra, value, 0, seed)
    return members, parts, value


def _folds(stars: Array, folds: int, seed: int) -> Tensor:
    """Which stars each network does not learn from, (folds, N) of bool."""
    held = torch.zeros(folds, len(stars), dtype=torch.bool)
    for i, (_, out) in enumerate(k_folds(stars, folds, seed)):
        held[i, torch.as_tensor(out)] = True
    return held


def _sizes(method: Payne, n_stars: int, n_labels: int) -> tuple[int, tuple[int, ...]]:
    """Components and nodes for so many stars."""
    n = method.components or int(np.clip(n_stars // 6, 8, 16 + 2 * n_labels))
    width = 24 if n_stars < 300 else 48 if n_stars < 3000 else 96
    return min(n, n_stars - 1), method.hidden or (width, width)


def _spread(forms: Forms) -> Tensor:
    """Of the coefficients that fit each star best, (K,), somewhat held back."""
    gram = forms.gram.double()
    ridge = gram.diagonal(dim1=1, dim2=2).mean(1)[:, None, None] * torch.eye(gram.shape[1])
    value = torch.linalg.solve(gram + 1e-3 * ridge, forms.right.double()[..., None])[..., 0]
    return value.std(dim=0).clamp_min(1e-9).float()


def _held_out(
    members: Members, begin: Array, parts: Components, spectra: Spectra, held: Tensor, starts: int
) -> tuple[Array, Array]:
    """Scaled labels (N, L) and errors of stars, each by the member that has not seen it."""
    end = np.full((len(spectra), begin.shape[1]), np.nan)
    sigma = end.copy()
    for i, rows in enumerate(held.numpy()):
        if rows.any():
            model = Labelled.of(members, begin, REACH, which=[i])
            some = spectra[rows]
            known = np.any(some.ivar > 0, axis=1)
            end[rows], sigma[rows] = fit_labels(model, Forms.of(parts, some), known, starts)
    return end, sigma


def _scatter(off: Array) -> Array:
    """Robust scatter (L,) about 0, with a floor."""
    return np.maximum(1.4826 * np.nanmedian(np.abs(off), axis=0), 1e-6)
