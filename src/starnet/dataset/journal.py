"""The journal of a build: one line for each block of spectra that is safely in the store.

A line holds the number of spectra in the store after the block, the metadata and labels of the
block's spectra, the files they came from and whatever was dropped on the way. A build that was
killed goes on after the last whole line. When the build is finished the lines become columns.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

EXACT = 2**53  # the largest integer range that a float64 holds exactly


@dataclass
class JournalState:
    """What the journal says has been done.

    Parameters
    ----------
    n_rows : int
        Spectra in the store.
    ids : set of str
        Their names.
    files : set of str
        Files that need not be read again.
    kinds, units : dict
        Type (see `kind_of`) and unit of each column of metadata.
    matched_by : str or None
        Which name of a spectrum the label table's key was found to be.
    """

    n_rows: int = 0
    ids: set[str] = field(default_factory=set)
    files: set[str] = field(default_factory=set)
    kinds: dict[str, str] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    matched_by: str | None = None

    def add(self, record: Mapping[str, Any]) -> None:
        """Take one line into account."""
        columns = record["columns"]
        n_new = record["rows"] - self.n_rows
        before = self.n_rows > 0
        self.n_rows = record["rows"]
        self.ids.update(columns.get("id", ()))
        self.files.update(entry["path"] for entry in record["files"])
        self.units.update(record["units"])
        self.matched_by = record.get("matched_by") or self.matched_by
        if not n_new:
            return
        for name in {**columns, **self.kinds}:
            new = kind_of(columns[name]) if name in columns else "missing"
            old = self.kinds.get(name, "missing" if before else new)
            self.kinds[name] = joint_kind(old, new)


class Journal:
    """Lines of JSON in a file that only grows."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, record: Mapping[str, Any]) -> None:
        """Append one line."""
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(record, separators=(",", ":")) + "\n")

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The whole lines; a last line that was cut short is left out."""
        with self.path.open("rb") as stream:
            for line in stream:
                if not line.endswith(b"\n"):
                    return
                yield json.loads(line)

    def repair(self) -> None:
        """Cut off a last line that was not finished."""
        data_end = 0
        with self.path.open("rb") as stream:
            for line in stream:
                if line.endswith(b"\n"):
                    data_end += len(line)
        with self.path.open("r+b") as stream:
            stream.truncate(data_end)


def columns_of(table: Table) -> dict[str, list[Any]]:
    """Columns with one number or text for each row, as JSON takes them; None where masked."""
    out: dict[str, list[Any]] = {}
    for name in table.colnames:
        values = np.ma.asarray(getattr(table[name], "value", table[name]))
        if values.ndim != 1 or values.dtype.kind not in "biufSUOT":
            continue
        if values.dtype.kind == "S":
            values = np.ma.array(np.char.decode(values.filled(b""), "utf-8"), mask=values.mask)
        if values.dtype.kind in "OT":
            out[name] = [None if v is None or v is np.ma.masked else str(v) for v in values]
        else:
            out[name] = values.tolist()
    return out


def join_columns(parts: Sequence[Mapping[str, list[Any]]]) -> dict[str, list[Any]]:
    """The columns of several tables, one after the other; None where a table lacks a column."""
    out: dict[str, list[Any]] = {}
    n_before = 0
    for part in parts:
        n_rows = len(next(iter(part.values())))
        for name in {**out, **part}:
            values = part.get(name, [None] * n_rows)
            out.setdefault(name, [None] * n_before).extend(values)
        n_before += n_rows
    return out


def units_of(table: Table) -> dict[str, str]:
    """Units of the columns that have one."""
    units = {name: getattr(table[name], "unit", None) for name in table.colnames}
    return {name: unit.to_string() for name, unit in units.items() if unit is not None}


def kind_of(values: list[Any]) -> str:
    """``bool``, ``int``, ``big`` (an integer that no float64 holds), ``float`` or ``str``."""
    return reduce(joint_kind, {_kind(value) for value in values} or {"missing"})


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int" if abs(value) <= EXACT else "big"
    if value is None:
        return "missing"
    return "float" if isinstance(value, float) else "str"


def joint_kind(one: str, other: str) -> str:
    """The type that holds values of both; a missing number is NaN, a missing text is empty."""
    pair = {one, other}
    if len(pair) == 1:
        return one
    if pair == {"int", "big"}:
        return "big"
    if pair <= {"int", "float", "missing", "bool"}:
        return "float"
    return "str"


def typed(values: list[Any], kind: str) -> NDArray[Any]:
    """An array of a kind of values."""
    if kind in ("bool", "int", "big"):
        return np.array(values, dtype=bool if kind == "bool" else np.int64)
    if kind in ("float", "missing"):
        return np.array([np.nan if v is None else v for v in values], dtype=float)
    return np.array(["" if v is None else str(v) for v in values], dtype=str)
