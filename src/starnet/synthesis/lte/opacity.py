"""Opacity of atomic and molecular lines on an even grid.

A line adds pi e2 / (m c) gf n / Q exp(-E / kT) (1 - exp(-h nu / kT)) phi(nu) per cm, where phi is
a Voigt profile. Its Doppler width has heat and microturbulence; its damping has

- radiation: as given, else classical, 2.223e15 / lambda**2 (lambda in Angstrom) per second;
- electrons: as given, else 1e-8 n_eff**5 per electron at 10,000 K (Kurucz 1981, SAO Special
  Report 390), rising with T**(1/6); none for molecules;
- hydrogen: as given (see `VdwKind`), else Unsold's theory as Gray has it (2005, equations 11.29
  and 11.30). Helium counts 0.42 and H2 0.85 of a hydrogen atom.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from starnet.errors import DataError
from starnet.synthesis.constants import (
    BOLTZMANN,
    BOLTZMANN_EV,
    DALTON,
    EV,
    LIGHT,
    LINE_CONSTANT,
    MASSES,
    PLANCK,
)
from starnet.synthesis.lines import (
    UNSOLD_ALPHA,
    LineList,
    VdwKind,
    abo_log_gamma,
    atomic_numbers,
    charges,
    encode,
    mass_numbers,
    species_name,
    without_isotopes,
)

from .eos import Gas
from .linesum import sum_lines
from .tables import Tables

log = logging.getLogger("starnet.synthesis")
Array = NDArray[Any]  # float64

EPSILON = 5e-5
"""Lines are left out, or cut off, where they add less than this to the continuous opacity."""
REACH = 0.008
"""Fraction of the wavelength to which the wings of a line are followed at most."""
MARGIN = REACH
"""Fraction of the wavelength by which the lines taken reach beyond the grid."""
HYDROGEN = encode([(1, 0)])
"""H I: `Hydrogen` has its lines, with Stark profiles. Those of a line list are left out."""
REFERENCE_T = 1e4
LEAST_GAP = 0.1
"""eV to the ionisation limit that Unsold's and Kurucz's approximations take at least."""


@dataclass(frozen=True, eq=False)
class Species:
    """The species of a line list: what makes up their number densities.

    Attributes
    ----------
    atoms : array (A, 2)
        Places in `Gas.per_q`: element and stage.
    molecules : tuple of str
        Names of molecules, whose densities come after those of the atoms.
    index : array (N,)
        Place of each line in both together; -1 where the engine does not know the species.
    """

    atoms: NDArray[np.int64]
    molecules: tuple[str, ...]
    index: NDArray[np.int64]

    @classmethod
    def of(cls, lines: LineList, tables: Tables) -> Species:
        """Of a line list; what is not known is counted and left out with one logged sentence."""
        codes, index = np.unique(without_isotopes(lines.species), return_inverse=True)
        place = np.full(codes.size, -1)
        known = {molecule.atoms: name for name, molecule in tables.molecules.items()}
        atoms: list[tuple[int, int]] = []
        names: list[tuple[int, str]] = []
        for k, code in enumerate(codes.tolist()):
            z = tuple(int(x) for x in atomic_numbers(code)[0] if x)
            charge = int(charges(code)[0])
            if code == HYDROGEN:
                continue
            if len(z) == 1 and z[0] <= 92 and charge <= 2:
                place[k] = len(atoms)
                atoms.append((z[0] - 1, charge))
            elif len(z) > 1 and not charge and z in known:
                names.append((k, known[z]))
        for number, (k, _) in enumerate(names):
            place[k] = len(atoms) + number
        unknown = [species_name(int(c)) for c in codes[(place < 0) & (codes != HYDROGEN)]]
        if unknown:
            n = int(((place < 0) & (codes != HYDROGEN))[index].sum())
            log.warning("%d lines of %s are left out: no data of them.", n, ", ".join(unknown))
        return cls(np.array(atoms).reshape(-1, 2), tuple(n for _, n in names), place[index])


class LineOpacity:
    """The lines of a list on one grid, as tensors.

    Parameters
    ----------
    lines : LineList
    wavelength : array (P,)
        Vacuum Angstrom, even in the logarithm.
    tables : Tables
    device : torch device
    cutoff : float, optional
        Lines are left out, or cut off, where they add less than this to the continuous opacity.
        Default: `EPSILON`.

    Raises
    ------
    DataError
        If the list holds no line near the grid.
    """

    def __init__(
        self,
        lines: LineList,
        wavelength: Array,
        tables: Tables,
        device: torch.device | str = "cpu",
        cutoff: float | None = None,
    ) -> None:
        self.cutoff = EPSILON if cutoff is None else float(cutoff)
        self.n_pixels = len(wavelength)
        self.step = float(np.log(wavelength[-1] / wavelength[0]) / (self.n_pixels - 1))
        lines = lines.select(wavelength[0] * (1 - MARGIN), wavelength[-1] * (1 + MARGIN)).sort()
        species = Species.of(lines, tables)
        known = np.flatnonzero(species.index >= 0)
        if not known.size:
            raise DataError(
                f"The line list has no line that can be used between {wavelength[0]:.1f} and "
                f"{wavelength[-1]:.1f} Angstrom (vacuum); give the list of that range, in vacuum."
            )
        self.lines, self.species = lines[known], species
        self.device = torch.device(device)
        self.index = torch.as_tensor(species.index[known], device=device)
        self._set_constants(wavelength, tables)

    def _tensor(self, values: Array) -> Tensor:
        return torch.as_tensor(np.array(values), dtype=torch.float64, device=self.device)

    def _set_constants(self, wavelength: Array, tables: Tables) -> None:
        lines = self.lines
        self.centre = self._tensor(np.log(lines.wavelength / wavelength[0]) / self.step)
        self.log_gf = self._tensor(math.log(10) * lines.loggf)
        self.excitation = self._tensor(lines.excitation)
        self.nu = self._tensor(LIGHT * 1e8 / lines.wavelength)
        self.mass = self._tensor(_masses(lines))
        width = Widths.of(lines, tables)
        self.radiative = self._tensor(width.radiative)
        self.stark = self._tensor(width.stark)
        self.log_vdw = self._tensor(width.log_vdw)
        self.vdw_power = self._tensor(width.vdw_power)

    def populations(self, gas: Gas) -> Tensor:
        """ln of density over partition function of each species: (B, D, S)."""
        parts = []
        if len(self.species.atoms):
            z, stage = torch.as_tensor(self.species.atoms.T, device=self.device)
            parts.append(torch.log(gas.per_q[..., z, stage]))
        for name in self.species.molecules:
            log_n, log_q = gas.state.log_molecule(name, gas.neutral, gas.temperature)
            parts.append((log_n - log_q)[..., None])
        return torch.cat(parts, dim=-1)

    def __call__(
        self,
        gas: Gas,
        vmic: Tensor,
        continuum: Tensor,
        *,
        log_gf: Tensor | None = None,
        log_vdw: Tensor | None = None,
    ) -> Tensor:
        """Opacity per cm, (B, D, P) float32.

        Parameters
        ----------
        gas : Gas
        vmic : tensor (B,)
            cm/s.
        continuum : tensor (B, D, C)
            Continuous opacity per cm at C points that divide the grid evenly.
        log_gf, log_vdw : tensor (N,), optional
            Other values of ln gf and of ln of the width by hydrogen than those of `lines`, for
            derivatives and calibration.
        """
        shape = gas.temperature.shape
        n_cells = continuum.shape[-1]
        cell = (self.centre / self.n_pixels * n_cells).long().clamp(0, n_cells - 1)
        level = self.cutoff * continuum.detach()
        log_gf = self.log_gf if log_gf is None else log_gf
        log_vdw = self.log_vdw if log_vdw is None else log_vdw
        population = self.populations(gas)
        chosen = self._strong(gas, population, vmic, level, cell, log_gf)
        rows = shape[0] * shape[1]
        profiles = self._profiles(gas, population, vmic, chosen, log_gf[chosen], log_vdw[chosen])
        amplitude, damping, width = (x.reshape(rows, -1).to(torch.float32) for x in profiles)
        total = sum_lines(
            amplitude,
            damping,
            width,
            self.centre[chosen],
            cell[chosen].to(torch.int32),
            level.reshape(rows, -1).to(torch.float32),
            reach=int(REACH / self.step),
            n_pixels=self.n_pixels,
        )
        return total.reshape(*shape, -1)

    @torch.no_grad()
    def _strong(
        self,
        gas: Gas,
        population: Tensor,
        vmic: Tensor,
        level: Tensor,
        cell: Tensor,
        log_gf: Tensor,
    ) -> Tensor:
        """Places of the lines that reach the level at one of a few depths of any star."""
        every = max(1, gas.temperature.shape[1] // 8)
        at = slice(every // 2, None, every)
        t = gas.temperature[:, at, None].float()
        doppler = torch.sqrt(2 * BOLTZMANN * t / (40 * DALTON) + vmic[:, None, None].float() ** 2)
        log_strength = (
            population[:, at][..., self.index].float()
            + (log_gf - torch.log(self.nu)).float()
            - self.excitation.float() / (BOLTZMANN_EV * t)
            - torch.log(doppler)
        )
        constant = math.log(LINE_CONSTANT * LIGHT / math.sqrt(math.pi))
        needed = torch.log(level[:, at].float())[..., cell] - constant
        strong = (log_strength - needed).amax(dim=(0, 1)) > math.log(0.5)
        return torch.nonzero(strong)[:, 0]

    def _profiles(
        self,
        gas: Gas,
        population: Tensor,
        vmic: Tensor,
        chosen: Tensor,
        log_gf: Tensor,
        log_vdw: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Amplitude, damping parameter and Doppler width in pixels, each (B, D, n) float32."""
        t = gas.temperature[..., None]
        nu = self.nu[chosen].float()
        doppler = torch.sqrt(
            (2 * BOLTZMANN / DALTON * t).float() / self.mass[chosen].float()
            + (vmic[:, None, None] ** 2).float()
        )  # cm/s
        log_amplitude = (
            population.float()[..., self.index[chosen]]
            + (log_gf - torch.log(self.nu[chosen]) + _LOG_AMPLITUDE).float()
            - (1 / (BOLTZMANN_EV * t)).float() * self.excitation[chosen].float()
        )
        stimulated = -torch.expm1(-(PLANCK / BOLTZMANN / t).float() * nu)
        amplitude = torch.exp(log_amplitude) * stimulated / doppler
        perturbers = torch.log(
            gas.atoms[..., 0, 0] + 0.42 * gas.atoms[..., 1, 0] + 0.85 * gas.molecule("H2")[0]
        )[..., None]
        log_t = torch.log(t / REFERENCE_T)
        gamma = (
            self.radiative[chosen].float()
            + (gas.electrons[..., None] * torch.exp(log_t / 6)).float() * self.stark[chosen].float()
            + torch.exp(
                perturbers.float()
                + log_vdw.float()
                + log_t.float() * self.vdw_power[chosen].float()
            )
        )
        damping = gamma * (LIGHT / (4 * math.pi)) / (nu * doppler)
        return amplitude, damping, doppler / (LIGHT * self.step)


_LOG_AMPLITUDE = math.log(LINE_CONSTANT * LIGHT / math.sqrt(math.pi))


@dataclass(frozen=True, eq=False)
class Widths:
    """Damping of N lines.

    Attributes
    ----------
    radiative : array (N,)
        per second.
    stark : array (N,)
        Per electron at 10,000 K, cm3/s.
    log_vdw, vdw_power : array (N,)
        ln of the width per hydrogen atom at 10,000 K, cm3/s, and its power of temperature.
    """

    radiative: Array
    stark: Array
    log_vdw: Array
    vdw_power: Array

    @classmethod
    def of(cls, lines: LineList, tables: Tables) -> Widths:
        """As the list has them, filled in with approximations where it has none."""
        molecule = lines.is_molecule
        classical = 2.223e15 / lines.wavelength**2
        radiative = np.where(np.isnan(lines.gamma_rad), classical, 10.0**lines.gamma_rad)
        gap, low_gap, charge = _gaps(lines, tables)
        n_eff2 = 13.5984 * charge**2 / gap
        stark = np.where(np.isnan(lines.gamma_stark), 1e-8 * n_eff2**2.5, 10.0**lines.gamma_stark)
        stark = np.where(molecule, 0.0, np.minimum(stark, 1e-3))
        log_vdw = np.log(10.0) * _vdw(lines, _unsold(lines, gap, low_gap, charge))
        alpha = np.where(np.isnan(lines.vdw_alpha), UNSOLD_ALPHA, lines.vdw_alpha)
        return cls(radiative, stark, log_vdw, (1 - alpha) / 2)


def _vdw(lines: LineList, unsold: Array) -> Array:
    """log10 of the width per hydrogen atom at 10,000 K."""
    given, kind = lines.vdw, lines.vdw_kind
    out = np.where(kind == VdwKind.LOG_GAMMA, given, unsold)
    factor = kind == VdwKind.UNSOLD_FACTOR
    out[factor] += np.log10(np.maximum(given[factor], 1e-3))
    masses = _masses(lines)
    for i in np.flatnonzero(kind == VdwKind.ABO):
        out[i] = abo_log_gamma(given[i], lines.vdw_alpha[i], masses[i])
    return np.asarray(out)


def _gaps(lines: LineList, tables: Tables) -> tuple[Array, Array, Array]:
    """eV from the upper and the lower level to the limit, and the charge an electron sees."""
    z = atomic_numbers(lines.species).max(axis=1)
    stage = np.minimum(charges(lines.species), 1)
    limit = tables.ionisation[np.minimum(z, 92) - 1, stage]
    upper = lines.excitation + PLANCK * LIGHT / EV * 1e8 / lines.wavelength
    gap = np.maximum(limit - upper, LEAST_GAP)
    low_gap = np.asarray(np.maximum(limit - lines.excitation, gap + 1e-3))
    return np.asarray(gap), low_gap, np.asarray(1.0 + charges(lines.species))


def _unsold(lines: LineList, gap: Array, low_gap: Array, charge: Array) -> Array:
    """log10 of the width per hydrogen atom at 10,000 K in Unsold's theory.

    Molecules, of which no level is known here, get 1e-8.
    """
    c6 = 0.3e-30 * charge**2 * (1 / gap**2 - 1 / low_gap**2)
    reduced = DALTON / (1 / 1.008 + 1 / _masses(lines))
    speed = np.sqrt(8 * BOLTZMANN * REFERENCE_T / (np.pi * reduced))
    width = np.log10(17 * np.maximum(c6, 1e-34) ** 0.4 * speed**0.6)
    return np.where(lines.is_molecule, -8.0, width)


def _masses(lines: LineList) -> Array:
    """Of the absorbers, dalton; of the isotope where the line has one."""
    z, isotope = atomic_numbers(lines.species), mass_numbers(lines.species)
    standard = np.concatenate([[0.0], MASSES, np.full(60, 2.4 * 95)])[z]
    return np.where(isotope > 0, isotope, standard).sum(axis=1)
