"""Id lists: which stars or spectra to fetch, from a file, a table or a Python list."""

import csv
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
from astropy.io import fits
from astropy.table import Table

from starnet.errors import ConfigError

# Canonical column -> the spellings met in survey tables, compared without case.
COLUMNS = {
    "apogee_id": ("apogee_id", "id", "star", "object"),
    "telescope": ("telescope",),
    "field": ("field",),
    "plate": ("plate", "plateid", "plate_id"),
    "mjd": ("mjd",),
    "fiber": ("fiber", "fiberid", "fiber_id"),
    "run2d": ("run2d",),
}
_SPEC = re.compile(r"(?:spec-)?(\w+)-(\w+)-(\w+?)(?:\.fits(?:\.gz)?)?")


def read_ids(source: "Table | str | Path | Iterable[str]", kind: str) -> Table:
    """Read an id list as a table of strings.

    Parameters
    ----------
    source
        A table; a list of ids; or a file: ``.csv``, ``.ecsv``, FITS, or text with one id per line
        (``#`` starts a comment).
    kind
        ``apogee_id``: a plain id is a star. ``spec``: a plain id is ``plate-mjd-fiber``.

    Returns
    -------
    Table
        Only the known columns, under their canonical names, every value a stripped string.

    Raises
    ------
    ConfigError
        No such file, no ids in it, or not the columns that `kind` asks for.
    """
    if isinstance(source, str | Path):
        label, table = str(source), _read_file(Path(source), kind)
    elif isinstance(source, Table):
        label, table = "the id table", source
    else:
        label, table = "the id list", _from_names(source, kind)
    known = {name.lower(): name for name in table.colnames}
    found = {}
    for canonical, spellings in COLUMNS.items():
        match = next((known[s] for s in spellings if s in known), None)
        if match is not None:
            found[canonical] = [_text(value) for value in table[match]]
    needs = ("apogee_id",) if kind == "apogee_id" else ("plate", "mjd", "fiber")
    if lacking := [name for name in needs if name not in found]:
        raise ConfigError(
            f"{label} must have the column(s) {', '.join(lacking)}; "
            f"it has {', '.join(table.colnames) or 'none'}."
        )
    if len(table) == 0:
        raise ConfigError(f"{label} holds no ids; give at least one.")
    return Table(found)


def rows(table: Table) -> Iterator[dict[str, str]]:
    """Rows of a table of strings as dictionaries."""
    for row in table:
        yield {name: str(row[name]) for name in table.colnames}


def lookup(
    table: Table, catalogue: Path, columns: Iterable[str]
) -> dict[str, list[dict[str, str]]]:
    """Find the stars of an id table in an allStar or allVisit file.

    Only the columns that are asked for are read, so memory stays far below the file's size. A
    column that the id table has too (``telescope``, say) restricts the rows that match.

    Returns
    -------
    dict
        Star -> its rows, in the order of the id table; an empty list where there is none.
    """
    columns = list(columns)
    try:
        with fits.open(catalogue, memmap=True) as file:
            data: Any = cast(fits.BinTableHDU, file[1]).data
            names = {name.lower(): name for name in data.names}
            source = {c: next(names[s] for s in COLUMNS[c] if s in names) for c in columns}
            stars = np.char.strip(np.asarray(data[source["apogee_id"]]).astype(str))
            order = np.flatnonzero(np.isin(stars, np.asarray(table["apogee_id"])))
            picked = {c: [_text(v) for v in data[source[c]][order]] for c in columns}
    except (OSError, IndexError, AttributeError, TypeError, StopIteration) as error:
        raise ConfigError(
            f"{catalogue} must be an APOGEE summary file (FITS) with the columns "
            f"{', '.join(columns)}; it cannot be used: {error or type(error).__name__}."
        ) from error
    matches = [
        dict(zip(columns, values, strict=True)) for values in zip(*picked.values(), strict=True)
    ]
    by_star: dict[str, list[dict[str, str]]] = {}
    for match in matches:
        by_star.setdefault(match["apogee_id"], []).append(match)
    found: dict[str, list[dict[str, str]]] = {}
    for row in rows(table):
        kept = found.setdefault(row["apogee_id"], [])
        for match in by_star.get(row["apogee_id"], []):
            if match not in kept and all(row[c] == match[c] for c in row.keys() & match.keys()):
                kept.append(match)
    return found


def _read_file(path: Path, kind: str) -> Table:
    try:
        if path.suffix == ".csv":
            # csv keeps every value as it is written: field 0060 must not become the number 60.
            with path.open(newline="", encoding="utf-8-sig") as file:
                reader = csv.DictReader(file, skipinitialspace=True)
                lines = list(reader)
                return Table({n: [r[n] or "" for r in lines] for n in reader.fieldnames or ()})
        if path.suffix == ".ecsv" or ".fit" in path.name:
            return Table.read(path)
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError, csv.Error) as error:
        raise ConfigError(f"The id list {path} cannot be read: {error}.") from error
    names = [line.split("#")[0].strip() for line in lines]
    return _from_names([name for name in names if name], kind)


def _from_names(names: Iterable[str], kind: str) -> Table:
    names = [str(name).strip() for name in names]
    if kind == "apogee_id":
        return Table({"apogee_id": np.array(names, dtype=str)})
    parts = []
    for name in names:
        if (match := _SPEC.fullmatch(name)) is None:
            raise ConfigError(
                f"A spectrum must be named plate-mjd-fiber, such as 3128-54776-0008; "
                f"received {name!r}."
            )
        parts.append(match.groups())
    return Table(rows=parts or None, names=["plate", "mjd", "fiber"], dtype=["U16"] * 3)


def _text(value: object) -> str:
    if isinstance(value, bytes | np.bytes_):
        value = value.decode("ascii", "replace")
    return str(value).strip()
