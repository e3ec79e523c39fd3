"""Stars sorted by signal to noise and labels, to see whether errors hold for all kinds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starnet.errors import ConfigError

EDGES: Mapping[str, tuple[float, ...]] = {
    "snr": (0.0, 40.0, 80.0, 150.0, np.inf),
    "teff": (0.0, 4500.0, 5000.0, 6000.0, np.inf),
    "fe_h": (-np.inf, -1.0, -0.5, 0.0, np.inf),
}
"""Where strata begin and end: signal to noise, K, dex."""
LEAST = 20
"""Stars from which on a stratum says something of coverage."""
LEAST_PAIRS = 10
"""Pairs of visits from which on it says something of their scatter."""
NAMES = {"snr": "S/N", "teff": "Teff", "fe_h": "[Fe/H]"}


@dataclass(frozen=True, eq=False)
class Stratum:
    """Some of N rows.

    Parameters
    ----------
    by : str
        What they are sorted by: ``snr``, a label, or ``all``.
    low, high : float
        Values from ``low`` to below ``high``.
    rows : array (N,) of bool
        Which they are.
    """

    by: str
    low: float
    high: float
    rows: NDArray[np.bool_]

    @property
    def title(self) -> str:
        """Such as "S/N 40 to 80"."""
        if self.by == "all":
            return "all"
        name = NAMES.get(self.by, self.by)
        if np.isinf(self.low) or (self.low <= 0 and self.by in ("snr", "teff")):
            return f"{name} below {self.high:g}"
        if np.isinf(self.high):
            return f"{name} above {self.low:g}"
        return f"{name} {self.low:g} to {self.high:g}".replace("-", "−")


def strata(
    columns: Mapping[str, ArrayLike],
    edges: Mapping[str, Sequence[float]] | None = None,
    *,
    least: int = LEAST,
) -> tuple[Stratum, ...]:
    """All rows together, and those between two edges for each column that has edges.

    Parameters
    ----------
    columns : mapping of str to array (N,)
        Signal to noise and labels; where a value is NaN the row is in no stratum of it.
    edges : mapping, optional
        Ascending edges by column. Default: `EDGES`.
    least : int
        Strata of fewer rows are left out.

    Raises
    ------
    ConfigError
        If edges do not ascend, or there is no column.
    """
    values = {name: np.asarray(column, dtype=float) for name, column in columns.items()}
    if not values:
        raise ConfigError("Strata need at least one column, such as snr or teff.")
    n = next(iter(values.values())).size
    out = [Stratum("all", -np.inf, np.inf, np.ones(n, dtype=bool))]
    for name, ends in (EDGES if edges is None else edges).items():
        if len(ends) < 2 or not np.all(np.diff(np.asarray(ends, dtype=float)) > 0):
            raise ConfigError(f"Edges of {name} must ascend; received {list(ends)}.")
        for low, high in pairwise(ends):
            if name in values:
                rows = (values[name] >= low) & (values[name] < high)
                out.append(Stratum(name, float(low), float(high), rows))
    return tuple(s for s in out if s.by == "all" or np.count_nonzero(s.rows) >= least)
