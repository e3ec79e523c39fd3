"""The figures that benchmarks measure, and what they must reach."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any


@dataclass(frozen=True)
class Target:
    """What a figure must reach: a number, a range, or another figure of the same run."""

    sign: str
    bound: float | str | tuple[float, float]

    def __str__(self) -> str:
        if isinstance(self.bound, tuple):
            return "{:g} to {:g}".format(*self.bound)
        named = isinstance(self.bound, str)
        return f"{self.sign} `{self.bound}`" if named else f"{self.sign} {self.bound:g}"

    def met(self, value: float, figures: dict[str, Any]) -> bool:
        """Whether a value reaches it, to two decimals where the bound is a measured figure."""
        if isinstance(self.bound, tuple):
            return self.bound[0] <= value <= self.bound[1]
        bound = figures[self.bound] if isinstance(self.bound, str) else self.bound
        if isinstance(self.bound, str):
            value, bound = round(value, 2), round(bound, 2)
        return {"≤": value <= bound, "≥": value >= bound, "<": value < bound}[self.sign]


@dataclass(frozen=True)
class Benchmark:
    """One command of `benchmarks/`, with the targets of its figures.

    ``named`` are figures that it must give besides those with a target. A name with ``*`` stands
    for all that are like it.
    """

    key: str
    title: str
    about: str
    targets: dict[str, Target]
    named: tuple[str, ...] = ()

    @property
    def wanted(self) -> tuple[str, ...]:
        """Names of the figures that it must give."""
        return (*self.named, *self.targets)

    def target(self, name: str) -> Target | None:
        """The target of a figure."""
        return next((t for n, t in self.targets.items() if fnmatchcase(name, n)), None)

    def found(self, figures: Iterable[str]) -> list[str]:
        """Of some figures those that it must give, in its order."""
        return [name for n in self.wanted for name in figures if fnmatchcase(name, n)]

    def missing(self, figures: Iterable[str]) -> list[str]:
        """What it must give and is not there."""
        return [n for n in self.wanted if not any(fnmatchcase(name, n) for name in figures)]


BENCHMARKS = (
    Benchmark(
        "spectra-1",
        "MILES, five-fold cross-validation",
        "Robust scatter (1.4826 times the median absolute deviation) of predicted minus library "
        "labels, for MILES stars with 4000 < Teff < 7000 K, −3 < [Fe/H] < 2 and all three labels; "
        "every star is predicted by a model that has not seen it. Teff in K, the others in dex. "
        "*plain* is the network of 2018, *shipped* the recipe that `make demo` uses.",
        {
            "shipped.teff": Target("≤", 90),
            "shipped.logg": Target("≤", 0.23),
            "shipped.fe_h": Target("≤", 0.11),
        },
    ),
    Benchmark(
        "spectra-2",
        "Speed of training and prediction against Keras",
        "41,000 made-up spectra of 7,214 pixels on two cores; the same network in Keras 3 with "
        "TensorFlow at default settings, interleaved in one run. A ratio above 1 means that "
        "StarNet is faster. `train_ratio` is at batch 32, `train_ratio_256` at batch 256, "
        "`predict_ratio` against Keras's best.",
        {
            "train_ratio": Target("≥", 1.3),
            "train_ratio_256": Target("≥", 1.0),
            "predict_ratio": Target("≥", 1.0),
        },
    ),
    Benchmark(
        "spectra-3",
        "Memory",
        "Largest resident memory, in GB, of building a data set of 20,000 spectra and training an "
        "epoch from it, and of the same with ten times as many.",
        {"peak_gb": Target("<", 2.0), "peak_gb_10x": Target("≤", "peak_gb")},
    ),
    Benchmark(
        "spectra-4",
        "Reading",
        "apStar files per second on one core, and those of specutils' own loader in the same run.",
        {},
    ),
    Benchmark(
        "physics-1",
        "Synthesis against other codes",
        "rms difference of flux over continuum to stored spectra of PySME (no lines of hydrogen) "
        "and of Turbospectrum (with them) for the same atmospheres and lines, at R = 22,500; the "
        "Sun from 15,100 to 17,000 Å, giants from 15,700 to 16,290 Å.",
        {
            "sun": Target("≤", 0.004),
            "giant_4250": Target("≤", 0.003),
            "giant_3500": Target("≤", 0.006),
            "giant_5000": Target("≤", 0.0015),
            "turbospectrum_sun": Target("≤", 0.004),
        },
    ),
    Benchmark(
        "physics-2",
        "Synthesis against observed stars, H band",
        "rms of observed minus computed flux over continuum at R = 22,500, before and after line "
        "data were calibrated on the atlases of the Sun and Arcturus. A gain is the fraction by "
        "which the rms of one star falls when lines are calibrated on the other alone. `cannon` "
        "are spectra of The Cannon's model of APOKASC giants, which took no part.",
        {
            "sun_after": Target("≤", 0.0085),
            "arcturus_after": Target("≤", 0.0140),
            "arcturus_gain_from_sun": Target("≥", 0.2),
            "sun_gain_from_arcturus": Target("≥", 0.2),
        },
        ("sun_before", "arcturus_before", "cannon_before", "cannon_after"),
    ),
    Benchmark(
        "physics-3",
        "Synthesis against observed stars, optical",
        "rms of observed minus computed flux over continuum from 4815 to 5388 Å at R = 47,000 and "
        "2,000, beside that of PySME with the same inputs.",
        {},
        ("sun_r47000", "pysme_sun_r47000", "sun_r2000", "pysme_sun_r2000"),
    ),
    Benchmark(
        "physics-4",
        "Derivatives",
        "Largest difference, where the response is significant, between the engine's derivatives "
        "by temperature, gravity and every abundance and finite differences, as a fraction.",
        {"worst_relative": Target("≤", 0.02)},
    ),
    Benchmark(
        "physics-5",
        "Speed of synthesis",
        "H band at 300,000 pixels to an e-fold of wavelength: spectra per second, and those of "
        "PySME in the same run on the same two cores. The first call compiles, which is apart.",
        {"ratio_pysme": Target("≥", 10)},
        ("per_s_cpu", "compile_s", "per_s_gpu"),
    ),
    Benchmark(
        "physics-6",
        "A pilot set for APOGEE",
        "Spectra of 17 elements made with `starnet synth`, and a network trained on them: robust "
        "scatter on synthetic stars kept apart, at S/N 100, and labels predicted for the observed "
        "atlases of the Sun and Arcturus through the APOGEE preset (accepted: 5772 K, 4.44, 0.0; "
        "4286 K, 1.66, −0.52). Teff in K, the others in dex.",
        {"n_spectra": Target("≥", 3000)},
        tuple(
            f"{what}.{label}"
            for what in ("scatter", "sun", "arcturus")
            for label in ("teff", "logg", "fe_h")
        ),
    ),
    Benchmark(
        "emulator-1",
        "The emulator of APOGEE",
        "Absolute errors of normalised flux on held-out synthetic stars (3,800-6,800 K, log g "
        "0.5-5, [Fe/H] −2 to 0.4), in APOGEE's chips through its line spread; spectra per second "
        "on two cores, and how many times that of the published layout of The Payne in numpy, star "
        "by star, in the same run. `architectures`: other layouts at the same number of steps.",
        {
            "median_error": Target("≤", 0.0006),
            "p99_error": Target("≤", 0.006),
            "per_s": Target("≥", 10000),
        },
        ("ratio_numpy",),
    ),
    Benchmark(
        "emulator-2",
        "Errors over the physical limit",
        "Robust scatter of predicted minus true label over the Cramér-Rao limit of each star's own "
        "errors and mask, all other labels free, for stars synthesized apart and observed with bad "
        "pixels, sky, and errors of continuum, velocity and line spread, at S/N 50, 100 and 200. "
        "Below 1 a network knows from the distribution of stars what the spectrum does not say.",
        {
            f"efficiency.s{snr}.{label}": Target("≤", 1.5)
            for snr in (50, 100, 200)
            for label in ("teff", "logg", "fe_h")
        },
    ),
    Benchmark(
        "emulator-3",
        "Real spectra, and spectra of models learnt from real ones",
        "Labels that the shipped APOGEE network predicts for the observed atlases of the Sun and "
        "Arcturus (accepted: 5772 K, 4.44, 0.0; 4286 K, 1.66, −0.52; wanted within 60 K, 0.10, "
        "0.06 and 80 K, 0.20, 0.10), and bias and robust scatter on spectra that published models "
        "generate from the labels of their own training stars; the same for the fit. Nothing here "
        "was trained or calibrated on these models. Wanted on the APOKASC giants: bias at most "
        "60 K, 0.15, 0.06, scatter at most 30 K, 0.10, 0.04.",
        {
            "cannon_apokasc.teff.scatter": Target("≤", 30),
            "cannon_apokasc.logg.scatter": Target("≤", 0.10),
            "cannon_apokasc.fe_h.scatter": Target("≤", 0.04),
        },
        tuple(
            f"{what}.{label}" for what in ("sun", "arcturus") for label in ("teff", "logg", "fe_h")
        )
        + tuple(f"cannon_apokasc.{label}.bias" for label in ("teff", "logg", "fe_h")),
    ),
    Benchmark(
        "emulator-4",
        "MILES with a pre-trained network",
        "As the first figure of this page, with a network pre-trained on synthetic optical spectra "
        "and fine-tuned. Teff in K, the others in dex.",
        {"teff": Target("≤", 70), "logg": Target("≤", 0.19), "fe_h": Target("≤", 0.09)},
    ),
    Benchmark(
        "emulator-5",
        "Speed of fitting",
        "1,000 spectra of S/N 100 with 20 labels free: spectra per second, how many times that of "
        "scipy's curve_fit star by star with the same emulator in the same run, and the largest "
        "difference of a label in units of its error.",
        {"ratio": Target("≥", 30)},
        ("per_s", "worst_difference_sigma"),
    ),
    Benchmark(
        "emulator-6",
        "Real files straight after installation",
        "`starnet predict` without a model named on real apStar, aspcapStar, apVisit and SDSS "
        "files, M dwarfs, eclipsing binaries and a white dwarf among them.",
        {},
        ("n_files", "n_flagged"),
    ),
    Benchmark(
        "emulator-7",
        "The optical model on MILES",
        "Bias and robust scatter of labels of MILES stars (4,200-6,600 K, [Fe/H] −1.5 to 0.4) by "
        "the shipped optical model, which was trained on synthetic spectra alone, and the scatter "
        "over the quoted error. Teff in K, the others in dex.",
        {},
        tuple(f"{w}.{n}" for w in ("bias", "scatter") for n in ("teff", "logg", "fe_h")),
    ),
    Benchmark(
        "errors-1",
        "Errors held against truth",
        "Test stars that the engine synthesized, of the population and metal-poor ones, observed "
        "three times each at S/N 20 to 300 with everything on. The largest difference, over "
        "labels, of the coverage from 68.27 and 95 per cent, in percentage points, and the largest "
        "over labels and strata of S/N and [Fe/H]; after calibration, which was fitted on other "
        "stars, and before (`raw`).",
        {
            "worst_68": Target("≤", 2),
            "worst_95": Target("≤", 2),
            "worst_stratum_68": Target("≤", 5),
        },
        ("raw.worst_68", "raw.worst_95", "raw.worst_stratum_68"),
    ),
    Benchmark(
        "errors-2",
        "Errors of MILES labels",
        "Coverage in five-fold cross-validation by star, in percentage points from 68.27 and 95, "
        "worst of three labels, with the real noise of the library's labels. Errors were set by "
        "stars of the other folds.",
        {"worst_68": Target("≤", 4), "worst_95": Target("≤", 4)},
    ),
    Benchmark(
        "errors-3",
        "Errors held against repeat visits",
        "Robust scatter among visits of real stars over the error quoted for it, which was never "
        "fitted to real visits: pairs of LAMOST spectra by the optical model, and the visits in "
        "apStar files by the APOGEE model, for each label that is measured in half of the spectra. "
        "APOGEE's are of two stars, a giant and an eclipsing binary, and say little.",
        {
            "lamost.*": Target("in", (0.8, 1.25)),
            "apogee.*": Target("in", (0.8, 1.25)),
        },
    ),
    Benchmark(
        "errors-4",
        "Speed of error propagation",
        "Spectra per second with 3 and with 20 labels, from prepared spectra of 7,214 pixels to "
        "covariances, on two cores with the network of 2018, and how many times that of a loop "
        "over stars and labels in the same run.",
        {"ratio": Target("≥", 10)},
        ("per_s", "per_s_20"),
    ),
    Benchmark(
        "errors-5",
        "The cheating test",
        "Each element changed alone in the synthesizer: by how much its own label moves (diagonal) "
        "and the others do, for elements whose Cramér-Rao error at S/N 100 is below 0.1 dex, "
        "errors quoted as of S/N 300.",
        {"mean_diagonal": Target("≥", 0.9), "largest_off_diagonal": Target("≤", 0.15)},
        ("measured",),
    ),
    Benchmark(
        "errors-6",
        "Features at known lines",
        "Fraction of the 20 strongest features of each label of the APOGEE model that are at a "
        "known line of its species (of any, for Teff and log g).",
        {"fraction.*": Target("≥", 0.8)},
    ),
    Benchmark(
        "errors-7",
        "Spectra that are no stars of the training set",
        "Fraction that is flagged, by any bit, at S/N 20 to 300, and the fraction of good test "
        "stars that is. `caught.continuum` is of waves and steps that move a label by more than "
        "two errors, `caught.scattered` of light added that does.",
        {
            **{
                f"caught.{case}": Target("≥", 0.95)
                for case in (
                    "white_dwarf",
                    "galaxy",
                    "hot_star",
                    "wrong_rv",
                    "continuum",
                    "shuffled_chips",
                    "air_as_vacuum",
                )
            },
            "false_rate": Target("≤", 0.01),
        },
        ("caught.scattered",),
    ),
    Benchmark(
        "bench-1",
        "The Cannon against pixel-by-pixel optimisation",
        "Predictions of our quadratic Cannon's coefficients less those of scipy's optimum for the "
        "same pixels (671 stars, 100 pixels), largest; and how many times as fast it learns 7,214 "
        "pixels of 1,800 stars, and labels 1,000 stars, as scipy pixel by pixel and star by star, "
        "in one run.",
        {
            "max_difference": Target("≤", 1e-4),
            "train_ratio": Target("≥", 100),
            "infer_ratio": Target("≥", 50),
        },
    ),
    Benchmark(
        "bench-2",
        "Networks",
        "Networks trained alike on 20,000 synthetic spectra, those of `at_5000` on 5,000, and "
        "tested on observed-looking APOGEE stars of another line list: robust scatter (Teff in K, "
        "the others in dex), and spectra per second at prediction on one core. The best gain is "
        "the least of three labels', of the network that gains most on that of 2018 and is no "
        "slower.",
        {"best_gain": Target("≥", 0.15)},
        ("*.scatter", "*.per_s", "*.seeds"),
    ),
    Benchmark(
        "bench-3",
        "Learning curves",
        "Robust scatter of each method by the number of stars it learnt from, on MILES and on "
        "observed-looking APOGEE stars.",
        {},
        ("*.542.*.teff", "*.542.*.logg", "*.542.*.fe_h"),
    ),
    Benchmark(
        "bench-4",
        "A search for hyperparameters",
        "On observed-looking APOGEE stars, six pixels in one, of which 2,000 are trained on and "
        "1,000 judge the trials: trials by two workers at once, all killed once and the search "
        "taken up again; robust scatter on 2,000 stars that took no part, by the default and by "
        "the best trial.",
        {"trials": Target("≥", 60)},
        ("default.*", "best.*", "margin.*"),
    ),
    Benchmark(
        "bench-4-miles",
        "A search for hyperparameters on few stars",
        "The same on MILES, where 343 stars are trained on, 115 judge the trials and 114 took no "
        "part: the search chose settings that suit the stars which judge.",
        {"trials": Target("≥", 60)},
        ("default.*", "best.*", "margin.*"),
    ),
    Benchmark(
        "bench-5",
        "The quick bench",
        "`starnet bench miles --quick` on two cores, from spectra to the report.",
        {"minutes": Target("≤", 20)},
    ),
)
