"""Turns the journal of a finished build into columns of the store, with flat memory."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from astropy.table import Column, Table

from starnet.dataset.journal import Journal, JournalState, joint_kind, typed
from starnet.dataset.layout import COLUMN_ROWS, DROPPED, create_array

FILE_KINDS = {"path": "str", "size": "int", "modified": "str", "n_spectra": "int"}
DROPPED_COLUMNS = ("name", "file", "reason", "detail", "key")
DTYPES: dict[str, Any] = {"bool": "bool", "int": "int64", "big": "int64", "float": "float64"}


def write_columns(
    group: zarr.Group,
    folder: Path,
    journal: Journal,
    state: JournalState,
    label_names: Sequence[str],
    dropped: Iterable[Mapping[str, str]] = (),
) -> None:
    """Metadata, labels, files and the list of what was dropped, from the lines of the journal."""
    shape = (state.n_rows, len(label_names))
    if label_names:
        for name in ("labels", "label_errors"):
            array = create_array(group, name, "float64", shape, COLUMN_ROWS)
            _fill(array, (record[name] for record in journal), "float")
    kinds = {name: _final(kind) for name, kind in state.kinds.items()}
    rows = group.require_group("rows")
    rows.attrs["columns"] = _stored_names(kinds)
    for (name, kind), stored in zip(kinds.items(), _stored_names(kinds).values(), strict=True):
        array = create_array(rows, stored, _dtype(kind), (state.n_rows,), COLUMN_ROWS)
        array.attrs["unit"] = state.units.get(name, "")
        _fill(array, _column(journal, name, state), kind)
    files = group.require_group("files")
    files.attrs["columns"] = _stored_names(FILE_KINDS)
    n_files = sum(len(record["files"]) for record in journal)
    for name, kind in FILE_KINDS.items():
        array = create_array(files, name, _dtype(kind), (n_files,), COLUMN_ROWS)
        array.attrs["unit"] = ""
        _fill(array, ([entry[name] for entry in r["files"]] for r in journal), kind)
    noted = (entry for record in journal for entry in record["dropped"])
    write_dropped(folder / DROPPED, chain(noted, dropped))


def read_columns(group: Any, names: Sequence[str] | None = None) -> Table:
    """A table of some columns of a group (``rows`` or ``files``), by default of all."""
    table = Table()
    stored = group.attrs["columns"]
    for name in stored if names is None else names:
        array = group[stored[name]]
        values = np.asarray(array[:])
        text = values.dtype.kind in "TO"
        unit = array.attrs["unit"] or None
        table[name] = Column(np.array(values.tolist(), dtype=str) if text else values, unit=unit)
    return table


def write_dropped(path: Path, entries: Iterable[Mapping[str, str]]) -> None:
    """The list of what was dropped, as ECSV; written line by line, for it may be long."""
    empty = Table({name: np.array([], dtype=str) for name in DROPPED_COLUMNS})
    head = io.StringIO()
    empty.write(head, format="ascii.ecsv", delimiter=",")
    with path.open("w", encoding="utf-8", newline="") as stream:
        stream.write(head.getvalue())
        lines = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL)
        lines.writerows([entry.get(n, "") for n in DROPPED_COLUMNS] for entry in entries)


def read_dropped(path: Path) -> Table:
    """The inverse of `write_dropped`."""
    table = Table.read(path, format="ascii.ecsv")
    texts = {name: np.ma.filled(table[name], "").astype(str) for name in table.colnames}
    return Table(texts)


def dropped_reasons(path: Path) -> Iterator[str]:
    """The reason of each entry of the list of what was dropped, line by line."""
    with path.open(encoding="utf-8", newline="") as stream:
        lines = csv.DictReader(line for line in stream if not line.startswith("# "))
        yield from (entry["reason"] for entry in lines)


def _column(journal: Journal, name: str, state: JournalState) -> Iterator[list[Any]]:
    start = 0
    for record in journal:
        n_new, start = record["rows"] - start, record["rows"]
        yield record["columns"].get(name, [None] * n_new)


def _fill(array: Any, parts: Iterable[list[Any]], kind: str) -> None:
    """Write lists of values one after the other, a whole chunk of the array at a time."""
    start, waiting = 0, []
    for part in parts:
        waiting.extend(part)
        while len(waiting) >= COLUMN_ROWS:
            array[start : start + COLUMN_ROWS] = _values(waiting[:COLUMN_ROWS], kind)
            del waiting[:COLUMN_ROWS]
            start += COLUMN_ROWS
    if waiting:
        array[start : start + len(waiting)] = _values(waiting, kind)


def _values(values: list[Any], kind: str) -> Any:
    nested = bool(values) and isinstance(values[0], list)
    return np.array(values, dtype=float) if nested else typed(values, kind)


def _final(kind: str) -> str:
    return joint_kind("float", kind) if kind == "missing" else kind


def _dtype(kind: str) -> Any:
    return DTYPES.get(kind, str)


def _stored_names(names: Iterable[str]) -> dict[str, str]:
    """Names of the arrays of columns: letters, digits and ``_-+``, each once."""
    out: dict[str, str] = {}
    for name in names:
        plain = "".join(c if c.isalnum() or c in "_-+" else "_" for c in name) or "_"
        while plain.lower() in {used.lower() for used in out.values()}:
            plain += "_"
        out[name] = plain
    return out
