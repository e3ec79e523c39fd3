"""`starnet bench miles --quick`, from the folder of MILES to the report, on two cores.

    python benchmarks/bench_5_miles.py --data FOLDER --out FOLDER [--cores 2]

The command is run as a user would run it, bound to the first cores; --out must be empty, so that
nothing is taken up from before.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import time
from pathlib import Path

from _record import record

COMMAND = "from starnet.cli import main; main()"


def main() -> None:
    """Run the command and keep how long it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of MILES spectra")
    parser.add_argument("--out", type=Path, required=True, help="new folder for the results")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--dry", action="store_true", help="print the figures, record nothing")
    options = parser.parse_args()
    if options.out.exists() and any(options.out.iterdir()):
        parser.error(f"{options.out} must be empty")
    if hasattr(os, "sched_setaffinity"):
        own = sorted(os.sched_getaffinity(0))[: options.cores]
        os.sched_setaffinity(0, own)
    words = ["bench", "miles", "--quick", "--data", options.data, "--out", options.out]
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", COMMAND, *map(str, words)], check=True)
    minutes = (time.perf_counter() - begun) / 60
    with (options.out / "scores.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["by"] == "all"]
    with (options.out / "cells.csv").open() as file:
        failed = [row["reason"] for row in csv.DictReader(file) if row["status"] != "done"]
    scatter: dict[str, dict[str, float]] = {}
    for row in rows:
        scatter.setdefault(row["method"], {})[row["label"]] = round(float(row["scatter"]), 4)
    print(f"{minutes:.1f} minutes, {len(failed)} cells failed")
    if not options.dry:
        record("bench", 5, {"minutes": round(minutes, 2)}, seed=0, cores=options.cores,
               scatter=scatter, failed=failed)  # fmt: skip


if __name__ == "__main__":
    main()
