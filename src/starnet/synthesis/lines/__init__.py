"""Line lists: one value type, `LineList`, and one small reader for each format.

Wavelengths are in vacuum from reading on. `read_lines` reads any known format, `scan` says what a
folder holds, `merge` puts laboratory values in place of theoretical ones, and `AboTable` looks up
broadening by hydrogen.
"""

from starnet.synthesis.lines.abo import AboTable, abo_log_gamma
from starnet.synthesis.lines.formats import FORMATS, LineFormat, identify_format, read_lines, scan
from starnet.synthesis.lines.isotopes import TERRESTRIAL, log_fraction, log_fractions
from starnet.synthesis.lines.linelist import UNSOLD_ALPHA, LineList, VdwKind, concatenate
from starnet.synthesis.lines.merge import MergeReport, merge
from starnet.synthesis.lines.species import (
    atomic_numbers,
    charges,
    encode,
    mass_numbers,
    parse_species,
    species_name,
    without_isotopes,
)

__all__ = [
    "FORMATS",
    "TERRESTRIAL",
    "UNSOLD_ALPHA",
    "AboTable",
    "LineFormat",
    "LineList",
    "MergeReport",
    "VdwKind",
    "abo_log_gamma",
    "atomic_numbers",
    "charges",
    "concatenate",
    "encode",
    "identify_format",
    "log_fraction",
    "log_fractions",
    "mass_numbers",
    "merge",
    "parse_species",
    "read_lines",
    "scan",
    "species_name",
    "without_isotopes",
]
