"""A `LineList` as the table that PySME takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from starnet.synthesis.contract import Array
from starnet.synthesis.engines.damping import packed_vdw
from starnet.synthesis.engines.hydrogen import hydrogen_lines
from starnet.synthesis.lines import LineList, VdwKind, charges, species_name, without_isotopes

Table = dict[str, Any]
LEAST_ABO = 20.0


def columns(lines: LineList, span: tuple[float, float], hydrogen: bool) -> Table:
    """Columns of PySME's line list, sorted; `factor` says by what Unsold widths are multiplied.

    Parameters
    ----------
    lines : LineList
        Without hydrogen.
    span : (start, stop)
        Vacuum Angstrom, for which lines of hydrogen are added where they are wanted.
    """
    codes, where = np.unique(without_isotopes(lines.species), return_inverse=True)
    names = np.array([_name(int(code)) for code in codes] or [""])[where]
    molecule = lines.is_molecule
    factor = np.where(lines.vdw_kind == VdwKind.UNSOLD_FACTOR, lines.vdw, np.nan)
    table: Table = {
        "species": names,
        "wlcent": lines.wavelength,
        "excit": lines.excitation,
        "gflog": lines.loggf,
        "gamrad": np.nan_to_num(lines.gamma_rad),
        "gamqst": np.nan_to_num(lines.gamma_stark),
        "gamvw": np.where(np.isfinite(factor), 0.0, packed_vdw(lines)),
        "atom_number": np.where(molecule, 0.0, 1.0),
        "ionization": charges(lines.species) + 1.0,
        "factor": np.where(molecule, np.nan, factor),
    }
    if hydrogen:
        extra = _hydrogen(*span)
        table = {key: np.concatenate([table[key], extra[key]]) for key in table}
    order = np.argsort(table["wlcent"], kind="stable")
    return {key: value[order] for key, value in table.items()}


def with_unsold(table: Table, widths: Callable[[Table], Array]) -> Table:
    """The table without ``factor``; its lines have ``widths`` (log10) times the factor."""
    table = dict(table)
    factor = table.pop("factor")
    rows = np.flatnonzero(np.isfinite(factor) & (factor != 1.0))
    if rows.size:
        log_gamma = widths({key: value[rows] for key, value in table.items()})
        known = log_gamma < 0  # PySME leaves 0 where its theory does not apply
        table["gamvw"] = table["gamvw"].copy()
        table["gamvw"][rows[known]] = log_gamma[known] + np.log10(factor[rows[known]])
    return table


def _name(code: int) -> str:
    """PySME's name of a species: "Fe 1", "CN 1"."""
    charge = code % 10
    return f"{species_name(code - charge).removesuffix(' I')} {charge + 1}"


def _hydrogen(start: float, stop: float) -> Table:
    found = hydrogen_lines(start, stop)
    n = found.wavelength.size
    return {
        "species": np.full(n, "H 1"),
        "wlcent": found.wavelength,
        "excit": found.excitation,
        "gflog": found.loggf,
        "gamrad": np.zeros(n),
        "gamqst": found.lower.astype(float),  # levels, see `starnet.synthesis.engines.pysme`
        "gamvw": found.upper.astype(float),
        "atom_number": np.ones(n),
        "ionization": np.ones(n),
        "factor": np.full(n, np.nan),
    }
