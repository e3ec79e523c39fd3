"""The page of results, from the files that the benchmarks wrote. Says what is missing, too."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks" / "results"
HIDDEN = ("made", "command", "seed", "machine", "versions")
MANY = 40
"""Figures of one group above which the page leaves them to the file."""


@dataclass(frozen=True)
class Target:
    """What a figure must reach: a number, or another figure of the same run."""

    sign: str
    bound: float | str

    def __str__(self) -> str:
        named = isinstance(self.bound, str)
        return f"{self.sign} `{self.bound}`" if named else f"{self.sign} {self.bound:g}"

    def met(self, value: float, figures: dict[str, Any]) -> bool:
        """Whether a value reaches it, to two decimals where the bound is a measured figure."""
        bound = figures[self.bound] if isinstance(self.bound, str) else self.bound
        if isinstance(self.bound, str):
            value, bound = round(value, 2), round(bound, 2)
        return {"≤": value <= bound, "≥": value >= bound, "<": value < bound}[self.sign]


@dataclass(frozen=True)
class Benchmark:
    """One command of `benchmarks/`, with the targets of its figures.

    ``named`` are figures that it must give besides those with a target.
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
)


def results(folder: Path = FOLDER) -> str:
    """The page in Markdown; it is a page even if nothing was measured."""
    known = [benchmark.key for benchmark in BENCHMARKS]
    others = [p.stem for p in sorted(folder.glob("*.json")) if p.stem not in known]
    more = [Benchmark(key, key, "", {}) for key in others]
    return "\n\n".join(_section(b, folder / f"{b.key}.json") for b in (*BENCHMARKS, *more))


def summary(prefix: str, folder: Path = FOLDER) -> str:
    """The figures that the benchmarks of one issue must give, in one table."""
    rows = ["| | figure | measured | target | |", "|---|---|---:|---:|---|"]
    for benchmark in BENCHMARKS:
        if benchmark.key.startswith(prefix):
            path = folder / f"{benchmark.key}.json"
            data = json.loads(path.read_text()) if path.is_file() else {}
            figures = dict(_flat({k: v for k, v in data.items() if k not in HIDDEN}))
            some = {k: figures[k] for k in benchmark.wanted if k in figures}
            lines = _table(benchmark, some).splitlines()[2:]
            titles = [benchmark.title, *[""] * len(lines)]
            rows += [f"| {title} {line}" for title, line in zip(titles, lines, strict=False)]
    return "\n".join(rows)


def _section(benchmark: Benchmark, path: Path) -> str:
    head = f"## {benchmark.title}\n\n{benchmark.about}"
    if not path.is_file():
        wanted = "; ".join(f"`{name}` {t}" for name, t in benchmark.targets.items()) or "none"
        return f"{head}\n\n**Not measured yet.** Targets: {wanted}."
    data = json.loads(path.read_text())
    made = data.get("made") or {name: data[name] for name in HIDDEN[1:] if name in data}
    groups = {k: dict(_flat({k: v})) for k, v in data.items() if k not in HIDDEN}
    figures = {
        k: v
        for group in groups.values()
        for k, v in group.items()
        if len(group) <= MANY or k in benchmark.wanted
    }
    long = [f"`{k}`: {len(group)} more." for k, group in groups.items() if len(group) > MANY]
    lists = [_rows(name, value) for name, value in data.items() if _is_table(value)]
    parts = [head, _table(benchmark, figures), *lists]
    parts += [f"In the file, and not here: {' '.join(long)}"] if long else []
    return "\n\n".join([*parts, _provenance(made, path.name)])


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _rows(name: str, rows: list[dict[str, Any]]) -> str:
    """A list of results of one form, as a table."""
    names = list(dict.fromkeys(key for row in rows for key in row))
    lines = [f"`{name}`:", "", f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    cells = (" | ".join(_shown(row.get(key, "")) for key in names) for row in rows)
    return "\n".join(lines + [f"| {line} |" for line in cells])


def _flat(data: dict[str, Any], prefix: str = ""):
    """Names and values of all figures, nested ones with dots; tables are shown apart."""
    for name, value in data.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        elif not _is_table(value):
            yield f"{prefix}{name}", value


def _table(benchmark: Benchmark, figures: dict[str, Any]) -> str:
    rows = ["| figure | measured | target | |", "|---|---:|---:|---|"]
    for name, value in figures.items():
        target = benchmark.targets.get(name)
        verdict = "" if target is None else "met" if target.met(value, figures) else "**missed**"
        rows.append(f"| `{name}` | {_shown(value)} | {target or ''} | {verdict} |")
    for name in benchmark.wanted:
        if name not in figures:
            rows.append(f"| `{name}` | not measured | {benchmark.targets.get(name, '')} | |")
    return "\n".join(rows)


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value).replace("|", "\\|")
    return f"{value:,.0f}" if isinstance(value, int) or abs(value) >= 1e4 else f"{value:.4g}"


def _provenance(made: dict[str, Any], name: str) -> str:
    machine, versions = made.get("machine", {}), made.get("versions", {})
    if isinstance(machine, dict):
        machine = ", ".join(f"{k} {v}" for k, v in machine.items())
    if isinstance(versions, dict):
        versions = ", ".join(f"{k} {v}" for k, v in versions.items())
    commit = str(made.get("commit", "unknown"))
    commit += " with uncommitted changes" if made.get("uncommitted_changes") else ""
    facts = {
        "command": f"`{made.get('command', 'unknown')}`",
        "seed": "none, nothing is random"
        if made.get("seed", "") is None
        else made.get("seed", "unknown"),
        "date": made.get("date", "unknown"),
        "commit": commit,
        "machine": machine or "unknown",
        "versions": versions or "unknown",
        "file": f"`benchmarks/results/{name}`",
    }
    return "\n".join(f"- {key}: {value}" for key, value in facts.items())
