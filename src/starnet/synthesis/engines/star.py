"""What engines that work from an atmosphere and a line list share: one star at a time."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from starnet.errors import ConfigError, EngineError, GridError, LabelError
from starnet.spectra import Labels, WavelengthGrid
from starnet.synthesis.atmospheres import (
    Atmosphere,
    AtmosphereEmulator,
    AtmosphereGrid,
    read_atmospheres,
)
from starnet.synthesis.composition import Composition, vmic_relation
from starnet.synthesis.contract import Array, Outside, Synthesizer, log_even
from starnet.synthesis.lines import LineList, concatenate, read_lines

PathLike = str | os.PathLike[str]
RESOLUTION = 300_000.0
REACH = 0.005
"""The part of the wavelength by which a grid may stick out of the line list."""
BUFFER = 10.0
"""Lines up to this many Angstrom outside the grid are given to the engine."""
SAME = {"teff": 1.0, "logg": 0.01}
"""A single atmosphere serves labels that differ from its own by no more than this."""


class AtmosphereSource(Protocol):
    """`AtmosphereGrid`, `AtmosphereEmulator`, or whatever answers the same call."""

    def at(
        self,
        teff: float,
        logg: float,
        m_h: float = 0.0,
        alpha_m: float | None = None,
        *,
        outside: str = "error",
    ) -> Atmosphere: ...


@dataclass(frozen=True, eq=False)
class Star:
    """One star as an engine takes it: atmosphere, abundances (92,) with H at 12, vmic in km/s."""

    atmosphere: Atmosphere
    abundances: Array
    vmic: float


class LineEngine(Synthesizer):
    """An engine that computes from model atmospheres and a line list. A member gives `_spectra`.

    Parameters
    ----------
    atmospheres : AtmosphereGrid, AtmosphereEmulator, Atmosphere or path
        Where atmospheres come from. One `Atmosphere` serves labels of its own teff and logg only,
        whatever their abundances. A path is opened: a folder, or a file of one or many models.
    lines : LineList, path or several paths
        Isotope fractions are in ``loggf``, so the engine is told of no isotopes.
    solar : str
        Solar abundances that labels refer to, of `starnet.synthesis.composition.SOLAR`.
    hydrogen : bool
        Lines of hydrogen, from the engine's own theory. Those of the line list are never used.
    vmic : float, optional
        km/s, where it is no label. Default: `vmic_relation` of logg.
    resolution : float
        Wavelength / pixel of the fine grid.

    Raises
    ------
    ConfigError
        If a setting has no meaning or the line list is empty.
    """

    def __init__(
        self,
        atmospheres: AtmosphereSource | Atmosphere | PathLike,
        lines: LineList | PathLike | Sequence[PathLike],
        *,
        solar: str = "grevesse2007",
        hydrogen: bool = True,
        vmic: float | None = None,
        resolution: float = RESOLUTION,
    ) -> None:
        self.atmospheres = open_atmospheres(atmospheres)
        self.lines = _without_hydrogen(open_lines(lines))
        if not len(self.lines):
            raise ConfigError(
                f"The engine {self.name} needs a line list with at least one line that is not of "
                "hydrogen; the one received has none. Read another file or a wider range."
            )
        if vmic is not None and not vmic >= 0:
            raise ConfigError(f"vmic must be 0 or more km/s; received {vmic}.")
        Composition.of(("teff", "logg", "fe_h"), solar)  # raises where solar is unknown
        self.solar, self.hydrogen, self.vmic = solar, bool(hydrogen), vmic
        self.resolution = float(resolution)

    @abstractmethod
    def _spectra(self, stars: Sequence[Star], wave: Array) -> Iterator[tuple[Array, Array]]:
        """Normalised flux and continuum, each (P,), of each star at vacuum wavelengths (P,)."""

    def fine_grid(self, grid: WavelengthGrid) -> WavelengthGrid:
        wave, lines = grid.to_vacuum().wavelength, self.lines.wavelength
        low, high = lines.min(), lines.max()
        if wave[0] < low * (1 - REACH) or wave[-1] > high * (1 + REACH):
            raise GridError(
                f"The line list covers {low:.1f} to {high:.1f} A in vacuum, and the grid asks for "
                f"{wave[0]:.1f} to {wave[-1]:.1f}; add lines there or choose another grid."
            )
        return log_even(grid, self.resolution)

    def emergent(
        self, labels: Labels, grid: WavelengthGrid, *, outside: Outside
    ) -> tuple[Array, Array]:
        labels = self.clamped(labels) if outside == "clamp" else labels
        stars, wave = self.stars(labels, outside), grid.wavelength
        made = []
        for i, pair in enumerate(self._spectra(stars, wave)):
            self._check(pair, i, wave.size)
            made.append(pair)
        if len(made) != len(stars):
            raise EngineError(
                f"The engine {self.name} gave {len(made)} spectra for {len(stars)} stars."
            )
        normalized, continuum = zip(*made, strict=True)
        return np.stack(normalized), np.stack(continuum)

    def _check(self, pair: tuple[Array, Array], place: int, n: int) -> None:
        normalized, continuum = pair
        if normalized.shape != (n,) or continuum.shape != (n,):
            raise EngineError(
                f"The engine {self.name} gave {normalized.size} pixels for {n} of star {place}."
            )
        if not (np.isfinite(normalized).all() and np.all(np.isnan(continuum) | (continuum > 0))):
            raise EngineError(
                f"The engine {self.name} gave a spectrum that is not finite or has no continuum "
                f"for star {place} of the batch; leave the star out, or look at its atmosphere."
            )

    def stars(self, labels: Labels, outside: Outside = "error") -> list[Star]:
        """Atmosphere, abundances and microturbulence of each star.

        Raises
        ------
        LabelError
            If a label is outside the range of the atmospheres and ``outside`` is "error".
        """
        maps = Composition.of(labels.names, self.solar)
        place = maps.place("vmic")
        stars = []
        for values in labels.values:
            abundances = maps.solar + maps.abundance @ values + 12.0
            stellar = maps.atmosphere @ values
            given = self.vmic if place is None else values[place]
            vmic = float(vmic_relation(stellar[1]) if given is None else given)
            stars.append(Star(self._atmosphere(stellar, outside), abundances, vmic))
        return stars

    def _atmosphere(self, stellar: Array, outside: Outside) -> Atmosphere:
        teff, logg, m_h, alpha_m = (float(v) for v in stellar)
        source = self.atmospheres
        if isinstance(source, Atmosphere):
            _same_star(source, {"teff": teff, "logg": logg}, outside)
            return source
        alpha = alpha_m if self._has_alpha() else None
        return source.at(teff, logg, m_h, alpha, outside=outside)

    def _has_alpha(self) -> bool:
        """Whether alpha may be asked for: a grid that does not vary it has its own."""
        return "alpha_m" in getattr(self.atmospheres, "limits", {"alpha_m": None})

    def clamped(self, labels: Labels) -> Labels:
        maps = Composition.of(labels.names, self.solar)
        values = np.array(labels.values)
        for row in values:
            model = self._atmosphere(maps.atmosphere @ row, "clamp")
            moved = dict(model.clamped)
            if isinstance(self.atmospheres, Atmosphere):
                moved = dict.fromkeys(SAME, 0.0)
            for name in moved:
                spellings = {"m_h": ("m_h", "fe_h"), "alpha_m": ("alpha_m", "alpha_fe")}
                for label in spellings.get(name, (name,)):
                    if label in labels.names:
                        row[labels.index(label)] = getattr(model, name)
        return Labels(labels.names, values, labels.errors, labels.specs)

    def describe(self) -> dict[str, Any]:
        return {
            "engine": self.name,
            "atmospheres": getattr(self.atmospheres, "source", "") or repr(self.atmospheres),
            "lines": {"n": len(self.lines), "sources": list(self.lines.sources)},
            "solar": self.solar,
            "hydrogen": self.hydrogen,
            "vmic": "of logg, Holtzman et al. 2018" if self.vmic is None else self.vmic,
            "resolution": self.resolution,
        }

    def near(self, wave: Array) -> LineList:
        """The lines within `BUFFER` of vacuum wavelengths, in order."""
        return self.lines.select(wave[0] - BUFFER, wave[-1] + BUFFER).sort()


def open_atmospheres(source: AtmosphereSource | Atmosphere | PathLike) -> Any:
    """An atmosphere source as it is, or opened from a path."""
    if hasattr(source, "at") or isinstance(source, Atmosphere):
        return source
    if not isinstance(source, str | os.PathLike):
        raise ConfigError(
            "atmospheres must be an AtmosphereGrid, an AtmosphereEmulator, an Atmosphere or a "
            f"path; received {type(source).__name__}."
        )
    path = Path(source)
    if path.is_dir():
        emulator = any(path.glob("*_col1*.npz"))
        return AtmosphereEmulator.open(path) if emulator else AtmosphereGrid.open(path)
    models = read_atmospheres(path)
    return models[0] if len(models) == 1 else AtmosphereGrid(models)


def open_lines(lines: LineList | PathLike | Sequence[PathLike]) -> LineList:
    """A line list as it is, or read from one path or several."""
    if isinstance(lines, LineList):
        return lines
    if isinstance(lines, str | os.PathLike):
        return read_lines(lines)
    return concatenate([read_lines(path) for path in lines])


def _without_hydrogen(lines: LineList) -> LineList:
    return lines[lines.species != 10000]


def _same_star(model: Atmosphere, asked: dict[str, float], outside: Outside) -> None:
    for name, value in asked.items():
        if outside == "error" and abs(getattr(model, name) - value) > SAME[name]:
            raise LabelError(
                f"The one atmosphere given has {name} = {getattr(model, name):g}, and the label is "
                f'{value:g}; give a grid of atmospheres, or pass outside="clamp".'
            )
