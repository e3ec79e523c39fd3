"""Runs a suite of the bench, or reads what is there of it, and names its figures."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from starnet.evaluate.bench import BenchRun, Tables, load_suite, run_bench, write_bench
from starnet.evaluate.bench.figures import lines
from starnet.evaluate.bench.suite import ALL

DIGITS = {"K": 1, "dex": 4}


def arguments(about: str, *places: str) -> argparse.Namespace:
    """What all these scripts are told; ``places`` are options that name data."""
    parser = argparse.ArgumentParser(description=about)
    for name in places:
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder, kept between calls")
    parser.add_argument("--methods", default="", help="some of them, comma-separated")
    parser.add_argument("--sizes", default="", help="some of them, comma-separated")
    parser.add_argument("--here", action="store_true", help="compute nothing: what is there counts")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--dry", action="store_true", help="print the figures, record nothing")
    return parser.parse_args()


def run(
    suite: str, out: Path, options: argparse.Namespace, **places: Path | None
) -> tuple[BenchRun, Tables]:
    """Compute what is not in ``out`` yet, and write report and tables there."""
    chosen = load_suite(suite, quick=options.quick)
    if options.methods:
        chosen = chosen.with_methods(options.methods.split(","))
    if options.sizes:
        wanted = {ALL if n == "all" else int(n) for n in options.sizes.split(",")}
        sizes = tuple(n for n in chosen.sizes if n in wanted)
        kept = {n: k for n, k in chosen.repeats.items() if n in sizes}
        chosen = replace(chosen, sizes=sizes, repeats=kept)
    done = run_bench(
        chosen, out, **places, workers=options.workers, here=options.here, report=print,
        tick=lambda n, total, what: print(f"{n} of {total} {what}", flush=True),
    )  # fmt: skip
    for outcome in done.failed:
        print(f"{outcome.cell.title} {outcome.status}: {outcome.reason}")
    return done, write_bench(done, out)


def everything(table: Any) -> list[Any]:
    """Rows of all stars together."""
    return [row for row in lines(table) if row["by"] == "all"]


def rounded(row: Any, name: str) -> float:
    """A figure of a label, to digits that mean something."""
    return round(float(row[name]), DIGITS.get(str(row["unit"]), 4))


def failures(done: BenchRun) -> list[str]:
    """What has no result, for the record."""
    return [f"{o.cell.title}: {o.reason}" for o in done.failed]
