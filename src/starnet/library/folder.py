"""The folder of shards beside a library that is being made: whose it is, and what is whole."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from starnet._whole import write_text
from starnet.errors import ConfigError, DataError, OutputError, StarNetError
from starnet.library.make import ShardTask
from starnet.library.plan import LibraryPlan
from starnet.library.shard import Shard, read_shard, shard_name
from starnet.spectra import Labels

log = logging.getLogger(__name__)
SHARD_SIZE = 64
SHARDS_EACH = 4
"""Fewest shards for each worker, so that none waits long for the others at the end."""
STATE = "library.json"


def shards_path(out: Path) -> Path:
    """Where the shards of a library lie until it is whole."""
    return out.with_name(out.name + ".shards")


def made_before(out: Path) -> int:
    """Stars whose shards lie beside an output that is not whole yet, for a message."""
    spans = [p.stem.split("-")[1:] for p in shards_path(out).glob("stars-*-*.npz")]
    return sum(int(stop) - int(start) for start, stop in spans)


@dataclass
class ShardFolder:
    """The shards of a plan's stars, from the first star to the last.

    Attributes
    ----------
    plan : LibraryPlan
    path : Path
    labels : Labels
        Of all its stars.
    size : int
        Stars in a shard.
    """

    plan: LibraryPlan
    path: Path
    labels: Labels
    size: int
    _good: set[int] = field(default_factory=set)

    @property
    def starts(self) -> range:
        """The first star of each shard."""
        return range(0, self.plan.n, self.size)

    def check(self) -> tuple[str, ...]:
        """Look at what an earlier run left; the names of shards that must be made again."""
        for rest in self.path.glob(".*.partial.npz"):
            rest.unlink(missing_ok=True)
        damaged = []
        for start in self.starts:
            path = self._shard(start)
            if not path.exists():
                continue
            try:
                self.read(start)
            except DataError as error:
                log.warning("%s It is made again.", error)
                path.unlink(missing_ok=True)
                damaged.append(path.name)
            else:
                self._good.add(start)
        return tuple(damaged)

    def tasks(self) -> list[ShardTask]:
        """What is to be made, after `check`."""
        plan = self.plan.to_dict()
        values, folder = self.labels.values, str(self.path.absolute())  # for a cluster
        return [
            ShardTask(plan, start, self.labels.names, values[start : start + self.size], folder)
            for start in self.starts
            if start not in self._good
        ]

    def read(self, start: int) -> Shard:
        """A shard.

        Raises
        ------
        DataError
            If it is damaged, or not of these stars.
        """
        path = self._shard(start)
        shard = read_shard(path)
        wanted = self.labels.values[shard.start : shard.stop]
        same = shard.names == self.labels.names and np.array_equal(shard.labels, wanted)
        if shard.digest != self.plan.digest() or not same:
            raise DataError(
                f"The shard {path.name} is of other stars: the table or the atmospheres that they "
                "were drawn by have changed since."
            )
        return shard

    def __iter__(self) -> Iterator[Shard]:
        """All shards in order; `DataError` if two were made by engines that differ."""
        first: Shard | None = None
        for start in self.starts:
            shard = self.read(start)
            first = first or shard
            if shard.inputs != first.inputs:
                names = " and ".join(shard_name(s.start, s.stop) for s in (first, shard))
                raise DataError(
                    f"{names} in {self.path} were made by different versions or inputs of the "
                    "engine. Remove those of the one that is not wanted and run again."
                )
            yield shard

    def _shard(self, start: int) -> Path:
        return self.path / shard_name(start, min(start + self.size, self.plan.n))


def usual_size(plan: LibraryPlan, workers: int) -> int:
    """Stars in a shard: whole batches, and several shards for each worker, up to `SHARD_SIZE`."""
    share = -(-plan.n // (SHARDS_EACH * workers * plan.batch)) * plan.batch
    return min(share, max(SHARD_SIZE, plan.batch))


def begin_folder(
    plan: LibraryPlan, path: Path, shard_size: int | None, resume: bool, workers: int = 1
) -> int:
    """Make ready a folder of shards; their size.

    Without ``shard_size`` that is the size of the shards there, or `usual_size`.

    Raises
    ------
    ConfigError
        If it holds shards of another plan.
    OutputError
        If it is not ours, or cannot be written.
    """
    state = path / STATE
    if path.exists() and not state.is_file() and (not path.is_dir() or any(path.iterdir())):
        raise OutputError(f"{path} is in the way and holds no shards. Move it.")
    if not resume:
        shutil.rmtree(path, ignore_errors=True)
    size = shard_size or usual_size(plan, workers)
    if state.is_file():
        found = _state(state)
        if found.get("digest") != plan.digest():
            raise ConfigError(_other_plan(path, found.get("plan"), plan))
        size = shard_size or int(found.get("shard_size", size))
    told = {"digest": plan.digest(), "shard_size": size, "plan": plan.to_dict()}
    write_text(state, json.dumps(told, indent=1), "The state of the library")
    return size


def _state(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path} is damaged ({error}); start afresh with resume=False (--no-resume), or remove "
            "that file and move the shards beside it away."
        ) from error
    return found if isinstance(found, dict) else {}


def _other_plan(path: Path, found: Any, plan: LibraryPlan) -> str:
    try:
        before, now = LibraryPlan.from_dict(found).essence(), plan.essence()
        keys = ", ".join(key for key in now if before.get(key) != now[key])
    except (StarNetError, TypeError):
        keys = "everything"
    return (
        f"{path} holds shards of another plan (it differs in {keys}). Give that plan to go on, "
        "another output, or resume=False (--no-resume) to remove them and start afresh."
    )
