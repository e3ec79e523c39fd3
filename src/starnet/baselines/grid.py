"""Chi-square fit of a spectrum with interpolation in a set of spectra."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.baselines.components import Seen
from starnet.baselines.compressed import CompressedFitted, CompressedMethod, Core, Training
from starnet.baselines.contract import Report, register
from starnet.baselines.interpolate import Lattice, Smooth
from starnet.errors import ConfigError

Array = NDArray[Any]
TURNS = 25
STARTS = (0, 4)
"""Ranks by chi-square of the training stars at which the search begins."""
TRIED = 500
"""Training stars among which it begins, at most."""
MARGIN = 0.1
"""Labels are sought this share of their range beyond the training stars."""


@dataclass(frozen=True, eq=False)
class Search(Core):
    """An interpolation, what it is off by, the box of labels, and where to begin.

    Attributes
    ----------
    model : Smooth or Lattice
    off : array (K, K)
        Covariance of what interpolated coefficients are off by.
    box : array (2, L)
        Lowest and highest scaled labels.
    starts : array (n, L)
    """

    model: Smooth | Lattice
    off: Array
    box: Array
    starts: Array

    def answer(self, seen: Seen) -> tuple[Array, Array]:
        """See `Core.answer`. The variance is from the curvature of chi-square."""
        normal, side = self.weighed(seen)
        begin = self._begin(normal, side)
        best, lowest = begin[0].copy(), np.full(len(side), np.inf)
        curvature = np.zeros((*best.shape, best.shape[1]))
        for start in begin:
            labels, chi2, bend = self.descend(start, normal, side)
            better = chi2 < lowest
            best[better], lowest[better] = labels[better], chi2[better]
            curvature[better] = bend[better]
        tiny = 1e-6 * np.eye(best.shape[1])  # nothing is known beyond 1000 spreads of a label
        return best, np.einsum("mll->ml", np.linalg.inv(curvature + tiny)).copy()

    def weighed(self, seen: Seen) -> tuple[Array, Array]:
        """Chi-square's form as in `Seen`, with the errors of interpolation beside the noise."""
        system = np.eye(len(self.off)) + seen.normal @ self.off
        joined = np.concatenate([seen.normal, seen.side[:, :, None]], axis=2)
        solved = np.linalg.solve(system, joined)
        normal = solved[:, :, :-1]
        return (normal + np.swapaxes(normal, 1, 2)) / 2, solved[:, :, -1]

    def _begin(self, normal: Array, side: Array) -> list[Array]:
        """Labels (M, L) of training stars with small chi-square."""
        c = self.model(self.starts)[0]
        pairs = (c[:, :, None] * c[:, None, :]).reshape(len(c), -1)
        chi2 = normal.reshape(len(normal), -1) @ pairs.T - 2 * side @ c.T
        order = np.argsort(chi2, axis=1)
        return [self.starts[order[:, min(rank, len(c) - 1)]] for rank in STARTS]

    def descend(self, labels: Array, normal: Array, side: Array) -> tuple[Array, Array, Array]:
        """Labels (M, L) of the smallest chi-square (M,) and half its curvature (M, L, L).

        Gauss and Newton's steps, damped where chi-square does not fall (Marquardt 1963).
        """
        damp = np.full(len(labels), 1e-3)
        chi2, gradient, curvature = self._local(labels, normal, side)
        for _ in range(TURNS):
            diagonal = np.einsum("mll->ml", curvature) * damp[:, None] + 1e-9
            system = curvature + diagonal[:, :, None] * np.eye(labels.shape[1])
            step = np.linalg.solve(system, gradient[:, :, None])[:, :, 0]
            tried = np.clip(labels + step, *self.box)
            new = self._local(tried, normal, side)
            better = new[0] < chi2
            moved = np.max(np.abs(tried - labels), axis=1)
            labels = np.where(better[:, None], tried, labels)
            chi2 = np.where(better, new[0], chi2)
            gradient = np.where(better[:, None], new[1], gradient)
            curvature = np.where(better[:, None, None], new[2], curvature)
            damp = np.clip(np.where(better, damp / 10, damp * 10), 1e-9, 1e9)
            if np.all((moved < 1e-5) | (damp >= 1e9)):
                break
        return labels, chi2, curvature

    def _local(self, labels: Array, normal: Array, side: Array) -> tuple[Array, Array, Array]:
        """Chi-square (M,) but for a constant, minus half its gradient, half its curvature."""
        c, slope = self.model(labels)
        pull = np.einsum("mkj,mj->mk", normal, c)
        chi2 = np.einsum("mk,mk->m", c, pull - 2 * side)
        gradient = np.einsum("mkl,mk->ml", slope, side - pull)
        return chi2, gradient, np.swapaxes(slope, 1, 2) @ (normal @ slope)

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """See `Core.state`."""
        kind = "smooth" if isinstance(self.model, Smooth) else "lattice"
        own = {"off": self.off, "box": self.box, "starts": self.starts}
        return {"model": kind}, self.model.arrays() | own

    @classmethod
    def from_state(
        cls, method: Any, settings: Mapping[str, Any], arrays: Mapping[str, Array]
    ) -> Search:
        """See `Core.from_state`."""
        kind = Smooth if settings["model"] == "smooth" else Lattice
        return cls(kind.from_arrays(arrays), arrays["off"], arrays["box"], arrays["starts"])


@register(CompressedFitted)
@dataclass(frozen=True, kw_only=True)
class Grid(CompressedMethod):
    """The labels whose interpolated spectrum has the smallest chi-square.

    As FERRE does (Allende Prieto et al. 2006, ApJ 636, 804): compressed spectra, interpolated in
    labels; a search from several starts; errors from the curvature of chi-square. Training labels
    that are a regular grid are interpolated with polynomials between its nodes. Scattered stars
    are interpolated by a quadratic polynomial and a smoothing kernel, see `interpolate`.

    Parameters
    ----------
    degree : int
        Between the nodes of a regular grid: 1 (linear) or 3 (cubic).
    misfit : bool
        Whether chi-square knows by how much scattered stars, left out one by one, differ from the
        interpolation, so that what it cannot reproduce counts less. Without it chi-square has the
        noise alone, and real spectra are misread where the labels do not say all of them.
    """

    kind = "grid"
    core = Search
    degree: int = 3
    misfit: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.degree not in (1, 3):
            raise ConfigError(f"degree must be 1 or 3; received {self.degree}.")

    def _learn(self, training: Training, report: Report) -> Search:
        """The interpolation and its misfit."""
        targets, c = training.targets, training.coefficients
        off = np.zeros((c.shape[1], c.shape[1]))
        model: Smooth | Lattice | None = Lattice.find(targets, c, self.degree)
        if model is None:
            model, missed = Smooth.fit(targets, c, training.seed)
            if self.misfit:
                off = missed.T @ missed / len(missed) + 1e-9 * np.diag(training.prior)
        report(f"grid: {type(model).__name__.lower()}")
        low, high = targets.min(axis=0), targets.max(axis=0)
        wide = MARGIN * (high - low)
        some = np.random.default_rng([training.seed, 43]).permutation(len(targets))[:TRIED]
        return Search(model, off, np.stack([low - wide, high + wide]), targets[np.sort(some)])
