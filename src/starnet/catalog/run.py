"""A folder of spectra to one label table: in parts, resumable, and no file stops the others."""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import QTable, Table, vstack

from starnet.catalog.writers import check_writable, read_table, write_table
from starnet.errors import ConfigError, DataError, OutputError, ReadError, StarNetError
from starnet.inference import LabelFlag, Prediction, Predictor
from starnet.spectra import Labels, Spectra, concatenate
from starnet.surveys import SURVEYS, ReadOptions, find, read_file

Reader = Callable[[Path], Spectra]
Tick = Callable[[int, int], None]
BATCH = 512
"""Spectra of one grid, at least, that go through preprocessing and the network together."""
MOST_ROWS = 2048
"""Spectra at most; files with more are labelled in pieces."""


@dataclass(frozen=True)
class CatalogReport:
    """What became of the files.

    Attributes
    ----------
    path : Path
        The label table.
    n_files, n_spectra, n_failed, n_flagged : int
        Files looked at; rows; rows without labels; rows with any flag, failed ones included.
    failures : tuple of (file, reason)
    """

    path: Path
    n_files: int
    n_spectra: int
    n_failed: int
    n_flagged: int
    failures: tuple[tuple[str, str], ...] = ()


def make_catalog(
    predictor: Predictor,
    what: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    survey: str | None = None,
    options: ReadOptions | None = None,
    prepare: Callable[[Spectra], Spectra] | None = None,
    part_size: int = 1000,
    reader: Reader | None = None,
    tick: Tick = lambda done, total: None,
) -> CatalogReport:
    """Labels of every spectrum in files, folders, globs or lists, as one table.

    Files that cannot be read, or do not fit the model, become rows with `LabelFlag.FAILED`, NaN
    labels and a ``message`` that says why. The work is kept in parts beside the output: a run
    that was interrupted goes on where it stopped when it is started again.

    Parameters
    ----------
    predictor : Predictor
    what : path, glob, or list of them
        What `surveys.find` understands.
    out : path
        Ends in .fits, .ecsv, .parquet or .csv.
    survey : str, optional
        Read every file as this survey's, instead of identifying each.
    options : ReadOptions, optional
        Mask bits, error floor, visits.
    prepare : callable, optional
        Brings the spectra of a file to what the model reads, such as `Model.adapt`.
    part_size : int
        Files in a part; bounds the memory and the work that an interruption costs.
    reader : callable, optional
        Reads one file; by default `surveys.read_file`.
    tick : callable
        Called with the numbers of files that are done and of all files, to show progress.

    Raises
    ------
    ReadError
        If there is no file at all.
    OutputError
        If the table cannot be written.
    """
    out = Path(out)
    check_writable(out)
    files = [path for path in find(what) if path.resolve() != out.resolve()]
    if survey is not None and survey not in SURVEYS:
        raise ConfigError(f"There is no survey {survey!r}; there are {', '.join(SURVEYS)}.")
    if reader is None and not any(path.exists() for path in files):
        raise ReadError(f"None of the {len(files)} file(s) exists, such as {files[0]}.")
    chosen = options or ReadOptions()
    read = reader or (lambda path: read_file(path, survey=survey, options=chosen))
    if prepare is not None:
        read = _then(read, prepare)
    blocks = [files[i : i + part_size] for i in range(0, len(files), part_size)]
    parts = out.with_name(f".{out.name}.parts")
    _keep_if_same(parts, _signature(predictor, files, survey, chosen, prepare is None, part_size))
    done: list[Path] = []
    for i, block in enumerate(blocks):
        part = parts / f"{i:06d}.parquet"
        if not part.is_file():
            counted = _counted(read, tick, i * part_size, len(files))
            write_table(_label_files(predictor, block, counted), part)
        tick(i * part_size + len(block), len(files))
        done.append(part)
    table = join_tables([read_table(part) for part in done])
    write_table(table, out)
    shutil.rmtree(parts, ignore_errors=True)
    return summarise(out, len(files), table)


def _label_files(predictor: Predictor, files: Sequence[Path], read: Reader) -> QTable:
    """Labels of some files, one or more rows each, in the order of the files."""
    tables: list[tuple[int, QTable]] = []
    for batch in _same_grid(files, read):
        tables += _label_batch(predictor, batch)
    return join_tables([table for _, table in sorted(tables, key=lambda pair: pair[0])])


def _then(read: Reader, prepare: Callable[[Spectra], Spectra]) -> Reader:
    return lambda path: prepare(read(path))


def _counted(read: Reader, tick: Tick, done: int, total: int) -> Reader:
    number = itertools.count(done + 1)

    def counting(path: Path) -> Spectra:
        tick(next(number), total)
        return read(path)

    return counting


Item = tuple[int, Path, Spectra | StarNetError]


def _same_grid(files: Sequence[Path], read: Reader) -> Iterator[list[Item]]:
    """Runs of files whose spectra share a grid and a frame; a file that fails stands alone."""
    run: list[Item] = []
    rows = 0
    for i, path in enumerate(files):
        spectra = _read_or_error(path, read)
        if run and (rows >= BATCH or not _fits(run[-1][2], spectra)):
            yield run
            run, rows = [], 0
        run.append((i, path, spectra))
        rows += len(spectra) if isinstance(spectra, Spectra) else 0
    if run:
        yield run


def _read_or_error(path: Path, read: Reader) -> Spectra | StarNetError:
    try:
        return read(path)
    except StarNetError as error:
        return error
    except Exception as error:  # one bad file must not stop the other thousands
        return ReadError(f"{path.name} cannot be read: {type(error).__name__}: {error}.")


def _fits(a: Spectra | StarNetError, b: Spectra | StarNetError) -> bool:
    if not isinstance(a, Spectra) or not isinstance(b, Spectra):
        return False
    same = a.frame == b.frame and a.flux_unit == b.flux_unit
    return same and a.grid.matches(b.grid, tolerance=1e-3)


def _label_batch(predictor: Predictor, batch: list[Item]) -> list[tuple[int, QTable]]:
    spectra = [item for _, _, item in batch if isinstance(item, Spectra)]
    if len(spectra) < len(batch):
        return [(i, _failed(predictor, path, item)) for i, path, item in batch]
    try:
        together = concatenate(spectra) if len(spectra) > 1 else spectra[0]
        starts = range(0, max(len(together), 1), MOST_ROWS)
        parts = [together[start : start + MOST_ROWS] for start in starts]
        return [(batch[0][0], _row_table(predictor.predict(part))) for part in parts]
    except (DataError, ValueError) as error:  # also metadata of different kinds
        if len(batch) == 1:
            return [(batch[0][0], _failed(predictor, batch[0][1], error))]
        return [pair for item in batch for pair in _label_batch(predictor, [item])]


def _row_table(prediction: Prediction) -> QTable:
    table = prediction.to_table()
    failed = (np.asarray(table["flag"]) & LabelFlag.FAILED) > 0
    table["message"] = np.where(failed, "no usable pixel, or no value that a star can have", "")
    return table


def _failed(predictor: Predictor, path: Path, error: Any) -> QTable:
    """The row of a file that gave no labels."""
    names = predictor.model.labels
    name = path.name.partition(".fits")[0] or path.name
    about = {"id": [name], "star": [""], "file": [str(path)], "survey": [""], "kind": [""]}
    about |= {column: [np.nan] for column in ("ra", "dec", "rv")} | {"message": [str(error)]}
    nothing = Prediction(
        labels=Labels(names, np.full((1, len(names)), np.nan)),
        flags=np.full((1, len(names)), LabelFlag.FAILED, dtype=np.int16),
        snr=np.full(1, np.nan),
        masked_fraction=np.ones(1),
        meta=Table(about),
        about=predictor.about,
    )
    return nothing.to_table()


def join_tables(tables: list[QTable]) -> QTable:
    """One table of several; a column that one of them lacks is blank there."""
    table = vstack(tables, metadata_conflicts="silent") if len(tables) > 1 else tables[0]
    for name in table.colnames:
        column: Any = table[name]
        if hasattr(column, "mask"):
            blank: Any = "" if column.dtype.kind in "US" else np.nan
            plain = column if column.dtype.kind in "USf" else column.astype(float)
            table[name] = plain.filled(blank)
    return table


def _signature(predictor: Predictor, files: Sequence[Path], *settings: Any) -> str:
    """What the parts depend on; other parts are thrown away."""
    model = predictor.model.describe()
    sizes = [
        (str(f), f.stat().st_size, f.stat().st_mtime_ns) if f.is_file() else str(f) for f in files
    ]
    about = [model, predictor.about, predictor.max_masked, sizes]
    text = json.dumps(about, default=str)
    return hashlib.sha256((text + repr(settings)).encode()).hexdigest()


def _keep_if_same(parts: Path, signature: str) -> None:
    note = parts / "signature"
    if not note.is_file() or note.read_text() != signature:
        shutil.rmtree(parts, ignore_errors=True)
        try:
            parts.mkdir(parents=True)
            note.write_text(signature)
        except OSError as error:
            raise OutputError(f"{parts} cannot be written: {error.strerror or error}.") from error


def summarise(path: Path, n_files: int, table: QTable) -> CatalogReport:
    """The report of a label table."""
    failed = (np.asarray(table["flag"]) & LabelFlag.FAILED) > 0
    file = "file" if "file" in table.colnames else "id"
    known = "message" in table.colnames
    reasons = [
        (str(row[file]), (known and str(row["message"])) or "no pixel can be used")
        for row in table[failed]
    ]
    return CatalogReport(
        path=path,
        n_files=n_files,
        n_spectra=len(table),
        n_failed=int(failed.sum()),
        n_flagged=int(np.count_nonzero(np.asarray(table["flag"]))),
        failures=tuple(reasons),
    )
