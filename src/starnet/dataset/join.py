"""Decides for each spectrum whether it goes into the data set, and with which labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Literal

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from starnet.dataset import report
from starnet.dataset.table import LabelTable
from starnet.errors import ConfigError
from starnet.spectra import Labels, Spectra, WavelengthGrid

MatchBy = Literal["star", "id", "file"]
MATCHES: tuple[MatchBy, ...] = ("star", "id", "file")


@dataclass(frozen=True)
class Selection:
    """What to keep of a file: spectra, their labels and keys, and what was dropped and why."""

    spectra: Spectra | None = None
    labels: Labels | None = None
    keys: list[str] = field(default_factory=list)
    dropped: list[dict[str, str]] = field(default_factory=list)

    @property
    def columns(self) -> dict[str, list[str]]:
        """More columns of metadata for the spectra."""
        return {"label_key": self.keys} if self.keys else {}


@dataclass
class Joiner:
    """Joins spectra with a label table.

    Parameters
    ----------
    table : LabelTable or None
        None takes every spectrum, without labels.
    grid, frame, unit
        What all spectra of the data set share.
    match : "star", "id" or "file", optional
        Which name of a spectrum the table's keys are. None takes the first of them under which
        a spectrum is found, and keeps to it.
    """

    table: LabelTable | None
    grid: WavelengthGrid
    frame: str
    unit: Any = u.dimensionless_unscaled
    match: str | None = None

    def __post_init__(self) -> None:
        if self.match not in (None, *MATCHES):
            raise ConfigError(f"match must be one of {', '.join(MATCHES)}; received {self.match}.")

    def select(self, spectra: Spectra, path: str, taken: set[str]) -> Selection:
        """What to keep of a file's spectra, given the ids that the data set has."""
        unfit = self._unfit(spectra)
        if unfit is not None:
            return Selection(dropped=[dropped(PurePath(path).name, path, *unfit)])
        rows = self._rows(spectra, path)
        reasons = self._reasons(spectra, rows, taken)
        notes = [
            dropped(name, path, reason, "", "" if self.table is None or r < 0 else self._key(r))
            for name, reason, r in zip(spectra.ids.tolist(), reasons, rows.tolist(), strict=True)
            if reason
        ]
        keep = np.array([not reason for reason in reasons], dtype=bool)
        if not keep.any():
            return Selection(dropped=notes)
        kept = spectra if keep.all() else spectra[keep]
        if self.table is None:
            return Selection(kept, dropped=notes)
        rows = rows[keep]
        return Selection(kept, self.table.labels[rows], self.table.keys[rows].tolist(), notes)

    def _key(self, row: int) -> str:
        assert self.table is not None
        return str(self.table.keys[row])

    def _unfit(self, spectra: Spectra) -> tuple[str, str] | None:
        if not len(spectra):
            return report.EMPTY, ""
        if not self.grid.matches(spectra.grid):
            detail = f"{spectra.grid.describe()} instead of {self.grid.describe()}"
            return report.OTHER_GRID, detail
        if spectra.frame != self.frame:
            return report.OTHER_FRAME, f"{spectra.frame} instead of {self.frame}"
        if spectra.flux_unit != self.unit:
            return report.OTHER_UNIT, f"{spectra.flux_unit} instead of {self.unit}"
        return None

    def _rows(self, spectra: Spectra, path: str) -> NDArray[np.int64]:
        """Row of the label table for each spectrum, -1 where there is none."""
        if self.table is None:
            return np.zeros(len(spectra), dtype=int)
        for match in MATCHES if self.match is None else (self.match,):
            rows = np.array([self._find(names) for names in _names(spectra, path, match)])
            if np.any(rows >= 0):
                self.match = match
                return rows
        return np.full(len(spectra), -1)

    def _find(self, names: Sequence[str]) -> int:
        assert self.table is not None
        return next((row for name in names if (row := self.table.row_of(name)) >= 0), -1)

    def _reasons(self, spectra: Spectra, rows: NDArray[Any], taken: set[str]) -> list[str]:
        """Why each spectrum is dropped; empty for those that stay."""
        all_masked = np.all(spectra.mask, axis=1).tolist()
        seen: set[str] = set()
        out = []
        for i, name in enumerate(spectra.ids.tolist()):
            if all_masked[i]:
                out.append(report.MASKED)
            elif rows[i] < 0:
                out.append(report.NO_ROW)
            elif self.table is not None and np.all(np.isnan(self.table.labels.values[rows[i]])):
                out.append(report.NO_LABELS)
            elif name in taken or name in seen:
                out.append(report.DUPLICATE)
            else:
                out.append("")
                seen.add(name)
        return out


def _names(spectra: Spectra, path: str, match: str) -> list[tuple[str, ...]]:
    """The names under which each spectrum may be in the table."""
    if match == "star":
        return [(name,) for name in spectra.stars.tolist()]
    if match == "id":
        return [(name,) for name in spectra.ids.tolist()]
    name = PurePath(path).name
    stem = name.removesuffix(".gz").removesuffix(".bz2")
    return [(name, stem, PurePath(stem).stem, path)] * len(spectra)


def dropped(name: str, file: str, reason: str, detail: str = "", key: str = "") -> dict[str, str]:
    """One entry of the list of what was dropped."""
    return {"name": name, "file": file, "reason": reason, "detail": detail, "key": key}
