"""From a library of clean spectra to an emulator: hold stars out, fit, measure, put together."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress

from starnet._shipped import read_settings, shipped_names
from starnet._version import __version__
from starnet.dataset import SpectraDataset, split_by_star
from starnet.errors import ConfigError, TrainingError
from starnet.library.engine import without_places
from starnet.synthesis.emulator import Emulator
from starnet.synthesis.emulator.hull import LabelHull
from starnet.training.emulator import EmulatorTraining, fit_emulator

Array = NDArray[Any]
FEWEST = 50
"""Stars to learn from, at least."""
BLOCK = 500


@dataclass(frozen=True)
class EmulatorRecipe:
    """How an emulator is made of a library.

    Attributes
    ----------
    name, about : str
    labels : tuple of str
        Its labels; the first three shall be teff, logg and fe_h.
    bounds : mapping of label to (low, high)
        Where it holds, for labels that the library reaches beyond; the library's range for others.
    limits : sequence of (a, b, most)
        The label a is at most the label b plus this; stars beyond are left out.
    training : EmulatorTraining
    held_out : float
        Fraction of the stars that nothing is fitted to, for the measured accuracy.
    seed : int
    """

    name: str
    labels: tuple[str, ...]
    about: str = ""
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    limits: tuple[tuple[str, str, float], ...] = ()
    training: EmulatorTraining = field(default_factory=EmulatorTraining)
    held_out: float = 0.08
    seed: int = 0

    def __post_init__(self) -> None:
        if self.labels[:3] != ("teff", "logg", "fe_h"):
            raise ConfigError(
                "The labels of an emulator begin with teff, logg, fe_h; received "
                f"{', '.join(self.labels[:3])}."
            )
        strange = [n for n in self.bounds if n not in self.labels]
        strange += [n for a, b, _ in self.limits for n in (a, b) if n not in self.labels]
        if strange:
            raise ConfigError(f"There are bounds for {', '.join(strange)}, which are no labels.")
        if not 0 < self.held_out < 0.5:
            raise ConfigError(f"held_out must lie between 0 and 0.5; received {self.held_out}.")

    def to_dict(self) -> dict[str, Any]:
        """As YAML and JSON hold it."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> EmulatorRecipe:
        """The inverse of `to_dict`.

        Raises
        ------
        ConfigError
            If a setting is unknown, missing or wrong.
        """
        try:
            values = dict(data)
            values["labels"] = tuple(values["labels"])
            values["bounds"] = {k: (a, b) for k, (a, b) in values.get("bounds", {}).items()}
            values["limits"] = tuple((a, b, c) for a, b, c in values.get("limits", ()))
            values["training"] = EmulatorTraining(**values.get("training", {}))
            return cls(**values)
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"The recipe of an emulator is spelled wrongly: {error}.") from error


def load_emulator_recipe(name_or_path: str | Path) -> EmulatorRecipe:
    """A recipe of the package by name (`emulator_recipes`), or one from a YAML file."""
    data, _ = read_settings(name_or_path, _folder(), "recipe of an emulator")
    return EmulatorRecipe.from_dict(data)


def emulator_recipes() -> list[str]:
    """Names of the recipes of emulators that come with the package."""
    return shipped_names(_folder())


def train_emulator(
    library: SpectraDataset,
    recipe: EmulatorRecipe,
    *,
    progress: bool = True,
    checkpoint_dir: str | Path | None = None,
) -> Emulator:
    """An emulator of a library's spectra, with its accuracy on held-out stars in its card.

    Parameters
    ----------
    library : SpectraDataset
        Clean normalised spectra at rest, one for each star (`starnet synth`).
    recipe : EmulatorRecipe
    progress : bool
    checkpoint_dir : path, optional
        Where the same call goes on from after an interruption.

    Raises
    ------
    TrainingError
        If too few stars are left, or pixels are masked or not finite.
    LabelError
        If the library lacks a label.
    """
    labels = library.labels.select(recipe.labels).values
    hull = _hull(labels, recipe)
    used = np.flatnonzero(np.isfinite(labels).all(axis=1) & _within(labels, hull))
    if len(used) < FEWEST:
        raise TrainingError(
            f"An emulator needs at least {FEWEST} stars; {len(used)} of {len(labels)} have every "
            "label and lie within the limits of the recipe."
        )
    test_share = (1 - recipe.held_out, 0.0, recipe.held_out)
    train, _, test = split_by_star(library.stars[used], test_share, seed=recipe.seed)
    train, test = used[train], used[test]
    flux, held = _flux(library, train), _flux(library, test)
    with Progress(disable=not progress, transient=True) as bar:
        task = bar.add_task("training", total=recipe.training.steps)
        network = fit_emulator(
            labels[train],
            flux,
            labels[used].min(axis=0),
            labels[used].max(axis=0),
            recipe.training,
            valid=(labels[test], held),
            report=lambda step, loss, off: bar.update(
                task, completed=step, description=f"training, error {off:.5f}"
            ),
            folder=checkpoint_dir,
        )
    inside = hull.contains(labels[test])
    with torch.no_grad():
        made = network(torch.as_tensor(labels[test], dtype=torch.float32)).numpy()
    error = np.abs(made - held)[inside]
    card = _card(recipe, hull, len(train), len(test), accuracy(labels[test][inside], error, hull))
    return Emulator(network, hull, library.grid, recipe.name, card, _provenance(library, recipe))


def accuracy(labels: Array, error: Array, hull: LabelHull) -> dict[str, dict[str, float]]:
    """Median and 99th percentile of flux errors (N, P), for all stars and in bins of labels."""
    rows = {"all": np.ones(len(labels), dtype=bool)}
    for i, name in enumerate(hull.names[:3]):
        edges = np.linspace(hull.low[i], hull.high[i], 5)
        for a, b in itertools.pairwise(edges):
            rows[f"{name} {a:g} to {b:g}"] = (labels[:, i] >= a) & (labels[:, i] <= b)
    return {
        name: {
            "stars": int(chosen.sum()),
            "median_error": float(np.median(error[chosen])),
            "p99_error": float(np.percentile(error[chosen], 99)),
        }
        for name, chosen in rows.items()
        if chosen.any()
    }


def _hull(labels: Array, recipe: EmulatorRecipe) -> LabelHull:
    good = labels[np.isfinite(labels).all(axis=1)]
    if len(good) < FEWEST:
        raise TrainingError(f"Only {len(good)} stars of the library have every label.")
    low, high = good.min(axis=0), good.max(axis=0)
    for name, (a, b) in recipe.bounds.items():
        i = recipe.labels.index(name)
        low[i], high[i] = max(a, low[i]), min(b, high[i])
    low, high = np.round(low, 4), np.round(high, 4)
    return LabelHull.of(recipe.labels, low, high, good, recipe.limits)


def _within(labels: Array, hull: LabelHull) -> NDArray[np.bool_]:
    """Which stars the limits leave; beyond the bounds they still teach."""
    over = labels @ hull.limits[:, :-1].T + hull.limits[:, -1]
    return np.all(over <= 0, axis=1)


def _flux(library: SpectraDataset, rows: Array) -> Array:
    parts = []
    for start in range(0, len(rows), BLOCK):
        part = library.read(rows[start : start + BLOCK])
        if part.mask.any():
            raise TrainingError(
                f"An emulator learns from clean spectra; {int(part.mask.any(axis=1).sum())} of "
                "them have masked pixels. Make a library without observer and without chips."
            )
        parts.append(part.flux.astype(np.float32))
    return np.concatenate(parts) if parts else np.zeros((0, library.grid.n_pixels), np.float32)


def _card(
    recipe: EmulatorRecipe, hull: LabelHull, n_train: int, n_test: int, table: dict[str, Any]
) -> dict[str, Any]:
    bounds = zip(hull.names, hull.low.tolist(), hull.high.tolist(), strict=True)
    limits = [f"{a} at most {b} + {most:g}" for a, b, most in recipe.limits]
    return {
        "about": recipe.about,
        "training_set": f"{n_train} synthetic spectra, {n_test} held out",
        "bounds": {name: [a, b] for name, a, b in bounds},
        "limits": limits,
        "accuracy": table,
        "failures": [],
    }


def _provenance(library: SpectraDataset, recipe: EmulatorRecipe) -> dict[str, Any]:
    return {
        "starnet_version": __version__,
        "recipe": recipe.to_dict(),
        "library": portable(library.provenance),
    }


def portable(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Provenance of a library without the command and the places of one machine's files."""
    kept = {name: value for name, value in provenance.items() if name != "command"}
    return dict(without_places(kept))


def _folder() -> Any:
    return resources.files("starnet") / "recipes" / "emulators"
