"""One shard of a library on disk: spectra of a run of stars, written whole, checked when read.

A shard is an uncompressed ``.npz``: a zip archive, whose members carry CRC-32 sums, so that a
file which was cut short or damaged shows when it is read. It holds flux, ivar (S, P) and mask of
its spectra, the labels of all its stars, and a text of JSON with the metadata of the spectra, the
stars that failed, the digest of the plan and the description of the engine.
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from starnet._whole import whole_file
from starnet.dataset.journal import columns_of
from starnet.errors import DataError
from starnet.library.engine import without_places
from starnet.spectra import Labels, Spectra, WavelengthGrid

Array = NDArray[Any]
FORMAT = 1


@dataclass(frozen=True, eq=False)
class Shard:
    """What was made of stars ``start`` to ``stop``.

    Attributes
    ----------
    start, stop : int
        Places in the row of stars.
    digest : str
        Of the plan.
    names : tuple of str
        The L labels.
    labels : array (stop - start, L)
        Of all its stars, also those that failed.
    flux, ivar : array (S, P)
        float32.
    mask : array (S, P)
        bool.
    meta : mapping of column to list
        Of the S spectra; ``id``, ``star``, ``place`` (of the star, from 0) are always there.
    failed : tuple of (id, reason)
    engine : mapping
        As the engine describes itself.
    flux_unit : str
    """

    start: int
    stop: int
    digest: str
    names: tuple[str, ...]
    labels: Array
    flux: Array
    ivar: Array
    mask: Array
    meta: Mapping[str, list[Any]]
    failed: tuple[tuple[str, str], ...]
    engine: Mapping[str, Any]
    flux_unit: str = ""

    def spectra(self, grid: WavelengthGrid) -> Spectra:
        """The spectra, at rest; metadata of no use to a reader are left out."""
        columns = {k: v for k, v in self.meta.items() if k != "place"}
        return Spectra(
            grid, self.flux, self.ivar, self.mask, frame="rest", meta=_table(columns),
            flux_unit=u.Unit(self.flux_unit),
        )  # fmt: skip

    def spectra_labels(self) -> Labels:
        """Labels of the S spectra."""
        return Labels(self.names, self.labels[np.array(self.meta["place"], dtype=int) - self.start])

    @property
    def inputs(self) -> str:
        """The engine's description as text, without where its inputs lie."""
        return json.dumps(without_places(self.engine), sort_keys=True)


def shard_name(start: int, stop: int) -> str:
    """``stars-0000000-0000064.npz``."""
    return f"stars-{start:07d}-{stop:07d}.npz"


def write_shard(folder: Path, shard: Shard) -> Path:
    """Write a shard, whole or not at all.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    path = folder / shard_name(shard.start, shard.stop)
    facts = {"format": FORMAT, "meta": dict(shard.meta), "engine": dict(shard.engine)}
    for name in ("start", "stop", "digest", "names", "failed", "flux_unit"):
        facts[name] = getattr(shard, name)
    text = np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8)
    arrays: dict[str, Any] = {n: getattr(shard, n) for n in ("labels", "flux", "ivar", "mask")}
    with whole_file(path, "The shard") as partial, partial.open("wb") as file:
        np.savez(file, facts=text, **arrays)
        file.flush()
        os.fsync(file.fileno())
    return path


def read_shard(path: Path) -> Shard:
    """A shard, with every checksum checked.

    Raises
    ------
    DataError
        If the file is damaged, cut short, or no shard.
    """
    damage = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in ("labels", "flux", "ivar", "mask")}
            facts = json.loads(archive["facts"].tobytes())
        if facts.pop("format") != FORMAT:
            raise ValueError("another format")
        facts["names"] = tuple(facts["names"])
        facts["failed"] = tuple((name, reason) for name, reason in facts["failed"])
        shard = Shard(**arrays, **facts)
        _check(shard, path)
    except damage as error:
        raise DataError(
            f"The shard {path.name} is damaged or no shard ({error or type(error).__name__}); "
            "remove it, and it is made again."
        ) from error
    return shard


def _check(shard: Shard, path: Path) -> None:
    n = len(shard.flux)
    same = all(getattr(shard, name).shape == shard.flux.shape for name in ("ivar", "mask"))
    columns = all(len(column) == n for column in shard.meta.values())
    stars = shard.labels.shape == (shard.stop - shard.start, len(shard.names))
    if not (same and columns and stars and path.name == shard_name(shard.start, shard.stop)):
        raise ValueError("its parts do not fit each other or its name")


def meta_columns(meta: Table) -> dict[str, list[Any]]:
    """Columns of metadata as a shard holds them."""
    return columns_of(meta)


def _table(columns: Mapping[str, list[Any]]) -> Table:
    return Table({k: [np.nan if v is None else v for v in column] for k, column in columns.items()})
