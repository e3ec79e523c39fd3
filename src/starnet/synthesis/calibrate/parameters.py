"""What a calibration may change in a line list, and how far: free numbers with unit priors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from starnet.synthesis.lines import LineList, mass_numbers, without_isotopes

Array = NDArray[Any]  # float64
HFS_GAP = 0.3
"""Components of one line have gaps no wider than this in Angstrom."""
SAME = 0.02
"""Lines of a molecule of one level nearer than this (Angstrom) cannot be told apart."""


@dataclass(frozen=True)
class Priors:
    """Standard deviations of Gaussian priors around no change, dex.

    Attributes
    ----------
    theory : float
        log gf of atomic lines of calculated strength. Kurucz's scatter by 0.3 to 0.6 around
        measured ones, more where levels mix.
    laboratory : float
        log gf of atomic lines from `laboratory_sources`.
    molecule : float
        log gf of a molecular line, beside its species.
    species : float
        log gf of all lines of a molecule together.
    vdw, vdw_species : float
        log10 of the width by hydrogen: of an atomic line, and of all lines of an atom together.
        Unsold's theory is too narrow by 0.2 to 0.4 in general.
    laboratory_sources : tuple of str
        Names in `LineList.sources`.
    """

    theory: float = 0.5
    laboratory: float = 0.07
    molecule: float = 0.05
    species: float = 0.03
    vdw: float = 0.15
    vdw_species: float = 0.2
    laboratory_sources: tuple[str, ...] = ("goodgf", "goodgfhfs")


class Parameters:
    """From free numbers z, each with a prior of mean 0 and deviation 1, to changes of N lines.

    A change is that of the line itself plus that of its species. Components of hyperfine
    structure, and lines of a molecule that cannot be told apart, change together.

    Parameters
    ----------
    lines : LineList
    priors : Priors
    """

    def __init__(self, lines: LineList, priors: Priors) -> None:
        molecule = lines.is_molecule
        names = np.array(lines.sources)[lines.origin]
        laboratory = np.isin(names, priors.laboratory_sources)
        atom = np.where(laboratory, priors.laboratory, priors.theory)
        self.codes, species = np.unique(without_isotopes(lines.species), return_inverse=True)
        line = tied(lines)
        self.sizes = [int(line.max()) + 1, self.codes.size] * 2
        self.line, self.species = torch.as_tensor(line), torch.as_tensor(species)
        self.widths = tuple(
            torch.as_tensor(np.where(molecule, of_molecules, of_atoms), dtype=torch.float64)
            for of_molecules, of_atoms in (
                (priors.molecule, atom),
                (priors.species, 0.0),
                (0.0, priors.vdw),
                (0.0, priors.vdw_species),
            )
        )

    @property
    def size(self) -> int:
        """How many free numbers."""
        return sum(self.sizes)

    @property
    def prior(self) -> Array:
        """Standard deviation of the prior of each line's log gf (N,), dex."""
        return np.hypot(self.widths[0].numpy(), self.widths[1].numpy())

    def __call__(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Changes of log10 gf and log10 of the width by hydrogen, (N,) each."""
        parts = torch.split(z, self.sizes)
        changes = [
            width * part[self.line if k % 2 == 0 else self.species]
            for k, (width, part) in enumerate(zip(self.widths, parts, strict=True))
        ]
        return changes[0] + changes[1], changes[2] + changes[3]

    def shifts(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The parts of both that are of the species as a whole, (N,) each."""
        parts = torch.split(z, self.sizes)
        return (
            self.widths[1] * parts[1][self.species],
            self.widths[3] * parts[3][self.species],
        )


def tied(lines: LineList) -> NDArray[np.int64]:
    """Which free number each line has (N,): lines that change together have the same."""
    molecule = lines.is_molecule
    species = np.where(molecule, lines.species, without_isotopes(lines.species))
    level = np.round(lines.excitation, 2)
    order = np.lexsort((lines.wavelength, level, species))
    split = (mass_numbers(lines.species).sum(axis=1) > 0)[order]
    reach = np.where(molecule, SAME, HFS_GAP)[order]
    apart = (np.diff(species[order]) != 0) | (np.diff(level[order]) != 0)
    far = np.diff(lines.wavelength[order]) >= reach[1:]
    new = np.ones(len(lines), dtype=bool)
    new[1:] = apart | far | ~(split[1:] & split[:-1])
    out = np.empty(len(lines), dtype=np.int64)
    out[order] = np.cumsum(new) - 1
    return out


def dex(values: Tensor) -> Tensor:
    """From dex to the natural logarithm."""
    return values * math.log(10.0)
