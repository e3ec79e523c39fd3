"""Stars along isochrones, as many as are born or evenly along the track."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from starnet.errors import ConfigError, LabelError
from starnet.library.parsec import Isochrone, read_isochrones
from starnet.library.sampler import BLOCK, Sampler, register, widths

Array = NDArray[Any]
Along = Literal["imf", "even"]
SMOOTH = {"teff": 50.0, "logg": 0.05, "fe_h": 0.1}
STEP = (0.01, 0.1)
"""dex in Teff and in log g that are as long as each other on an even track."""


@register
@dataclass(frozen=True, kw_only=True)
class IsochroneSampler(Sampler):
    """Teff, log g and [Fe/H] from PARSEC isochrones, blurred; other labels by rules.

    An isochrone is drawn first, each as likely as another, then a place along it: between two
    neighbouring points of the table, of one stage of evolution, all is linear.

    Parameters
    ----------
    path : path
        A table of the CMD service, or a folder of them (see `starnet.library.parsec`).
    along : "imf" or "even"
        Places in proportion to the number of stars that are born with that mass, or evenly along
        the track in the plane of log Teff and log g, so that brief stages are well covered.
    imf_slope : float
        Of the number of stars per unit mass, ``mass ** -imf_slope``: 2.35 is Salpeter (1955).
    ages, metallicities : (low, high), optional
        Only isochrones within, Gyr and [M/H].
    stages : (first, last)
        Stages of evolution (`Isochrone.stage`).
    smooth : mapping of label to float
        Standard deviation of the kernel. Default: `SMOOTH`, which in [Fe/H] is meant for tables
        a quarter of a dex apart.
    labels, single, seed
        See `Sampler`.
    """

    kind = "isochrone"
    path: str
    along: Along = "even"
    imf_slope: float = 2.35
    ages: tuple[float, float] | None = None
    metallicities: tuple[float, float] | None = None
    stages: tuple[int, int] = (1, 7)
    smooth: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", str(self.path))
        super().__post_init__()
        if self.along not in get_args(Along):
            raise ConfigError(f'along must be "imf" or "even"; received {self.along!r}.')
        if not isinstance(self.imf_slope, int | float) or not np.isfinite(self.imf_slope):
            raise ConfigError(f"imf_slope must be a finite number; received {self.imf_slope!r}.")
        for name in ("ages", "metallicities", "stages"):
            value = getattr(self, name)
            if value is None and name != "stages":
                continue
            if not isinstance(value, list | tuple) or len(value) != 2 or not value[0] <= value[1]:
                raise ConfigError(f"{name} must be (low, high), low <= high; received {value!r}.")
            object.__setattr__(self, name, tuple(value))
        widths(self.smooth, SMOOTH, self.own)

    @property
    def own(self) -> tuple[str, ...]:
        return ("teff", "logg", "fe_h")

    @cached_property
    def isochrones(self) -> tuple[Isochrone, ...]:
        """Those within ages and metallicities."""
        found = read_isochrones(self.path)
        chosen = tuple(
            one
            for one in found
            if _between(one.age, self.ages) and _between(one.m_h, self.metallicities)
        )
        if not chosen:
            ages, metals = {one.age for one in found}, {one.m_h for one in found}
            raise LabelError(
                f"No isochrone of {self.path} is within ages and metallicities; there are "
                f"{min(ages):g} to {max(ages):g} Gyr, [M/H] {min(metals):.2f} to {max(metals):.2f}."
            )
        return chosen

    @cached_property
    def _segments(self) -> tuple[Array, Array]:
        """Ends (S, 2, 4: mass, log Teff, log g, [M/H]) and cumulative weight (S,) of all pieces."""
        ends, weights = [], []
        for one in self.isochrones:
            track = np.column_stack([one.mass, np.log10(one.teff), one.logg])
            inside = (one.stage >= self.stages[0]) & (one.stage <= self.stages[1])
            joined = inside[1:] & (one.stage[1:] == one.stage[:-1])
            pair = np.stack([track[:-1], track[1:]], axis=1)[joined]
            weight = self._weight(pair)
            if weight.sum() > 0:
                metal = np.full((len(pair), 2, 1), one.m_h)
                ends.append(np.concatenate([pair, metal], axis=2))
                weights.append(weight / weight.sum())
        if not ends:
            raise LabelError(
                f"The isochrones of {self.path} have no stars of the stages {self.stages}."
            )
        return np.concatenate(ends), np.cumsum(np.concatenate(weights))

    def _weight(self, pair: Array) -> Array:
        """Weight of pieces (S, 2, 3) of one isochrone."""
        if self.along == "even":
            return np.hypot(*(np.diff(pair[:, :, 1:], axis=1)[:, 0] / STEP).T)
        power = 1.0 - self.imf_slope
        born = np.log(pair[:, :, 0]) if power == 0 else pair[:, :, 0] ** power / power
        return np.diff(born, axis=1)[:, 0]

    def candidates(self) -> Iterator[Array]:
        kernel = widths(self.smooth, SMOOTH, self.own)
        ends, reach = self._segments
        for number in range(2**30):
            rng = np.random.default_rng([self.seed, number])
            place = np.searchsorted(reach, rng.random(BLOCK) * reach[-1], side="right")
            piece = ends[np.minimum(place, len(ends) - 1)]
            share = rng.random((BLOCK, 1))
            star = piece[:, 0] * (1 - share) + piece[:, 1] * share
            values = np.column_stack([10.0 ** star[:, 1], star[:, 2], star[:, 3]])
            values += kernel * rng.standard_normal(values.shape)
            own = dict(zip(self.own, values.T, strict=True))
            yield self.filled(own, rng.random((BLOCK, 1 + len(self.labels))))


def _between(value: float, limits: tuple[float, float] | None) -> bool:
    return limits is None or limits[0] - 1e-6 <= value <= limits[1] + 1e-6
