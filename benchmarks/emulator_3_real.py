"""Figure 3 of `emulator`: real spectra, and pseudo-real ones, through the network and the fit.

    python benchmarks/emulator_3_real.py [--data DATA] [--model apogee] [--emulator apogee]
        [--swaps] [--quick]

The observed atlases of the Sun and Arcturus go through the APOGEE preset, and so do stars of three
models that others learnt from real APOGEE spectra (`_generators`), without noise. ``bias`` is the
median of predicted minus published label, ``scatter`` robust; stars outside the emulator's box, by
their published labels, are left out of both and counted. The fit leaves all labels, a velocity, a
broadening and a continuum free. ``--swaps`` also changes one ingredient of the fit at a time (see
`_swaps`). Nothing is trained or calibrated on these models.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import starnet
from _generators import GENERATORS, Published
from _record import record
from _references import DATA
from physics_6_pilot import ATLAS_SNR, ATLASES, GOOD, MAIN, moved, projected
from starnet.errors import StarNetError
from starnet.evaluate import robust_scatter
from starnet.inference.fit import fit_spectra
from starnet.spectra import Labels, Spectra
from starnet.synthesis.calibrate.atlas import Atlas, Star
from starnet.synthesis.emulator import Emulator
from starnet.synthesis.observe import Instrument

Array = NDArray[Any]
ORDER = 8
"""Of the continuum in each chip: what the published spectra are divided by is not known."""
BARS = {
    "sun": {"teff": 60.0, "logg": 0.10, "fe_h": 0.06},
    "arcturus": {"teff": 80.0, "logg": 0.20, "fe_h": 0.10},
    "cannon_apokasc.bias": {"teff": 60.0, "logg": 0.15, "fe_h": 0.06},
    "cannon_apokasc.scatter": {"teff": 30.0, "logg": 0.10, "fe_h": 0.04},
}
Method = Callable[[Spectra], Labels]


def atlas(data: Path, star: str, emulator: Emulator) -> Spectra:
    """An atlas through the APOGEE preset, at rest by comparison with the emulator."""
    name, about = ATLASES[star]
    seen = Atlas.read(data / "apogee/atlas" / name, "air")
    good = np.isfinite(seen.flux)
    flux = np.interp(seen.wavelength, seen.wavelength[good], seen.flux[good])
    labels = emulator.own(star_labels(about))
    model = emulator.on(Instrument.preset("apogee").grid)
    with torch.no_grad():
        like = model.flux(torch.as_tensor(labels, dtype=torch.float32)).numpy()[0]
    speed = 0.0
    for reach, step in ((40.0, 2.0), (2.0, 0.25)):
        trials = speed + np.arange(-reach, reach + step / 2, step)
        gaps = [np.sum((moved(seen.wavelength, flux, v) - like)[GOOD] ** 2) for v in trials]
        speed = float(trials[int(np.argmin(gaps))])
    made = projected(seen.wavelength, flux, speed)
    return made.replace(ivar=np.where(made.mask, 0.0, ATLAS_SNR**2))


def star_labels(star: Star) -> Labels:
    """The accepted labels of a star, those that every emulator has."""
    left_out = ("ne_fe", "ar_fe", "sc_fe")
    names = tuple(name for name in star.labels if name not in left_out)
    return Labels(names, np.array([[star.labels[name] for name in names]]))


def network(which: str) -> Method:
    """Labels by a model of the package, or of a folder."""
    predictor = starnet.load(which, cycle=False)
    return lambda spectra: predictor.predict(spectra).labels


def fitter(emulator: Emulator, **settings: Any) -> Method:
    """Labels by the fit; see `fit_spectra`."""
    chosen = {"continuum_order": ORDER, "starts": 1, **settings}
    return lambda spectra: fit_spectra(emulator, spectra, **chosen).labels


def residuals(found: Labels, stars: Published) -> dict[str, dict[str, float]]:
    """Bias and robust scatter of each label that both have."""
    out = {}
    for name in stars.labels.names:
        if name in found.names:
            gap = found.column(name) - stars.labels.column(name)
            out[name] = {
                "bias": float(np.nanmedian(gap)),
                "scatter": robust_scatter(gap),
                "n": int(np.isfinite(gap).sum()),
            }
    return out


def inside(stars: Published, emulator: Emulator) -> Published:
    """Stars that the emulator covers by teff, logg and fe_h."""
    places = [emulator.labels.index(name) for name in MAIN]
    values = stars.labels.select(MAIN).values
    low, high = emulator.hull.low[places], emulator.hull.high[places]
    return stars[np.flatnonzero(np.all((values >= low) & (values <= high), axis=1))]


def measured(method: Method, seen: dict[str, Spectra], sets: dict[str, Published]) -> dict:
    """All figures of one method."""
    figures: dict[str, Any] = {}
    for star, spectra in seen.items():
        found = method(spectra)
        figures[star] = {n: float(found.column(n)[0]) for n in found.names}
        about = ATLASES[star][1]
        print(star, {n: round(figures[star][n] - about.labels[n], 3) for n in MAIN}, flush=True)
    for name, stars in sets.items():
        figures[name] = residuals(method(stars.spectra), stars)
        shown = {n: [round(v, 3) for v in row.values()] for n, row in figures[name].items()}
        print(name, shown, flush=True)
    return figures


def misses(figures: dict[str, Any]) -> list[str]:
    """What lies beyond the bars, in words."""
    out = []
    for star in ("sun", "arcturus"):
        for name, bar in BARS[star].items():
            gap = figures[star][name] - ATLASES[star][1].labels[name]
            if not abs(gap) <= bar:
                out.append(f"{star}.{name}: off by {gap:+.3f}, bar {bar}")
    for kind in ("bias", "scatter"):
        for name, bar in BARS[f"cannon_apokasc.{kind}"].items():
            value = figures["cannon_apokasc"][name][kind]
            if not abs(value) <= bar:
                out.append(f"cannon_apokasc.{name}.{kind}: {value:+.3f}, bar {bar}")
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--model", default="apogee", help="name or folder of the network")
    parser.add_argument("--emulator", default="apogee", help="name or folder of the emulator")
    parser.add_argument("--swaps", action="store_true", help="swap ingredients of the fit, too")
    parser.add_argument("--quick", action="store_true", help="few stars, and keep nothing")
    args = parser.parse_args()
    torch.set_num_threads(1)
    emulator = Emulator.load(args.emulator)
    seen = {star: atlas(args.data, star, emulator) for star in ATLASES}
    sets = {name: inside(make(args.data), emulator) for name, make in GENERATORS.items()}
    if args.quick:
        sets = {
            name: stars[np.arange(0, len(stars), len(stars) // 12)] for name, stars in sets.items()
        }
    figures: dict[str, Any] = {}
    try:
        figures = measured(network(args.model), seen, sets)
        figures["missed"] = misses(figures)
        print("missed", figures["missed"])
    except StarNetError as error:
        if not args.quick:
            raise
        print("no network:", error)
    figures["fit"] = measured(fitter(emulator), seen, sets)
    extra: dict[str, Any] = {"n": {name: len(stars) for name, stars in sets.items()}}
    if args.swaps:
        from _swaps import swaps

        extra["swaps"] = swaps(args.data, emulator, seen, sets["cannon_apokasc"], args.quick)
    extra["accepted"] = {s: {n: ATLASES[s][1].labels[n] for n in MAIN} for s in ATLASES}
    if not args.quick:
        record("emulator", 3, figures, seed=3, bars=BARS, continuum_order=ORDER, **extra)


if __name__ == "__main__":
    main()
