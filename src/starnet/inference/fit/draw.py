"""The spectra of a fit: the emulator on the grid, with velocities, widths and continua."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from starnet.inference.fit.continuum import Continuum
from starnet.inference.fit.parameters import Parameters
from starnet.inference.fit.problem import Problem
from starnet.inference.fit.render import Moving, Renderer, Still
from starnet.inference.fit.result import FitResult
from starnet.spectra import WavelengthGrid
from starnet.synthesis.emulator import Emulator

Array = NDArray[Any]
TOGETHER = 64


@dataclass(frozen=True, eq=False)
class Drawing:
    """How spectra on a grid follow from parameters.

    Attributes
    ----------
    emulator : Emulator
    grid : WavelengthGrid
        Of the spectra.
    parameters : Parameters
    order : int or None
        Of the continuum.
    """

    emulator: Emulator
    grid: WavelengthGrid
    parameters: Parameters
    order: int | None

    def problem(self, pixels: Array) -> Problem:
        """Chi-square on some pixels of the grid."""
        continuum = Continuum.of(self.grid, pixels, self.order)
        bounds = self.parameters.bounds()
        network = self.emulator.network
        return Problem(network, self.renderer(pixels), continuum, self.parameters, bounds)

    def renderer(self, pixels: Array) -> Renderer:
        """Spectra on some pixels of the grid."""
        parameters = self.parameters
        if not parameters.moves:
            return Still.of(self.emulator, self.grid, pixels)
        widest = float(np.max(parameters.held.get("broadening", 0.0)))
        fastest = float(np.max(np.abs(parameters.held.get("rv", 0.0))))
        if 0 in parameters.motion:
            fastest = parameters.max_rv
        if 1 in parameters.motion:
            widest = parameters.max_broadening
        return Moving.of(self.emulator, self.grid, pixels, fastest + 4.0 * widest)

    def __call__(self, result: FitResult) -> Array:
        """Best spectra (N, P) of a result, in the units of its continuum."""
        renderer = self.renderer(np.arange(self.grid.n_pixels))
        out = np.full((len(result), self.grid.n_pixels), np.nan, dtype=np.float32)
        motion = np.stack([result.rv, result.broadening**2], axis=1)
        fitted = np.flatnonzero(np.isfinite(motion).all(axis=1))
        continuum = Continuum.of(self.grid, np.arange(self.grid.n_pixels), self.order)
        with torch.no_grad():
            for first in range(0, len(fitted), TOGETHER):
                at = fitted[first : first + TOGETHER]
                labels = torch.as_tensor(result.labels.values[at]).float()
                value = self.emulator.network.coefficients(labels)
                model = renderer.forward(value, torch.as_tensor(motion[at]).float())[0].numpy()
                out[at] = model * continuum.on(result.continuum[at], self.grid)
        return out
