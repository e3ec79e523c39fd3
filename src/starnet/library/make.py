"""Makes one shard, wherever it runs: in this process, in a worker of a pool, on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import vstack
from numpy.typing import NDArray

from starnet.errors import (
    ConfigError,
    DataError,
    GridError,
    MissingDependencyError,
    OutputError,
)
from starnet.library.engine import LOCK, opened
from starnet.library.plan import LibraryPlan
from starnet.library.shard import Shard, meta_columns, write_shard
from starnet.spectra import Labels, Spectra, WavelengthGrid
from starnet.synthesis.contract import Synthesizer
from starnet.synthesis.observe import Instrument

Array = NDArray[Any]
Tick = Callable[[int], None]
"""Told how many stars were finished since it was called last."""
FATAL = (ConfigError, GridError, MissingDependencyError, OutputError, MemoryError)
"""What no other star would fare better with."""
ENOUGH = 4
"""A shard of at least so many stars that all fail is a fault of the engine, not of the stars."""
NARROWEST = 0.5
"""Factor on the line spread below which an observer does not go."""
REACH = 100.0
"""km/s beyond the instrument's ends, for the residual velocities of the observer."""


@dataclass(frozen=True)
class ShardTask:
    """What a worker needs to make a shard: plain values, the same on every machine.

    Attributes
    ----------
    plan : mapping
        `LibraryPlan.to_dict`.
    start : int
        Place of the first star.
    names : tuple of str
    values : array (N, L)
        Labels.
    folder : str
        Where the shard shall be.
    """

    plan: Mapping[str, Any]
    start: int
    names: tuple[str, ...]
    values: Array
    folder: str

    @property
    def stop(self) -> int:
        """Place after the last star."""
        return self.start + len(self.values)


@dataclass(frozen=True)
class Made:
    """What a worker answers: the shard itself is on disk."""

    start: int
    stop: int
    failed: tuple[tuple[str, str], ...]
    path: str


def make_shard(task: ShardTask, tick: Tick | None = None) -> Made:
    """Compute a shard and write it.

    Raises
    ------
    DataError
        If every star of it fails.
    ConfigError, GridError, MissingDependencyError
        If the engine cannot be opened, or does not reach the instrument's wavelengths.
    OutputError
        If it cannot be written.
    """
    with LOCK:
        shard = compute_shard(task, tick or (lambda n: None))
        path = write_shard(Path(task.folder), shard)
    return Made(shard.start, shard.stop, shard.failed, str(path))


def compute_shard(task: ShardTask, tick: Tick) -> Shard:
    """The spectra of a task's stars, as the instrument records or the observer sees them."""
    plan = LibraryPlan.from_dict(task.plan)
    engine = opened(plan.engine)
    ids = plan.ids(task.start, task.stop)
    fine = engine.fine_grid(asked_grid(plan.recorder))
    labels = Labels(task.names, task.values)
    done: list[Spectra] = []
    failed: list[tuple[str, str]] = []
    for at in range(0, len(labels), plan.batch):
        rows = list(range(at, min(at + plan.batch, len(labels))))
        for part, why in _some(plan, engine, labels, fine, ids, rows):
            done += [] if part is None else [part]
            failed += why
        tick(len(rows))
    if not done:
        if len(labels) >= ENOUGH:
            raise DataError(_hopeless(ids, failed))
        return _empty(task, plan, engine, tuple(failed))
    meta = vstack([part.meta for part in done], metadata_conflicts="silent")
    flux, ivar, mask = (np.concatenate([getattr(p, n) for p in done]) for n in _PIXELS)
    place = {name: task.start + i for i, name in enumerate(ids)}
    columns = meta_columns(meta) | {"place": [place[str(star)] for star in meta["star"]]}
    return Shard(
        task.start, task.stop, plan.digest(), task.names, np.array(labels.values),
        flux.astype(np.float32), ivar.astype(np.float32), mask, columns, tuple(failed),
        engine.describe(), str(done[0].flux_unit),
    )  # fmt: skip


_PIXELS = ("flux", "ivar", "mask")


def _empty(
    task: ShardTask, plan: LibraryPlan, engine: Synthesizer, failed: tuple[tuple[str, str], ...]
) -> Shard:
    blank = np.zeros((0, plan.recorder.grid.n_pixels), dtype=np.float32)
    meta: dict[str, list[Any]] = {"id": [], "star": [], "place": []}
    return Shard(
        task.start, task.stop, plan.digest(), task.names, task.values, blank, blank,
        blank.astype(bool), meta, failed, engine.describe(),
    )  # fmt: skip


def _some(
    plan: LibraryPlan,
    engine: Synthesizer,
    labels: Labels,
    fine: WavelengthGrid,
    ids: list[str],
    rows: list[int],
) -> list[tuple[Spectra | None, list[tuple[str, str]]]]:
    """Spectra of some stars together; if they fail, of each alone, and who failed and why."""
    try:
        return [(_spectra(plan, engine, labels[rows], fine, [ids[i] for i in rows]), [])]
    except FATAL:
        raise
    except Exception as error:  # whatever an engine does on one star must not stop the others
        if len(rows) == 1:
            reason = " ".join(str(error).split()) or "no reason given"
            return [(None, [(ids[rows[0]], f"{type(error).__name__}: {reason}"[:500])])]
    return [_some(plan, engine, labels, fine, ids, [row])[0] for row in rows]


def _spectra(
    plan: LibraryPlan, engine: Synthesizer, labels: Labels, fine: WavelengthGrid, ids: list[str]
) -> Spectra:
    """Spectra of N stars, ``visits`` of each, visit by visit."""
    made = engine.synthesize(labels, fine, batch=len(labels))
    clean = made.spectra(ids, absolute=plan.absolute)
    meta = clean.meta["id",]
    meta["star"] = ids
    clean = clean.replace(meta=meta)
    bad = ~np.isfinite(clean.flux).all(axis=1)
    if clean.mask.any() or bad.any():  # infinite flux comes masked
        raise DataError("the engine gave a flux that is not finite")
    if plan.observer is None:
        return plan.recorder.project(clean)
    seen = [_visit(plan, clean, v) for v in range(plan.visits)]
    return seen[0] if len(seen) == 1 else _joined(seen)


def _visit(plan: LibraryPlan, clean: Spectra, visit: int) -> Spectra:
    assert plan.observer is not None
    seen = plan.observer(clean, visit=visit)
    meta = seen.meta.copy()
    if plan.visits > 1:
        meta["id"] = [f"{star}-v{visit}" for star in meta["star"]]
    return seen.replace(meta=meta)


def _joined(parts: list[Spectra]) -> Spectra:
    flux, ivar, mask = (np.concatenate([getattr(p, n) for p in parts]) for n in _PIXELS)
    meta = vstack([part.meta for part in parts], metadata_conflicts="silent")
    return Spectra(
        parts[0].grid, flux, ivar, mask, frame=parts[0].frame, meta=meta,
        flux_unit=parts[0].flux_unit,
    )  # fmt: skip


def asked_grid(instrument: Instrument) -> WavelengthGrid:
    """Wavelengths, in vacuum, that clean spectra should have for an instrument."""
    ends = WavelengthGrid(np.array(instrument.coverage(REACH)), instrument.medium).to_vacuum()
    # even in wavelength: no engine takes it for a fine grid of its own
    low, high = ends.wavelength
    return WavelengthGrid(np.linspace(low, high, instrument.grid.n_pixels), "vacuum")


def check_reach(plan: LibraryPlan, engine: Synthesizer) -> None:
    """Raises `GridError` if an engine's own grid is too short or too coarse for the instrument."""
    fine = engine.fine_grid(asked_grid(plan.recorder))
    spread = 0.0 if plan.observer is None else plan.observer.lsf_sigma
    flat = Spectra(fine, np.ones((1, fine.n_pixels)), frame="rest")
    plan.recorder.project(flat, [max(NARROWEST, 1 - 3 * spread)])


def _hopeless(ids: list[str], failed: list[tuple[str, str]]) -> str:
    return (
        f"All {len(ids)} stars from {ids[0]} to {ids[-1]} failed; the first: {failed[0][1]}. "
        "That is for the engine or its inputs to mend; what was finished before is kept."
    )
