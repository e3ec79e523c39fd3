"""Hyperparameters of StarNet searched: two workers, one kill, and the best held out.

    python benchmarks/bench_4_tune.py --mock MOCK.zarr
    python benchmarks/bench_4_tune.py --miles FOLDER --folds 3

On 5,000 stars of the plan ``mock-apogee`` (`starnet synth mock-apogee`), six pixels in one, of
which 2,000 are trained on, 1,000 judge the trials and 2,000 are held out; or on the stars of the
MILES library that ``spectra_1_miles.py`` takes, three pixels in one, of which a fifth is held out
(--seed says which). What is held out is used for nothing before the last step. `starnet tune`
searches the space ``starnet`` around the recipe ``starnet-2018`` with two workers; when a third of
the trials are done all its processes are killed, and the same command is given again. Then the
recipe as it comes with the package and the best of the study are trained six times each, on other
divisions of the stars that are not held out and with other seeds, and compared on those that are:
means over the trainings of the robust scatter, and the margin 1 - best / default with its error by
drawing held-out stars with replacement.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table

import starnet
from _record import record
from starnet.dataset import DatasetWriter, build, find_labels, open_dataset, split_by_star
from starnet.evaluate.metrics import robust_scatter
from starnet.inference import Predictor
from starnet.preprocess import Pipeline, Resample
from starnet.spectra import WavelengthGrid
from starnet.training import Recipe, load_recipe, split_rows, train_model

LABELS = ("teff", "logg", "fe_h")
DRAWS, WORKERS = 2000, 2


@dataclass(frozen=True)
class Stars:
    """A set of stars, how it is made small, and how it is divided."""

    number: str
    build: Callable[[Path, Path, int], None]
    pixels_in_one: int
    select: dict[str, tuple[float, float]]
    split: tuple[float, float, float]


def build_miles(folder: Path, store: Path, pixels: int) -> None:
    """MILES with several pixels in one."""
    first = sorted(p for p in folder.iterdir() if p.suffix == ".fits")[0]
    prepare = Pipeline((Resample(coarser(starnet.read(first).grid, pixels)),))
    build(folder, find_labels(folder), store, prepare=prepare, progress=False)


def build_mock(mock: Path, store: Path, pixels: int) -> None:
    """Some mock stars on the chips of APOGEE with several pixels in one."""
    whole = open_dataset(mock)
    chips = load_recipe("apogee-2018").preprocess.steps[0]
    rows = np.sort(np.random.default_rng(4).permutation(len(whole))[:MOCK])
    prepare = Pipeline((chips, Resample(coarser(chips(whole.read(rows[:1])).grid, pixels))))
    grid = prepare(whole.read(rows[:1])).grid
    names = whole.label_names
    with DatasetWriter(store, grid=grid, frame=whole.frame, label_names=names) as writer:
        for part in np.array_split(rows, 10):
            writer.append(prepare(whole.read(part)), whole.labels[part])


def coarser(grid: WavelengthGrid, pixels: int) -> WavelengthGrid:
    """A grid with so many pixels in one; none crosses the end of a chip."""
    waves, chips, start = [], [], 0
    for a, b in grid.chips:
        n = (b - a) // pixels
        waves.append(grid.wavelength[a : a + n * pixels].reshape(n, pixels).mean(axis=1))
        chips.append((start, start + n))
        start += n
    return WavelengthGrid(np.concatenate(waves), grid.medium, chips=tuple(chips))


MOCK = 5000
SETS = {
    "mock": Stars(
        "4", build_mock, 6, {"teff": (3800.0, 6600.0), "fe_h": (-2.0, 0.5)}, (0.4, 0.2, 0.4)
    ),
    "miles": Stars(
        "4-miles", build_miles, 3, {"teff": (4000.0, 7000.0), "fe_h": (-3.0, 2.0)}, (0.6, 0.2, 0.2)
    ),
}


def search(command: list[str], study: Path, kill_at: int) -> dict[str, Any]:
    """Run the search, kill all of it when so many trials are done, and run it again."""
    begun = time.time()
    process = subprocess.Popen(command, start_new_session=True)
    while ended(study) < kill_at:
        if process.poll() is not None:
            raise SystemExit("The search ended before it was killed.")
        time.sleep(0.5)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before, middle = ended(study), time.time()
    subprocess.run(command, check=True)
    return {
        "trials_before_kill": before,
        "minutes_before_kill": round((middle - begun) / 60, 2),
        "minutes_search": round((time.time() - begun) / 60, 2),
    }


def ended(study: Path) -> int:
    """Trials of a journal that have ended: one record of state 1 (complete), 2 or 3 each."""
    if not study.exists():
        return 0
    lines = study.read_text().splitlines()
    states = [line for line in lines if '"op_code":6,' in line and '"datetime_complete"' in line]
    return len(states)


def at_once(trials: Table) -> int:
    """Trials that began while a trial of another process was running."""
    rows = trials[np.isfinite(np.asarray(trials["seconds"], dtype=float))]
    begun = np.array([datetime.fromisoformat(str(text)).timestamp() for text in rows["begun"]])
    ended, worker = begun + np.asarray(rows["seconds"]), np.asarray(rows["worker"]).astype(str)
    inside = (begun[:, None] > begun) & (begun[:, None] < ended)
    return int(np.sum((inside & (worker[:, None] != worker)).any(axis=1)))


def held_out(job: tuple[str, dict[str, Any], int]) -> np.ndarray:
    """Residuals (stars held out, labels) of a recipe trained on one division of the others."""
    store, settings, seed = job
    dataset, recipe = open_dataset(store), Recipe.from_dict(settings)
    train, valid, test = split_rows(dataset, recipe)
    rows = np.sort(np.concatenate([train, valid]))
    share = len(valid) / len(rows)
    a, b = split_by_star(dataset.stars[rows], (1 - share, share), 100 + seed)
    parts = (rows[a], rows[b], test)
    chosen = recipe.with_settings(seed=100 + seed)
    result = train_model(dataset, chosen, rows=parts, progress=False)
    predicted = Predictor(result.model).predict(dataset.read(test)).labels.select(LABELS)
    return predicted.values - dataset.labels.select(LABELS).values[test]


def compare(default: np.ndarray, best: np.ndarray) -> dict[str, Any]:
    """Scatters and margins from residuals (trainings, stars, labels)."""
    rng = np.random.default_rng(0)
    n = default.shape[1]
    drawn = [rng.integers(0, n, n) for _ in range(DRAWS)]
    out: dict[str, Any] = {"default": {}, "best": {}, "margin": {}, "margin_error": {}}
    each = []
    for i, name in enumerate(LABELS):
        for key, residual in (("default", default), ("best", best)):
            out[key][name] = round(mean_scatter(residual[..., i]), 4)
        margins = np.array([margin(default[:, r, i], best[:, r, i]) for r in drawn])
        out["margin"][name] = round(margin(default[..., i], best[..., i]), 4)
        out["margin_error"][name] = round(float(margins.std()), 4)
        each.append(margins)
    out["margin"]["mean"] = round(float(np.mean([out["margin"][name] for name in LABELS])), 4)
    out["margin_error"]["mean"] = round(float(np.mean(each, axis=0).std()), 4)
    return out


def mean_scatter(residual: np.ndarray) -> float:
    """Mean over trainings of the robust scatter of (trainings, stars)."""
    return float(np.mean([robust_scatter(row) for row in residual]))


def margin(default: np.ndarray, best: np.ndarray) -> float:
    """Share by which the best scatters less."""
    return 1 - mean_scatter(best) / mean_scatter(default)


def recipe_of_the_bench(stars: Stars, epochs: int, seed: int) -> Recipe:
    """The recipe of 2018 on the stars that count, with stars for validation and held-out ones."""
    recipe = load_recipe("starnet-2018").with_settings(
        labels=LABELS, split=stars.split, device="cpu", epochs=epochs, seed=seed
    )
    return dataclasses.replace(recipe, select=stars.select)


def searched(args: argparse.Namespace, folder: Path, recipe: Recipe) -> dict[str, Any]:
    """Make the store and search on it, if the folder does not hold that already."""
    store, done = folder / "stars.zarr", folder / "search.json"
    if done.exists():
        return json.loads(done.read_text())
    if not store.exists():
        args.stars.build(args.data, store, args.stars.pixels_in_one)
    recipe.save(folder / "recipe.yaml")
    study, out = folder / "study.journal", folder / "best"
    words = ["tune", str(store), "--recipe", str(folder / "recipe.yaml"), "--study", str(study)]
    words += ["--trials", str(args.trials), "--workers", str(WORKERS), "--out", str(out)]
    words += ["--folds", str(args.folds)]
    facts = search([sys.executable, "-m", "starnet", *words], study, args.trials // 3)
    done.write_text(json.dumps(facts))
    return facts


def compared(folder: Path, recipe: Recipe, trainings: int) -> dict[str, Any]:
    """Default and best on the stars held out."""
    best = load_recipe(folder / "best.tuning" / "best.yaml")
    pairs = [(seed, each) for seed in range(trainings) for each in (recipe, best)]
    jobs = [(str(folder / "stars.zarr"), each.to_dict(), seed) for seed, each in pairs]
    with multiprocessing.get_context("spawn").Pool(WORKERS) as pool:
        found = np.array(pool.map(held_out, jobs, chunksize=1))
    stars = {"held_out": found.shape[1], "trainings": trainings}
    return {**compare(found[::2], found[1::2]), "stars": stars}


def about_study(folder: Path) -> dict[str, Any]:
    """Facts of the study from the tables that `starnet tune` wrote."""
    trials = Table.read(folder / "best.tuning" / "trials.ecsv")
    best = load_recipe(folder / "best.tuning" / "best.yaml").to_dict()
    states = [str(state) for state in trials["state"]]
    path = folder / "best.tuning" / "importance.ecsv"
    importance = Table.read(path) if path.exists() else []
    return {
        "trials": sum(state in ("complete", "pruned", "failed") for state in states),
        "states": {state: states.count(state) for state in sorted(set(states))},
        "workers": WORKERS,
        "worker_processes": len({str(w) for w in trials["worker"] if str(w)}),
        "trials_begun_beside_another": at_once(trials),
        "tried_again": int(sum(trials["retry_of"] >= 0)),
        "validation": {"default": float(trials["value"][0]), "best": float(trials["best"][-1])},
        "settings": {name: best[name] for name in ("networks", "training", "preprocess")},
        "importance": {str(r["setting"]): round(float(r["importance"]), 4) for r in importance},
    }


def main() -> None:
    """Search, kill, go on, compare, and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--mock", type=Path, help="data set of the plan mock-apogee")
    which.add_argument("--miles", type=Path, help="folder of MILES spectra")
    parser.add_argument("--folder", type=Path, help="keep the work here, and go on with it")
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--trainings", type=int, default=6, help="of each recipe, at the end")
    parser.add_argument("--folds", type=int, default=1, help="by which trials are judged")
    parser.add_argument("--seed", type=int, default=0, help="which fifth of the stars is held out")
    parser.add_argument("--quick", action="store_true", help="a few short trials; keeps nothing")
    args = parser.parse_args()
    name = "mock" if args.mock else "miles"
    args.stars, args.data = SETS[name], args.mock or args.miles
    if args.quick:
        args.trials, args.epochs, args.trainings = 9, 2, 2
    recipe = recipe_of_the_bench(args.stars, args.epochs, args.seed)
    with tempfile.TemporaryDirectory() as work:
        folder = args.folder or Path(work)
        folder.mkdir(parents=True, exist_ok=True)
        facts = searched(args, folder, recipe)
        figures = {**about_study(folder), **facts, **compared(folder, recipe, args.trainings)}
    if args.quick:
        print(figures)
        return
    record("bench", args.stars.number, figures, seed=args.seed, folds=args.folds,
           pixels_in_one=args.stars.pixels_in_one)  # fmt: skip


if __name__ == "__main__":
    main()
