"""Label tables on disk: FITS, ECSV, Parquet or CSV, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import pyarrow
import pyarrow.parquet
from astropy.io import fits
from astropy.table import QTable, Table

from starnet._whole import whole_file
from starnet.errors import OutputError

FITS_KEYS = {
    "model": "MODEL",
    "model_version": "MODELVER",
    "starnet_version": "STARNETV",
    "flag_bits": "FLAGBITS",
}
"""Keywords of the FITS header for the metadata of a table."""


def write_table(table: Table, path: str | Path) -> Path:
    """Write a table in the format of the ending: .fits, .ecsv, .parquet or .csv.

    FITS, ECSV and Parquet keep units and metadata; CSV has plain columns, the model's name and
    version among them.

    Raises
    ------
    OutputError
        If the ending is another, or the file cannot be written (no permission, disk full). A
        file that was there before is left as it was.
    """
    path = Path(path)
    check_writable(path)
    with whole_file(path, "The table") as partial:
        _WRITERS[path.suffix.lower()](table, partial)
    return path


def check_writable(path: str | Path) -> None:
    """Raise `OutputError` now, before hours of work, if a table cannot go there."""
    path = Path(path)
    if path.suffix.lower() not in _WRITERS:
        raise OutputError(
            f"A table is written as {', '.join(_WRITERS)}; received {path.name!r}. "
            "The ending of the name decides the format."
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        probe = path.with_name(f".{path.name}.probe")
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(
            f"{path.parent} cannot be written to: {error.strerror or error}. Choose another place."
        ) from error
    if path.is_dir():
        raise OutputError(f"{path} is a folder; a table needs the name of a file.")


def read_table(path: str | Path) -> QTable:
    """A table that `write_table` wrote, with units where the format keeps them."""
    path = Path(path)
    if path.suffix.lower() == ".fits":
        return _read_fits(path)
    if path.suffix.lower() == ".parquet":
        return _read_parquet(path)
    return QTable.read(path, format="ascii" + path.suffix.lower())


def _read_fits(path: Path) -> QTable:
    with fits.open(path) as hdus:
        hdu: Any = hdus[1]
        cards = [key for key in hdu.header if key.startswith("TUNIT")]
        units = {int(key[5:]): hdu.header.pop(key) for key in cards}
        table = QTable.read(fits.HDUList([hdus[0], hdu]))
    names = {card: name for name, card in FITS_KEYS.items()}
    table.meta = {names.get(key, key): value for key, value in (table.meta or {}).items()}
    return _with_units(table, {table.colnames[i - 1]: unit for i, unit in units.items()})


def _read_parquet(path: Path) -> QTable:
    arrow = pyarrow.parquet.read_table(path)
    table = QTable({name: arrow[name].to_numpy() for name in arrow.column_names})
    for name in table.colnames:
        column: Any = table[name]
        if column.dtype == object:
            table[name] = np.asarray(column, dtype=str)
    fields = {field.name: field.metadata or {} for field in arrow.schema}
    table.meta = json.loads((arrow.schema.metadata or {}).get(b"starnet", b"{}"))
    units = {name: about[b"unit"].decode() for name, about in fields.items() if b"unit" in about}
    return _with_units(table, units)


def _with_units(table: QTable, units: dict[str, str]) -> QTable:
    for name, unit in units.items():
        table[name] = np.asarray(table[name]) << u.Unit(unit)  # pyright: ignore
    return table


def _unit(table: Table, name: str) -> str:
    return str(getattr(table[name], "unit", None) or "")


def _write_fits(table: Table, path: Path) -> None:
    """Units are written as text: FITS has no word for dex, and surveys write it all the same."""
    plain = Table({name: _ascii(np.asarray(table[name])) for name in table.colnames})
    hdu: Any = fits.table_to_hdu(plain)
    for i, name in enumerate(table.colnames, start=1):
        if unit := _unit(table, name):
            hdu.header.set(f"TUNIT{i}", unit, after=f"TFORM{i}")
    for key, value in (table.meta or {}).items():
        hdu.header[FITS_KEYS.get(key, key[:8].upper())] = _ascii(np.array(str(value))).item()
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path, overwrite=True)


def _ascii(column: Any) -> Any:
    """Text as FITS can hold it; other columns as they are."""
    if column.dtype.kind != "U":
        return column
    escaped = [text.encode("ascii", "backslashreplace").decode() for text in column.ravel()]
    return np.array(escaped or [""], dtype=str)[: column.size].reshape(column.shape)


def _write_parquet(table: Table, path: Path) -> None:
    columns = [np.asarray(table[name]) for name in table.colnames]
    arrays = [pyarrow.array(c.tolist() if c.dtype.kind in "US" else c) for c in columns]
    fields = [
        pyarrow.field(name, array.type, metadata={"unit": unit} if unit else None)
        for name, array in zip(table.colnames, arrays, strict=True)
        for unit in [_unit(table, name)]
    ]
    schema = pyarrow.schema(fields, metadata={"starnet": json.dumps(dict(table.meta or {}))})
    pyarrow.parquet.write_table(pyarrow.Table.from_arrays(arrays, schema=schema), path)


def _write_csv(table: Table, path: Path) -> None:
    plain = Table({name: np.asarray(table[name]) for name in table.colnames})
    about: dict[str, Any] = dict(table.meta or {})
    for key in ("model", "model_version", "starnet_version"):
        if key in about and key not in plain.colnames:
            plain[key] = about[key]
    plain.write(path, format="ascii.csv", overwrite=True)


def _writer(kind: str) -> Callable[[Table, Path], Any]:
    return lambda table, path: table.write(path, format=kind, overwrite=True)


_WRITERS: dict[str, Callable[[Table, Path], Any]] = {
    ".fits": _write_fits,
    ".ecsv": _writer("ascii.ecsv"),
    ".parquet": _write_parquet,
    ".csv": _write_csv,
}
