"""Methods of a suite: a baseline, a network, a fine-tuned or a shipped model, with its settings.

An entry is checked and made whole when the suite is read: what a name stands for (a recipe of the
package) is taken up in full, so a result's key changes with it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from starnet.errors import ConfigError
from starnet.preprocess import Pipeline

Kind = Literal["method", "network", "finetune", "reader"]
KINDS = get_args(Kind)
SHARED = ("preprocess", "smallest", "largest", "why", "needs", "seeds", "also")
"""Settings that an entry of any kind may have."""
OWN: Mapping[str, tuple[str, ...]] = {
    "network": ("settings",),
    "finetune": ("settings", "readers", "errors"),
    "reader": (),
}
"""And those of each kind; a baseline has its own."""


@dataclass(frozen=True)
class Entry:
    """A method that a suite holds against the others.

    Attributes
    ----------
    name : str
        What it is called in tables and figures.
    kind : str
        "method" (of `starnet.baselines`), "network" (trained by a recipe), "finetune" (trained
        first on synthetic spectra, see `starnet.training.finetune`) or "reader" (a model that is
        there, used as it is).
    settings : mapping
        Of the method or recipe, in full; of a reader ``{"model": name or folder}``.
    preprocess : Pipeline, optional
        Instead of the suite's or the recipe's.
    smallest, largest : int
        Training stars within which it is used; ``largest`` 0 is without limit.
    why : str
        Why it is left out beyond, for the tables.
    needs : tuple of str
        Packages that must be installed.
    seeds : tuple of int
        Instead of the suite's.
    also : tuple of str
        Labels that it learns besides the suite's, which are not compared. The suite's noise is on
        them, too, where it names them.
    readers : tuple of str
        With "finetune": models that are there, instead of training readers.
    errors : bool
        With "finetune": errors from stars held out within the training set, which takes five
        times as long.
    """

    name: str
    kind: Kind
    settings: Mapping[str, Any]
    preprocess: Pipeline | None = None
    smallest: int = 0
    largest: int = 0
    why: str = ""
    needs: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    also: tuple[str, ...] = ()
    readers: tuple[str, ...] = ()
    errors: bool = False

    @classmethod
    def from_dict(cls, name: str, data: Mapping[str, Any]) -> Entry:
        """From what YAML holds.

        Raises
        ------
        ConfigError
            If it is of no kind or of two, or a name or setting is unknown.
        """
        kinds = [kind for kind in KINDS if kind in (data if isinstance(data, Mapping) else ())]
        if len(kinds) != 1:
            raise ConfigError(
                f"The entry {name!r} of methods must have one of {', '.join(KINDS)}; received "
                f"{data!r}. Such as {name}: {{method: cannon}}."
            )
        kind = kinds[0]
        common = {key: data[key] for key in SHARED if key in data}
        if kind == "reader" and common.get("also"):
            raise ConfigError(
                f"The entry {name!r} is a model that learns nothing here; leave also out."
            )
        rest: dict[str, Any] = {
            key: value for key, value in data.items() if key not in (*SHARED, kind)
        }
        if kind == "method":
            return cls(name, kind, _baseline(data[kind], rest), **_common(name, common))
        if strange := [key for key in rest if key not in OWN[kind]]:
            raise ConfigError(
                f"The entry {name!r} has no setting {', '.join(map(repr, strange))}; one of kind "
                f"{kind} has {', '.join((*OWN[kind], *SHARED))}."
            )
        settings = _RESOLVED[kind](data[kind], rest.pop("settings", None) or {})
        if "readers" in rest:
            rest["readers"] = tuple(rest["readers"])
        return cls(name, kind, settings, **_common(name, common), **rest)

    def to_dict(self) -> dict[str, Any]:
        """What its results depend on, JSON-ready."""
        steps = None if self.preprocess is None else self.preprocess.to_dict()
        return {
            "kind": self.kind,
            "settings": dict(self.settings),
            "preprocess": steps,
            "readers": list(self.readers),
            "errors": self.errors,
            **({"also": list(self.also)} if self.also else {}),
        }

    def left_out(self, n_stars: int) -> str:
        """Why it is not used with so many training stars; empty where it is."""
        if absent := [name for name in self.needs if importlib.util.find_spec(name) is None]:
            return f"needs {', '.join(absent)}, not installed here"
        if self.kind == "reader":
            return ""
        if n_stars < self.smallest:
            return self.why or f"needs {self.smallest} stars"
        if self.largest and n_stars > self.largest:
            return self.why or f"not beyond {self.largest} stars"
        return ""


def _common(name: str, data: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(data)
    if (steps := out.get("preprocess")) is not None:
        out["preprocess"] = pipeline(steps)
    for key in ("smallest", "largest"):
        if not isinstance(out.get(key, 0), int) or out.get(key, 0) < 0:
            raise ConfigError(f"{key} of {name!r} must be a number of stars; received {out[key]}.")
    for key in ("needs", "seeds", "also"):
        if key in out:
            given = out[key]
            out[key] = tuple(given) if isinstance(given, list) else (given,)
    return out


def pipeline(steps: Any) -> Pipeline:
    """A pipeline from a list of transforms, or from what `Pipeline.to_dict` gives."""
    if isinstance(steps, list):
        steps = {"transform": "Pipeline", "steps": steps}
    return Pipeline.from_dict(steps)


def merged(data: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with changes: mappings within mappings are merged, what is null goes."""
    out = dict(data)
    for key, value in changes.items():
        if isinstance(value, Mapping) and isinstance(out.get(key), Mapping):
            out[key] = merged(out[key], value)
        else:
            out[key] = value
    return {key: value for key, value in out.items() if value is not None}


def _baseline(name: Any, settings: Mapping[str, Any]) -> dict[str, Any]:
    from starnet.baselines import METHODS, Method

    if name not in METHODS:
        raise ConfigError(
            f"There is no method {name!r}; there are {', '.join(sorted(METHODS)) or 'none'}."
        )
    try:
        return Method.from_dict({**settings, "method": name}).to_dict()
    except (TypeError, ValueError) as error:
        raise ConfigError(f"The method {name} is spelled wrongly: {error}.") from error


def _network(given: Any, changes: Mapping[str, Any]) -> dict[str, Any]:
    from starnet.training import Recipe, load_recipe

    recipe = Recipe.from_dict(given) if isinstance(given, Mapping) else load_recipe(str(given))
    try:
        return recipe.with_settings(**changes).to_dict()
    except TypeError as error:
        raise ConfigError(f"The recipe {given} has no such setting: {error}.") from error


def _finetune(given: Any, changes: Mapping[str, Any]) -> dict[str, Any]:
    from starnet.training.finetune import FineTuneRecipe, load_finetune_recipe

    own = isinstance(given, Mapping)
    recipe = FineTuneRecipe.from_dict(given) if own else load_finetune_recipe(str(given))
    return FineTuneRecipe.from_dict(merged(recipe.to_dict(), changes)).to_dict()


def _reader(given: Any, changes: Mapping[str, Any]) -> dict[str, Any]:
    return {"model": str(given)}


_RESOLVED = {"network": _network, "finetune": _finetune, "reader": _reader}
