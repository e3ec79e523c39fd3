"""A suite: which stars, split how, with which labels, and the methods that are held against them.

Everything that decides a figure is in one YAML file; `docs/bench.md` has its form.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from starnet._shipped import read_settings, shipped_names
from starnet.errors import ConfigError
from starnet.evaluate.bench.entries import Entry, merged, pipeline
from starnet.evaluate.bench.sources import Source
from starnet.preprocess import Pipeline

ALL = 0
"""As a size: every star that there is to learn from."""
SPLIT = {"folds", "test", "seed", "stratify"}
KEYS = {
    "name", "about", "data", "training", "labels", "select", "learn", "split", "sizes", "seeds",
    "repeats", "noise", "strata", "preprocess", "methods", "minutes", "modules", "quick",
}  # fmt: skip


@dataclass(frozen=True)
class Suite:
    """What `starnet bench` does.

    Attributes
    ----------
    name, about : str
    data : Source
        Of the stars that are tested, and that are learnt from unless ``training`` is given.
    training : Source, optional
        Of stars that are learnt from, and never tested.
    labels : tuple of str
        Those that are predicted and compared.
    select, learn : mapping of label to (low, high)
        Which stars are tested, and which may be learnt from (default: the same). The others that
        may be learnt from are on the training side of every fold.
    split : mapping
        ``folds`` k, or ``test``: number or share of stars, or "all" with ``training``; ``seed``,
        and ``stratify``, a label.
    sizes : tuple of int
        Stars to learn from; 0 for all. Smaller sets are part of larger ones.
    seeds : tuple of int
        Each for the noise of labels, the choice of stars, and the method.
    repeats : mapping of int to int
        More seeds at a size: so many in a row from the first of ``seeds``. Which stars a small set
        holds, and the errors of their labels, matter as much as the method.
    noise : mapping of label to float
        One sigma, added to the labels of stars that are learnt from.
    strata : mapping of str to edges
        By ``snr`` or a label; see `evaluate.strata`.
    preprocess : Pipeline
        Of the spectra of baselines; networks have that of their recipe.
    methods : mapping of str to Entry
    minutes : float
        Longest that one method may take for one fold, size and seed; 0 for no limit.
    modules : tuple of str
        Python modules that are imported first, for methods of the user's own which they register.
    """

    name: str
    data: Source
    labels: tuple[str, ...]
    methods: Mapping[str, Entry]
    about: str = ""
    training: Source | None = None
    select: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    learn: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    split: Mapping[str, Any] = field(default_factory=lambda: {"folds": 5})
    sizes: tuple[int, ...] = (ALL,)
    seeds: tuple[int, ...] = (0,)
    repeats: Mapping[int, int] = field(default_factory=dict)
    noise: Mapping[str, float] = field(default_factory=dict)
    strata: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    preprocess: Pipeline = field(default_factory=Pipeline)
    minutes: float = 0.0
    modules: tuple[str, ...] = ()

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, quick: bool = False) -> Suite:
        """From what YAML holds; with ``quick``, as the entry of that name changes it.

        Raises
        ------
        ConfigError
            If a setting is unknown, missing or wrong.
        """
        if strange := sorted(set(data) - KEYS):
            raise ConfigError(
                f"A suite has no setting {', '.join(map(repr, strange))}; it has "
                f"{', '.join(sorted(KEYS))}."
            )
        given = dict(data)
        changes = given.pop("quick", None) or {}
        if quick:
            given = merged(given, changes)
        if absent := [key for key in ("name", "data", "labels", "methods") if not given.get(key)]:
            raise ConfigError(f"A suite must say {', '.join(absent)}; see docs/bench.md.")
        try:
            return _checked(cls(**_values(given)))
        except (TypeError, ValueError, AttributeError) as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(f"The suite is spelled wrongly: {error}.") from error

    def with_methods(self, names: Sequence[str]) -> Suite:
        """With some of the methods.

        Raises
        ------
        ConfigError
            If one is not in the suite.
        """
        if strange := [name for name in names if name not in self.methods]:
            raise ConfigError(
                f"The suite {self.name} has no method {', '.join(strange)}; it has "
                f"{', '.join(self.methods)}."
            )
        return replace(self, methods={name: self.methods[name] for name in names})

    def seeds_at(self, size: int) -> tuple[int, ...]:
        """Seeds of the methods that have none of their own."""
        if size not in self.repeats:
            return self.seeds
        first = self.seeds[0]
        return tuple(range(first, first + self.repeats[size]))

    def with_seed(self, seed: int) -> Suite:
        """With another split, and seeds that begin elsewhere."""
        seeds = tuple(seed + i for i in range(len(self.seeds)))
        methods = {
            name: replace(e, seeds=tuple(seed + i for i in range(len(e.seeds))))
            for name, e in self.methods.items()
        }
        return replace(self, split={**self.split, "seed": seed}, seeds=seeds, methods=methods)


def suite_names() -> list[str]:
    """Names of the suites that come with the package."""
    return shipped_names(_folder())


def load_suite(name_or_path: str | Path, *, quick: bool = False) -> Suite:
    """A suite of the package by name, or one from a YAML file.

    Raises
    ------
    ConfigError
        If there is none of that name and no such file, or it is wrong; the message says where.
    """
    data, path = read_settings(name_or_path, _folder(), "suite")
    try:
        return Suite.from_dict(data, quick=quick)
    except ConfigError as error:
        raise ConfigError(f"The suite {path or name_or_path}: {error}") from error


def import_all(modules: Sequence[str]) -> None:
    """Import modules that register methods.

    Raises
    ------
    ConfigError
        If one cannot be imported.
    """
    for name in modules:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ConfigError(
                f"The module {name} of the suite cannot be imported: {error}. Run from its folder, "
                "or put that on PYTHONPATH."
            ) from error


def _values(given: Mapping[str, Any]) -> dict[str, Any]:
    """Of the fields of a `Suite`."""
    out = dict(given)
    out["modules"] = tuple(given.get("modules", ()))
    import_all(out["modules"])
    out["data"] = Source.from_dict(given["data"])
    if given.get("training"):
        out["training"] = Source.from_dict(given["training"])
    for key in ("select", "learn", "strata"):
        out[key] = {k: tuple(float(e) for e in v) for k, v in (given.get(key) or {}).items()}
    out["noise"] = {k: float(v) for k, v in (given.get("noise") or {}).items()}
    out["labels"] = tuple(given["labels"])
    out["sizes"] = tuple(ALL if size == "all" else size for size in given.get("sizes", ["all"]))
    out["seeds"] = tuple(given.get("seeds", [0]))
    out["repeats"] = dict(given.get("repeats") or {})
    out["preprocess"] = pipeline(given.get("preprocess") or [])
    out["methods"] = {k: Entry.from_dict(k, v) for k, v in given["methods"].items()}
    return out


def _checked(suite: Suite) -> Suite:
    split = suite.split
    if strange := set(split) - SPLIT or ("folds" in split) == ("test" in split):
        raise ConfigError(
            f"split takes folds or test, with seed and stratify; received {dict(split)} "
            f"({strange})."
        )
    if split.get("test") == "all" and suite.training is None:
        raise ConfigError("To test all stars, others must be learnt from: give training, too.")
    if "folds" in split and suite.training is not None:
        raise ConfigError("With training of its own, split must be {test: all}, not folds.")
    if not all(isinstance(n, int) and n >= 0 for n in (*suite.sizes, *suite.seeds)):
        raise ConfigError(f"sizes and seeds are whole numbers; received {suite.sizes}.")
    if not suite.seeds or not all(
        isinstance(n, int) and n >= 1 and size in suite.sizes for size, n in suite.repeats.items()
    ):
        raise ConfigError(
            "seeds names one or more, and repeats a number of them from 1 up for some of the "
            f"sizes {list(suite.sizes)}; received {list(suite.seeds)} and {dict(suite.repeats)}."
        )
    for name, (low, high) in {**suite.select, **suite.learn}.items():
        if not low < high:
            raise ConfigError(f"Limits of {name} must ascend; received {low:g}, {high:g}.")
    learnt = set(suite.labels).union(*(entry.also for entry in suite.methods.values()))
    if strange := sorted(set(suite.noise) - learnt):
        raise ConfigError(
            f"noise names {', '.join(strange)}, which nothing learns; labels that are learnt are "
            f"{', '.join(sorted(learnt))}."
        )
    if wrong := [name for name, sigma in suite.noise.items() if not sigma >= 0]:
        raise ConfigError(f"noise of {', '.join(wrong)} must be 0 or more.")
    return suite


def _folder() -> Traversable:
    return resources.files("starnet") / "evaluate" / "bench" / "suites"
