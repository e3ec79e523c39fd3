"""Computes cells in processes of their own, and keeps what comes of them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from starnet.errors import DataError, OutputError
from starnet.evaluate.bench.cells import Cell, Outcome, Store, read_result
from starnet.evaluate.bench.child import FAILED, PARENT, perform
from starnet.evaluate.bench.pretrained import Readers
from starnet.evaluate.bench.suite import Suite

Tick = Callable[[int, int, str], None]
"""Told cells done, cells in all, and what is being computed."""
RUN = "import sys; from starnet.evaluate.bench.child import main; sys.exit(main(sys.argv[1]))"
CHILD = (sys.executable, "-c", RUN)


@dataclass(eq=False)
class Runner:
    """Computes cells in processes of their own."""

    suite: Suite
    out: Path
    workers: int
    retry: bool
    fresh: bool
    isolate: bool
    tick: Tick | None
    stopped: bool = False
    running: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def threads(self) -> int:
        """Of each process: its share of the cores, or fewer if the user's environment says so."""
        from starnet.library.pools import THREADS, cores

        asked = [int(n) for name in THREADS if (n := os.environ.get(name, "")).isdecimal()]
        return max(1, min([cores() // self.workers, *asked]))

    def run(self, cells: Sequence[Cell]) -> list[Outcome]:
        """Outcomes of all cells, in their order; those that are there are read."""
        store = Store(self.out / "cells")
        found: dict[str, Outcome] = {}
        for cell in cells:
            if self.fresh:
                store.forget(cell.key)
            known = store.read(cell)
            if known is not None and not self._again(known):
                found[cell.key] = known
        todo = list({cell.key: cell for cell in cells if cell.key not in found}.values())
        total = len(found) + len(todo)
        self._told(len(found), total, "")
        with ThreadPoolExecutor(self.workers) as pool:
            jobs = [pool.submit(self._one, cell, store) for cell in todo]
            try:
                for job in as_completed(jobs):
                    made = job.result()
                    found[made.cell.key] = made
                    self._told(len(found), total, made.cell.title)
            except BaseException:
                self._stop(jobs)
                raise
        return [replace(found[cell.key], cell=cell) for cell in cells]

    def kept(self, cells: Sequence[Cell]) -> list[Outcome]:
        """Outcomes of those cells that are there, in their order."""
        store = Store(self.out / "cells")
        known = (store.read(cell) for cell in cells)
        return [outcome for outcome in known if outcome is not None]

    def call(self, task: Mapping[str, Any], log: Path) -> tuple[str, str]:
        """Do a task in a process of its own: its status as an `Outcome` has it, and the reason."""
        if not self.isolate:
            return perform(task)
        log.parent.mkdir(parents=True, exist_ok=True)
        own, error = log.with_suffix(".task.json"), log.with_suffix(".error.json")
        error.unlink(missing_ok=True)
        own.write_text(json.dumps({**task, "error": str(error)}))
        limit = self.suite.minutes * 60 if self.suite.minutes and task["do"] == "cell" else None
        code = self._process(own, log, limit)
        own.unlink(missing_ok=True)
        if code == 0:
            made = Path(task["out"]).exists()
            return ("done", "") if made else ("killed", "its process ended without a result")
        if code == FAILED and error.is_file():
            said = json.loads(error.read_text())
            error.unlink(missing_ok=True)
            return said["status"], said["reason"]
        if code is None:
            return "late", f"took longer than {self.suite.minutes:g} minutes"
        return "killed", _end(code)

    def _one(self, cell: Cell, store: Store) -> Outcome:
        log = self.out / "logs" / f"{cell.title}-{cell.key[:8]}.log"
        if self.stopped:
            return Outcome(cell, "killed", reason="stopped", log=str(log))
        try:
            status, reason = self._computed(cell, store, log)
        except OSError as error:
            raise OutputError(
                f"The bench cannot write to {self.out}: {error.strerror or error}. Free some space "
                "or choose another folder with --out; results that are there are kept."
            ) from error
        if status == "done":
            try:
                return Outcome(cell, status, read_result(store.path(cell.key)), log=str(log))
            except DataError as error:
                status, reason = "killed", str(error)
        if not self.stopped:
            late = {"minutes": self.suite.minutes} if status == "late" else {}
            store.fail(cell.key, status, reason, cell=cell.title, **late)
        return Outcome(cell, status, reason=reason, log=str(log))

    def _computed(self, cell: Cell, store: Store, log: Path) -> tuple[str, str]:
        """Status and reason of a cell that was computed anew, with its readers if it has any."""
        store.forget(cell.key)
        readers, seconds, status, reason = Readers(self.out / "readers", self.call).of(cell.task)
        if status != "done":
            return status, reason
        more = {"out": str(store.path(cell.key)), "readers": readers, "pretrain_s": seconds}
        return self.call({**cell.task, **more}, log)

    def _process(self, task: Path, log: Path, limit: float | None) -> int | None:
        """The exit code; None if it took too long."""
        from starnet.library.pools import THREADS

        threads = dict.fromkeys(THREADS, str(self.threads))
        given = {**os.environ, **threads, PARENT: str(os.getpid())}
        with log.open("wb") as written:
            process = subprocess.Popen(
                [*CHILD, str(task)], stdin=subprocess.DEVNULL, stdout=written,
                stderr=subprocess.STDOUT, env=given, start_new_session=True,
            )  # fmt: skip
            with self.lock:
                self.running[process.pid] = process
            try:
                if self.stopped:
                    _kill(process)
                return process.wait(limit)
            except subprocess.TimeoutExpired:
                _kill(process)
                process.wait()
                return None
            finally:
                with self.lock:
                    self.running.pop(process.pid, None)

    def _stop(self, jobs: Sequence[Any]) -> None:
        """End what runs, and begin nothing more."""
        self.stopped = True
        for job in jobs:
            job.cancel()
        with self.lock:
            for process in self.running.values():
                _kill(process)

    def _again(self, known: Outcome) -> bool:
        if known.status == "late" and not 0 < self.suite.minutes <= known.minutes:
            return True
        return known.status == "killed" or (known.status != "done" and self.retry)

    def _told(self, done: int, total: int, what: str) -> None:
        if self.tick is not None:
            self.tick(done, total, what)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and those that it has started: it leads a session of its own."""
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)


def _end(code: int) -> str:
    """Why a process ended that said nothing."""
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = str(-code)
        more = "; memory ran out, perhaps" if name == "SIGKILL" else ""
        return f"its process was ended by {name}{more}"
    return f"its process ended with code {code}; see its log"
