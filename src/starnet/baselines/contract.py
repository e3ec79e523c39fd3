"""The contract of methods that StarNet is held against: fit, predict, errors, save.

    cannon = Cannon(order=2).fit(spectra, labels)
    cannon.predict(others)              # Labels (N, L) with errors

A `Method` is what a user chooses: frozen, by name and settings. What it learns is a `Fitted`:
arrays and plain settings, so it is saved and loaded without running code. Contract, tested for
every member:

- ``fit`` looks at the spectra and labels that it is given and at nothing else, leaves them as
  they are, and gives the same twice with the same seed. Stars that lack a label are left out of
  what that label needs, or of all, and never filled in.
- Spectra come prepared: in the rest frame, normalised as the caller chose. A masked pixel has
  inverse variance 0 and tells nothing. An unmasked pixel with inverse variance 0 is good and its
  error is unknown; then errors are taken as equal for all pixels.
- ``predict`` gives labels in the order of ``names`` with one-sigma errors, in the labels' units.
  A spectrum that it cannot read (no good pixel, no solution) is NaN in all labels, and the others
  are not touched by it. Rows do not depend on their neighbours.
- Spectra on other pixels than those of ``fit`` are refused with a `GridError`.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from starnet._whole import whole_file
from starnet.errors import (
    ConfigError,
    GridError,
    LabelError,
    ModelError,
    StarNetError,
    TrainingError,
)
from starnet.spectra import Labels, Spectra, WavelengthGrid

Array = NDArray[Any]
Report = Callable[[str], None]
T = TypeVar("T", bound="type[Method]")

METHODS: dict[str, type[Method]] = {}
"""Every method by its name."""


@dataclass(frozen=True, kw_only=True)
class Method(ABC):
    """A way from spectra to labels that learns from stars with known labels."""

    kind: ClassVar[str]
    fewest: ClassVar[int] = 10
    """Stars that it needs."""

    @abstractmethod
    def fit(
        self, spectra: Spectra, labels: Labels, *, seed: int = 0, report: Report | None = None
    ) -> Fitted:
        """Learn.

        Parameters
        ----------
        spectra : Spectra
            (N, P), prepared.
        labels : Labels
            (N, L); NaN where missing, errors where known.
        seed : int
        report : callable, optional
            Called with one line of text now and then.

        Raises
        ------
        TrainingError
            If there are too few stars, or the method cannot work on these pixels.
        LabelError
            If the numbers of spectra and labels differ, or a label does not vary.
        """

    def to_dict(self) -> dict[str, Any]:
        """Name and settings, JSON-ready."""
        return {"method": self.kind, **asdict(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Method:
        """The method that ``method`` names, with its settings.

        Raises
        ------
        ConfigError
            If there is no such method or setting.
        """
        values = dict(data)
        name = values.pop("method", None)
        if name not in METHODS:
            raise ConfigError(
                f"There is no method {name!r}; there are {', '.join(sorted(METHODS))}."
            )
        own = METHODS[name]
        known = [f.name for f in fields(own)]
        if strange := [key for key in values if key not in known]:
            raise ConfigError(
                f"The method {name} has no setting {', '.join(strange)}; it has "
                f"{', '.join(known) or 'none'}."
            )
        return own(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


@dataclass(frozen=True, eq=False, kw_only=True)
class Fitted(ABC):
    """What a method has learnt.

    Attributes
    ----------
    method : Method
    names : tuple of str
        Labels that it predicts.
    grid : WavelengthGrid
        Of the spectra that it learnt from.
    """

    method: Method
    names: tuple[str, ...]
    grid: WavelengthGrid

    @abstractmethod
    def predict(self, spectra: Spectra) -> Labels:
        """Labels (N, L) with one-sigma errors.

        Raises
        ------
        GridError
            If the spectra are on other pixels than those of the fit.
        """

    @abstractmethod
    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """Plain settings and arrays, from which `from_state` makes the same again."""

    @classmethod
    @abstractmethod
    def from_state(
        cls,
        method: Any,
        names: tuple[str, ...],
        grid: WavelengthGrid,
        settings: Mapping[str, Any],
        arrays: Mapping[str, Array],
    ) -> Fitted:
        """The inverse of `state`."""

    def save(self, path: str | Path) -> Path:
        """Write one file (safetensors), whole or not at all.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        settings, arrays = self.state()
        about = {
            "method": self.method.to_dict(),
            "names": self.names,
            "grid": self.grid.to_dict(),
            "settings": settings,
        }
        with whole_file(path, "The method") as partial:
            plain = {k: np.ascontiguousarray(v) for k, v in arrays.items()}
            save_file(plain, partial, metadata={FORMAT: json.dumps(about)})
        return Path(path)

    def check(self, spectra: Spectra) -> None:
        """Refuse spectra on other pixels.

        Raises
        ------
        GridError
            If their grid is not that of the fit.
        """
        same = spectra.grid.n_pixels == self.grid.n_pixels and np.allclose(
            spectra.grid.wavelength, self.grid.wavelength, rtol=1e-7, atol=0
        )
        if not same or spectra.grid.medium != self.grid.medium:
            raise GridError(
                f"The spectra must be on the pixels that the method {self.method.kind} learnt from "
                f"({self.grid.describe()}); received {spectra.grid.describe()}. Resample them."
            )


FORMAT = "starnet-method"
_FITTED: dict[str, type[Fitted]] = {}


def register(fitted: type[Fitted]) -> Callable[[T], T]:
    """Class decorator of a method: enter it by its name, with the class of what it learns."""

    def add(cls: T) -> T:
        METHODS[cls.kind] = cls
        _FITTED[cls.kind] = fitted
        return cls

    return add


def load_fitted(path: str | Path) -> Fitted:
    """What `Fitted.save` wrote. No code is run.

    Raises
    ------
    ModelError
        If the file is damaged or holds something else.
    """
    try:
        arrays = load_file(path)
        with safe_open(path, framework="numpy") as file:
            about = json.loads((file.metadata() or {})[FORMAT])
        method = Method.from_dict(about["method"])
        grid = WavelengthGrid.from_dict(about["grid"])
        own = _FITTED[method.kind]
        return own.from_state(method, tuple(about["names"]), grid, about["settings"], arrays)
    except FileNotFoundError as error:
        raise ModelError(f"There is no file {path}.") from error
    except (SafetensorError, KeyError, TypeError, ValueError, StarNetError) as error:
        raise ModelError(
            f"{path} is not a saved method, or is damaged: {error}. Fit it anew, or fetch the file "
            "again."
        ) from error


def usable(spectra: Spectra, labels: Labels, method: Method) -> tuple[Array, Labels]:
    """Rows to learn from, (M,), and their labels: with all labels and some good pixel.

    Raises
    ------
    LabelError
        If the numbers of spectra and labels differ, or a label does not vary.
    TrainingError
        If they are fewer than the method needs.
    """
    if len(spectra) != len(labels):
        raise LabelError(
            f"Each spectrum needs its labels; received {len(spectra)} spectra and labels of "
            f"{len(labels)} stars."
        )
    good = np.any(~spectra.mask, axis=1)
    rows = np.flatnonzero(labels.complete & good)
    if len(rows) < method.fewest:
        raise TrainingError(
            f"The method {method.kind} needs at least {method.fewest} stars with every one of "
            f"{', '.join(labels.names)}; received {len(rows)}."
        )
    spread = np.ptp(labels.values[rows], axis=0)
    if still := [n for n, s in zip(labels.names, spread, strict=True) if not s > 0]:
        raise LabelError(f"The label {still[0]} is the same for all stars; leave it out.")
    return rows, labels[rows]


def weights(spectra: Spectra) -> Array:
    """Inverse variances (N, P) for a fit, float64: 0 where masked.

    A spectrum whose errors are all unknown counts 1 at each good pixel; a good pixel of unknown
    error in a spectrum that knows others has the median of these.
    """
    ivar = np.where(spectra.mask, 0.0, spectra.ivar).astype(float)
    unknown = ~spectra.mask & (ivar == 0)
    for i in np.flatnonzero(unknown.any(axis=1)):
        known = ivar[i][ivar[i] > 0]
        ivar[i, unknown[i]] = np.median(known) if known.size else 1.0
    return ivar
