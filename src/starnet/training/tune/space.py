"""The search space: which settings are searched, and within which limits; a YAML file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from starnet._shipped import read_settings, shipped_names
from starnet.errors import ConfigError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Kind = Literal["float", "int", "choice"]


@dataclass(frozen=True)
class Entry:
    """One setting of a space.

    Attributes
    ----------
    kind : {"float", "int", "choice"}
    low, high : number
        Both limits belong to the range ("float" and "int").
    log : bool
        Draw evenly in the logarithm.
    choices : mapping of str, or list
        What may be chosen, by name; a list makes its own names: ``[4, 16]`` is called "4-16".
    """

    kind: Kind
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    choices: Any = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ConfigError(f"kind must be float, int or choice; received {self.kind!r}.")
        if not isinstance(self.choices, Mapping):
            named = {_name(value): value for value in self.choices}
            if len(named) < len(self.choices):
                raise ConfigError(f"choices must differ; received {list(self.choices)}.")
            object.__setattr__(self, "choices", named)
        if self.kind == "choice":
            if not self.choices:
                raise ConfigError("kind choice needs choices, a list or a mapping of names.")
            return
        numbers = (int,) if self.kind == "int" else (int, float)
        fit = all(isinstance(v, numbers) and not isinstance(v, bool) for v in self.limits)
        if not fit or not self.low < self.high or (self.log and self.low <= 0):
            raise ConfigError(
                f"kind {self.kind} needs limits low < high (above 0 with log); received low "
                f"{self.low!r}, high {self.high!r}."
            )

    @property
    def limits(self) -> tuple[float, float]:
        """Both ends of a range."""
        return self.low, self.high

    def distribution(self) -> BaseDistribution:
        """What Optuna draws from."""
        from optuna import distributions

        if self.kind == "choice":
            return distributions.CategoricalDistribution(tuple(self.choices))
        if self.kind == "int":
            low, high = (int(v) for v in self.limits)
            return distributions.IntDistribution(low, high, log=self.log)
        return distributions.FloatDistribution(float(self.low), float(self.high), log=self.log)

    def value(self, drawn: Any) -> Any:
        """The value of the setting that stands behind what Optuna drew."""
        return self.choices[drawn] if self.kind == "choice" else drawn

    def drawn(self, value: Any) -> Any | None:
        """What Optuna would draw for a value; None where the space does not hold it."""
        if self.kind == "choice":
            same = [name for name, each in self.choices.items() if _plain(each) == _plain(value)]
            return same[0] if same else None
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return value if number and self.low <= value <= self.high else None

    def to_dict(self) -> dict[str, Any]:
        """As it stands in YAML."""
        if self.kind == "choice":
            return {"kind": self.kind, "choices": {k: _plain(v) for k, v in self.choices.items()}}
        return {"kind": self.kind, "low": self.low, "high": self.high, "log": self.log}


@dataclass(frozen=True)
class Space:
    """Settings by name, and what each may be.

    Attributes
    ----------
    settings : mapping of name to Entry
        See `starnet.training.tune.settings` for the names.
    name, about : str
    """

    settings: Mapping[str, Entry]
    name: str = "space"
    about: str = ""

    def __post_init__(self) -> None:
        if not self.settings:
            raise ConfigError("A search space needs at least one setting.")

    def distributions(self) -> dict[str, BaseDistribution]:
        """What Optuna draws from, by name."""
        return {name: entry.distribution() for name, entry in self.settings.items()}

    def values(self, drawn: Mapping[str, Any]) -> dict[str, Any]:
        """Values of settings that stand behind what Optuna drew."""
        return {name: self.settings[name].value(each) for name, each in drawn.items()}

    def to_dict(self) -> dict[str, Any]:
        """As it stands in YAML."""
        settings = {name: entry.to_dict() for name, entry in self.settings.items()}
        return {"name": self.name, "about": self.about, "settings": settings}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Space:
        """The inverse of `to_dict`.

        Raises
        ------
        ConfigError
            If a key is unknown or limits do not fit.
        """
        if strange := sorted(set(data) - {"name", "about", "settings"}):
            raise ConfigError(
                f"A search space has name, about and settings; received {', '.join(strange)}."
            )
        settings = data.get("settings")
        if not isinstance(settings, Mapping):
            raise ConfigError("A search space needs settings: names, each with a kind and limits.")
        entries = {str(name): _entry(str(name), each) for name, each in settings.items()}
        return cls(entries, str(data.get("name", "space")), str(data.get("about", "")))


def space_names() -> list[str]:
    """Names of the search spaces that come with the package."""
    return shipped_names(_folder())


def load_space(name_or_path: str | Path) -> Space:
    """A search space of the package by name, or one from a YAML file.

    Raises
    ------
    ConfigError
        If there is none of that name and no such file, or it is no search space.
    """
    return Space.from_dict(read_settings(name_or_path, _folder(), "search space")[0])


def _entry(name: str, data: Any) -> Entry:
    known = {f.name for f in dataclasses.fields(Entry)}
    if not isinstance(data, Mapping) or "kind" not in data or set(data) - known:
        raise ConfigError(
            f"The setting {name!r} of a search space takes kind and {', '.join(sorted(known))}; "
            f"received {data!r}."
        )
    try:
        return Entry(**data)
    except ConfigError as error:
        raise ConfigError(f"The setting {name!r} of the search space: {error}") from error


def _name(value: Any) -> str:
    if isinstance(value, Mapping):
        raise ConfigError(
            "choices that are mappings need names: choices: {NAME: {...}, OTHER: {...}}."
        )
    if isinstance(value, list | tuple):
        return "-".join(map(_name, value)) or "none"
    return str(value)


def _plain(value: Any) -> Any:
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def _folder() -> Traversable:
    return resources.files("starnet") / "recipes" / "spaces"
