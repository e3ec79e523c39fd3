"""Builds a data set: spectrum files joined with a label table, in one Zarr store."""

from __future__ import annotations

import hashlib
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from astropy.table import Table

from starnet.dataset import report as reasons
from starnet.dataset.columns import dropped_reasons
from starnet.dataset.join import Joiner, MatchBy, Selection, dropped
from starnet.dataset.layout import CHUNK_ROWS, DROPPED, begun, partial_path, read_grid
from starnet.dataset.report import BuildReport, count_reasons
from starnet.dataset.source import (
    FileRead,
    Prepare,
    Reader,
    describe_callable,
    file_facts,
    read_all,
)
from starnet.dataset.store import open_dataset
from starnet.dataset.table import Duplicates, LabelTable
from starnet.dataset.writer import DatasetWriter, check_output
from starnet.errors import DataError
from starnet.spectra import Spectra, WavelengthGrid

Tick = Callable[[int, int], None]
"""Called after each file with the numbers of spectra kept and of what was dropped."""


def build(
    files: Any,
    labels: str | Path | Table | LabelTable | None,
    out: str | Path,
    *,
    key: str = "star",
    label_names: Sequence[str] | None = None,
    rename: Mapping[str, str] | None = None,
    duplicates: Duplicates = "error",
    match: MatchBy | None = None,
    prepare: Prepare | None = None,
    grid: WavelengthGrid | None = None,
    survey: Any = None,
    options: Any = None,
    reader: Reader | None = None,
    workers: int = 1,
    resume: bool = True,
    overwrite: bool = False,
    progress: bool = True,
    chunk_rows: int = CHUNK_ROWS,
) -> BuildReport:
    """Read spectra, join them with labels, and write one data set.

    Memory stays flat whatever the number of files. Nothing is dropped in silence: the report
    counts what was left out by reason, and ``dropped.csv`` in the data set lists every name. The
    data set grows in ``OUT.partial`` and gets its name when it is whole; an interrupted build
    goes on where it stopped when the same call is made again.

    Parameters
    ----------
    files : path or sequence of paths
        What `starnet.surveys.find` takes: files, folders, patterns, lists of files. With
        ``reader``, a sequence of names for it.
    labels : path, Table, LabelTable or None
        The label table (see `LabelTable.read`). None builds a data set without labels.
    out : path
        The data set to write, by custom ``NAME.zarr``.
    key : str
        Column of the label table that names the star, the spectrum or its file.
    label_names : sequence of str, optional
        Labels to take. Default: all known ones in the table.
    rename, duplicates
        As for `LabelTable.read`.
    match : "star", "id" or "file", optional
        Which name of a spectrum is compared with the key. By default the first of the three
        under which a spectrum is found; the report says which it was.
    prepare : callable, optional
        Takes the spectra of a file to those that are stored, for example a
        `starnet.preprocess.Pipeline` that shifts to the rest frame and resamples.
    grid : WavelengthGrid, optional
        Grid of the data set. Default: that of the first file. Files on another are dropped.
    survey, options
        Handed to `starnet.surveys.read_file`.
    reader : callable, optional
        Takes a path to `Spectra`, instead of `starnet.surveys.read_file`.
    workers : int
        Processes that read files.
    resume : bool
        Go on with an interrupted build of the same settings, if there is one.
    overwrite : bool
        Replace a data set of that name, at the very end.
    progress : bool
        Show a progress bar.
    chunk_rows : int
        Spectra in a chunk on disk.

    Returns
    -------
    BuildReport

    Raises
    ------
    LabelError
        If the label table cannot be used.
    DataError
        If no spectrum is left; the message says why they were dropped.
    OutputError
        If the output exists, is not writable, or the disk is full.
    ConfigError
        If an interrupted build had other settings.
    """
    started = time.monotonic()
    check_output(Path(out), overwrite=overwrite)
    table = None
    if labels is not None:
        table = LabelTable.read(labels, key, label_names, rename=rename, duplicates=duplicates)
    paths = _paths(files, reader)
    settings = {
        "key": key,
        "match": match,
        "reader": describe_callable(reader) or "starnet.surveys.read_file",
        "prepare": describe_callable(prepare),
        "survey": None if survey is None else str(getattr(survey, "name", survey)),
        "options": None if options is None else repr(options),
        "label_table": None if table is None else _checksum(table),
    }
    run = _Build(Path(out), table, grid, settings, overwrite, chunk_rows)
    resumed = run.reopen() if resume else 0
    todo = [path for path in paths if path not in run.done]
    reads = read_all(todo, reader or _survey_reader(survey, options), prepare, workers)
    with _progress(progress, len(paths), len(paths) - len(todo)) as tick:
        run.take(reads, tick)
    run.finish(len(paths))
    return run.report(len(paths), resumed, time.monotonic() - started)


class _Build:
    """A build under way: joins each file that was read, and hands it to the writer."""

    def __init__(
        self,
        out: Path,
        table: LabelTable | None,
        grid: WavelengthGrid | None,
        settings: Mapping[str, Any],
        overwrite: bool,
        chunk_rows: int,
    ) -> None:
        self.out, self.table, self.grid, self.settings = out, table, grid, settings
        self.overwrite, self.chunk_rows = overwrite, chunk_rows
        self.writer: DatasetWriter | None = None
        self.joiner: Joiner | None = None
        self.files: list[dict[str, Any]] = []  # not yet handed to the writer
        self.dropped: list[dict[str, str]] = []

    @property
    def done(self) -> set[str]:
        """Files that need not be read again."""
        return self.writer.state.files if self.writer is not None else set()

    @property
    def n_spectra(self) -> int:
        """Spectra that were kept so far."""
        return len(self.writer) if self.writer is not None else 0

    def reopen(self) -> int:
        """Go on with an interrupted build; the number of files that it had read."""
        partial = partial_path(self.out)
        if not begun(partial):
            return 0
        group = zarr.open_group(partial, mode="r")
        attrs: Any = group.attrs
        grid = self.grid or read_grid(group)
        self.joiner = self._open(grid, attrs["frame"], attrs["flux_unit"], resume=True)
        return len(self.done)

    def take(self, reads: Iterable[FileRead], tick: Tick) -> None:
        """Take every file; after an error or an interruption what there is is kept."""
        try:
            for read in reads:
                tick(*self._take(read))
        except BaseException:
            if self.writer is not None:
                self.writer.keep()
            raise

    def finish(self, n_files: int) -> None:
        """Complete the data set, or say why there is none."""
        if self.writer is None or not len(self.writer):
            raise DataError(self._nothing(n_files))
        self.writer.flush()
        self.writer.finish(self._unused_labels())

    def report(self, n_files: int, resumed: int, seconds: float) -> BuildReport:
        """The outcome, read back from the data set."""
        data = open_dataset(self.out)
        return BuildReport(
            path=self.out,
            n_files=n_files,
            n_spectra=len(data),
            n_stars=len(set(data.stars.tolist())),
            dropped=count_reasons(dropped_reasons(self.out / DROPPED)),
            matched_by=None if self.joiner is None or self.table is None else self.joiner.match,
            resumed=resumed,
            seconds=seconds,
        )

    def _take(self, read: FileRead) -> tuple[int, int]:
        """Take one file; the numbers of spectra kept and of what was dropped."""
        found = self._select(read)
        n_kept = 0 if found.spectra is None else len(found.spectra)
        self.files.append(file_facts(read.path, n_kept))
        self.dropped.extend(found.dropped)
        if self.writer is not None:
            # Spectra and the note that their file is done are written together, or neither is.
            notes = {"files": self.files, "dropped": self.dropped}
            self.writer.append(found.spectra, found.labels, columns=found.columns, **notes)
            self.files, self.dropped = [], []
        return n_kept, len(found.dropped)

    def _select(self, read: FileRead) -> Selection:
        if read.spectra is None:
            name = Path(read.path).name
            return Selection(dropped=[dropped(name, read.path, reasons.UNREADABLE, read.error)])
        joiner = self.joiner or self._joiner(read.spectra)
        taken = self.writer.ids if self.writer is not None else set()
        found = joiner.select(read.spectra, read.path, taken)
        if found.spectra is not None:
            if self.writer is None:
                self._open(joiner.grid, found.spectra.frame, joiner.unit)
            assert self.writer is not None
            self.joiner, self.writer.matched_by = joiner, joiner.match
        return found

    def _joiner(self, spectra: Spectra) -> Joiner:
        """For the first spectra: unless a grid was named, theirs is that of the data set."""
        grid = self.grid or spectra.grid
        return Joiner(self.table, grid, spectra.frame, spectra.flux_unit, self.settings["match"])

    def _open(self, grid: WavelengthGrid, frame: Any, unit: Any, *, resume: bool = False) -> Joiner:
        self.writer = DatasetWriter(
            self.out,
            grid=grid,
            frame=frame,
            flux_unit=unit,
            label_names=() if self.table is None else self.table.labels.names,
            overwrite=self.overwrite,
            resume=resume,
            settings=self.settings,
            provenance={
                "command": shlex.join(sys.argv),
                "settings": self.settings,
                "label_table": None if self.table is None else self.table.source,
            },
            chunk_rows=self.chunk_rows,
        )
        match = self.writer.matched_by or self.settings["match"]
        return Joiner(self.table, grid, frame, self.writer.flux_unit, match)

    def _unused_labels(self) -> Iterator[dict[str, str]]:
        """Rows of the label table that no spectrum was found for, or that were no use."""
        if self.table is None or self.writer is None:
            return
        for name, reason, detail in self.table.left_out:
            yield dropped(name, "", reason, detail, name)
        used = np.zeros(len(self.table), dtype=bool)
        for record in self.writer.journal:
            found = record["columns"].get("label_key", [])
            noted = [entry["key"] for entry in record["dropped"] if entry["key"]]
            used[[self.table.row_of(name) for name in (*found, *noted)]] = True
        for row in np.flatnonzero(~used).tolist():
            name = str(self.table.keys[row])
            yield dropped(name, "", reasons.NO_SPECTRUM, "", name)

    def _nothing(self, n_files: int) -> str:
        """The sentence for a build that kept no spectrum."""
        entries = list(self.dropped)
        if self.writer is not None:
            entries += [entry for record in self.writer.journal for entry in record["dropped"]]
            self.writer.discard()
        counts = count_reasons(entry["reason"] for entry in entries)
        told = ", ".join(f"{reason}: {n}" for reason, n in counts.items()) or "no files"
        text = f"No spectrum of {n_files} file(s) is left for {self.out} ({told})."
        if entries:
            first = entries[0]
            text += f" The first: {first['name']}: {first['reason']}. {first['detail']}"
        if counts.get(reasons.NO_ROW) and self.table is not None:
            keys = self.table.keys[:3].tolist()
            text += f" Keys of the label table look like {keys}; match= says what they name."
        return text.strip()


def _paths(files: Any, reader: Reader | None) -> list[str]:
    if reader is None:
        from starnet import surveys

        files = surveys.find(files)
    elif isinstance(files, (str, Path)):
        files = [files]
    paths = list(dict.fromkeys(str(path) for path in files))
    if not paths:
        raise DataError("There are no spectrum files to read: name files, a folder or a pattern.")
    return paths


def _survey_reader(survey: Any, options: Any) -> Reader:
    from starnet import surveys

    chosen = {} if options is None else {"options": options}
    return partial(surveys.read_file, survey=survey, **chosen)


def _checksum(table: LabelTable) -> str:
    """Of the labels as they are used; a resumed build must have the same."""
    digest = hashlib.sha256("\n".join(table.keys.tolist()).encode())
    for array in (table.labels.values, table.labels.errors):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


@contextmanager
def _progress(show: bool, total: int, done: int) -> Iterator[Tick]:
    """A progress bar with the numbers of spectra kept and of what was dropped."""
    if not show:
        yield lambda kept, dropped: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    told = TextColumn("{task.fields[kept]} kept, {task.fields[lost]} dropped")
    with Progress(
        TextColumn("reading spectra"), BarColumn(), MofNCompleteColumn(), told, Remaining()
    ) as bar:
        task = bar.add_task("", total=total, completed=done, kept=0, lost=0)
        sums = [0, 0]

        def tick(kept: int, lost: int) -> None:
            sums[0] += kept
            sums[1] += lost
            bar.update(task, advance=1, kept=sums[0], lost=sums[1])

        yield tick
