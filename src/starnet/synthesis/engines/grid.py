"""Spectra that were computed before, interpolated in their labels."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy.interpolate import CubicSpline

from starnet.errors import ConfigError, GridError, LabelError
from starnet.spectra import Labels, WavelengthGrid
from starnet.synthesis.composition import MOTIONS
from starnet.synthesis.contract import Array, Outside, Synthesizer, log_even
from starnet.synthesis.engines._cube import open_cube
from starnet.synthesis.engines._nodes import LatticeNodes, ScatteredNodes

FERRE_NAMES: Mapping[str, str] = {
    "teff": "teff",
    "logg": "logg",
    "metals": "m_h",
    "[m/h]": "m_h",
    "[fe/h]": "fe_h",
    "o mg si s ca ti": "alpha_m",
    "alpha": "alpha_m",
    "c": "c_fe",
    "n": "n_fe",
    "log10vdop": "vmic",
    "lgvsini": "vsini",
}
"""Label names of FERRE and what they are here; a setting ``rename`` adds to them."""
SAME_LABEL = {"fe_h": "m_h", "alpha_fe": "alpha_m"}
LOGARITHMIC = ("log10vdop", "lgvsini")
"""Labels that files hold in log10, and that are asked for in km/s."""
SEARCHED = 200
"""Nodes among which the nearest whole one is sought in the place of a hole."""
CACHED = 256
"""Rows that are kept in memory."""
MARGIN = 0.002
FINER = 1.9
"""Below 2, so that `log_even` takes pixels like those of the file as they are."""
GAP = 5.0
"""Pixels this many times wider than usual are gaps between chips."""


class SpectrumGrid(Synthesizer):
    """Interpolation in a grid of precomputed spectra, read row by row as they are needed.

    A file holds, under these names in npz and HDF5 (datasets or attributes):

    - ``flux``: (n1, ..., nL, P) on a lattice of labels, or (N, P) for scattered ones; flux over
      continuum, or with ``normalized=False`` flux of which ``continuum`` is divided out;
    - ``continuum``: optional, of the same shape, erg / s / cm2 / Angstrom at the surface;
    - ``wavelength``: (P,), Angstrom; ``medium``: "vacuum" or "air";
    - ``label_names``: the L labels, in order; for a lattice ``axis_<name>`` (n,) of each, for
      scattered ones ``labels`` (N, L);
    - ``resolving_power``: optional, kept for information.

    In FITS: image extensions FLUX, CONTINUUM, WAVELENGTH, and for a lattice one for each label
    under its name, in the order of the keywords LABEL1, LABEL2, ... of FLUX (first label first, as
    numpy sees the axes); for scattered spectra a table LABELS. The keyword MEDIUM is in FLUX.
    FERRE's text grids are read too (`starnet.synthesis.engines.ferre`).

    npz files written without compression (`numpy.savez`) are mapped into memory, HDF5, FITS and
    FERRE files are read in rows; a compressed npz file is read whole.

    Spectra that are zero throughout or hold a NaN are holes.

    Parameters
    ----------
    path : path
        The file.
    method : "linear" or "cubic"
        Cubic is for a lattice; scattered spectra are interpolated linearly.
    holes : "error" or "nearest"
        A star whose interpolation needs a hole: raise `LabelError`, or take the nearest whole
        spectrum in its place.
    medium : "vacuum" or "air", optional
        Needed where the file does not say it, as in FERRE's.
    normalized : bool
        Whether ``flux`` is over continuum.
    rename : mapping, optional
        Name in the file -> label.
    resolution : float, optional
        Wavelength / pixel of the fine grid. Default: almost twice that of the file.

    Raises
    ------
    ReadError
        If the file is absent, foreign, cut off or lacks something.
    ConfigError
        If a setting does not fit.
    """

    name = "grid"

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        method: Literal["linear", "cubic"] = "linear",
        holes: Literal["error", "nearest"] = "error",
        medium: str | None = None,
        normalized: bool = True,
        rename: Mapping[str, str] | None = None,
        resolution: float | None = None,
    ) -> None:
        if method not in ("linear", "cubic") or holes not in ("error", "nearest"):
            raise ConfigError(
                f'method must be "linear" or "cubic" and holes "error" or "nearest"; received '
                f"{method!r} and {holes!r}."
            )
        self.path = Path(path)
        self.cube = open_cube(self.path, medium)
        if not normalized and self.cube.continuum is None:
            raise ConfigError(f"normalized=False needs a continuum, which {self.path} lacks.")
        self.normalized, self.method, self.holes = normalized, method, holes
        names = {**FERRE_NAMES, **{k.lower(): v for k, v in (rename or {}).items()}}
        self.labels = tuple(names.get(n.lower(), n.lower()) for n in self.cube.labels)
        if len(set(self.labels)) != len(self.labels):
            raise ConfigError(f"{self.path}: labels must differ; they are {self.labels}.")
        self.nodes = self._make_nodes()
        wave = self.cube.wavelength
        self._vacuum = WavelengthGrid(wave, self.cube.medium).to_vacuum()  # type: ignore[arg-type]
        own = float(np.max(wave[1:] / np.diff(wave)))
        self.resolution = FINER * own if resolution is None else float(resolution)
        self._kept: dict[int, tuple[Array, Array | None]] = {}
        self._span: tuple[int, int] = (0, wave.size)

    def _make_nodes(self) -> LatticeNodes | ScatteredNodes:
        if self.cube.axes is not None:
            return LatticeNodes(self.labels, self.cube.axes, self.method == "cubic")
        assert self.cube.points is not None
        if self.method == "cubic":
            raise ConfigError(
                "Cubic interpolation needs a lattice of labels; the spectra of "
                f"{self.path} are scattered. Use method='linear'."
            )
        return ScatteredNodes(self.labels, self.cube.points)

    def accepts(self, names: tuple[str, ...]) -> None:
        known = {SAME_LABEL.get(n, n): n for n in names}
        wanted = [SAME_LABEL.get(n, n) for n in self.labels]
        absent = [n for n, w in zip(self.labels, wanted, strict=True) if w not in known]
        strange = [n for w, n in known.items() if w not in wanted and n not in MOTIONS[1:]]
        if absent or strange:
            raise LabelError(
                f"This grid of spectra has the labels {', '.join(self.labels)} (and vmac and vsini "
                f"from outside); received {', '.join(names)}."
            )

    def fine_grid(self, grid: WavelengthGrid) -> WavelengthGrid:
        wave, have = grid.to_vacuum().wavelength, self._vacuum.wavelength
        if wave[0] < have[0] or wave[-1] > have[-1]:
            raise GridError(
                f"The grid of spectra covers {have[0]:.1f} to {have[-1]:.1f} A in vacuum, and "
                f"{wave[0]:.1f} to {wave[-1]:.1f} is asked for."
            )
        room = min(np.log(wave[0] / have[0]), np.log(have[-1] / wave[-1]))
        margin = float(np.clip(room - 1.0 / self.resolution, 0.0, MARGIN))
        fine = log_even(grid, self.resolution, margin=margin)
        if fine is grid or fine.wavelength[-1] <= have[-1]:
            return fine
        return fine.select(fine.wavelength <= have[-1])

    def clamped(self, labels: Labels) -> Labels:
        values = np.array(labels.values)
        placed = self.nodes.place(self._points(labels), "clamp")
        for i, (mine, raw) in enumerate(zip(self.labels, self.cube.labels, strict=True)):
            column = placed[:, i]
            values[:, _index(labels, mine)] = 10.0**column if _logarithmic(raw) else column
        return Labels(labels.names, values, labels.errors, labels.specs)

    def _points(self, labels: Labels) -> Array:
        """The labels (N, L) as the file has them."""
        columns = []
        for mine, raw in zip(self.labels, self.cube.labels, strict=True):
            column = labels.values[:, _index(labels, mine)]
            with np.errstate(divide="ignore"):
                columns.append(np.log10(column) if _logarithmic(raw) else column)
        return np.stack(columns, axis=1)

    def emergent(
        self, labels: Labels, grid: WavelengthGrid, *, outside: Outside
    ) -> tuple[Array, Array]:
        points = self.nodes.place(self._points(labels), outside)
        wave, have = grid.wavelength, self._vacuum.wavelength
        first = max(int(np.searchsorted(have, wave[0])) - 4, 0)
        span = (first, min(int(np.searchsorted(have, wave[-1])) + 4, have.size))
        if span != self._span:
            self._span, self._kept = span, {}
        made = [self._mean(point) for point in points]
        x = have[slice(*span)]
        flux = _onto(wave, x, np.stack([f for f, _ in made]))
        if self.cube.continuum is None:
            return flux, np.full_like(flux, np.nan)
        return flux, _onto(wave, x, np.stack([c for _, c in made if c is not None]))

    def _mean(self, point: Array) -> tuple[Array, Array | None]:
        stencils = self.nodes.stencils(point)
        for weights in stencils:
            if all(self._row(node) is not None for node in weights):
                return self._weighted(weights)
        if self.holes == "error":
            where = ", ".join(f"{n} = {v:g}" for n, v in zip(self.labels, point, strict=True))
            raise LabelError(
                f"The grid of spectra has a hole beside {where}: a spectrum there is zero or NaN. "
                'Choose other labels, or build the engine with holes="nearest".'
            )
        whole: dict[int, float] = {}
        for node, weight in stencils[-1].items():
            filled = self._filled(node)
            whole[filled] = whole.get(filled, 0.0) + weight
        return self._weighted(whole)

    def _weighted(self, weights: Mapping[int, float]) -> tuple[Array, Array | None]:
        flux: Array | float = 0.0
        smooth: Array | float | None = 0.0
        for node, weight in weights.items():
            row = self._row(node)
            assert row is not None
            flux = flux + weight * row[0]
            smooth = None if row[1] is None or smooth is None else smooth + weight * row[1]
        return np.asarray(flux), None if smooth is None else np.asarray(smooth)

    def _filled(self, node: int) -> int:
        """The node itself or the nearest one that is no hole."""
        for other in (node, *self.nodes.by_distance(node, SEARCHED)):
            if self._row(other) is not None:
                return other
        where = ", ".join(
            f"{n} = {v:g}" for n, v in zip(self.labels, self.nodes.point(node), strict=True)
        )
        raise LabelError(f"The grid of spectra has nothing but holes around {where}.")

    def _row(self, node: int) -> tuple[Array, Array | None] | None:
        """Normalised flux and continuum of a node in the pixels of interest; None for a hole."""
        if node not in self._kept:
            if len(self._kept) >= CACHED:
                self._kept.pop(next(iter(self._kept)))
            self._kept[node] = self._read(node)
        flux, smooth = self._kept[node]
        return None if not flux.size else (flux, smooth)

    def _read(self, node: int) -> tuple[Array, Array | None]:
        pixels = slice(*self._span)
        flux = self.cube.flux(np.array([node]), pixels)[0]
        smooth = None
        if self.cube.continuum is not None:
            smooth = self.cube.continuum(np.array([node]), pixels)[0]
        hole = not (np.isfinite(flux).all() and flux.any())
        if hole or (smooth is not None and not (np.isfinite(smooth).all() and np.all(smooth > 0))):
            return np.empty(0), None
        return (flux if self.normalized or smooth is None else flux / smooth), smooth

    def describe(self) -> dict[str, Any]:
        power = self.cube.resolving_power
        return {
            "engine": self.name,
            "file": self.path.name,
            "bytes": self.path.stat().st_size,
            "spectra": self.cube.n_nodes,
            "labels": list(self.labels),
            "method": self.method,
            "holes": self.holes,
            "resolving_power": None if np.isnan(power) else power,
            "resolution": self.resolution,
        }


def _onto(wave: Array, have: Array, values: Array) -> Array:
    """Rows (N, pixels) on other wavelengths: cubic splines, and straight lines across gaps."""
    made = CubicSpline(have, values, axis=1)(wave)
    width = np.diff(have)
    gap = width > GAP * np.median(width)
    across = gap[np.clip(np.searchsorted(have, wave, side="right") - 1, 0, width.size - 1)]
    for row, own in zip(made, values, strict=True):
        row[across] = np.interp(wave[across], have, own)
    return made


def _logarithmic(raw: str) -> bool:
    return raw.lower() in LOGARITHMIC


def _index(labels: Labels, name: str) -> int:
    spelled = {SAME_LABEL.get(n, n): i for i, n in enumerate(labels.names)}
    return spelled[SAME_LABEL.get(name, name)]
