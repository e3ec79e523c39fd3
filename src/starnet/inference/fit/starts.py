"""Where a fit begins: the best few of a coarse set of labels, or what the caller knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from starnet.errors import LabelError
from starnet.inference.fit.continuum import Continuum
from starnet.inference.fit.parameters import Parameters
from starnet.inference.fit.problem import Problem
from starnet.spectra import Labels
from starnet.synthesis.composition import vmic_relation
from starnet.synthesis.emulator import Emulator

Array = NDArray[Any]
STEPS = {"teff": 300.0, "logg": 0.7, "fe_h": 0.35}
ALPHA = ("o_fe", "mg_fe", "si_fe", "s_fe", "ca_fe", "ti_fe")
APART = 0.25
"""Smallest difference of two starts of a star, in the largest of the scaled labels."""
FIRST_WIDTH = 5.0
"""Extra width, km/s, with which stars begin whose width is free."""


def label_grid(parameters: Parameters) -> Array:
    """Labels (G, L) all over the hull: a coarse grid of temperature, gravity and metallicity.

    Other labels are 0, elements of the alpha group raised in metal-poor stars, and vmic follows
    `vmic_relation`; held labels have their median.
    """
    hull = parameters.hull
    axes = []
    for name, low, high in zip(hull.names, hull.low, hull.high, strict=True):
        if name in parameters.held:
            axes.append(np.array([np.median(parameters.held[name])]))
        elif name in STEPS:
            n = int(np.ceil((high - low) / STEPS[name])) + 1
            axes.append(
                np.linspace(low, high, n + 1)[1:-1] if n > 1 else np.array([low + high]) / 2
            )
        else:
            axes.append(np.array([np.clip(0.0, low, high)]))
    grid = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)
    for i, name in enumerate(hull.names):
        if name in parameters.held:
            continue
        if name == "vmic" and "logg" in hull.names:
            grid[:, i] = vmic_relation(grid[:, hull.names.index("logg")])
        if name in ALPHA and "fe_h" in hull.names:
            grid[:, i] = np.clip(-0.4 * grid[:, hull.names.index("fe_h")], 0.0, 0.3)
    grid = np.clip(grid, hull.low, hull.high)
    inside = hull.contains(grid)
    return grid[inside] if inside.any() else hull.clip(grid)


@dataclass(frozen=True, eq=False)
class Coarse:
    """Spectra of a coarse set of labels, to be compared with all stars at once.

    Attributes
    ----------
    labels : array (G, L)
    flux : Tensor (G, Q)
    scaled : array (G, L)
        The labels from -1 to 1.
    """

    labels: Array
    flux: Tensor
    scaled: Array

    @classmethod
    def of(cls, problem: Problem) -> Coarse:
        """For a fit; stars whose width is free are compared with somewhat broadened spectra."""
        parameters = problem.parameters
        labels = label_grid(parameters)
        motion = np.zeros((len(labels), 2))
        motion[:, 0] = np.median(parameters.held.get("rv", 0.0))
        motion[:, 1] = np.median(parameters.held.get("broadening", 0.0)) ** 2
        if 1 in parameters.motion:
            motion[:, 1] = FIRST_WIDTH**2
        value = problem.network.coefficients(torch.as_tensor(labels).float())
        moved = torch.as_tensor(motion).float()
        parts = [
            problem.renderer.forward(value[i : i + 64], moved[i : i + 64])[0]
            for i in range(0, len(labels), 64)
        ]
        return cls(labels, torch.cat(parts), parameters.scaled(labels))

    def best(self, flux: Tensor, weights: Tensor, continuum: Continuum, n: int) -> Array:
        """Labels (B, n, L) of the n best of the set for each of (B, Q) spectra, all apart."""
        chi2 = self._chi2(flux, weights, continuum)
        apart = np.abs(self.scaled[:, None] - self.scaled[None]).max(axis=2) >= APART
        chosen = np.empty((len(flux), n), dtype=int)
        for i in range(n):
            chosen[:, i] = chi2.argmin(axis=1)
            chi2[~apart[chosen[:, i]]] = np.inf  # (B, G)
        return self.labels[chosen]

    def _chi2(self, flux: Tensor, weights: Tensor, continuum: Continuum) -> Array:
        """Chi-square (B, G) but for a constant, each chip free in its height."""
        middle = self.flux.mean(0)
        level = continuum.solve(middle.expand_as(flux).contiguous(), flux, weights)[1]
        flat = torch.where(level > 0.05, flux / level, torch.ones_like(flux))
        weights = weights * level**2
        total = flux.new_zeros(len(flux), len(self.flux), dtype=torch.float64)
        for a, b in continuum.spans:
            seen, square = self.flux[:, a:b], self.flux[:, a:b] ** 2
            first = (weights[:, a:b] * flat[:, a:b]) @ seen.T
            second = weights[:, a:b] @ square.T
            if continuum.order is None:
                total += (second - 2 * first).double()
            else:
                total -= (first.double() ** 2) / second.double().clamp_min(1e-30)
        return total.nan_to_num(0.0).numpy()


def known_labels(emulator: Emulator, start: object, n: int) -> Array:
    """The emulator's labels (n, L) of what a caller knows, NaN where nothing is known.

    Raises
    ------
    LabelError
        If it holds no label of the emulator, or is not for n stars.
    """
    labels = getattr(start, "labels", start)
    out = np.full((n, len(emulator.labels)), np.nan)
    if labels is None:
        return out
    if not isinstance(labels, Labels) or len(labels) != n:
        what = f"{len(labels)} stars" if isinstance(labels, Labels) else type(start).__name__
        raise LabelError(
            f"start must be Labels or a Prediction of the same {n} spectra; received {what}."
        )
    shared = [name for name in labels.names if name in emulator.labels]
    if not shared:
        raise LabelError(
            f"start has {', '.join(labels.names)}, and the emulator {', '.join(emulator.labels)}: "
            "nothing in common. Leave start out, or give some of the emulator's labels."
        )
    for name in shared:
        out[:, emulator.labels.index(name)] = labels.column(name)
    return out
