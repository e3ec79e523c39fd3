"""Neural emulators of model atmospheres in the format of atmosnet.

One file (``*_col1_*.npz`` ...) for each column of an ATLAS model: a multilayer perceptron with
leaky ReLU of slope 0.01, whose input is (labels - x_min)/(x_max - x_min) - 0.5 and whose output is
log10 of the column at each depth (D. Nidever, atmosnet; in the manner of The Payne, Ting et al.
2019, ApJ 879, 69). The public set was learnt from the C3K grid of ATLAS12 models.
"""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from starnet.errors import LabelError, ModelError

from .atmosphere import Atmosphere, FloatArray, optical_depth
from .hull import LabelHull

LABELS = ("teff", "logg", "m_h", "alpha_m")
FILE_LABELS = ("TEFF", "LOGG", "FE_H", "ALPHA_FE")
COLUMNS: tuple[str, ...] = (
    "rhox",
    "temperature",
    "gas_pressure",
    "electron_density",
    "opacity_ross",
)
"""Columns 1 to 5 (RHOX, T, P, XNE, ABROSS), of which an `Atmosphere` is made.

ACCRAD, FLXCNV and VCONV (6 to 8) are not read.
"""
NEEDED = len(COLUMNS)
SLOPE = 0.01
LEAST_STEP = 1e-4
"""Least rise of log10 column mass between depths: noise of the network must not turn it round."""
UNSOUND = 0.1
"""dex by which gas pressure may exceed the weight of the column, and column mass be raised."""


@dataclass(frozen=True, eq=False)
class AtmosphereEmulator:
    """Networks that give the columns of a model atmosphere for labels.

    Parameters
    ----------
    weights : tuple of array (C, out, in)
        Layer by layer, for the C columns together, in the order of `COLUMNS`.
    biases : tuple of array (C, out)
    low, high : array (4,)
        Labels that the input is scaled with: teff, logg, m_h, alpha_m.
    training_labels : array (N, 4)
        The models that it was learnt from; their hull is where it may be used.
    source : str
        The folder and the family of files.
    """

    weights: tuple[FloatArray, ...]
    biases: tuple[FloatArray, ...]
    low: FloatArray
    high: FloatArray
    training_labels: FloatArray
    source: str = ""

    @classmethod
    def open(cls, folder: str | os.PathLike[str], family: str | None = None) -> AtmosphereEmulator:
        """The emulator in a folder.

        Parameters
        ----------
        folder : path
            Holds ``<family>_col1_<rest>.npz`` and so on.
        family : str, optional
            A part of the file names, where the folder holds several families ("cool", "hot").

        Raises
        ------
        ModelError
            If there is no family or more than one, a column is missing, or a file is damaged.
        """
        files = _family(Path(folder), family)
        parts = [_load(files[column]) for column in range(1, NEEDED + 1)]
        first = parts[0]
        for part, path in zip(parts, files.values(), strict=False):
            if any(not _same(part[name], first[name]) for name in ("x_min", "x_max")):
                raise ModelError(f"{path}: scaled otherwise than column 1; get the family again.")
        layers = sum(name.startswith("w_array_") for name in first)
        try:
            weights = tuple(np.stack([p[f"w_array_{k}"] for p in parts]) for k in range(layers))
            biases = tuple(np.stack([p[f"b_array_{k}"] for p in parts]) for k in range(layers))
        except (KeyError, ValueError) as error:
            raise ModelError(
                f"{folder}: the columns' networks differ in size ({error}); get the family again."
            ) from error
        labels = first["training_labels"]
        name = files[1].name.replace("col1", "col*")
        return cls(weights, biases, first["x_min"], first["x_max"], labels, f"atmosnet {name}")

    @cached_property
    def hull(self) -> LabelHull:
        """The convex hull of the training labels."""
        return LabelHull(LABELS, self.training_labels)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in the order of the input."""
        return LABELS

    @property
    def limits(self) -> Mapping[str, tuple[float, float]]:
        """Lowest and highest training value of each label."""
        return self.hull.limits

    @property
    def n_depths(self) -> int:
        """Number of depths D."""
        return self.biases[-1].shape[-1]

    def logarithms(self, labels: FloatArray) -> FloatArray:
        """What the networks say: log10 of the columns, (C, N, D), for labels (N, 4), unchecked."""
        hidden = ((labels - self.low) / (self.high - self.low) - 0.5)[None]  # (1, N, 4)
        last = len(self.weights) - 1
        for k, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            hidden = hidden @ weight.transpose(0, 2, 1).astype(np.float64) + bias[:, None]
            if k < last:
                hidden = np.where(hidden > 0, hidden, SLOPE * hidden)
        return hidden

    def sound(self, labels: FloatArray) -> FloatArray:
        """Whether the networks give an atmosphere for each star of (N, 4), inside the hull or not.

        Within the hull of the public set there are stretches, mostly below 3300 K and at its edges,
        where gas pressure exceeds the weight of the gas above (gravity times column mass), which no
        static atmosphere does. By more than `UNSOUND` dex, the star is not sound.
        """
        labels = np.atleast_2d(np.asarray(labels, dtype=np.float64))
        return self._raised(labels)[1] <= UNSOUND

    def _raised(self, labels: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Logarithms with rising column mass (C, N, D), and how unsound each star is, dex (N,)."""
        logs = self.logarithms(labels)
        ramp = LEAST_STEP * np.arange(self.n_depths)
        rising = np.maximum.accumulate(logs[0] - ramp, axis=-1) + ramp
        lift = (rising - logs[0]).max(axis=-1)
        logs[0] = rising
        excess = (logs[COLUMNS.index("gas_pressure")] - rising - labels[:, 1:2]).max(axis=-1)
        return logs, np.maximum(lift, excess)

    def columns(self, labels: FloatArray, *, outside: str = "error") -> dict[str, FloatArray]:
        """Columns of N atmospheres at once, each (N, D).

        Parameters
        ----------
        labels : array (N, 4)
            teff (K), logg, m_h, alpha_m.
        outside : "error" or "clamp"
            What to do with stars outside the hull of the training labels. `LabelHull.place` of
            `hull` gives the labels that "clamp" takes.

        Returns
        -------
        dict
            rhox, temperature, gas_pressure, electron_density, opacity_ross in the units of
            `Atmosphere`, and tau_ross integrated from them. Where the network's noise would turn
            the column mass round, it is raised to rise by at least `LEAST_STEP` dex a depth.

        Raises
        ------
        LabelError
            If a label is NaN or outside, or the result there is no atmosphere (see `sound`).
        """
        labels = np.atleast_2d(np.asarray(labels, dtype=np.float64))
        placed = self.hull.place(labels, outside, "atmosphere emulator")
        logs, excess = self._raised(placed)
        if np.any(excess > UNSOUND):
            worst = int(np.argmax(excess))
            point = ", ".join(f"{n} = {v:g}" for n, v in zip(LABELS, placed[worst], strict=True))
            raise LabelError(
                f"The atmosphere emulator is not sound for {int(np.sum(excess > UNSOUND))} of "
                f"{len(placed)} stars: at {point} it misses hydrostatic equilibrium by "
                f"{excess[worst]:.2f} dex ({UNSOUND} is allowed); leave out the stars for which "
                f"its method sound() is false, or use a grid there."
            )
        new = dict(zip(COLUMNS, 10.0**logs, strict=True))
        new["tau_ross"] = optical_depth(new["rhox"], new["opacity_ross"])
        return new

    def at(
        self,
        teff: float,
        logg: float,
        m_h: float = 0.0,
        alpha_m: float | None = None,
        *,
        outside: str = "error",
    ) -> Atmosphere:
        """One atmosphere; the same call as of `AtmosphereGrid`. Without ``alpha_m`` it is 0.

        Raises
        ------
        LabelError
            If a label is NaN or outside.
        """
        asked = np.array([[teff, logg, m_h, alpha_m or 0.0]], dtype=np.float64)
        used = self.hull.place(asked, outside, "atmosphere emulator")
        columns = self.columns(used, outside="clamp")
        moved = np.abs(used - asked)[0] > 1e-9 * self.hull.scale
        return Atmosphere(
            *used[0].tolist(),
            **{name: values[0] for name, values in columns.items()},
            clamped={n: float(asked[0, i]) for i, n in enumerate(LABELS) if moved[i]},
            source=self.source,
        )


def _family(folder: Path, family: str | None) -> dict[int, Path]:
    """Column number to file of the one family in the folder."""
    found: dict[str, dict[int, Path]] = {}
    for path in sorted(folder.glob("*_col*.npz")):
        match = re.fullmatch(r"(.*_)col(\d+)(.*)\.npz", path.name)
        if match and (family is None or family in path.name):
            found.setdefault(match[1] + match[3], {})[int(match[2])] = path
    if len(found) != 1:
        names = ", ".join(found) or "none"
        raise ModelError(
            f"{folder}: one family of atmosphere emulators (*_col1_*.npz, ...) was expected, found "
            f"{names}; give another folder, or family= a part of the names."
        )
    files = next(iter(found.values()))
    if missing := [str(i) for i in range(1, NEEDED + 1) if i not in files]:
        raise ModelError(
            f"{folder}: the emulator lacks its column {', '.join(missing)} of {NEEDED}; get the "
            f"whole family."
        )
    return dict(sorted(files.items()))


def _load(path: Path) -> dict[str, FloatArray]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            names = [n for n in archive.files if n.startswith(("w_array_", "b_array_"))]
            names += ["x_min", "x_max", "training_labels", "labels"]
            content = {name: archive[name] for name in names}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ModelError(
            f"{path}: not an atmosphere emulator in the format of atmosnet ({error}); get it again."
        ) from error
    labels = tuple(content.pop("labels").tolist())
    if labels != FILE_LABELS:
        raise ModelError(f"{path}: its labels are {labels}; {FILE_LABELS} were expected.")
    return content


def _same(one: FloatArray, other: FloatArray) -> bool:
    return one.shape == other.shape and bool(np.allclose(one, other))
