"""From a data set and a recipe to a model: split, scale, fit each member, put together."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from torch import nn

from starnet._version import __version__
from starnet.artifact import Model, network_inputs
from starnet.dataset import SpectraDataset, SpectraStream, split_by_star
from starnet.errors import TrainingError
from starnet.models import build_network, gather
from starnet.spectra import Labels, LabelScale
from starnet.training.history import Epoch, History
from starnet.training.loop import fit
from starnet.training.recipe import Recipe
from starnet.training.streams import ArrayStream, Stream

Rows = NDArray[np.int64]
OnEpoch = Callable[[int, nn.Module, Epoch], None]
IN_MEMORY = 6e8
"""Bytes of prepared spectra that are kept in memory instead of being read anew each epoch."""
MOST_INPUTS = 4000
"""Training spectra, drawn at random, that a network sees for its components."""
BLOCK = 1000
"""Spectra that are read and prepared at a time."""


@dataclass(frozen=True, eq=False)
class TrainingResult:
    """A model and how it came about.

    Attributes
    ----------
    model : Model
    histories : tuple of History
        One for each member.
    rows : (array, array, array)
        Rows of the data set that were for training, validation and test.
    """

    model: Model
    histories: tuple[History, ...]
    rows: tuple[Rows, Rows, Rows]

    def split_table(self, dataset: SpectraDataset) -> QTable:
        """Which spectrum was for what: ``id``, ``star``, ``part``."""
        part = np.full(len(dataset), "", dtype="U10")
        for rows, name in zip(self.rows, ("train", "valid", "test"), strict=True):
            part[rows] = name
        return QTable({"id": dataset.ids, "star": dataset.stars, "part": part})


def train_model(
    dataset: SpectraDataset,
    recipe: Recipe,
    *,
    rows: tuple[Rows, Rows, Rows] | None = None,
    name: str = "starnet",
    checkpoint_dir: str | Path | None = None,
    progress: bool = True,
    on_member: Callable[[int, int], None] | None = None,
    on_epoch: OnEpoch | None = None,
) -> TrainingResult:
    """Train a model on a data set.

    Scales and everything else that is fitted see the training stars alone; validation stars
    decide when to stop; test stars are not looked at.

    Parameters
    ----------
    dataset : SpectraDataset
    recipe : Recipe
    rows : (train, valid, test), optional
        Rows for each purpose instead of the recipe's split by star.
    name : str
        Name of the model.
    checkpoint_dir : path, optional
        Where checkpoints are kept. The same call goes on from them; with another recipe, other
        stars or other labels it starts anew.
    progress : bool
    on_member : callable, optional
        Called with (member, number of members) before each.
    on_epoch : callable, optional
        Called with (member, its network, the finished epoch); what it raises ends the training.

    Raises
    ------
    TrainingError
        If no star is left to train on, or the loss becomes NaN.
    LabelError
        If a label is not in the data set or does not vary.
    GridError, FrameError
        If the preprocessing does not fit the data set.
    """
    names = recipe.labels or dataset.label_names
    labels = dataset.labels.select(names)
    rows = rows or split_rows(dataset, recipe)
    train, valid, _ = rows
    scale = LabelScale.fit(labels[train], log10=recipe.log10)
    source = _Source(dataset, recipe, scale, train, valid, progress)
    if checkpoint_dir is not None:
        checkpoint_dir = Path(checkpoint_dir) / source.signature()
    networks, histories = [], []
    members = [network for network in recipe.networks for _ in range(recipe.copies)]
    for i, settings in enumerate(members):
        if on_member:
            on_member(i, len(members))
        folder = None if checkpoint_dir is None else Path(checkpoint_dir) / f"member-{i:02d}"
        network, history = source.fit_member(settings, i, folder, on_epoch)
        networks.append(network.cpu())
        histories.append(history)
    model = Model(
        network=gather(networks).eval(),
        scale=scale,
        pipeline=recipe.preprocess.deterministic(),
        input_grid=dataset.grid,
        input_frame=dataset.frame,
        channels=("flux", "mask") if recipe.mask_channel else ("flux",),
        name=name,
        provenance=_provenance(dataset, recipe, rows, histories),
    )
    return TrainingResult(model, tuple(histories), rows)


@runtime_checkable
class FitsInputs(Protocol):
    """A network that looks at training spectra before it is trained, for their components."""

    def fit_inputs(self, inputs: NDArray[Any]) -> None:
        """Take what it needs from inputs (N, C, P) of training stars."""
        ...


class _Source:
    """Feeds the members of an ensemble from one data set."""

    def __init__(
        self,
        dataset: SpectraDataset,
        recipe: Recipe,
        scale: LabelScale,
        train: Rows,
        valid: Rows,
        progress: bool,
    ) -> None:
        self.progress = progress
        self.dataset, self.recipe, self.scale = dataset, recipe, scale
        labels = dataset.labels.select(scale.names)
        self.targets = scale.forward(labels.values)
        errors = scaled_errors(labels, scale) if recipe.training.label_errors else np.zeros(0)
        self.errors = errors if errors.any() else None
        self.train, self.valid = train, valid
        self.grid = recipe.preprocess.output_grid(dataset.grid, dataset.frame)[0]
        self.channels = 2 if recipe.mask_channel else 1
        self.row_bytes = 4 * self.channels * self.grid.n_pixels
        self.fixed: NDArray[Any] | None = None
        self.places = np.zeros(0, dtype=int)

    def signature(self) -> str:
        """Short name of what the weights depend on."""
        settings = json.dumps([self.recipe.to_dict(), self.grid.to_dict(), self.scale.to_dict()])
        digest = hashlib.sha256(settings.encode())
        origin = [self.dataset.frame, self.dataset.provenance]
        digest.update(json.dumps(origin, sort_keys=True, default=str).encode())
        for rows in (self.train, self.valid):
            digest.update("".join(self.dataset.ids[rows]).encode())
            digest.update(self.targets[rows].tobytes())
            if self.errors is not None:
                digest.update(self.errors[rows].tobytes())
        return digest.hexdigest()[:16]

    def fit_member(
        self, settings: Any, number: int, folder: Path | None, on_epoch: OnEpoch | None = None
    ) -> tuple[nn.Module, History]:
        seed = self.recipe.seed + number
        sizes = {"n_pixels": self.grid.n_pixels, "n_labels": len(self.scale.names)}
        network = build_network({**settings, **sizes, "n_channels": self.channels}, seed=seed)
        config = dataclasses.replace(self.recipe.training, seed=seed)
        rows = self._bag(number)
        if isinstance(network, FitsInputs):
            some = np.random.default_rng(seed).permutation(rows)[:MOST_INPUTS]
            network.fit_inputs(self._inputs(np.sort(some)))
        train = self._stream(rows, shuffle=True)
        valid = self._stream(self.valid, shuffle=False) if len(self.valid) else None
        told = None if on_epoch is None else partial(on_epoch, number, network)
        history = fit(
            network,
            train,
            valid,
            config,
            checkpoint_dir=folder,
            progress=self.progress,
            on_epoch=told,
        )
        return network, history

    def _bag(self, number: int) -> Rows:
        """Training rows of a member: all, or those of a random part of the stars."""
        if self.recipe.bagging == 1.0:
            return self.train
        rng = np.random.default_rng([self.recipe.seed, number])
        stars, inverse = np.unique(self.dataset.stars[self.train], return_inverse=True)
        chosen = rng.permutation(len(stars)) < round(self.recipe.bagging * len(stars))
        return self.train[chosen[inverse]]

    def _stream(self, rows: Rows, *, shuffle: bool) -> Stream:
        pipeline = self.recipe.preprocess
        augmented = shuffle and pipeline.random
        errors = None if self.errors is None else self.errors[rows]
        if not augmented and self.row_bytes * (len(self.train) + len(self.valid)) <= IN_MEMORY:
            inputs = self._prepared()
            at = self.places[rows]
            targets = self.targets[rows]
            return ArrayStream(inputs, targets, errors=errors, places=at, shuffle=shuffle)
        return SpectraStream(
            self.dataset,
            rows,
            scale=self.scale,
            transform=pipeline if augmented else pipeline.deterministic(),
            mask_channel=self.recipe.mask_channel,
            errors=errors,
            shuffle=shuffle,
        )

    def _inputs(self, rows: Rows) -> NDArray[Any]:
        """Inputs of some rows, read and prepared now in blocks, without augmentation."""
        pipeline = self.recipe.preprocess.deterministic()
        inputs = np.empty((len(rows), self.channels, self.grid.n_pixels), dtype=np.float32)
        starts = range(0, len(rows), BLOCK)
        for start in track(
            starts,
            description="preparing spectra",
            console=Console(stderr=True),
            transient=True,
            disable=not self.progress or len(starts) < 2,
        ):
            spectra = pipeline(self.dataset.read(rows[start : start + BLOCK]))
            part = network_inputs(spectra, ("flux", "mask")[: self.channels])
            inputs[start : start + len(part)] = part
        return inputs

    def _prepared(self) -> NDArray[Any]:
        """Inputs of all rows that are used, and where each is among them."""
        if self.fixed is None:
            every = np.sort(np.concatenate([self.train, self.valid]))
            self.places = np.full(len(self.dataset), -1)
            self.places[every] = np.arange(len(every))
            self.fixed = self._inputs(every)
        return self.fixed


def scaled_errors(labels: Labels, scale: LabelScale) -> NDArray[Any]:
    """Errors (N, L) of scaled labels; 0 where they are unknown."""
    slope = scale.inverse_derivative(scale.forward(labels.values))
    return np.nan_to_num(labels.errors / slope)


def split_rows(dataset: SpectraDataset, recipe: Recipe) -> tuple[Rows, Rows, Rows]:
    """Rows for training, validation and test, by star.

    Those without any label, or outside the recipe's selection, are for nothing. The same data set
    and recipe give the same rows.

    Raises
    ------
    TrainingError
        If no row is left.
    """
    labels = dataset.labels.select(recipe.labels or dataset.label_names)
    some = np.isfinite(labels.values).any(axis=1)
    useful = np.flatnonzero(some & recipe.selected(dataset.labels))
    if useful.size == 0:
        limits = f" within {dict(recipe.select)}" if recipe.select else ""
        raise TrainingError(
            f"No spectrum of the data set has any of the labels {', '.join(labels.names)}{limits}."
        )
    parts = split_by_star(dataset.stars[useful], recipe.split, recipe.seed)
    train, valid, test = (useful[part] for part in parts)
    return train, valid, test


def _provenance(
    dataset: SpectraDataset, recipe: Recipe, rows: tuple[Rows, ...], histories: list[History]
) -> dict[str, Any]:
    stars = dataset.stars
    parts = zip(("train", "valid", "test"), rows, strict=True)
    return {
        "starnet_version": __version__,
        "recipe": recipe.to_dict(),
        "spectra": {name: len(part) for name, part in parts},
        "stars": {
            name: len(np.unique(stars[part]))
            for name, part in zip(("train", "valid", "test"), rows, strict=True)
        },
        "dataset": dataset.provenance,
        "label_errors": _known_errors(dataset, recipe, rows[0]),
        "members": [
            {"epochs": len(h), "best_epoch": h.best_epoch, "stopped_early": h.stopped_early}
            for h in histories
        ],
    }


def _known_errors(dataset: SpectraDataset, recipe: Recipe, rows: Rows) -> dict[str, float]:
    """Fraction of the training labels whose errors are taken into account."""
    if not recipe.training.label_errors:
        return {}
    labels = dataset.labels.select(recipe.labels or dataset.label_names)[rows]
    known = np.isfinite(labels.errors).sum(axis=0) / np.isfinite(labels.values).sum(axis=0)
    return dict(zip(labels.names, known.round(4).tolist(), strict=True))
