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
from numpy.typing import NDArray

from starnet.catalog.writers import check_writable, read_table, write_table
from starnet.errors import ConfigError, DataError, OutputError, ReadError, StarNetError
from starnet.inference import Chooser, LabelFlag, Prediction, Predictor, legend
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
    predictor: Predictor | Chooser,
    what: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    survey: str | None = None,
    options: ReadOptions | None = None,
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
    predictor : Predictor or Chooser
        A `Chooser` takes each file's model by its wavelengths; the column ``model`` says which,
        and labels that a row's model does not have are NaN, flagged `LabelFlag.FAILED`.
    what : path, glob, or list of them
        What `surveys.find` understands.
    out : path
        Ends in .fits, .ecsv, .parquet or .csv.
    survey : str, optional
        Read every file as this survey's, instead of identifying each.
    options : ReadOptions, optional
        Mask bits, error floor, visits.
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
    blocks = [files[i : i + part_size] for i in range(0, len(files), part_size)]
    parts = out.with_name(f".{out.name}.parts")
    _keep_if_same(parts, _signature(predictor, files, survey, chosen, part_size))
    done: list[Path] = []
    for i, block in enumerate(blocks):
        part = parts / f"{i:06d}.parquet"
        if not part.is_file():
            counted = _counted(read, tick, i * part_size, len(files))
            write_table(_label_files(predictor, block, counted), part)
        tick(i * part_size + len(block), len(files))
        done.append(part)
    table = join_tables([read_table(part) for part in done])
    table.meta = {**predictor.about, "flag_bits": legend()}
    write_table(table, out)
    shutil.rmtree(parts, ignore_errors=True)
    return summarise(out, len(files), table)


def _label_files(predictor: Predictor | Chooser, files: Sequence[Path], read: Reader) -> QTable:
    """Labels of some files, one or more rows each, in the order of the files."""
    tables: list[tuple[int, QTable]] = []
    for batch in _alike(predictor, files, read):
        tables += _label_batch(predictor, batch)
    return join_tables([table for _, table in sorted(tables, key=lambda pair: pair[0])])


def _counted(read: Reader, tick: Tick, done: int, total: int) -> Reader:
    number = itertools.count(done + 1)

    def counting(path: Path) -> Spectra:
        tick(next(number), total)
        return read(path)

    return counting


@dataclass(frozen=True, eq=False)
class Item:
    """A file with the spectra in it and who shall label them, or with the error that it gave."""

    number: int
    path: Path
    spectra: Spectra | None = None
    predictor: Predictor | None = None
    error: StarNetError | None = None

    def goes_with(self, other: Item) -> bool:
        """Whether both can be labelled in one batch."""
        a, b = self.spectra, other.spectra
        if a is None or b is None or self.predictor is not other.predictor:
            return False
        same = a.frame == b.frame and a.flux_unit == b.flux_unit
        return same and a.grid.matches(b.grid, tolerance=1e-3)


def _alike(
    predictor: Predictor | Chooser, files: Sequence[Path], read: Reader
) -> Iterator[list[Item]]:
    """Runs of files that can be labelled together; a file that fails stands alone."""
    run: list[Item] = []
    rows = 0
    for i, path in enumerate(files):
        item = _opened(predictor, i, path, read)
        if run and (rows >= BATCH or not run[-1].goes_with(item)):
            yield run
            run, rows = [], 0
        run.append(item)
        rows += 0 if item.spectra is None else len(item.spectra)
    if run:
        yield run


def _opened(predictor: Predictor | Chooser, number: int, path: Path, read: Reader) -> Item:
    try:
        chosen, spectra = predictor.assign(read(path))
        return Item(number, path, spectra, chosen)
    except StarNetError as error:
        return Item(number, path, error=error)
    except Exception as error:  # one bad file must not stop the other thousands
        text = f"{path.name} cannot be read: {type(error).__name__}: {error}."
        return Item(number, path, error=ReadError(text))


def _label_batch(predictor: Predictor | Chooser, batch: list[Item]) -> list[tuple[int, QTable]]:
    first, chosen = batch[0], batch[0].predictor
    spectra = [item.spectra for item in batch if item.spectra is not None]
    if chosen is None or not spectra:
        return [(item.number, _failed(predictor, item.path, item.error)) for item in batch]
    try:
        together = concatenate(spectra) if len(spectra) > 1 else spectra[0]
        starts = range(0, max(len(together), 1), MOST_ROWS)
        parts = [together[start : start + MOST_ROWS] for start in starts]
        return [(first.number, _row_table(chosen.predict(part), chosen)) for part in parts]
    except (DataError, ValueError) as error:  # also metadata of different kinds
        if len(batch) == 1:
            return [(first.number, _failed(predictor, first.path, error))]
        return [pair for item in batch for pair in _label_batch(predictor, [item])]


def _row_table(prediction: Prediction, predictor: Predictor) -> QTable:
    table = prediction.to_table()
    messages = [
        _why(prediction.flags[i], prediction.labels.names, float(prediction.snr[i]), predictor)
        for i in range(len(table))
    ]
    table["message"] = np.array(messages, dtype=str)
    return table


def _why(flags: NDArray[Any], names: tuple[str, ...], snr: float, predictor: Predictor) -> str:
    """Why a row has no labels, or not all; empty if it has."""
    failed = (flags & LabelFlag.FAILED) > 0
    every = int(np.bitwise_or.reduce(flags))
    if not failed.any():
        return ""
    if every & LabelFlag.LOW_SNR:
        least = predictor.min_snr
        return f"signal to noise {snr:.1f} is below {least:g}: no labels (--min-snr)"
    if not failed.all():
        absent = ", ".join(name for name, bad in zip(names, failed, strict=True) if bad)
        return f"no value that a star can have: {absent}"
    if every & LabelFlag.BAD_VELOCITY and not np.isfinite(snr):
        return "no velocity is known, and none could be measured"
    return "no usable pixel, or no value that a star can have"


def _failed(predictor: Predictor | Chooser, path: Path, error: Any) -> QTable:
    """The row of a file that gave no labels."""
    names = predictor.labels
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
    table = nothing.to_table()
    if isinstance(predictor, Chooser):
        table["model"] = [""]
    return table


def join_tables(tables: list[QTable]) -> QTable:
    """One table of several; a column that one of them lacks is blank there.

    The flag of a label that a row's model does not have is `LabelFlag.FAILED`.
    """
    table = vstack(tables, metadata_conflicts="silent") if len(tables) > 1 else tables[0]
    for name in table.colnames:
        column: Any = table[name]
        if hasattr(column, "mask"):
            if name.endswith("_flag"):
                table[name] = column.filled(LabelFlag.FAILED)
                continue
            blank: Any = "" if column.dtype.kind in "US" else np.nan
            plain = column if column.dtype.kind in "USf" else column.astype(float)
            table[name] = plain.filled(blank)
    return table


def _signature(predictor: Predictor | Chooser, files: Sequence[Path], *settings: Any) -> str:
    """What the parts depend on; other parts are thrown away."""
    sizes = [
        (str(f), f.stat().st_size, f.stat().st_mtime_ns) if f.is_file() else str(f) for f in files
    ]
    about = [predictor.signature(), sizes]
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
    labels = [name for name in table.colnames if name.endswith("_flag")]
    bits = np.stack([np.asarray(table[name]) for name in labels], axis=1)
    failed = np.all((bits & LabelFlag.FAILED) > 0, axis=1)
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
