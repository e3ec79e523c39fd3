"""Makes a library: stars are drawn, shards made by workers, and joined in one data set."""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starnet.dataset import DatasetWriter
from starnet.dataset.join import dropped
from starnet.dataset.writer import check_output
from starnet.errors import ConfigError, DataError, OutputError
from starnet.library.engine import opened
from starnet.library.folder import ShardFolder, begin_folder, shards_path
from starnet.library.make import Made, ShardTask, check_reach, make_shard
from starnet.library.plan import LibraryPlan
from starnet.library.pools import cores, dask_pool, in_pool, process_pool
from starnet.library.progress import LibraryProgress
from starnet.library.region import accept_all
from starnet.spectra import Labels
from starnet.synthesis.contract import Synthesizer

FAILED = "synthesis failed"
"""The reason, in the data set's list of what was dropped, of a star that failed."""
AHEAD = 256
"""Shards that a cluster, whose size may change, is given ahead."""


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
        Stars in a shard. Default: as in the run that is resumed, or up to 64.
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
        If the engine does not reach the instrument's wavelengths, or is too coarse for it.
    DataError
        If every star of a shard fails, or a worker dies.
    OutputError
        If something cannot be written.
    """
    started = time.monotonic()
    out = Path(out)
    check_output(out, overwrite=overwrite)
    for name, value in (("workers", workers), ("shard_size", shard_size)):
        if value is not None and (not isinstance(value, int) or value < 1):
            raise ConfigError(f"{name} must be a whole number above 0; received {value!r}.")
    engine = opened(plan.engine)
    engine.accepts(plan.sampler.names)
    check_reach(plan, engine)
    labels = draw_stars(plan, engine)
    folder = shards_path(out)
    n_workers = _n_workers(plan, workers, dask)
    size = begin_folder(plan, folder, shard_size, resume, n_workers)
    shards = ShardFolder(plan, folder, labels, size)
    remade = shards.check()
    todo = shards.tasks()
    resumed = plan.n - sum(len(task.values) for task in todo)
    with LibraryProgress(progress, plan.n, resumed, plan.visits) as bar:
        for _ in _made(todo, n_workers, dask, bar):
            pass
        rate = bar.rate
    n_spectra, failed = _join(shards, out, engine, overwrite)
    if not keep_shards:
        shutil.rmtree(folder, ignore_errors=True)
    seconds = time.monotonic() - started
    n_stars = plan.n - len(failed)
    return LibraryReport(out, n_stars, n_spectra, failed, resumed, remade, seconds, rate)


def _n_workers(plan: LibraryPlan, workers: int | None, dask: str | None) -> int:
    """Processes; one for an engine on a GPU, unless more are asked for."""
    on_gpu = str(plan.engine.get("device", "cpu")) not in ("cpu", "auto")
    return workers or (1 if on_gpu and dask is None else cores())


def _made(
    todo: list[ShardTask], workers: int, dask: str | None, bar: LibraryProgress
) -> Iterator[Made]:
    """Shards as they are finished."""
    if not todo:
        return
    n = min(workers, len(todo))
    if dask is None and n == 1:
        yield from (make_shard(task, bar.add) for task in todo)
        return
    pool = process_pool(n) if dask is None else dask_pool(dask, n)
    ahead = 2 * n if dask is None else AHEAD
    with pool as executor:
        for made in in_pool(executor, make_shard, todo, ahead):
            if not Path(made.path).is_file():
                raise OutputError(
                    f"A worker wrote {made.path}, which is not seen here. On a cluster the output "
                    "must be in a folder that every machine shares."
                )
            bar.add(made.stop - made.start)
            yield made


def _join(
    shards: ShardFolder, out: Path, engine: Synthesizer, overwrite: bool
) -> tuple[int, tuple[tuple[str, str], ...]]:
    """Write the data set; the number of spectra in it, and who failed and why."""
    first = next((shard for shard in shards if len(shard.flux)), None)
    if first is None:
        why = next(shard.failed[0][1] for shard in shards)
        raise DataError(
            f"{out} would hold no spectrum: all {shards.plan.n} stars failed, the first with "
            f"{why}. Remove {shards.path} once that is mended."
        )
    plan, failed = shards.plan, []
    writer = DatasetWriter(
        out,
        grid=plan.recorder.grid,
        frame="rest",
        label_names=shards.labels.names,
        flux_unit=first.flux_unit,
        overwrite=overwrite,
        provenance=_provenance(plan, engine),
    )
    try:
        for shard in shards:
            failed += shard.failed
            lost = [dropped(name, "", FAILED, reason) for name, reason in shard.failed]
            if len(shard.flux):
                writer.append(shard.spectra(writer.grid), shard.spectra_labels(), dropped=lost)
            else:
                writer.append(None, dropped=lost)
        n = len(writer)
        writer.finish()
    except BaseException:
        writer.discard()  # the shards are kept, and joining takes little time
        raise
    return n, tuple(failed)


def _provenance(plan: LibraryPlan, engine: Synthesizer) -> dict[str, Any]:
    return {
        "command": shlex.join(sys.argv),
        "plan": plan.to_dict(),
        "digest": plan.digest(),
        "seed": plan.seed,
        "engine": engine.describe(),
    }
