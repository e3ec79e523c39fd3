"""Writes a data set block by block: flat memory, never half-written, resumable."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any

import astropy.units as u
import numpy as np
import zarr

from starnet.dataset.columns import write_columns
from starnet.dataset.journal import Journal, JournalState, columns_of, join_columns, units_of
from starnet.dataset.layout import (
    CHUNK_ROWS,
    JOURNAL,
    PIXEL_ARRAYS,
    begun,
    create_store,
    is_ours,
    partial_path,
    read_grid,
    writable,
    writing,
)
from starnet.errors import ConfigError, DataError, GridError, LabelError, OutputError
from starnet.spectra import Frame, Labels, Spectra, WavelengthGrid, label_spec

VERSIONS = ("starnet", "numpy", "astropy", "zarr")
BLOCKS = 4
"""Chunks that are gathered before they are written together."""


class DatasetWriter:
    """Appends spectra and labels to a new data set.

    The data set grows in ``OUT.partial`` and gets its name when it is whole, at the end of the
    ``with`` block. If the block ends in an error, ``OUT.partial`` is kept, and ``resume=True``
    goes on from there.

    Parameters
    ----------
    out : path
        The data set to write, by custom ``NAME.zarr``.
    grid : WavelengthGrid
        Wavelengths of all its spectra.
    frame : "rest" or "observed"
        Frame of all its spectra.
    label_names : sequence of str
        Labels of all its spectra; empty for spectra without labels.
    flux_unit : Unit
        Unit of the flux.
    overwrite : bool
        Replace a data set of that name. Anything that is not a data set is never replaced.
    resume : bool
        Go on with an interrupted ``OUT.partial`` if there is one; otherwise start afresh.
    settings : dict
        JSON-ready; must be the same when an interrupted build is resumed.
    provenance : dict
        JSON-ready; kept in the data set.
    chunk_rows : int
        Spectra in a chunk on disk.

    Raises
    ------
    OutputError
        If the output exists, is not writable, or the disk is full.
    ConfigError
        If the interrupted build was made with other settings.

    Examples
    --------
    >>> with DatasetWriter("made_up.zarr", grid=grid, label_names=("teff",)) as writer:
    ...     for spectra, labels in batches:
    ...         writer.append(spectra, labels)
    """

    def __init__(
        self,
        out: str | Path,
        *,
        grid: WavelengthGrid,
        frame: Frame = "rest",
        label_names: Sequence[str] = (),
        flux_unit: Any = u.dimensionless_unscaled,
        overwrite: bool = False,
        resume: bool = False,
        settings: Mapping[str, Any] | None = None,
        provenance: Mapping[str, Any] | None = None,
        chunk_rows: int = CHUNK_ROWS,
    ) -> None:
        self.out = Path(out)
        self.grid, self.flux_unit = grid, u.Unit(flux_unit)
        self.frame: Frame = frame
        self.label_names = tuple(label_names)
        self.provenance = dict(provenance or {})
        self._overwrite, self._closed = overwrite, False
        self._spectra: list[Spectra] = []
        self._columns: list[dict[str, list[Any]]] = []
        self._labels: list[Labels] = []
        self._files: list[dict[str, Any]] = []
        self._dropped: list[dict[str, str]] = []
        check_output(self.out, overwrite=overwrite)
        self.partial = partial_path(self.out)
        self._block_rows = BLOCKS * chunk_rows
        own = {"labels": list(self.label_names), "frame": frame, "unit": str(self.flux_unit)}
        self._settings = json.loads(json.dumps({**own, **(settings or {})}))
        if resume and begun(self.partial):
            self._group, self.state = self._reopen()
        else:
            self._group, self.state = self._create(chunk_rows)
        self.journal = Journal(self.partial / JOURNAL)
        self.ids = self.state.ids
        self.matched_by = self.state.matched_by

    def __len__(self) -> int:
        """Number of spectra that were appended."""
        return self.state.n_rows + sum(map(len, self._spectra))

    def append(
        self,
        spectra: Spectra | None,
        labels: Labels | None = None,
        *,
        columns: Mapping[str, list[Any]] | None = None,
        files: Iterable[Mapping[str, Any]] = (),
        dropped: Iterable[Mapping[str, str]] = (),
    ) -> None:
        """Add spectra, and their labels in the same order.

        Parameters
        ----------
        spectra : Spectra or None
            None notes files and what was dropped only.
        labels : Labels, optional
            Needed if the data set has labels.
        columns : mapping, optional
            More columns of metadata: a value for each of the spectra.
        files, dropped : iterable of dict
            Files that were read for these spectra, and what was left out; written with them.

        Raises
        ------
        GridError, FrameError
            If the spectra are on another grid or in another frame than the data set.
        DataError
            If an ``id`` is there already, or the unit of the flux differs.
        LabelError
            If labels are absent, of other names or of another number.
        OutputError
            If they cannot be written.
        """
        if spectra is not None:
            self._check(spectra, labels)
            self.ids.update(spectra.ids.tolist())
            self._spectra.append(spectra)
            self._columns.append({**columns_of(spectra.meta), **(columns or {})})
        if spectra is not None and labels is not None:
            self._labels.append(labels)
        self._files.extend(dict(entry) for entry in files)
        self._dropped.extend(dict(entry) for entry in dropped)
        waiting = sum(map(len, self._spectra))
        notes = len(self._files) + len(self._dropped)
        if waiting >= self._block_rows or notes >= 8 * self._block_rows:
            self.flush()

    def flush(self) -> None:
        """Write what was gathered to the disk."""
        if not (self._spectra or self._files or self._dropped):
            return
        start, columns, units = self.state.n_rows, {}, {}
        stop = start
        with writing(self.out):
            if self._spectra:
                stop = start + sum(map(len, self._spectra))
                for name in PIXEL_ARRAYS:
                    array = writable(self._group, name)
                    array.resize((stop, self.grid.n_pixels))
                    array[start:stop] = np.concatenate([getattr(p, name) for p in self._spectra])
                columns = join_columns(self._columns)
                units = units_of(self._spectra[0].meta)
                # Readers may give names as numbers or bytes; in a data set they are text.
                columns["id"] = [name for part in self._spectra for name in part.ids.tolist()]
                columns["star"] = [name for part in self._spectra for name in part.stars.tolist()]
            record = {
                "rows": stop,
                "columns": columns,
                "units": units,
                "labels": [row for part in self._labels for row in part.values.tolist()],
                "label_errors": [row for part in self._labels for row in part.errors.tolist()],
                "files": self._files,
                "dropped": self._dropped,
                "matched_by": self.matched_by,
            }
            self.journal.write(record)
        self.state.add(record)
        self._spectra, self._columns, self._labels = [], [], []
        self._files, self._dropped = [], []

    def finish(self, dropped: Iterable[Mapping[str, str]] = ()) -> Path:
        """Complete the data set and give it its name.

        Parameters
        ----------
        dropped : iterable of dict
            More entries for the list of what was dropped.

        Raises
        ------
        DataError
            If there is no spectrum in it.
        OutputError
            If it cannot be written.
        """
        if self._closed:
            return self.out
        self.flush()
        if not self.state.n_rows:
            raise DataError(f"{self.out} would hold no spectrum: nothing was appended to it.")
        with writing(self.out):
            columns = (self._group, self.partial, self.journal, self.state, self.label_names)
            write_columns(*columns, dropped)
            self._group.attrs.update(self._final_attributes())
            _put_in_place(self.partial, self.out, overwrite=self._overwrite)
            (self.out / JOURNAL).unlink(missing_ok=True)
        self._closed = True
        return self.out

    def keep(self) -> None:
        """Stop before the end: what there is stays in ``OUT.partial``, to be resumed."""
        if not self._closed:
            with suppress(OSError):  # a full disk may not even take the last block
                self.flush()

    def discard(self) -> None:
        """Remove what was written; the data set will not come to be."""
        self._closed = True
        shutil.rmtree(self.partial, ignore_errors=True)

    def __enter__(self) -> DatasetWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None and not self._closed:
            self.finish()
        else:
            self.keep()

    def _check(self, spectra: Spectra, labels: Labels | None) -> None:
        if not self.grid.matches(spectra.grid):
            raise GridError(
                f"This data set is on the grid {self.grid.describe()}; received spectra on "
                f"{spectra.grid.describe()}. Resample them first (preprocess.Resample)."
            )
        spectra.require(frame=self.frame)
        if spectra.flux_unit != self.flux_unit:
            raise DataError(
                f"The flux of this data set is in {self.flux_unit or 'no unit'}; received "
                f"{spectra.flux_unit or 'no unit'}. Convert or normalise it first."
            )
        ids = spectra.ids.tolist()
        again = sorted(self.ids.intersection(ids))
        if not again and len(set(ids)) < len(ids):
            again = [name for name, count in Counter(ids).items() if count > 1]
        if again:
            raise DataError(
                f"Each spectrum of a data set has its own id; {len(again)} are there already "
                f"({', '.join(again[:5])}). Give them other names in meta['id']."
            )
        names = () if labels is None else labels.names
        if names != self.label_names or (labels is not None and len(labels) != len(spectra)):
            raise LabelError(
                f"This data set has labels ({', '.join(self.label_names) or 'none'}) for each "
                f"spectrum; received {0 if labels is None else len(labels)} of "
                f"({', '.join(names) or 'none'}) for {len(spectra)} spectra."
            )

    def _create(self, chunk_rows: int) -> tuple[zarr.Group, JournalState]:
        if self.partial.exists() and not (is_ours(self.partial) or _is_empty(self.partial)):
            raise OutputError(
                f"{self.partial} is in the way and is not an interrupted data set. Move it, "
                "or choose another output."
            )
        with writing(self.out):
            try:
                shutil.rmtree(self.partial, ignore_errors=True)
                self.partial.mkdir(parents=True)
                facts = self.grid, self.frame, self.flux_unit, chunk_rows
                group = create_store(self.partial, *facts)
                group.attrs["settings"] = self._settings
                (self.partial / JOURNAL).touch()
            except BaseException:
                shutil.rmtree(self.partial, ignore_errors=True)
                raise
        return group, JournalState()

    def _reopen(self) -> tuple[zarr.Group, JournalState]:
        with writing(self.out):
            group = zarr.open_group(self.partial, mode="r+")
            found: Any = group.attrs.get("settings")
            if found != self._settings or not self.grid.matches(read_grid(group)):
                raise ConfigError(
                    f"{self.partial} was left by a build with other settings "
                    f"({_differences(found, self._settings)}). Use the same settings to go on "
                    "with it, or resume=False to start afresh."
                )
            journal, state = Journal(self.partial / JOURNAL), JournalState()
            journal.repair()
            for record in journal:
                state.add(record)
            for name in PIXEL_ARRAYS:
                array = writable(group, name)
                array.resize((state.n_rows, self.grid.n_pixels))
        return group, state

    def _final_attributes(self) -> dict[str, Any]:
        provenance = {
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": {name: version(name) for name in VERSIONS},
            **self.provenance,
        }
        return {
            "label_names": list(self.label_names),
            "label_units": [label_spec(name).unit for name in self.label_names],
            "n_spectra": self.state.n_rows,
            "provenance": json.loads(json.dumps(provenance)),
            "complete": True,
        }


def from_arrays(
    spectra: Spectra,
    labels: Labels | None,
    out: str | Path,
    *,
    overwrite: bool = False,
    provenance: Mapping[str, Any] | None = None,
) -> Path:
    """Write spectra that are in memory, and their labels, as a data set; returns its path."""
    with DatasetWriter(
        out,
        grid=spectra.grid,
        frame=spectra.frame,
        label_names=() if labels is None else labels.names,
        flux_unit=spectra.flux_unit,
        overwrite=overwrite,
        provenance=provenance,
    ) as writer:
        writer.append(spectra, labels)
    return writer.out


def check_output(out: Path, *, overwrite: bool) -> None:
    """Raise an `OutputError` if a data set may not be written there."""
    if not out.exists():
        return
    if not (out.is_dir() and is_ours(out)):
        raise OutputError(
            f"{out} exists and is not a data set; it will not be replaced. Choose another output."
        )
    if not overwrite:
        raise OutputError(
            f"{out} exists. Use overwrite=True (--overwrite) to replace it, or choose another "
            "output."
        )


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def _put_in_place(partial: Path, out: Path, *, overwrite: bool) -> None:
    check_output(out, overwrite=overwrite)
    if not out.exists():
        partial.rename(out)
        return
    old = out.with_name(out.name + ".replaced")
    shutil.rmtree(old, ignore_errors=True)
    out.rename(old)
    partial.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def _differences(found: Any, wanted: Mapping[str, Any]) -> str:
    found = found if isinstance(found, dict) else {}
    names = [name for name in {**wanted, **found} if found.get(name) != wanted.get(name)]
    return ", ".join(f"{n}: {found.get(n)} before, {wanted.get(n)} now" for n in names) or "grid"
