"""What a bench leaves: tables as CSV, figures as PNG, and one page that shows them all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.table import Table

from starnet._version import __version__
from starnet._whole import whole_file
from starnet.evaluate.bench.figures import bench_figures, lines, rows_of, sizes
from starnet.evaluate.bench.run import BenchRun
from starnet.evaluate.bench.tables import averaged, cells_table, pooled, scores_table
from starnet.spectra import label_spec

if TYPE_CHECKING:
    from starnet.plots import Page

CAPTIONS = {
    "learning_curves": (
        "Robust scatter against the number of stars that were learnt from. Bars: one standard "
        "error, by resampling the tested stars, which are the same for all. Broken lines across: "
        "models that learnt from none of these stars."
    ),
    "scatter": (
        "Robust scatter (1.4826 times the median absolute deviation) with its standard error, from "
        "the most stars that each method used. Bars that do not fit end at the edge, with their "
        "value."
    ),
    "one_to_one": "Predicted against reference labels. Points beyond the axes stand at the edge.",
    "residuals_snr": "Predicted minus reference labels against S/N.",
}
HEADINGS = {
    "learning_curves": "Learning curves",
    "scatter": "Scatter of each method",
    "one_to_one": "One to one",
    "residuals_snr": "Residuals against S/N",
}


@dataclass(frozen=True, eq=False)
class Tables:
    """Numbers of a run: of each seed, their means, and of each cell."""

    by_seed: Table
    scores: Table
    cells: Table


def write_bench(run: BenchRun, out: str | Path, *, figures: bool = True) -> Tables:
    """Write ``scores.csv``, ``scores-by-seed.csv``, ``cells.csv``, ``report.html``, ``figures/``.

    Raises
    ------
    OutputError
        If one cannot be written.
    """
    from starnet.plots import save

    out, some = Path(out), pooled(run)
    by_seed = scores_table(some, run.suite.strata)
    tables = Tables(by_seed, averaged(by_seed), cells_table(run))
    for name, table in (
        ("scores", tables.scores), ("scores-by-seed", by_seed), ("cells", tables.cells)
    ):  # fmt: skip
        _write_csv(table, out / f"{name}.csv")
    drawn = bench_figures(run.labels, some, tables.scores) if figures else {}
    for name, figure in drawn.items():
        save(figure, out / "figures" / f"{name}.png")
    bench_page(run, tables, drawn).write(out / "report.html")
    return tables


def bench_page(run: BenchRun, tables: Tables, figures: dict[str, Any]) -> Page:
    """The report."""
    from starnet.plots import Page

    page = Page(f"StarNet bench: {run.suite.name}")
    page.text(run.suite.about or "Methods held against each other.", lead=True)
    page.facts(_facts(run, tables))
    for note in run.notes:
        page.text(note)
    for size in sizes(tables.scores):
        page.heading(f"{_stars(tables.scores, size)} stars to learn from")
        for name in run.labels:
            page.text(_with_unit(name))
            page.table(_HEAD, _score_rows(run, tables.scores, size, name))
    page.heading("Cost")
    page.text(
        "Time to learn is from stored spectra; labels per second are of prepared spectra, alone "
        "and with errors; memory is the most that the process had. Each process had "
        f"{run.about.get('threads', '?')} threads; {run.about.get('workers', '?')} ran at a time."
    )
    page.table(_COST_HEAD, _cost_rows(run, tables.scores))
    for name, figure in figures.items():
        page.heading(HEADINGS[name])
        page.figure(figure, CAPTIONS[name], dpi=110)
    _strata(page, run, tables.scores)
    _failures(page, run)
    _about(page, run)
    return page


def _facts(run: BenchRun, tables: Tables) -> list[tuple[str, str]]:
    n = max((int(row["n"]) for row in lines(tables.scores) if row["by"] == "all"), default=0)
    methods = len({o.cell.method for o in run.done})
    facts = [(str(methods), "methods"), (str(n), "spectra tested"), (str(len(run.done)), "cells")]
    return [*facts, (str(len(run.failed)), "cells that failed")]


_HEAD = ("method", "scatter", "±", "median", "tails (5 scatters)", "r²", "in 68%",
         "beyond 3 errors", "no label", "n", "folds", "seeds")  # fmt: skip
_COST_HEAD = ("method", "stars", "time to learn (s)", "before that (s)", "spectra/s",
              "with errors", "memory (GB)")  # fmt: skip


def _score_rows(run: BenchRun, table: Table, size: str, label: str) -> list[list[str]]:
    out = []
    for method in run.suite.methods:
        found = rows_of(table, method, size) or _without_training(table, method)
        for row in found:
            if row["label"] != label:
                continue
            numbers = [_number(label, row[k]) for k in ("scatter", "scatter_err", "median")]
            shares = [_percent(row["tails"]), _short(row["r2"], 3), _percent(row["coverage_68"]),
                      _percent(row["beyond_3"]), _percent(row["missing"])]  # fmt: skip
            counts = [f"{row['n']:.0f}", str(row["folds"]), str(row["seeds"])]
            out.append([method, *numbers, *shares, *counts])
    return out


def _without_training(table: Table, method: str) -> list[Any]:
    """Rows of a method that learns from no star."""
    return [row for row in rows_of(table, method) if not row["n_train"] > 0]


def _cost_rows(run: BenchRun, table: Table) -> list[list[str]]:
    out = []
    for method in run.suite.methods:
        seen: dict[str, Any] = {str(row["size"]): row for row in rows_of(table, method)}
        for row in seen.values():
            costs = [_short(row[k], 1) for k in ("train_s", "pretrain_s")]
            speeds = [f"{row[k]:,.0f}" for k in ("per_s", "per_s_errors")]
            out.append([method, f"{row['n_train']:.0f}", *costs, *speeds, _short(row["peak_gb"])])
    return out


def _strata(page: Page, run: BenchRun, table: Table) -> None:
    """Scatter by kind of star, from the most stars."""
    kinds = list(dict.fromkeys(str(r["stratum"]) for r in lines(table) if r["by"] != "all"))
    if not kinds:
        return
    page.heading("Scatter by kind of star")
    page.text("From the most stars that each method used; strata go by reference labels.")
    for name in run.labels:
        shown = []
        for method in run.suite.methods:
            own = [r for r in lines(table) if r["method"] == method and r["label"] == name]
            if not own:
                continue
            most = max(float(r["n_train"]) for r in own)
            found = {str(r["stratum"]): r["scatter"] for r in own if r["n_train"] == most}
            cells = [_number(name, found.get(kind, np.nan)) for kind in ("all", *kinds)]
            shown.append([method, *cells])
        page.text(_with_unit(name))
        page.table(["method", "all", *kinds], shown)


def _failures(page: Page, run: BenchRun) -> None:
    if run.failed:
        page.heading("What failed")
        page.text(
            "Figures of these methods are of the folds that are there, and do not compare well "
            "with others'."
        )
        rows = [[o.cell.title, o.status, o.reason] for o in run.failed]
        page.table(["cell", "status", "reason"], rows)
    if run.left_out:
        page.heading("What was left out")
        rows = [[o.method, str(o.size or "all"), o.reason] for o in run.left_out]
        page.table(["method", "stars", "reason"], rows)


def _about(page: Page, run: BenchRun) -> None:
    suite = run.suite
    page.heading("How it was made")
    split = ", ".join(f"{key} {value}" for key, value in suite.split.items())
    noise = ", ".join(f"{sigma:g} of {name}" for name, sigma in suite.noise.items())
    page.text(
        f"Data: {run.about.get('data')}, {run.about.get('spectra')} spectra; learnt from: "
        f"{run.about.get('training')}. Split by star: {split}; no star is on both sides. Seeds: "
        f"{', '.join(map(str, suite.seeds))}. Noise added to the labels that were learnt from: "
        f"{noise or 'none'}. All methods had the same stars, labels and noise."
    )
    for name, entry in suite.methods.items():
        if entry.also:
            page.text(f"{name} learnt {', '.join(entry.also)}, too; these were not compared.")
    page.text(f"StarNet {__version__}.")


def _write_csv(table: Table, path: Path) -> None:
    with whole_file(path, "The table") as partial:
        table.write(partial, format="ascii.csv", overwrite=True)


def _stars(table: Table, size: str) -> str:
    counts = {
        float(r["n_train"]) for r in lines(table) if str(r["size"]) == size and r["n_train"] > 0
    }
    return f"{max(counts):.0f}" if counts else size


def _with_unit(name: str) -> str:
    plain = {"teff": "Teff", "logg": "log g", "fe_h": "[Fe/H]"}.get(name, name)
    unit = label_spec(name).unit
    return f"{plain} ({unit})" if unit else plain


def _number(name: str, value: Any) -> str:
    if not np.isfinite(value):
        return "–"
    digits = 1 if label_spec(name).unit == "K" else 4
    return f"{float(value):.{digits}f}".replace("-", "−")


def _percent(value: Any) -> str:
    return f"{100 * float(value):.1f}%" if np.isfinite(value) else "–"


def _short(value: Any, digits: int = 2) -> str:
    return f"{float(value):.{digits}f}".replace("-", "−") if np.isfinite(value) else "–"


def summary(run: BenchRun, tables: Tables, names: Sequence[str] = ()) -> Table:
    """Scatter of each method, size and label, short enough for a terminal."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    costs: dict[tuple[str, str], dict[str, Any]] = {}
    for row in lines(tables.scores):
        if row["by"] == "all" and str(row["label"]) in (names or run.labels):
            stars = f"{row['n_train']:.0f}"
            line = found.setdefault((str(row["method"]), stars),
                                    {"method": str(row["method"]), "stars": stars})  # fmt: skip
            line[str(row["label"])] = _number(str(row["label"]), row["scatter"])
            costs[str(row["method"]), stars] = {
                "learning (s)": _short(row["train_s"], 1),
                "spectra/s": f"{row['per_s']:,.0f}",
            }
    return Table(rows=[line | costs[key] for key, line in found.items()]) if found else Table()
