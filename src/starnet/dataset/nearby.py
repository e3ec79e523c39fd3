"""The label table that lies with a folder of spectra, found by the usual names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from starnet.dataset.formats import open_table
from starnet.dataset.table import LabelTable
from starnet.errors import LabelError
from starnet.surveys.miles import read_parameters

TABLES = ("labels.*", "MILES_params.db", "paramsMILES*.txt", "*.csv", "*.ecsv", "*.parquet")
"""Names of label tables, in the order in which a folder is searched for them."""
KEYS = ("star", "id", "apogee_id", "star_id", "sobject_id", "miles", "name", "file")
"""Columns that name a star, in the order in which a table is searched for them."""


def find_labels(
    folder: str | Path,
    table: str | Path | None = None,
    *,
    key: str = "",
    names: Sequence[str] | None = None,
) -> LabelTable:
    """Labels for the spectra of a folder.

    Parameters
    ----------
    folder : path
        Searched for a table under the names `TABLES`.
    table : path, optional
        The table, if it is known.
    key : str
        Column that names the star; by default one of `KEYS`.
    names : sequence of str, optional
        Labels to read; by default all that are known.

    Raises
    ------
    LabelError
        If there is no table, or no column names the star; the message says what to give.
    """
    path = Path(table) if table else _find(Path(folder))
    if path.name.startswith("paramsMILES"):
        return LabelTable.read(read_parameters(path), key="id", names=names)
    return LabelTable.read(path, key=key or _find_key(path), names=names)


def _find(folder: Path) -> Path:
    for pattern in TABLES:
        if found := sorted(folder.glob(pattern)):
            return found[0]
    raise LabelError(
        f"No label table was found in {folder} (looked for {', '.join(TABLES)}). Say where it is: "
        "--labels TABLE, or make demo DATA=folder LABELS=table."
    )


def _find_key(path: Path) -> str:
    columns, _ = open_table(path)
    known = {column.lower(): column for column in reversed(columns)}
    for key in KEYS:
        if key in known:
            return known[key]
    raise LabelError(
        f"No column of {path} is known to name the star (looked for {', '.join(KEYS)}); it has "
        f"{', '.join(columns)}. Name the column with --key."
    )
