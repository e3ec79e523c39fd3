"""Figure 1 of `bench`: our Cannon against scipy, pixel by pixel and star by star.

    python benchmarks/bench_1_cannon.py --data FOLDER [--rounds 5] [--pixels 60] [--stars 40]
    python benchmarks/bench_1_cannon.py --data FOLDER --quick

FOLDER holds ``apogee/generators``. Three parts:

- ``max_difference``: 671 APOGEE stars on 100 pixels (test data of A. Casey's AnniesLasso), a
  quadratic Cannon of Teff, log g, [M/H]. For each pixel scipy's bounded scalar search finds the
  scatter that is most likely, with weighted least squares inside. The figure is the largest
  difference of the fluxes that both sets of coefficients predict for the 671 stars.
  ``published_*`` hold the coefficients that come with these data, which AnniesLasso fitted to 13
  terms up to Teff^4, against ours of the same terms; the scatter as the median ratio.
- ``train_ratio``: 1,800 stars with the labels of APOKASC giants on 7,214 pixels, from the
  published coefficients and scatter of J. Bovy's Cannon and noise of S/N 40 to 300, three labels.
  All pixels by ours, and by scipy as above a random sample of pixels, scaled to all (``--pixels
  7214`` runs all of them); ours is timed once in each round, between the samples.
  ``train_ratio_normal`` is against normal equations in place of ``lstsq``, and Nelder and Mead's
  search, which is how AnniesLasso goes through pixels.
- ``infer_ratio``: labels of 1,000 of these stars by ours from three starts, and by scipy's
  curve_fit star by star from the middle of the labels, for a random sample, with its defaults.

Ratios are medians over rounds.
"""

from __future__ import annotations

import argparse
import pickle
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import curve_fit, fmin, minimize_scalar

from _generators import cannon_apokasc
from _record import record
from starnet.baselines.cannon import Cannon, FittedCannon, Terms, fit_pixels
from starnet.spectra import Labels, Spectra

NAMES = ("teff", "logg", "fe_h")
POWERS = (
    *((4, 0, 0), (3, 0, 0), (2, 0, 0), (1, 0, 0), (0, 3, 0), (0, 2, 0), (0, 1, 0)),
    *((1, 1, 0), (1, 0, 1), (0, 1, 1), (0, 0, 1), (0, 0, 2)),
)
"""Of Teff, log g, [M/H] in the terms that AnniesLasso fitted, after the constant."""


class OnlyNumpy(pickle.Unpickler):
    """Reads arrays of numpy, and refuses whatever else a pickle names."""

    def find_class(self, module: str, name: str) -> Any:
        """One of the four names that arrays and numbers need."""
        known = {
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
            ("numpy.core.multiarray", "scalar"): np._core.multiarray.scalar,  # type: ignore[attr-defined]
            ("numpy.core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,  # type: ignore[attr-defined]
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed.")
        return known[module, name]


def published(data: Path) -> list[Any]:
    """Labels (671, 3), flux and error (671, 100), coefficients (100, 13), scatter (100,)."""
    with (data / "apogee/generators/cannon_671_stars_100px.pkl").open("rb") as file:
        content = OnlyNumpy(file, encoding="latin1").load()
    return [np.asarray(content[0], float).T, *content[1:5]]


def by_search(flux: np.ndarray, ivar: np.ndarray, design: np.ndarray) -> tuple[np.ndarray, float]:
    """Coefficients and scatter of a pixel: weighted lstsq within a bounded search."""
    f, v = flux.astype(float), 1.0 / ivar.astype(float)

    def fit(log_s: float) -> tuple[np.ndarray, float]:
        root = 1.0 / np.sqrt(v + np.exp(2 * log_s))
        theta = np.linalg.lstsq(design * root[:, None], f * root)[0]
        return theta, float(np.sum((root * (f - design @ theta)) ** 2 - 2 * np.log(root)))

    best: Any = minimize_scalar(lambda s: fit(s)[1], bounds=(-12, 0), method="bounded")
    return fit(best.x)[0], float(np.exp(best.x))


def by_normal(flux: np.ndarray, ivar: np.ndarray, design: np.ndarray) -> tuple[np.ndarray, float]:
    """The same with normal equations within Nelder and Mead's search."""
    f, v = flux.astype(float), 1.0 / ivar.astype(float)

    def fit(log_s: float) -> tuple[np.ndarray, float]:
        weight = 1.0 / (v + np.exp(2 * log_s))
        scaled = design * weight[:, None]
        theta = np.linalg.solve(design.T @ scaled, scaled.T @ f)
        return theta, float(np.sum(weight * (f - design @ theta) ** 2 - np.log(weight)))

    best = float(fmin(lambda s: fit(s[0])[1], -5.0, disp=False)[0])
    return fit(best)[0], float(np.exp(best))


def agreement(data: Path) -> dict[str, float]:
    """Coefficients of 100 real pixels against scipy's, and the published ones."""
    values, flux, error, theta, scatter = published(data)
    ivar = error**-2.0
    terms = Terms.of(values, 2)
    design = terms.values(terms.scaled(values))
    ours = fit_pixels(flux, ivar, design)
    pairs = [by_search(flux[:, j], ivar[:, j], design) for j in range(flux.shape[1])]
    theirs = np.array([pair[0] for pair in pairs])
    # the published terms are of labels less their means, and badly scaled: fit in units of spread
    x = values - values.mean(axis=0)
    spread = x.std(axis=0)
    powers = np.array(POWERS)
    raw = np.column_stack([np.ones(len(x)), *(np.prod(x**p, axis=1) for p in powers)])
    unit = np.concatenate([[1.0], np.prod(spread**powers, axis=1)])
    again = fit_pixels(flux, ivar, raw / unit)
    apart = (raw / unit) @ again.coefficients.T - raw @ theta.T
    return {
        "max_difference": float(np.max(np.abs(design @ (ours.coefficients - theirs).T))),
        "max_difference_scatter": float(
            np.max(np.abs(np.sqrt(ours.scatter2) - [pair[1] for pair in pairs]))
        ),
        "published_median_difference": float(np.median(np.abs(apart))),
        "published_99_difference": float(np.percentile(np.abs(apart), 99)),
        "published_max_difference": float(np.max(np.abs(apart))),
        "published_scatter_ratio": float(np.median(np.sqrt(again.scatter2) / scatter)),
    }


def giants(data: Path, n: int, rng: np.random.Generator) -> tuple[Spectra, Labels]:
    """Spectra of APOKASC giants on the pixels that have flux, and three labels."""
    made = cannon_apokasc(data)
    rows = rng.permutation(len(made))[:n]
    good = np.flatnonzero(~made.spectra.mask.any(axis=0))
    flux = made.spectra.flux[rows][:, good].astype(float)
    variance = 1.0 / made.spectra.ivar[0, good].astype(float) - (1.0 / 150.0) ** 2  # of the model
    error = flux / rng.uniform(40.0, 300.0, (n, 1)) * rng.uniform(0.8, 1.25, (1, len(good)))
    flux += np.sqrt(np.maximum(variance, 0.0) + error**2) * rng.standard_normal(flux.shape)
    spectra = Spectra(made.spectra.grid.select(good), np.ascontiguousarray(flux), error**-2.0)
    return spectra, made.labels[rows].select(NAMES)


def star(spectra: Spectra, i: int, fitted: FittedCannon) -> tuple[np.ndarray, np.ndarray]:
    """Scaled labels and errors of a star by curve_fit."""
    theta, scatter2 = fitted.pixels.coefficients, fitted.pixels.scatter2
    first, second = np.triu_indices(3)

    def model(_: Any, *x: float) -> np.ndarray:
        row = np.array(x)
        return theta @ np.concatenate([[1.0], row, row[first] * row[second]])

    sigma = np.sqrt(1.0 / spectra.ivar[i].astype(float) + scatter2)
    flux = spectra.flux[i].astype(float)
    found, covariance = curve_fit(model, None, flux, np.zeros(3), sigma=sigma, absolute_sigma=True)
    return found, np.sqrt(np.diag(covariance))


def seconds(work: Any) -> tuple[float, Any]:
    """Of a piece of work, and what it gave."""
    begin = time.perf_counter()
    result = work()
    return time.perf_counter() - begin, result


def train(spectra: Spectra, labels: Labels, given: Any, rng: np.random.Generator) -> dict[str, Any]:
    """Ours for all pixels and theirs for some, in turn."""
    terms = Terms.of(labels.values, 2)
    design, n = terms.values(terms.scaled(labels.values)), spectra.n_pixels
    rows: dict[str, list[float]] = {"ours": [], "search": [], "normal": []}
    worst = 0.0
    for _ in range(given.rounds):
        own, pixels = seconds(lambda: fit_pixels(spectra.flux, spectra.ivar, design))
        some = rng.permutation(n)[: given.pixels]
        rows["ours"].append(own)
        for name, way in (("search", by_search), ("normal", by_normal)):
            columns = [(spectra.flux[:, j], spectra.ivar[:, j]) for j in some]
            took, pairs = seconds(lambda c=columns, w=way: [w(*pair, design) for pair in c])
            rows[name].append(took * n / len(some))
            gap = np.array([pair[0] for pair in pairs]) - pixels.coefficients[some]
            if name == "search":
                worst = max(worst, float(np.max(np.abs(design @ gap.T))))
    ratio = {k: float(np.median(np.divide(rows[k], rows["ours"]))) for k in ("search", "normal")}
    return {
        "train_ratio": ratio["search"],
        "train_ratio_normal": ratio["normal"],
        "train_max_difference": worst,
        "train_seconds": {name: float(np.median(row)) for name, row in rows.items()},
    }


def infer(
    spectra: Spectra, fitted: FittedCannon, given: Any, rng: np.random.Generator
) -> dict[str, Any]:
    """Ours for all stars and curve_fit for some, in turn."""
    ours, theirs, apart = [], [], []
    for _ in range(given.rounds):
        took, solved = seconds(lambda: fitted.solve(spectra))
        some = rng.permutation(len(spectra))[: given.stars]
        their, pairs = seconds(lambda s=some: [star(spectra, i, fitted) for i in s])
        ours.append(took / len(spectra))
        theirs.append(their / len(some))
        apart += [
            np.abs(solved.x[i] - pair[0]) / pair[1] for i, pair in zip(some, pairs, strict=True)
        ]
    return {
        "infer_ratio": float(np.median(np.divide(theirs, ours))),
        "infer_worst_difference_sigma": float(np.max(apart)),
        "infer_median_difference_sigma": float(np.median(apart)),
        "infer_converged": float(solved.converged.mean()),
        "infer_us_per_star": {
            "ours": 1e6 * float(np.median(ours)),
            "curve_fit": 1e6 * float(np.median(theirs)),
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pixels", type=int, default=60, help="of each round, by scipy")
    parser.add_argument("--stars", type=int, default=40, help="of each round, by curve_fit")
    parser.add_argument("--seed", type=int, default=6)
    parser.add_argument("--quick", action="store_true", help="one small round, no record")
    given = parser.parse_args()
    n_train, n_infer = (1800, 1000)
    if given.quick:
        given.rounds, given.pixels, given.stars, n_infer = 1, 8, 8, 200
    rng = np.random.default_rng(given.seed)
    spectra, labels = giants(given.data, n_train, rng)
    figures = agreement(given.data)
    figures |= train(spectra, labels, given, rng)
    fitted = Cannon().fit(spectra, labels)
    figures |= infer(spectra[:n_infer], fitted, given, rng)
    for name, value in figures.items():
        print(f"{name:32s} {value}")
    if not given.quick:
        settings = {"pixels": spectra.n_pixels, "stars": n_train, "rounds": given.rounds}
        settings |= {"sample_pixels": given.pixels, "sample_stars": given.stars}
        record("bench", 1, figures, seed=given.seed, settings=settings)


if __name__ == "__main__":
    main()
