"""Figure 7 of `errors`: spectra that are no stars of the training set, and whether flags say so.

    python benchmarks/errors_7_novelty.py --cache FOLDER [--physics FOLDER] [--model apogee]
        [--optical optical] [--data DATA] [--fit OUT] [--quick N]

Good stars are 4,000 that the engine synthesized (`_observed_stars`, test stars), observed once at
S/N 20 to 300 by the observer of the model's recipe. The cases (`_strange`) are made of them or of
simple profiles and observed alike. Flagged is a star with any bit in the ``flag`` of a catalogue
(`of_the_star`); ``false_rate`` counts the same bits. ``alone`` is by the novelty score alone;
``by_bit`` and ``by_snr`` divide both. Errors of the continuum come in three kinds with amplitudes
from harmless to gross: ``continuum.KIND.AMOUNT`` has the fraction ``caught``, the fraction
``moved`` (teff, logg or fe_h by more than 2 quoted errors of the unspoilt spectrum) and the
fraction caught of those moved. ``caught.continuum`` is of all waves and steps that move a label,
``caught.scattered`` of the added light that does. Under ``optical`` the same for the optical
model, of stars that its emulator makes. ``real`` lists what is said of real spectra. --fit fits the
score for the model on drawn stars (`Novelty.fit`), which is how the shipped one was made, and
writes the model with it to OUT; a model without a score gets one for the run.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from astropy.table import Table
from numpy.typing import NDArray

import starnet
from _generators import GENERATORS
from _observed_stars import clean_stars
from _record import record
from _references import DATA
from _strange import CASES, SPOILED, Stars, shuffled
from emulator_3_real import ATLASES, atlas
from starnet.errors import StarNetError
from starnet.inference import LabelFlag, Prediction, Predictor, flag_words
from starnet.inference.drawn import draw_spectra
from starnet.inference.flags import of_the_star
from starnet.inference.novelty import Novelty
from starnet.spectra import Spectra
from starnet.synthesis.observe import Observer

Array = NDArray[Any]
SEED, TEST = 880_700, (880_502, 4000)
SNRS = (20.0, 40.0, 80.0, 150.0, 300.0)
N_CASE, N_SPOILED = 400, 200
MAIN = ("teff", "logg", "fe_h")
OPTICAL = {"lower": 2, "deep": (0.5, 0.6), "wide": ((15.0, 40.0), (4.0, 12.0))}
REAL = {
    "apogee": ("apogee/apStar/*.fits", "apogee/aspcapStar/*.fits"),
    "optical": ("sdss/*.fits", "lamost/*.fits.gz"),
}


def with_novelty(predictor: Predictor, n: int) -> Predictor:
    """The predictor, with a score if its model has none."""
    if predictor.model.novelty:
        return predictor
    start = time.perf_counter()
    novelty = Novelty.fit(predictor, n=n).to_dict()
    print(f"score fitted in {time.perf_counter() - start:.0f} s", flush=True)
    return dataclasses.replace(
        predictor, model=dataclasses.replace(predictor.model, novelty=novelty)
    )


def seen_by(predictor: Predictor, flux: Array, tag: str) -> Spectra:
    """Clean flux (N, P) as the observer of the model's recipe sees it, at S/N 20 to 300."""
    recipe = predictor.model.provenance["recipe"]
    observer = Observer.from_dict({**recipe["observer"], "seed": SEED})
    rng = np.random.default_rng([SEED, len(tag), sum(map(ord, tag))])
    snr = np.exp(rng.uniform(np.log(SNRS[0]), np.log(SNRS[-1]), len(flux)))
    meta = Table({"id": [f"{tag}-{i}" for i in range(len(flux))]})
    grid = predictor.model.input_grid
    return observer(Spectra(grid, flux, frame="rest", meta=meta), snr=snr)


def stars_flag(found: Prediction) -> NDArray[Any]:
    """The flag of each star, as the catalogue has it, (N,)."""
    return of_the_star(found.flags, found.labels.names)


def shares(found: Prediction) -> dict[str, Any]:
    """Fractions flagged: by anything, by the score alone, by bit, by signal to noise."""
    flag = stars_flag(found)
    score = found.novelty
    assert score is not None
    bits = {bit.name: np.mean((flag & bit) > 0) for bit in LabelFlag if ((flag & bit) > 0).any()}
    rows = {f"{a:g}": (found.snr >= a) & (found.snr < b) for a, b in itertools.pairwise(SNRS)}
    return {
        "any": float(np.mean(flag > 0)),
        "alone": float(np.mean(score > 1)),
        "by_bit": {name: round(float(value), 4) for name, value in bits.items()},
        "by_snr": {
            name: round(float(np.mean(flag[r] > 0)), 4) for name, r in rows.items() if r.any()
        },
        "n": len(found),
    }


def moved(found: Prediction, before: Prediction) -> NDArray[np.bool_]:
    """Whether a main label is more than 2 errors from where it was, or has gone, (N,)."""
    gap = found.labels.select(MAIN).values - before.labels.select(MAIN).values
    errors = before.labels.select(MAIN).errors
    assert errors is not None
    return ~np.all(np.abs(gap) <= 2 * errors, axis=1)


def spoilt(predictor: Predictor, seen: Spectra) -> tuple[dict[str, Any], dict[str, float]]:
    """Errors of the continuum: the table by kind and amount, and what is caught of what matters."""
    rng = np.random.default_rng(SEED)
    chips = predictor.model.input_grid.chips
    before = predictor.predict(seen)
    table: dict[str, Any] = {}
    hits: dict[str, list[Array]] = {"continuum": [], "scattered": []}
    for kind, (spoil, amounts) in SPOILED.items():
        for amount in amounts:
            found = predictor.predict(spoil(seen, chips, amount, rng))
            flag, matters = stars_flag(found) > 0, moved(found, before)
            row = {"caught": flag.mean(), "moved": matters.mean()}
            row |= {"alone": np.mean(np.nan_to_num(found.novelty) > 1)}
            if matters.any():
                row["caught_of_moved"] = flag[matters].mean()
            table.setdefault(kind, {})[f"{amount:g}"] = {
                k: round(float(v), 4) for k, v in row.items()
            }
            hits["scattered" if kind == "scattered" else "continuum"].append(flag[matters])
            print(" ", kind, amount, table[kind][f"{amount:g}"], flush=True)
    caught = {name: np.concatenate(parts) for name, parts in hits.items()}
    return table, {name: float(v.mean()) for name, v in caught.items() if v.size}


def figures(predictor: Predictor, flux: Array, good: Spectra, scale: int, **kind: Any) -> Any:
    """All figures of one model: what is caught, the false rate, and the tables beside it."""
    grid = predictor.model.input_grid
    stars = Stars(grid, flux, np.random.default_rng(SEED + 1), **kind)
    found = predictor.predict(good)
    tables = {"good": shares(found)}
    print("good", tables["good"], flush=True)
    seen = {
        name: seen_by(predictor, make(stars, N_CASE // scale), name) for name, make in CASES.items()
    }
    base = seen_by(predictor, stars.some(N_CASE // scale), "base")
    seen["shuffled_chips"] = shuffled(base, grid.chips, stars.rng)
    for name, spectra in seen.items():
        tables[name] = shares(predictor.predict(spectra))
        print(name, tables[name], flush=True)
    continuum, more = spoilt(predictor, base[: N_SPOILED // scale])
    caught = {name: tables[name]["any"] for name in seen} | more
    caught = {name: round(value, 4) for name, value in caught.items()}
    rate = round(tables["good"]["any"], 4)
    return {"caught": caught, "false_rate": rate}, {"tables": tables, "continuum": continuum}


def timing(predictor: Predictor, spectra: Spectra) -> dict[str, float]:
    """Milliseconds for a spectrum, with and without the score (the shortest of three)."""
    bare = dataclasses.replace(predictor, model=dataclasses.replace(predictor.model, novelty={}))
    out = {}
    for name, one in (("with", predictor), ("without", bare)):
        times = []
        for _ in range(3):
            start = time.perf_counter()
            one.predict(spectra)
            times.append(time.perf_counter() - start)
        out[name] = round(1e3 * min(times) / len(spectra), 2)
    return out


def real(predictor: Predictor, data: Path, patterns: tuple[str, ...], quick: int) -> list[Any]:
    """What is said of the first spectrum of each real file."""
    rows = []
    for pattern in patterns:
        for path in sorted(data.glob(pattern))[: 5 if quick else None]:
            try:
                found = predictor.predict(starnet.read(path)[:1])
            except StarNetError as error:
                rows.append({"file": path.name, "error": str(error)[:80]})
                continue
            rows.append({"file": path.name, **said(found, 0)})
    return rows


def said(found: Prediction, i: int) -> dict[str, Any]:
    """Labels, score and flags of one spectrum."""
    values = [round(float(found.labels.column(name)[i]), 2) for name in MAIN]
    score = np.nan if found.novelty is None else found.novelty[i]
    words = flag_words(int(stars_flag(found)[i]))
    return {
        "snr": round(float(found.snr[i]), 1),
        "labels": [v if np.isfinite(v) else None for v in values],
        "novelty": round(float(score), 2) if np.isfinite(score) else None,
        "flags": words,
    }


def ordinary(predictor: Predictor, data: Path) -> dict[str, Any]:
    """Good real stars, and stars of models learnt from real spectra: fraction flagged."""
    out: dict[str, Any] = {}
    assert predictor.emulator is not None
    for star in ATLASES:
        out[star] = said(predictor.predict(atlas(data, star, predictor.emulator)), 0)
    for name, make in GENERATORS.items():
        spectra = make(data).spectra
        out[name] = shares(
            predictor.predict(spectra[np.arange(0, len(spectra), max(1, len(spectra) // 300))])
        )
    return out


def optical(which: str, arguments: argparse.Namespace, scale: int) -> tuple[Any, Any]:
    """The figures of the optical model, of emulated stars."""
    predictor = with_novelty(starnet.load(which), max(700, 2000 // scale))
    assert predictor.emulator is not None
    n = 2000 // scale
    good, labels = draw_spectra(
        predictor.model, predictor.emulator, n, seed=SEED, snr=(SNRS[0], SNRS[-1])
    )
    on = predictor.emulator.on(predictor.model.input_grid)
    with torch.no_grad():
        flux = on.flux(torch.as_tensor(np.array(labels.values)).float()).numpy().astype(float)
    main, beside = figures(predictor, flux, good, scale, **OPTICAL)
    beside["real"] = real(predictor, arguments.data, REAL["optical"], arguments.quick)
    return main, beside


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True, help="folder of the test stars")
    parser.add_argument("--physics", type=Path, default=DATA / "physics")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--model", default="apogee", help="name or folder")
    parser.add_argument("--optical", default="optical", help="name or folder, or none")
    parser.add_argument("--fit", type=Path, help="fit the score anew, write the model here, stop")
    parser.add_argument("--stars", type=int, nargs=2, default=TEST, help="seed and number")
    parser.add_argument("--quick", type=int, default=0, help="so many times fewer; no record")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    scale = arguments.quick or 1
    predictor = starnet.load(arguments.model)
    if arguments.fit:
        bare = dataclasses.replace(
            predictor, model=dataclasses.replace(predictor.model, novelty={})
        )
        with_novelty(bare, 2000).model.save(arguments.fit)
        return
    predictor = with_novelty(predictor, max(700, 2000 // scale))
    seed, n = arguments.stars
    clean, _ = clean_stars(seed, n, arguments.cache, arguments.physics)
    flux = clean.flux[:: max(1, scale)]
    good = seen_by(predictor, flux, "good")
    main_figures, beside = figures(predictor, flux, good, scale)
    beside["milliseconds"] = timing(predictor, good[:256])
    beside["ordinary"] = ordinary(predictor, arguments.data)
    beside["real"] = real(predictor, arguments.data, REAL["apogee"], arguments.quick)
    if arguments.optical != "none":
        main_figures["optical"], beside["optical_beside"] = optical(
            arguments.optical, arguments, scale
        )
    print(main_figures, beside["milliseconds"])
    if not arguments.quick:
        record("errors", 7, main_figures, seed=SEED, stars=list(arguments.stars), **beside)


if __name__ == "__main__":
    main()
