"""Tables of predictions as assessments take them, matched with the truth, without what is flagged.

A table of predictions is one that `starnet predict` or `starnet fit` wrote: ``id``, ``star``,
``snr``, ``flag``, and for each label its value, ``LABEL_err`` and ``LABEL_flag``; where a model
keeps them apart also ``LABEL_err_noise``, the part of the error that noise makes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from starnet.dataset.formats import open_table
from starnet.dataset.nearby import KEYS
from starnet.dataset.table import LabelTable, label_name
from starnet.errors import LabelError
from starnet.spectra import KNOWN, Labels

Array = NDArray[Any]
NO_LABELS = {"rv", "fit_rv", "broadening"}
"""Columns with errors that are no labels of the star."""
TEXTS = ("id", "star", "file", "survey", "model")


@dataclass(frozen=True, eq=False)
class PredictionTable:
    """Predictions of N spectra with L labels.

    Attributes
    ----------
    source : str
        For messages.
    texts : mapping of str to array (N,)
        Columns ``id``, ``star``, ``file``, ``survey`` and ``model``, those that there are.
    labels : Labels
        Values and one-sigma errors.
    noise : array (N, L)
        Part of the errors that noise makes; NaN where the table does not keep it apart.
    flags : array (N, L) of int
        Of labels; 0 is good.
    star_flag : array (N,) of int
    snr : array (N,)
        NaN where unknown.
    """

    source: str
    texts: dict[str, NDArray[np.str_]]
    labels: Labels
    noise: Array
    flags: NDArray[np.int64]
    star_flag: NDArray[np.int64]
    snr: Array
    about: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def star(self) -> NDArray[np.str_]:
        """Name of the star of each spectrum; of the spectrum where there is none."""
        return self.texts.get("star", self.texts.get("id", np.arange(len(self)).astype(str)))

    def __getitem__(self, rows: Any) -> PredictionTable:
        """Some of the spectra."""
        index = np.arange(len(self))[rows]
        return replace(
            self,
            texts={name: column[index] for name, column in self.texts.items()},
            labels=self.labels[index],
            **{n: getattr(self, n)[index] for n in ("noise", "flags", "star_flag", "snr")},
        )

    @classmethod
    def read(cls, table: str | Path | Table, names: Sequence[str] = ()) -> PredictionTable:
        """From a file (.fits, .ecsv, .parquet, .csv) or a table.

        Parameters
        ----------
        table : path or Table
        names : sequence of str
            Labels. Default: every label of the table that has errors.

        Raises
        ------
        LabelError
            If the table cannot be read or is empty, or has no such label, or no errors.
        """
        source = "the table of predictions" if isinstance(table, Table) else str(table)
        columns, load = open_table(table)
        chosen = tuple(names) or _labels(columns, source)
        absent = [n for n in chosen if n not in columns]
        if absent:
            has = ", ".join(_labels(columns, source))
            raise LabelError(f"{source} has no label {', '.join(absent)}; it has {has}.")
        bare = [n for n in chosen if f"{n}_err" not in columns]
        if bare:
            raise LabelError(_no_errors(source, bare))
        more = [f"{n}{end}" for n in chosen for end in ("", "_err", "_err_noise", "_flag")]
        wanted = [c for c in (*TEXTS, "snr", "flag", *more) if c in columns]
        key = next((c for c in ("star", "id") if c in columns), wanted[0])
        loaded = load(wanted, key)
        if not len(loaded):
            raise LabelError(f"{source} has no rows; predictions of at least one star are needed.")
        labels = Labels.from_table(loaded, chosen)
        noise = [_number(loaded, f"{n}_err_noise") for n in chosen]
        return cls(
            source=source,
            texts={n: _text(loaded[n]) for n in TEXTS if n in wanted},
            labels=labels,
            noise=np.where(np.isfinite(labels.values), np.stack(noise, axis=1), np.nan),
            flags=np.stack([_whole(loaded, f"{n}_flag") for n in chosen], axis=1),
            star_flag=_whole(loaded, "flag"),
            snr=_number(loaded, "snr"),
        )

    def usable(self, *, flagged: bool = False, min_snr: float = 0.0) -> PredictionTable:
        """Without spectra that are flagged or too noisy; single labels that are flagged are NaN.

        ``about`` counts what was left out.

        Raises
        ------
        LabelError
            If nothing is left.
        """
        bad = (self.star_flag != 0) & (not flagged)
        noisy = ~bad & ~(self.snr >= min_snr) if min_snr > 0 else np.zeros(len(self), dtype=bool)
        kept = self[np.flatnonzero(~bad & ~noisy)]
        gone = (kept.flags != 0) & np.isfinite(kept.labels.values) & (not flagged)
        counts = {
            "spectra": len(self),
            "flagged": int(bad.sum()),
            "below min_snr": int(noisy.sum()),
            "single labels flagged": int(gone.sum()),
        }
        if not len(kept):
            raise LabelError(
                f"Nothing is left of {self.source}: of {len(self)} spectra {counts['flagged']} "
                f"are flagged and {counts['below min_snr']} are below the S/N asked for. "
                "--flags keep takes flagged ones too; lower --min-snr."
            )
        values = np.where(gone, np.nan, kept.labels.values)
        labels = Labels(kept.labels.names, values, kept.labels.errors, kept.labels.specs)
        return replace(kept, labels=labels, about={**self.about, **counts})

    def with_noise_errors(self) -> tuple[PredictionTable, tuple[str, ...]]:
        """With the errors of noise alone where there are any, and names of labels without."""
        known = np.isfinite(self.noise) & (self.noise > 0)
        errors = np.where(known, self.noise, self.labels.errors)
        lacking = [n for n, k in zip(self.labels.names, known.T, strict=True) if not k.any()]
        labels = Labels(self.labels.names, self.labels.values, errors, self.labels.specs)
        return replace(self, labels=labels), tuple(lacking)


def match_truth(
    table: PredictionTable, truth: str | Path | Table, *, key: str = ""
) -> tuple[Labels, str]:
    """Reference labels of each spectrum, NaN where there are none, and the column they go by.

    Parameters
    ----------
    table : PredictionTable
    truth : path or Table
        With labels in columns of their names (usual spellings are understood), and ``LABEL_err``
        where references have errors.
    key : str
        Column of the truth that names the star, the spectrum or its file. Default: the first of
        the usual ones under which stars are found.

    Raises
    ------
    LabelError
        If the truth cannot be read, shares no label, or has none of the stars.
    """
    source = "the table of truth" if isinstance(truth, Table) else str(truth)
    columns, _ = open_table(truth)
    spelled = {label_name(c) for c in columns}
    shared = [n for n in table.labels.names if n in spelled]
    if not shared:
        raise LabelError(
            f"{source} has none of the predicted labels {', '.join(table.labels.names)}; it has "
            f"the columns {', '.join(columns[:30])}. Rename its columns."
        )
    lower = {c.lower(): c for c in reversed(columns)}
    keys = [key] if key else [lower[k] for k in KEYS if k in lower]
    if not keys:
        raise LabelError(
            f"No column of {source} is known to name the star (looked for {', '.join(KEYS)}); it "
            f"has {', '.join(columns[:30])}. Name the column with --key."
        )
    for name in keys:
        reference = LabelTable.read(truth, key=name, names=shared)
        rows = _rows(table, reference)
        if np.any(rows >= 0):
            some = reference.labels[np.maximum(rows, 0)]
            values = np.where((rows >= 0)[:, None], some.values, np.nan)
            return Labels(some.names, values, some.errors, some.specs), name
    raise LabelError(
        f"No star of {table.source} is in {source}: there is '{table.star[0]}' in the one and "
        f"'{reference.keys[0]}' in the other (column {name!r}). Name the right column with --key."
    )


def _rows(table: PredictionTable, reference: LabelTable) -> NDArray[np.int64]:
    """Row of the reference of each spectrum, by its star, id or file; -1 where there is none."""
    columns = [table.texts[name] for name in ("star", "id", "file") if name in table.texts]
    out = np.full(len(table), -1)
    for column in columns or [table.star]:
        found = np.array([reference.row_of(str(name)) for name in column])
        out = np.where(out < 0, found, out)
    return out


def _labels(columns: Sequence[str], source: str) -> tuple[str, ...]:
    """Names of labels with errors, in the order of the columns."""
    known = [c for c in columns if c in KNOWN or f"{c}_flag" in columns]
    labels = tuple(c for c in known if c not in NO_LABELS)
    found = tuple(c for c in labels if f"{c}_err" in columns)
    if not labels:
        raise LabelError(
            f"{source} is no table of predictions: no column is a label such as teff, logg or "
            f"fe_h; it has {', '.join(columns[:20])}. `starnet predict` writes one."
        )
    if not found:
        raise LabelError(_no_errors(source, labels))
    return found


def _no_errors(source: str, names: Sequence[str]) -> str:
    return (
        f"{source} has no errors of {', '.join(names)}: columns {names[0]}_err and so on are "
        "needed. `starnet predict` writes them with models that give errors, such as those of the "
        "package, and `starnet fit` always."
    )


def _text(column: Any) -> NDArray[np.str_]:
    values = np.ma.filled(np.ma.asarray(column).astype(object), "")
    return np.array([v.decode() if isinstance(v, bytes) else str(v) for v in values], dtype=str)


def _number(table: Table, name: str) -> Array:
    if name not in table.colnames:
        return np.full(len(table), np.nan)
    column: Any = table[name]
    values = np.ma.asarray(getattr(column, "value", column))
    return np.ma.filled(values.astype(float), np.nan)


def _whole(table: Table, name: str) -> NDArray[np.int64]:
    values = _number(table, name)
    return np.where(np.isfinite(values), values, 0).astype(np.int64)
