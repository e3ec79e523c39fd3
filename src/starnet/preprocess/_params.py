"""Checks and conversions of parameters that several transforms share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from starnet.errors import ConfigError, GridError
from starnet.spectra import WavelengthGrid, air_to_vacuum, vacuum_to_air

Unit = Literal["pixel", "angstrom"]
Ranges = Sequence[tuple[float, float]] | tuple[float, float]
Interval = tuple[float, float] | float


def require(condition: bool | np.bool, owner: object, must: str, received: Any) -> None:
    """Raise a `ConfigError` unless the condition holds."""
    if not condition:
        raise ConfigError(f"{type(owner).__name__}: {must}; received {received!r}.")


def one_of(owner: object, value: Any, choices: Iterable[Any], name: str) -> None:
    """Raise a `ConfigError` unless the value is among the choices."""
    options = list(choices)
    require(value in options, owner, f"{name} must be one of {options}", value)


def number(owner: object, value: Any, name: str, low: float = -math.inf) -> float:
    """The value as a finite float above a limit."""
    fine = isinstance(value, int | float | np.number) and math.isfinite(value) and value > low
    limit = "finite" if low == -math.inf else f"finite and above {low:g}"
    require(fine, owner, f"{name} must be {limit}", value)
    return float(value)


def integer(owner: object, value: Any, name: str, low: int) -> int:
    """The value as an int at or above a limit."""
    fine = isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= low
    require(fine, owner, f"{name} must be an integer of at least {low}", value)
    return int(value)


def interval(owner: object, value: Any, name: str, low: float = 0.0) -> tuple[float, float]:
    """Two floats ``(first, last)`` with ``low <= first <= last``; one number means both."""
    pair = (value, value) if isinstance(value, int | float | np.number) else tuple(value)
    fine = len(pair) == 2 and all(math.isfinite(v) for v in pair) and low <= pair[0] <= pair[1]
    require(fine, owner, f"{name} must be (low, high) with {low:g} <= low <= high", value)
    return float(pair[0]), float(pair[1])


def as_ranges(owner: object, ranges: Any, unit: str) -> tuple[tuple[float, float], ...]:
    """Increasing, separate ``(start, stop)`` pairs; a single pair is taken as one range."""
    one_of(owner, unit, ("pixel", "angstrom"), "unit")
    try:
        single = np.ndim(ranges) == 1 and len(ranges) == 2
        pairs = [(float(a), float(b)) for a, b in ([ranges] if single else ranges)]
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"{type(owner).__name__}: ranges must be pairs (start, stop); received {ranges!r}."
        ) from error
    flat = [edge for pair in pairs for edge in pair]
    fine = all(a < b for a, b in pairs) and flat == sorted(flat) and bool(np.isfinite(flat).all())
    require(fine, owner, "ranges must be increasing and separate pairs (start, stop)", ranges)
    if unit == "pixel":
        whole = all(edge == int(edge) and edge >= 0 for edge in flat)
        require(whole, owner, "ranges of pixels must be whole and not negative", ranges)
        pairs = [(int(a), int(b)) for a, b in pairs]
    return tuple(pairs)


def pixel_ranges(
    grid: WavelengthGrid, ranges: Any, unit: str, medium: str | None
) -> list[tuple[int, int]]:
    """The ranges as pixel ``(start, stop)`` of a grid; empty ones are left out.

    Wavelength ranges hold the pixels whose centre is at or above the first and below the second
    number; they are converted if ``medium`` is given and differs from the grid's.

    Raises
    ------
    GridError
        If pixel ranges run out of the grid, or no pixel of the grid is in any range.
    """
    if unit == "pixel":
        if ranges and ranges[-1][1] > grid.n_pixels:
            raise GridError(
                f"Pixels up to {ranges[-1][1]:g} are asked for and the grid has only "
                f"{grid.n_pixels} ({grid.describe()}). These pixel ranges are for another grid: "
                "resample to it first, or give ranges in Angstrom."
            )
        return [(int(a), int(b)) for a, b in ranges]
    edges = np.asarray(ranges, dtype=float).reshape(-1, 2)
    if medium is not None and medium != grid.medium:
        edges = (air_to_vacuum if grid.medium == "vacuum" else vacuum_to_air)(edges)
    stops = np.searchsorted(grid.wavelength, edges)
    found = [(int(a), int(b)) for a, b in stops if a < b]
    if len(ranges) and not found:
        raise GridError(
            f"No pixel of the grid ({grid.describe()}) lies in the ranges "
            f"{[tuple(r) for r in ranges]} Angstrom. Check unit and limits of the ranges."
        )
    return found


def pixels_in(
    grid: WavelengthGrid, ranges: Any, unit: str, medium: str | None
) -> NDArray[np.bool_]:
    """Whether each pixel of the grid is in one of the ranges, shape (P,)."""
    inside = np.zeros(grid.n_pixels, dtype=bool)
    for a, b in pixel_ranges(grid, ranges, unit, medium):
        inside[a:b] = True
    return inside
