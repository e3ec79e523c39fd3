"""Methods against each other: same stars, same split, same metrics; suites, runner, tables."""

from starnet.evaluate.bench.cells import Cell, Outcome, Result
from starnet.evaluate.bench.entries import Entry
from starnet.evaluate.bench.report import Tables, write_bench
from starnet.evaluate.bench.run import BenchRun, run_bench
from starnet.evaluate.bench.sources import Source
from starnet.evaluate.bench.suite import Suite, load_suite, suite_names

__all__ = [
    "BenchRun",
    "Cell",
    "Entry",
    "Outcome",
    "Result",
    "Source",
    "Suite",
    "Tables",
    "load_suite",
    "run_bench",
    "suite_names",
    "write_bench",
]
