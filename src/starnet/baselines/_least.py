"""Labels by least squares for many stars at once, where chi-square is a form in components."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from starnet.baselines._forms import Forms
from starnet.baselines._members import Members
from starnet.inference.fit.step import Bounds, solve_step

Array = NDArray[Any]
STEPS = 40
TOLERANCE = 1e-4
"""A star is done when its next step promises to lower chi-square by less."""
WIDE = 5.0
"""Standard deviation, in ranges of a label, of what is known of it without a spectrum."""


@dataclass(frozen=True, eq=False)
class Labelled:
    """Coefficients of labels, and where fits may begin and go.

    Attributes
    ----------
    members : Members
        In double precision.
    begin : Tensor (S, L)
        Scaled labels.
    value : Tensor (S, K)
        Coefficients of these.
    bounds : Bounds
    """

    members: Members
    begin: Tensor
    value: Tensor
    bounds: Bounds

    @classmethod
    def of(
        cls, members: Members, begin: Array, reach: float, which: Sequence[int] | None = None
    ) -> Labelled:
        """With scaled labels from -reach to reach; by some of the members, or all."""
        rows = list(range(len(members.head))) if which is None else list(which)
        shape = len(rows), begin.shape[1]
        hidden = tuple(w.shape[2] for w in members.weight)
        with torch.random.fork_rng():
            double = Members(*shape, hidden, members.head.shape[2]).double()
        state = members.state_dict()
        double.load_state_dict({k: v if k == "spread" else v[rows] for k, v in state.items()})
        at = torch.as_tensor(begin).double()
        edge = torch.full((begin.shape[1],), reach, dtype=torch.float64)
        with torch.no_grad():
            value = double(at).mean(0)
        return cls(double, at, value, Bounds(-edge, edge, edge.new_zeros(0, len(edge))))


@torch.no_grad()
def fit_labels(model: Labelled, forms: Forms, known: Array, starts: int) -> tuple[Array, Array]:
    """Scaled labels (B, L) of least chi-square and their errors (B, L); NaN where there are none.

    Parameters
    ----------
    known : array (B,) of bool
        Whether errors of the flux are known; where not, label errors grow with the residuals.
    """
    forms = Forms(forms.gram.double(), forms.right.double(), forms.least.double(), forms.pixels)
    first = _begin(model, forms, starts)  # (starts, B)
    x, chi2 = _descend(model, forms, model.begin[first[0]])
    for rows in first[1:]:
        other, least = _descend(model, forms, model.begin[rows])
        better = least < chi2
        x, chi2 = torch.where(better[:, None], other, x), torch.where(better, least, chi2)
    _, slope = model.members.mean_and_slopes(x)
    curvature = slope @ forms.gram @ slope.mT
    size = x.shape[1]
    prior = torch.eye(size, dtype=x.dtype) / WIDE**2
    variance = torch.linalg.inv(curvature + prior).diagonal(dim1=1, dim2=2)
    excess = (chi2 / (forms.pixels - size).clamp_min(1)).clamp_min(1)
    variance = torch.where(torch.as_tensor(known), 1.0, excess)[:, None] * variance
    read = (forms.pixels > size)[:, None] & (variance > 0)
    blank = torch.full_like(x, torch.nan)
    return torch.where(read, x, blank).numpy(), torch.where(read, variance.sqrt(), blank).numpy()


def _begin(model: Labelled, forms: Forms, n: int) -> Tensor:
    """Places (n, B) of the n best beginnings of each star, the best first."""
    both = (model.value[:, :, None] * model.value[:, None]).flatten(1)  # (S, K K)
    chi2 = forms.gram.flatten(1) @ both.T - 2 * forms.right @ model.value.T  # (B, S)
    return chi2.argsort(dim=1)[:, :n].T


def _descend(model: Labelled, forms: Forms, x: Tensor) -> tuple[Tensor, Tensor]:
    """The end (B, L) of steps of Levenberg and Marquardt, and chi-square (B,) there."""
    x = x.clone()
    room = x.new_zeros(len(x), 0)
    damping = x.new_full((len(x),), 1e-3)
    value, slope = model.members.mean_and_slopes(x)
    chi2 = forms.chi2(value)
    active = forms.pixels > x.shape[1]
    for _ in range(STEPS):
        rows = active.nonzero()[:, 0]
        if not len(rows):
            break
        some = forms[rows]
        rise, now = slope[rows], value[rows]
        gradient = (rise @ (some.right - (some.gram @ now[..., None])[..., 0])[..., None])[..., 0]
        curvature = rise @ some.gram @ rise.mT
        step, _ = solve_step(curvature, gradient, damping[rows], x[rows], room[rows], model.bounds)
        bend = torch.einsum("bi,bij,bj->b", step, curvature, step)
        gain = 2 * (step * gradient).sum(1) - bend
        value_there, slope_there = model.members.mean_and_slopes(x[rows] + step)
        there = some.chi2(value_there)
        better = there <= chi2[rows]
        at = rows[better]
        x[at] += step[better]
        value[at], slope[at], chi2[at] = value_there[better], slope_there[better], there[better]
        damping[rows] *= torch.where(better, 0.2, 8.0)
        damping.clamp_(1e-9, 1e9)
        active[rows] = (gain > TOLERANCE) & (damping[rows] < 1e8)
    return x, chi2
