"""Broadening by neutral hydrogen from the theory of Anstee, Barklem and O'Mara (ABO)."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from math import gamma, log10, pi, sqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from starnet.errors import ConfigError, ReadError
from starnet.spectra.air import air_to_vacuum
from starnet.synthesis.constants import BOHR, BOLTZMANN, DALTON
from starnet.synthesis.lines._rows import corrupt, read_text
from starnet.synthesis.lines.linelist import LineList, VdwKind
from starnet.synthesis.lines.moog import moog_species

HYDROGEN_MASS = 1.008  # dalton
ABO_VELOCITY = 1e6  # cm/s, at which sigma is given


def abo_log_gamma(sigma: float, alpha: float, mass: float, temperature: float = 1e4) -> float:
    """log10 of the full width per hydrogen atom (rad cm3 / s) of a cross section.

    Anstee and O'Mara (1995, MNRAS 276, 859), equation 1, which is the half width.

    Parameters
    ----------
    sigma : float
        Cross section at 10**4 m/s in units of a0**2.
    alpha : float
        Velocity exponent.
    mass : float
        Mass of the absorber in dalton.
    temperature : float
        K.
    """
    reduced = DALTON / (1 / HYDROGEN_MASS + 1 / mass)
    speed = sqrt(8 * BOLTZMANN * temperature / (pi * reduced))
    shape = (4 / pi) ** (alpha / 2) * gamma(2 - alpha / 2)
    area = sigma * BOHR**2
    return log10(2 * shape * area * ABO_VELOCITY * (speed / ABO_VELOCITY) ** (1 - alpha))


@dataclass(frozen=True, eq=False)
class AboTable:
    """Widths of atomic lines, looked up by species and wavelength; every array is (N,).

    Parameters
    ----------
    wavelength : array
        Vacuum Angstrom, increasing.
    species : array of int
        Species codes.
    log_gamma : array
        log10 of the full width per hydrogen atom at 10,000 K, rad cm3 / s.
    alpha : array
        Velocity exponent.
    gamma_rad : array
        log10 of the radiative width in rad/s, NaN where not given.
    """

    wavelength: NDArray[np.float64]
    species: NDArray[np.int64]
    log_gamma: NDArray[np.float64]
    alpha: NDArray[np.float64]
    gamma_rad: NDArray[np.float64]

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> AboTable:
        """Read the table of MOOG, `Barklem.dat`.

        Its columns: wavelength in air, species, log gamma, alpha, and the radiative width in
        rad/s, which some lines lack.

        Raises
        ------
        ReadError
            If the file is absent or empty, or a line cannot be read (by number).
        """
        file = Path(path)
        try:
            texts = read_text(file)
        except OSError as error:
            raise ReadError(f"{file} must be a readable file: {error}") from error
        rows = [_row(file, i, text) for i, text in enumerate(texts, start=1) if text.strip()]
        if not rows:
            raise ReadError(f"{file} must hold at least one line; it holds none.")
        wave, species, log_gamma, alpha, rad = (np.array(c) for c in zip(*rows, strict=True))
        wave = air_to_vacuum(wave)
        order = np.argsort(wave, kind="stable")
        code = species.astype(np.int64)[order]
        return cls(wave[order], code, log_gamma[order], alpha[order], rad[order])

    def __len__(self) -> int:
        return int(self.wavelength.size)

    def match(self, lines: LineList, tolerance: float = 0.02) -> NDArray[np.int64]:
        """Row of the table for each line (N,): the nearest of its species, -1 for none.

        ``tolerance`` is in Angstrom.
        """
        if not tolerance > 0:
            raise ConfigError(f"tolerance must be positive; received {tolerance}.")
        found = np.full(len(lines), -1, dtype=np.int64)
        for code in np.intersect1d(lines.species, self.species):
            mine, table = (np.flatnonzero(s == code) for s in (lines.species, self.species))
            here, there = lines.wavelength[mine], self.wavelength[table]
            right = np.clip(np.searchsorted(there, here), 0, there.size - 1)
            left = np.maximum(right - 1, 0)
            near = np.where(np.abs(there[left] - here) <= np.abs(there[right] - here), left, right)
            good = np.abs(there[near] - here) <= tolerance
            found[mine[good]] = table[near[good]]
        return found

    def apply(
        self, lines: LineList, *, tolerance: float = 0.02, overwrite: bool = True
    ) -> tuple[LineList, int]:
        """The lines with the widths of this table where it has them, and how many it had.

        With ``overwrite=False`` only lines without a van der Waals width are filled. Radiative
        widths are filled where the lines have none.
        """
        row = self.match(lines, tolerance)
        hit = row >= 0
        use = hit & (overwrite | (lines.vdw_kind == VdwKind.NONE))
        rad = hit & np.isnan(lines.gamma_rad)
        new = replace(
            lines,
            vdw=np.where(use, self.log_gamma[row], lines.vdw),
            vdw_alpha=np.where(use, self.alpha[row], lines.vdw_alpha),
            vdw_kind=np.where(use, VdwKind.LOG_GAMMA, lines.vdw_kind),
            gamma_rad=np.where(rad, self.gamma_rad[row], lines.gamma_rad),
        )
        return new, int(use.sum())


def _row(path: Path, number: int, text: str) -> tuple[float, int, float, float, float]:
    words = text.split()
    try:
        wave, log_gamma, alpha = (float(words[i]) for i in (0, 2, 3))
        rad = float(words[4]) if len(words) > 4 else 0.0
    except (ValueError, IndexError):
        wave, log_gamma, alpha, rad = 0.0, 0.0, 0.0, 0.0
    species = moog_species(words[1]) if len(words) > 1 else 0
    if not (wave > 0 and log_gamma < 0 and species):
        raise corrupt(path, number, text, "wavelength, species (26.1), log gamma and alpha")
    return wave, species, log_gamma, alpha, log10(rad) if rad > 0 else float("nan")
