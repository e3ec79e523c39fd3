"""Runs a suite: makes what it needs, computes what is not there, and survives what fails."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from starnet.dataset import SpectraDataset
from starnet.errors import ConfigError, DataError, OutputError
from starnet.evaluate.bench import parts
from starnet.evaluate.bench.cells import Cell, Outcome, Store, key_of, read_result
from starnet.evaluate.bench.child import FAILED, perform
from starnet.evaluate.bench.entries import Entry
from starnet.evaluate.bench.models import code_digest, models_of
from starnet.evaluate.bench.pretrained import Readers
from starnet.evaluate.bench.sources import digest, opened
from starnet.evaluate.bench.suite import Suite

Tick = Callable[[int, int, str], None]
"""Told cells done, cells in all, and what is being computed."""
RUN = "import sys; from starnet.evaluate.bench.child import main; sys.exit(main(sys.argv[1]))"
CHILD = (sys.executable, "-c", RUN)


@dataclass(frozen=True)
class LeftOut:
    """A method that a suite does not use for a size, and why."""

    method: str
    size: int
    reason: str


@dataclass(frozen=True, eq=False)
class BenchRun:
    """What came of a suite.

    Attributes
    ----------
    suite : Suite
    labels : tuple of str
        That were compared.
    outcomes : tuple of Outcome
        One of each cell.
    left_out : tuple of LeftOut
    notes : tuple of str
        For the report.
    about : mapping
        Data sets, numbers of stars, cores.
    """

    suite: Suite
    labels: tuple[str, ...]
    outcomes: tuple[Outcome, ...]
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def done(self) -> tuple[Outcome, ...]:
        """Those with a result."""
        return tuple(o for o in self.outcomes if o.result is not None)

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """Those without."""
        return tuple(o for o in self.outcomes if o.result is None)


def run_bench(
    suite: Suite,
    out: str | Path,
    *,
    data: str | Path | None = None,
    training: str | Path | None = None,
    table: str | Path | None = None,
    workers: int = 1,
    retry: bool = False,
    fresh: bool = False,
    isolate: bool = True,
    tick: Tick | None = None,
    report: Callable[[str], None] | None = None,
    progress: bool = False,
) -> BenchRun:
    """Compute every cell of a suite that is not there yet.

    Parameters
    ----------
    suite : Suite
    out : path
        Folder of the results: ``cells``, ``logs``, and data and readers that are made.
    data, training : path, optional
        Data sets, or folders of spectra, instead of those that the suite would make.
    table : path, optional
        Label table of ``data``, where it is not found in the folder.
    workers : int
        Cells at a time; each has its share of the cores.
    retry : bool
        Compute again what has failed before. What was killed is tried again in any case.
    fresh : bool
        Compute every cell again, and train the readers that fine-tuning starts from. Data sets that
        were made are kept.
    isolate : bool
        Compute each cell in a process of its own. Without, one at a time in this one: for finding
        faults of a method, as memory is then not its own and a crash is everybody's.
    tick : callable, optional
        See `Tick`.
    report : callable, optional
        Told in sentences what takes long.
    progress : bool
        Show the bars of building and synthesis.

    Raises
    ------
    ConfigError, DataError, LabelError
        If there are no data to compute anything from.
    OutputError
        If the folder cannot be written.
    """
    if workers < 1:
        raise ConfigError(f"workers must be 1 or more; received {workers}.")
    out = _folder(Path(out), anew=("readers",) if fresh else ())
    places = [None if p is None else Path(p) for p in (data, training, table)]
    options: dict[str, Any] = {"report": report, "progress": progress}
    store = out / "data" / f"{suite.name}.zarr"
    tested = opened(suite.data, places[0], store, table=places[2], **options)
    learnt = tested
    if suite.training is not None:
        store = out / "data" / f"{suite.name}-training.zarr"
        learnt = opened(suite.training, places[1], store, **options)
    elif places[1] is not None:
        raise ConfigError(f"The suite {suite.name} learns from stars of its data; no --training.")
    labels, notes = parts.usable_labels(suite, tested, learnt)
    runner = _Runner(suite, out, workers if isolate else 1, retry, fresh, isolate, tick)
    readers = Readers(out / "readers", runner.call)
    plan, left_out = _plan(suite, labels, tested, learnt, readers)
    outcomes = runner.run(plan)
    notes += _other_code(outcomes)
    about = {
        "data": tested.path.name, "spectra": len(tested), "training": learnt.path.name,
        "workers": workers, "threads": runner.threads,
    }  # fmt: skip
    return BenchRun(suite, labels, tuple(outcomes), tuple(left_out), tuple(notes), about)


def _other_code(outcomes: Sequence[Outcome]) -> list[str]:
    """A note where results were taken up that other code has made."""
    kept = [o.result for o in outcomes if o.result is not None and o.cached]
    now = code_digest() if kept else ""
    if n := sum(result.about.get("code") != now for result in kept):
        return [
            f"{n} of {len(outcomes)} results are of an earlier state of the code of methods; "
            "--fresh computes everything again."
        ]
    return []


def _plan(
    suite: Suite,
    labels: tuple[str, ...],
    data: SpectraDataset,
    training: SpectraDataset,
    readers: Readers,
) -> tuple[list[Cell], list[LeftOut]]:
    """Every cell, and methods that are left out of a size."""
    same = training is data
    digests = {"data": digest(data)}
    digests["training"] = digests["data"] if same else digest(training)
    digests |= {name: _source(name) for name in suite.modules}
    models = {name: models_of(entry) for name, entry in suite.methods.items()}
    cells: dict[tuple[str, str], Cell] = {}
    left_out: dict[LeftOut, None] = {}
    for fold in parts.folds(suite, labels, data, None if same else training):
        for name, size, seed in _wanted(suite):
            entry = suite.methods[name]
            reads = entry.kind == "reader"
            rows = fold.learn[:0] if reads else parts.ladder(fold, training.stars, size, seed)
            n = 0 if rows is None else len(set(training.stars[rows].tolist()))
            reason = entry.left_out(n) if rows is not None else "not so many stars to learn from"
            reason = reason or _lacks(entry, training)
            if reason or rows is None:
                left_out[LeftOut(name, size, reason)] = None
                continue
            task = {
                "entry": entry.to_dict(),
                "labels": list(labels),
                "learn": rows.tolist(),
                "test": fold.test.tolist(),
                "noise": {} if reads else dict(suite.noise),
                "seed": 0 if reads else seed,
                "preprocess": suite.preprocess.to_dict(),
            }
            key = key_of(task, digests | models[name])
            places = {"data": str(data.path), "training": str(training.path), "fold": fold.number}
            task |= {
                "do": "cell",
                "modules": list(suite.modules),
                **places,
                "recipe": readers.wanted(entry),
            }
            cell = Cell(name, fold.number, 0 if reads else size, seed, n, task, key)
            cells.setdefault((name, key), cell)
    return list(cells.values()), list(left_out)


def _lacks(entry: Entry, training: SpectraDataset) -> str:
    """Why an entry is left out that learns labels besides which nobody knows."""
    absent = [name for name in entry.also if name not in training.label_names]
    return f"{training.path.name} lacks {', '.join(absent)}, which it also learns" if absent else ""


def _source(module: str) -> str:
    """Digest of a module's file, so that another one makes its results anew."""
    spec = importlib.util.find_spec(module)
    path = Path(spec.origin) if spec is not None and spec.origin else None
    return hashlib.sha256(path.read_bytes()).hexdigest() if path and path.is_file() else ""


def _wanted(suite: Suite) -> Iterator[tuple[str, int, int]]:
    """Method, size and seed of each cell, small ones first."""
    for size in sorted(suite.sizes, key=lambda n: n or sys.maxsize):
        for name, entry in suite.methods.items():
            for seed in entry.seeds or suite.seeds:
                yield name, size, seed


@dataclass(eq=False)
class _Runner:
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
        with log.open("wb") as written:
            process = subprocess.Popen(
                [*CHILD, str(task)], stdin=subprocess.DEVNULL, stdout=written,
                stderr=subprocess.STDOUT, env={**os.environ, **threads}, start_new_session=True,
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


def _folder(out: Path, anew: Sequence[str] = ()) -> Path:
    """The folder of results with its parts, of which some are emptied."""
    try:
        for name in anew:
            shutil.rmtree(out / name, ignore_errors=True)
        for name in ("cells", "logs", "data", "readers"):
            (out / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{out} cannot be made: {error.strerror}. Choose another folder with --out."
        ) from error
    return out
