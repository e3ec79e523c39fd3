"""Makes a library: stars are drawn, shards made by workers, and joined in one data set."""

from __future__ import annotations

import json
import logging
import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from starnet._whole import write_text
from starnet.dataset import DatasetWriter
from starnet.dataset.join import dropped
from starnet.dataset.writer import check_output
from starnet.errors import ConfigError, DataError, OutputError, StarNetError
from starnet.library.engine import opened
from starnet.library.make import Made, ShardTask, asked_grid, make_shard
from starnet.library.plan import LibraryPlan
from starnet.library.pools import cores, dask_pool, in_pool, process_pool
from starnet.library.progress import LibraryProgress
from starnet.library.region import accept_all
from starnet.library.shard import Shard, read_shard, shard_name
from starnet.spectra import Labels
from starnet.synthesis.contract import Synthesizer

log = logging.getLogger(__name__)
SHARD_SIZE = 64
STATE = "library.json"
FAILED = "synthesis failed"
"""The reason, in the data set's list of what was dropped, of a star that failed."""


@dataclass(frozen=True)
class LibraryReport:
    """What came of a run.

    Attributes
    ----------
    path : Path
        The data set.
    n_stars, n_spectra : int
        In the data set.
    failed : tuple of (id, reason)
        Stars that are not in it.
    resumed : int
        Stars that an earlier run had made.
    remade : tuple of str
        Shards of an earlier run that were damaged.
    seconds, rate : float
        Time taken, and spectra made per second.
    """

    path: Path
    n_stars: int
    n_spectra: int
    failed: tuple[tuple[str, str], ...]
    resumed: int
    remade: tuple[str, ...]
    seconds: float
    rate: float


def shards_path(out: Path) -> Path:
    """Where the shards of a library lie until it is whole."""
    return out.with_name(out.name + ".shards")


def draw_stars(plan: LibraryPlan, engine: Synthesizer | None) -> Labels:
    """Labels of the stars of a plan, of those which lie in its region and the engine can make."""
    return plan.sampler.draw(plan.n, accept_all(plan.region, engine))


def make_library(
    plan: LibraryPlan,
    out: str | Path,
    *,
    workers: int | None = None,
    dask: str | None = None,
    shard_size: int | None = None,
    resume: bool = True,
    overwrite: bool = False,
    keep_shards: bool = False,
    progress: bool = True,
) -> LibraryReport:
    """Make the spectra of a plan, and write them as a data set.

    The work is cut in shards, which lie in ``OUT.shards`` until the data set is whole. A run that
    was interrupted goes on when the same call is made again; then, too, n may be another. Star i
    is the same whatever n, the shards, and the workers.

    Parameters
    ----------
    plan : LibraryPlan
    out : path
        The data set to write, by custom ``NAME.zarr``.
    workers : int, optional
        Processes. Default: one for each core; 1 computes in this process, and so does an engine
        on a GPU (``device: cuda`` among its settings).
    dask : str, optional
        Compute on a Dask cluster instead: ``tcp://HOST:PORT``, a scheduler file, or ``local``.
        Its workers must see the folder of ``out``.
    shard_size : int, optional
        Stars in a shard. Default: as in the run that is resumed, or `SHARD_SIZE`.
    resume : bool
        Use shards of an interrupted run of the same plan. False removes them.
    overwrite : bool
        Replace a data set of that name, at the very end.
    keep_shards : bool
        Keep them when the data set is whole, to make it larger later.
    progress : bool
        Show progress.

    Raises
    ------
    ConfigError
        If the shards there are of another plan, or a setting is wrong.
    LabelError
        If the engine does not take the labels, or can make almost none of the stars.
    GridError
        If the engine does not reach the instrument's wavelengths.
    DataError
        If every star of a shard fails, or a worker dies.
    OutputError
        If something cannot be written.
    """
    started = time.monotonic()
    out = Path(out)
    check_output(out, overwrite=overwrite)
    if workers is not None and (not isinstance(workers, int) or workers < 1):
        raise ConfigError(f"workers must be a whole number above 0; received {workers!r}.")
    engine = opened(plan.engine)
    engine.accepts(plan.sampler.names)
    engine.fine_grid(asked_grid(plan.recorder))  # raises before hours of work
    labels = draw_stars(plan, engine)
    run = _Run(plan, out, labels, _begin(plan, out, shard_size, resume))
    kept = run.check()
    todo = run.tasks()
    bar = LibraryProgress(progress, plan.n, plan.n - sum(len(t.values) for t in todo), plan.visits)
    with bar:
        for _ in _made(plan, todo, workers, dask, bar):
            pass
    made, rate = sum(len(t.values) for t in todo), bar.rate
    n_stars, n_spectra, failed = run.join(engine, overwrite)
    if not keep_shards:
        shutil.rmtree(run.folder, ignore_errors=True)
    seconds = time.monotonic() - started
    resumed = plan.n - made
    return LibraryReport(out, n_stars, n_spectra, failed, resumed, kept, seconds, rate)


def _made(
    plan: LibraryPlan,
    todo: list[ShardTask],
    workers: int | None,
    dask: str | None,
    bar: LibraryProgress,
) -> Iterator[Made]:
    """Shards as they are finished."""
    here = str(plan.engine.get("device", "cpu")) not in ("cpu", "auto")
    n = workers if workers is not None else 1 if here and dask is None else cores()
    if not todo:
        return
    n = min(n, len(todo))
    if dask is None and n == 1:
        yield from (make_shard(task, bar.add) for task in todo)
        return
    pool = process_pool(n) if dask is None else dask_pool(dask, n)
    ahead = 2 * n if dask is None else max(2 * n, 256)
    with pool as executor:
        for made in in_pool(executor, make_shard, todo, ahead):
            if not Path(made.path).is_file():
                raise OutputError(
                    f"A worker wrote {made.path}, which is not seen here. On a cluster the output "
                    "must be in a folder that every machine shares."
                )
            bar.add(made.stop - made.start)
            yield made


@dataclass
class _Run:
    """A run under way: which shards there are, which are to be made, and the joining."""

    plan: LibraryPlan
    out: Path
    labels: Labels
    size: int

    def __post_init__(self) -> None:
        self.folder = shards_path(self.out)
        self._good: set[int] = set()

    @property
    def _starts(self) -> range:
        return range(0, self.plan.n, self.size)

    def _path(self, start: int) -> Path:
        return self.folder / shard_name(start, min(start + self.size, self.plan.n))

    def check(self) -> tuple[str, ...]:
        """Look at what an earlier run left; the names of shards that must be made again."""
        for rest in self.folder.glob(".*.partial.npz"):
            rest.unlink(missing_ok=True)
        damaged = []
        for start in self._starts:
            path = self._path(start)
            if not path.exists():
                continue
            try:
                self._read(start)
            except DataError as error:
                log.warning("%s It is made again.", error)
                path.unlink(missing_ok=True)
                damaged.append(path.name)
            else:
                self._good.add(start)
        return tuple(damaged)

    def _read(self, start: int) -> Shard:
        """A shard, if it is whole and of these stars."""
        path = self._path(start)
        shard = read_shard(path)
        wanted = self.labels.values[shard.start : shard.stop]
        same = shard.names == self.labels.names and np.array_equal(shard.labels, wanted)
        if shard.digest != self.plan.digest() or not same:
            raise DataError(
                f"The shard {path.name} is of other stars: the table or the atmospheres that they "
                "were drawn by have changed since."
            )
        return shard

    def tasks(self) -> list[ShardTask]:
        """What is to be made."""
        plan = self.plan.to_dict()
        values, folder = self.labels.values, str(self.folder)
        return [
            ShardTask(plan, start, self.labels.names, values[start : start + self.size], folder)
            for start in self._starts
            if start not in self._good
        ]

    def join(
        self, engine: Synthesizer, overwrite: bool
    ) -> tuple[int, int, tuple[tuple[str, str], ...]]:
        """Write the data set; the numbers of stars and spectra in it, and who failed and why."""
        first = next((s for s in map(self._read, self._starts) if len(s.flux)), None)
        if first is None:
            raise DataError(f"{self.out} would hold no spectrum: every star failed.")
        failed: list[tuple[str, str]] = []
        writer = DatasetWriter(
            self.out,
            grid=self.plan.recorder.grid,
            frame="rest",
            label_names=self.labels.names,
            flux_unit=first.flux_unit,
            overwrite=overwrite,
            provenance=self._provenance(engine),
        )
        try:
            for start in self._starts:
                shard = self._read(start)
                self._check_inputs(first, shard)
                failed += shard.failed
                lost = [dropped(name, "", FAILED, reason) for name, reason in shard.failed]
                has = len(shard.flux) > 0
                spectra = shard.spectra(writer.grid) if has else None
                writer.append(spectra, shard.spectra_labels() if has else None, dropped=lost)
            n = len(writer)
            writer.finish()
        except BaseException:
            writer.discard()  # the shards are kept, and joining takes little time
            raise
        return self.plan.n - len(failed), n, tuple(failed)

    def _check_inputs(self, first: Shard, shard: Shard) -> None:
        if shard.inputs != first.inputs:
            names = [shard_name(s.start, s.stop) for s in (first, shard)]
            raise DataError(
                f"{names[0]} and {names[1]} in {self.folder} were made by different versions or "
                "inputs of the engine. Remove those of the one that is not wanted and run again."
            )

    def _provenance(self, engine: Synthesizer) -> dict[str, Any]:
        return {
            "command": shlex.join(sys.argv),
            "plan": self.plan.to_dict(),
            "digest": self.plan.digest(),
            "seed": self.plan.seed,
            "engine": engine.describe(),
        }


def _begin(plan: LibraryPlan, out: Path, shard_size: int | None, resume: bool) -> int:
    """Make ready the folder of shards; their size.

    Raises
    ------
    ConfigError
        If it holds shards of another plan.
    OutputError
        If it is not ours, or cannot be written.
    """
    folder, state = shards_path(out), shards_path(out) / STATE
    if shard_size is not None and (not isinstance(shard_size, int) or shard_size < 1):
        raise ConfigError(f"shard_size must be a whole number above 0; received {shard_size!r}.")
    if folder.exists() and not state.is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(f"{folder} is in the way and holds no shards. Move it.")
    if not resume:
        shutil.rmtree(folder, ignore_errors=True)
    size = shard_size or SHARD_SIZE
    if state.is_file():
        found = _state(state)
        if found.get("digest") != plan.digest():
            raise ConfigError(_other_plan(folder, found.get("plan"), plan))
        size = shard_size or int(found.get("shard_size", SHARD_SIZE))
    told = {"digest": plan.digest(), "shard_size": size, "plan": plan.to_dict()}
    write_text(state, json.dumps(told, indent=1), "The state of the library")
    return size


def _state(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path} is damaged ({error}); remove it if the shards beside it are of this plan, or "
            "start afresh with resume=False (--no-resume)."
        ) from error
    return found if isinstance(found, dict) else {}


def _other_plan(folder: Path, found: Any, plan: LibraryPlan) -> str:
    try:
        before, now = LibraryPlan.from_dict(found).essence(), plan.essence()
        keys = ", ".join(k for k in now if before.get(k) != now[k])
    except (StarNetError, TypeError):
        keys = "everything"
    return (
        f"{folder} holds shards of another plan (it differs in {keys}). Give that plan to go on, "
        "another output, or resume=False (--no-resume) to remove them and start afresh."
    )


def made_before(out: Path) -> int:
    """Stars whose shards lie beside an output that is not whole yet, for a message."""
    spans = [p.stem.split("-")[1:] for p in shards_path(out).glob("stars-*-*.npz")]
    return sum(int(stop) - int(start) for start, stop in spans)
