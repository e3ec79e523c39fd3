"""Opens tables of several formats and reads only the columns that are asked for."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.io.fits.verify import VerifyWarning
from astropy.table import MaskedColumn, Table
from astropy.table.meta import get_header_from_yaml

from starnet.errors import LabelError

Load = Callable[[Sequence[str], str], Table]
"""Reads some columns, given their names and which one is the key (whose text is kept as it is)."""
MISSING = ["", "NaN", "nan", "NAN", "null", "NULL", "None", "N/A", "n/a", "--"]


def open_table(table: str | Path | Table) -> tuple[list[str], Load]:
    """Names of a table's columns, and a function that reads some of them.

    Raises
    ------
    LabelError
        If the file is not there or cannot be read.
    """
    if isinstance(table, Table):
        return list(table.colnames), lambda names, key: Table(table[list(names)])
    path = Path(table)
    if not path.is_file():
        raise LabelError(f"The label table {path} does not exist or is not a file.")
    suffix = "".join(path.suffixes[-2:]).lower().removesuffix(".gz")
    opener = _OPENERS.get(Path(f"x{suffix}").suffix, _open_text)
    try:
        names, load = opener(path)
    except LabelError:
        raise
    except Exception as error:  # the parsers raise anything at all on a damaged file
        raise LabelError(_unreadable(path, error)) from error

    def guarded(columns: Sequence[str], key: str) -> Table:
        try:
            return load(columns, key)
        except Exception as error:
            raise LabelError(_unreadable(path, error)) from error

    return names, guarded


def _unreadable(path: Path, error: Exception) -> str:
    reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
    return (
        f"The label table {path} cannot be read ({reason[0]}). CSV, ECSV, FITS, Parquet and "
        "columns of text are understood, by the file's suffix."
    )


def _open_csv(path: Path) -> tuple[list[str], Load]:
    import pyarrow as pa
    from pyarrow import csv

    with path.open("rb") as stream:
        first = stream.readline()
        if first.startswith(b"# %ECSV"):
            return _open_ecsv(path)
        n_comments = 0
        while first.startswith(b"#"):
            n_comments += 1
            first = stream.readline()
    read = csv.ReadOptions(skip_rows=n_comments)
    parse = csv.ParseOptions(delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
    with csv.open_csv(path, read_options=read, parse_options=parse) as head:
        names = head.schema.names

    def load(columns: Sequence[str], key: str) -> Table:
        convert = csv.ConvertOptions(
            column_types={key: pa.string()},
            include_columns=list(columns),
            null_values=MISSING,
            strings_can_be_null=True,
        )
        return _from_arrow(
            csv.read_csv(path, read_options=read, parse_options=parse, convert_options=convert)
        )

    return list(names), load


def _open_ecsv(path: Path) -> tuple[list[str], Load]:
    table = Table.read(path, format="ascii.ecsv")
    return list(table.colnames), lambda names, key: Table(table[list(names)])


def _open_parquet(path: Path) -> tuple[list[str], Load]:
    import pyarrow as pa
    from pyarrow import parquet

    schema = parquet.read_schema(path)
    units = _astropy_units((schema.metadata or {}).get(b"table_meta_yaml"))

    def load(columns: Sequence[str], key: str) -> Table:
        data = parquet.read_table(path, columns=list(columns))
        where = data.schema.get_field_index(key)
        kind = data.schema.field(where).type
        if pa.types.is_integer(kind):  # an integer with gaps would become a rounded float
            data = data.set_column(where, key, data.column(where).cast(pa.string()))
        table: Any = _from_arrow(data)
        for name in columns:
            table[name].unit = units.get(name)
        return table

    return list(schema.names), load


def _astropy_units(described: bytes | None) -> dict[str, Any]:
    """Units of the columns of a Parquet file that astropy wrote."""
    if not described:
        return {}
    header = get_header_from_yaml(described.decode().splitlines())
    return {column["name"]: column.get("unit") for column in header["datatype"]}


def _from_arrow(data: Any) -> Table:
    out = Table()
    for name in data.column_names:
        column = data.column(name)
        values = column.to_numpy()
        if values.dtype.kind == "O":
            blank = np.array([v is None for v in values], dtype=bool)
            text = np.array([_text(v) for v in values], dtype=str)
            out[name] = MaskedColumn(text, mask=blank) if blank.any() else text
        else:
            out[name] = values
    return out


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


@contextmanager
def _fits(path: Path) -> Iterator[Any]:
    """An open FITS file; column names such as ``[Fe/H]`` are taken without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VerifyWarning)
        with fits.open(path) as hdus:
            yield hdus


def _open_fits(path: Path) -> tuple[list[str], Load]:
    with _fits(path) as hdus:
        tables = [
            i for i, hdu in enumerate(hdus) if isinstance(hdu, (fits.BinTableHDU, fits.TableHDU))
        ]
        if not tables:
            raise LabelError(f"The label table {path} holds no FITS table, only images.")
        where = tables[0]
        names = list(hdus[where].columns.names)

    def load(columns: Sequence[str], key: str) -> Table:
        out = Table()
        with _fits(path) as hdus:
            hdu = hdus[where]
            for name in columns:
                values, info = np.array(hdu.data[name]), hdu.columns[name]
                blank = None if info.null is None else values == int(info.null)
                out[name] = MaskedColumn(values, mask=blank, unit=info.unit)
        return out

    return names, load


def _open_text(path: Path) -> tuple[list[str], Load]:
    """Columns between blanks. The header is a line of names before the numbers, or a comment."""
    lines = path.read_text(encoding="utf-8-sig", errors="strict").splitlines()
    if lines and lines[0].startswith("# %ECSV"):
        return _open_ecsv(path)
    comments = [line.lstrip("#").strip() for line in lines if line.startswith("#")]
    rows = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    if not rows:
        raise LabelError(f"The label table {path} has no rows.")
    width = len(rows[-1])
    names = _header(comments, width)
    if names is None:
        names, rows = rows[0], rows[1:]
        if len(names) != width and rows:
            raise LabelError(
                f"The label table {path} has {width} columns and no header line with {width} names."
            )
    ragged = [i for i, row in enumerate(rows) if len(row) != len(names)]
    if ragged:
        raise LabelError(
            f"The label table {path} has {len(names)} columns, but row {ragged[0] + 1} has "
            f"{len(rows[ragged[0]])} values: {' '.join(rows[ragged[0]])[:60]}"
        )

    def load(columns: Sequence[str], key: str) -> Table:
        out = Table()
        for name in columns:
            text = np.array([row[names.index(name)] for row in rows], dtype=str)
            out[name] = text if name == key else _numbers(text)
        return out

    return names, load


def _header(comments: list[str], width: int) -> list[str] | None:
    """Names from the first comment that has as many; names may hold single blanks (``log g``)."""
    for comment in comments:
        for names in (re.split(r"\s{2,}|\t", comment), comment.split()):
            if len(names) == width and any(c.isalpha() for c in comment):
                return names
    return None


def _numbers(text: Any) -> Any:
    blank = np.isin(text, MISSING)
    try:
        return np.where(blank, "nan", text).astype(float)
    except ValueError:
        return MaskedColumn(text, mask=blank)


_OPENERS: dict[str, Callable[[Path], tuple[list[str], Load]]] = {
    ".csv": _open_csv,
    ".tsv": _open_csv,
    ".ecsv": _open_ecsv,
    ".fits": _open_fits,
    ".fit": _open_fits,
    ".fz": _open_fits,
    ".parquet": _open_parquet,
    ".pq": _open_parquet,
}
