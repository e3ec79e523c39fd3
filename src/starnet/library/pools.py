"""Where shards are made: this process, a pool of processes, or a Dask cluster, through one call."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from starnet.errors import ConfigError, DataError, MissingDependencyError, StarNetError

T = TypeVar("T")
R = TypeVar("R")
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
LOCAL = "local"
"""Instead of a scheduler's address: a Dask cluster on this machine."""


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def process_pool(workers: int) -> Iterator[Executor]:
    """Processes of one thread each. After an error they are stopped at once: shards are whole
    or absent, so nothing is lost but what was in work.
    """
    context = multiprocessing.get_context("spawn")
    with _one_thread():  # what a worker inherits
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_ready)
        try:
            yield pool
        except BaseException:
            for process in list((getattr(pool, "_processes", None) or {}).values()):
                process.terminate()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def dask_pool(scheduler: str, workers: int) -> Iterator[Executor]:
    """The workers of a Dask cluster.

    Parameters
    ----------
    scheduler : str
        ``tcp://HOST:PORT``, a scheduler file ``NAME.json``, or ``local``.
    workers : int
        Processes of a local cluster.

    Raises
    ------
    MissingDependencyError
        If Dask is not installed.
    ConfigError
        If the scheduler does not answer.
    """
    try:
        from distributed import Client  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise MissingDependencyError(
            'A Dask cluster needs dask and distributed; install them: pip install "starnet[dask]".'
        ) from error
    if scheduler == LOCAL:
        where: dict[str, Any] = {"n_workers": workers, "threads_per_worker": 1}
        where |= {"processes": True, "dashboard_address": ":0", "silence_logs": "ERROR"}
    elif scheduler.endswith(".json"):
        if not Path(scheduler).is_file():
            raise ConfigError(f"There is no scheduler file {scheduler}; start the scheduler first.")
        where = {"scheduler_file": scheduler}
    else:
        where = {"address": scheduler}
    try:
        client = Client(**where)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"No Dask scheduler answers at {scheduler!r} ({error}). Give tcp://HOST:PORT, a "
            f"scheduler file, or {LOCAL!r}."
        ) from error
    with client:
        if scheduler == LOCAL:
            client.run(_ready)
        pool = client.get_executor(pure=False, retries=0)
        try:
            yield pool
        finally:  # without waiting for what nobody wants any more
            pool.shutdown(wait=False)


def in_pool(
    pool: Executor, function: Callable[[T], R], tasks: Iterable[T], ahead: int
) -> Iterator[R]:
    """Results as they come, in any order; only ``ahead`` tasks are handed out at a time.

    Raises
    ------
    DataError
        If a worker dies.
    """
    todo = iter(tasks)
    running: set[Future[R]] = {pool.submit(function, task) for task in islice(todo, ahead)}
    finished: deque[Future[R]] = deque()
    try:
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            finished.extend(done)
            running |= {pool.submit(function, task) for task in islice(todo, len(done))}
            while finished:
                yield finished.popleft().result()
    except StarNetError:
        raise
    except Exception as error:
        if not isinstance(error, BrokenProcessPool) and type(error).__name__ not in _LOST:
            raise
        raise DataError(
            f"A worker that was making spectra died (out of memory, perhaps; {error}). Finished "
            "shards are kept; run again with fewer workers, or a smaller batch, to go on."
        ) from error
    finally:
        for future in running:
            future.cancel()


_LOST = ("KilledWorker", "CommClosedError", "CancelledError")
"""What Dask raises when workers or the scheduler are gone."""


def _ready() -> None:
    """Ctrl-C is for the process that started the workers, and they do not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _one_thread() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
