"""Labels from the training stars whose spectra are nearest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.baselines.components import Seen
from starnet.baselines.compressed import CompressedFitted, CompressedMethod, Core, Training
from starnet.baselines.contract import Report, register
from starnet.baselines.local import choose, local_regression, nearest

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Near(Core):
    """Training stars, in units of coefficients in which they are compared.

    Attributes
    ----------
    unit : array (K,)
        By which coefficients are divided.
    x : array (N, K)
        Coefficients of training stars in these units.
    targets : array (N, L)
    neighbours : int
    strength : float
        Of the damping of the local regression.
    """

    unit: Array
    x: Array
    targets: Array
    neighbours: int
    strength: float

    def answer(self, seen: Seen) -> tuple[Array, Array]:
        """See `Core.answer`."""
        value, slope = self.regress(seen.mean / self.unit)
        slope = slope / self.unit[:, None]
        return value, np.einsum("mkl,mkj,mjl->ml", slope, seen.covariance, slope)

    def regress(self, x: Array, own: Array | None = None) -> tuple[Array, Array]:
        """Values (M, L) and slopes (M, K, L) at x (M, K); star ``own`` is not looked at."""
        rows, near = nearest(x, self.x, self.neighbours, own)
        return local_regression(x, self.x[rows], self.targets[rows], near, self.strength)

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """See `Core.state`."""
        about = {"neighbours": self.neighbours, "strength": self.strength}
        return about, {"unit": self.unit, "x": self.x, "targets": self.targets}

    @classmethod
    def from_state(
        cls, method: Any, settings: Mapping[str, Any], arrays: Mapping[str, Array]
    ) -> Near:
        """See `Core.from_state`."""
        return cls(
            arrays["unit"],
            arrays["x"],
            arrays["targets"],
            int(settings["neighbours"]),
            float(settings["strength"]),
        )


@register(CompressedFitted)
@dataclass(frozen=True, kw_only=True)
class Neighbours(CompressedMethod):
    """The nearest training stars by chi-square, and a local linear regression among them.

    Spectra are compared by their noise-weighted coefficients, which leaves out noise that no
    component has. Distances are those of spectra (power 0), of coefficients each in units of its
    spread (power 1), or between; nearer stars count more (tricube), and a damped linear
    regression among them corrects for where they lie about the star (Cleveland 1979, JASA 74,
    829). Power, number and damping are those that serve training stars best when each is left
    out.

    Parameters
    ----------
    neighbours : tuple of int
    powers, strengths : tuple of float
        Tried; one entry sets it. A large strength leaves the weighted mean of neighbours.
    """

    kind = "neighbours"
    core = Near
    neighbours: tuple[int, ...] = (10, 30, 80, 200)
    powers: tuple[float, ...] = (0.0, 0.5, 1.0)
    strengths: tuple[float, ...] = (1e-4, 1e-3, 1e-2)

    def _learn(self, training: Training, report: Report) -> Near:
        """Leave-one-out over all settings: first power and number, then all strengths."""
        units = [
            training.prior ** (p / 2) * training.prior.max() ** ((1 - p) / 2) for p in self.powers
        ]
        targets = training.targets
        scaled = [training.coefficients / unit for unit in units]

        def miss(place: int, n: int, strength: float, rows: Array) -> Array:
            core = Near(units[place], scaled[place], targets, n, strength)
            return core.regress(scaled[place][rows], rows)[0] - targets[rows]

        best = []
        for i in range(len(units)):
            best.append(
                choose(
                    lambda n, s, rows, i=i: miss(i, n, s, rows),
                    self.neighbours,
                    self.strengths,
                    len(targets),
                    training.seed,
                )
            )
        size, n, strength, i = min((s, n, d, i) for i, (n, d, s) in enumerate(best))
        report(
            f"neighbours: {n}, power {self.powers[i]:g}, strength {strength:g}, mean size of "
            f"misses {np.exp(size):.3g}"
        )
        return Near(units[i], scaled[i], targets, n, strength)
