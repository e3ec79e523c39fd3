"""A cell of a bench: one method, on one fold, from so many stars, with one seed; and its result.

Each result is one file, written whole or not at all, under a key: the hash of everything that it
depends on. So a bench goes on where it stopped, and takes up what another suite computed alike.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
from numpy.typing import NDArray

from starnet._version import __version__
from starnet._whole import whole_file, write_text
from starnet.errors import DataError
from starnet.spectra import Labels

FORMAT = 1
"""Of results; another number makes every cell anew."""
META = b"starnet-bench"
Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Cell:
    """What is to be computed.

    Attributes
    ----------
    method : str
    fold, size, seed : int
        ``size`` as the suite has it: 0 for all stars.
    n_stars : int
        That are learnt from.
    task : mapping
        What the process that computes it is told, JSON-ready: entry, labels, rows, noise.
    key : str
    """

    method: str
    fold: int
    size: int
    seed: int
    n_stars: int
    task: Mapping[str, Any]
    key: str

    @property
    def title(self) -> str:
        """For people and for file names."""
        size = "all" if self.size == 0 else str(self.size)
        return f"{self.method}-{size}-fold{self.fold}-seed{self.seed}"


@dataclass(frozen=True, eq=False)
class Result:
    """What came of a cell.

    Attributes
    ----------
    predicted, truth : Labels
        Of N tested spectra; NaN where the method gave none.
    star : array (N,) of str
    snr : array (N,)
        NaN where errors are unknown.
    about : mapping
        ``train_s`` (from stored spectra to what was learnt), ``pretrain_s``, ``per_s`` (labels
        alone, of prepared spectra), ``per_s_errors`` (with errors), ``peak_gb``, ``n_spectra``,
        ``code`` (digest of the code of methods).
    """

    predicted: Labels
    truth: Labels
    star: NDArray[np.str_]
    snr: Array
    about: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Outcome:
    """A cell with its result, or with the reason why there is none.

    Attributes
    ----------
    status : str
        "done", "failed" (an error of the method), "late" (it took longer than the suite allows) or
        "killed" (its process ended without a word, or had no room for what it made).
    cached : bool
        Whether it was there before.
    minutes : float
        That a late one was given.
    """

    cell: Cell
    status: str
    result: Result | None = None
    reason: str = ""
    cached: bool = False
    log: str = ""
    minutes: float = 0.0


@dataclass(frozen=True)
class Store:
    """The folder of results.

    Parameters
    ----------
    folder : Path
    """

    folder: Path

    def path(self, key: str) -> Path:
        """Of a result."""
        return self.folder / f"{key}.parquet"

    def failure(self, key: str) -> Path:
        """Of what is kept of a failure."""
        return self.folder / f"{key}.failed.json"

    def read(self, cell: Cell) -> Outcome | None:
        """What is there of a cell; None for nothing, or for a file that is damaged."""
        if self.path(cell.key).is_file():
            try:
                return Outcome(cell, "done", read_result(self.path(cell.key)), cached=True)
            except DataError:
                return None
        try:
            known = json.loads(self.failure(cell.key).read_text())
            more = {"cached": True, "minutes": float(known.get("minutes", 0.0))}
            return Outcome(cell, known["status"], reason=known["reason"], **more)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def fail(self, key: str, status: str, reason: str, **more: Any) -> None:
        """Keep why there is no result."""
        text = json.dumps({"status": status, "reason": reason, **more}, indent=1)
        write_text(self.failure(key), text + "\n", "The record of a failure")

    def forget(self, key: str) -> None:
        """Remove what is there, so that it is made anew."""
        for path in (self.path(key), self.failure(key)):
            path.unlink(missing_ok=True)


def key_of(task: Mapping[str, Any], digests: Mapping[str, str]) -> str:
    """Name of a result: the hash of what it depends on."""
    own = {"format": FORMAT, "starnet": __version__, "digests": dict(digests), **task}
    text = json.dumps(own, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def write_result(path: Path, result: Result) -> Path:
    """Write a result, whole or not at all.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    columns: dict[str, Any] = {"star": result.star.astype(str), "snr": result.snr}
    for name, value, error, true in _columns(result):
        columns |= {name: value, f"{name}_err": error, f"{name}_true": true}
    at = result.truth.errors
    columns |= {f"{n}_true_err": at[:, i] for i, n in enumerate(result.truth.names)}
    table = pyarrow.table({name: pyarrow.array(column) for name, column in columns.items()})
    about = {"labels": list(result.truth.names), **result.about}
    table = table.replace_schema_metadata({META: json.dumps(about).encode()})
    with whole_file(path, "The result") as partial:
        pyarrow.parquet.write_table(table, partial, write_page_checksum=True)
    return path


def read_result(path: Path) -> Result:
    """What `write_result` wrote.

    Raises
    ------
    DataError
        If it is damaged or something else.
    """
    try:
        table = pyarrow.parquet.read_table(path, page_checksum_verification=True)
        about = json.loads((table.schema.metadata or {})[META])
        names = tuple(about.pop("labels"))
        column = {name: table[name].to_numpy() for name in table.column_names}
        parts = [np.stack([column[f"{n}{end}"] for n in names], axis=1)
                 for end in ("", "_err", "_true", "_true_err")]  # fmt: skip
        predicted, truth = Labels(names, parts[0], parts[1]), Labels(names, parts[2], parts[3])
        return Result(predicted, truth, column["star"].astype(str), column["snr"], about)
    except (OSError, ValueError, KeyError, TypeError, pyarrow.ArrowException) as error:
        raise DataError(f"{path} is damaged ({error}); it is made anew by another run.") from error


def _columns(result: Result) -> Iterator[tuple[str, Array, Array, Array]]:
    """Name, value, error and truth of each label; NaN for one that was not predicted."""
    blank = np.full(len(result.truth), np.nan)
    for i, name in enumerate(result.truth.names):
        known = name in result.predicted.names
        at = result.predicted.index(name) if known else -1
        value = result.predicted.values[:, at] if known else blank
        error = result.predicted.errors[:, at] if known else blank
        yield name, value, error, result.truth.values[:, i]
