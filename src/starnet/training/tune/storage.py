"""Where a study is kept: a journal file, which many processes may share, or a database."""

from __future__ import annotations

import importlib
import json
import logging
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starnet.errors import DataError, MissingDependencyError, OutputError

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

DATABASES = (".db", ".sqlite", ".sqlite3")


def require_optuna() -> Any:
    """The package Optuna, quiet.

    Raises
    ------
    MissingDependencyError
        If it is not installed.
    """
    try:
        optuna = importlib.import_module("optuna")
    except ImportError as error:
        raise MissingDependencyError(
            "`starnet tune` needs Optuna, which is not installed: pip install 'starnet[tune]'."
        ) from error
    optuna.logging.set_verbosity(logging.ERROR)
    return optuna


@contextmanager
def quiet() -> Iterator[None]:
    """Without Optuna's warnings about what it calls experimental."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"optuna\.|starnet\.training\.tune")
        warnings.filterwarnings("ignore", message=".*experimental")
        yield


def shown(where: str) -> str:
    """The place without a password that a URL may hold."""
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", str(where))


def open_storage(where: str) -> BaseStorage:
    """The storage of a study.

    Parameters
    ----------
    where : str
        A database's URL; a path that ends in ``.db`` or ``.sqlite``, for SQLite; else the path of
        a journal file.

    Raises
    ------
    DataError
        If the file is damaged or something else.
    OutputError
        If it cannot be written.
    MissingDependencyError
        If the database needs a driver that is not installed.
    """
    require_optuna()
    if "://" in where:
        return _database(where)
    path = Path(where)
    if path.is_dir():
        raise DataError(f"{where} is a folder; a study is a file or a database's URL.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in DATABASES:
            return _database(f"sqlite:///{path.absolute()}")
        return _journal(path)
    except OSError as error:
        raise OutputError(
            f"The study {where} cannot be written: {error.strerror or error}. Choose another place."
        ) from error


def _database(url: str) -> BaseStorage:
    from optuna.storages import RDBStorage
    from sqlalchemy.exc import SQLAlchemyError

    sqlite = url.startswith("sqlite")
    engine: dict[str, Any] = (
        {"connect_args": {"timeout": 60}} if sqlite else {"pool_pre_ping": True}
    )
    try:
        return RDBStorage(url, engine_kwargs=engine)
    except ImportError as error:
        raise MissingDependencyError(
            f"The study {shown(url)} needs the database's driver, which is not installed "
            f"({error}). For PostgreSQL: pip install psycopg2-binary."
        ) from error
    except (SQLAlchemyError, RuntimeError) as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise DataError(
            f"The study {shown(url)} cannot be opened: {reason}. Check that the database is "
            "there and answers; a damaged file is moved aside, and a new study started."
        ) from error


def _journal(path: Path) -> BaseStorage:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    lock = JournalFileOpenLock(str(path))

    class Journal(JournalFileBackend):
        """A journal that never writes behind half a line of a process that died."""

        def append_logs(self, logs: list[dict[str, Any]]) -> None:
            text = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
            with _held(lock), path.open("ab") as file:
                cut_partial_line(path)
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())

    path.touch()
    with _held(lock):
        cut_partial_line(path)
        check_journal(path)
    try:
        return JournalStorage(Journal(str(path), lock))
    except (KeyError, TypeError, ValueError, AssertionError) as error:
        raise DataError(
            f"{path} is a journal that Optuna does not understand ({type(error).__name__}: "
            f"{error}). Move it aside and start a new study, or give a copy of it."
        ) from error


@contextmanager
def _held(lock: Any) -> Iterator[None]:
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


def cut_partial_line(path: Path) -> int:
    """Cut off what follows the last end of a line; returns the number of bytes cut.

    A process that dies while it writes, or a full disk, leaves half a line. The caller holds
    the journal's lock.
    """
    with path.open("rb+") as file:
        size = whole = file.seek(0, os.SEEK_END)
        while whole:
            start = max(0, whole - 4096)
            file.seek(start)
            block = file.read(whole - start)
            if b"\n" in block:
                whole = start + block.rindex(b"\n") + 1
                break
            whole = start
        if size == whole:
            return 0
        if not whole and not _begins_record(path):
            raise DataError(_foreign(path))
        file.truncate(whole)
        return size - whole


def check_journal(path: Path) -> None:
    """Refuse a file that is no journal of Optuna's, and one with a damaged line.

    Raises
    ------
    DataError
        With the number of the line and what to do.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                record = json.loads(line)
                whole = "op_code" in record and "worker_id" in record
            except (ValueError, TypeError):
                whole = False
            if whole:
                continue
            if number == 1:
                raise DataError(_foreign(path))
            raise DataError(
                f"The study {path} is damaged at line {number}. Restore it from a copy; or keep "
                f"what is before that line (head -n {number - 1} {path.name} > rescued.journal) "
                "and give --study rescued.journal; or move it aside and start a new study."
            )


def _begins_record(path: Path) -> bool:
    with path.open("rb") as file:
        begins = file.read(11)
    return b'{"op_code":'.startswith(begins)


def _foreign(path: Path) -> str:
    return (
        f"{path} is no study: a journal of Optuna's was expected. Give another file name with "
        "--study for a new study."
    )
