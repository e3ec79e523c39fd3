"""Opens a data set. Lazy: spectra are read when they are asked for, chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import zarr
from astropy.table import Table
from numpy.typing import ArrayLike, NDArray

from starnet.dataset.columns import read_columns, read_dropped
from starnet.dataset.layout import (
    DROPPED,
    FORMAT,
    PIXEL_ARRAYS,
    VERSION,
    missing_chunks,
    partial_path,
    read_grid,
)
from starnet.errors import DataError, LabelError
from starnet.spectra import Frame, Labels, LabelSpec, Spectra, WavelengthGrid, label_spec
from starnet.surveys import stars_by_position


class SpectraDataset:
    """Spectra and labels on disk. Made by `open_dataset`.

    Metadata and labels are read when they are first used and kept; spectra are read by `read`
    and never kept.
    """

    def __init__(self, path: Path, group: zarr.Group) -> None:
        self.path = path
        self._group = group
        self._pixels: dict[str, Any] = {name: group[name] for name in PIXEL_ARRAYS}
        self._attrs: dict[str, Any] = dict(group.attrs)

    def __len__(self) -> int:
        return self._pixels["flux"].shape[0]

    def __repr__(self) -> str:
        labels = ", ".join(self.label_names) or "no labels"
        return (
            f"SpectraDataset({self.path.name}: {len(self)} spectra of {len(set(self.stars))} stars"
            f" x {self.grid.describe()}, {self.frame} frame; {labels})"
        )

    @cached_property
    def grid(self) -> WavelengthGrid:
        """Wavelengths of all spectra."""
        return read_grid(self._group)

    @property
    def frame(self) -> Frame:
        """Frame of all spectra."""
        return self._attrs["frame"]

    @cached_property
    def flux_unit(self) -> u.UnitBase:
        """Unit of the flux."""
        return u.Unit(self._attrs["flux_unit"])

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the labels; empty where there are none."""
        return tuple(self._attrs["label_names"])

    @property
    def provenance(self) -> dict[str, Any]:
        """Where the data set comes from: command, settings, versions, time."""
        return dict(self._attrs["provenance"])

    @property
    def chunk_rows(self) -> int:
        """Spectra in a chunk: rows that are read together."""
        return self._pixels["flux"].chunks[0]

    @cached_property
    def labels(self) -> Labels:
        """All labels, shape (N, L).

        Raises
        ------
        LabelError
            If the data set has none.
        """
        if not self.label_names:
            raise LabelError(
                f"{self.path} has no labels. Build it with a table of labels to train from it."
            )
        specs = tuple(
            LabelSpec(name, unit, label_spec(name).physical)
            for name, unit in zip(self.label_names, self._attrs["label_units"], strict=True)
        )
        values, errors = (_get(self._group[n], slice(None)) for n in ("labels", "label_errors"))
        return Labels(self.label_names, values, errors, specs)

    @cached_property
    def meta(self) -> Table:
        """Metadata of each spectrum; ``id`` and ``star`` are always there."""
        return read_columns(self._group["rows"])

    @cached_property
    def ids(self) -> NDArray[np.str_]:
        """Unique name of each spectrum, shape (N,)."""
        return self._names("id")

    @cached_property
    def stars(self) -> NDArray[np.str_]:
        """Star of each spectrum, shape (N,); visits of one star share it.

        Surveys that name a star by the coordinates of the visit (LAMOST) give it several names.
        Where coordinates are known, spectra within 3 arcseconds are of one star, so that no
        split parts them; ``meta["star"]`` has the names as they were read.
        """
        names = self._names("star")
        columns: Any = self._group["rows"].attrs["columns"]
        if not {"ra", "dec"} <= set(columns):
            return names
        place = read_columns(self._group["rows"], ["ra", "dec"])
        return stars_by_position(np.asarray(place["ra"]), np.asarray(place["dec"]), names)

    def _names(self, column: str) -> NDArray[np.str_]:
        return np.asarray(read_columns(self._group["rows"], [column])[column], dtype=str)

    @property
    def files(self) -> Table:
        """The files that were read: path, size in bytes, modification time, spectra kept."""
        return read_columns(self._group["files"])

    @property
    def dropped(self) -> Table:
        """What was left out when the data set was built, and why."""
        return read_dropped(self.path / DROPPED)

    def read(self, rows: ArrayLike | slice | None = None) -> Spectra:
        """Some of the spectra, in the order of the rows (all of them by default).

        Raises
        ------
        DataError
            If a row is not there, or the file is damaged.
        """
        index = self.row_index(rows)
        arrays = {name: self.read_array(name, index) for name in PIXEL_ARRAYS}
        meta: Any = self.meta[index]
        return Spectra(
            self.grid,
            arrays["flux"],
            arrays["ivar"],
            arrays["mask"],
            frame=self.frame,
            meta=meta,
            flux_unit=self.flux_unit,
        )

    def read_array(self, name: str, rows: ArrayLike | slice) -> NDArray[Any]:
        """``flux``, ``ivar`` or ``mask`` of some rows, shape (n, P); each chunk is read once."""
        index = self.row_index(rows)
        array = self._pixels[name]
        out = np.empty((index.size, array.shape[1]), array.dtype)
        order = np.argsort(index, kind="stable")
        for first, part in by_chunk(index[order], self.chunk_rows):
            block = _get(array, slice(first, min(first + self.chunk_rows, len(self))))
            out[order[part]] = block[index[order[part]] - first]
        return out

    def row_index(self, rows: ArrayLike | slice | None) -> NDArray[np.int64]:
        """Row numbers of a slice, of indices (negative ones count from the end) or of a mask."""
        everything = np.arange(len(self))
        if rows is None:
            return everything
        try:
            pick = rows if isinstance(rows, slice) else np.asarray(rows)
            if not isinstance(pick, slice) and not pick.size:
                return everything[:0]
            return np.atleast_1d(everything[pick])
        except IndexError as error:
            raise DataError(
                f"{self.path.name} has {len(self)} spectra, rows 0 to {len(self) - 1}; {error}."
            ) from error

    def summary(self) -> dict[str, Any]:
        """What is in it, JSON-ready: sizes, grid, and range of each label."""
        out = {
            "path": str(self.path),
            "n_spectra": len(self),
            "n_stars": len(set(self.stars.tolist())),
            "grid": self.grid.describe(),
            "frame": self.frame,
            "flux_unit": str(self.flux_unit),
            "labels": {},
            "columns": list(self.meta.colnames),
            "n_dropped": len(self.dropped),
            "made": self.provenance.get("made"),
        }
        if self.label_names:
            for spec, column in zip(self.labels.specs, self.labels.values.T, strict=True):
                known = column[np.isfinite(column)]
                low, middle, high = np.percentile(known, [0, 50, 100]) if known.size else [None] * 3
                out["labels"][spec.name] = {
                    "unit": spec.unit,
                    "n": int(known.size),
                    "min": low,
                    "median": middle,
                    "max": high,
                }
        return out


def open_dataset(path: str | Path) -> SpectraDataset:
    """Open a data set that `build` or `DatasetWriter` made.

    Raises
    ------
    DataError
        If there is none, it is something else, was made by a newer version, or has lost files.
    """
    path = Path(path)
    group = _open_group(path)
    attrs: Any = group.attrs
    if attrs.get("format") != FORMAT:
        raise DataError(f"{path} is a Zarr store, but not a StarNet data set.{_HOW}")
    if attrs.get("version", 0) > VERSION:
        raise DataError(
            f"{path} has format version {attrs['version']} and this StarNet reads versions up to "
            f"{VERSION}. Update StarNet."
        )
    if not attrs.get("complete"):
        raise DataError(f"{path} was not finished. Run the same build again to complete it.")
    _check_whole(path, group)
    return SpectraDataset(path, group)


_HOW = " Make one with `starnet dataset build`."


def _open_group(path: Path) -> zarr.Group:
    if not path.exists() and partial_path(path).exists():
        raise DataError(
            f"{path} was not finished: {partial_path(path).name} is there. Run the same build "
            "again to complete it."
        )
    if not (path / "zarr.json").is_file():
        what = "is not a data set" if path.exists() else "does not exist"
        raise DataError(f"{path} {what}; a folder with a zarr.json is needed.{_HOW}")
    try:
        return zarr.open_group(path, mode="r", zarr_format=3)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} cannot be read as a Zarr group ({error}).{_HOW}") from error


def _check_whole(path: Path, group: zarr.Group) -> None:
    """Raise a `DataError` unless every array has its size and all its chunks."""
    attrs: Any = group.attrs
    n, names = attrs["n_spectra"], attrs["label_names"]
    labels = dict.fromkeys(("labels", "label_errors") if names else (), (n, len(names)))
    damaged = f"{path} is damaged: {{}}. Restore it from a copy, or build it again."
    try:
        pixels = (n, group["wavelength"].shape[0])  # type: ignore[union-attr]
        for name, shape in {**dict.fromkeys(PIXEL_ARRAYS, pixels), **labels}.items():
            array: Any = group[name]
            if array.shape != shape:
                raise DataError(damaged.format(f"{name} has shape {array.shape}, not {shape}"))
            if lost := missing_chunks(path, array, name):
                raise DataError(damaged.format(f"{lost} chunk(s) of {name} are absent or empty"))
        for stored in group["rows"].attrs["columns"].values():  # type: ignore[union-attr]
            column: Any = group[f"rows/{stored}"]
            if column.shape != (n,) or missing_chunks(path, column, f"rows/{stored}"):
                raise DataError(damaged.format(f"the column {stored} is not whole"))
    except (OSError, KeyError, TypeError) as error:
        raise DataError(damaged.format(f"it lacks {error}")) from error


def _get(array: Any, rows: slice) -> NDArray[Any]:
    try:
        return np.asarray(array[rows])
    except (ValueError, RuntimeError, OSError) as error:
        raise DataError(
            f"{array.name.strip('/')} of {array.store.root} is damaged at rows {rows.start or 0} "
            f"to {rows.stop or array.shape[0]} ({error}). Restore it from a copy, or build it "
            "again."
        ) from error


def by_chunk(rows: NDArray[np.int64], size: int) -> Iterator[tuple[int, slice]]:
    """First row of each chunk that sorted rows touch, and which of the rows are in it."""
    chunks = rows // size
    starts: Sequence[int] = np.flatnonzero(np.diff(chunks, prepend=-1)).tolist()
    for start, stop in pairwise([*starts, rows.size]):
        yield int(chunks[start]) * size, slice(start, stop)
