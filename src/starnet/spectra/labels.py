"""Stellar labels: names, units, bounds and values, with NaN for what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable, Table
from numpy.typing import ArrayLike, NDArray

from starnet.errors import LabelError

FloatArray = NDArray[Any]  # float64

_SYMBOLS = """
He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge Rb Sr Y Zr Nb
Mo Ru Ba La Ce Pr Nd Sm Eu Gd Dy Er Yb Hf Pb Th U
"""
ELEMENTS = tuple(_SYMBOLS.split())
SENTINELS = (-9999.0, 9999.0, -999.0, 999.0, 99999.0, -99999.0, 9999.99, -9999.99)
"""Numbers that survey tables write for "no value"."""


@dataclass(frozen=True)
class LabelSpec:
    """One label: its name, its unit, and the range in which a value is physical at all.

    Parameters
    ----------
    name : str
        ``teff``, ``logg``, ``fe_h``, ``mg_h``, ``mg_fe``, ``vmic``, ...
    unit : str
        As astropy writes it; ``dex`` for logarithms.
    physical : (low, high)
        Values outside are taken as missing: no star has them, only sentinels do.
    """

    name: str
    unit: str = ""
    physical: tuple[float, float] = (-np.inf, np.inf)


KNOWN: Mapping[str, LabelSpec] = {
    spec.name: spec
    for spec in (
        LabelSpec("teff", "K", (500.0, 250000.0)),
        LabelSpec("logg", "dex", (-3.0, 12.0)),
        LabelSpec("vmic", "km/s", (0.0, 50.0)),
        LabelSpec("vmac", "km/s", (0.0, 500.0)),
        LabelSpec("vsini", "km/s", (0.0, 1000.0)),
        LabelSpec("rv", "km/s", (-5000.0, 5000.0)),
        LabelSpec("m_h", "dex", (-9.0, 3.0)),
        LabelSpec("alpha_m", "dex", (-9.0, 9.0)),
        LabelSpec("alpha_fe", "dex", (-9.0, 9.0)),
        *(LabelSpec(f"{e.lower()}_h", "dex", (-9.0, 9.0)) for e in ELEMENTS),
        *(LabelSpec(f"{e.lower()}_fe", "dex", (-9.0, 9.0)) for e in ELEMENTS if e != "Fe"),
    )
}
"""The labels that StarNet knows by name. Others are allowed and have no unit and no limits."""


def label_spec(name: str) -> LabelSpec:
    """The known label of that name, or a plain one without unit and limits."""
    return KNOWN.get(name, LabelSpec(name))


@dataclass(frozen=True, eq=False)
class Labels:
    """Labels of N stars.

    Parameters
    ----------
    names : sequence of str
        The L labels, in order.
    values : array (N, L)
        NaN where missing. Infinite values and values that are not physical become NaN.
    errors : array (N, L), optional
        One-sigma errors, NaN where unknown (the default). Negative errors become NaN.
    specs : sequence of LabelSpec, optional
        Units and limits; by default those known for the names.

    Raises
    ------
    LabelError
        If names repeat or shapes do not agree.
    """

    names: tuple[str, ...]
    values: FloatArray
    errors: FloatArray = field(default=None)  # type: ignore[assignment]
    specs: tuple[LabelSpec, ...] = ()

    def __post_init__(self) -> None:
        names = tuple(self.names)
        if len(set(names)) != len(names) or not names:
            raise LabelError(f"Label names must be given and differ; received {list(names)}.")
        values = np.array(np.atleast_2d(self.values), dtype=float)
        errors = np.full(values.shape, np.nan) if self.errors is None else np.array(self.errors)
        errors = np.atleast_2d(errors.astype(float))
        if values.shape[1:] != (len(names),) or errors.shape != values.shape:
            raise LabelError(
                f"values and errors must have shape (N, {len(names)}) for {list(names)}; "
                f"received {values.shape} and {errors.shape}."
            )
        specs = tuple(self.specs) or tuple(label_spec(name) for name in names)
        low, high = np.array([spec.physical for spec in specs]).T
        physical = np.isfinite(values) & (values >= low) & (values <= high)
        values[~physical | np.isin(values, SENTINELS)] = np.nan
        errors[~np.isfinite(values) | ~np.isfinite(errors) | (errors < 0)] = np.nan
        for name, value in (("names", names), ("values", values), ("errors", errors)):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "specs", specs)
        values.setflags(write=False)
        errors.setflags(write=False)

    def __len__(self) -> int:
        return self.values.shape[0]

    @property
    def units(self) -> tuple[str, ...]:
        """Unit of each label."""
        return tuple(spec.unit for spec in self.specs)

    @property
    def complete(self) -> NDArray[np.bool_]:
        """Whether no label is missing, shape (N,)."""
        return np.all(np.isfinite(self.values), axis=1)

    def bounds(self) -> FloatArray:
        """Smallest and largest value of each label, shape (L, 2); NaN where all are missing."""
        out = np.full((len(self.names), 2), np.nan)
        for i, column in enumerate(self.values.T):
            if np.isfinite(column).any():
                out[i] = np.nanmin(column), np.nanmax(column)
        return out

    def __getitem__(self, rows: int | slice | ArrayLike) -> Labels:
        """Some of the stars, always as a batch."""
        index = np.atleast_1d(np.arange(len(self))[rows])  # type: ignore[index]
        return replace(self, values=self.values[index], errors=self.errors[index])

    def column(self, name: str) -> FloatArray:
        """Values of one label, shape (N,)."""
        return self.values[:, self.index(name)]

    def index(self, name: str) -> int:
        """Position of a label among the names."""
        if name not in self.names:
            raise LabelError(f"There is no label {name!r}; there are {', '.join(self.names)}.")
        return self.names.index(name)

    def select(self, names: Sequence[str]) -> Labels:
        """Some of the labels, in the order that is asked for."""
        index = [self.index(name) for name in names]
        specs = tuple(self.specs[i] for i in index)
        return Labels(tuple(names), self.values[:, index], self.errors[:, index], specs)

    def to_table(self, **columns: Any) -> QTable:
        """A table with units: other columns first, then each label with its ``_err``."""
        table = QTable(columns)
        for i, (name, unit) in enumerate(zip(self.names, self.units, strict=True)):
            table[name] = self.values[:, i] << u.Unit(unit)
            if np.isfinite(self.errors[:, i]).any():
                table[f"{name}_err"] = self.errors[:, i] << u.Unit(unit)
        return table

    @classmethod
    def from_table(cls, table: Table, names: Sequence[str] | None = None) -> Labels:
        """From a table whose columns bear the label names (upper or lower case).

        A column ``NAME_err`` holds the errors. Columns with a unit are converted; masked values,
        sentinels such as -9999 and values that are not physical become NaN.

        Raises
        ------
        LabelError
            If a column is absent, is not numeric, or has a unit of another kind.
        """
        lookup = {name.lower(): name for name in reversed(table.colnames)}
        wanted = list(names) if names is not None else [n for n in KNOWN if n in lookup]
        absent = [name for name in wanted if name.lower() not in lookup]
        if absent or not wanted:
            raise LabelError(
                f"The label table has no column {', '.join(absent) or 'of a known label'}; it has "
                f"{', '.join(table.colnames)}. Name the labels with labels=, or rename columns."
            )
        values = [_column(table[lookup[name.lower()]], name) for name in wanted]
        blank = np.full(len(table), np.nan)
        errors = [
            _column(table[lookup[key]], name) if (key := f"{name.lower()}_err") in lookup else blank
            for name in wanted
        ]
        return cls(tuple(wanted), np.stack(values, axis=1), np.stack(errors, axis=1))


def _column(column: Any, name: str) -> FloatArray:
    unit = label_spec(name.removesuffix("_err")).unit
    missing = np.asarray(getattr(column, "mask", False))
    if missing.ndim and missing.size and missing.all():  # blank throughout, of whatever type
        return np.full(missing.shape, np.nan)
    try:
        if getattr(column, "unit", None) is not None and unit not in ("", "dex"):
            column = u.Quantity(_filled(column), column.unit).to(u.Unit(unit))
        values = np.array(getattr(_filled(column), "value", _filled(column)), dtype=float)
    except (ValueError, TypeError, u.UnitConversionError) as error:
        raise LabelError(
            f"Column {name!r} of the label table must hold numbers in {unit or 'any unit'}; {error}"
        ) from error
    values[np.broadcast_to(missing, values.shape)] = np.nan
    return values


def _filled(column: Any) -> Any:
    """The numbers of a column, whatever stands where it is masked."""
    return (
        getattr(column, "unmasked", None) if hasattr(column, "unmasked") else np.ma.getdata(column)
    )
