"""What a trial is judged by: the robust scatter of labels of validation stars."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from starnet.artifact import network_inputs
from starnet.dataset import SpectraDataset, k_folds
from starnet.errors import ConfigError
from starnet.models import apply_network
from starnet.spectra import LabelScale
from starnet.training.history import Epoch
from starnet.training.loop import choose_device
from starnet.training.recipe import Recipe
from starnet.training.train import Rows, split_rows, train_model

MAD_TO_SIGMA = 1.4826
SEED_STEP = 1000
"""Between the seeds of two folds; members of an ensemble count from theirs by one."""
Report = Callable[[int, float], None]
"""Told (step, value) after each epoch; raises to end the trial."""


@dataclasses.dataclass(frozen=True, eq=False)
class Objective:
    """Trains a recipe and says how good it is.

    The value is the mean over labels of 1.4826 times the median absolute deviation of residuals
    of validation stars, in units of the label's spread among training stars. Test stars are not
    among the rows.

    Attributes
    ----------
    dataset : SpectraDataset
    parts : tuple of (train, valid)
        Rows of each fold, which is trained with a seed of its own; the value is the mean over
        folds.
    """

    dataset: SpectraDataset
    parts: tuple[tuple[Rows, Rows], ...]

    @classmethod
    def of(cls, dataset: SpectraDataset, recipe: Recipe, folds: int = 1) -> Objective:
        """With the recipe's own split by star, or in folds over all but its test stars.

        Raises
        ------
        ConfigError
            If the recipe keeps no stars for validation.
        """
        train, valid, _ = split_rows(dataset, recipe)
        if folds == 1 and not len(valid):
            raise ConfigError(
                f"The recipe {recipe.name!r} keeps no stars for validation (split "
                f"{list(recipe.split)}), by which trials are judged. Give another split, for "
                "example 0.6, 0.2, 0.2, or 2 folds or more."
            )
        if folds == 1:
            return cls(dataset, ((train, valid),))
        rows = np.sort(np.concatenate([train, valid]))
        made = k_folds(dataset.stars[rows], folds, recipe.seed)
        return cls(dataset, tuple((rows[a], rows[b]) for a, b in made))

    def __call__(self, recipe: Recipe, report: Report | None = None) -> float:
        """Value of a recipe; lower is better."""
        values = [self._fold(i, recipe, report) for i in range(len(self.parts))]
        return float(np.mean(values))

    def _fold(self, fold: int, recipe: Recipe, report: Report | None) -> float:
        train, valid = self.parts[fold]
        judge = _Judge(self.dataset, recipe, train, valid)
        first = fold * recipe.training.epochs

        def on_epoch(member: int, network: nn.Module, row: Epoch) -> None:
            if report is not None and member == 0:
                report(first + row.epoch, judge(network))

        rows = (train, valid, np.zeros(0, dtype=np.int64))
        # other first weights in each fold, or the search would choose those that happen to be good
        seeded = recipe.with_settings(seed=recipe.seed + SEED_STEP * fold)
        result = train_model(self.dataset, seeded, rows=rows, progress=False, on_epoch=on_epoch)
        return judge(result.model.network)

    def fingerprint(self) -> str:
        """Short name of stars, labels and folds: what makes values comparable."""
        digest = hashlib.sha256(json.dumps(self.dataset.grid.to_dict()).encode())
        for part in self.parts:
            for rows in part:
                digest.update("\n".join(map(str, self.dataset.ids[rows])).encode())
                digest.update(self.dataset.labels.values[rows].tobytes())
        return digest.hexdigest()[:16]


class _Judge:
    """Robust scatter of a network's labels on validation stars."""

    def __init__(self, dataset: SpectraDataset, recipe: Recipe, train: Rows, valid: Rows) -> None:
        labels = dataset.labels.select(recipe.labels or dataset.label_names)
        scale = LabelScale.fit(labels[train], log10=recipe.log10)
        self.truth = scale.forward(labels.values[valid])
        spectra = recipe.preprocess.deterministic()(dataset.read(valid))
        channels = ("flux", "mask") if recipe.mask_channel else ("flux",)
        self.inputs = network_inputs(spectra, channels)
        self.device = recipe.training.device

    def __call__(self, network: nn.Module) -> float:
        parameter = next(network.parameters(), None)
        device = choose_device(self.device) if parameter is None else parameter.device
        return scatter(apply_network(network, self.inputs, device=str(device)), self.truth)


def scatter(predicted: NDArray[Any], truth: NDArray[Any]) -> float:
    """Mean over labels (columns) of the robust scatter; infinite where a network gave NaN."""
    residual = np.where(np.isnan(truth), np.nan, predicted - truth)
    known = ~np.isnan(truth).all(axis=0)
    if not np.isfinite(predicted).all() or not known.any():
        return float("inf")
    residual = residual[:, known]
    apart = np.abs(residual - np.nanmedian(residual, axis=0))
    return float(np.mean(MAD_TO_SIGMA * np.nanmedian(apart, axis=0)))
