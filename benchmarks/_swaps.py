"""What each ingredient of the fit of real spectra does to its labels: one is changed at a time.

What the emulator was not trained on (line data, molecules, hydrogen, atmospheres) is changed in
the observation: spectra that the engine `lte` makes with and without, at the star's labels, differ
by what is taken from it. Pixels of bad physics are those where the emulator at the accepted labels
misses the observed atlases of the Sun or Arcturus, not those of the published models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import vstack
from numpy.typing import NDArray

from _generators import Published
from physics_6_pilot import ATLASES, MAIN
from starnet.inference.fit import fit_spectra
from starnet.spectra import Labels, LineSpread, Spectra, air_to_vacuum
from starnet.synthesis.calibrate import HBAND, Corrections
from starnet.synthesis.calibrate.atlas import carbon
from starnet.synthesis.composition import vmic_relation
from starnet.synthesis.emulator import Emulator
from starnet.synthesis.inputs import PhysicsInputs
from starnet.synthesis.lines import LineList, encode, without_isotopes
from starnet.synthesis.lines.species import blocks
from starnet.synthesis.lte.synthesizer import LteSynthesizer
from starnet.synthesis.lte.tables import Tables

Array = NDArray[Any]
MISFIT = 0.02
"""Of an atlas, beyond which a pixel's physics is bad."""
GROWN = 2  # pixels on either side
VMAC = 5.0  # km/s
DREDGED = {"c_fe": -0.1, "n_fe": 0.25}
"""[C/Fe] and [N/Fe] of giants whose labels say nothing of them, at which differences are made."""
ALPHA = ("o_fe", "mg_fe", "si_fe", "s_fe", "ca_fe", "ti_fe")
RYDBERG = 109677.58  # 1/cm, of hydrogen
CARBON_STRONGEST = 25
"""Lines of C I that are masked together."""
WEIGHTY = 0.1
"""Of the largest weight of a window, from which a pixel counts as in it."""
MOLECULES = {"CN": (6, 7), "CO": (6, 8), "OH": (1, 8)}
ELEMENTS = ("C", "N", "O", "Mg", "Al", "Si", "S", "K", "Ca", "Ti", "V", "Cr", "Mn", "Fe", "Ni")
ORDER = 8


class Stars:
    """The stars of the experiment, and what can be changed about them.

    Parameters
    ----------
    data : path
    emulator : Emulator
    seen : dict
        Spectra of the Sun and Arcturus.
    giants : Published
        Of APOKASC.
    n : int
        How many of them, spread over their temperatures.
    """

    def __init__(
        self, data: Path, emulator: Emulator, seen: dict[str, Spectra], giants: Published, n: int
    ) -> None:
        self.data, self.emulator = data, emulator
        order = np.argsort(giants.labels.column("teff"))
        some = giants[order[((np.arange(n) + 0.5) / n * len(order)).astype(int)]]
        self.spectra = joined([seen["sun"], seen["arcturus"], some.spectra])
        rows = [[ATLASES[s][1].labels.get(k, 0.0) for k in emulator.labels] for s in seen]
        self.labels = np.array([*rows, *(self._full(row) for row in some.labels.values)])
        self.grid = self.spectra.grid
        self._made: dict[str, Array] = {}

    def _full(self, row: Array) -> list[float]:
        teff, logg, fe_h, alpha = row
        known = {"teff": teff, "logg": logg, "fe_h": fe_h, "vmic": float(vmic_relation(logg))}
        known |= dict.fromkeys(ALPHA, float(alpha)) | DREDGED
        return [float(known.get(name, 0.0)) for name in self.emulator.labels]

    def biases(self, spectra: Spectra, **settings: Any) -> dict[str, dict[str, float]]:
        """Found minus accepted: of the Sun, of Arcturus, and the median of the giants."""
        chosen = {"continuum_order": ORDER, "starts": 1, **settings}
        start = Labels(self.emulator.labels, self.labels)
        found = fit_spectra(self.emulator, spectra, start=start, **chosen).labels
        columns = [self.emulator.labels.index(name) for name in MAIN]
        gap = found.select(MAIN).values - self.labels[:, columns]
        rows = {"sun": gap[0], "arcturus": gap[1], "giants": np.nanmedian(gap[2:], axis=0)}
        return {k: dict(zip(MAIN, map(float, row), strict=True)) for k, row in rows.items()}

    def without(self, change: str) -> Spectra:
        """The spectra less what a change of the engine's ingredients does to them."""
        gap = self._lte(change) - self._lte("none")
        flux = np.where(self.spectra.mask, 1.0, self.spectra.flux - gap)
        return self.spectra.replace(flux=flux)

    def masked(self, bad: Array) -> Spectra:
        """The spectra with more pixels masked."""
        mask = self.spectra.mask | bad
        return self.spectra.replace(mask=mask, ivar=np.where(mask, 0.0, self.spectra.ivar))

    def spread(self, resolution: float) -> Spectra:
        """The spectra as if their resolving power were this everywhere."""
        return self.spectra.replace(grid=replace(self.grid, lsf=LineSpread(resolution=resolution)))

    @cached_property
    def bad_physics(self) -> Array:
        """Pixels at which the Sun or Arcturus is missed at its accepted labels, (P,)."""
        held = {name: self.labels[:2, i] for i, name in enumerate(self.emulator.labels)}
        free = [name for name in ("ce_fe",) if name in held] or [self.emulator.labels[-1]]
        fixed = {name: value for name, value in held.items() if name not in free}
        seen = self.spectra[:2]
        fit = fit_spectra(
            self.emulator, seen, free=free, fixed=fixed, continuum_order=ORDER, starts=1
        )
        gap = np.where(seen.mask, 0.0, np.abs(seen.flux - np.asarray(fit.model)))
        bad = np.max(gap, axis=0) > MISFIT
        return np.convolve(bad, np.ones(2 * GROWN + 1), "same") > 0

    @cached_property
    def carbon_lines(self) -> Array:
        """The strongest lines of C I in a giant, vacuum Angstrom."""
        wave = self.grid.wavelength
        found = PhysicsInputs.locate(self.data / "physics").lines(wave[0], wave[-1])
        found = Corrections.read(HBAND).apply(found)
        found = found[found.species == encode([(6, 0)], 0)]
        strength = found.loggf - 5040.0 / 4750.0 * found.excitation
        return found.wavelength[np.argsort(-strength)[:CARBON_STRONGEST]]

    def near(self, lines: Any, reach: float) -> Array:
        """Pixels within so many Angstrom of lines, (P,)."""
        gap = np.abs(self.grid.wavelength[:, None] - np.asarray(lines)[None])
        return np.min(gap, axis=1) < reach

    def windows(self) -> Array:
        """Pixels in ASPCAP's windows of any element, (P,)."""
        folder = self.data / "apogee/windows"
        wave = air_to_vacuum(np.loadtxt(folder / "wave.dat")[:, 0])
        weights = [np.loadtxt(folder / f"{name}.filt").reshape(len(wave), -1)[:, -1]
                   for name in ELEMENTS]  # fmt: skip
        inside = np.max([w / w.max() for w in weights], axis=0) > WEIGHTY
        return np.interp(self.grid.wavelength, wave, inside.astype(float)) > 0

    def _lte(self, change: str) -> Array:
        """Spectra by the engine lte with a change of its ingredients, (N, P)."""
        if change not in self._made:
            engine = self._engine(change)
            values = np.column_stack([self.labels, np.full(len(self.labels), VMAC)])
            labels = Labels((*self.emulator.labels, "vmac"), values)
            made = engine.synthesize(labels, self.grid, outside="clamp", batch=6)
            self._made[change] = made.normalized
        return self._made[change]

    def _engine(self, change: str) -> LteSynthesizer:
        inputs = PhysicsInputs.locate(self.data / "physics")
        table = changed(Corrections.read(HBAND), change)
        isotopes = {"isotopes": carbon(15.0)} if change == "12C/13C = 15" else {}

        def lines(start: float, stop: float) -> LineList:
            found = table.apply(inputs.lines(start, stop, **isotopes))
            if change.startswith("no "):
                some = MOLECULES.get(change.removeprefix("no "))
                code = encode([(z, 0) for z in some], 0) if some else -1
                found = found[without_isotopes(found.species) != code]
            return found

        kind = "giants" if change == "MARCS" else "cool"
        return LteSynthesizer(
            inputs.atmospheres(kind), lines, Tables.open(inputs.path("tables")),
            resolution=200_000.0, hydrogen=change != "no hydrogen",
        )  # fmt: skip


def changed(table: Corrections, change: str) -> Corrections:
    """The line corrections, some of them set to zero."""
    species = without_isotopes(table.species)
    molecular = blocks(species)[:, 1] > 0
    parts = {
        "no corrections": np.ones(len(table), bool),
        "no corrections of C I": species == encode([(6, 0)], 0),
        "no corrections of molecules": molecular,
    }
    rows = parts.get(change, np.zeros(len(table), bool))
    return replace(table, delta_loggf=np.where(rows, 0.0, table.delta_loggf),
                   delta_log_vdw=np.where(rows, 0.0, table.delta_log_vdw))  # fmt: skip


ENGINE = (
    "no corrections", "no corrections of C I", "no corrections of molecules", "no CN", "no CO",
    "no OH", "no hydrogen", "12C/13C = 15", "MARCS",
)  # fmt: skip


def joined(parts: list[Spectra]) -> Spectra:
    """One batch of several on one grid."""
    meta = vstack([part.meta["id", "star"] for part in parts])
    flux, ivar, mask = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("flux", "ivar", "mask")
    )
    return Spectra(parts[-1].grid, flux, ivar, mask, frame="rest", meta=meta)


def experiments(stars: Stars) -> Iterator[tuple[str, Callable[[], dict]]]:
    """Each change by name, and what measures its biases."""
    fit, seen = stars.biases, stars.spectra
    yield "reference", lambda: fit(seen)
    for change in ENGINE:
        yield change, lambda change=change: fit(stars.without(change))
    yield "preset's line spread, no broadening", lambda: fit(seen, broadening=False)
    for power in (20_000.0, 22_500.0, 25_000.0):
        yield (
            f"R = {power:.0f} everywhere, no broadening",
            lambda power=power: fit(stars.spread(power), broadening=False),
        )
    for order in (0, 2, 4, 12):
        yield f"continuum of order {order}", lambda order=order: fit(seen, continuum_order=order)
    yield "continuum taken as true", lambda: fit(seen, continuum_order=None)
    yield "masked: misfits of atlases", lambda: fit(stars.masked(stars.bad_physics))
    yield "masked: C I", lambda: fit(stars.masked(stars.near(stars.carbon_lines, 1.5)))
    brackett = [1e8 / (RYDBERG * (1 / 16 - 1 / n**2)) for n in range(10, 30)]
    yield "masked: Brackett lines, 8 A", lambda: fit(stars.masked(stars.near(brackett, 8.0)))
    yield "only ASPCAP's windows", lambda: fit(stars.masked(~stars.windows()))
    for number, (start, stop) in enumerate(stars.grid.chips):
        other = np.ones(stars.grid.n_pixels, bool)
        other[start:stop] = False
        yield f"only chip {number + 1}", lambda other=other: fit(stars.masked(other))
    place = stars.emulator.labels.index("vmic")
    vmic = stars.labels[:, place]
    yield "vmic by its relation", lambda: fit(seen, fixed={"vmic": vmic})
    motion = {"vmic": vmic, "broadening": VMAC / 2}
    yield "vmic by its relation, vmac 5 km/s", lambda: fit(seen, fixed=motion)


def swaps(
    data: Path, emulator: Emulator, seen: dict[str, Spectra], giants: Published, quick: bool
) -> dict[str, Any]:
    """Biases of each experiment, and those of the giants less the reference's."""
    stars = Stars(data, emulator, seen, giants, 6 if quick else 12)
    table: dict[str, Any] = {}
    for name, measure in experiments(stars):
        table[name] = measure()
        change = {
            label: table[name]["giants"][label] - table["reference"]["giants"][label]
            for label in MAIN
        }
        table[name]["change"] = change
        shown = {key: [round(x, 3) for x in row.values()] for key, row in table[name].items()}
        print(f"{name:38s}", shown, flush=True)
    return table
