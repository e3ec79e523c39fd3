"""The plan of a library: everything that defines its spectra, in one YAML file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml

from starnet._shipped import read_settings, shipped_names
from starnet._whole import write_text
from starnet.errors import ConfigError
from starnet.library.engine import without_places
from starnet.library.region import Corners, corners
from starnet.library.sampler import Sampler
from starnet.synthesis.observe import Instrument, Observer

GENERIC = ("resolution", "start", "stop")
_FOLDER = "plans"


@dataclass(frozen=True)
class LibraryPlan:
    """How a library of synthetic spectra is made.

    Attributes
    ----------
    name : str
        Begins the ids of its stars, ``NAME-0000000`` and on.
    about : str
        One sentence for people.
    engine : mapping
        ``name`` and the engine's own settings (see `starnet.library.engine.open_engine`).
    sampler : Sampler
        Which stars.
    region : sequence of (teff, logg)
        Corners of a polygon; only stars within. Empty for everywhere.
    instrument : str or mapping
        A preset by name; ``{preset: NAME, cut: [START, STOP]}``; ``{resolution, start, stop}``
        and perhaps ``sampling``, ``medium``, ``name`` for an imaginary one; or what
        `Instrument.to_dict` gives.
    observer : Observer, optional
        Turns clean spectra into observed ones. Default: spectra stay clean.
    visits : int
        Observations of each star.
    absolute : bool
        Flux at the star's surface instead of flux over continuum.
    n : int
        Number of stars.
    batch : int
        Stars that are computed together.
    """

    engine: Mapping[str, Any]
    sampler: Sampler
    instrument: str | Mapping[str, Any]
    name: str = "library"
    about: str = ""
    region: Corners = ()
    observer: Observer | None = None
    visits: int = 1
    absolute: bool = False
    n: int = 1000
    batch: int = 8

    def __post_init__(self) -> None:
        object.__setattr__(self, "region", corners(self.region))
        if not isinstance(self.engine, Mapping) or not isinstance(self.engine.get("name"), str):
            raise ConfigError(
                "engine must give a name, such as {name: lte}, and perhaps settings; received "
                f"{self.engine!r}."
            )
        if not self.name or not set(self.name) <= _SAFE:
            raise ConfigError(
                f"name must be of letters, digits, '-', '_' and '.'; received {self.name!r}."
            )
        for what in ("visits", "n", "batch"):
            value = getattr(self, what)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ConfigError(f"{what} must be a whole number above 0; received {value!r}.")
        if self.visits > 1 and self.observer is None:
            raise ConfigError(
                "Without an observer every visit is the same; give observer: {snr: [30, 300]}, or "
                "leave visits at 1."
            )
        if absent := [n for n in ("teff", "logg") if n not in self.sampler.names]:
            raise ConfigError(f"The sampler must draw teff and logg; it lacks {', '.join(absent)}.")
        assert self.recorder is not None  # raises if the instrument is none

    @cached_property
    def recorder(self) -> Instrument:
        """The instrument itself."""
        return _instrument(self.instrument)

    @property
    def seed(self) -> int:
        """Of the sampler."""
        return self.sampler.seed

    def ids(self, start: int, stop: int) -> list[str]:
        """Names of stars start to stop."""
        return [f"{self.name}-{i:07d}" for i in range(start, stop)]

    def digest(self) -> str:
        """Of what decides the spectra: not of n, batch, about, and places of files and devices."""
        return sha256(json.dumps(self.essence()).encode()).hexdigest()[:16]

    def essence(self) -> dict[str, Any]:
        """What `digest` is taken of."""
        out = without_places(self.to_dict())
        for name in ("n", "batch", "about"):
            del out[name]
        return json.loads(json.dumps(out))

    def to_dict(self) -> dict[str, Any]:
        """Everything, as YAML and JSON hold it."""
        fields = ("name", "about", "visits", "absolute", "n", "batch")
        observer = None
        if self.observer is not None:
            observer = {k: v for k, v in self.observer.to_dict().items() if k != "instrument"}
        plain = isinstance(self.instrument, str)
        return {
            **{name: getattr(self, name) for name in fields},
            "engine": dict(sorted(self.engine.items())),
            "instrument": self.instrument if plain else dict(sorted(self.instrument.items())),  # type: ignore[union-attr]
            "region": [list(corner) for corner in self.region],
            "observer": observer,
            "sampler": self.sampler.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LibraryPlan:
        """The inverse of `to_dict`; what is absent keeps its default.

        ``seed`` is that of the sampler and the observer where they name none.

        Raises
        ------
        ConfigError
            If a setting is unknown, wrong or missing.
        """
        known = [f.name for f in dataclasses.fields(cls) if f.init]
        needed = ("engine", "sampler", "instrument")
        strange = [str(key) for key in data if key not in (*known, "seed")]
        absent = [key for key in needed if key not in data]
        if strange or absent:
            what = f"no setting {', '.join(strange)}" if strange else f"needs {', '.join(absent)}"
            verb = "has " if strange else ""
            raise ConfigError(f"A plan {verb}{what}; it has seed, {', '.join(known)}.")
        values = {k: v for k, v in data.items() if k != "seed"}
        seed = {"seed": data["seed"]} if "seed" in data else {}
        if not isinstance(data["sampler"], Sampler):
            values["sampler"] = Sampler.from_dict({**seed, **_mapping(data, "sampler")})
        observer = data.get("observer")
        if observer is not None and not isinstance(observer, Observer):
            settings = {**seed, **_mapping(data, "observer")}
            settings["instrument"] = _instrument(data["instrument"]).to_dict()
            values["observer"] = Observer.from_dict(settings)
        return cls(**values)

    def with_settings(self, **changes: Any) -> LibraryPlan:
        """The plan with some settings changed; ``physics`` and ``device`` go to the engine."""
        inner = {k: changes.pop(k) for k in ("physics", "device") if k in changes}
        return dataclasses.replace(self, **changes, engine={**self.engine, **inner})

    def save(self, path: str | Path) -> Path:
        """Write the plan as YAML."""
        text = yaml.safe_dump(self.to_dict(), sort_keys=False, default_flow_style=None)
        return write_text(path, text, "The plan")


_SAFE = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


def _mapping(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    if not isinstance(data[name], Mapping):
        raise ConfigError(f"{name} must hold settings with names; received {data[name]!r}.")
    return data[name]


def _instrument(given: str | Mapping[str, Any]) -> Instrument:
    if isinstance(given, str):
        return Instrument.preset(given)
    if not isinstance(given, Mapping):
        raise ConfigError(f"instrument must be a name or settings with names; received {given!r}.")
    values = dict(given)
    cut = values.pop("cut", None)
    if set(GENERIC) <= set(values):
        try:
            made = Instrument.generic(**values)
        except TypeError as error:
            raise ConfigError(f"instrument is spelled wrongly: {error}.") from error
    elif set(values) == {"preset"}:
        made = Instrument.preset(values["preset"])
    else:
        made = Instrument.from_dict(values)
    return made if cut is None else made.cut(*cut)


def plan_names() -> list[str]:
    """Names of the plans that come with the package."""
    return shipped_names(_folder())


def load_plan(name_or_path: str | Path) -> LibraryPlan:
    """A plan of the package by name, or one from a YAML file.

    A relative ``path`` of its sampler is looked for beside the file first.

    Raises
    ------
    ConfigError
        If there is none of that name and no such file, or it is no plan.
    """
    data, path = read_settings(name_or_path, _folder(), "plan")
    sampler = data.get("sampler")
    if path is not None and isinstance(sampler, dict) and "path" in sampler:
        beside = path.parent / str(sampler["path"])
        sampler["path"] = str(beside if beside.exists() else sampler["path"])
    return LibraryPlan.from_dict(data)


def _folder() -> Traversable:
    return resources.files("starnet.library") / _FOLDER
