"""The contract of samplers: an endless row of stars to make, the same each time.

    sampler = Sampler.from_dict({"sampler": "sobol", "seed": 1, "labels": {...}})
    labels = sampler.draw(1000, accept)

A member gives candidates. Which of them are taken is decided here: those that lie outside what
the atmospheres cover are left out and the row closes up, so the accepted stars of a larger draw
begin with those of a smaller one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from starnet.errors import ConfigError, LabelError
from starnet.library.rules import Rule, rule_from
from starnet.spectra import Labels
from starnet.synthesis.composition import ELEMENTS

Array = NDArray[Any]
Accept = Callable[[Labels], NDArray[np.bool_]]
"""Says of N stars which can be made, shape (N,)."""
T = TypeVar("T", bound="type[Sampler]")

BLOCK = 1024
"""Candidates that are drawn together; a power of 2, for Sobol's sequence."""
TRIES = 200
"""Candidates for each star wanted (and for each star of a first block), then the draw gives up."""
METALS = ("fe_h", "m_h")
OVERALL = (*METALS, "alpha_m", "alpha_fe")
FIRST = ("teff", "logg", *OVERALL, "vmic", "vmac", "vsini")
SAMPLERS: dict[str, type[Sampler]] = {}
"""Every sampler by its name in a plan."""


def register(cls: T) -> T:
    """Class decorator: enter a sampler by its name."""
    SAMPLERS[cls.kind] = cls
    return cls


@dataclass(frozen=True, kw_only=True)
class Sampler(ABC):
    """Draws the labels of stars. Frozen, by name and parameters.

    A sampler shall yield the same candidates each time it is asked, whatever was drawn before,
    and shall draw from no generator but those that follow from ``seed``.

    Parameters
    ----------
    labels : mapping of label to rule
        Labels that are drawn by rules (`starnet.library.rules`), after those that the member
        itself draws. Abundances ``x_fe`` and ``x_h`` among them vary independently. Their order
        in the mapping does not matter: they are put in one of their own.
    single : float
        Fraction of the stars in which exactly one of these abundances varies, by its rule, and
        the others are at the centre of theirs (solar proportions for a box, the line of a
        trend): from such stars a network learns which lines are whose.
    seed : int
    """

    kind: ClassVar[str]
    labels: Mapping[str, Rule] = field(default_factory=dict)
    single: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.labels, Mapping):
            raise ConfigError(f"labels must give a rule to each label; received {self.labels!r}.")
        rules = {str(name): rule_from(rule, str(name)) for name, rule in self.labels.items()}
        object.__setattr__(self, "labels", self._ordered(rules))
        if not isinstance(self.seed, int) or self.seed < 0:
            raise ConfigError(f"seed must be a whole number of at least 0; received {self.seed!r}.")
        if not isinstance(self.single, int | float) or not 0 <= self.single <= 1:
            raise ConfigError(f"single must be a fraction from 0 to 1; received {self.single!r}.")
        if self.single and not self.elements:
            raise ConfigError(
                "single stars vary one abundance alone, and labels has none (such as mg_fe). Name "
                "some, or leave single at 0."
            )

    @property
    @abstractmethod
    def own(self) -> tuple[str, ...]:
        """Names of the labels that the member draws without a rule."""

    @abstractmethod
    def candidates(self) -> Iterator[Array]:
        """Endless blocks of label values, each (BLOCK, L) in the order of `names`.

        A value that is NaN makes its star no candidate.
        """

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the L labels."""
        return (*self.own, *self.labels)

    @property
    def elements(self) -> tuple[str, ...]:
        """The labels drawn by rules that are abundances of one element."""
        return tuple(n for n in self.labels if n.endswith(("_fe", "_h")) and n not in OVERALL)

    def draw(self, n: int, accept: Accept | None = None) -> Labels:
        """Labels of the first n stars; those of a larger draw begin with the same ones.

        Parameters
        ----------
        n : int
        accept : callable, optional
            Which stars can be made. Others are left out.

        Raises
        ------
        ConfigError
            If n is not positive.
        LabelError
            If almost no candidate is accepted.
        """
        if not isinstance(n, int | np.integer) or n < 1:
            raise ConfigError(f"A draw needs at least one star; received n = {n!r}.")
        kept: list[Array] = []
        have = seen = 0
        for block in self.candidates():
            labels = Labels(self.names, block)
            good = labels.complete
            if accept is not None and good.any():
                good[good] = np.asarray(accept(labels[good]), dtype=bool)
            kept.append(block[good])
            have, seen = have + int(good.sum()), seen + len(block)
            if have >= n:
                break
            if seen >= TRIES * (have + BLOCK):
                raise LabelError(self._barren(have, seen))
        return Labels(self.names, np.concatenate(kept)[:n])

    def filled(self, own: Mapping[str, Array], u: Array) -> Array:
        """All labels (N, L), from the member's own and even random numbers (N, 1 + rules).

        The first of the random numbers says whether a star is single, and which element varies.
        """
        values = dict(own)
        varies = np.full(len(u), -1)
        if self.single:
            place = np.floor(u[:, 0] / self.single * len(self.elements)).astype(int)
            varies = np.where(u[:, 0] < self.single, place, -1)
        for i, (name, rule) in enumerate(self.labels.items(), start=1):
            drawn = rule.value(u[:, i], values)
            if name in self.elements:
                alone = (varies < 0) | (varies == self.elements.index(name))
                drawn = np.where(alone, drawn, rule.centre(self._scaled(name, values), values))
            values[name] = drawn
        return np.stack([values[name] for name in self.names], axis=1)

    def _scaled(self, name: str, values: Mapping[str, Array]) -> Array:
        """The label in solar proportions."""
        metal = next((values[m] for m in METALS if m in values), None)
        some = next(iter(values.values()))
        return np.zeros_like(some) if metal is None or name.endswith("_fe") else metal

    def _ordered(self, rules: Mapping[str, Rule]) -> dict[str, Rule]:
        """Rules as they are drawn: in the usual order of labels, what others need before them."""
        if twice := [name for name in rules if name in self.own]:
            raise ConfigError(f"The label {twice[0]!r} is drawn twice; leave its rule out.")
        waiting, known, out = sorted(rules, key=_place), set(self.own), {}
        while waiting:
            ready = [name for name in waiting if known.issuperset(rules[name].needs())]
            if not ready:
                name = waiting[0]
                raise ConfigError(
                    f"The rule of {name} needs {', '.join(rules[name].needs())}, which cannot be "
                    f"drawn before it; there are {', '.join((*self.own, *rules))}."
                )
            out[ready[0]] = rules[ready[0]]
            known.add(ready[0])
            waiting.remove(ready[0])
        return out

    def _barren(self, have: int, seen: int) -> str:
        return (
            f"Of {seen} stars that the sampler {self.kind!r} drew, {have} lie where they can be "
            "made. Bring its labels within what the atmospheres and the plan's region cover."
        )

    def to_dict(self) -> dict[str, Any]:
        """``{"sampler": name, parameter: value, ...}``, ready for YAML and JSON."""
        values = {f.name: _plain(getattr(self, f.name)) for f in fields(self)}
        return {"sampler": self.kind, **values}

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Sampler:
        """The inverse of `to_dict`, for any sampler.

        Raises
        ------
        ConfigError
            If there is no sampler of that name, or it has no such parameter.
        """
        values = dict(data) if isinstance(data, Mapping) else {}
        kind = values.pop("sampler", None)
        if kind not in SAMPLERS:
            raise ConfigError(f"There is no sampler {kind!r}; there are {', '.join(SAMPLERS)}.")
        known = [f.name for f in fields(SAMPLERS[kind])]
        if strange := [key for key in values if key not in known]:
            raise ConfigError(
                f"The sampler {kind!r} has no parameter {', '.join(strange)}; it has "
                f"{', '.join(known)}."
            )
        try:
            return SAMPLERS[kind](**values)
        except TypeError as error:
            raise ConfigError(f"The sampler {kind!r} is spelled wrongly: {error}.") from error


def _place(name: str) -> tuple[int, int, str]:
    """Where a label stands among others: parameters, then elements as in the periodic table."""
    if name in FIRST:
        return 0, FIRST.index(name), name
    symbol, _, per = name.rpartition("_")
    known = per in ("h", "fe") and symbol.capitalize() in ELEMENTS
    return 1, ELEMENTS.index(symbol.capitalize()) if known else len(ELEMENTS), name


def pairs(value: Any, what: str) -> dict[str, tuple[float, float]]:
    """A mapping of label to (low, high), checked."""
    try:
        out = {str(name): (float(low), float(high)) for name, (low, high) in dict(value).items()}
    except (TypeError, ValueError):
        out = {"": (1.0, 0.0)}
    if any(not low < high for low, high in out.values()):
        raise ConfigError(f"{what} must give (low, high), low < high, by label; received {value}.")
    return out


def widths(value: Any, defaults: Mapping[str, float], names: Sequence[str]) -> Array:
    """Widths of a kernel for labels of these names, from a mapping with some of them."""
    given = dict(value) if isinstance(value, Mapping) else {"?": value}
    if strange := [name for name in given if name not in names]:
        raise ConfigError(
            f"smooth gives a width to {', '.join(map(str, strange))}, which are not among "
            f"{', '.join(names)}."
        )
    out = [given.get(name, defaults.get(name, 0.0)) for name in names]
    if not all(isinstance(v, int | float) and 0 <= v < np.inf for v in out):
        raise ConfigError(f"smooth must give numbers of at least 0; received {value!r}.")
    return np.array(out, dtype=float)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value.to_dict() if isinstance(value, Rule) else value
