"""What a setting of a search space changes in a recipe.

A setting is one of three. A field of `TrainingConfig` (``lr``, ``optimizer``, ``schedule``,
``batch_size``, ``weight_decay``, ...). A field of the recipe's networks or of their trunks
(``filters``, ``kernel``, ``pool``, ``dense``, ``activation``, ``initialiser``, ``dropout``, or
whatever another family has). Or one of two that act on the preprocessing: ``normalise``, a list of
transforms in the place of the recipe's own normalisation, and ``augment``, a strength from 0.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from starnet.errors import ConfigError
from starnet.models import config_from_dict
from starnet.preprocess import (
    AddNoise,
    ChipMedian,
    ContinuumShape,
    FillMasked,
    InterpolateMasked,
    Pipeline,
    PolynomialContinuum,
    RunningQuantile,
    RVJitter,
    SplineContinuum,
    Transform,
)
from starnet.training.config import TrainingConfig
from starnet.training.recipe import Recipe
from starnet.training.tune.space import Space

NORMALISERS = (ChipMedian, RunningQuantile, SplineContinuum, PolynomialContinuum)
"""Transforms of which ``normalise`` replaces the first to the last, and fillers beside them."""
FILLERS = (FillMasked, InterpolateMasked)
SHIFT, SHAPE, SNR = 5.0, 0.03, (30.0, 300.0)
"""Augmentation of strength 1: km/s, relative distortion of the continuum, signal to noise."""
TRAINING = {f.name for f in dataclasses.fields(TrainingConfig)} - {
    "seed",
    "device",
    "checkpoint_minutes",
}
_SIZES = {"n_pixels": 1_000_000, "n_labels": 1, "n_channels": 1}
_WHOLE_RUN = ("onecycle", "cosine")
_PREPROCESS = ("augment", "normalise")


def known_settings(recipe: Recipe) -> set[str]:
    """Names that a search space for this recipe may have."""
    return {*TRAINING, *_PREPROCESS}.union(*(_fields(network) for network in recipe.networks))


def check_space(space: Space, recipe: Recipe) -> None:
    """Refuse settings that the recipe does not have, and values that no recipe takes.

    Raises
    ------
    ConfigError
        With the names that there are.
    """
    known = known_settings(recipe)
    if strange := sorted(set(space.settings) - known):
        raise ConfigError(
            f"The search space {space.name!r} has the setting {', '.join(map(repr, strange))}, "
            f"which recipe {recipe.name!r} does not know; it knows {', '.join(sorted(known))}."
        )
    for name, entry in space.settings.items():
        for value in entry.choices.values() if entry.kind == "choice" else entry.limits:
            _try(recipe, name, int(value) if entry.kind == "int" else value)


def _try(recipe: Recipe, name: str, value: Any) -> None:
    try:
        changed = with_values(recipe, {name: value})
        for network in changed.networks:
            config_from_dict({**network, **_SIZES})
    except Exception as error:
        raise ConfigError(
            f"The search space gives {name} the value {value!r}, which does not fit: {error}"
        ) from error


def with_values(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    """The recipe with some settings changed.

    A schedule that is laid out over the whole run switches early stopping off, which would cut
    it short.
    """
    training = {name: value for name, value in values.items() if name in TRAINING}
    if training.get("schedule") in _WHOLE_RUN and "patience" not in values:
        training["patience"] = None
    more = {k: v for k, v in values.items() if k not in TRAINING and k not in _PREPROCESS}
    networks = tuple(_changed(network, more) for network in recipe.networks)
    preprocess = recipe.preprocess
    if "normalise" in values:
        preprocess = _normalised(preprocess, values["normalise"])
    if values.get("augment"):
        preprocess = _augmented(preprocess, float(values["augment"]))
    changed = recipe.with_settings(**training)
    return dataclasses.replace(changed, networks=networks, preprocess=preprocess)


def values_of(recipe: Recipe, names: list[str]) -> dict[str, Any]:
    """Values that a recipe has now, of the settings that it states."""
    found: dict[str, Any] = {}
    steps = [t.to_dict() for t in recipe.preprocess.steps if type(t) in NORMALISERS + FILLERS]
    own = {"augment": 0.0, "normalise": steps}
    for name in names:
        if name in TRAINING:
            found[name] = getattr(recipe.training, name)
        elif name in own:
            found[name] = own[name]
        else:
            found[name] = _value(recipe.networks[0], name)
    return found


def transforms(value: Any) -> tuple[Transform, ...]:
    """Transforms of a setting ``normalise``: a name, a mapping, or a list of these."""
    each = value if isinstance(value, list | tuple) else [value]
    return tuple(Transform.from_dict(one) for one in each)


def _fields(network: Mapping[str, Any]) -> set[str]:
    """Settings of a network's family, and of its trunk's."""
    config = config_from_dict({**network, **_SIZES})
    names = {f.name for f in dataclasses.fields(config)} - set(_SIZES) - {"trunk", "head"}
    return names | (_fields(network["trunk"]) if "trunk" in network else set())


def _own(network: Mapping[str, Any], name: str) -> bool:
    return name in _fields({k: v for k, v in network.items() if k != "trunk"})


def _changed(network: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    mine = {name: value for name, value in values.items() if _own(network, name)}
    rest = {name: value for name, value in values.items() if name not in mine}
    out = {**network, **mine}
    if "trunk" in network and rest:
        out["trunk"] = _changed(network["trunk"], rest)
    return out


def _value(network: Mapping[str, Any], name: str) -> Any:
    if "trunk" in network and not _own(network, name):
        return _value(network["trunk"], name)
    return getattr(config_from_dict({**network, **_SIZES}), name)


def _normalised(pipeline: Pipeline, value: Any) -> Pipeline:
    """The first to the last normaliser or filler replaced; at the end where there is none."""
    steps = list(pipeline.steps)
    old = [i for i, step in enumerate(steps) if type(step) in NORMALISERS + FILLERS]
    at = old[0] if old else len(steps)
    kept = [step for i, step in enumerate(steps) if i not in old]
    return Pipeline((*kept[:at], *transforms(value), *kept[at:]))


def _augmented(pipeline: Pipeline, strength: float) -> Pipeline:
    """Random steps before the normalisation, so that it acts on them as on observed spectra."""
    steps = list(pipeline.steps)
    old = [i for i, step in enumerate(steps) if type(step) in NORMALISERS + FILLERS]
    at = old[0] if old else len(steps)
    low, high = SNR
    random = (
        RVJitter(SHIFT * strength),
        ContinuumShape(min(SHAPE * strength, 1.0)),
        AddNoise(snr=(low / strength, high / strength)),
    )
    return Pipeline((*steps[:at], *random, *steps[at:]))


def start_of(space: Space, recipe: Recipe) -> dict[str, Any]:
    """What Optuna would have to draw for the recipe as it is, where the space holds that."""
    now = values_of(recipe, list(space.settings))
    normalise = space.settings.get("normalise")
    if normalise is not None and normalise.kind == "choice":
        mine = transforms(now.pop("normalise"))
        same = [each for each in normalise.choices.values() if transforms(each) == mine]
        if same:
            now["normalise"] = same[0]
    drawn = {name: space.settings[name].drawn(value) for name, value in now.items()}
    return {name: value for name, value in drawn.items() if value is not None}
