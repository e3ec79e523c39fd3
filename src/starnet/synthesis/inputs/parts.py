"""Which file has the lines of which wavelengths.

Ranges are in air Angstrom, as the files give them. linemake's files reach 20 Angstrom into their
neighbours; here each has its own part, so that no line comes twice.
"""

from typing import NamedTuple


class Part(NamedTuple):
    """A file of a role, and the range (air Angstrom) that it is taken for."""

    role: str
    path: str
    start: float
    stop: float


_LINEMAKE = "lines/linemake"

ATOMS = (
    Part("atoms", f"{_LINEMAKE}/moogatom03000", 2980.0, 4000.0),
    Part("atoms", f"{_LINEMAKE}/moogatom04000", 4000.0, 5000.0),
    Part("atoms", f"{_LINEMAKE}/moogatom05000", 5000.0, 6000.0),
    Part("atoms", f"{_LINEMAKE}/moogatom06000", 6000.0, 7000.0),
    Part("atoms", f"{_LINEMAKE}/moogatom07000", 7000.0, 8000.0),
    Part("atoms", f"{_LINEMAKE}/moogatom08000", 8000.0, 9000.0),
    Part("atoms", f"{_LINEMAKE}/moogatom09000", 9000.0, 10000.0),
    Part("vald_infrared", "lines/atoms-vald3-10k-17k.dat", 10000.0, 12000.0),
    Part("atoms", f"{_LINEMAKE}/moogatom12000", 12000.0, 29999.1),
)
"""Atomic lines without a gap."""

MOLECULES = (
    Part("hydrides", f"{_LINEMAKE}/mooghyd02000", 2036.0, 3000.0),
    Part("hydrides", f"{_LINEMAKE}/mooghyd03000", 3000.0, 4000.0),
    Part("hydrides", f"{_LINEMAKE}/mooghyd04000", 4000.0, 6000.0),
    Part("hydrides", f"{_LINEMAKE}/mooghyd06000", 6000.0, 10010.0),
    Part("cn", f"{_LINEMAKE}/moogcn04000", 3995.0, 5000.0),
    Part("cn", f"{_LINEMAKE}/moogcn05000", 5000.0, 7000.0),
    Part("cn", f"{_LINEMAKE}/moogcn07000", 7000.0, 10010.0),
    Part("apogee_molecules", "lines/turbospec.20180901t20.molec", 15000.0, 17500.0),
)
"""Molecular lines; a wavelength may be in several parts, of unlike species, or in none."""

LABORATORY = f"{_LINEMAKE}/goodgf"
HYPERFINE = f"{_LINEMAKE}/goodgfhfs"
ABO = "tables/Barklem_ABO.dat"

GALAH = "lines/galah_dr3_linelist.h5"
GALAH_BANDS = ((4676.3, 4951.4), (5626.5, 5901.7), (6426.7, 6776.9), (7552.1, 7927.2))
"""Bands of HERMES in which the GALAH list has lines (vacuum Angstrom)."""
GALAH_MOLECULES = ("TiO", "C2", "ZrO", "SiH", "CaH", "VO", "FeH")
"""Molecules of the GALAH list that linemake lacks there."""
