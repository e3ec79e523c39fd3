"""What methods on principal components share: compression, label scale and honest errors.

A method gives only `CompressedMethod._learn` and a `Core`, from coefficients to scaled labels.
Errors are two terms in quadrature: what the noise of the star's own spectrum does to the label,
and the scatter of stars that were held out beyond what their noise explains.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from starnet.baselines._excess import excess
from starnet.baselines.components import Components, Seen
from starnet.baselines.contract import Fitted, Method, Report, usable
from starnet.errors import ConfigError
from starnet.spectra import Labels, LabelScale, Spectra, WavelengthGrid

Array = NDArray[Any]
FOLDS = 5
LARGE = 2000
"""More stars than this are not held out in turns, but a fifth of them once, at most this many."""
MARGIN = 0.25


@dataclass(frozen=True, eq=False)
class Training:
    """Coefficients (N, K), their prior variance (K,), scaled labels and their errors (N, L).

    ``covariance`` (K, K) is the mean one of coefficients, by the noise of the spectra; label
    errors are 0 where unknown.
    """

    coefficients: Array
    covariance: Array
    prior: Array
    targets: Array
    errors: Array
    seed: int


class Core(ABC):
    """From coefficients to scaled labels."""

    @abstractmethod
    def answer(self, seen: Seen) -> tuple[Array, Array]:
        """Scaled labels (M, L) and their variance by noise (M, L); NaN where there is none."""

    @abstractmethod
    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """Plain settings and arrays."""

    @classmethod
    @abstractmethod
    def from_state(
        cls, method: Any, settings: Mapping[str, Any], arrays: Mapping[str, Array]
    ) -> Core:
        """The inverse of `state`."""


@dataclass(frozen=True, kw_only=True)
class CompressedMethod(Method):
    """A method on principal components.

    Parameters
    ----------
    components : int
        At most; fewer for few stars.
    pixel_power : float
        Pixels are divided by this power of their standard deviation before components are found.
    log10 : tuple of str
        Labels of which the logarithm is learnt, if there are such labels.
    """

    core: ClassVar[type[Core]]
    components: int = 60
    pixel_power: float = 0.0
    log10: tuple[str, ...] = ("teff",)

    def __post_init__(self) -> None:
        if self.components < 1:
            raise ConfigError(f"components must be at least 1; received {self.components}.")

    @abstractmethod
    def _learn(self, training: Training, report: Report) -> Core:
        """From coefficients and labels that have no gaps."""

    def fit(
        self, spectra: Spectra, labels: Labels, *, seed: int = 0, report: Report | None = None
    ) -> CompressedFitted:
        """See `Method.fit`. The scatter is that of stars held out, of whom nothing was learnt."""
        rows, labels = usable(spectra, labels, self)
        if len(rows) < len(spectra):
            spectra = spectra[rows]
        say = report or (lambda line: None)
        misses, noise = [], []
        for i, (train, test) in enumerate(held_out(spectra.stars, seed)):
            part = self._once(spectra[train], labels[train], seed, say)
            values, variance = part.scaled(spectra[test])
            truth, error = _targets(part.scale, labels[test])
            misses.append(values - truth)
            noise.append(variance + error**2)
            say(f"{self.kind}: held out {i + 1}")
        whole = self._once(spectra, labels, seed, say)
        return replace(whole, scatter=excess(np.vstack(misses), np.vstack(noise)))

    def _once(self, spectra: Spectra, labels: Labels, seed: int, say: Report) -> CompressedFitted:
        """Learnt from all that is given, without scatter."""
        logs = [name for name in self.log10 if name in labels.names]
        scale = LabelScale.fit(labels, log10=logs)
        components = Components.fit(spectra, self.components, power=self.pixel_power, seed=seed)
        coefficients = np.empty((len(spectra), components.n))
        total = np.zeros((components.n, components.n))
        for rows, seen in components.see(spectra):
            coefficients[rows] = seen.mean
            total += seen.covariance.sum(axis=0)
        targets, errors = _targets(scale, labels)
        training = Training(
            coefficients, total / len(spectra), components.prior, targets, errors, seed
        )
        core = self._learn(training, say)
        return CompressedFitted(
            method=self,
            names=labels.names,
            grid=spectra.grid,
            components=components,
            scale=scale,
            core=core,
            scatter=np.zeros(len(labels.names)),
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class CompressedFitted(Fitted):
    """Components, label scale, the core of the method, and scatter (L,) in scaled labels."""

    components: Components
    scale: LabelScale
    core: Core
    scatter: Array = field(repr=False)

    def scaled(self, spectra: Spectra) -> tuple[Array, Array]:
        """Scaled labels (N, L), and their variance by noise; NaN for what cannot be read."""
        values = np.full((len(spectra), len(self.names)), np.nan)
        variance = values.copy()
        for rows, seen in self.components.see(spectra):
            got, variance[rows] = self.core.answer(seen)
            values[rows] = np.clip(got, *self._box())
            values[rows][~seen.good] = np.nan
            variance[rows][~seen.good] = np.nan
        return values, variance

    def _box(self) -> tuple[Array, Array]:
        """Lowest and highest scaled labels that are given: a quarter of the range beyond it."""
        low, high = self.scale.forward([self.scale.low, self.scale.high])
        return low - MARGIN * (high - low), high + MARGIN * (high - low)

    def predict(self, spectra: Spectra) -> Labels:
        """See `Fitted.predict`."""
        self.check(spectra)
        values, variance = self.scaled(spectra)
        sigma = np.sqrt(variance + self.scatter**2) * self.scale.inverse_derivative(values)
        return Labels(self.names, self.scale.inverse(values), sigma)

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """See `Fitted.state`."""
        settings, arrays = self.core.state()
        about = {"scale": self.scale.to_dict(), "core": settings}
        return about, {**self.components.arrays(), **arrays, "scatter": self.scatter}

    @classmethod
    def from_state(
        cls,
        method: Any,
        names: tuple[str, ...],
        grid: WavelengthGrid,
        settings: Mapping[str, Any],
        arrays: Mapping[str, Array],
    ) -> CompressedFitted:
        """See `Fitted.from_state`."""
        core = method.core.from_state(method, settings["core"], arrays)
        components = Components.from_arrays(arrays, grid.n_pixels)
        return cls(
            method=method,
            names=names,
            grid=grid,
            components=components,
            scale=LabelScale.from_dict(settings["scale"]),
            core=core,
            scatter=arrays["scatter"],
        )


def held_out(stars: Array, seed: int) -> list[tuple[Array, Array]]:
    """Rows to learn from and rows held out, spectra of a star together.

    Five folds, or a single part for large sets.

    Parameters
    ----------
    stars : array (N,)
        Name of each spectrum's star.
    seed : int
    """
    names, first, star = np.unique(stars, return_index=True, return_inverse=True)
    rank = np.empty(len(names), dtype=int)
    rank[np.argsort(first)] = np.random.default_rng([seed, 31]).permutation(len(names))
    place = rank[star]  # of the star of each row, in random order
    if len(stars) > LARGE:
        tests = [place < min(len(names) // FOLDS, LARGE)]
    else:
        tests = [place % FOLDS == i for i in range(FOLDS)]
    return [(np.flatnonzero(~test), np.flatnonzero(test)) for test in tests if test.any()]


def _targets(scale: LabelScale, labels: Labels) -> tuple[Array, Array]:
    """Scaled labels and their errors, 0 where unknown."""
    targets = scale.forward(labels.values)
    return targets, np.nan_to_num(labels.errors / scale.inverse_derivative(targets))
