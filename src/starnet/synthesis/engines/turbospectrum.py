"""Turbospectrum (Plez 2012, ASCL 1205.004; Alvarez and Plez 1998, A&A 330, 1109).

Two programs in turn: `babsma_lu` makes continuous opacities of an atmosphere, `bsyn_lu` the
spectrum. Both read keywords from their standard input (`DOC` and `source-v19.1/input.f` of
Turbospectrum2019) and files below ``DATA`` of the working folder. Lines and spectrum are in air.
The spectrum's columns are wavelength, normalised flux, and flux at the surface in
erg / s / cm2 / Angstrom (since version 12.1).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from starnet.errors import MissingDependencyError
from starnet.spectra.air import air_to_vacuum, vacuum_to_air
from starnet.synthesis.composition import ABSENT
from starnet.synthesis.contract import Array
from starnet.synthesis.engines.program import Home, PathLike, onto, read_columns, run, workshop
from starnet.synthesis.engines.star import LineEngine, Star
from starnet.synthesis.engines.textfiles import turbospectrum_lines, turbospectrum_model

HOME = Home(
    "Turbospectrum",
    "STARNET_TURBOSPECTRUM",
    ("bsyn_lu",),
    "Get it from https://github.com/bertrandplez/Turbospectrum2019 and build it with make in its "
    "exec folder.",
)
PLACES = ("{name}", "exec*/{name}", "bin/{name}")
DATA = "DATA"
HYDROGEN = "DATA/Hlinedata"
MARGIN = 1.0
"""Angstrom that are computed beyond the grid at both ends."""
CLEAR = 0.3
"""Normalised flux above which flux / normalised gives the continuum well."""


class Turbospectrum(LineEngine):
    """LTE spectra by Turbospectrum, plane-parallel.

    Parameters
    ----------
    folder : path, optional
        Turbospectrum's own folder, with ``DATA`` and ``exec*/bsyn_lu``. Default: the environment
        variable ``STARNET_TURBOSPECTRUM``, then the PATH.
    timeout : float
        Seconds that each of the two programs may take for a star.
    keep : path, optional
        Where input and output files stay. Default: they go.
    **settings
        As of `LineEngine`.

    Raises
    ------
    MissingDependencyError
        If it is not found.
    """

    name = "turbospectrum"

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
        self.bsyn = HOME.find(folder, PLACES)
        self.babsma = self.bsyn.with_name("babsma_lu")
        self.data = _data(self.bsyn)
        if not self.babsma.is_file():
            raise MissingDependencyError(
                f"Turbospectrum needs babsma_lu beside {self.bsyn}; build it with make."
            )
        self.timeout, self.keep = timeout, keep

    def describe(self) -> dict[str, Any]:
        return super().describe() | {"program": self.bsyn.name, "version": self.bsyn.parent.name}

    def _spectra(self, stars: Sequence[Star], wave: Array) -> Iterator[tuple[Array, Array]]:
        text = turbospectrum_lines(self.near(wave))
        for star in stars:
            with workshop(self.keep, "Turbospectrum") as folder:
                (folder / "lines.list").write_text(text)
                yield self._one(star, wave, folder)

    def _one(self, star: Star, wave: Array, folder: Path) -> tuple[Array, Array]:
        os.symlink(self.data, folder / DATA)
        (folder / "model.mod").write_text(turbospectrum_model(star.atmosphere, star.vmic))
        common = _range(wave) + _composition(star)
        for program, text in (
            (self.babsma, _babsma(common, star.vmic)),
            (self.bsyn, _bsyn(common, self.hydrogen)),
        ):
            run([program], folder, title="Turbospectrum", timeout=self.timeout, stdin=text)
        log = folder / f"{self.bsyn.name}.log"
        air, normalized, flux = read_columns(
            folder / "spectrum.out", 3, title="Turbospectrum", log=log
        )
        have = air_to_vacuum(air)
        clear = normalized > CLEAR
        continuum = np.interp(wave, have[clear], flux[clear] / normalized[clear])
        return onto(wave, have, normalized, title="Turbospectrum"), continuum


def _data(bsyn: Path) -> Path:
    for folder in bsyn.parents[:3]:
        if (folder / DATA).is_dir():
            return folder / DATA
    raise MissingDependencyError(
        f"Turbospectrum's folder {DATA} was not found beside or above {bsyn}; keep the programs "
        "in Turbospectrum's own folder and name it with STARNET_TURBOSPECTRUM."
    )


def _range(wave: Array) -> str:
    low, high = vacuum_to_air(wave[[0, -1]])
    step = float(np.diff(wave).min())
    return (
        f"'LAMBDA_MIN:'  '{low - MARGIN:.3f}'\n"
        f"'LAMBDA_MAX:'  '{high + MARGIN:.3f}'\n"
        f"'LAMBDA_STEP:' '{step:.5f}'\n"
        "'MODELOPAC:' 'opacities'\n"
    )


def _composition(star: Star) -> str:
    """Every abundance by itself, so that none of Turbospectrum's own is used."""
    own = [(z, a) for z, a in enumerate(star.abundances, start=1) if a > ABSENT]
    zero = ("METALLICITY:", "ALPHA/Fe   :", "HELIUM     :", "R-PROCESS  :", "S-PROCESS  :")
    text = "".join(f"'{name}' '0.00'\n" for name in zero)
    text += f"'INDIVIDUAL ABUNDANCES:' '{len(own)}'\n"
    return text + "".join(f"{z} {a:.4f}\n" for z, a in own)


def _babsma(common: str, vmic: float) -> str:
    return f"{common}'MODELINPUT:' 'model.mod'\n'MARCS-FILE:' '.false.'\n'XIFIX:' 'T'\n{vmic:.4f}\n"


def _bsyn(common: str, hydrogen: bool) -> str:
    files = [HYDROGEN] * hydrogen + ["lines.list"]
    return (
        f"{common}'INTENSITY/FLUX:' 'Flux'\n'COS(THETA)    :' '1.00'\n'ABFIND        :' '.false.'\n"
        f"'RESULTFILE :' 'spectrum.out'\n'ISOTOPES : ' '0'\n'NFILES   :' '{len(files)}'\n"
        + "".join(f"{name}\n" for name in files)
        + "'SPHERICAL:'  'F'\n  30\n  300.00\n  15\n  1.30\n"
    )
