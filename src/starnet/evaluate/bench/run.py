"""Runs a suite: makes what it needs, computes what is not there, and survives what fails."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starnet.dataset import SpectraDataset
from starnet.errors import ConfigError, OutputError
from starnet.evaluate.bench import parts
from starnet.evaluate.bench.cells import Cell, Outcome, key_of
from starnet.evaluate.bench.entries import Entry
from starnet.evaluate.bench.models import code_digest, models_of
from starnet.evaluate.bench.pretrained import Readers
from starnet.evaluate.bench.runner import Runner, Tick
from starnet.evaluate.bench.sources import digest, opened
from starnet.evaluate.bench.suite import Suite

NAMED = 8
"""Results that are named, at most, in a note of those that are missing."""


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
    here: bool = False,
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
    here : bool
        Compute nothing: take the results that are there, and leave out the rest with a note. For a
        look at a bench that is not done.
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
    runner = Runner(suite, out, workers if isolate else 1, retry, fresh, isolate, tick)
    readers = Readers(out / "readers", runner.call)
    plan, left_out = _plan(suite, labels, tested, learnt, readers)
    outcomes = runner.kept(plan) if here else runner.run(plan)
    notes += _other_code(outcomes) + _not_yet(plan, outcomes)
    about = {
        "data": tested.path.name, "spectra": len(tested), "training": learnt.path.name,
        "workers": workers, "threads": runner.threads,
    }  # fmt: skip
    return BenchRun(suite, labels, tuple(outcomes), tuple(left_out), tuple(notes), about)


def _not_yet(plan: Sequence[Cell], outcomes: Sequence[Outcome]) -> list[str]:
    """A note of what was not computed."""
    there = {o.cell.key for o in outcomes}
    missing = [cell.title for cell in plan if cell.key not in there]
    if not missing:
        return []
    more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
    names = ", ".join(missing[:NAMED])
    return [f"{len(missing)} of {len(plan)} results are not there yet: {names}{more}."]


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
            for seed in entry.seeds or suite.seeds_at(size):
                yield name, size, seed


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
