"""Equation of state: from temperature, gas pressure and abundances to number densities in LTE.

Ideal gas of electrons, 92 elements in three stages of ionisation (Saha), H- and molecules. The
unknowns are ln n_e and ln of the neutral density of each element that binds itself in molecules;
they solve conservation of charge, of particles and of each such element relative to hydrogen
(e.g. Hubeny and Mihalas 2014, Theory of Stellar Atmospheres, chapter 4). Newton's method has an
analytic Jacobian. Derivatives come from one more Newton step outside of `torch.no_grad`, which by
the implicit function theorem has the derivatives of the solution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from starnet.errors import DataError
from starnet.synthesis.constants import (
    BOLTZMANN,
    BOLTZMANN_EV,
    DALTON,
    ELECTRON_MASS,
    MASSES,
    PLANCK,
)

from .tables import LOG_T, Molecule, Tables

BINDING = (1, 6, 7, 8, 12, 13, 14, 16, 17, 20, 22, 23, 24, 26)
"""Elements that molecules take a part of: H C N O Mg Al Si S Cl Ca Ti V Cr Fe."""
MAIN = (
    "H2 CO OH CN CH NH C2 N2 O2 NO SiO SiH SiS TiO VO MgH CaH FeH AlH AlO CS HS SO CrH HCl H2O "
    "HCN CO2 C2H2 CaO MgO FeO SiN"
).split()
"""Molecules that the conservation of elements counts. Others are too rare to matter to it."""
ALKALI = (3, 11, 19, 37, 55)
"""Elements whose rare molecules are left aside, because their ions count for the electrons."""
AFFINITY = 0.754204  # eV, of H- (Rienstra-Kiracofe et al. 2002)
STEPS = 60
TOLERANCE = 1e-9


@dataclass(frozen=True, eq=False)
class Gas:
    """Number densities at each of B stars and D depths, per cm3.

    Attributes
    ----------
    temperature, electrons, density : tensor (B, D)
        K, per cm3, g/cm3.
    per_q : tensor (B, D, 92, 3)
        Density over partition function of atoms, ions and double ions.
    atoms : tensor (B, D, 92, 3)
        Densities of the same.
    h_minus : tensor (B, D)
    neutral : tensor (B, D, 92)
        ln of neutral densities; molecules follow from them with `molecule`.
    """

    temperature: Tensor
    electrons: Tensor
    density: Tensor
    per_q: Tensor
    atoms: Tensor
    h_minus: Tensor
    neutral: Tensor
    state: EquationOfState

    def molecule(self, name: str) -> tuple[Tensor, Tensor]:
        """Density of a molecule (B, D), and the same over its partition function."""
        log_n, log_q = self.state.log_molecule(name, self.neutral, self.temperature)
        return torch.exp(log_n), torch.exp(log_n - log_q)


class EquationOfState:
    """The solver, holding the tables as tensors of one device.

    Parameters
    ----------
    tables : Tables
    device : torch device
    """

    def __init__(self, tables: Tables, device: torch.device | str = "cpu") -> None:
        def tensor(x: object) -> Tensor:
            return torch.as_tensor(np.asarray(x), dtype=torch.float64, device=device)

        self.device = torch.device(device)
        self.molecules = tables.molecules
        self.log_u = tensor(tables.log_u.transpose(2, 0, 1))  # (T, 92, 3)
        self.chi = tensor(tables.ionisation)
        self.masses = tensor(MASSES)
        main = [tables.molecules[name] for name in MAIN if name in tables.molecules]
        self._log_k = {m.name: tensor(m.log_k) for m in tables.molecules.values()}
        self._log_q = {m.name: tensor(m.log_q) for m in tables.molecules.values()}
        self.log_k = torch.stack([self._log_k[m.name] for m in main], dim=-1)  # (T, M)
        self.counts = tensor([[m.atoms.count(z) for z in BINDING] for m in main])  # (M, K)
        self.binding = torch.tensor([z - 1 for z in BINDING], device=device)
        others = [m for m in tables.molecules.values() if _trace(m)]
        self.trace = torch.tensor([_trace(m) - 1 for m in others], dtype=torch.long, device=device)
        self.trace_log_k = tensor(np.array([m.log_k for m in others]).reshape(-1, LOG_T.size).T)
        counts = [[m.atoms.count(z) for z in BINDING] for m in others]
        self.trace_counts = tensor(np.array(counts).reshape(-1, len(BINDING)))
        free = torch.ones(92, dtype=torch.float64, device=device)
        free[self.binding] = 0.0
        self.free = free

    def interpolate(self, table: Tensor, temperature: Tensor) -> Tensor:
        """Rows of a table (T, ...) on `LOG_T` at temperatures (B, D) -> (B, D, ...)."""
        step = float(LOG_T[1] - LOG_T[0])
        x = (torch.log10(temperature) - float(LOG_T[0])) / step
        i = x.detach().floor().clamp(0, LOG_T.size - 2).long()
        weight = (x - i).reshape(x.shape + (1,) * (table.ndim - 1))
        return table[i] * (1 - weight) + table[i + 1] * weight

    def log_molecule(self, name: str, neutral: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """ln of a molecule's density (B, D), and of its partition function, from `neutral`."""
        if name not in self.molecules:
            raise DataError(
                f"There is no equilibrium constant of the molecule {name!r}; there are "
                f"{len(self.molecules)}: {', '.join(sorted(self.molecules)[:12])}, ..."
            )
        molecule: Molecule = self.molecules[name]
        log_k = self.interpolate(self._log_k[name], t) / t
        n_more = len(molecule.atoms) - 1
        atoms = sum(neutral[..., z - 1] for z in molecule.atoms)
        log_n = atoms - log_k + n_more * torch.log(BOLTZMANN * t)
        return log_n, self.interpolate(self._log_q[name], t)

    def solve(self, temperature: Tensor, gas_pressure: Tensor, abundances: Tensor) -> Gas:
        """Number densities.

        Parameters
        ----------
        temperature, gas_pressure : tensor (B, D), float64
            K and dyn/cm2 (electrons included).
        abundances : tensor (B, 92), float64
            Numbers relative to hydrogen.

        Raises
        ------
        DataError
            If it does not converge, which temperatures or pressures outside of stars can cause.
        """
        if not bool(torch.isfinite(temperature + torch.log(gas_pressure)).all()):
            raise DataError("Temperature and gas pressure must be finite and above 0 everywhere.")
        known = self._known(temperature, gas_pressure, abundances)
        fixed = tuple(part.detach() for part in known)
        with torch.no_grad():
            x = self._newton(self._start(fixed), fixed)
            _, jacobian = self._equations(x, fixed)
        residual, _ = self._equations(x, known)
        x = x - torch.linalg.solve(jacobian, residual.unsqueeze(-1)).squeeze(-1)
        return self._gas(x, temperature, abundances, known)

    def _known(self, t: Tensor, pressure: Tensor, abundances: Tensor) -> tuple[Tensor, ...]:
        """What does not depend on the unknowns: ln n_total, Saha factors, H-, molecules, A."""
        log_u = self.interpolate(self.log_u, t)  # (B, D, 92, 3)
        thermal = 1.5 * torch.log(2 * torch.pi * ELECTRON_MASS * BOLTZMANN * t / PLANCK**2)
        saha = (
            np.log(2.0)
            + log_u[..., 1:]
            - log_u[..., :-1]
            + thermal[..., None, None]
            - self.chi / (BOLTZMANN_EV * t[..., None, None])
        )
        minus = AFFINITY / (BOLTZMANN_EV * t) - thermal - np.log(2.0) - log_u[..., 0, 0]
        kt = torch.log(BOLTZMANN * t)
        order = self.counts.sum(dim=1) - 1  # (M,)
        bound = self.interpolate(self.log_k, t) / t[..., None] - order * kt[..., None]
        ratio = abundances[:, None, :].expand(*t.shape, 92)
        return torch.log(pressure) - kt, torch.exp(saha), torch.exp(minus), bound, ratio

    def _start(self, known: tuple[Tensor, ...]) -> Tensor:
        log_n, saha, _, _, ratio = known
        share = ratio[..., self.binding] / ratio.sum(dim=-1, keepdim=True)
        neutral = torch.log(share) + log_n[..., None]
        # electrons: between those of the metals and those of hydrogen, from one quadratic
        metals = torch.exp(log_n) * 1e-4
        s = saha[..., 0, 0]
        hydrogen = 0.5 * (-s + torch.sqrt(s * s + 4 * s * torch.exp(log_n) * 0.9))
        electrons = torch.log((metals * 0.3 + hydrogen).clamp(min=1e-30))
        h = torch.log(0.5 * torch.exp(neutral[..., :1]).clamp(min=1e-30))
        return torch.cat([electrons[..., None], h, neutral[..., 1:]], dim=-1)

    def _newton(self, x: Tensor, known: tuple[Tensor, ...]) -> Tensor:
        largest = torch.tensor(np.inf)
        for _ in range(STEPS):
            residual, jacobian = self._equations(x, known)
            step = torch.linalg.solve(jacobian, residual.unsqueeze(-1)).squeeze(-1)
            largest = step.abs().amax(dim=-1)
            scale = torch.clamp(2.0 / largest, max=1.0)
            x = x - step * scale.unsqueeze(-1)
            if bool((largest < TOLERANCE).all()):
                return x
        bad = int((~(largest < 1e-6)).sum())
        if bad:
            raise DataError(
                f"The equation of state does not converge at {bad} of {largest.numel()} depths; "
                f"temperature, gas pressure and abundances must be those of a star."
            )
        return x

    def _equations(self, x: Tensor, known: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Residuals (B, D, 1 + K) and their Jacobian (B, D, 1 + K, 1 + K)."""
        log_n, saha, minus, bound, ratio = known
        electrons = torch.exp(x[..., 0])
        fraction, charge, slope = _ionised(saha, electrons)  # each (B, D, 92)
        k = self.binding
        neutral = torch.exp(x[..., 1:])
        total = neutral * fraction[..., k]  # atoms and ions of the K elements
        molecules = torch.exp(x[..., 1:] @ self.counts.T - bound)  # (B, D, M)
        nuclei = total + molecules @ self.counts
        negative = electrons * neutral[..., 0] * minus
        nuclei = torch.cat([nuclei[..., :1] + negative[..., None], nuclei[..., 1:]], dim=-1)
        hydrogen = nuclei[..., 0]
        other = ratio * self.free
        q_other, n_other = (other * charge).sum(dim=-1), other.sum(dim=-1)
        positive = hydrogen * q_other + (total * charge[..., k]).sum(dim=-1)
        particles = (
            electrons + negative + hydrogen * n_other + total.sum(dim=-1) + molecules.sum(dim=-1)
        )
        shares = ratio[..., k[1:]] * hydrogen[..., None]
        residual = torch.cat(
            [
                (torch.log(positive) - torch.log(electrons + negative))[..., None],
                (torch.log(particles) - log_n)[..., None],
                torch.log(nuclei[..., 1:]) - torch.log(shares),
            ],
            dim=-1,
        )
        if torch.is_grad_enabled():
            return residual, residual  # only the residual is wanted with derivatives
        # derivatives of nuclei: column 0 by ln n_e, the others by ln neutral densities
        weighted = self.counts[:, :, None] * self.counts[:, None, :]  # (M, K, K)
        d_nuclei = torch.einsum("bdm,mij->bdij", molecules, weighted) + torch.diag_embed(total)
        d_nuclei[..., 0, 0] += negative
        by_e = -charge[..., k] * total
        by_e[..., 0] += negative
        d_nuclei = torch.cat([by_e[..., None], d_nuclei], dim=-1)  # (B, D, K, 1 + K)
        d_hydrogen = d_nuclei[..., 0, :]
        d_total = torch.cat([-(charge[..., k] * total)[..., None], torch.diag_embed(total)], dim=-1)
        d_negative = torch.zeros_like(d_hydrogen)
        d_negative[..., :2] = negative[..., None]
        d_positive = d_hydrogen * q_other[..., None] + torch.einsum(
            "bdk,bdki->bdi", charge[..., k], d_total
        )
        d_positive[..., 0] += hydrogen * (other * slope).sum(dim=-1)
        d_positive[..., 0] += (total * slope[..., k]).sum(dim=-1)
        d_minus = d_negative.clone()
        d_minus[..., 0] += electrons
        d_particles = d_minus + d_hydrogen * n_other[..., None] + d_total.sum(dim=-2)
        d_particles[..., 1:] += molecules @ self.counts
        jacobian = torch.cat(
            [
                (d_positive / positive[..., None] - d_minus / (electrons + negative)[..., None])[
                    ..., None, :
                ],
                (d_particles / particles[..., None])[..., None, :],
                d_nuclei[..., 1:, :] / nuclei[..., 1:, None]
                - (d_hydrogen / hydrogen[..., None])[..., None, :],
            ],
            dim=-2,
        )
        return residual, jacobian

    def _gas(self, x: Tensor, t: Tensor, abundances: Tensor, known: tuple[Tensor, ...]) -> Gas:
        _, saha, minus, bound, ratio = known
        electrons = torch.exp(x[..., 0])
        fraction, _, _ = _ionised(saha, electrons)
        molecules = torch.exp(x[..., 1:] @ self.counts.T - bound)
        fraction = fraction.index_add(-1, self.trace, self._bound_traces(x, t))
        h_neutral = torch.exp(x[..., 1])
        negative = electrons * h_neutral * minus
        hydrogen = h_neutral * fraction[..., 0] + molecules @ self.counts[:, 0] + negative
        log_neutral = torch.log(ratio) + torch.log(hydrogen)[..., None] - torch.log(fraction)
        log_neutral = log_neutral.index_copy(-1, self.binding, x[..., 1:])
        first = saha[..., 0] / electrons[..., None]
        second = first * saha[..., 1] / electrons[..., None]
        stages = torch.stack([torch.ones_like(first), first, second], dim=-1)
        atoms = torch.exp(log_neutral)[..., None] * stages
        per_q = atoms / torch.exp(self.interpolate(self.log_u, t))
        mass = (abundances * self.masses).sum(dim=-1) * DALTON
        density = hydrogen * mass[:, None]
        return Gas(t, electrons, density, per_q, atoms, negative, log_neutral, self)

    def _bound_traces(self, x: Tensor, t: Tensor) -> Tensor:
        """Molecules per neutral atom of elements too rare to matter to others, (B, D, traces)."""
        log_k = self.interpolate(self.trace_log_k, t) / t[..., None]
        more = self.trace_counts.sum(dim=1) * torch.log(BOLTZMANN * t)[..., None]
        return torch.exp(x[..., 1:] @ self.trace_counts.T + more - log_k)


def _trace(molecule: Molecule) -> int:
    """Atomic number of the one rare element that common ones bind in a molecule; 0: none such."""
    rare = [z for z in molecule.atoms if z not in BINDING]
    return rare[0] if len(rare) == 1 and rare[0] not in ALKALI else 0


def _ionised(saha: Tensor, electrons: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """All atoms over neutral ones, mean charge, and its derivative by ln n_e; each (B, D, 92)."""
    first = saha[..., 0] / electrons[..., None]
    second = first * saha[..., 1] / electrons[..., None]
    total = 1 + first + second
    charge = (first + 2 * second) / total
    slope = charge**2 - (first + 4 * second) / total
    return total, charge, slope
