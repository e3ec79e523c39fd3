"""The figures of the page on the physics.

    python benchmarks/physics_figures.py [--corrections TABLE]

Needs the physics inputs, the stored spectra of other codes and the atlas of the Sun (see
``_references.py`` for where). Writes ``docs/figures/physics-*.png``. The Sun is drawn with and
without line corrections, by default those of the package.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from _record import ROOT
from _references import (
    DATA,
    GIANTS,
    PHYSICS,
    Array,
    difference,
    fine,
    giant,
    reference,
    reference_lines,
    smooth,
    spectrum,
    sun,
    sun_model,
    turbospectrum_lines,
)
from starnet.spectra import Labels, Spectra, WavelengthGrid
from starnet.synthesis import build_synthesizer
from starnet.synthesis.calibrate import HBAND, Corrections
from starnet.synthesis.calibrate.atlas import SUN, Atlas
from starnet.synthesis.calibrate.fit import Target
from starnet.synthesis.calibrate.observed import Observed
from starnet.synthesis.inputs import PhysicsInputs
from starnet.synthesis.lines import LineList, parse_species
from starnet.synthesis.lte.synthesizer import LteSynthesizer
from starnet.synthesis.lte.tables import Tables
from starnet.synthesis.observe import Instrument, Observer

BLACK, BLUE, ORANGE, GREEN = "#000000", "#0072B2", "#D55E00", "#009E73"  # Okabe and Ito
RESOLUTION = 22_500.0
VACUUM = "wavelength (Å, vacuum)"


def panels(n: int, height: float, **settings: bool) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(8, height), layout="constrained")
    axes = figure.subplots(n, squeeze=False, **settings)[:, 0]
    for axis in axes:
        axis.tick_params(direction="in", top=True, right=True, labelsize=8)
    return figure, list(axes)


def sequence() -> Figure:
    """Dwarfs of solar metallicity by temperature, at R = 22,500."""
    instrument = Instrument.generic(RESOLUTION, 16700, 16860)
    teff = [3600.0, 4000.0, 4500.0, 5000.0, 5750.0, 6250.0, 7000.0]
    labels = Labels(("teff", "logg", "fe_h", "vmic"), [[t, 4.5, 0.0, 1.0] for t in teff])
    made = build_synthesizer("lte", physics=PHYSICS).synthesize(labels, instrument.grid)
    figure, (axis,) = panels(1, 4.6)
    colours = mpl.colormaps["cividis"](np.linspace(0.85, 0.0, len(teff)))
    for i, (t, flux) in enumerate(zip(teff, made.normalized, strict=True)):
        axis.plot(instrument.grid.wavelength, flux + 0.5 * i, color=colours[i], lw=1)
        axis.text(16858, 1.03 + 0.5 * i, f"{t:.0f} K", ha="right", va="bottom", fontsize=8)
    for wave, name in ((16723.5, "Al I"), (16755.1, "Al I"), (16767.9, "Al I"), (16811.1, "Br 11")):
        axis.annotate(name, (wave, 4.3), ha="center", fontsize=8)
    axis.set(xlabel=VACUUM, ylabel="flux / continuum, each 0.5 higher", xlim=(16700, 16860))
    axis.set_ylim(0.3, 4.5)
    return figure


def codes() -> Figure:
    """Our spectra minus those of PySME and Turbospectrum."""
    lines = reference_lines()
    no_c2 = lines[lines.species != parse_species("C2")]
    wide = turbospectrum_lines(lines)
    band, stretch = fine(15095.0, 17005.0), fine(15695.0, 16300.0)
    pysme, turbospectrum = sun("asplund2009"), sun("grevesse2007")
    other = "Sun, Turbospectrum, with lines of hydrogen"
    runs: list[tuple[str, str, Array, LineList, Any, bool]] = [
        ("Sun, PySME", "sun_hband_pysme", band, no_c2, pysme, False),
        (other, "sun_hband_turbospectrum", band, wide, turbospectrum, True),
    ]
    runs += [
        (f"giant of {n[-4:]} K, PySME", f"{n}_pysme", stretch, lines, giant(n), False)
        for n in GIANTS
    ]
    figure, axes = panels(len(runs), 7.0)
    for axis, (title, name, wave, some, star, hydrogen) in zip(axes, runs, strict=True):
        flux = spectrum(some, wave, star, hydrogen=hydrogen)
        other = reference(name)
        step = float(np.log(wave[1] / wave[0]))
        theirs = np.interp(wave, other["wavelength"], other["flux"].astype(float))
        gap = smooth(flux, RESOLUTION, step) - smooth(theirs, RESOLUTION, step)
        low, high = max(wave[0], other["wavelength"][0]), min(wave[-1], other["wavelength"][-1])
        inside = (wave > low + 3) & (wave < high - 3)
        axis.axhline(0, color="0.6", lw=0.6)
        axis.plot(wave[inside][::4], gap[inside][::4], color=BLUE, lw=0.6)
        rms = difference(name, wave, flux)
        axis.set_title(f"{title}: rms {rms:.4f}", fontsize=9, loc="left")
        axis.set(ylim=(-0.03, 0.03), xlim=(wave[inside][0], wave[inside][-1]))
    axes[2].set_ylabel("ours - theirs (flux / continuum), R = 22,500", fontsize=9)
    axes[-1].set_xlabel(VACUUM)
    return figure


def solar_atlas(corrections: Path | None) -> Figure:
    """The observed Sun, and our model of it with the lines as published and corrected."""
    observed = Observed.of(
        Atlas.read(DATA / "apogee" / "atlas" / "solar.20190819.txt", "air"),
        WavelengthGrid.log10(np.log10(15150.0), 6e-6, 8000, "vacuum"),
        RESOLUTION,
    )
    lines = PhysicsInputs.locate(PHYSICS).lines(15090.0, 17010.0)
    lists = {"lines as published": lines}
    if corrections is not None:
        lists["lines calibrated"] = Corrections.read(corrections).apply(lines)
    figure, (above, below) = panels(2, 4.4, sharex=True)
    wave = observed.pixels
    above.plot(wave, observed.flux, color=BLACK, lw=1.2, label="observed")
    for colour, (name, some) in zip((ORANGE, BLUE), lists.items(), strict=False):
        target = Target(
            SUN, observed, sun_model(), some, Tables.open(PHYSICS / "tables"), scale="tau_5000"
        )
        flux = target.flux().detach()
        near = observed.tuned(flux, target.grid.wavelength)
        at = near.map(target.grid.wavelength)
        gap = near.residuals(flux, at)
        above.plot(wave, (near.flux - gap).numpy(), color=colour, lw=0.8, label=name)
        below.plot(wave, -gap.numpy(), color=colour, lw=0.8, label=name)
    above.set(ylabel="flux / continuum", xlim=(16180, 16260), ylim=(0.7, 1.02))
    above.legend(fontsize=8, loc="lower right")
    below.set(xlabel=VACUUM, ylabel="model - observed", ylim=(-0.1, 0.1))
    below.axhline(0, color="0.6", lw=0.6)
    return figure


def derivatives() -> Figure:
    """Derivatives of a giant's spectrum by four labels, and finite differences."""
    names = ("teff", "logg", "fe_h", "mg_fe", "o_fe")
    point = np.array([4500.0, 2.0, -0.2, 0.1, 0.1])
    engine = build_synthesizer("lte", physics=PHYSICS)
    instrument = Instrument.generic(RESOLUTION, 15730, 15790)
    grid = engine.fine_grid(instrument.grid)
    exact = _projected(instrument, grid, engine.jacobian(point, names, grid))
    figure, axes = panels(3, 4.8, sharex=True)
    for axis, name, scale, step, unit in (
        (axes[0], "teff", 100.0, 5.0, "100 K in Teff"),
        (axes[1], "mg_fe", 0.1, 0.02, "0.1 dex in [Mg/Fe]"),
        (axes[2], "o_fe", 0.1, 0.02, "0.1 dex in [O/Fe]"),
    ):
        k = names.index(name)
        shift = step * np.eye(len(names))[k]
        pair = engine.synthesize(Labels(names, [point - shift, point + shift]), grid).normalized
        finite = _projected(instrument, grid, (pair[1:] - pair[:1]) / (2 * step))[0]
        wave = instrument.grid.wavelength
        axis.axhline(0, color="0.6", lw=0.6)
        axis.plot(wave, scale * exact[k], color=BLUE, lw=1.2, label="derivative")
        axis.plot(wave, scale * finite, ".", color=ORANGE, ms=2.5, label="finite difference")
        axis.set_title(unit, fontsize=9, loc="left")
    axes[0].set_ylim(-0.004, 0.036)
    axes[0].legend(fontsize=8, loc="upper left", ncols=2)
    axes[1].set_ylabel("change of flux / continuum")
    axes[2].set(xlabel=VACUUM, xlim=(15730, 15790))
    return figure


def _projected(instrument: Instrument, grid: WavelengthGrid, rows: np.ndarray) -> np.ndarray:
    return instrument.project(Spectra(grid, rows, frame="rest")).flux


def apogee() -> Figure:
    """A giant as the APOGEE preset observes it."""
    instrument = Instrument.preset("apogee")
    engine: LteSynthesizer = build_synthesizer("lte", physics=PHYSICS)  # type: ignore[assignment]
    labels = Labels(("teff", "logg", "fe_h", "vmic", "vmac"), [[4500.0, 2.0, -0.2, 1.5, 4.0]])
    clean = engine.synthesize(labels, engine.fine_grid(instrument.grid))
    seen = Observer(instrument, seed=4, snr=80)(clean.spectra(["giant"]))
    recorded = instrument.project(clean.spectra(["giant"]))
    wave, bad = seen.grid.wavelength, seen.mask[0]
    chips = np.zeros(bad.size, bool)
    for start, stop in seen.grid.chips:
        chips[start:stop] = True
    good = np.where(~bad, seen.flux[0], np.nan)
    figure, (above, below) = panels(2, 4.6)
    for axis in (above, below):
        axis.plot(wave, np.where(chips, recorded.flux[0], np.nan), color="0.6", lw=0.6)
        axis.plot(wave, good, color=BLUE, lw=0.5)
        masked = bad & chips
        at = np.full(masked.sum(), 0.42)
        axis.plot(wave[masked], at, "|", color=ORANGE, ms=6, mew=0.6)
        axis.set(ylabel="flux / continuum", ylim=(0.38, 1.2))
    above.set_xlim(15140, 16960)
    below.set(xlim=(16010, 16110), xlabel=VACUUM)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the figures of the page on the physics.")
    parser.add_argument("--corrections", type=Path, default=HBAND)
    parser.add_argument("--only", nargs="*", default=[])
    args = parser.parse_args()
    made: dict[str, Callable[[], Figure]] = {
        "sequence": sequence,
        "codes": codes,
        "sun": lambda: solar_atlas(args.corrections),
        "derivatives": derivatives,
        "apogee": apogee,
    }
    sys.path.insert(0, str(ROOT / "docs"))
    from _pages import FIGURES, small

    for name in args.only or made:
        path = FIGURES / f"physics-{name}.png"
        made[name]().savefig(path, dpi=110)
        small(path)
        print(path.name, path.stat().st_size)


if __name__ == "__main__":
    main()
