"""Labels from widths: excitation, ionisation and strength brought into balance, all stars at once.

Each line gives an abundance of iron. The labels are those for which the abundances of all lines
agree best: chi-square of the lines about one abundance. Its normal equations are the conditions of
the classical analysis, each weighted by how much a line knows: no trend of abundance with
excitation potential (teff), Fe I and Fe II alike (logg), no trend with strength (vmic). Lines that
disagree count less (Huber 1964), and what lines scatter beyond their errors is added to these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from starnet.baselines.widths.curves import LABELS, Curves
from starnet.baselines.widths.measure import Widths
from starnet.inference.fit.step import Bounds, solve_step

Array = NDArray[Any]
IRON = LABELS.index("fe_h")
STEPS, ROUNDS = 30, 3
HUBER = 1.5
FIRST_SCATTER, LEAST_SCATTER = 0.10, 0.02
"""dex, of the abundances of lines."""
FEWEST = {"Fe I": 12, "Fe II": 2}
"""Lines that a star needs."""
STARTS = (
    (5700.0, 4.3, -0.2, 1.1), (4700.0, 2.4, -0.3, 1.5), (5000.0, 4.5, -0.1, 1.0),
    (6200.0, 4.0, -0.3, 1.5), (4400.0, 1.5, -1.0, 1.7), (5600.0, 4.0, -1.5, 1.3),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Balance:
    """Labels of N stars and what their lines say.

    Attributes
    ----------
    values, errors : array (N, 4)
        Of `LABELS`; NaN where a star has too few lines.
    abundance : array (N, n)
        [Fe/H] by each line at these labels, less its zero point; NaN where it does not count.
    scatter : array (N,)
        Of lines beyond their errors, dex.
    """

    values: Array
    errors: Array
    abundance: Array
    scatter: Array

    def trends(self, curves: Curves, log_width: Array) -> dict[str, Array]:
        """The classical conditions (N,): dex per eV, dex per dex of strength, Fe I less Fe II."""
        neutral = np.where(curves.ionised, np.nan, self.abundance)
        ions = np.where(curves.ionised, self.abundance, np.nan)
        with np.errstate(invalid="ignore"):
            gap = _mean(neutral) - _mean(ions)
        excitation = np.broadcast_to(curves.excitation, neutral.shape)
        return {
            "excitation": _slope(excitation, neutral),
            "strength": _slope(log_width / np.log(10), neutral),
            "ionisation": gap,
        }


def solve(widths: Widths, curves: Curves, zero: Array, known: Array | None = None) -> Balance:
    """Labels of the stars whose widths are given.

    Parameters
    ----------
    zero : array (n,)
        Zero point of each line, dex.
    known : array (N, 4), optional
        Labels that are held; NaN where free.
    """
    n = len(widths.log_width)
    good = np.isfinite(widths.log_width)
    enough = (good[:, ~curves.ionised].sum(axis=1) >= FEWEST["Fe I"]) & (
        good[:, curves.ionised].sum(axis=1) >= FEWEST["Fe II"]
    )
    values, errors = np.full((n, 4), np.nan), np.full((n, 4), np.nan)
    abundance, scatter = np.full(good.shape, np.nan), np.full(n, np.nan)
    rows = np.flatnonzero(enough)
    if rows.size:
        held = np.full((n, 4), np.nan) if known is None else known
        problem = _Problem.of(widths, curves, zero, held, rows)
        x = problem.start()
        for _ in range(ROUNDS):
            x = problem.descend(x)
            problem.rescatter(x)
        values[rows], errors[rows] = x.numpy(), problem.errors(x)
        scatter[rows] = problem.scatter.numpy()
        found = problem.abundance(x)[0] + x[:, IRON : IRON + 1]
        abundance[rows] = torch.where(problem.good, found, torch.nan).numpy()
    return Balance(values, errors, abundance, scatter)


@dataclass
class _Problem:
    """B stars with n lines: ln widths and their errors, zero points, and the scatter (B,)."""

    curves: Curves
    good: Tensor
    seen: Tensor
    error: Tensor
    zero: Tensor
    held: Tensor
    scatter: Tensor

    @classmethod
    def of(cls, widths: Widths, curves: Curves, zero: Array, held: Array, rows: Array) -> _Problem:
        good = torch.as_tensor(np.isfinite(widths.log_width[rows]))
        return cls(
            curves, good, torch.as_tensor(np.nan_to_num(widths.log_width[rows])),
            torch.as_tensor(np.where(good.numpy(), widths.error[rows], 1.0)),
            torch.as_tensor(zero), torch.as_tensor(held[rows]),
            torch.full((len(rows),), FIRST_SCATTER, dtype=torch.float64),
        )  # fmt: skip

    def abundance(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[Fe/H] by line less that of x, its slopes by the labels (B, 4, n), and its errors."""
        width, rise = self.curves.log_width(x)
        growth = rise[:, IRON].clamp_min(0.3)  # d ln width / d abundance
        off = (self.seen - width) / growth - self.zero
        return off, -rise / growth[:, None], self.error / growth

    def start(self) -> Tensor:
        """The best of some labels, those that are held in place."""
        low, high = self.curves.bounds
        best = torch.full((len(self.good),), torch.inf, dtype=torch.float64)
        x = best.new_zeros(len(best), 4)
        for begin in STARTS:
            at = torch.tensor(begin, dtype=torch.float64).expand_as(x)
            at = torch.where(self.held.isnan(), at, self.held).clamp(low, high)
            off = self.abundance(at)[0]
            middle = torch.where(self.good, off, torch.nan).nanmedian(dim=1).values
            free = self.held[:, IRON].isnan()
            moved = at.clone()
            moved[:, IRON] = torch.where(free, at[:, IRON] + middle, at[:, IRON])
            moved = self.descend(moved.clamp(low, high), steps=8)
            cost = self._cost(moved)
            x, best = torch.where((cost < best)[:, None], moved, x), torch.minimum(cost, best)
        return x

    def descend(self, x: Tensor, steps: int = STEPS) -> Tensor:
        """Steps of Gauss and Newton, damped, within the bounds."""
        low, high = self.curves.bounds
        unit = (high - low) / 2
        bounds = Bounds(low / unit, high / unit, x.new_zeros(0, 4))
        damping, room = x.new_full((len(x),), 1e-3), x.new_zeros(len(x), 0)
        cost = self._cost(x)
        for _ in range(steps):
            hessian, gradient = self._normal(x, unit)
            step, _cut = solve_step(hessian, gradient, damping, x / unit, room, bounds)
            there = x + step * unit
            new = self._cost(there)
            better = new < cost
            x = torch.where(better[:, None], there, x)
            cost = torch.where(better, new, cost)
            damping = (damping * torch.where(better, 0.2, 8.0)).clamp(1e-8, 1e8)
        return x

    def rescatter(self, x: Tensor) -> None:
        """The scatter of lines beyond their errors, from the median of what they are off."""
        off, _, error = self.abundance(x)
        size = torch.where(self.good, off.abs(), torch.nan).nanmedian(dim=1).values * 1.4826
        usual = torch.where(self.good, error, torch.nan).nanmedian(dim=1).values
        self.scatter = (size**2 - usual**2).clamp_min(LEAST_SCATTER**2).sqrt()

    def errors(self, x: Tensor) -> Array:
        """Errors (B, 4) by curvature; NaN of labels that are held."""
        hessian, _ = self._normal(x, torch.ones(4, dtype=torch.float64))
        size = hessian.diagonal(dim1=1, dim2=2).clamp_min(1e-12).sqrt()
        scaled = hessian / (size[:, :, None] * size[:, None]) + 1e-9 * torch.eye(4)
        variance = torch.linalg.inv(scaled).diagonal(dim1=1, dim2=2) / size**2
        out = variance.clamp_min(0).sqrt()
        return torch.where(self.held.isnan() & (out > 0), out, torch.nan).numpy()

    def _normal(self, x: Tensor, unit: Tensor) -> tuple[Tensor, Tensor]:
        off, slope, error = self.abundance(x)
        weight = self._weights(off, error)
        free = self.held.isnan()
        slope = slope * unit[:, None] * free[:, :, None]
        hessian = torch.einsum("bin,bn,bjn->bij", slope, weight, slope)
        hessian = hessian + torch.diag_embed((~free).double())
        return hessian, -(slope * (weight * off)[:, None]).sum(2)

    def _weights(self, off: Tensor, error: Tensor) -> Tensor:
        variance = error**2 + self.scatter[:, None] ** 2
        far = off.abs() / variance.sqrt()
        return torch.where(self.good, (HUBER / far.clamp_min(HUBER)) / variance, 0.0)

    def _cost(self, x: Tensor) -> Tensor:
        off, _, error = self.abundance(x)
        far = off.abs() / (error**2 + self.scatter[:, None] ** 2).sqrt()
        each = torch.where(far < HUBER, far**2, 2 * HUBER * far - HUBER**2)
        return torch.where(self.good, each, 0.0).sum(1)


def _mean(values: Array) -> Array:
    count = np.isfinite(values).sum(axis=1)
    return np.where(count > 0, np.nansum(values, axis=1) / np.maximum(count, 1), np.nan)


def _slope(x: Array, y: Array) -> Array:
    """Slopes (N,) of y (N, n) with x, by least squares of what is not NaN."""
    good = np.isfinite(y) & np.isfinite(x)
    x, y = np.where(good, x, np.nan), np.where(good, y, np.nan)
    dx, dy = x - _mean(x)[:, None], y - _mean(y)[:, None]
    square = np.nansum(dx**2, axis=1)
    return np.where(square > 0, np.nansum(dx * dy, axis=1) / np.maximum(square, 1e-30), np.nan)
