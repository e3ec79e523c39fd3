"""Gradient boosting of regression trees on principal components."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.baselines.components import Seen
from starnet.baselines.compressed import CompressedFitted, CompressedMethod, Core, Training
from starnet.baselines.contract import Report, register
from starnet.baselines.projection import PcaRegression, Quadratic
from starnet.errors import ConfigError, MissingDependencyError

Array = NDArray[Any]
DRAWS = 8
"""Pairs of draws of noise by which a spectrum's errors are carried to its labels."""


@dataclass(frozen=True, eq=False)
class Trees:
    """Regression trees, one after the other in flat arrays of nodes.

    Attributes
    ----------
    roots : array (T,)
    feature, left, right : array (nodes,)
        A leaf is its own child, left and right.
    threshold, value : array (nodes,)
        Left if the feature is at most the threshold; a leaf's value.
    depth : int
        Of the deepest tree.
    """

    roots: Array
    feature: Array
    left: Array
    right: Array
    threshold: Array
    value: Array
    depth: int

    @classmethod
    def of(cls, nodes: Sequence[Array]) -> Trees:
        """From the node arrays of scikit-learn's histogram trees."""
        sizes = [len(tree) for tree in nodes]
        roots = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
        joined = np.concatenate(list(nodes))
        offset = np.repeat(roots, sizes)
        leaf, self_ = joined["is_leaf"].astype(bool), np.arange(len(joined))
        return cls(
            roots,
            np.where(leaf, 0, joined["feature_idx"]).astype(np.int64),
            np.where(leaf, self_, joined["left"] + offset).astype(np.int64),
            np.where(leaf, self_, joined["right"] + offset).astype(np.int64),
            np.where(leaf, 0.0, joined["num_threshold"]).astype(float),
            np.where(leaf, joined["value"], 0.0).astype(float),
            int(joined["depth"].max()),
        )

    def __call__(self, x: Array) -> Array:
        """Sum of the trees (M,) at x (M, K)."""
        rows = np.arange(len(x))[:, None]
        node = np.broadcast_to(self.roots, (len(x), len(self.roots)))
        for _ in range(self.depth):
            goes_left = x[rows, self.feature[node]] <= self.threshold[node]
            node = np.where(goes_left, self.left[node], self.right[node])
        return self.value[node].sum(axis=1)


@dataclass(frozen=True, eq=False)
class Boosted(Core):
    """A start, and trees for each label on what it leaves.

    Attributes
    ----------
    start : Quadratic
    unit : array (K,)
        By which coefficients are divided.
    trees : tuple of Trees
    draws : array (2 D, K)
        Normal numbers, each with its opposite.
    """

    start: Quadratic
    unit: Array
    trees: tuple[Trees, ...]
    draws: Array

    def value(self, c: Array) -> Array:
        """Scaled labels (M, L) of coefficients (M, K)."""
        x = (c / self.unit).astype(np.float32).astype(float)
        return self.start.value(c) + np.stack([trees(x) for trees in self.trees], axis=1)

    def answer(self, seen: Seen) -> tuple[Array, Array]:
        """See `Core.answer`. Trees have no slopes, so noise is drawn, the same for all stars."""
        value = self.value(seen.mean)
        lower = np.linalg.cholesky(seen.covariance + 1e-12 * np.diag(seen.prior))
        square = np.zeros_like(value)
        for draw in self.draws:
            square += (self.value(seen.mean + lower @ draw) - value) ** 2
        return value, square / len(self.draws)

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """See `Core.state`."""
        arrays = {"unit": self.unit, "draws": self.draws} | self.start.state()[1]
        for i, trees in enumerate(self.trees):
            arrays |= {f"trees{i}.{name}": getattr(trees, name) for name in _NAMES}
        return {"depths": [trees.depth for trees in self.trees]}, arrays

    @classmethod
    def from_state(
        cls, method: Any, settings: Mapping[str, Any], arrays: Mapping[str, Array]
    ) -> Boosted:
        """See `Core.from_state`."""
        trees = tuple(
            Trees(**{name: arrays[f"trees{i}.{name}"] for name in _NAMES}, depth=int(depth))
            for i, depth in enumerate(settings["depths"])
        )
        start = Quadratic.from_state(method, {}, arrays)
        return cls(start, arrays["unit"], trees, arrays["draws"])


_NAMES = ("roots", "feature", "left", "right", "threshold", "value")


@register(CompressedFitted)
@dataclass(frozen=True, kw_only=True)
class Boosting(CompressedMethod):
    """Histogram gradient boosting of scikit-learn on principal components, for each label.

    Trees answer in steps and cannot go on beyond the training stars, so by default they begin
    from a linear regression (`PcaRegression` of order 1) and learn what it leaves. The trees are
    kept as arrays of nodes, so that nothing of scikit-learn is needed to load and use them.

    Parameters
    ----------
    linear : bool
        Whether to begin from a linear regression; without it from the mean.
    trees : int
    rate : float
        Share of each tree that is taken.
    leaves : int
        Of a tree, at most.
    least : int
        Stars in a leaf, at least.
    """

    kind = "boosting"
    core = Boosted
    linear: bool = True
    trees: int = 200
    rate: float = 0.05
    leaves: int = 12
    least: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.trees < 1 or self.least < 1 or self.leaves < 2 or not 0 < self.rate <= 1:
            raise ConfigError(
                "trees and least must be at least 1, leaves at least 2, and rate between 0 and 1; "
                f"received {self.trees}, {self.least}, {self.leaves} and {self.rate}."
            )

    def _learn(self, training: Training, report: Report) -> Boosted:
        """The start, and trees for each label."""
        c, targets = training.coefficients, training.targets
        k, n_labels = c.shape[1], targets.shape[1]
        if self.linear:
            start = PcaRegression(order=1)._learn(training, report)
        else:
            flat = np.zeros((n_labels, k, k))
            start = Quadratic(targets.mean(axis=0), np.zeros((n_labels, k)), flat)
        unit = np.sqrt(training.prior)
        left = targets - start.value(c)
        x = (c / unit).astype(np.float32)
        found = []
        for i in range(n_labels):
            trees, offset = self._grow(x, left[:, i], training.seed)
            start.constant[i] += offset
            found.append(trees)
        half = np.random.default_rng([training.seed, 53]).standard_normal((DRAWS, k))
        return Boosted(start, unit, tuple(found), np.concatenate([half, -half]))

    def _grow(self, x: Array, y: Array, seed: int) -> tuple[Trees, float]:
        """Trees and their common offset for one label."""
        try:
            from sklearn.ensemble import HistGradientBoostingRegressor
        except ImportError as error:
            raise MissingDependencyError(
                "The method boosting needs scikit-learn to learn. Install it with "
                "pip install 'starnet[boosting]'."
            ) from error
        model = HistGradientBoostingRegressor(
            max_iter=self.trees,
            learning_rate=self.rate,
            max_leaf_nodes=self.leaves,
            min_samples_leaf=self.least,
            l2_regularization=1.0,
            max_features=0.3,
            early_stopping=False,  # pyright: ignore[reportArgumentType] - as documented
            random_state=seed,
        ).fit(x, y)
        nodes = [tree.nodes for stage in model._predictors for tree in stage]
        return Trees.of(nodes), float(np.ravel(model._baseline_prediction)[0])
