"""Line lists and atmospheres as the text files of other engines."""

from __future__ import annotations

import numpy as np

from starnet.errors import ConfigError
from starnet.spectra.air import vacuum_to_air
from starnet.synthesis.atmospheres import Atmosphere
from starnet.synthesis.contract import Array
from starnet.synthesis.engines.damping import gamma_radiative, log_gamma_vdw, packed_vdw
from starnet.synthesis.lines import LineList, atomic_numbers, charges, species_name
from starnet.synthesis.lines.species import without_isotopes

PER_EV = 8065.543937
"""Wavenumbers (1/cm) of one eV, CODATA 2018."""


def turbospectrum_lines(lines: LineList) -> str:
    """A line list in Turbospectrum's format: a block for each species, wavelengths in air.

    Isotopes are left out of the species, because ``loggf`` holds their fractions already. The
    statistical weight of the upper level, which only serves for radiative widths that are not
    given, is written as 1. Atoms without a van der Waals number get Unsold's theory (1.0).
    """
    molecule = lines.is_molecule
    vdw = np.where(molecule, packed_vdw(lines), packed_vdw(lines, none=1.0))
    rad = np.where(molecule & np.isnan(lines.gamma_rad), 1.0, gamma_radiative(lines))
    stark, air = np.nan_to_num(lines.gamma_stark), vacuum_to_air(lines.wavelength)
    mixed = without_isotopes(lines.species)
    text = []
    for code in np.unique(mixed):
        rows = np.flatnonzero(mixed == code)
        rows = rows[np.argsort(air[rows], kind="stable")]
        text.append(
            f"'{_turbospectrum_code(int(code)):<20}' {int(code) % 10 + 1:4d} {rows.size:9d}"
        )
        text.append(f"'{species_name(int(code))}'")
        text += [
            f"{air[i]:11.4f} {lines.excitation[i]:7.4f} {lines.loggf[i]:8.4f} {vdw[i]:9.3f} "
            f"{1.0:6.1f} {rad[i]:9.2E} {stark[i]:7.3f} 'x' 'x' 0.0 1.0"
            for i in rows
        ]
    return "\n".join(text) + "\n"


def _turbospectrum_code(code: int) -> str:
    atoms = [int(z) for z in atomic_numbers(code)[0] if z]
    body = f"{atoms[0]}" if len(atoms) == 1 else "".join(f"{z:02d}" for z in atoms)
    return f"{body:>4}.{'000' * len(atoms)}"


def synspec_atoms(lines: LineList) -> str:
    """Atomic lines in synspec's format (INLIST = 10): nm in air, code, log gf, levels in 1/cm.

    The quantum numbers J, which only find levels out of equilibrium, are written as 0.
    """
    low = lines.excitation * PER_EV
    high = low + 1e8 / lines.wavelength
    rad, stark = np.log10(gamma_radiative(lines)), np.nan_to_num(lines.gamma_stark)
    vdw, nm = log_gamma_vdw(lines), vacuum_to_air(lines.wavelength) / 10.0
    code = atomic_numbers(lines.species).max(axis=1) + charges(lines.species) / 100.0
    rows = (
        f"{nm[i]:11.4f} {code[i]:6.2f} {lines.loggf[i]:6.3f} {low[i]:11.3f} {0.0:5.1f} "
        f"{high[i]:11.3f} {0.0:5.1f} {rad[i]:6.2f} {stark[i]:6.2f} {vdw[i]:6.2f} 0\n"
        for i in range(len(lines))
    )
    return "".join(rows)


def synspec_molecules(lines: LineList) -> str:
    """Molecular lines in synspec's format: nm in air, code, log gf, 1/cm, and three widths.

    The widths by electrons and hydrogen are those of the lists that come with synspec.
    """
    rad, nm = gamma_radiative(lines), vacuum_to_air(lines.wavelength) / 10.0
    low = np.maximum(lines.excitation, 0.0) * PER_EV
    rows = (
        f"{nm[i]:11.4f} {_molecule(int(lines.species[i])):>9}{lines.loggf[i]:7.3f} {low[i]:11.3f} "
        f"{rad[i]:9.2E} {3.1e-5:9.2E} {1e-7:9.2E}\n"
        for i in range(len(lines))
    )
    return "".join(rows)


def _molecule(code: int) -> str:
    atoms = [int(z) for z in atomic_numbers(code)[0] if z]
    return f"{atoms[0]}{''.join(f'{z:02d}' for z in atoms[1:])}.{code % 10:02d}"


def turbospectrum_model(model: Atmosphere, vmic: float) -> str:
    """An atmosphere for Turbospectrum: against optical depth at 5000 A, else an ATLAS deck.

    Of a deck Turbospectrum computes that optical depth itself.
    """
    if model.tau_5000 is None:
        return atlas_deck(model)
    rows = zip(
        np.log10(model.tau_5000),
        model.temperature,
        np.log10(model.electron_pressure),
        np.log10(model.gas_pressure),
        strict=True,
    )
    head = f"'starnet' {model.n_depths:4d} 5000. {model.logg:6.3f} 0 0.\n"
    return head + "".join(
        f"{tau:9.5f} {t:10.3f} {pe:9.5f} {pg:9.5f} {vmic:7.4f}\n" for tau, t, pe, pg in rows
    )


def atlas_deck(model: Atmosphere) -> str:
    """An atmosphere as the text of ATLAS, as synspec and Turbospectrum read it: 22 header lines."""
    opacity = np.ones(model.n_depths) if model.opacity_ross is None else model.opacity_ross
    columns = (
        model.rhox,
        model.temperature,
        model.gas_pressure,
        model.electron_density,
        opacity,
    )
    head = f"TEFF {model.teff:7.0f}  GRAVITY {model.logg:7.5f}  LTE\n" + "\n" * 21
    head += f"READ DECK6{model.n_depths:3d} RHOX,T,P,XNE,ABROSS\n"
    return head + "".join(
        f"{x:.8E} {t:.3f} {p:.6E} {n:.6E} {k:.6E}\n" for x, t, p, n, k in zip(*columns, strict=True)
    )


def heights(model: Atmosphere) -> Array:
    """Heights (D,) in cm above the deepest layer, from column mass and density.

    Raises
    ------
    ConfigError
        If the atmosphere has neither a density nor a geometric depth.
    """
    if model.depth is not None:
        return model.depth[-1] - model.depth
    if model.density is None:
        raise ConfigError(
            "This engine needs atmospheres with a density or a geometric depth; this one has "
            "neither. Use MARCS models."
        )
    volume = 1.0 / model.density
    steps = 0.5 * (volume[1:] + volume[:-1]) * np.diff(model.rhox)
    below = np.append(0.0, np.cumsum(steps))
    return below[-1] - below
