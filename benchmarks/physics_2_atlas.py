"""The Sun and Arcturus in the H band before and after calibration, in and out of sample.

    python benchmarks/physics_2_atlas.py --data FOLDER [--table FILE.ecsv]

FOLDER holds ``physics`` (the public inputs) and ``apogee`` (atlases of both stars, and The Cannon's
model of APOKASC giants). Spectra are compared at R = 22,500 on the pixels of APOGEE's three chips,
all of them, with the labels of the stars as accepted (`starnet.synthesis.calibrate.atlas`). Before
and after alike, a velocity, a Gaussian broadening and a smooth continuum are free for each star.
Line data are fitted to both stars, to the Sun alone and to Arcturus alone; the tables that result
are applied to the line list and all spectra computed anew. The Cannon's model takes no part in any
fit; its stars are those at fixed places in its training set ordered by temperature.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from _record import record
from starnet.spectra import WavelengthGrid
from starnet.synthesis.atmospheres import read_atmosphere
from starnet.synthesis.calibrate import Corrections
from starnet.synthesis.calibrate.atlas import ARCTURUS, SUN, Atlas, Star, carbon
from starnet.synthesis.calibrate.fit import ROUNDS, Calibration, Target, calibrate
from starnet.synthesis.calibrate.observed import KNOTS, Continuum, Observed
from starnet.synthesis.calibrate.parameters import Priors
from starnet.synthesis.composition import vmic_relation
from starnet.synthesis.inputs import PhysicsInputs
from starnet.synthesis.lines import LineList
from starnet.synthesis.lte.synthesizer import VERSION
from starnet.synthesis.lte.tables import Tables

CHIPS = ((322, 3242), (3648, 6048), (6412, 8306))
GRID = WavelengthGrid.log10(4.179, 6e-6, 8575, "vacuum", chips=CHIPS)
RESOLUTION = 22_500.0
ATLASES = {"Sun": "solar.20190819.txt", "Arcturus": "arct.20190830.txt"}
ERRORS = {"Sun": 0.008, "Arcturus": 0.012}
PLACES = (0.04, 0.2, 0.4, 0.6, 0.8, 0.96)
"""Of The Cannon's stars, in its training set ordered by temperature."""
DREDGED = {"c_fe": -0.05, "n_fe": 0.20}
"""[C/Fe] and [N/Fe] taken for them, whose labels say nothing of it: usual after dredge-up."""
RATIO = 15.0
"""12C/13C taken for them."""

Maker = Callable[[LineList], Target]


def standards(data: Path, inputs: PhysicsInputs, tables: Tables) -> dict[str, Maker]:
    """For each of both stars, what makes its target from a line list."""
    sun = read_atmosphere(data / "physics/atmospheres/marcs/sun.mod")
    giants = inputs.atmospheres("giants")
    makers = {}
    for star, atmospheres in ((SUN, sun), (ARCTURUS, giants)):
        atlas = Atlas.read(data / "apogee/atlas" / ATLASES[star.name], "air")
        observed = Observed.of(atlas, GRID, RESOLUTION)
        makers[star.name] = maker(star, observed, atmospheres, tables, ERRORS[star.name])
    return makers


def maker(star, observed, atmospheres, tables, error=0.01) -> Maker:
    """Binds all but the lines."""
    return lambda lines: Target(star, observed, atmospheres, lines, tables, error=error)


class Cannon:
    """The Cannon's quadratic model of normalised APOGEE spectra in four labels."""

    def __init__(self, folder: Path) -> None:
        name = folder / "trained_apokasc_gc_ind_feh_fix"
        self.terms = np.loadtxt(f"{name}.txt")  # (15, 7214)
        self.zero = np.loadtxt(f"{name}_baseline_labels.txt")
        rows = (folder / "training_apokasc_gc_ind_feh_fix.txt").read_text().splitlines()
        self.training = np.array([[float(x) for x in row.split()[1:5]] for row in rows])

    def __call__(self, labels: np.ndarray) -> np.ndarray:
        """teff, logg, [Fe/H], [alpha/Fe] -> flux on `GRID`, NaN between the chips."""
        d = labels - self.zero
        products = np.outer(d, d)[np.triu_indices(4)]
        flux = np.full(GRID.n_pixels, np.nan)
        flux[np.concatenate([np.arange(*chip) for chip in CHIPS])] = (
            np.concatenate([[1.0], d, products]) @ self.terms
        )
        return flux

    def stars(self) -> np.ndarray:
        """Labels of the stars to compare (6, 4)."""
        order = np.argsort(self.training[:, 0], kind="stable")
        return self.training[order[(np.array(PLACES) * len(order)).astype(int)]]


def cannon_targets(data: Path, inputs: PhysicsInputs, tables: Tables) -> dict[str, Maker]:
    """For each star of The Cannon's, what makes its target from a line list."""
    cannon = Cannon(data / "apogee/generators/cannon_apokasc")
    atmospheres, makers = inputs.atmospheres("cool"), {}
    for row in cannon.stars():
        names = ("teff", "logg", "fe_h", "alpha_fe")
        labels = dict(zip(names, row.tolist(), strict=True))
        labels |= {"vmic": float(vmic_relation(row[1])), **DREDGED}
        name = "{:.0f}/{:.2f}/{:+.2f}/{:+.2f}".format(*row)
        observed = Observed.at_pixels(GRID, cannon(row), RESOLUTION)
        star = Star(name, labels, carbon(RATIO))
        makers[name] = maker(star, observed, atmospheres, tables)
    return makers


@torch.no_grad()
def rms(make: Maker, lines: LineList) -> tuple[float, dict[str, float]]:
    """What is left at best velocity and broadening, and those with rms for other continua."""
    target = make(lines)
    flux = target.flux()
    left, seen = target.tune(flux, reach=20.0), target.observed
    found = {"velocity": round(seen.velocity, 2), "broadening": round(seen.broadening, 2)}
    sizes = [stop - start for start, stop in CHIPS]
    ends = np.cumsum([0, *sizes]).tolist()
    for knots in (40, 160, 10_000):
        chips = tuple(pairwise(ends))
        other = replace(seen, continuum=Continuum(chips, ends[-1], knots))
        found[f"knots_{knots}"] = round(other.rms(flux, target.grid.wavelength), 5)
    return left, found


def fitted(names: tuple[str, ...], makers: dict[str, Maker], lines: LineList) -> Calibration:
    """A calibration on some of the stars."""
    start = time.perf_counter()

    def progress(count: int, value: float, left: dict[str, float]) -> None:
        shown = ", ".join(f"{name} {x:.5f}" for name, x in left.items())
        print(f"{time.perf_counter() - start:5.0f} s {count:3d} {value:9.1f}  {shown}", flush=True)

    return calibrate([makers[name](lines) for name in names], Priors(), progress=progress)


def provenance(names: tuple[str, ...]) -> dict:
    """What a table says of how it was made."""
    return {
        "what": "changes of log gf and of damping by hydrogen, fitted to observed stars",
        "stars": {s.name: {**s.labels, "source": s.source} for s in (SUN, ARCTURUS)
                  if s.name in names},
        "isotopes": {"Arcturus": "12C/13C = 7"} if "Arcturus" in names else {},
        "atlases": {name: ATLASES[name] for name in names},
        "atmospheres": {"Sun": "MARCS sun.mod", "Arcturus": "interpolated, 525 MARCS giants"},
        "engine": f"starnet lte {VERSION}",
        "lines": "the default list of PhysicsInputs.lines",
        "resolution": RESOLUTION,
        "continuum": f"cubic splines, a knot every {KNOTS} pixels of 4.14 km/s",
        "priors": {k: v for k, v in vars(Priors()).items() if isinstance(v, float)},
        "steps": list(ROUNDS),
        "seed": "none needed: nothing is random",
    }  # fmt: skip


def main() -> None:
    """Fit, compare and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of physics and apogee")
    parser.add_argument("--table", type=Path, help="write the table fitted to both stars here")
    parser.add_argument("--dry", action="store_true", help="print the figures and keep nothing")
    args = parser.parse_args()
    begun = time.perf_counter()
    inputs = PhysicsInputs.locate(args.data / "physics")
    tables = Tables.open(inputs.path("tables"))
    lines = inputs.lines(15_080.0, 17_040.0)
    makers = standards(args.data, inputs, tables)
    cannon = cannon_targets(args.data, inputs, tables)
    sets = {"both": ("Sun", "Arcturus"), "sun": ("Sun",), "arcturus": ("Arcturus",)}
    found = {key: fitted(names, makers, lines) for key, names in sets.items()}
    changes = {key: found[key].corrections(provenance(sets[key])) for key in found}
    if args.table:
        changes["both"].write(args.table)
        changes["both"] = Corrections.read(args.table)
    lists = {"before": lines, **{key: table.apply(lines) for key, table in changes.items()}}
    rows = {
        key: {name: rms(make, some) for name, make in makers.items()} for key, some in lists.items()
    }
    far = {
        key: {name: rms(make, lists[key])[0] for name, make in cannon.items()}
        for key in ("before", "both", "sun", "arcturus")
    }

    def at(key: str, name: str) -> float:
        return round(rows[key][name][0], 5)

    figures = {
        "sun_before": at("before", "Sun"),
        "sun_after": at("both", "Sun"),
        "arcturus_before": at("before", "Arcturus"),
        "arcturus_after": at("both", "Arcturus"),
        "arcturus_gain_from_sun": round(1 - at("sun", "Arcturus") / at("before", "Arcturus"), 4),
        "sun_gain_from_arcturus": round(1 - at("arcturus", "Sun") / at("before", "Sun"), 4),
        "cannon_before": round(float(np.mean(list(far["before"].values()))), 5),
        "cannon_after": round(float(np.mean(list(far["both"].values()))), 5),
    }
    more = {
        "cannon_by_star": {k: {n: round(x, 5) for n, x in v.items()} for k, v in far.items()},
        "rms": {k: {n: round(x[0], 5) for n, x in v.items()} for k, v in rows.items()},
        "free": {k: {n: x[1] for n, x in v.items()} for k, v in rows.items()},
        "moved_by_0.1_dex": {k: c.moved(0.1) for k, c in found.items()},
        "moved_by_1_dex": {k: c.moved(1.0) for k, c in found.items()},
        "table_rows": {k: len(c) for k, c in changes.items()},
        "evaluations": {k: c.evaluations for k, c in found.items()},
        "pixels": sum(stop - start for start, stop in CHIPS),
        "masked_pixels": 0,
        "continuum": f"cubic splines, a knot every {KNOTS} pixels, before and after alike",
        "seconds": round(time.perf_counter() - begun),
    }
    print({**figures, **more})
    if not args.dry:
        record("physics", 2, figures, seed=0, **more)


if __name__ == "__main__":
    main()
