"""`LteSynthesizer`: the engine behind the contract, and with derivatives by every label."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from starnet.errors import ConfigError, GridError
from starnet.spectra import Labels, WavelengthGrid
from starnet.synthesis.atmospheres import Atmosphere, AtmosphereEmulator, AtmosphereGrid
from starnet.synthesis.composition import Composition, vmic_relation
from starnet.synthesis.contract import Array, Outside, Synthesizer, log_even
from starnet.synthesis.inputs import PhysicsInputs
from starnet.synthesis.lines import LineList

from .continuum import VALID
from .engine import Flux, LteEngine
from .opacity import EPSILON, MARGIN
from .structure import LABELS, EmulatedStructures, GivenStructures, Structures
from .tables import Tables

RESOLUTION = 300_000.0
VERSION = 1
"""Raised when spectra change by more than rounding."""

OURS = "ours"
SPELLINGS = (("teff",), ("logg",), ("fe_h", "m_h"), ("alpha_m", "alpha_fe"))
"""Labels that are the atmosphere's teff, logg, m_h and alpha_m."""
KEPT = 4
"""Engines, each for one grid, that are kept at a time."""

Lines = LineList | Callable[[float, float], LineList]
Atmospheres = AtmosphereEmulator | AtmosphereGrid | Atmosphere


class LteSynthesizer(Synthesizer):
    """Our own engine: LTE, plane-parallel, in torch.

    Parameters
    ----------
    atmospheres : AtmosphereEmulator, AtmosphereGrid or Atmosphere
        With an emulator, spectra have derivatives by teff, logg and metallicity too.
    lines : LineList, or callable
        A callable is asked for the lines between two vacuum wavelengths.
    tables : Tables
    solar : str
        Solar abundances, one of `starnet.synthesis.composition.SOLAR`.
    resolution : float
        Wavelength / pixel of the computation.
    hydrogen, scattering, cutoff
        See `LteEngine`.
    scale : "rhox" or "tau_5000"
        Depth scale of atmospheres from a grid.
    device : torch device
    """

    name = "lte"

    def __init__(
        self,
        atmospheres: Atmospheres,
        lines: Lines,
        tables: Tables,
        *,
        solar: str = "grevesse2007",
        resolution: float = RESOLUTION,
        hydrogen: bool = True,
        scattering: bool = True,
        cutoff: float | None = None,
        scale: str = "rhox",
        device: torch.device | str = "cpu",
    ) -> None:
        if cutoff is not None and not 0 < cutoff < 0.1:
            raise ConfigError(f"cutoff must be above 0 and below 0.1; received {cutoff!r}.")
        if not resolution >= 1000:
            raise ConfigError(f"resolution must be at least 1000; received {resolution!r}.")
        self.structures: Structures = (
            EmulatedStructures(atmospheres, device=device)
            if isinstance(atmospheres, AtmosphereEmulator)
            else GivenStructures(atmospheres, scale, device)
        )
        self.lines, self.tables, self.solar = lines, tables, solar
        self.resolution, self.device = float(resolution), torch.device(device)
        self.options = {"hydrogen": bool(hydrogen), "scattering": bool(scattering)}
        self.cutoff = EPSILON if cutoff is None else float(cutoff)
        self.corrections = "none"
        self._engines: dict[bytes, LteEngine] = {}
        self._maps: dict[tuple[str, ...], Composition] = {}

    @classmethod
    def from_inputs(
        cls,
        physics: str | os.PathLike[str] | None = None,
        *,
        atmospheres: str = "cool",
        corrections: str | os.PathLike[str] | None = OURS,
        **settings: Any,
    ) -> LteSynthesizer:
        """From the public inputs in a folder (see `PhysicsInputs.locate`).

        Parameters
        ----------
        physics : path, optional
            The folder. Default: ``$STARNET_PHYSICS``, then the user's data folder.
        atmospheres : str
            Kind of atmospheres, as `PhysicsInputs.atmospheres` names it.
        corrections : path, "ours" or None
            A table of line corrections (see `starnet.synthesis.calibrate`). Ours, which comes with
            the package, was calibrated on the Sun and Arcturus in the H band and changes no line
            elsewhere; None leaves the lines as their lists have them.
        **settings
            As of the class.
        """
        inputs = PhysicsInputs.locate(physics)
        correct: Callable[[LineList], LineList] = lambda lines: lines  # noqa: E731
        about = "none"
        if corrections is not None:
            from starnet.synthesis.calibrate import HBAND, Corrections

            table = Path(HBAND if corrections == OURS else corrections)
            correct = Corrections.read(table).apply
            about = f"{table.name}, sha256 {hashlib.sha256(table.read_bytes()).hexdigest()[:16]}"
        made = cls(
            inputs.atmospheres(atmospheres),
            lambda start, stop: correct(inputs.lines(start, stop)),
            Tables.open(inputs.path("tables")),
            **settings,
        )
        made.corrections = about
        return made

    def describe(self) -> dict[str, Any]:
        return {
            "engine": self.name,
            "version": VERSION,
            "solar": self.solar,
            "resolution": self.resolution,
            **self.options,
            "cutoff": self.cutoff,
            **self.structures.describe(),
            "corrections": self.corrections,
            "lines": {key.hex(): e.provenance for key, e in self._engines.items()},
        }

    def covers(self, labels: Labels) -> NDArray[np.bool_]:
        """Which stars there are atmospheres for, (N,)."""
        maps = self._composition(labels.names)
        return self.structures.covers(labels.values @ maps.atmosphere.T)

    def clamped(self, labels: Labels) -> Labels:
        maps = self._composition(labels.names)
        values = np.array(labels.values)
        stellar = values @ maps.atmosphere.T
        placed = self.structures.place(stellar, "clamp")
        for place, spellings in enumerate(SPELLINGS):
            for name in spellings:
                if name in labels.names:
                    values[:, labels.index(name)] += placed[:, place] - stellar[:, place]
        return Labels(labels.names, values, specs=labels.specs)

    def fine_grid(self, grid: WavelengthGrid) -> WavelengthGrid:
        wave = grid.to_vacuum().wavelength
        if wave[0] < VALID[0] * 1.01 or wave[-1] > VALID[1] * 0.99:
            raise GridError(
                f"The engine's opacities hold from {VALID[0]:g} to {VALID[1]:g} Angstrom; the grid "
                f"asks for {wave[0]:.1f} to {wave[-1]:.1f}."
            )
        return log_even(grid, self.resolution)

    def emergent(
        self, labels: Labels, grid: WavelengthGrid, *, outside: Outside
    ) -> tuple[Array, Array]:
        used = self.clamped(labels) if outside == "clamp" else labels  # abundances are moved too
        with torch.no_grad():
            values = torch.as_tensor(np.array(used.values), device=self.device)
            made = self(values, labels.names, grid, outside=outside)
        return made.normalized.cpu().numpy().astype(float), made.continuum.cpu().numpy()

    def __call__(
        self,
        labels: Tensor,
        names: tuple[str, ...],
        grid: WavelengthGrid,
        *,
        outside: Outside = "error",
        **line_data: Tensor | None,
    ) -> Flux:
        """Spectra as tensors, with derivatives by the labels (and by line data, if given).

        Parameters
        ----------
        labels : tensor (B, L), float64
            Without rotation and macroturbulence, which are not applied here.
        names : tuple of str
            Of the L labels.
        grid : WavelengthGrid
            One that `fine_grid` gave.
        line_data : tensor (N,)
            As `LteEngine` takes it.
        """
        maps = self._composition(names)
        atmosphere, solar, abundance = (
            torch.as_tensor(x, device=self.device)
            for x in (maps.atmosphere, maps.solar, maps.abundance)
        )
        stellar = labels @ atmosphere.T  # (B, 4)
        logs = solar + labels @ abundance.T  # (B, 92)
        place = maps.place("vmic")
        vmic = vmic_relation(stellar[:, 1]) if place is None else labels[:, place]
        structure = self.structures(stellar, outside)
        return self.engine(grid)(structure, 10.0**logs, vmic, **line_data)

    def jacobian(self, labels: Array, names: tuple[str, ...], grid: WavelengthGrid) -> Array:
        """Derivatives of normalised flux by each label at one star: (L, P), by forward mode.

        Parameters
        ----------
        labels : array (L,)
        names : tuple of str
        grid : WavelengthGrid
            One that `fine_grid` gave.
        """
        point = torch.as_tensor(np.array(labels, dtype=float)[None], device=self.device)
        rows = []
        for k in range(len(names)):
            tangent = torch.zeros_like(point)
            tangent[0, k] = 1.0
            with torch.autograd.forward_ad.dual_level():
                dual = torch.autograd.forward_ad.make_dual(point, tangent)
                flux = self(dual, names, grid).normalized
                slope = torch.autograd.forward_ad.unpack_dual(flux).tangent
            rows.append(torch.zeros_like(flux[0]) if slope is None else slope[0])
        return torch.stack(rows).cpu().numpy()

    def engine(self, grid: WavelengthGrid) -> LteEngine:
        """The engine of one grid, built at its first use; the last `KEPT` of them are kept."""
        wave = grid.to_vacuum().wavelength
        key = hashlib.sha256(wave.tobytes()).digest()[:8]
        if key not in self._engines:
            lines = self.lines
            if not isinstance(lines, LineList):
                lines = lines(wave[0] * (1 - MARGIN), wave[-1] * (1 + MARGIN))
            while len(self._engines) >= KEPT:
                del self._engines[next(iter(self._engines))]
            self._engines[key] = LteEngine(
                lines, wave, self.tables, cutoff=self.cutoff, device=self.device, **self.options
            )
        return self._engines[key]

    def _composition(self, names: tuple[str, ...]) -> Composition:
        if names not in self._maps:
            self._maps[names] = Composition.of(names, self.solar)
        return self._maps[names]


def build(**settings: Any) -> LteSynthesizer:
    """The engine from settings that can stand in a file: a folder, names and numbers."""
    return LteSynthesizer.from_inputs(**settings)


__all__ = ["LABELS", "LteSynthesizer", "build"]
