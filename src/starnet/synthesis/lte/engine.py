"""The engine: atmospheres and abundances in, spectra out, all as tensors with derivatives.

    engine = LteEngine(lines, wavelength, tables)
    flux = engine(Structure(...), abundances, vmic)         # Flux.normalized, Flux.continuum

Everything is batched over B stars with D depths. The equation of state and the continuum are in
float64, the lines and their transfer in float32. Smooth opacities (continuum, hydrogen) are
computed on nodes and interpolated to the pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from starnet.errors import GridError
from starnet.models.runtime import keep_memory
from starnet.synthesis.lines import LineList

from .continuum import VALID, Continuum, edges, planck
from .eos import EquationOfState, Gas
from .formal import Nodes, Smooth
from .formal import flux as emergent
from .hydrogen import Hydrogen, hydrogen_lines, line_nodes
from .opacity import LineOpacity
from .tables import Tables
from .transfer import emergent_flux, mean_intensity

NODE_STEP = 0.002
"""Spacing of the nodes of the continuum, in the logarithm of wavelength."""


@dataclass(frozen=True, eq=False)
class Structure:
    """B atmospheres of D depths, from the surface inwards.

    Attributes
    ----------
    temperature, gas_pressure : tensor (B, D), float64
        K and dyn/cm2.
    depth : tensor (B, D)
        Column mass (g/cm2), or optical depth at 5000 Angstrom.
    scale : "rhox" or "tau_5000"
        Which of them ``depth`` is.
    """

    temperature: Tensor
    gas_pressure: Tensor
    depth: Tensor
    scale: str = "rhox"


@dataclass(frozen=True, eq=False)
class Flux:
    """What leaves B stars: (B, P) each. `continuum` is erg / s / cm2 / Angstrom at the surface."""

    normalized: Tensor
    continuum: Tensor
    gas: Gas


class LteEngine:
    """Synthesis in local thermodynamic equilibrium on one wavelength grid.

    Parameters
    ----------
    lines : LineList
    wavelength : array (P,)
        Vacuum Angstrom, even in the logarithm.
    tables : Tables
    hydrogen : bool
        Whether to include the lines of hydrogen.
    scattering : bool
        Whether scattering is taken apart from absorption in the source function.
    cutoff : float, optional
        As of `LineOpacity`.
    device : torch device

    Raises
    ------
    GridError
        If the wavelengths are outside what the opacities cover, or not even in the logarithm.
    DataError
        If no line of the list is near the grid.
    """

    def __init__(
        self,
        lines: LineList,
        wavelength: NDArray[Any],
        tables: Tables,
        *,
        hydrogen: bool = True,
        scattering: bool = True,
        cutoff: float | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        wave = np.asarray(wavelength, dtype=float)
        _check_grid(wave)
        keep_memory()
        self.device = torch.device(device)
        self.wavelength, self.scattering = wave, scattering
        self.state = EquationOfState(tables, device)
        self.lines = LineOpacity(lines, wave, tables, device, cutoff)
        self.provenance = {"n": len(self.lines.lines), "sources": list(lines.sources)}
        balmer = hydrogen_lines(tables, wave[0], wave[-1]) if hydrogen else []
        coarse = _nodes(wave[0], wave[-1], np.zeros(0))
        fine = _nodes(wave[0], wave[-1], line_nodes(balmer, wave[0], wave[-1]))
        self.coarse, self.fine = (
            Nodes.between(coarse, wave, device),
            Nodes.between(fine, wave, device),
        )
        self.coarse_to_fine = Nodes.between(coarse, fine, device)
        self.continuum = Continuum(tables, coarse, device)
        self.standard = Continuum(tables, [5000.0], device)
        self.hydrogen = Hydrogen(balmer, fine, device) if balmer else None

    def __call__(
        self, structure: Structure, abundances: Tensor, vmic: Tensor, **line_data: Tensor | None
    ) -> Flux:
        """Spectra of B stars.

        Parameters
        ----------
        structure : Structure
        abundances : tensor (B, 92), float64
            Numbers relative to hydrogen.
        vmic : tensor (B,), float64
            Microturbulence, km/s.
        line_data : tensor (N,), optional
            ``log_gf`` and ``log_vdw`` instead of those of the list (natural logarithms, in the
            order of ``engine.lines.lines``).
        """
        gas = self.state.solve(structure.temperature, structure.gas_pressure, abundances)
        absorbed, scattered = self.continuum(gas)  # (B, D, C)
        factor = self._to_opacity(structure, gas)
        log_scale = torch.log(structure.depth)
        thermal = planck(self.continuum.wavelength, gas.temperature)
        smooth = absorbed + scattered
        source = thermal
        if self.scattering:
            mean = mean_intensity(absorbed, scattered, thermal, factor, log_scale)
            source = thermal + scattered / smooth * (mean - thermal)
        level = emergent_flux(smooth * factor[..., None], source, log_scale)
        lines = self.lines(gas, vmic * 1e5, smooth, **line_data)
        excess = (source - thermal) * smooth  # of the source, times opacity: sigma (J - B)
        nodes = Smooth(*(self.coarse_to_fine(x) for x in (smooth, thermal, excess)))
        if self.hydrogen is not None:
            nodes = replace(nodes, opacity=nodes.opacity + self.hydrogen(gas))
        flux = emergent(lines, nodes, self.fine, factor, log_scale)
        continuum = self.coarse(level)
        return Flux(flux / continuum, continuum, gas)

    def _to_opacity(self, structure: Structure, gas: Gas) -> Tensor:
        """(B, D): turns opacity per cm into d tau / d ln of the depth scale."""
        if structure.scale == "rhox":
            return structure.depth / gas.density
        absorbed, scattered = self.standard(gas)
        return structure.depth / (absorbed + scattered)[..., 0]


def _nodes(start: float, stop: float, more: NDArray[Any]) -> NDArray[Any]:
    """Nodes from start to stop: even in the logarithm, both sides of every edge, and others."""
    n = max(2, int(np.ceil(np.log(stop / start) / NODE_STEP)) + 1)
    jumps = edges(start, stop)
    even = np.geomspace(start, stop, n)
    nodes = np.concatenate([even, jumps * (1 - 1e-7), jumps * (1 + 1e-7), more])
    nodes = np.unique(np.clip(nodes, start, stop))
    return nodes[np.concatenate([[True], np.diff(nodes) > 1e-8 * nodes[1:]])]


def _check_grid(wave: NDArray[Any]) -> None:
    low, high = VALID
    if wave.ndim != 1 or wave.size < 16:
        raise GridError(f"A synthesis needs at least 16 wavelengths; received {wave.size}.")
    if not (wave[0] >= low and wave[-1] <= high):
        raise GridError(
            f"The opacities hold from {low:g} to {high:g} Angstrom (vacuum); the grid runs from "
            f"{wave[0]:.1f} to {wave[-1]:.1f}."
        )
    step = np.diff(np.log(wave))
    if not (step.min() > 0 and step.max() - step.min() < 1e-3 * step.mean()):
        raise GridError(
            "The engine's grid must be even in the logarithm of wavelength; ask for other grids "
            "with Synthesizer.synthesize."
        )
