"""Continuous absorption and scattering, per cm, at a set of wavelengths.

| source | taken from |
|---|---|
| H- bound-free | McLaughlin et al. 2017, J. Phys. B 50, 114001 |
| H- free-free | John 1988, A&A 193, 189 |
| H bound-free | Nahar (NORAD), levels 1-40; beyond the edges of levels 2-6 what dissolved upper |
| | levels leave (Hummer and Mihalas 1988, Dappen et al. 1987, ApJ 319, 195) |
| H and ions, free-free | van Hoof et al. 2014, MNRAS 444, 420 |
| H2+ | Kurucz 1970, SAO Special Report 309, section 5.2 |
| He- free-free | Kurucz 1970, section 5.9 |
| Mg I, Si I, Al I, Fe I bound-free | Peach 1970 and Kurucz (ATLAS9), see ``metals.yaml`` |
| Rayleigh H, H2, He | Dalgarno 1962 and Dalgarno and Williams 1962 (as in Kurucz 1970) |
| electrons | Thomson |

Of metals only what absorbs redward of 2000 Angstrom is here.
"""

from __future__ import annotations

from importlib import resources
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from starnet.synthesis.constants import BOLTZMANN, BOLTZMANN_EV, EV, H_IONISATION, LIGHT, PLANCK

from .eos import Gas
from .hydrogen import occupation
from .tables import Tables

VALID = (2000.0, 200000.0)
"""Vacuum Angstrom between which these opacities hold."""

# John 1988, table 3: coefficients A B C D E F of n = 1..6, beyond 0.3645 micron and below it
_LONG = (
    (0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    (2483.346, 285.827, -2054.291, 2827.776, -1341.537, 208.952),
    (-3449.889, -1158.382, 8746.523, -11485.632, 5303.609, -812.939),
    (2200.040, 2427.719, -13651.105, 16755.524, -7510.494, 1132.738),
    (-696.271, -1841.400, 8624.970, -10051.530, 4400.067, -655.020),
    (88.283, 444.517, -1863.864, 2095.288, -901.788, 132.985),
)
_SHORT = (
    (518.1021, -734.8666, 1021.1775, -479.0721, 93.1373, -6.4285),
    (473.2636, 1443.4137, -1977.3395, 922.3575, -178.9275, 12.3600),
    (-482.2089, -737.1616, 1096.8827, -521.1341, 101.7963, -7.0571),
    (115.5291, 169.6374, -245.6490, 114.2430, -21.9972, 1.5097),
)
THOMSON = 6.6524587e-25  # cm2
ALUMINIUM = (1.443e15, 6.5e-17, 5.0, 6.0)  # edge (Hz), cross section, power, weight: ATLAS9
LARGEST_N = 40
DISSOLVING = (2, 3, 4, 5, 6)


class Continuum:
    """Opacities at W wavelengths, whose tables are interpolated once.

    Parameters
    ----------
    tables : Tables
    wavelength : array (W,)
        Vacuum Angstrom.
    device : torch device
    """

    def __init__(self, tables: Tables, wavelength: Any, device: torch.device | str = "cpu") -> None:
        wave = np.asarray(wavelength, dtype=float)
        nu = LIGHT / (wave * 1e-8)
        self.wavelength, self.nu = (
            torch.as_tensor(x, dtype=torch.float64, device=device) for x in (wave, nu)
        )
        energy, sigma = tables.h_minus
        self.h_minus_bf = self._tensor(np.interp(nu, energy, sigma, left=0.0))
        self.h_minus_ff = self._tensor(_john(wave * 1e-4))  # (6, W)
        self.h_bf = self._tensor(_hydrogen(tables, nu))  # (n, W)
        log_u, log_gamma, table = tables.gaunt
        self.gaunt = self._tensor(table)
        self.beyond = [self._beyond(tables, nu, n) for n in DISSOLVING]
        self.gaunt_axes = log_u[0], log_gamma[0], log_u[1] - log_u[0]
        data = yaml.safe_load(
            resources.files("starnet.synthesis.lte").joinpath("metals.yaml").read_text("utf-8")
        )
        self.peach = [self._peach(z, data[name], nu) for z, name in ((12, "Mg"), (14, "Si"))]
        self.iron = [self._tensor(x) for x in _iron(data["Fe"], wave)]
        edge, sigma0, power, weight = ALUMINIUM
        self.aluminium = self._tensor(
            np.where(nu >= edge, sigma0 * weight * (edge / nu) ** power, 0)
        )

    def _tensor(self, values: Any) -> Tensor:
        return torch.as_tensor(
            np.asarray(values), dtype=torch.float64, device=self.wavelength.device
        )

    def _peach(self, z: int, data: Any, nu: Any) -> tuple[int, Tensor, Tensor]:
        """Element, -1/T of the columns, and ln cross section with weight (T, W)."""
        high, low = data["ends"]
        first, *jumps = data["edges"]
        freq = np.array([high, first, *np.repeat(jumps, 2), low])
        freq[2:-1] *= np.tile([1 + 1e-9, 1 - 1e-9], len(jumps))
        table = np.array(data["log_sigma"])  # on both sides of each jump: blue, then red
        log_nu = np.log(freq[::-1])
        inside = np.array([np.interp(np.log(nu), log_nu, c[::-1]) for c in table.T])
        inside = np.where((nu >= low) & (nu <= high), inside + np.log(data["weight"]), -300.0)
        return z, self._tensor(-1 / np.array(data["temperature"])), self._tensor(inside)

    def _beyond(self, tables: Tables, nu: Any, n: int) -> tuple[int, Tensor, Tensor]:
        """Level, and redward of its edge the upper level reached (W,) and cross section (W,)."""
        energy, sigma = tables.h_bound_free[1][n - 1, 0], tables.h_bound_free[2][n - 1, 0]
        photon = PLANCK * nu / EV
        left = (1 / n**2 - photon / H_IONISATION).clip(min=1e-5)  # of the binding energy
        red = (photon < energy) & (left < 1 / (n + 1) ** 2)
        upper = np.where(red, left**-0.5, n + 1.0)
        cross = np.where(red, 1e-18 * sigma * (energy / photon) ** 3, 0.0)
        return n, self._tensor(upper), self._tensor(cross)

    def __call__(self, gas: Gas) -> tuple[Tensor, Tensor]:
        """Absorption (corrected for stimulated emission) and scattering, each (B, D, W)."""
        t = gas.temperature[..., None]
        stimulated = -torch.expm1(-PLANCK * self.nu / (BOLTZMANN * t))
        absorbed = (
            self._bound_free(gas, t) * stimulated
            + self._h_minus_free(gas, t)
            + self._free_free(gas, t) * stimulated
            + self._molecular_ion(gas, t) * stimulated
            + self._helium_minus(gas, t)
        )
        return absorbed, self._scattered(gas)

    def _bound_free(self, gas: Gas, t: Tensor) -> Tensor:
        out = gas.h_minus[..., None] * self.h_minus_bf
        number = torch.arange(1, LARGEST_N + 1, dtype=t.dtype, device=t.device)
        excited = H_IONISATION * (1 - 1 / number**2)
        # the table's cross sections hold the statistical weight 2 n2
        levels = gas.per_q[..., 0, 0, None] * torch.exp(-excited / (BOLTZMANN_EV * t))
        out = out + levels @ self.h_bf
        for n, upper, sigma in self.beyond:
            out = out + levels[..., n - 1, None] * (1 - occupation(gas, upper)) * sigma
        for z, cold, log_sigma in self.peach:
            sigma = torch.exp(_between(cold, log_sigma, -1 / gas.temperature))
            out = out + gas.per_q[..., z - 1, 0, None] * sigma
        weights, levels_cm, sigma = self.iron
        hot = torch.exp(-PLANCK * LIGHT * levels_cm / (BOLTZMANN * t)) * weights
        out = out + gas.per_q[..., 25, 0, None] * (hot @ sigma)
        return out + gas.per_q[..., 12, 0, None] * self.aluminium

    def _h_minus_free(self, gas: Gas, t: Tensor) -> Tensor:
        theta = 5040.0 / t
        powers = torch.cat([theta ** (k / 2) for k in range(2, 8)], dim=-1)  # (B, D, 6)
        pressure = gas.electrons * BOLTZMANN * gas.temperature
        factor = 1e-29 * pressure * gas.atoms[..., 0, 0]
        return factor[..., None] * (powers @ self.h_minus_ff).clamp(min=0)

    def _free_free(self, gas: Gas, t: Tensor) -> Tensor:
        """Of protons and all ions; hydrogenic, with the gaunt factor of the charge."""
        out = torch.zeros_like(t * self.nu)
        for charge in (1, 2):
            ions = gas.atoms[..., charge].sum(dim=-1)[..., None]
            factor = 3.6919e8 * charge**2 * gas.electrons[..., None] * ions / torch.sqrt(t)
            out = out + factor / self.nu**3 * self._gaunt(t, charge)
        return out

    def _gaunt(self, t: Tensor, charge: int) -> Tensor:
        u0, g0, step = self.gaunt_axes
        u = (torch.log10(PLANCK * self.nu / (BOLTZMANN * t)) - u0) / step
        g = (torch.log10(charge**2 * 157887.5 / t) - g0) / step  # Rydberg / k, K
        i = u.detach().floor().clamp(0, self.gaunt.shape[0] - 2).long()
        j = g.detach().floor().clamp(0, self.gaunt.shape[1] - 2).long()
        wu, wg = u - i, g - j
        low = self.gaunt[i, j] * (1 - wu) + self.gaunt[i + 1, j] * wu
        high = self.gaunt[i, j + 1] * (1 - wu) + self.gaunt[i + 1, j + 1] * wu
        return low * (1 - wg) + high * wg

    def _molecular_ion(self, gas: Gas, t: Tensor) -> Tensor:
        log_nu, nu15 = torch.log(self.nu), self.nu * 1e-15
        shape = _poly((-3.0233e3, 3.7797e2, -1.82496e1, 3.9207e-1, -3.1672e-3), log_nu)
        energy = _poly((-7.342e-3, -2.409, 1.028, -0.423, 0.1224, -0.01351), nu15)
        both = gas.per_q[..., 0, 0] * gas.atoms[..., 0, 1]
        return 2 * both[..., None] * torch.exp(shape - energy / (BOLTZMANN_EV * t))

    def _helium_minus(self, gas: Gas, t: Tensor) -> Tensor:
        nu = self.nu
        a = 3.397e-46 + (-5.216e-31 + 7.039e-15 / nu) / nu
        b = -4.116e-42 + (1.067e-26 + 8.135e-11 / nu) / nu
        c = 5.081e-37 + (-8.724e-23 - 5.659e-8 / nu) / nu
        both = gas.electrons * gas.atoms[..., 1, 0]
        return both[..., None] * (a * t + b + c / t).clamp(min=0)

    def _scattered(self, gas: Gas) -> Tensor:
        inverse = 1 / self.wavelength.clamp(min=1026.0) ** 2
        hydrogen = inverse**2 * (5.799e-13 + 1.422e-6 * inverse + 2.784 * inverse**2)
        molecule = inverse**2 * (8.14e-13 + 1.28e-6 * inverse + 1.61 * inverse**2)
        helium = (
            5.484e-14
            * inverse**2
            * (1 + (2.44e5 + 5.94e10 / (1 / inverse - 2.90e5)) * inverse) ** 2
        )
        return (
            gas.atoms[..., 0, 0, None] * hydrogen
            + gas.molecule("H2")[0][..., None] * molecule
            + gas.atoms[..., 1, 0, None] * helium
            + gas.electrons[..., None] * THOMSON
        )


def planck(wavelength: Tensor, temperature: Tensor) -> Tensor:
    """B_lambda (B, D, W), erg / s / cm2 / sr / Angstrom, at (W,) Angstrom and (B, D) K."""
    cm = wavelength * 1e-8
    x = PLANCK * LIGHT / (BOLTZMANN * cm * temperature[..., None])
    return 2 * PLANCK * LIGHT**2 / cm**5 / torch.expm1(x) * 1e-8


def edges(start: float, stop: float) -> np.ndarray:
    """Wavelengths (Angstrom) within a range where the opacity jumps: edges of hydrogen, metals."""
    data = yaml.safe_load(
        resources.files("starnet.synthesis.lte").joinpath("metals.yaml").read_text("utf-8")
    )
    n = np.arange(1, 9)
    jumps = [1e8 * PLANCK * LIGHT * n**2 / (H_IONISATION * EV)]
    jumps += [LIGHT * 1e8 / np.array(data[name]["edges"]) for name in ("Mg", "Si")]
    jumps += [np.array([LIGHT * 1e8 / ALUMINIUM[0]])]
    found = np.sort(np.concatenate(jumps))
    return found[(found > start) & (found < stop)]


def _poly(coefficients: tuple[float, ...], x: Tensor) -> Tensor:
    out = torch.zeros_like(x)
    for c in reversed(coefficients):
        out = out * x + c
    return out


def _john(micron: np.ndarray) -> np.ndarray:
    """Factors of theta**((n + 1) / 2) for n = 1..6, (6, W), 1e-29 cm4/dyn."""
    powers = np.stack([micron**k for k in (2, 0, -1, -2, -3, -4)])
    short = np.zeros((6, micron.size))
    short[:4] = np.array(_SHORT) @ powers
    return np.where(micron < 0.3645, short, np.array(_LONG) @ powers)


def _hydrogen(tables: Tables, nu: np.ndarray) -> np.ndarray:
    """Cross sections (cm2) of the first levels (n, W)."""
    photon = PLANCK * nu / EV
    _, energy, sigma = tables.h_bound_free
    rows = [  # as power laws: the table's steps are wide for high levels
        np.exp(np.interp(np.log(photon), np.log(energy[i]), np.log(sigma[i]), left=-np.inf))
        for i in range(LARGEST_N)
    ]
    return np.array(rows) * 1e-18


def _iron(data: Any, wave: np.ndarray) -> tuple[Any, Any, np.ndarray]:
    """Weights and levels (48,), and cross sections (48, W), of Fe I."""
    wavenumber = 1e8 / wave
    threshold = np.array(data["thresholds"], dtype=float)[:, None]
    shape = 3e-18 / (1 + ((threshold + 3000 - wavenumber) / threshold / 0.1) ** 4)
    return data["weights"], data["levels"], np.where(wavenumber >= threshold, shape, 0.0)


def _between(nodes: Tensor, table: Tensor, x: Tensor) -> Tensor:
    """Rows of a table (T, W) at x (B, D), linear within and beyond its ends: (B, D, W)."""
    i = torch.searchsorted(nodes, x.detach().contiguous()).clamp(1, len(nodes) - 1)
    weight = ((x - nodes[i - 1]) / (nodes[i] - nodes[i - 1]))[..., None]
    return table[i - 1] * (1 - weight) + table[i] * weight
