"""The default line list of a range, put together from the inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from starnet.errors import ConfigError
from starnet.spectra.air import air_to_vacuum
from starnet.synthesis.inputs.parts import (
    ABO,
    ATOMS,
    GALAH,
    GALAH_BANDS,
    GALAH_MOLECULES,
    HYPERFINE,
    LABORATORY,
    MOLECULES,
    Part,
)
from starnet.synthesis.lines import AboTable, LineList, concatenate, merge, read_lines
from starnet.synthesis.lines.isotopes import TERRESTRIAL, Fractions

if TYPE_CHECKING:
    from starnet.synthesis.inputs.inputs import PhysicsInputs

MARGIN = 5.0
"""Angstrom beyond the range within which lists are merged, so that no pair is cut apart."""


def default_lines(
    inputs: PhysicsInputs,
    start: float,
    stop: float,
    *,
    hfs: bool = True,
    abo: bool = True,
    galah: bool = False,
    isotopes: Fractions | None = TERRESTRIAL,
) -> LineList:
    """See `PhysicsInputs.lines`."""
    first, last = (float(air_to_vacuum(at)) for at in (ATOMS[0].start, ATOMS[-1].stop))
    if not (np.isfinite([start, stop]).all() and first <= start < stop <= last):
        raise ConfigError(
            f"The line list of a range needs start < stop within {first:.0f} and {last:.0f} "
            f"Angstrom (vacuum), where there are atomic lines; received {start} and {stop}."
        )
    low, high = start - MARGIN, stop + MARGIN
    lines = concatenate(_read(inputs, ATOMS, low, high, isotopes))
    for name in (LABORATORY, HYPERFINE) if hfs else (LABORATORY,):
        laboratory = read_lines(inputs.file(name), isotopes=isotopes).select(low, high)
        lines, _ = merge(lines, laboratory)
    if abo and (table := inputs.find(ABO)) is not None:
        lines, _ = AboTable.read(table).apply(lines)
    found = [lines, *_read(inputs, MOLECULES, start, stop, isotopes)]
    found += _galah(inputs, start, stop) if galah else []
    return concatenate(found).select(start, stop)


def _read(
    inputs: PhysicsInputs,
    parts: tuple[Part, ...],
    start: float,
    stop: float,
    isotopes: Fractions | None,
) -> list[LineList]:
    """Lines of the parts that overlap a range (vacuum Angstrom), each file within its part."""
    found = []
    for part in parts:
        low, high = (float(air_to_vacuum(at)) for at in (part.start, part.stop))
        if low < stop and start < high:
            path = inputs.file(part.path)
            lines = read_lines(path, isotopes=isotopes)
            lines = _once(lines) if part.role == "hydrides" else lines
            inside = lines.wavelength < high  # the next part begins there
            found.append(lines[inside].select(max(low, start), min(high, stop)))
    return found


def _once(lines: LineList) -> LineList:
    """The lines without exact repetitions.

    Where two files of linemake's hydrides meet, its lines of NH and OH come twice (within 25
    Angstrom of 3000, 4000 and 5000).
    """
    columns = (lines.wavelength, lines.species, lines.excitation, lines.loggf)
    _, first = np.unique(np.column_stack(columns), axis=0, return_index=True)
    return lines[np.sort(first)]


def _galah(inputs: PhysicsInputs, start: float, stop: float) -> list[LineList]:
    """Molecules that the other optical lists lack, in the bands of HERMES."""
    if not any(low < stop and start < high for low, high in GALAH_BANDS):
        return []
    lines = read_lines(inputs.file(GALAH))
    return [lines.select(start, min(stop, GALAH_BANDS[-1][1]), species=GALAH_MOLECULES)]
