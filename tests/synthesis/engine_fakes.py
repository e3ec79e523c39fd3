"""Fake programs in the place of engines that are not on this machine, and small inputs."""

import os
import sys
from pathlib import Path

import numpy as np

from starnet.spectra import Labels, WavelengthGrid
from starnet.synthesis.atmospheres import Atmosphere
from starnet.synthesis.constants import BOLTZMANN
from starnet.synthesis.lines import LineList, VdwKind, parse_species

LABELS = Labels(("teff", "logg", "fe_h", "vmic"), [[5777.0, 4.44, 0.0, 1.0]])
SPECIES = ("Fe I", "Ca II", "12C14N", "H2O", "H I", "Fe I", "Ni I")


def grid(start: float = 5195.0, n: int = 161) -> WavelengthGrid:
    """Pixels in air."""
    return WavelengthGrid.linear(start, 0.05, n, "air")


def lines(centre: float = 5200.0) -> LineList:
    """Seven lines with every kind of damping."""
    kinds = [VdwKind.ABO, VdwKind.LOG_GAMMA, 0, 0, 0, VdwKind.UNSOLD_FACTOR, VdwKind.NONE]
    nan = np.nan
    return LineList(
        centre + np.arange(-3.0, 4.0),
        np.array([parse_species(name) for name in SPECIES]),
        [2.0, 3.1, 0.5, 0.2, 10.199, 2.2, 3.5],
        [-1.0, -2.0, -2.0, -3.0, 0.0, -1.0, -1.5],
        gamma_rad=[8.0, nan, nan, nan, nan, 8.1, nan],
        gamma_stark=[-5.5, nan, nan, nan, nan, nan, nan],
        vdw=[300.0, -7.6, nan, nan, nan, 2.5, nan],
        vdw_alpha=[0.25, nan, nan, nan, nan, nan, nan],
        vdw_kind=kinds,
        sources=("made up",),
    )


def atmosphere(*, tau: bool = True, density: bool = True) -> Atmosphere:
    """A grey atmosphere like that of the Sun."""
    depth = 10.0 ** np.linspace(-4, 1.5, 40)
    t = 5777.0 * (0.75 * (depth + 2 / 3)) ** 0.25
    rhox = 3.0 * depth**0.6
    pressure = rhox * 10**4.44
    particles = pressure / (BOLTZMANN * t)
    electrons = particles * np.clip(1e-4 * (t / 6000.0) ** 9, 1e-4, 0.1)
    return Atmosphere(
        5777.0,
        4.44,
        0.0,
        0.0,
        rhox,
        t,
        pressure,
        electrons,
        density=particles * 2.1e-24 if density else None,
        tau_5000=depth if tau else None,
        opacity_ross=np.ones(40),
    )


class OneStar:
    """A source of atmospheres that has the same one for labels between limits."""

    source = "made up"

    def __init__(self, model: Atmosphere | None = None) -> None:
        self.limits = {"teff": (4000.0, 7000.0), "logg": (0.0, 5.0), "m_h": (-2.5, 0.5)}
        self.model = model or atmosphere()
        self.alphas: list[float | None] = []

    def at(self, teff, logg, m_h=0.0, alpha_m=None, *, outside="error"):
        from dataclasses import replace

        from starnet.errors import LabelError

        self.alphas.append(alpha_m)
        asked = {"teff": teff, "logg": logg, "m_h": m_h}
        used = {n: float(np.clip(v, *self.limits[n])) for n, v in asked.items()}
        moved = {n: v for n, v in asked.items() if used[n] != v}
        if moved and outside == "error":
            raise LabelError(f"Outside: {moved}.")
        return replace(self.model, **used, clamped=moved)


def program(path: Path, body: str) -> Path:
    """An executable Python script with ``body``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{sys.executable} -S\nimport sys, os, time, math\n{body}\n")
    path.chmod(0o755)
    return path


GAUSS = "depth = lambda w: 1 - 0.4 * math.exp(-0.5 * ((w - CENTRE) / 0.2) ** 2)\n"

BABSMA = """
text = sys.stdin.read()
assert "'MARCS-FILE:' '.false.'" in text and "'INDIVIDUAL ABUNDANCES:'" in text
assert os.path.isdir("DATA") and "starnet" in open("model.mod").readline()
open("opacities", "w").write("made")
"""

BSYN = (
    GAUSS.replace("CENTRE", "5198.6")
    + """
words = {}
lines = sys.stdin.read().splitlines()
for i, line in enumerate(lines):
    part = line.split("'")
    if len(part) > 3: words[part[1].strip(" :")] = part[3]
    if line.startswith("'NFILES"): files = lines[i + 1 : i + 1 + int(part[3])]
assert os.path.exists("opacities") and files[-1] == "lines.list", files
assert all(os.path.exists(name) for name in files)
low, high, step = (float(words["LAMBDA_" + n]) for n in ("MIN", "MAX", "STEP"))
with open(words["RESULTFILE"], "w") as out:
    for i in range(int((high - low) / step) + 1):
        w = low + i * step
        out.write("%11.3f %10.5f %12.5E\\n" % (w, depth(w), 7e6 * depth(w)))
"""
)

SYNSPEC = (
    GAUSS.replace("CENTRE", "5198.6")
    + """
for name in ("fort.5", "fort.8", "fort.55", "fort.19", "fort.20", "tas", "data/hm.dat"):
    assert os.path.exists(name), name
assert sys.stdin.read() == open("fort.5").read()
control = open("fort.55").read().splitlines()
low, high, cutoff, zero, weakest, step = (float(x) for x in control[5].split())
with open("fort.7", "w") as flux, open("fort.17", "w") as smooth:
    n = int((high - low) / step) + 2
    for i in range(n):
        w = low + i * step
        flux.write("%f %e\\n" % (w, 6e5 * depth(w)))
        if i % 50 in (0, n - 1) or i == n - 1: smooth.write("%f %e\\n" % (w, 6e5))
"""
)

JULIA = (
    GAUSS.replace("CENTRE", "5200.0")
    + """
assert sys.argv[-1] == "korg.jl" and "Korg.synthesize" in open("korg.jl").read()
start, stop, step, stars = (float(x) for x in open("settings.txt").read().split()[:4])
assert sum(1 for _ in open("lines.txt")) == 6
for k in range(1, int(stars) + 1):
    abundances = [float(x) for x in open(f"abundances-{k}.txt")]
    assert len(abundances) == 92 and abundances[0] == 12.0
    with open(f"spectrum-{k}.txt", "w") as out:
        for i in range(int((stop - start) / step) + 1):
            w = start + i * step
            out.write("%f\\t%e\\t%e\\n" % (w, 7e14 * depth(w), 7e14))
"""
)


def turbospectrum(folder: Path, bsyn: str = BSYN, babsma: str = BABSMA) -> Path:
    """Turbospectrum's folder with fake programs."""
    program(folder / "exec-v19.1" / "bsyn_lu", bsyn)
    program(folder / "exec-v19.1" / "babsma_lu", babsma)
    (folder / "DATA").mkdir(exist_ok=True)
    (folder / "DATA" / "Hlinedata").write_text("hydrogen")
    return folder


def synspec(folder: Path, body: str = SYNSPEC) -> Path:
    """synple's folder with a fake synspec."""
    program(folder / "bin" / "synspec54", body)
    (folder / "data").mkdir(exist_ok=True)
    (folder / "data" / "hm.dat").write_text("ion")
    return folder


def julia(folder: Path, body: str = JULIA) -> Path:
    """A fake julia."""
    return program(folder / "julia", body)


def npz_grid(path: Path) -> Path:
    """A lattice of 2 x 2 x 2 spectra in teff, logg and fe_h, with continuum."""
    wave = WavelengthGrid.log10(3.7145, 4e-6, 600, "vacuum").wavelength
    axes = {"teff": [4000.0, 7000.0], "logg": [0.0, 5.0], "fe_h": [-2.5, 0.5]}
    mesh = np.meshgrid(*axes.values(), indexing="ij")
    depth = 0.3 + mesh[2] / 20 - (mesh[0] - 5500) / 3e4
    flux = 1 - depth[..., None] * np.exp(-0.5 * ((wave - 5190) / 0.4) ** 2)
    np.savez(
        path,
        flux=flux,
        continuum=np.full_like(flux, 7e6),
        wavelength=wave,
        medium="vacuum",
        label_names=list(axes),
        **{f"axis_{name}": axis for name, axis in axes.items()},
    )
    return path


def has_pysme() -> bool:
    """Whether PySME is installed, without importing it: that writes to the home directory."""
    from importlib.util import find_spec

    return find_spec("pysme") is not None and not os.environ.get("STARNET_NO_PYSME")
