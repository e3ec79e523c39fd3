"""Rules: how one label of a star is drawn, given an even random number and the labels before it.

In a plan a rule is a number (always that), a pair (even between two numbers), or a mapping with
``rule: box | trend | vmic`` and its parameters.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from starnet.errors import ConfigError
from starnet.synthesis.composition import vmic_relation

Array = NDArray[Any]
Known = Mapping[str, Array]
"""Labels that were drawn before, (N,) each."""


class Rule(ABC):
    """How a label is drawn. A rule shall be a function of its arguments alone, without state."""

    name: ClassVar[str]

    @abstractmethod
    def value(self, u: Array, known: Known) -> Array:
        """The label (N,) for numbers ``u`` that are even between 0 and 1, (N,)."""

    def needs(self) -> tuple[str, ...]:
        """Labels that must be drawn before."""
        return ()

    def centre(self, scaled: Array, known: Known) -> Array:
        """The label (N,) of a star in which it does not vary.

        Parameters
        ----------
        scaled : array (N,)
            What the label is in a gas of solar proportions.
        """
        return scaled

    def to_dict(self) -> dict[str, Any]:
        """The rule as YAML and JSON hold it."""
        return {"rule": self.name, **{k: _plain(v) for k, v in asdict(self).items()}}  # type: ignore[call-overload]


@dataclass(frozen=True)
class Box(Rule):
    """Even between two numbers.

    Parameters
    ----------
    low, high : float
        Equal for a label that is the same in every star.
    """

    name = "box"
    low: float
    high: float

    def __post_init__(self) -> None:
        if not (_finite(self.low, self.high) and self.low <= self.high):
            raise ConfigError(
                f"A box needs two finite numbers, low <= high; received {self.low!r}, "
                f"{self.high!r}."
            )

    def value(self, u: Array, known: Known) -> Array:
        return self.low + (self.high - self.low) * u

    def centre(self, scaled: Array, known: Known) -> Array:
        return np.clip(scaled, self.low, self.high)


@dataclass(frozen=True)
class Trend(Rule):
    """Normal about a line through nodes of another label; constant beyond the nodes.

    Parameters
    ----------
    nodes : sequence of (x, y)
        At least one, x rising.
    of : str
        The label that is x.
    scatter : float
        Standard deviation.
    limits : (low, high)
        The normal distribution is cut there; None for an open end.
    """

    name = "trend"
    nodes: tuple[tuple[float, float], ...]
    of: str = "fe_h"
    scatter: float = 0.0
    limits: tuple[float, float] = (-math.inf, math.inf)

    def __post_init__(self) -> None:
        try:
            nodes = tuple((float(x), float(y)) for x, y in self.nodes)
        except (TypeError, ValueError):
            nodes = ()
        x = [node[0] for node in nodes]
        if not nodes or not _finite(*np.ravel(nodes)) or x != sorted(set(x)):
            raise ConfigError(
                f"A trend needs nodes (x, y) of finite numbers with x rising; received "
                f"{self.nodes!r}."
            )
        object.__setattr__(self, "nodes", nodes)
        _check_scatter(self.scatter)
        object.__setattr__(self, "limits", _limits(self.limits))

    def needs(self) -> tuple[str, ...]:
        return (self.of,) if len(self.nodes) > 1 else ()

    def _line(self, known: Known, n: int) -> Array:
        x, y = np.array(self.nodes).T
        return np.interp(known[self.of], x, y) if len(x) > 1 else np.full(n, y[0])

    def value(self, u: Array, known: Known) -> Array:
        return cut_normal(u, self._line(known, u.size), self.scatter, *self.limits)

    def centre(self, scaled: Array, known: Known) -> Array:
        return np.clip(self._line(known, scaled.size), *self.limits)


@dataclass(frozen=True)
class Vmic(Rule):
    """Microturbulence by the relation of giants with log g (`vmic_relation`), with scatter.

    Parameters
    ----------
    scatter : float
        Standard deviation in dex.
    limits : (low, high)
        km/s; low is above 0. The relation holds for giants: it falls to 0.3 km/s at log g 5.
    """

    name = "vmic"
    scatter: float = 0.05
    limits: tuple[float, float] = (0.3, 5.0)

    def __post_init__(self) -> None:
        _check_scatter(self.scatter)
        limits = _limits(self.limits)
        if not limits[0] > 0:
            raise ConfigError(f"Limits of vmic must be above 0 km/s; received {self.limits!r}.")
        object.__setattr__(self, "limits", limits)

    def needs(self) -> tuple[str, ...]:
        return ("logg",)

    def value(self, u: Array, known: Known) -> Array:
        middle = np.log10(np.clip(vmic_relation(known["logg"]), *self.limits))
        return 10.0 ** cut_normal(u, middle, self.scatter, *np.log10(self.limits))


def cut_normal(u: Array, middle: Array, scatter: float, low: float, high: float) -> Array:
    """A normal distribution cut at both ends, by the inverse of its cumulative distribution."""
    if not scatter > 0:
        return np.clip(middle, low, high)
    a, b = ndtr((low - middle) / scatter), ndtr((high - middle) / scatter)
    return np.clip(middle + scatter * ndtri(a + (b - a) * u), low, high)


RULES: Mapping[str, type[Rule]] = {rule.name: rule for rule in (Box, Trend, Vmic)}
"""Every rule by its name in a plan."""


def rule_from(data: Any, label: str = "label") -> Rule:
    """A rule as it is spelled in a plan.

    Raises
    ------
    ConfigError
        If it is no rule, or has other parameters.
    """
    if isinstance(data, Rule):
        return data
    if _finite(data):
        data = {"rule": "box", "low": float(data), "high": float(data)}
    elif isinstance(data, list | tuple) and len(data) == 2 and _finite(*data):
        data = {"rule": "box", "low": float(data[0]), "high": float(data[1])}
    if not isinstance(data, Mapping) or data.get("rule") not in RULES:
        raise ConfigError(
            f"{label} takes a number, a pair (low, high), or a mapping with rule: "
            f"{', '.join(RULES)}; received {data!r}."
        )
    try:
        return RULES[data["rule"]](**{k: v for k, v in data.items() if k != "rule"})
    except TypeError as error:
        raise ConfigError(
            f"{label}: the rule {data['rule']} is spelled wrongly ({error})."
        ) from error
    except ConfigError as error:
        raise ConfigError(f"{label}: {error}") from error


def _finite(*values: Any) -> bool:
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    return numbers and all(math.isfinite(v) for v in values)


def _check_scatter(scatter: Any) -> None:
    if not _finite(scatter) or scatter < 0:
        raise ConfigError(f"scatter must be a number of at least 0; received {scatter!r}.")


def _limits(limits: Any) -> tuple[float, float]:
    try:
        low, high = limits
        low = -math.inf if low is None else float(low)
        high = math.inf if high is None else float(high)
    except (TypeError, ValueError):
        low, high = math.nan, math.nan
    if not low < high:
        raise ConfigError(f"limits must be (low, high) with low < high; received {limits!r}.")
    return low, high


def _plain(value: Any) -> Any:
    """Lists for tuples, None for infinity, as JSON has them."""
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and math.isinf(value) else value
