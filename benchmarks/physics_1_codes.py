"""Figure 1 of `physics`: our spectra against those of PySME and Turbospectrum, R = 22,500.

    python benchmarks/physics_1_codes.py

Same atmospheres and lines. The Sun is the MARCS model with vmic of 1 km/s from 15,100 to 17,000
Angstrom; the giants are MARCS models from 15,700 to 16,290 Angstrom. PySME ran without lines of
hydrogen, Turbospectrum with. What the codes took besides the list, ``_references.py`` says; what
the Sun comes to with other widths of lines and other solar abundances is recorded beside.
"""

from __future__ import annotations

from _record import record
from _references import (
    GIANTS,
    difference,
    fine,
    giant,
    reference_lines,
    spectrum,
    sun,
    turbospectrum_lines,
)
from starnet.synthesis.composition import SOLAR
from starnet.synthesis.lines import parse_species

H_BAND = (15095.0, 17005.0)
STRETCH = (15695.0, 16300.0)


def main() -> None:
    lines = reference_lines()
    wave, stretch = fine(*H_BAND), fine(*STRETCH)
    no_c2 = lines[lines.species != parse_species("C2")]
    beside = {}
    for solar in SOLAR:
        pysme = spectrum(no_c2, wave, sun(solar), hydrogen=False)
        wide = spectrum(turbospectrum_lines(no_c2), wave, sun(solar), hydrogen=False)
        turbo = spectrum(turbospectrum_lines(lines), wave, sun(solar), hydrogen=True)
        narrow = spectrum(lines, wave, sun(solar), hydrogen=True)
        beside[solar] = {
            "pysme": difference("sun_hband_pysme", wave, pysme),
            "pysme_widths_x2.5": difference("sun_hband_pysme", wave, wide),
            "turbospectrum": difference("sun_hband_turbospectrum", wave, turbo),
            "turbospectrum_widths_x1": difference("sun_hband_turbospectrum", wave, narrow),
        }
    figures = {"sun": beside["asplund2009"]["pysme"]}
    for name in GIANTS:
        flux = spectrum(lines, stretch, giant(name), hydrogen=False)
        figures[name] = difference(f"{name}_pysme", stretch, flux)
    figures["turbospectrum_sun"] = beside["grevesse2007"]["turbospectrum"]
    for name, value in figures.items():
        print(f"{name:20s} {value:.5f}")
    record("physics", 1, figures, seed=None, sun_by_abundances_and_widths=beside)


if __name__ == "__main__":
    main()
