"""Stars drawn from a table of real ones, smoothed, and spread more evenly if wanted."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from starnet.dataset.table import label_name
from starnet.errors import ConfigError, LabelError
from starnet.library.sampler import BLOCK, Sampler, pairs, register, widths
from starnet.spectra import Labels

Array = NDArray[Any]
COLUMNS = ("teff", "logg", "fe_h")
SMOOTH = {"teff": 50.0, "logg": 0.1, "fe_h": 0.05, "m_h": 0.05}
"""Standard deviation of the kernel by label; 0 for others."""
NEIGHBOURS = 16
"""The density about a star is taken from the distance to this one of its neighbours."""
HEAVIEST = 100.0
"""Most times that flattening may prefer a star to the median one: outliers stay outliers."""


@register
@dataclass(frozen=True, kw_only=True)
class TableSampler(Sampler):
    """Rows of a label table, each blurred by a normal kernel; other labels by rules.

    Parameters
    ----------
    path : path
        Any table that astropy reads: CSV, ECSV, FITS, VOTable, columns of text.
    columns : sequence of label, or mapping of label to column
        What to take from it. Usual spellings of a label (``[Fe/H]``, ``TEFF``) are understood
        without a mapping.
    smooth : mapping of label to float
        Standard deviation of the kernel. Default: `SMOOTH`.
    flatten : float
        From 0, as in the table, to 1, about evenly wherever the table has stars: rows are drawn
        in proportion to the table's density to the power of minus this.
    bounds : mapping of label to (low, high)
        Only rows, and stars, within.
    labels, single, seed
        See `Sampler`.
    """

    kind = "table"
    path: str
    columns: tuple[str, ...] | Mapping[str, str] = COLUMNS
    smooth: Mapping[str, float] = field(default_factory=dict)
    flatten: float = 0.0
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", str(self.path))
        if not isinstance(self.columns, Mapping):
            object.__setattr__(self, "columns", tuple(self.columns))
        super().__post_init__()
        object.__setattr__(self, "bounds", pairs(self.bounds, "bounds"))
        widths(self.smooth, SMOOTH, self.own)
        if strange := [name for name in self.bounds if name not in self.own]:
            raise ConfigError(
                f"bounds are for what the table gives ({', '.join(self.own)}), not for "
                f"{', '.join(strange)}; give that another rule."
            )
        if not isinstance(self.flatten, int | float) or not 0 <= self.flatten <= 1:
            raise ConfigError(f"flatten must be a number from 0 to 1; received {self.flatten!r}.")

    @property
    def own(self) -> tuple[str, ...]:
        return tuple(self.columns)

    @cached_property
    def rows(self) -> Array:
        """The table's complete rows within the bounds, (N, columns)."""
        values = _read(Path(self.path), self.columns)
        good = np.all(np.isfinite(values), axis=1) & self._within(values)
        if not good.any():
            raise LabelError(
                f"{self.path} has no row with all of {', '.join(self.own)} within the bounds; it "
                f"has {len(values)} rows. Widen the bounds or take other columns."
            )
        return values[good]

    def candidates(self) -> Iterator[Array]:
        kernel = widths(self.smooth, SMOOTH, self.own)
        reach = np.cumsum(flat_weights(self.rows, self.flatten))
        for number in range(2**30):
            rng = np.random.default_rng([self.seed, number])
            chosen = np.searchsorted(reach, rng.random(BLOCK) * reach[-1], side="right")
            values = self.rows[np.minimum(chosen, len(self.rows) - 1)]
            values = values + kernel * rng.standard_normal(values.shape)
            values[~self._within(values)] = np.nan
            own = dict(zip(self.own, values.T, strict=True))
            yield self.filled(own, rng.random((BLOCK, 1 + len(self.labels))))

    def _within(self, values: Array) -> NDArray[np.bool_]:
        inside = np.ones(len(values), dtype=bool)
        for name, (low, high) in self.bounds.items():
            column = values[:, self.own.index(name)]
            inside &= (column >= low) & (column <= high)
        return inside


def flat_weights(rows: Array, flatten: float) -> Array:
    """Weight of each row (N,): the density of rows to the power of ``-flatten``.

    The density is that of neighbours, in units of the middle 68 % of each label.
    """
    if not flatten or len(rows) <= NEIGHBOURS:
        return np.ones(len(rows))
    from scipy.spatial import KDTree

    low, high = np.percentile(rows, (16, 84), axis=0)
    points = rows / np.where(high > low, high - low, 1.0)
    distance, _ = KDTree(points).query(points, k=NEIGHBOURS)
    volume = np.maximum(distance[:, -1], 1e-6) ** rows.shape[1]
    volume = np.clip(volume / np.median(volume), 1 / HEAVIEST, HEAVIEST)
    return volume**flatten


def _read(path: Path, columns: tuple[str, ...] | Mapping[str, str]) -> Array:
    """Columns of a table as labels (N, columns), NaN where missing."""
    table = read_any(path)
    spelled: dict[str, list[str]] = {}
    for column in table.colnames:
        spelled.setdefault(label_name(column), []).append(column)
    tidy = Table()
    for name in columns:
        given = columns[name] if isinstance(columns, Mapping) else name
        found = [given] if given in table.colnames else spelled.get(given, [])
        if len(found) != 1:
            raise LabelError(
                f"{path} has {len(found) or 'no'} columns for {name!r}; it has "
                f"{', '.join(table.colnames[:30])}. Say which: columns: {{{name}: COLUMN}}."
            )
        tidy[name] = table[found[0]]
    return np.array(Labels.from_table(tidy, list(columns)).values)


def read_any(path: Path) -> Table:
    """A table in any format that astropy reads, by its suffix or else as columns of text.

    Raises
    ------
    LabelError
        If it is not there, cannot be read, or has no rows.
    """
    if not path.is_file():
        raise LabelError(f"The label table {path} does not exist or is not a file; check the path.")
    form = {".csv": "ascii.csv", ".tsv": "ascii.tab", ".txt": "ascii", ".dat": "ascii"}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table: Any = Table.read(path, format=form.get(path.suffix.lower()))
    except Exception as error:  # the parsers raise anything at all on a damaged file
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise LabelError(
            f"The label table {path} cannot be read ({reason}). Give CSV, ECSV, FITS, VOTable or "
            "columns of text, with a suffix that says which."
        ) from error
    if not len(table):
        raise LabelError(f"The label table {path} has no rows; one for each star is needed.")
    return table
