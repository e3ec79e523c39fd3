"""MILES, five-fold cross-validation by star: the plain 2018 network and the shipped recipe.

    python benchmarks/spectra_1_miles.py --data FOLDER

FOLDER holds the MILES spectra and their label table. The stars that count have all three labels,
4000 < Teff < 7000 K and -3 < [Fe/H] < 2. Each of them is tested once, by models that have seen
nothing of the stars of its fold. They are trained on the other stars that count (the shipped recipe
also on stars beyond these limits); a tenth of them decides when to stop, if the recipe wants that.
Residuals of all folds are pooled; the scatter is 1.4826 times their median absolute deviation. The
shipped recipe was chosen on other folds (--seed 1, 2, 3) than those that are reported (--seed 0).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from _record import record
from starnet.dataset import SpectraDataset, build, find_labels, k_folds, open_dataset, split_by_star
from starnet.evaluate import residual_table
from starnet.inference import Predictor
from starnet.spectra import Labels
from starnet.training import Recipe, load_recipe, train_model

LABELS = ("teff", "logg", "fe_h")
FOLDS = 5


def counting(dataset: SpectraDataset) -> np.ndarray:
    """Rows of the stars that count."""
    labels = dataset.labels.select(LABELS)
    teff, fe_h = labels.column("teff"), labels.column("fe_h")
    good = labels.complete & (teff > 4000) & (teff < 7000) & (fe_h > -3) & (fe_h < 2)
    return np.flatnonzero(good)


def cross_validate(dataset: SpectraDataset, recipe: Recipe, seed: int) -> tuple[dict, np.ndarray]:
    """Figures of a recipe, and the predictions for every star that counts (N, 3)."""
    rows, stars = counting(dataset), dataset.stars
    more = np.flatnonzero(recipe.selected(dataset.labels)) if recipe.select else rows
    predicted = np.full((len(dataset), len(LABELS)), np.nan)
    start = time.perf_counter()
    for i, (_, test) in enumerate(k_folds(stars[rows], FOLDS, seed)):
        test = rows[test]
        others = np.setdiff1d(np.union1d(rows, more), test)
        assert not set(stars[others]) & set(stars[test])
        valid_share = recipe.split[1] / (recipe.split[0] + recipe.split[1])
        train, valid = split_by_star(stars[others], (1 - valid_share, valid_share), seed)
        chosen = recipe.with_settings(seed=recipe.seed + 100 * i)
        parts = (others[train], others[valid], test)
        result = train_model(dataset, chosen, rows=parts, progress=False)
        predicted[test] = Predictor(result.model).predict(dataset.read(test)).labels.values
        print(f"{recipe.name}: fold {i + 1} of {FOLDS}, {time.perf_counter() - start:.0f} s")
    table = residual_table(Labels(LABELS, predicted[rows]), dataset.labels.select(LABELS)[rows])
    print(table)
    figures = {str(row["label"]): round(float(row["scatter"]), 4) for row in table}
    medians = {f"median_{row['label']}": round(float(row["median"]), 4) for row in table}
    seconds = {"seconds": round(time.perf_counter() - start), "n_stars": len(rows)}
    return {**figures, **medians, **seconds}, predicted


def main() -> None:
    """Run both recipes and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of MILES spectra")
    parser.add_argument("--seed", type=int, default=0, help="seed of the folds")
    parser.add_argument("--recipes", default="plain=starnet-2018,shipped=miles")
    parser.add_argument("--dry", action="store_true", help="print the figures and keep nothing")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "miles.zarr"
        build(args.data, find_labels(args.data), store, progress=False)
        dataset = open_dataset(store)
        figures = {}
        for pair in args.recipes.split(","):
            name, _, recipe = pair.partition("=")
            chosen = load_recipe(recipe).with_settings(labels=LABELS)
            figures[name], _ = cross_validate(dataset, chosen, args.seed)
    if args.dry:
        print(figures)
        return
    record("spectra", 1, figures, seed=args.seed, folds=FOLDS)


if __name__ == "__main__":
    main()
