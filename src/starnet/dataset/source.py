"""Reads many spectrum files in order, on one process or several; a bad file never stops it."""

from __future__ import annotations

import multiprocessing
import pickle
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from starnet.errors import ConfigError, DataError, StarNetError
from starnet.spectra import Spectra

Reader = Callable[[str], Spectra]
Prepare = Callable[[Spectra], Spectra]
AT_ONCE = 8
"""Files that a worker process reads before it answers."""


@dataclass(frozen=True)
class FileRead:
    """What came of one file: spectra, or the sentence that says why there are none."""

    path: str
    spectra: Spectra | None
    error: str = ""


def read_one(path: str, reader: Reader, prepare: Prepare | None) -> FileRead:
    """Read and prepare one file; whatever is wrong with it becomes a sentence."""
    try:
        spectra = reader(path)
        return FileRead(path, prepare(spectra) if prepare is not None else spectra)
    except StarNetError as error:
        return FileRead(path, None, str(error))
    except MemoryError:
        raise
    except Exception as error:  # one bad file must not stop the other thousands
        return FileRead(path, None, f"{type(error).__name__}: {error}")


def read_all(
    paths: Sequence[str], reader: Reader, prepare: Prepare | None, workers: int
) -> Iterator[FileRead]:
    """Read files in the given order; at most a few are in memory at a time.

    Raises
    ------
    ConfigError
        If there are several workers and reader or preparation cannot be sent to them.
    DataError
        If a worker process dies.
    """
    if workers <= 1:
        for path in paths:
            yield read_one(path, reader, prepare)
        return
    try:
        pickle.dumps((reader, prepare))  # as the worker processes will receive them
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ConfigError(
            f"With workers={workers}, reader and prepare go to other processes, and must be "
            f"functions of a module or instances of its classes ({error}). Use workers=1."
        ) from error
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context)
    try:
        tasks = (paths[i : i + AT_ONCE] for i in range(0, len(paths), AT_ONCE))
        yield from _in_order(pool, tasks, reader, prepare, 2 * workers)
    except BrokenProcessPool as error:
        raise DataError(
            "A worker process that was reading spectra died (out of memory, perhaps). What was "
            "read is kept; run again with fewer workers to go on."
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _in_order(
    pool: ProcessPoolExecutor,
    tasks: Iterable[Sequence[str]],
    reader: Reader,
    prepare: Prepare | None,
    ahead: int,
) -> Iterator[FileRead]:
    waiting: deque[Future[list[FileRead]]] = deque()
    tasks = iter(tasks)
    waiting.extend(pool.submit(_read_some, t, reader, prepare) for t in islice(tasks, ahead))
    while waiting:
        yield from waiting.popleft().result()
        waiting.extend(pool.submit(_read_some, t, reader, prepare) for t in islice(tasks, 1))


def _read_some(paths: Sequence[str], reader: Reader, prepare: Prepare | None) -> list[FileRead]:
    return [read_one(path, reader, prepare) for path in paths]


def describe_callable(function: Any) -> Any:
    """A JSON-ready name of a function, or the settings of a preparation that knows its own."""
    if function is None:
        return None
    if hasattr(function, "to_dict"):
        return function.to_dict()
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    return f"{getattr(function, '__module__', type(function).__module__)}.{name}"


def file_facts(path: str, n_spectra: int) -> dict[str, Any]:
    """Path, size and modification time of a file, for the provenance."""
    from datetime import UTC, datetime

    try:
        facts = Path(path).stat()
    except OSError:
        return {"path": path, "size": -1, "modified": "", "n_spectra": n_spectra}
    modified = datetime.fromtimestamp(facts.st_mtime, UTC).isoformat(timespec="seconds")
    return {"path": path, "size": facts.st_size, "modified": modified, "n_spectra": n_spectra}
