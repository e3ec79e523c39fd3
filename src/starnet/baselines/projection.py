"""Labels as projections of the spectrum: regression on principal components, and MATISSE.

Both find for each label a vector whose product with the spectrum is the label. Masked pixels and
errors enter where the spectrum is turned into coefficients of components, see `components`.
"""

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
from starnet.errors import ConfigError

Array = NDArray[Any]
RIDGES = np.logspace(-8, 3, 45)
POWERS = (0.0, 0.5, 1.0)
CROSSED = (0, 6, 12, 20)
ITERATIONS = 10
FEW = 3
"""Turns while settings are chosen."""


@dataclass(frozen=True, eq=False)
class Quadratic(Core):
    """Scaled labels as quadratic functions of coefficients.

    Attributes
    ----------
    constant : array (L,)
    linear : array (L, K)
    curved : array (L, K, K)
        Symmetric.
    """

    constant: Array
    linear: Array
    curved: Array

    def value(self, c: Array) -> Array:
        """Scaled labels (M, L) of coefficients (M, K)."""
        return self.constant + c @ self.linear.T + np.einsum("mi,lij,mj->ml", c, self.curved, c)

    def answer(self, seen: Seen) -> tuple[Array, Array]:
        """See `Core.answer`."""
        c = seen.mean
        slope = self.linear + 2 * np.einsum("lij,mj->mli", self.curved, c)
        return self.value(c), np.einsum("mli,mij,mlj->ml", slope, seen.covariance, slope)

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """See `Core.state`."""
        return {}, {"constant": self.constant, "linear": self.linear, "curved": self.curved}

    @classmethod
    def from_state(
        cls, method: Any, settings: Mapping[str, Any], arrays: Mapping[str, Array]
    ) -> Quadratic:
        """See `Core.from_state`."""
        return cls(arrays["constant"], arrays["linear"], arrays["curved"])


@register(CompressedFitted)
@dataclass(frozen=True, kw_only=True)
class PcaRegression(CompressedMethod):
    """Ridge regression of labels on principal components and products of the first ones.

    Bailer-Jones (2000, A&A 357, 197) on components; the strength of the ridge, how much small
    components are held back, and how many of the first ones enter with products are chosen for
    each label by generalised cross-validation (Golub, Heath and Wahba 1979, Technometrics 21,
    215).

    Parameters
    ----------
    order : int
        1 without products, 2 with.
    """

    kind = "pca-regression"
    core = Quadratic
    order: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.order not in (1, 2):
            raise ConfigError(f"order must be 1 or 2; received {self.order}.")

    def _learn(self, training: Training, report: Report) -> Quadratic:
        """The best of all choices for each label."""
        k, n_labels = training.coefficients.shape[1], training.targets.shape[1]
        best = np.full(n_labels, np.inf)
        out = Quadratic(np.zeros(n_labels), np.zeros((n_labels, k)), np.zeros((n_labels, k, k)))
        crossed = [q for q in CROSSED if q < k] if self.order == 2 else [0]
        for power in POWERS:
            unit = training.prior ** (power / 2) * training.prior.max() ** ((1 - power) / 2)
            for q in crossed:
                score, weight, offset = ridge(
                    features(training.coefficients / unit, q), training.targets
                )
                for i in np.flatnonzero(score < best):
                    best[i] = score[i]
                    out.constant[i] = offset[i]
                    out.linear[i] = weight[:k, i] / unit
                    out.curved[i] = _square(weight[k:, i], q, k) / np.outer(unit, unit)
        return out


def features(x: Array, q: int) -> Array:
    """Columns of x (N, K), then the products of all pairs of its first q columns."""
    i, j = np.triu_indices(q)
    return np.hstack([x, x[:, i] * x[:, j]])


def _square(weight: Array, q: int, k: int) -> Array:
    """Symmetric matrix (K, K) of the weights of `features`."""
    out = np.zeros((k, k))
    i, j = np.triu_indices(q)
    out[i, j] = weight / 2
    return out + out.T


def ridge(x: Array, y: Array) -> tuple[Array, Array, Array]:
    """Ridge regression of y (N, L) on x (N, F), the strength chosen for each column of y.

    Returns
    -------
    score (L,), weight (F, L), offset (L,)
        The score is the generalised cross-validation's mean squared error.
    """
    n, center, middle = len(x), x.mean(axis=0), y.mean(axis=0)
    x, y = x - center, y - middle
    value, vector = np.linalg.eigh(x.T @ x)
    value = np.maximum(value, 0)
    side = vector.T @ (x.T @ y)  # (F, L)
    damped = value + RIDGES[:, None] * value.max()  # (R, F)
    freedom = 1 + (value / damped).sum(axis=1)
    gain = ((value - 2 * damped) / damped**2) @ side**2  # (R, L)
    error = np.maximum((y**2).sum(axis=0) + gain, 0)
    score = error / n / np.maximum(1 - freedom / n, 1e-3)[:, None] ** 2
    score[freedom > 0.9 * n] = np.inf
    best = np.argmin(score, axis=0)
    weight = vector @ (side / damped[best].T)
    return score[best, np.arange(y.shape[1])], weight, middle - center @ weight


@dataclass(frozen=True, eq=False)
class ByTurns(Core):
    """Training stars, the first guess for all, and how many neighbours make a vector."""

    first: Quadratic
    coefficients: Array
    targets: Array
    neighbours: int
    strength: float

    def answer(self, seen: Seen) -> tuple[Array, Array]:
        """See `Core.answer`."""
        c = seen.mean
        guess = self.first.value(c)
        value, slope = self.iterate(c, guess)
        return value, np.einsum("mkl,mkj,mjl->ml", slope, seen.covariance, slope)

    def iterate(
        self, c: Array, guess: Array, own: Array | None = None, turns: int = ITERATIONS
    ) -> tuple[Array, Array]:
        """Labels (M, L) and slopes (M, K, L) after some turns; star ``own`` is not looked at.

        A guess that runs back and forth between two sets of neighbours ends half-way.
        """
        low, high = self.targets.min(axis=0), self.targets.max(axis=0)
        slope = np.zeros((len(c), c.shape[1], guess.shape[1]))
        going = np.arange(len(c))
        guess = guess.copy()
        for turn in range(turns):
            where = np.clip(guess[going], low, high)
            skip = None if own is None else own[going]
            rows, near = nearest(where, self.targets, self.neighbours, skip)
            value, slope[going] = local_regression(
                c[going], self.coefficients[rows], self.targets[rows], near, self.strength
            )
            step = value - guess[going]
            guess[going] = value if turn == 0 else guess[going] + 0.5 * step
            going = going[np.max(np.abs(step), axis=1) > 1e-3]
            if not going.size:
                break
        return guess, slope

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """See `Core.state`."""
        arrays = {"coefficients": self.coefficients, "targets": self.targets}
        about = {"neighbours": self.neighbours, "strength": self.strength}
        return about, arrays | self.first.state()[1]

    @classmethod
    def from_state(
        cls, method: Any, settings: Mapping[str, Any], arrays: Mapping[str, Array]
    ) -> ByTurns:
        """See `Core.from_state`."""
        return cls(
            Quadratic.from_state(method, {}, arrays),
            arrays["coefficients"],
            arrays["targets"],
            int(settings["neighbours"]),
            float(settings["strength"]),
        )


@register(CompressedFitted)
@dataclass(frozen=True, kw_only=True)
class Matisse(CompressedMethod):
    """Projection vectors that are made anew where the star is thought to be.

    Recio-Blanco, Bijaoui and de Laverny (2006, MNRAS 370, 141): for each label a vector B, a
    linear combination of training spectra, whose product with the spectrum is the label. A first
    vector from all stars gives a guess; then vectors from the training stars whose labels are
    near the guess, until the labels stay. There, nodes of a grid have vectors made beforehand;
    here stars are scattered, and the vectors are those of the nearest stars, weighed by nearness
    (tricube). The covariance of spectra is damped before it is inverted, as Landweber's iteration
    does there; strength and number of neighbours are chosen by leaving each star out.

    Parameters
    ----------
    neighbours : tuple of int
    strengths : tuple of float
        Tried; one entry sets it.
    """

    kind = "matisse"
    core = ByTurns
    neighbours: tuple[int, ...] = (40, 100, 250)
    strengths: tuple[float, ...] = (1e-4, 1e-3, 1e-2)

    def _learn(self, training: Training, report: Report) -> ByTurns:
        """Try numbers of neighbours and strengths on training stars left out one by one."""
        first = PcaRegression(order=1)._learn(training, report)
        c, targets = training.coefficients, training.targets
        guess = first.value(c)

        def miss(n: int, strength: float, rows: Array) -> Array:
            core = ByTurns(first, c, targets, n, strength)
            return core.iterate(c[rows], guess[rows], rows, FEW)[0] - targets[rows]

        n, strength, _ = choose(miss, self.neighbours, self.strengths, len(c), training.seed)
        report(f"matisse: {n} neighbours, strength {strength:g}")
        return ByTurns(first, c, targets, n, strength)
