"""The steps of Levenberg and Marquardt (Marquardt 1963), for many stars at once.

Slopes (L, Q) of every star at every step would cost nearly all of the time. So the steps are
steered by a curvature that the stars share (`SharedCurvature`) while they are far from the end;
near it each star's own curvature is computed once, and corrected by what the slopes say from
step to step (the formula of Broyden, Fletcher, Goldfarb and Shanno, as damped by Powell 1978,
Lecture Notes in Mathematics 630, 144). The slope of chi-square is each star's own and exact at
every step, so the end is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from starnet.inference.fit.problem import Point, Problem, SharedCurvature, Stars
from starnet.inference.fit.step import solve_step

Curvature = Callable[[Stars, Tensor, Point], Tensor]
NOISE = 3e-7
"""Relative error of a chi-square whose fluxes are single precision."""
FIRST_DAMPING, LEAST_DAMPING, MOST_DAMPING = 1e-3, 1e-7, 1e8
FRESH = 2
"""Steps after which the shared curvature is computed anew."""
MOVED = 0.1
"""Standard deviations that a star may move before its covariance is computed anew."""


@dataclass
class State:
    """Where each of B stars is.

    Attributes
    ----------
    x : Tensor (B, D)
    loss, chi2 : Tensor (B,)
    gradient, curvature : Tensor (B, D), (B, D, D)
    continuum : Tensor (B, C, T)
    damping : Tensor (B,)
    done : Tensor (B,)
        Nothing more to gain.
    iterations : Tensor (B,)
    """

    x: Tensor
    loss: Tensor
    chi2: Tensor
    gradient: Tensor
    curvature: Tensor
    continuum: Tensor
    damping: Tensor
    done: Tensor
    iterations: Tensor

    @classmethod
    def at(cls, problem: Problem, stars: Stars, x: Tensor, curvature: Curvature) -> State:
        """The beginning."""
        point = problem.at(stars, x, slopes=True)
        n = len(stars)
        return cls(
            x.clone(), point.loss, point.chi2, point.gradient, curvature(stars, x, point),
            point.continuum,
            torch.full((n,), FIRST_DAMPING, dtype=x.dtype), torch.zeros(n, dtype=torch.bool),
            torch.zeros(n, dtype=torch.int64),
        )  # fmt: skip

    def take(self, rows: Tensor) -> State:
        """Some of the stars."""
        return State(**{name: value[rows].clone() for name, value in vars(self).items()})


def shared(
    problem: Problem, stars: Stars, x: Tensor, common: SharedCurvature, tolerance: float, steps: int
) -> State:
    """Towards the minimum with the shared curvature, for at most so many steps."""

    def curvature(some: Stars, _: Tensor, point: Point) -> Tensor:
        return common.curvature(some, point)

    state = State.at(problem, stars, x, curvature)
    run(problem, stars, state, tolerance, steps, curvature)
    return state


def own(problem: Problem, stars: Stars, start: State, tolerance: float, steps: int) -> State:
    """To the minimum with each star's own curvature, which is that of the end."""
    state = start.take(torch.arange(len(stars)))
    origin, first = state.x.clone(), problem.curvature(stars, state.x)
    state.curvature = first.clone()
    state.done[:] = False
    state.damping[:] = LEAST_DAMPING
    run(problem, stars, state, tolerance, steps, None)
    state.curvature = first
    moved = state.x - origin
    far = torch.einsum("bi,bij,bj->b", moved, first, moved) > MOVED**2
    if far.any():
        rows = far.nonzero()[:, 0]
        state.curvature[rows] = problem.curvature(stars[rows], state.x[rows])
    return state


def run(
    problem: Problem,
    stars: Stars,
    state: State,
    tolerance: float,
    steps: int,
    curvature: Curvature | None,
) -> None:
    """Moves ``state`` until every star is done, or for so many steps.

    Parameters
    ----------
    tolerance : float
        A star is done when its next step promises to lower chi-square by less.
    curvature : callable or None
        Computed after each of the first steps; after that, and with None, what is there is
        corrected by the slopes.
    """
    for number in range(steps):
        anew = curvature if number < FRESH else None
        rows = (~state.done).nonzero()[:, 0]
        if not len(rows):
            break
        some, now = stars[rows], state.take(rows)
        step, cut = solve_step(
            now.curvature, now.gradient, now.damping, now.x, some.room, problem.bounds
        )
        bend = torch.einsum("bi,bij,bj->b", step, now.curvature, step)
        gain = 2 * (step * now.gradient).sum(1) - bend
        point = problem.at(some, now.x + step, slopes=anew is not None)
        slack = NOISE * (now.loss + now.chi2) + 1e-3 * tolerance
        better = point.loss <= now.loss + slack
        ratio = torch.where(gain > 2 * slack, (now.loss - point.loss) / gain, 1.0)
        astray = cut | (gain < -tolerance)  # bounds took the step where nothing is to be gained
        better &= ~astray
        damping = now.damping.clamp_min(FIRST_DAMPING * astray) * _factor(ratio, better)
        state.done[rows] = ((gain < tolerance) & ~astray) | (damping > MOST_DAMPING)
        state.damping[rows] = damping.clamp_min(LEAST_DAMPING)
        state.iterations[rows] += 1
        if anew is None:
            state.curvature[rows] = _secant(now.curvature, step, now.gradient - point.gradient)
        elif better.any():
            which = better.nonzero()[:, 0]
            state.curvature[rows[which]] = anew(
                some[which], now.x[which] + step[which], _rows(point, which)
            )
        _accept(state, rows, better, now.x + step, point)


def _factor(ratio: Tensor, better: Tensor) -> Tensor:
    """On the damping, by which share of the promised gain came true (Nielsen 1999)."""
    less = (1 - (2 * ratio.clamp(0, 1) - 1) ** 3).clamp(0.1, 2.0)
    return torch.where(better, less, 8.0)


def _secant(curvature: Tensor, step: Tensor, change: Tensor) -> Tensor:
    """Curvatures (B, D, D) that agree with the change (B, D) of the slope along a step."""
    along = (curvature @ step[:, :, None])[:, :, 0]
    bend, seen = (step * along).sum(1), (step * change).sum(1)
    share = torch.where(seen < 0.2 * bend, 0.8 * bend / (bend - seen).clamp_min(1e-30), 1.0)
    change = share[:, None] * change + (1 - share)[:, None] * along
    seen = (step * change).sum(1)
    use = (bend > 1e-12) & (seen > 1e-12)
    bend, seen = (torch.where(use, v, 1.0)[:, None, None] for v in (bend, seen))
    correction = (
        change[:, :, None] * change[:, None] / seen - along[:, :, None] * along[:, None] / bend
    )
    return torch.where(use[:, None, None], curvature + correction, curvature)


def _accept(state: State, rows: Tensor, better: Tensor, x: Tensor, point: Point) -> None:
    at = rows[better]
    state.x[at] = x[better]
    for name in ("loss", "chi2", "gradient", "continuum"):
        getattr(state, name)[at] = getattr(point, name)[better]


def _rows(point: Point, which: Tensor) -> Point:
    return Point(**{name: value[which] for name, value in vars(point).items()})
