"""The fit: line data that bring computed spectra to observed ones, by the engine's own gradients.

Minimised is, over all stars, half of chi squared of the residuals at the resolution of comparison
plus half of the sum of squares of the free numbers (see `Parameters`). The continuum is at its
optimum in closed form at every step; velocity and broadening are found again between rounds.
Labels of the stars stay as accepted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from starnet.errors import ConfigError
from starnet.spectra import WavelengthGrid
from starnet.synthesis.lines import LineList, without_isotopes
from starnet.synthesis.lte.engine import Flux
from starnet.synthesis.lte.synthesizer import Atmospheres, LteSynthesizer
from starnet.synthesis.lte.tables import Tables

from .atlas import Star
from .corrections import Corrections
from .observed import Observed
from .parameters import Parameters, Priors, dex
from .strength import strengths

Array = NDArray[Any]  # float64

CORRELATED = 2.0
"""Neighbouring pixels share this many to one piece of information."""
ROUNDS = (6, 20)
"""Steps of each round; velocity and broadening are found before each and after the last."""
MEMORY = 20
"""Steps that the minimiser (L-BFGS) remembers."""
SEEN = 0.005
"""Opacity of a line over the continuum's, where it forms, from which it counts as seen."""
LEAST = 0.01
"""A line that changes by less than this, dex, beside its species has no row in the table."""
MARGIN = 0.003
"""Fraction of the wavelength by which computed spectra reach beyond the pixels."""

Progress = Callable[[int, float, dict[str, float]], None]


class Target:
    """A star to fit: what computes its spectrum, and what was observed.

    Parameters
    ----------
    star : Star
    observed : Observed
    atmospheres : Atmosphere, AtmosphereGrid or AtmosphereEmulator
    lines : LineList
        The same for all stars; the isotopes of the star are put in here.
    tables : Tables
    error : float
        What a pixel of the residuals is expected to be off by, of the continuum: model and
        atlas, not noise.
    settings
        Of `LteSynthesizer`, such as ``resolution``.
    """

    def __init__(
        self,
        star: Star,
        observed: Observed,
        atmospheres: Atmospheres,
        lines: LineList,
        tables: Tables,
        *,
        error: float = 0.01,
        **settings: Any,
    ) -> None:
        if not error > 0:
            raise ConfigError(f"the error of a target must be above 0; received {error}.")
        self.star, self.observed, self.error = star, observed, float(error)
        own = lines.with_isotopes(star.isotopes)
        self.synthesizer = LteSynthesizer(atmospheres, own, tables, **settings)
        ends = observed.pixels[[0, -1]] * [1 - MARGIN, 1 + MARGIN]
        n = int(np.log(ends[1] / ends[0]) * self.synthesizer.resolution)
        self.grid = WavelengthGrid(np.geomspace(ends[0], ends[1], n), "vacuum")
        self.engine = self.synthesizer.engine(self.grid)
        self.labels = torch.tensor([list(star.labels.values())], dtype=torch.float64)

    @property
    def lines(self) -> LineList:
        """Those of the engine, in its order."""
        return self.engine.lines.lines

    def flux(self, *changes: Tensor) -> Tensor:
        """Normalised flux (F,) on `grid`, with the changes that `compute` takes."""
        return self.compute(*changes).normalized[0]

    def compute(
        self, delta_loggf: Tensor | None = None, delta_log_vdw: Tensor | None = None
    ) -> Flux:
        """All that the engine gives, with changes (N,) of the lines in dex."""
        opacity, data = self.engine.lines, {}
        if delta_loggf is not None:
            data["log_gf"] = opacity.log_gf + dex(delta_loggf)
        if delta_log_vdw is not None:
            data["log_vdw"] = opacity.log_vdw + dex(delta_log_vdw)
        names = tuple(self.star.labels)
        return self.synthesizer(self.labels, names, self.grid, outside="clamp", **data)

    def strengths(self) -> Tensor:
        """See `strengths`; (N,)."""
        labels = self.star.labels
        return strengths(self.engine, self.compute().gas, labels["teff"], labels["vmic"])

    def tune(self, flux: Tensor, reach: float = 4.0) -> float:
        """Find velocity and broadening for a model; returns the rms that is left."""
        self.observed = self.observed.tuned(flux.detach(), self.grid.wavelength, reach=reach)
        return self.observed.rms(flux.detach(), self.grid.wavelength)


@dataclass(frozen=True, eq=False)
class Calibration:
    """What a fit found.

    Attributes
    ----------
    lines : LineList
        As they were, N lines in the order of the engine.
    delta_loggf, delta_log_vdw : array (N,)
        dex.
    shift_loggf, shift_log_vdw : array (N,)
        The parts of both that are of the species as a whole.
    prior : array (N,)
        Standard deviation of the prior of log gf.
    seen : array (N,) of int
        In how many of the stars each line is.
    before, after : mapping of star to rms
    evaluations : int
    """

    lines: LineList
    delta_loggf: Array
    delta_log_vdw: Array
    shift_loggf: Array
    shift_log_vdw: Array
    prior: Array
    seen: NDArray[np.int64]
    before: Mapping[str, float]
    after: Mapping[str, float]
    evaluations: int

    def moved(self, by: float = 0.1) -> dict[str, int]:
        """How many lines that are seen changed their log gf by more than this."""
        large = (np.abs(self.delta_loggf) > by) & (self.seen > 0)
        molecule = self.lines.is_molecule
        return {
            "atomic": int((large & ~molecule).sum()),
            "molecular": int((large & molecule).sum()),
        }

    def corrections(self, provenance: Mapping[str, Any] | None = None) -> Corrections:
        """The table: rows of lines that moved by themselves, then of species that moved."""
        lines = self.lines
        own = np.maximum(
            np.abs(self.delta_loggf - self.shift_loggf),
            np.abs(self.delta_log_vdw - self.shift_log_vdw),
        )
        kept = np.flatnonzero(own >= LEAST)
        codes, first = np.unique(without_isotopes(lines.species), return_index=True)
        shift = np.maximum(np.abs(self.shift_loggf), np.abs(self.shift_log_vdw))[first]
        codes, first = codes[shift >= 5e-4], first[shift >= 5e-4]
        nothing = np.full(codes.size, np.nan)

        def column(values: Array, more: Array) -> Array:
            return np.concatenate([values[kept], more])

        return Corrections(
            column(lines.species, codes),
            column(lines.wavelength, nothing),
            column(lines.excitation, nothing),
            column(lines.loggf - lines.log_fraction, nothing),
            column(self.delta_loggf, self.shift_loggf[first]),
            column(self.delta_log_vdw, self.shift_log_vdw[first]),
            column(self.prior, self.prior[first]),
            column(self.seen, np.zeros(codes.size, dtype=np.int64)),
            provenance={
                **(provenance or {}),
                "start": round(float(lines.wavelength.min()), 2),
                "stop": round(float(lines.wavelength.max()), 2),
                "rms_before": {k: round(v, 5) for k, v in self.before.items()},
                "rms_after": {k: round(v, 5) for k, v in self.after.items()},
            },
        )


def calibrate(
    targets: Sequence[Target],
    priors: Priors = Priors(),  # noqa: B008 - frozen
    *,
    rounds: Sequence[int] = ROUNDS,
    progress: Progress | None = None,
) -> Calibration:
    """Fit line data to stars.

    Parameters
    ----------
    targets : sequence of Target
        All with the same lines and pixels.
    priors : Priors
    rounds : sequence of int
        Steps of each round.
    progress : callable, optional
        Told of every evaluation: its number, what is minimised, rms by star.

    Raises
    ------
    ConfigError
        If there is no target, or they have different lines.
    """
    if not targets:
        raise ConfigError("a calibration needs at least one star; received none.")
    if len({len(target.lines) for target in targets}) > 1:
        raise ConfigError("all stars of a calibration must have the same lines and pixels.")
    parameters = Parameters(targets[0].lines, priors)
    before = {}
    with torch.no_grad():
        for target in targets:
            before[target.star.name] = target.tune(target.flux(), reach=20.0)
    loss, z = _Loss(targets, parameters, progress), np.zeros(parameters.size)
    after = before
    for steps in rounds:
        options = {"maxiter": steps, "maxcor": MEMORY, "maxfun": 2 * steps}
        z = minimize(loss, z, jac=True, method="L-BFGS-B", options=options).x
        with torch.no_grad():
            changes = parameters(torch.as_tensor(z))
            after = {t.star.name: t.tune(t.flux(*changes)) for t in targets}
        loss.prepare()
    return _calibration(targets, parameters, z, before, after, loss.count)


class _Loss:
    """What is minimised, with its derivatives."""

    def __init__(
        self, targets: Sequence[Target], parameters: Parameters, progress: Progress | None
    ) -> None:
        self.targets, self.parameters, self.progress = targets, parameters, progress
        self.count = 0
        self.prepare()

    def prepare(self) -> None:
        """Take the velocities and broadenings of now."""
        self.maps = [t.observed.map(t.grid.wavelength) for t in self.targets]

    def __call__(self, numbers: Array) -> tuple[float, Array]:
        z = torch.tensor(numbers, requires_grad=True)
        total = 0.5 * (z**2).sum()
        total.backward()
        value, rms = float(total.detach()), {}
        for target, to_pixels in zip(self.targets, self.maps, strict=True):
            left = target.observed.residuals(target.flux(*self.parameters(z)), to_pixels)
            part = 0.5 * (left**2).sum() / target.error**2 / CORRELATED
            part.backward()  # star by star: the graph of one is large
            value += float(part.detach())
            rms[target.star.name] = float(
                ((left.detach() ** 2).sum() / target.observed.good.sum()) ** 0.5
            )
        self.count += 1
        if self.progress is not None:
            self.progress(self.count, value, rms)
        return value, np.zeros_like(numbers) if z.grad is None else z.grad.numpy()


@torch.no_grad()
def _calibration(
    targets: Sequence[Target],
    parameters: Parameters,
    z: Array,
    before: Mapping[str, float],
    after: Mapping[str, float],
    evaluations: int,
) -> Calibration:
    numbers = torch.as_tensor(z)
    delta_loggf, delta_log_vdw = parameters(numbers)
    shift_loggf, shift_log_vdw = parameters.shifts(numbers)
    seen = torch.stack([target.strengths() + dex(delta_loggf) for target in targets])
    lines = targets[0].lines
    bare = replace(lines, loggf=lines.loggf - lines.log_fraction, log_fraction=None)
    return Calibration(
        bare,
        delta_loggf.numpy(),
        delta_log_vdw.numpy(),
        shift_loggf.numpy(),
        shift_log_vdw.numpy(),
        parameters.prior,
        (seen > math.log(SEEN)).sum(0).numpy(),
        before,
        after,
        evaluations,
    )
