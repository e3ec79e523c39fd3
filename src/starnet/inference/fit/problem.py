"""Chi-square of many stars at any labels, its slope and its curvature."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from starnet.inference.fit.continuum import Continuum
from starnet.inference.fit.parameters import RV_UNIT, VARIANCE_UNIT, Parameters
from starnet.inference.fit.render import Renderer
from starnet.inference.fit.reverse import forward
from starnet.inference.fit.step import Bounds
from starnet.models.emulator import EmulatorNetwork

Array = NDArray[Any]
TOGETHER = 16
"""Stars whose slopes (L, Q) are in memory at once."""


@dataclass(frozen=True, eq=False)
class Stars:
    """B spectra on the Q pixels of a fit, and what is held for each.

    Attributes
    ----------
    flux, weights : Tensor (B, Q), float32
        Flux of median 1 and its inverse variances, 0 where masked.
    labels, motion : Tensor (B, L), (B, 2)
        Held values; the free ones are replaced.
    room : Tensor (B, F)
        What the facets of the hull leave.
    prior : tuple of Tensor (B, D)
        Means and precisions.
    """

    flux: Tensor
    weights: Tensor
    labels: Tensor
    motion: Tensor
    room: Tensor
    prior: tuple[Tensor, Tensor]

    def __len__(self) -> int:
        return len(self.flux)

    def __getitem__(self, rows: Tensor | slice) -> Stars:
        if isinstance(rows, Tensor) and torch.equal(rows, torch.arange(len(self))):
            return self
        return Stars(
            self.flux[rows], self.weights[rows], self.labels[rows], self.motion[rows],
            self.room[rows], (self.prior[0][rows], self.prior[1][rows]),
        )  # fmt: skip

    def replace(self, **changes: Any) -> Stars:
        """The same stars with some fields changed."""
        return replace(self, **changes)


@dataclass(frozen=True, eq=False)
class Point:
    """Chi-square of B stars at some parameters, and its surroundings.

    Attributes
    ----------
    loss, chi2 : Tensor (B,)
        With and without the priors.
    gradient : Tensor (B, D)
        Minus half the derivative of the loss.
    rise, value : Tensor (B, F, K), (B, K)
        Derivatives of the coefficients of the components by the free labels, if they were asked
        for, and the coefficients.
    continuum : Tensor (B, C, T)
    """

    loss: Tensor
    chi2: Tensor
    gradient: Tensor
    rise: Tensor
    value: Tensor
    continuum: Tensor


@dataclass(frozen=True, eq=False)
class Problem:
    """What is the same for all stars of a fit."""

    network: EmulatorNetwork
    renderer: Renderer
    continuum: Continuum
    parameters: Parameters
    bounds: Bounds

    @property
    def units(self) -> list[float]:
        """Of the free motions."""
        return [(RV_UNIT, VARIANCE_UNIT)[i] for i in self.parameters.motion]

    def coefficients(self, stars: Stars, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Coefficients (B, K), their derivatives (B, F, K) by x, and the motion (B, 2)."""
        labels, motion = self.parameters.unpack(x, stars.labels, stars.motion)
        blocks = [  # small enough for the cache
            self.network.coefficients_and_slopes(block) for block in labels.float().split(TOGETHER)
        ]
        value, rise = (torch.cat(parts) for parts in zip(*blocks, strict=True))
        free = torch.as_tensor(self.parameters.free)
        if len(free) != rise.shape[1]:
            rise = rise[:, free]
        rise = rise * torch.as_tensor(self.parameters.half).float()[:, None]
        return value, rise, motion.float()

    def at(self, stars: Stars, x: Tensor, *, slopes: bool = False) -> Point:
        """Chi-square and its slope at parameters x (B, D); with ``slopes`` also ``rise``."""
        labels, motion = self.parameters.unpack(x, stars.labels, stars.motion)
        labels, motion = labels.float(), motion.float()
        if slopes:
            value, rise, _ = self.coefficients(stars, x)
            back_to_labels = None
        else:
            value, back_to_labels = forward(self.network, labels)
            rise = value.new_zeros(len(x), 0, 0)
        model, moved = self.renderer.forward(value, motion)
        terms, continuum = self.continuum.solve(model, stars.flux, stars.weights)
        residual = torch.addcmul(stars.flux, continuum, model, value=-1)
        back = stars.weights * residual
        chi2 = (back * residual).sum(1, dtype=torch.float64)
        back *= continuum
        pull_back = self.renderer.adjoint(back, motion)
        if back_to_labels is None:
            slope = (rise @ pull_back[:, :, None])[:, :, 0].double()
        else:
            free = torch.as_tensor(self.parameters.free)
            by_label = back_to_labels(pull_back)[:, free]
            slope = by_label.double() * torch.as_tensor(self.parameters.half)
        parts = [slope]
        for i, unit in zip(self.parameters.motion, self.units, strict=True):
            parts.append((back * moved[:, i]).sum(1, keepdim=True, dtype=torch.float64) * unit)
        mean, precision = stars.prior
        pull = precision * (mean - x)
        gradient = torch.cat(parts, dim=1) + pull
        return Point(chi2 + (pull * (mean - x)).sum(1), chi2, gradient, rise, value, terms)

    def curvature(self, stars: Stars, x: Tensor) -> Tensor:
        """Half the second derivative of the loss (B, D, D), with the continuum left out."""
        parts = [
            self._curvature(stars[slice(i, i + TOGETHER)], x[i : i + TOGETHER])
            for i in range(0, len(stars), TOGETHER)
        ]
        return torch.cat(parts)

    def _curvature(self, stars: Stars, x: Tensor) -> Tensor:
        value, rise, motion = self.coefficients(stars, x)
        model, moved = self.renderer.forward(value, motion)
        columns = self.renderer.columns(rise, motion)
        for i, unit in zip(self.parameters.motion, self.units, strict=True):
            columns = torch.cat([columns, moved[:, i : i + 1] * unit], dim=1)
        continuum = self.continuum.solve(model, stars.flux, stars.weights)[1]
        taken = self.continuum.taken(model, stars.weights * continuum, columns)
        columns *= (stars.weights.sqrt() * continuum)[:, None]
        curvature = (columns @ columns.mT).double() - taken
        return curvature + torch.diag_embed(stars.prior[1])


@dataclass(frozen=True, eq=False)
class SharedCurvature:
    """The curvature with the mean weights of many stars, at the cost of small products.

    Slopes are made of the components, so their products are made of the products of components,
    which are computed once. It steers the steps; the slope that they follow is each star's own.
    """

    grams: list[list[Tensor]]
    problem: Problem

    @classmethod
    def of(cls, problem: Problem, stars: Stars, x: Tensor) -> SharedCurvature:
        """From some stars, and parameters x (B, D) near theirs."""
        total = stars.weights.sum(1, keepdim=True).clamp_min(1e-30)
        weights = (stars.weights / total).mean(0)
        value, _, motion = problem.coefficients(stars, x)
        model = problem.renderer.forward(value, motion)[0].mean(0)
        return cls(problem.renderer.gram(weights, problem.continuum.columns(model)), problem)

    def curvature(self, stars: Stars, point: Point) -> Tensor:
        """Half the second derivative of the loss (B, D, D), about."""
        grams, motion = self.grams, self.problem.parameters.motion
        rise = point.rise
        more = torch.cat([point.value, torch.ones_like(point.value[:, :1])], dim=1)
        n = rise.shape[1]
        size = n + len(motion)
        out = rise.new_zeros(len(rise), size, size)
        out[:, :n, :n] = (rise @ grams[0][0]) @ rise.mT
        for a, (i, unit) in enumerate(zip(motion, self.problem.units, strict=True)):
            cross = (rise @ (more @ grams[0][i + 1].T)[:, :, None])[:, :, 0] * unit
            out[:, n + a, :n] = out[:, :n, n + a] = cross
            for b, (j, other) in enumerate(zip(motion, self.problem.units, strict=True)):
                both = ((more @ grams[i + 1][j + 1]) * more).sum(1)
                out[:, n + a, n + b] = both * unit * other
        total = stars.weights.sum(1)
        return out.double() * total[:, None, None] + torch.diag_embed(stars.prior[1])


def stars_of(
    parameters: Parameters, flux: Array, weights: Array, labels: Array, rows: Array, n: int
) -> Stars:
    """Some of the n stars of a fit, with what is held for them.

    Parameters
    ----------
    flux, weights : array (B, Q)
    labels : array (B, L)
        Start labels, whose held ones stay.
    rows : array (B,)
        Which of the n stars they are.
    """
    mean, precision = parameters.prior(n)
    at = torch.as_tensor(rows)
    return Stars(
        torch.from_numpy(np.ascontiguousarray(flux, dtype=np.float32)),
        torch.from_numpy(np.ascontiguousarray(weights, dtype=np.float32)),
        torch.as_tensor(labels),
        torch.as_tensor(parameters.held_motion(n)[rows]),
        parameters.room(labels),
        (mean[at], precision[at]),
    )
