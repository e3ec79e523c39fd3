"""A recipe: everything that defines a training run but the data, in one YAML file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from starnet._shipped import read_settings, shipped_names
from starnet._whole import write_text
from starnet.errors import ConfigError
from starnet.preprocess import Pipeline
from starnet.spectra import Labels
from starnet.training.config import TrainingConfig

_FOLDER = "recipes"


@dataclass(frozen=True)
class Recipe:
    """How a model is made from a data set.

    Attributes
    ----------
    name : str
        What the recipe is called.
    about : str
        One sentence for people.
    labels : tuple of str
        The labels to learn; empty for all that the data set has.
    log10 : tuple of str
        Labels whose logarithm is learnt.
    select : dict of (low, high)
        Stars that are used at all: those whose labels lie within these limits, by label. A star
        without such a label is left out. Empty for all stars.
    preprocess : Pipeline
        From spectra as stored to spectra as the network sees them; random steps (augmentation)
        act in training alone.
    networks : tuple of dict
        Members of the ensemble, each a family and its settings; the sizes that the data set
        fixes (pixels, channels, labels) are left out. One entry makes a plain network.
    copies : int
        How many of each, differing by seed.
    bagging : float
        Fraction of the training stars that each member sees; 1 for all.
    mask_channel : bool
        Feed the mask as a second channel.
    training : TrainingConfig
        Optimiser, schedule, stopping.
    split : (float, float, float)
        Fractions of stars for training, validation and test.
    seed : int
        Of the split, the weights, the order and the augmentation.
    """

    name: str = "recipe"
    about: str = ""
    labels: tuple[str, ...] = ()
    log10: tuple[str, ...] = ()
    select: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    preprocess: Pipeline = field(default_factory=lambda: Pipeline(()))
    networks: tuple[Mapping[str, Any], ...] = ({"family": "starnet"},)
    copies: int = 1
    bagging: float = 1.0
    mask_channel: bool = False
    training: TrainingConfig = field(default_factory=TrainingConfig)
    split: tuple[float, float, float] = (0.8, 0.1, 0.1)
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.networks or any("family" not in network for network in self.networks):
            raise ConfigError("networks must be a list with a family in each entry.")
        limits = {name: tuple(pair) for name, pair in self.select.items()}
        if any(len(pair) != 2 or not pair[0] < pair[1] for pair in limits.values()):
            raise ConfigError(f"select takes a (low, high) for each label; received {limits}.")
        object.__setattr__(self, "select", limits)
        if self.copies < 1 or not 0 < self.bagging <= 1:
            raise ConfigError(
                f"copies must be 1 or more and bagging above 0 and up to 1; received {self.copies} "
                f"and {self.bagging}."
            )

    def to_dict(self) -> dict[str, Any]:
        """Everything, as YAML and JSON can hold it."""
        out = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        out["preprocess"] = self.preprocess.to_dict()
        out["training"] = self.training.to_dict()
        for name in ("labels", "log10", "split"):
            out[name] = list(out[name])
        out["select"] = {label: list(limits) for label, limits in self.select.items()}
        out["networks"] = [dict(network) for network in self.networks]
        return out

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Recipe:
        """The inverse of `to_dict`; what is absent keeps its default.

        Raises
        ------
        ConfigError
            If a setting is unknown or wrong.
        """
        known = {f.name for f in dataclasses.fields(cls)}
        if strange := sorted(set(data) - known):
            raise ConfigError(
                f"A recipe has no setting {', '.join(map(repr, strange))}; it has "
                f"{', '.join(sorted(known))}."
            )
        values = dict(data)
        if "preprocess" in values:
            values["preprocess"] = Pipeline.from_dict(values["preprocess"])
        if "training" in values:
            values["training"] = TrainingConfig.from_dict(values["training"])
        for name in ("labels", "log10", "split", "networks"):
            if name in values:
                values[name] = tuple(values[name])
        return cls(**values)

    def selected(self, labels: Labels) -> NDArray[np.bool_]:
        """Which stars lie within the limits of ``select``, shape (N,)."""
        chosen = np.ones(len(labels), dtype=bool)
        for name, (low, high) in self.select.items():
            column = labels.column(name)
            chosen &= (column > low) & (column < high)  # false where the label is missing
        return chosen

    def with_settings(self, **changes: Any) -> Recipe:
        """The recipe with some settings changed; those of ``training`` are named alike."""
        training = {f.name for f in dataclasses.fields(TrainingConfig)} - {"seed"}
        inner = {k: v for k, v in changes.items() if k in training}
        outer = {k: v for k, v in changes.items() if k not in training}
        merged = dataclasses.replace(self.training, **inner)
        return dataclasses.replace(self, training=merged, **outer)

    def save(self, path: str | Path) -> Path:
        """Write the recipe as YAML."""
        text = yaml.safe_dump(self.to_dict(), sort_keys=False, default_flow_style=None)
        return write_text(path, text, "The recipe")


def recipe_names() -> list[str]:
    """Names of the recipes that come with the package."""
    return shipped_names(_folder())


def load_recipe(name_or_path: str | Path) -> Recipe:
    """A recipe of the package by name, or one from a YAML file.

    Raises
    ------
    ConfigError
        If there is none of that name and no such file, or it is no recipe.
    """
    data, _ = read_settings(name_or_path, _folder(), "recipe")
    return Recipe.from_dict(data)


def _folder() -> Traversable:
    return resources.files("starnet") / _FOLDER
