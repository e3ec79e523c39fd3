"""Stars a batch at a time: where they begin, and the best of their ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from starnet.inference.fit.draw import Drawing
from starnet.inference.fit.levenberg import State, own, shared
from starnet.inference.fit.prepare import Prepared
from starnet.inference.fit.problem import SharedCurvature, Stars, stars_of
from starnet.inference.fit.starts import FIRST_WIDTH, Coarse

Array = NDArray[Any]
TOGETHER = 64
"""Stars of a batch: bounds the memory."""
TOLERANCE = 1e-4
"""A fit has ended when chi-square can fall by no more."""
ROUGH, ROUGH_STEPS = 3e-2, 15
"""The same for the first part, after which each star's own curvature is computed."""


class Batches:
    """Goes through the spectra of a fit; gives rows, stars and the state at their minima.

    Parameters
    ----------
    drawing : Drawing
    prepared : Prepared
    known : array (N, L)
        Labels to begin with, NaN where unknown.
    starts : int
        Starts of each star.
    steps : int
        Evaluations at most.
    """

    def __init__(
        self, drawing: Drawing, prepared: Prepared, known: Array, starts: int, steps: int
    ) -> None:
        self.parameters = drawing.parameters
        self.prepared, self.known, self.starts, self.steps = prepared, known, starts, steps
        self.problem = drawing.problem(prepared.pixels) if len(prepared.usable) else None
        held = np.array([name in self.parameters.held for name in self.parameters.hull.names])
        lacking = not (np.isfinite(known) | held).all()
        self._coarse: Coarse | None = None
        if self.problem is not None and (starts > 1 or lacking):
            self._coarse = Coarse.of(self.problem)
        self._common: SharedCurvature | None = None

    def __iter__(self) -> Iterator[tuple[Array, Stars, State]]:
        usable = self.prepared.usable
        for first in range(0, len(usable), TOGETHER):
            rows = usable[first : first + TOGETHER]
            stars, x = self._begin(rows)
            yield rows, stars, self._end(stars, x)

    def _begin(self, rows: Array) -> tuple[Stars, Tensor]:
        """Stars, and parameters (B, S, D) to begin with."""
        flux, weights = self.prepared.take(rows)
        labels = self._labels(rows, torch.from_numpy(flux), torch.from_numpy(weights))
        n = len(self.prepared.scale)
        stars = stars_of(self.parameters, flux, weights, labels[:, 0], rows, n)
        motion = self.parameters.held_motion(n)[rows]
        if 1 in self.parameters.motion:
            motion[:, 1] = min(FIRST_WIDTH, 0.5 * self.parameters.max_broadening) ** 2
        x = torch.stack(
            [self.parameters.pack(labels[:, i], motion) for i in range(labels.shape[1])], dim=1
        )
        return stars, x

    def _labels(self, rows: Array, flux: Tensor, weights: Tensor) -> Array:
        """Labels (B, S, L) to begin with, inside the hull; held ones are the same in each."""
        known, names = self.known[rows], self.parameters.hull.names
        if self._coarse is None:
            out = known[:, None].copy()
        else:
            assert self.problem is not None
            out = self._coarse.best(flux, weights, self.problem.continuum, self.starts)
            if np.isfinite(known).any():
                first = np.where(np.isfinite(known), known, out[:, 0])
                out = np.concatenate([first[:, None], out[:, : self.starts - 1]], axis=1)
        for name, values in self.parameters.held.items():
            if name in names:
                out[:, :, names.index(name)] = values[rows, None]
        out = self.parameters.hull.clip(out.reshape(-1, len(names))).reshape(out.shape)
        still = np.setdiff1d(np.arange(len(names)), self.parameters.free)
        out[:, :, still] = out[:, :1, still]
        return out

    def _end(self, stars: Stars, x: Tensor) -> State:
        """The best of the minima that the starts lead to."""
        assert self.problem is not None
        n, starts, size = x.shape
        middle = torch.zeros(size, dtype=x.dtype)
        each = torch.arange(n).repeat_interleave(starts)
        many, x = stars[each], x.flatten(0, 1)
        x = self.problem.bounds.inside(x, many.room, middle)
        if self._common is None:
            self._common = SharedCurvature.of(self.problem, stars, x[::starts])
        steps = min(self.steps, ROUGH_STEPS)
        rough = shared(self.problem, many, x, self._common, ROUGH, steps)
        best = rough.loss.unflatten(0, (n, starts)).argmin(1)
        chosen = rough.take(torch.arange(n) * starts + best)
        return own(self.problem, stars, chosen, TOLERANCE, self.steps)
