"""Chi-square of one star as a quadratic form in the components: microseconds, not a spectrum.

A spectrum is linear in its K components. Around a fit, velocity and variance of the extra
Gaussian are nearly so, and are two components more. So with weights W and components B,

    chi2 = least + |R (c - c0)|**2,  R.T R = B W B.T,

after the continuum has been taken out of B W B.T (flat priors of its coefficients). Directions
that the star's weights cannot see are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from starnet.inference.fit.draw import Drawing
from starnet.inference.fit.parameters import Parameters
from starnet.inference.fit.prepare import Prepared
from starnet.inference.fit.problem import Problem, Stars, stars_of
from starnet.inference.fit.result import FitResult

Array = NDArray[Any]
UNSEEN = 1e-10


@dataclass(frozen=True, eq=False)
class Quadratic:
    """Chi-square of B stars around their fits.

    Attributes
    ----------
    root : Tensor (B, M, M), float64
        R above; M = K + free motions.
    centre : Tensor (B, M)
        What R (c - c0) is at the fit, in the units of the residuals.
    at : Tensor (B, M)
        Coefficients and motions of the fit.
    labels : Tensor (B, L), float64
        Of the fit; held labels are taken from here.
    x, covariance : Tensor (B, D), (B, D, D)
        The fit in parameters, and their covariance.
    room : Tensor (B, F)
        For the facets of the hull.
    problem : Problem
    """

    root: Tensor
    centre: Tensor
    at: Tensor
    labels: Tensor
    x: Tensor
    covariance: Tensor
    room: Tensor
    problem: Problem

    @property
    def parameters(self) -> Parameters:
        """What is free."""
        return self.problem.parameters

    def chi2(self, x: Tensor) -> Tensor:
        """Chi-square (B,) at parameters x (B, D), but for a constant of each star."""
        parameters, network = self.parameters, self.problem.network
        n = len(parameters.free)
        half = torch.as_tensor(parameters.half)
        middle = torch.as_tensor(0.5 * (parameters.hull.high + parameters.hull.low))
        free = torch.as_tensor(parameters.free)
        labels = self.labels.index_copy(1, free, middle[free] + x[:, :n] * half)
        value = network.coefficients(labels.float()).double()
        change = torch.cat([value, x[:, n:]], dim=1) - self.at  # (B, M)
        residual = self.centre - (self.root @ change[:, :, None])[:, :, 0]
        return (residual**2).sum(1)

    @classmethod
    def of(cls, drawing: Drawing, prepared: Prepared, fit: FitResult, rows: Array) -> Quadratic:
        """Around the fits of some rows."""
        problem = drawing.problem(prepared.pixels)
        parameters = problem.parameters
        flux, weights = prepared.take(rows)
        scatter = _scatter(fit, rows)
        labels = fit.labels.values[rows]
        stars = stars_of(
            parameters, flux, weights / scatter[:, None], labels, rows, len(prepared.scale)
        )
        motion = np.stack([fit.rv[rows], fit.broadening[rows] ** 2], axis=1)
        x = parameters.pack(labels, motion)
        with torch.no_grad():
            curvature = problem.curvature(stars, x)
            forms = [_form(problem, stars[slice(i, i + 1)], x[i : i + 1]) for i in range(len(x))]
        root, centre, at = (torch.stack(parts) for parts in zip(*forms, strict=True))
        wide = torch.full((x.shape[1],), 3.0, dtype=x.dtype)  # of a flat prior from -1 to 1
        covariance = torch.linalg.inv(curvature + torch.diag(wide))
        return cls(root, centre, at, stars.labels, x, covariance, stars.room, problem)


def _scatter(fit: FitResult, rows: Array) -> Array:
    """Variance of the residuals where the errors of the flux are unknown, else 1."""
    unknown = fit.errors_from_residuals[rows]
    return np.where(unknown, fit.excess[rows] ** 2, 1.0).astype(np.float32)


def _form(problem: Problem, star: Stars, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """R (M, M), R (c0 - fit) (M,) and the coefficients of the fit (M,), of one star."""
    value, _, motion = problem.coefficients(star, x)
    model, moved = problem.renderer.forward(value, motion)
    continuum = problem.continuum.solve(model, star.flux, star.weights)[1]
    each = torch.eye(value.shape[1])[None]
    columns = [problem.renderer.columns(each, motion)[0]]
    for i, unit in zip(problem.parameters.motion, problem.units, strict=True):
        columns.append(moved[0, i : i + 1] * unit)
    weight = star.weights[0].sqrt()
    seen = torch.cat(columns) * (continuum[0] * weight)  # (M, Q)
    left = (star.flux[0] - continuum[0] * model[0]) * weight
    extra = problem.continuum.columns(model[0])
    if len(extra):
        taken = torch.linalg.qr((extra * weight).T.double())[0].float()
        seen = seen - (seen @ taken) @ taken.T
        left = left - taken @ (taken.T @ left)
    gram, right = (seen @ seen.T).double(), (seen @ left).double()
    size, vectors = torch.linalg.eigh(gram)
    kept = size > UNSEEN * size[-1]
    root = torch.where(kept, size, 0.0).sqrt()
    inverse = torch.where(kept, 1 / root.clamp_min(1e-300), 0.0)
    at = torch.cat([value[0].double(), x[0, len(problem.parameters.free) :]])
    return root[:, None] * vectors.T, inverse * (vectors.T @ right), at
