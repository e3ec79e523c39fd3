"""Korg (Wheeler et al. 2023, AJ 165, 68) through the program `julia`.

A script is written beside plain tables of atmosphere, abundances and lines; it calls
``Korg.synthesize`` once for each star of a batch, so that Julia starts once, and writes wavelength,
flux and continuum. Wavelengths are in vacuum throughout.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from starnet.synthesis.constants import BOLTZMANN
from starnet.synthesis.contract import Array
from starnet.synthesis.engines.damping import packed_vdw
from starnet.synthesis.engines.program import Home, PathLike, onto, read_columns, run, workshop
from starnet.synthesis.engines.star import LineEngine, Star
from starnet.synthesis.engines.textfiles import heights
from starnet.synthesis.lines import LineList, charges, species_name, without_isotopes

HOME = Home(
    "Julia, which Korg runs in,",
    "STARNET_JULIA",
    ("julia",),
    "Install Julia from https://julialang.org and Korg in it (julia -e 'using Pkg; "
    'Pkg.add("Korg")\').',
)
PLACES = ("{name}", "bin/{name}")
HIGHEST_CHARGE = 2
MARGIN = 0.5
STARTING = 600.0
"""Seconds that Julia may take to start and to compile Korg."""
NO_DISSOLUTION = 13000.0
"""Angstrom above which Korg's authors advise to leave out its occupation probabilities."""

SCRIPT = r"""
using Korg, DelimitedFiles
s = readdlm("settings.txt")
start, stop, step, stars = Float64(s[1]), Float64(s[2]), Float64(s[3]), Int(s[4])
hydrogen, mhd = s[5] == 1, s[6] == 1
maybe(x) = isnan(x) ? missing : Float64(x)
rows = readdlm("lines.txt", ',')
lines = [Korg.Line(Float64(r[1]) * 1e-8, Float64(r[2]), Korg.Species(String(strip(r[3]))),
                   Float64(r[4]), maybe(r[5]), maybe(r[6]), maybe(r[7])) for r in eachrow(rows)]
function planar(table, tau)
    layers = [Korg.PlanarAtmosphereLayer(tau[i], table[i, 2], table[i, 3], table[i, 4], table[i, 5])
              for i in 1:size(table, 1)]
    try
        Korg.PlanarAtmosphere(layers, 5e-5)
    catch error
        error isa MethodError || rethrow()
        Korg.PlanarAtmosphere(layers)
    end
end
function anchored(table, A)
    tau = table[:, 1]
    any(isnan, tau) || return planar(table, tau)
    guess = planar(table, 10 .^ range(-5, 2, size(table, 1)))
    made = Korg.synthesize(guess, lines[1:0], A, 5000.0, 5000.1, 0.1; hydrogen_lines=false)
    alpha = made.alpha[:, 1]
    tau[1] = alpha[1] * table[1, 6]
    for i in 2:length(tau)
        tau[i] = tau[i-1] + 0.5 * (alpha[i] + alpha[i-1]) * (table[i-1, 2] - table[i, 2])
    end
    planar(table, tau)
end
for k in 1:stars
    table = readdlm("atmosphere-$k.txt")
    A = vec(readdlm("abundances-$k.txt"))
    vmic = Float64(readdlm("vmic-$k.txt")[1])
    atm = anchored(table, A)
    made = Korg.synthesize(atm, lines, A, start, stop, step; vmic=vmic, hydrogen_lines=hydrogen,
                           use_MHD_for_hydrogen_lines=mhd)
    writedlm("spectrum-$k.txt", hcat(made.wavelengths, made.flux, made.cntm))
end
"""


class Korg(LineEngine):
    """LTE spectra by Korg, plane-parallel.

    Parameters
    ----------
    julia : path, optional
        The executable or its folder. Default: the environment variable ``STARNET_JULIA``, then the
        PATH.
    project : path, optional
        Julia's project in which Korg is installed. Default: Julia's own.
    timeout : float
        Seconds for a star; starting Julia has 600 more.
    threads : int
        Julia's threads.
    keep : path, optional
        Where input and output files stay. Default: they go.
    **settings
        As of `LineEngine`. Atmospheres need a density or a geometric depth.

    Raises
    ------
    MissingDependencyError
        If Julia is not found.
    """

    name = "korg"

    def __init__(
        self,
        atmospheres: Any,
        lines: Any,
        *,
        julia: PathLike | None = None,
        project: PathLike | None = None,
        timeout: float = 600.0,
        threads: int = 1,
        keep: PathLike | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(atmospheres, lines, **settings)
        self.julia = HOME.find(julia, PLACES)
        self.project, self.timeout, self.threads, self.keep = project, timeout, threads, keep

    def describe(self) -> dict[str, Any]:
        return super().describe() | {"program": self.julia.name}

    def _spectra(self, stars: Sequence[Star], wave: Array) -> Iterator[tuple[Array, Array]]:
        with workshop(self.keep, "Korg") as folder:
            self._write(stars, wave, folder)
            command: list[PathLike] = [self.julia, "--startup-file=no"]
            command += [f"--project={self.project}"] if self.project else []
            run(
                [*command, "korg.jl"],
                folder,
                title="Korg",
                timeout=STARTING + self.timeout * len(stars),
                threads=self.threads,
            )
            for k, star in enumerate(stars, start=1):
                yield self._read(folder, k, star, wave)

    def _write(self, stars: Sequence[Star], wave: Array, folder: Path) -> None:
        step = float(np.diff(wave).min())
        start, stop = wave[0] - MARGIN, wave[-1] + MARGIN + step
        mhd = int(wave[-1] < NO_DISSOLUTION)
        numbers = (f"{start:.6f}", f"{stop:.6f}", f"{step:.6f}", len(stars))
        settings = "\n".join(str(x) for x in (*numbers, int(self.hydrogen), mhd))
        (folder / "settings.txt").write_text(settings + "\n")
        (folder / "korg.jl").write_text(SCRIPT)
        (folder / "lines.txt").write_text(korg_lines(self.near(wave)))
        for k, star in enumerate(stars, start=1):
            np.savetxt(folder / f"atmosphere-{k}.txt", korg_atmosphere(star))
            np.savetxt(folder / f"abundances-{k}.txt", star.abundances)
            np.savetxt(folder / f"vmic-{k}.txt", [star.vmic])

    def _read(self, folder: Path, k: int, star: Star, wave: Array) -> tuple[Array, Array]:
        log = folder / f"{self.julia.name}.log"
        have, flux, smooth = read_columns(folder / f"spectrum-{k}.txt", 3, title="Korg", log=log)
        continuum = onto(wave, have, smooth, title="Korg")
        normalized = onto(wave, have, flux / smooth, title="Korg")
        return normalized, continuum * _per_angstrom(continuum, wave, star.atmosphere.teff)


def korg_lines(lines: LineList) -> str:
    """Rows of wavelength, log gf, species, eV, gamma_rad, gamma_stark, vdW; nan where not known."""
    lines = lines[charges(lines.species) <= HIGHEST_CHARGE]
    codes = without_isotopes(lines.species)
    names = {int(code): species_name(int(code)) for code in np.unique(codes)}
    rad, stark = 10.0**lines.gamma_rad, 10.0**lines.gamma_stark
    vdw = packed_vdw(lines, none=np.nan)
    return "".join(
        f"{lines.wavelength[i]:.5f},{lines.loggf[i]:.4f},{names[int(codes[i])]},"
        f"{max(lines.excitation[i], 0.0):.5f},{rad[i]:.5g},{stark[i]:.5g},{vdw[i]:.5g}\n"
        for i in range(len(lines))
    ).replace("nan", "NaN")


def korg_atmosphere(star: Star) -> Array:
    """Rows (D, 6) of tau_5000 (nan where not known), height, T, electrons, particles, scale height.

    The last is the length over which the first layer's opacity reaches outwards, cm.
    """
    model = star.atmosphere
    height = heights(model)
    particles = model.gas_pressure / (BOLTZMANN * model.temperature)
    tau = np.full(model.n_depths, np.nan) if model.tau_5000 is None else model.tau_5000
    scale = (height[0] - height[1]) / np.log(model.rhox[1] / model.rhox[0])
    columns = (tau, height, model.temperature, model.electron_density, particles)
    return np.column_stack([*columns, np.full(model.n_depths, scale)])


def _per_angstrom(continuum: Array, wave: Array, teff: float) -> float:
    """1e-8 where Korg's flux is per cm of wavelength, as in some of its versions; else 1.

    The continuum of a star is within a factor of a few of pi times the Planck function.
    """
    middle = wave.size // 2
    cm = wave[middle] * 1e-8
    planck = np.pi * 1.191042972e-5 / cm**5 / np.expm1(1.438776877 / (cm * teff)) * 1e-8
    return 1e-8 if continuum[middle] > 1e4 * planck else 1.0
