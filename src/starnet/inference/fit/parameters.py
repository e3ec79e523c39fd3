"""What is fitted, what is held, and between which bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from starnet.errors import ConfigError, LabelError
from starnet.inference.fit.step import Bounds
from starnet.synthesis.emulator import Emulator
from starnet.synthesis.emulator.hull import LabelHull

Array = NDArray[Any]
MOTION = ("rv", "broadening")
RV_UNIT, VARIANCE_UNIT = 1.0, 100.0
"""km/s and (km/s)**2 of one unit of the parameters."""
EDGE = 1e-5


@dataclass(frozen=True, eq=False)
class Parameters:
    """The D parameters of a star: free labels from -1 to 1, then free motions.

    Attributes
    ----------
    hull : LabelHull
        Of the emulator: L labels.
    free : array (F,)
        Which labels are free.
    motion : tuple of int
        Which of velocity (0) and variance of the extra Gaussian (1) are free.
    max_rv, max_broadening : float
        Bounds, km/s.
    held : mapping
        Values of labels and of `MOTION` that the user holds: numbers or one for each star.
    priors : mapping
        Mean and standard deviation of a normal prior of a free label.
    """

    hull: LabelHull
    free: Array
    motion: tuple[int, ...]
    max_rv: float
    max_broadening: float
    held: Mapping[str, Array]
    priors: Mapping[str, tuple[Array, Array]]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the free labels."""
        return tuple(self.hull.names[i] for i in self.free)

    @property
    def moves(self) -> bool:
        """Whether any star has a velocity or an extra width."""
        return bool(self.motion) or any(name in self.held for name in MOTION)

    @property
    def half(self) -> Array:
        """Label units of one unit of each free label, (F,)."""
        return 0.5 * (self.hull.high - self.hull.low)[self.free]

    def bounds(self) -> Bounds:
        """Bounds of the parameters; facets and limits of the hull."""
        limits = ((-self.max_rv / RV_UNIT, self.max_rv / RV_UNIT),
                  (0.0, self.max_broadening**2 / VARIANCE_UNIT))  # fmt: skip
        low = [-1.0 + EDGE] * len(self.free) + [limits[i][0] for i in self.motion]
        high = [1.0 - EDGE] * len(self.free) + [limits[i][1] for i in self.motion]
        planes, _ = self._planes()
        normals = np.zeros((len(planes), len(low)))
        normals[:, : len(self.free)] = planes[:, self.free]
        return Bounds(
            torch.tensor(low, dtype=torch.float64),
            torch.tensor(high, dtype=torch.float64),
            torch.as_tensor(normals),
        )

    def room(self, labels: Array) -> Tensor:
        """What facets and limits leave for the free ones of labels (B, L): (B, F)."""
        planes, offset = self._planes()
        held = self.scaled(labels)
        held[:, self.free] = 0.0
        return torch.as_tensor(-offset - held @ planes.T - EDGE)

    def _planes(self) -> tuple[Array, Array]:
        """Facets and limits as ``planes @ x + offset <= 0`` (F, L), (F,), of scaled labels.

        Those without a free label are left out.
        """
        hull = self.hull
        half, middle = 0.5 * (hull.high - hull.low), 0.5 * (hull.high + hull.low)
        facets = np.zeros((len(hull.facets), len(half)))
        first = min(3, len(half))
        facets[:, :first] = hull.facets[:, :first]
        limits = hull.limits[:, :-1]
        planes = np.concatenate([facets, limits * half])
        offset = np.concatenate([hull.facets[:, 3], hull.limits[:, -1] + limits @ middle])
        size = np.linalg.norm(planes, axis=1)
        used = np.any(planes[:, self.free] != 0, axis=1)
        return planes[used] / size[used, None], offset[used] / size[used]

    def scaled(self, labels: Array) -> Array:
        """Labels (B, L) from -1 to 1."""
        low, high = self.hull.low, self.hull.high
        return 2 * (labels - low) / (high - low) - 1

    def pack(self, labels: Array, motion: Array) -> Tensor:
        """Parameters (B, D) of labels (B, L) and motions (B, 2)."""
        units = np.array([RV_UNIT, VARIANCE_UNIT])
        parts = [self.scaled(labels)[:, self.free], (motion / units)[:, list(self.motion)]]
        return torch.as_tensor(np.concatenate(parts, axis=1))

    def unpack(self, x: Tensor, labels: Tensor, motion: Tensor) -> tuple[Tensor, Tensor]:
        """Labels (B, L) and motions (B, 2) of parameters (B, D), in those that hold the rest."""
        n = len(self.free)
        labels, motion = labels.clone(), motion.clone()
        middle = torch.as_tensor(0.5 * (self.hull.high + self.hull.low)[self.free])
        labels[:, torch.as_tensor(self.free)] = middle + x[:, :n] * torch.as_tensor(self.half)
        for at, i in enumerate(self.motion):
            motion[:, i] = x[:, n + at] * (RV_UNIT, VARIANCE_UNIT)[i]
        return labels, motion

    def held_motion(self, n: int) -> Array:
        """Velocity and variance (n, 2), 0 where nothing is held."""
        out = np.zeros((n, 2))
        out[:, 0] = self.held.get("rv", 0.0)
        out[:, 1] = np.square(self.held.get("broadening", 0.0))
        return out

    def prior(self, n: int) -> tuple[Tensor, Tensor]:
        """Means and precisions (n, D) of the priors, in units of the parameters."""
        size = len(self.free) + len(self.motion)
        mean, precision = np.zeros((n, size)), np.zeros((n, size))
        for name, (value, sigma) in self.priors.items():
            at = self.names.index(name)
            label = self.hull.names.index(name)
            low, high = self.hull.low[label], self.hull.high[label]
            mean[:, at] = 2 * (value - low) / (high - low) - 1
            precision[:, at] = (self.half[at] / sigma) ** 2
        return torch.as_tensor(mean), torch.as_tensor(precision)


def choose(
    emulator: Emulator,
    n: int,
    *,
    free: Sequence[str] | None,
    fixed: Mapping[str, ArrayLike] | None,
    rv: bool,
    broadening: bool,
    max_rv: float,
    max_broadening: float,
    priors: Mapping[str, tuple[ArrayLike, ArrayLike]] | None,
) -> Parameters:
    """The parameters of `fit_spectra` for n spectra, checked.

    Raises
    ------
    LabelError, ConfigError
        If a name is unknown, a value is not finite or a bound is none.
    """
    names = emulator.labels
    held = {k: _per_star(v, n, f"fixed[{k!r}]") for k, v in (fixed or {}).items()}
    _known(set(free or ()), names, "free")
    _known(set(held), (*names, *MOTION), "fixed")
    _known(set(priors or {}), names, "priors")
    wanted = [name for name in (names if free is None else free) if name not in held]
    if not wanted:
        raise ConfigError("At least one label must be free; all of them are fixed.")
    if free is not None and (both := [name for name in free if name in held]):
        raise ConfigError(f"{', '.join(both)} cannot be free and fixed; name each once.")
    for what, value in (("max_rv", max_rv), ("max_broadening", max_broadening)):
        if not 0 < value <= 1000:
            raise ConfigError(f"{what} must lie between 0 and 1000 km/s; received {value}.")
    at = np.array([names.index(name) for name in names if name in wanted])
    flags = (rv and "rv" not in held, broadening and "broadening" not in held)
    motion = tuple(i for i, on in enumerate(flags) if on)
    normal = _priors(priors or {}, [names[i] for i in at], n)
    outside = [
        f"{name} = {held[name].min():g} to {held[name].max():g} (bounds {low:g} to {high:g})"
        for name, low, high in zip(names, emulator.hull.low, emulator.hull.high, strict=True)
        if name in held and (held[name].min() < low or held[name].max() > high)
    ]
    if outside:
        raise LabelError(
            f"Fixed labels must lie where the emulator holds; received {'; '.join(outside)}."
        )
    return Parameters(emulator.hull, at, motion, max_rv, max_broadening, held, normal)


def _known(given: set[str], names: Sequence[str], what: str) -> None:
    if strange := given - set(names):
        raise LabelError(
            f"{what} names {', '.join(sorted(strange))}, which the emulator has not; it has "
            f"{', '.join(names)}."
        )


def _per_star(value: ArrayLike, n: int, what: str) -> Array:
    array = np.asarray(value, dtype=float)
    if array.shape not in ((), (n,)) or not np.all(np.isfinite(array)):
        raise ConfigError(
            f"{what} must be a finite number or one for each of {n} spectra; received "
            f"{array if array.ndim == 0 else f'shape {array.shape}'}."
        )
    return np.broadcast_to(array, (n,)) if n else np.zeros(1)


def _priors(
    priors: Mapping[str, tuple[ArrayLike, ArrayLike]], free: Sequence[str], n: int
) -> dict[str, tuple[Array, Array]]:
    out = {}
    for name, pair in priors.items():
        if name not in free:
            raise ConfigError(f"A prior of {name} has no effect: it is held. Make it free.")
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise ConfigError(f"priors[{name!r}] must be (mean, sigma); received {pair!r}.")
        mean, sigma = (_per_star(v, n, f"priors[{name!r}]") for v in pair)
        if np.any(sigma <= 0):
            raise ConfigError(f"The sigma of the prior of {name} must be above 0.")
        out[name] = (mean, sigma)
    return out
