"""Figure 1 of `errors`: coverage of the shipped APOGEE model's errors, and CRPS of each method.

    python benchmarks/errors_1_coverage.py --cache FOLDER [--physics FOLDER] [--model apogee]
        [--methods FOLDER] [--calibrate OUT]

4,600 stars of the population (600 of them drawn to be metal-poor) are synthesized by the engine and
observed three times each at S/N 20 to 300, everything on (`_observed_stars`). They are test stars:
no network and no calibration has seen them. 4,600 others, of other seeds, are calibration stars;
--calibrate only fits the calibration on them and writes the model with it to OUT, which is how the
shipped calibration was made. ``worst_68`` and ``worst_95`` are the largest difference, over labels,
of the coverage from 68.27 and 95 per cent, in percentage points; ``worst_stratum_68`` the largest
over labels and strata of S/N (20, 40, 80, 150, 300) and [Fe/H] (-2, -1, -0.5, 0, 0.5; true). Under
``raw`` the same for the errors that the network gives, without calibration. ``crps`` is the mean
over test spectra, in each label's unit, of each method: the shipped network raw and calibrated, and
the other models in --methods (folders that `errors_1_methods.py` wrote), raw. Coverage of a stratum
is uncertain by ``binomial`` (one sigma, spectra taken as independent, which visits are not quite).
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import starnet
from _observed_stars import METAL_POOR, clean_stars, observed
from _record import record
from _references import DATA
from starnet.artifact import Model, load_model
from starnet.evaluate import crps
from starnet.inference import Predictor
from starnet.inference.calibration import ONE_SIGMA, Calibration
from starnet.models.dropout import MonteCarloDropout
from starnet.spectra import Labels

Array = NDArray[Any]
CALIBRATION = ((880_501, 4000, None), (880_503, 600, METAL_POOR))
TEST = ((880_502, 4000, None), (880_504, 600, METAL_POOR))
VISITS = 3
LEVELS = (ONE_SIGMA, 0.95)
STRATA = {"snr": (20, 40, 80, 150, 300), "fe_h": (-2.0, -1.0, -0.5, 0.0, 0.5)}


def spectra_of(groups: Any, cache: Path, physics: Path, quick: int) -> tuple[Any, Labels, Array]:
    """Batches of spectra, true labels of them joined, and the number of each one's star."""
    batches, labels, stars, count = [], [], [], 0
    for seed, n, bounds in groups:
        clean, truth = clean_stars(seed, n, cache, physics, bounds=bounds)
        if quick:
            clean, truth = clean[: quick // 2], truth[: quick // 2]
        some, every, whose = observed(clean, truth, seed, VISITS)
        batches += some
        labels.append(every)
        stars.append(whose + count)
        count += len(clean)
    joined = Labels(labels[0].names, np.concatenate([part.values for part in labels]))
    return batches, joined, np.concatenate(stars)


def predictions(predictor: Predictor, batches: Any) -> list[Any]:
    """What a model says of each batch; the cycle is left out, as errors do not need it."""
    quiet = dataclasses.replace(predictor, compares=False)
    return [quiet.predict(batch) for batch in batches]


def joined_labels(found: list[Any]) -> Labels:
    """Predicted labels of all batches."""
    names = found[0].labels.names
    values, errors = (np.concatenate([getattr(p.labels, k) for p in found])
                      for k in ("values", "errors"))  # fmt: skip
    return Labels(names, values, errors)


def covered(found: list[Any], truth: Array) -> Array:
    """Whether each label (2, N, L) of each spectrum is within the intervals of `LEVELS`."""
    inside, start = [], 0
    for part in found:
        own = truth[start : start + len(part)]
        inside.append(
            np.abs(part.posterior.cdf(own) - 0.5)[None] <= 0.5 * np.array(LEVELS)[:, None, None]
        )
        start += len(part)
    return np.concatenate(inside, axis=1)


def figures(inside: Array, strata: dict[str, Array], names: tuple[str, ...]) -> dict[str, Any]:
    """Worst differences in percentage points, and the coverage of every label."""
    total = 100 * (inside.mean(axis=1) - np.array(LEVELS)[:, None])
    parts = {
        f"{key} {low:g} to {high:g}": (which >= low) & (which < high)
        for key, which in strata.items()
        for low, high in zip(STRATA[key][:-1], STRATA[key][1:], strict=True)
    }
    by_stratum = {k: 100 * (inside[0, rows].mean(axis=0) - ONE_SIGMA) for k, rows in parts.items()}
    worst = max(by_stratum, key=lambda k: np.abs(by_stratum[k]).max())
    return {
        "worst_68": _round(np.abs(total[0]).max()),
        "worst_95": _round(np.abs(total[1]).max()),
        "worst_stratum_68": _round(np.abs(by_stratum[worst]).max()),
        "where": f"{worst}, {names[int(np.abs(by_stratum[worst]).argmax())]}",
        "off_68": dict(zip(names, map(_round, total[0]), strict=True)),
        "off_95": dict(zip(names, map(_round, total[1]), strict=True)),
        "worst_of_stratum": {k: _round(np.abs(v).max()) for k, v in by_stratum.items()},
        "binomial": {k: _round(100 * np.sqrt(0.217 / rows.sum())) for k, rows in parts.items()},
        "spectra": {k: int(rows.sum()) for k, rows in parts.items()},
    }


def scores(found: list[Any], truth: Array) -> Array:
    """Mean CRPS (L,) in the labels' units."""
    sums, start, n = 0.0, 0, 0
    for part in found:
        each = crps(part.posterior, truth[start : start + len(part)])
        sums, n, start = sums + np.nansum(each, axis=0), n + len(each), start + len(part)
    return np.asarray(sums) / n


def _round(value: Any) -> float:
    return round(float(value), 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, required=True, help="folder for the stars")
    parser.add_argument("--physics", type=Path, default=DATA / "physics")
    parser.add_argument("--model", default="apogee")
    parser.add_argument("--methods", type=Path, help="folder of other models")
    parser.add_argument("--calibrate", type=Path, help="write the model, calibrated, here")
    parser.add_argument("--quick", type=int, default=0, help="so many stars; nothing is recorded")
    arguments = parser.parse_args()
    where = (arguments.cache, arguments.physics, arguments.quick)
    predictor = starnet.load(arguments.model)
    if arguments.calibrate:
        calibrated = calibrate(predictor, *spectra_of(CALIBRATION, *where))
        calibrated.save(arguments.calibrate, overwrite=True, half=True)
        return
    batches, labels, _ = spectra_of(TEST, *where)
    truth = labels.select(predictor.labels).values
    snr = np.concatenate([batch.snr for batch in batches])
    strata = {"snr": snr, "fe_h": labels.column("fe_h")}
    plain = dataclasses.replace(
        predictor, model=dataclasses.replace(predictor.model, calibration={})
    )
    results: dict[str, Any] = {}
    table: dict[str, Array] = {}
    for key, one in (("calibrated", predictor), ("raw", plain)):
        found = predictions(one, batches)
        results[key] = figures(covered(found, truth), strata, predictor.labels)
        table[key] = scores(found, truth)
        print(key, {k: v for k, v in results[key].items() if k.startswith(("worst", "where"))})
    for name, model in methods(arguments.methods) if arguments.methods else ():
        table[name] = scores(predictions(dataclasses.replace(plain, model=model), batches), truth)
    rows = {k: {n: float(f"{v:.4g}") for n, v in zip(predictor.labels, row, strict=True)}
            for k, row in table.items()}  # fmt: skip
    for name in predictor.labels:
        print(f"{name:6s}", "  ".join(f"{k} {rows[k][name]:.4g}" for k in rows))
    results = {**results.pop("calibrated"), **results}
    if not arguments.quick:
        record(
            "errors", 1, results, seed=TEST[0][0], spectra_in_all=len(truth), crps=rows,
            calibration=predictor.model.calibration.get("about", {}),
        )  # fmt: skip


def methods(folder: Path) -> Iterator[tuple[str, Model]]:
    """Name and model of every method; a network with dropout once more, dropout staying on."""
    for one in sorted(path for path in folder.iterdir() if path.is_dir()):
        model = load_model(one)
        yield one.name, model
        if getattr(model.network.config, "dropout", 0):
            network = MonteCarloDropout(model.network)
            yield f"{one.name}-dropout", dataclasses.replace(model, network=network, scatter={})


def calibrate(predictor: Predictor, batches: Any, truth: Labels, stars: Array) -> Any:
    """The model with a calibration fitted on these spectra."""
    plain = dataclasses.replace(
        predictor, model=dataclasses.replace(predictor.model, calibration={})
    )
    found = joined_labels(predictions(plain, batches))
    strata = {name: found.column(name) for name in ("teff", "fe_h")}
    strata["snr"] = np.concatenate([batch.snr for batch in batches])
    about = {
        "spectra": len(found),
        "made": "engine lte, population apogee and metal-poor stars of it, APOGEE observer, "
        "S/N 20 to 300 (benchmarks/errors_1_coverage.py)",
    }
    made = Calibration.fit(found, truth, strata, star=stars, about=about)
    return dataclasses.replace(predictor.model, calibration=made.to_dict())


if __name__ == "__main__":
    main()
