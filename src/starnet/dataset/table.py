"""Label tables: which label goes with which star, whatever the table's format."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from starnet.dataset.formats import open_table
from starnet.errors import ConfigError, LabelError
from starnet.spectra import KNOWN, Labels

Duplicates = Literal["error", "first"]
COMMON_KEYS = ("star", "id", "file", "apogee_id", "star_id", "sobject_id", "name")


@dataclass(frozen=True, eq=False)
class LabelTable:
    """Labels under the names of their stars (or spectra, or files).

    Parameters
    ----------
    keys : array (N,)
        Names, each once.
    labels : Labels
        Their labels, in the same order.
    source : str
        Where they come from, for messages and provenance.
    left_out : tuple of (key, reason, detail)
        Rows of the table that are not among them.
    """

    keys: NDArray[np.str_]
    labels: Labels
    source: str = "table"
    left_out: tuple[tuple[str, str, str], ...] = ()
    _rows: dict[str, int] = field(init=False, repr=False)
    _numbers: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        names = self.keys.tolist()
        rows = {name: i for i, name in enumerate(names)}
        if len(rows) != len(names) or len(self.labels) != len(names):
            raise LabelError(f"A label table needs one row of labels for each of {len(rows)} keys.")
        numbers: dict[str, int] = {}
        for name, i in rows.items():
            if name.isdecimal():
                number = _number(name)
                # Two keys for one number ("1" and "01"): neither stands for it.
                numbers[number] = -1 if number in numbers else i
        object.__setattr__(self, "_rows", rows)
        object.__setattr__(self, "_numbers", numbers)

    def __len__(self) -> int:
        return self.keys.size

    def row_of(self, name: str) -> int:
        """Row of a name, -1 where there is none.

        Names are compared as text without surrounding blanks; whole numbers also by value, so
        that a key 272 is found for a star ``0272``, unless two keys have that value.
        """
        name = name.strip()
        row = self._rows.get(name)
        if row is None and name.isdecimal():
            row = self._numbers.get(_number(name))
        return -1 if row is None else row

    @classmethod
    def read(
        cls,
        table: str | Path | Table | LabelTable,
        key: str = "star",
        names: Sequence[str] | None = None,
        *,
        rename: Mapping[str, str] | None = None,
        duplicates: Duplicates = "error",
    ) -> LabelTable:
        """From a file or a table.

        Parameters
        ----------
        table : path, Table or LabelTable
            CSV, ECSV, FITS or Parquet by their suffix; any other suffix is read as columns of
            text between blanks, under a header line that may start with ``#``.
        key : str
            Column that names the star, the spectrum or its file.
        names : sequence of str, optional
            Labels to read, for example ``("teff", "logg", "fe_h")``. Default: every column that
            is a label StarNet knows, save ``rv``, which is no property of a star's spectrum.
        rename : mapping, optional
            Column for a label where its name is another: ``{"fe_h": "M_H"}``. Upper or lower
            case and the usual spellings (``[Fe/H]``, ``log g``, ``e_Teff``, ``TEFF_ERR``) are
            understood without it.
        duplicates : "error" or "first"
            What to do with rows that have the same key and other labels. Rows that are the same
            in full are always merged.

        Raises
        ------
        LabelError
            If the table cannot be read, has no such column, or keys repeat with other labels.
        ConfigError
            If ``duplicates`` is another word.
        """
        if isinstance(table, LabelTable):
            return table
        if duplicates not in ("error", "first"):
            raise ConfigError(f'duplicates must be "error" or "first"; received {duplicates!r}.')
        source = "the label table" if isinstance(table, Table) else str(table)
        columns, load = open_table(table)
        chosen = _choose(columns, source, key, names, rename or {})
        loaded = load(list(dict.fromkeys(chosen.values())), chosen["key"])
        wanted = [name for name in chosen if name != "key" and not name.endswith("_err")]
        tidy = Table()
        for name, column in chosen.items():
            tidy[name] = loaded[column]
        if not len(tidy):
            raise LabelError(f"{source} has no rows; a row of labels for each star is needed.")
        try:
            labels = Labels.from_table(tidy, wanted)
        except LabelError as error:
            raise LabelError(f"{source}: {error}") from error
        return _unique(_texts(tidy["key"]), labels, source, duplicates)


def _number(name: str) -> str:
    return name.lstrip("0") or "0"


def label_name(column: str) -> str:
    """The label that a column's name is a usual spelling of.

    >>> label_name("[Mg/Fe]"), label_name("log g"), label_name("e_Teff"), label_name("LOGG_ERR")
    ('mg_fe', 'logg', 'teff_err', 'logg_err')
    """
    name = column.strip().lower()
    error = re.fullmatch(r"e_(.+)|(.+)_(?:err|error)", name)
    if error:
        return label_name(error.group(1) or error.group(2)) + "_err"
    name = re.sub(r"^\[?(\w+)/(\w+)\]?$", r"\1_\2", name)
    if re.fullmatch(r"log[ _(]?g\)?", name):
        return "logg"
    return {"feh": "fe_h", "t_eff": "teff", "mh": "m_h"}.get(name, name)


def _choose(
    columns: Sequence[str],
    source: str,
    key: str,
    names: Sequence[str] | None,
    rename: Mapping[str, str],
) -> dict[str, str]:
    """Column of the table for ``key``, for each label and for each label's error."""
    has = f"it has {', '.join(columns[:30])}{' and more' if len(columns) > 30 else ''}"
    if _find(columns, key) is None:
        likely = [c for c in columns if c.lower() in COMMON_KEYS]
        hint = f" {likely[0]!r} may be the one you mean: key={likely[0]!r}." if likely else ""
        raise LabelError(
            f"{source} has no column {key!r} to find stars by; {has}. Name the column that holds "
            f"the stars' names with key=.{hint}"
        )
    wrong = [c for c in rename.values() if _find(columns, c) is None]
    if wrong:
        raise LabelError(f"{source} has no column {', '.join(wrong)} to rename; {has}.")
    spelled: dict[str, list[str]] = {}
    for column in columns:
        spelled.setdefault(label_name(column), []).append(column)
    known = [name for name in KNOWN if name in {*spelled, *rename} and name != "rv"]
    wanted = list(names) if names is not None else known
    chosen = {"key": _find(columns, key) or key}
    for name in wanted:
        for each, needed in ((name, True), (f"{name}_err", False)):
            given = rename.get(each)
            column = _find(columns, given or each) or _only(spelled.get(each, []), each, source)
            if column is not None:
                chosen[each] = column
            elif needed:
                raise LabelError(
                    f"{source} has no column for the label {name!r}; {has}. Name it with "
                    f'rename={{"{name}": "COLUMN"}}.'
                )
    if not wanted:
        raise LabelError(
            f"{source} has no column of a known label; {has}. Name the labels with label_names=, "
            'or their columns with rename={"teff": "COLUMN"}.'
        )
    return chosen


def _find(columns: Sequence[str], name: str) -> str | None:
    """The column of that name, in the same case or else in any."""
    if name in columns:
        return name
    same = [column for column in columns if column.strip().lower() == name.strip().lower()]
    return same[0] if len(same) == 1 else None


def _only(columns: list[str], name: str, source: str) -> str | None:
    if len(columns) > 1:
        raise LabelError(
            f"{source} has several columns for the label {name!r}: {', '.join(columns)}. Say "
            f'which with rename={{"{name}": "COLUMN"}}.'
        )
    return columns[0] if columns else None


def _texts(column: Any) -> NDArray[np.str_]:
    """Names as text: no blanks around them, whole numbers without a point, empty where masked."""
    values = np.ma.asarray(getattr(column, "value", column))
    blank = np.ma.getmaskarray(values)
    data = values.data
    if data.dtype.kind == "S":
        data = np.char.decode(data, "utf-8", errors="replace")
    elif data.dtype.kind == "f":
        blank = blank | ~np.isfinite(data)
        data = [str(int(v)) if v == int(v) else repr(float(v)) for v in np.where(blank, 0.0, data)]
    elif data.dtype.kind == "O":
        data = ["" if v is None else v.decode() if isinstance(v, bytes) else v for v in data]
    text = np.char.strip(np.asarray(data).astype(str))
    return np.where(blank, "", text)


def _unique(
    keys: NDArray[np.str_], labels: Labels, source: str, duplicates: Duplicates
) -> LabelTable:
    """One row for each key: rows without a key go, equal rows are merged, others are reported."""
    numbers = np.flatnonzero(keys != "")
    left_out = [("", "no key", f"row {i + 1}") for i in np.flatnonzero(keys == "").tolist()]
    _, first, group = np.unique(keys[numbers], return_index=True, return_inverse=True)
    original = numbers[first][group]
    repeats = numbers != original
    same = _equal(labels, numbers[repeats], original[repeats])
    repeated = keys[numbers[repeats]]
    clash = list(dict.fromkeys(repeated[~same].tolist()))
    if clash and duplicates == "error":
        raise LabelError(
            f"{source} has {len(clash)} key(s) with several rows of different labels "
            f"({', '.join(clash[:5])}{', ...' if len(clash) > 5 else ''}). Keep one row of each, "
            'or use duplicates="first" to take the first.'
        )
    for name, equal in zip(repeated.tolist(), same.tolist(), strict=True):
        left_out.append((name, "repeated label row", "the same" if equal else "other labels"))
    keep = np.sort(numbers[first])
    if not keep.size:
        raise LabelError(f"{source} has no row with a key.")
    return LabelTable(keys[keep], labels[keep], source, tuple(left_out))


def _equal(labels: Labels, one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.bool_]:
    both = np.concatenate([labels.values, labels.errors], axis=1)
    pair = both[one], both[other]
    return np.all((pair[0] == pair[1]) | (np.isnan(pair[0]) & np.isnan(pair[1])), axis=1)
