"""Lines of hydrogen: Stark profiles from tables, and self-broadening.

Lyman, Balmer and Paschen lines have the profiles of Stehle and Hutcheon (1999, A&AS 140, 93). The
tables end at the lower level 3. Brackett and Pfund lines take the profile of the Paschen line with
the same upper level m, on an offset in frequency scaled by the ratio of their linear Stark shifts,
(m2 - n2) / (m2 - 9): in Griem's approximation (1960, ApJ 132, 883) K = 5.5e-5 n4 m4 / (m2 - n2) in
wavelength, which is proportional to m2 - n2 in frequency. The heat that the table's profile holds
is that of a Paschen line, so the temperature of the table is lowered to give the line's own Doppler
width. Levels are dissolved by neighbours as in Hummer and Mihalas (1988, ApJ 331, 794, equation
4.71), atoms counting with half their radius (Bergeron, Wesemael and Fontaine 1991, ApJ 367, 253): a
line keeps the share w of its upper level, and what is lost goes into the continuum (`Continuum`).
Self-broadening of H alpha, beta and gamma is that of Barklem, Piskunov and O'Mara (2000, A&A 363,
1091), added as Lorentz wings.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gamma, pi

import numpy as np
import torch
from scipy.special import genlaguerre
from torch import Tensor

from starnet.synthesis.constants import (
    BOHR,
    BOLTZMANN,
    BOLTZMANN_EV,
    DALTON,
    ELECTRON_CHARGE,
    EV,
    H_IONISATION,
    LIGHT,
    LINE_CONSTANT,
    PLANCK,
    RYDBERG,
)

from .eos import Gas
from .tables import StarkTable, Tables

LARGEST_UPPER = 30
REACH = 0.03
"""How far from its centre a line is followed, as a fraction of the wavelength."""
HOLTSMARK = 1.25e-9
"""Field per electron density to the 2/3, esu."""
SELF = {(2, 3): (1180.0, 0.677), (2, 4): (2320.0, 0.455), (2, 5): (4208.0, 0.380)}
"""Cross section (a0**2) at 10**4 m/s and velocity exponent of Balmer lines."""
HARD_SPHERE = 0.5


@dataclass(frozen=True)
class HydrogenLine:
    """One line: levels, vacuum wavelength (Angstrom), gf, and the table it takes."""

    lower: int
    upper: int
    wavelength: float
    gf: float
    table: StarkTable
    scale: float
    """Stark shift in frequency relative to the table's line."""
    doppler: float
    """Frequency relative to the table's line."""


def hydrogen_lines(tables: Tables, start: float, stop: float) -> list[HydrogenLine]:
    """The lines whose centre lies within `REACH` of the range (vacuum Angstrom)."""
    found = []
    for n in range(1, 7):
        for m in range(n + 1, LARGEST_UPPER + 1):
            wave = 1e8 / (RYDBERG * (1 / n**2 - 1 / m**2))
            key = (min(n, 3), m)
            if not start * (1 - REACH) < wave < stop * (1 + REACH) or key not in tables.stark:
                continue
            table = tables.stark[key]
            scale = doppler = 1.0
            gf = 10**table.loggf
            if n > 3:
                scale = (m**2 - n**2) / (m**2 - 9)
                doppler = (1 / n**2 - 1 / m**2) / (1 / 9 - 1 / m**2)
                gf = 2 * n**2 * oscillator_strength(n, m)
            found.append(HydrogenLine(n, m, wave, gf, table, scale, doppler))
    return found


def occupation(gas: Gas, n: float | Tensor) -> Tensor:
    """Probability w that a level of effective quantum number n exists, with the shape of n.

    Parameters
    ----------
    gas : Gas
    n : float, or tensor that broadcasts with (B, D, ...)
        With a tensor of (W,) the result is (B, D, W).
    """
    level = torch.as_tensor(n, dtype=torch.float64, device=gas.electrons.device)
    more = (1,) * level.ndim

    def wide(x: Tensor) -> Tensor:
        return x.reshape(*x.shape, *more)

    radius = HARD_SPHERE * BOHR * torch.sqrt(2.5 * level**4 + 0.5 * level**2)
    hydrogen = wide(gas.atoms[..., 0, 0]) * (radius + HARD_SPHERE * 1.73 * BOHR) ** 3
    helium = wide(gas.atoms[..., 1, 0]) * (radius + HARD_SPHERE * 1.02 * BOHR) ** 3
    bound = H_IONISATION * EV / level**2
    k = 16 / 3 * (level / (level + 1)) ** 2 * (level + 7 / 6) / (level**2 + level + 0.5)
    k = torch.where(level > 3, k, torch.ones_like(k))
    ions = 16 * (ELECTRON_CHARGE**2 / (bound * torch.sqrt(k))) ** 3 * wide(gas.electrons)
    return torch.exp(-4 * pi / 3 * (hydrogen + helium + ions))


def oscillator_strength(n: int, m: int) -> float:
    """Absorption oscillator strength of hydrogen, averaged over the lower level.

    From the radial integrals of the wave functions (Bethe and Salpeter 1957, section 63): f =
    (2 / 3) (E_m - E_n) sum over l of max(l, l') R**2 / n**2 in atomic units.
    """
    energy = 0.5 * (1 / n**2 - 1 / m**2)
    total = 0.0
    for low in range(n):
        for up in (low - 1, low + 1):
            if 0 <= up < m:
                total += max(low, up) * _radial(n, low, m, up) ** 2
    return 2 / 3 * energy * total / n**2


def _radial(n: int, low: int, m: int, up: int) -> float:
    """Integral of r**3 R_nl R_ml' dr in atomic units, exact by the moments of exp(-a r)."""
    decay = 1 / n + 1 / m
    one, two = (_wave_function(*state) for state in ((n, low), (m, up)))
    product = np.polynomial.polynomial.polymul(one, two)
    x, weights = np.polynomial.laguerre.laggauss((low + up + product.size + 4) // 2 + 1)
    r = x / decay
    values = np.polynomial.polynomial.polyval(r, product) * r ** (low + up + 3)
    return float((values * weights).sum() / decay)


def _wave_function(n: int, orbital: int) -> np.ndarray:
    """Polynomial of R_nl(r) without r**l exp(-r / n)."""
    laguerre = genlaguerre(n - orbital - 1, 2 * orbital + 1).coef[::-1]
    scaled = laguerre * (2 / n) ** np.arange(laguerre.size)
    norm = (2 / n) ** 3 * gamma(n - orbital) / (2 * n * gamma(n + orbital + 1))
    return scaled * np.sqrt(norm) * (2 / n) ** orbital


def line_nodes(lines: list[HydrogenLine], start: float, stop: float) -> np.ndarray:
    """Wavelengths at which profiles are worth computing: dense around the centres."""
    offsets = np.geomspace(0.03, 1.0, 22)
    far = np.geomspace(1.0, 400.0, 60)[1:]
    steps = np.concatenate([[0.0], offsets, far])
    both = np.concatenate([-steps[:0:-1], steps])
    centres = np.array([line.wavelength for line in lines])[:, None]
    nodes = (centres + centres / 10000.0 * both).ravel()
    nodes = np.sort(nodes[(nodes > start) & (nodes < stop)])
    if not nodes.size:
        return nodes
    keep = np.concatenate([[True], np.diff(nodes) > 1e-6 * nodes[1:]])
    return nodes[keep]


class Hydrogen:
    """Opacity of hydrogen lines at W wavelengths.

    Parameters
    ----------
    lines : list of HydrogenLine
    wavelength : array (W,)
        Vacuum Angstrom.
    device : torch device
    """

    def __init__(
        self, lines: list[HydrogenLine], wavelength: np.ndarray, device: torch.device | str = "cpu"
    ) -> None:
        self.lines, self.device = lines, torch.device(device)
        self.n_nodes = len(wavelength)
        self.places = [self._place(line, wavelength) for line in lines]
        self.tables = [self._tensor(line.table.log_profile) for line in lines]

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.as_tensor(np.asarray(values), dtype=torch.float64, device=self.device)

    def _place(self, line: HydrogenLine, wave: np.ndarray) -> tuple[Tensor, Tensor]:
        near = np.flatnonzero(np.abs(wave / line.wavelength - 1) < REACH)
        offset = np.abs(LIGHT * 1e8 / wave[near] - LIGHT * 1e8 / line.wavelength)
        return torch.as_tensor(near, device=self.device), self._tensor(np.maximum(offset, 1.0))

    def __call__(self, gas: Gas) -> Tensor:
        """Absorption per cm (B, D, W), corrected for stimulated emission."""
        out = gas.temperature.new_zeros((*gas.temperature.shape, self.n_nodes))
        for line, (near, offset), table in zip(self.lines, self.places, self.tables, strict=True):
            if near.numel():
                out = out.index_add(-1, near, self._line(gas, line, offset, table))
        return out

    def _line(self, gas: Gas, line: HydrogenLine, offset: Tensor, table: Tensor) -> Tensor:
        t = gas.temperature
        nu = LIGHT * 1e8 / line.wavelength
        excited = H_IONISATION * (1 - 1 / line.lower**2)
        strength = (
            LINE_CONSTANT
            * line.gf
            * gas.per_q[..., 0, 0]
            * torch.exp(-excited / (BOLTZMANN_EV * t))
            * -torch.expm1(-PLANCK * nu / (BOLTZMANN * t))
            * occupation(gas, float(line.upper))
        )
        profile = self._stark(gas, line, offset, table)
        if (line.lower, line.upper) in SELF:
            profile = profile + _self_wings(gas, line, offset)
        return strength[..., None] * profile

    def _stark(self, gas: Gas, line: HydrogenLine, offset: Tensor, table: Tensor) -> Tensor:
        """Profile per Hz (B, D, W)."""
        log_n, log_t = torch.log(gas.electrons), torch.log(gas.temperature)
        like = log_t + 2 * np.log(line.doppler / line.scale)
        i, wi = _place_in(line.table.log_density, log_n)
        j, wj = _place_in(line.table.log_temperature, like)
        density = self._tensor(line.table.log_density)
        # between densities at the same offset, not the same scaled one: cores are those of heat
        thin, dense = (
            self._at(offset / line.scale, line.table, _mix(table, k, j, wj), density[k])
            for k in (i, i + 1)
        )
        return torch.exp(thin + (dense - thin) * wi[..., None]) / line.scale

    def _at(self, offset: Tensor, table: StarkTable, rows: Tensor, log_density: Tensor) -> Tensor:
        """ln of profiles (B, D, X) of some densities (B, D) at offsets (W,) in Hz: (B, D, W)."""
        log_field = np.log(HOLTSMARK) + 2 / 3 * log_density
        # the nodes are even in ln but for the centre; single precision is enough here
        x = torch.log(offset).float() - log_field[..., None].float()
        nodes, rows = self._tensor(table.log_offset).float(), rows.float()
        step = float(nodes[2] - nodes[1])
        k = ((x - nodes[1]) / step).floor().clamp(-1, nodes.numel() - 3).long() + 1
        low, high = nodes[k], nodes[k + 1]
        weight = ((x - low) / (high - low)).clamp(min=0)
        near, far = rows.gather(-1, k), rows.gather(-1, k + 1)
        return near + (far - near) * weight


def _place_in(nodes: np.ndarray, x: Tensor) -> tuple[Tensor, Tensor]:
    axis = torch.as_tensor(nodes, dtype=x.dtype, device=x.device)
    i = torch.searchsorted(axis, x.detach().contiguous()).clamp(1, len(nodes) - 1) - 1
    return i, ((x - axis[i]) / (axis[i + 1] - axis[i])).clamp(0, 1)


def _mix(table: Tensor, i: Tensor, j: Tensor, wj: Tensor) -> Tensor:
    """Rows (B, D, X) of a table (X, N, T), between temperatures."""
    rows = table.permute(1, 2, 0)
    cold = rows[i, j]
    return cold + (rows[i, j + 1] - cold) * wj[..., None]


def _self_wings(gas: Gas, line: HydrogenLine, offset: Tensor) -> Tensor:
    sigma, alpha = SELF[line.lower, line.upper]
    t = gas.temperature
    speed = torch.sqrt(8 * BOLTZMANN * t / (pi * 0.5 * 1.008 * DALTON))
    shape = (4 / pi) ** (alpha / 2) * gamma(2 - alpha / 2)
    half = shape * sigma * BOHR**2 * 1e6 * (speed / 1e6) ** (1 - alpha) * gas.atoms[..., 0, 0]
    width = half / (2 * pi)  # half width at half maximum, Hz
    thermal = LIGHT * 1e8 / line.wavelength / LIGHT * torch.sqrt(2 * BOLTZMANN * t / DALTON)
    core = (width + thermal)[..., None]
    return width[..., None] / pi / (offset**2 + core**2)
