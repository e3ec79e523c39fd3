"""Frozen value types that travel through the package: grids, spectra, labels."""

from starnet.spectra.air import air_to_vacuum, refractive_index, vacuum_to_air
from starnet.spectra.batch import Frame, Spectra, concatenate
from starnet.spectra.convert import from_specutils, from_table, to_specutils, to_table
from starnet.spectra.grid import Medium, WavelengthGrid, doppler_factor
from starnet.spectra.labels import ELEMENTS, KNOWN, Labels, LabelSpec, label_spec
from starnet.spectra.lsf import LineSpread
from starnet.spectra.scaling import LabelScale

__all__ = [
    "ELEMENTS",
    "KNOWN",
    "Frame",
    "LabelScale",
    "LabelSpec",
    "Labels",
    "LineSpread",
    "Medium",
    "Spectra",
    "WavelengthGrid",
    "air_to_vacuum",
    "concatenate",
    "doppler_factor",
    "from_specutils",
    "from_table",
    "label_spec",
    "refractive_index",
    "to_specutils",
    "to_table",
    "vacuum_to_air",
]
