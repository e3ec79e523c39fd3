"""Checks of parameters, and descriptions as JSON, for the frozen values of this room."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Self

import numpy as np

from starnet.errors import ConfigError

Interval = tuple[float, float] | float


class Described:
    """A frozen dataclass of plain parameters that goes to JSON and comes back."""

    def to_dict(self) -> dict[str, Any]:
        """Every parameter by its name, ready for JSON."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}  # type: ignore[arg-type]

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`.

        Raises
        ------
        ConfigError
            If there is a parameter that this value does not have.
        """
        known = [f.name for f in fields(cls)]  # type: ignore[arg-type]
        strange = [key for key in data if key not in known]
        if strange:
            raise ConfigError(
                f"{cls.__name__} has no parameter {', '.join(strange)}; it has {', '.join(known)}."
            )
        return cls(**{key: _tuples(value) for key, value in data.items()})


def require(condition: Any, owner: str, must: str, received: Any) -> None:
    """Raise a `ConfigError` unless the condition holds."""
    if not condition:
        raise ConfigError(f"{owner}: {must}; received {received!r}.")


def number(owner: str, name: str, value: Any, low: float = 0.0, high: float = math.inf) -> None:
    """Raise a `ConfigError` unless the value is a finite number within its limits."""
    fine = isinstance(value, int | float | np.number) and math.isfinite(value)
    limits = f"at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
    require(fine and low <= value <= high, owner, f"{name} must be finite, {limits}", value)


def interval(owner: str, name: str, value: Any, *, positive: bool) -> tuple[float, float]:
    """Two floats ``(low, high)``; one number means both."""
    pair = (value, value) if isinstance(value, int | float | np.number) else tuple(value)
    fine = len(pair) == 2 and all(math.isfinite(v) for v in pair) and 0 <= pair[0] <= pair[1]
    fine = fine and (pair[0] > 0 or not positive)
    limit = "0 <" if positive else "0 <="
    require(fine, owner, f"{name} must be a number or (low, high) with {limit} low <= high", value)
    return float(pair[0]), float(pair[1])


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return value.to_dict() if hasattr(value, "to_dict") else value


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list | tuple) else value
