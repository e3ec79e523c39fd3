"""From the minima of batches to the result of all stars."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from starnet.inference.fit.levenberg import MOST_DAMPING, State
from starnet.inference.fit.parameters import EDGE, RV_UNIT, VARIANCE_UNIT, Parameters
from starnet.inference.fit.prepare import Prepared
from starnet.inference.fit.problem import Problem, Stars
from starnet.inference.fit.result import FitResult
from starnet.inference.flags import LabelFlag
from starnet.spectra import Labels

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Collected:
    """Arrays of N stars that batches are put into."""

    parameters: Parameters
    prepared: Prepared
    order: int | None
    values: Array
    covariance: Array
    motion: Array
    continuum: Array
    numbers: dict[str, Array]
    edge: Array

    @classmethod
    def of(cls, parameters: Parameters, prepared: Prepared, order: int | None) -> Collected:
        """Empty: nothing is fitted yet."""
        n, labels = len(prepared.scale), len(parameters.hull.names)
        size = len(parameters.free) + len(parameters.motion)
        terms = (len(prepared.spectra.grid.chips), 0 if order is None else order + 1)
        nothing = {"chi2": np.nan, "excess": np.nan, "converged": 0.0, "iterations": 0.0}
        return cls(
            parameters,
            prepared,
            order,
            values=np.full((n, labels), np.nan),
            covariance=np.full((n, size, size), np.nan),
            motion=np.full((n, 2), np.nan),
            continuum=np.full((n, *terms), np.nan),
            numbers={name: np.full(n, value) for name, value in nothing.items()},
            edge=np.zeros((n, labels), dtype=np.int16),
        )

    def put(self, problem: Problem, rows: Array, stars: Stars, end: State) -> None:
        """The minima of some rows."""
        parameters = self.parameters
        labels, motion = parameters.unpack(end.x, stars.labels, stars.motion)
        self.values[rows], self.motion[rows] = labels.numpy(), motion.numpy()
        self.continuum[rows] = end.continuum.numpy() * self.prepared.scale[rows, None, None]
        self.covariance[rows] = _covariance(end, parameters)
        chi2 = end.chi2.numpy()
        noise = np.where(self.prepared.unknown[rows], 0.0, self.prepared.n_good[rows])
        total = stars.weights.sum(1).numpy()
        numbers = self.numbers
        numbers["chi2"][rows] = chi2
        numbers["excess"][rows] = np.sqrt(np.maximum(chi2 - noise, 0.0) / total)
        numbers["converged"][rows] = (end.done & (end.damping < MOST_DAMPING)).numpy()
        numbers["iterations"][rows] = end.iterations.numpy()
        self._edges(problem, rows, stars, end)

    def _edges(self, problem: Problem, rows: Array, stars: Stars, end: State) -> None:
        n = len(self.parameters.free)
        down, up, gap = (
            slack.numpy() < 5 * EDGE for slack in problem.bounds.slack(end.x, stars.room)
        )
        free = self.parameters.free
        self.edge[np.ix_(rows, free)] |= (down | up)[:, :n] * np.int16(LabelFlag.OUTSIDE_BOUNDS)
        if gap.shape[1]:
            touched = gap.astype(float) @ (problem.bounds.normals.numpy()[:, :n] != 0) > 0
            self.edge[np.ix_(rows, free)] |= touched * np.int16(LabelFlag.OUTSIDE_HULL)

    def result(
        self,
        about: dict[str, Any],
        draw: Callable[[FitResult], Array],
        max_masked: float,
        max_excess: float,
    ) -> FitResult:
        """Of all stars."""
        parameters, spectra = self.parameters, self.prepared.spectra
        n_free, unknown = len(parameters.free), self.prepared.unknown
        n_fitted = self.covariance.shape[1] + int(np.prod(self.continuum.shape[1:]))
        dof = np.maximum(self.prepared.n_good - n_fitted, 1)
        numbers = self.numbers
        scale = np.where(unknown, numbers["chi2"] / dof, 1.0)
        covariance = self.covariance * scale[:, None, None]
        sigma = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
        errors = np.full(self.values.shape, np.nan)
        errors[:, parameters.free] = sigma[:, :n_free]
        rv_err, broad, broad_err = self._motion_errors(sigma[:, n_free:])
        return FitResult(
            labels=Labels(parameters.hull.names, self.values, errors),
            free=parameters.names,
            covariance=covariance[:, :n_free, :n_free],
            chi2=np.where(unknown, np.nan, numbers["chi2"]),
            dof=dof.astype(int),
            rv=self.motion[:, 0],
            rv_err=rv_err,
            broadening=broad,
            broadening_err=broad_err,
            continuum=self.continuum,
            excess=numbers["excess"],
            converged=numbers["converged"].astype(bool),
            iterations=numbers["iterations"].astype(int),
            errors_from_residuals=unknown & np.isfinite(self.motion[:, 0]),
            flags=self._flags(max_masked, max_excess),
            snr=spectra.snr,
            masked_fraction=self._masked(),
            meta=spectra.meta,
            about=about,
            draw=draw,
        )

    def _motion_errors(self, sigma: Array) -> tuple[Array, Array, Array]:
        """Error of the velocity, the width and its error, from (N, free motions) errors."""
        n, motion = len(self.values), self.parameters.motion
        rv_err, variance_err = np.full(n, np.nan), np.full(n, np.nan)
        if 0 in motion:
            rv_err = sigma[:, 0]
        if 1 in motion:
            variance_err = sigma[:, motion.index(1)]
        broad = np.sqrt(np.maximum(self.motion[:, 1], 0.0))
        limit = np.sqrt(np.maximum(broad**2 + variance_err, 0.0)) - broad
        return rv_err, broad, limit

    def _masked(self) -> Array:
        """Fraction of the chips' pixels that are masked."""
        spectra = self.prepared.spectra
        inside = np.concatenate([np.arange(a, b) for a, b in spectra.grid.chips])
        return spectra.mask[:, inside].mean(axis=1)

    def _flags(self, max_masked: float, max_excess: float) -> Array:
        flags = self.edge.copy()
        numbers = self.numbers
        with np.errstate(invalid="ignore"):
            flags[numbers["excess"] > max_excess] |= LabelFlag.POOR_FIT
        flags[self._masked() > max_masked] |= LabelFlag.MANY_MASKED
        fitted = np.isfinite(self.motion[:, 0])
        flags[fitted & ~numbers["converged"].astype(bool)] |= LabelFlag.NOT_CONVERGED
        flags[~np.isfinite(self.values)] |= LabelFlag.FAILED
        return flags


def _covariance(end: State, parameters: Parameters) -> Array:
    """Of the free parameters (B, D, D) in their own units."""
    size = end.x.shape[1]
    root = end.curvature.diagonal(dim1=1, dim2=2).clamp_min(1e-8).sqrt()
    scaled = end.curvature / (root[:, :, None] * root[:, None, :])
    scaled = scaled + 1e-10 * torch.eye(size, dtype=scaled.dtype)
    inverse = torch.linalg.inv(scaled) / (root[:, :, None] * root[:, None, :])
    motion = [(RV_UNIT, VARIANCE_UNIT)[i] for i in parameters.motion]
    unit = np.concatenate([parameters.half, motion])
    return inverse.numpy() * unit[:, None] * unit[None]
