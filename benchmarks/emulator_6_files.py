"""Figure 6 of the emulator issue: real survey files through the models of the package.

Runs ``starnet predict`` without naming a model on every apStar, aspcapStar, apVisit and SDSS spec
file of the data folder, and on its tables of MaStar, and writes what came out of each.

Usage: python benchmarks/emulator_6_files.py [--quick] [--data FOLDER]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from _record import ROOT, record
from starnet.catalog import read_table
from starnet.inference import flag_words

DATA = Path(os.environ.get("STARNET_TEST_DATA", ROOT.parent / "shared" / "data"))
GLOBS = (
    "apogee/apStar/*.fits",
    "apogee/aspcapStar/*.fits",
    "apogee/apVisit/*.fits",
    "sdss/*.fits",
)
SHOWN = ("teff", "logg", "fe_h")


def main() -> None:
    """Predict, print, record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--quick", action="store_true", help="three files of each kind")
    asked = parser.parse_args()
    groups = [sorted(asked.data.glob(pattern)) for pattern in GLOBS]
    files = [path for group in groups for path in (group[:3] if asked.quick else group)]
    if not files:
        sys.exit(f"There are no survey files in {asked.data}; give their folder with --data.")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "labels.ecsv"
        start = time.perf_counter()
        words = [sys.executable, "-m", "starnet", "predict", *map(str, files), "--out", str(out)]
        subprocess.run(words, check=True)
        seconds = time.perf_counter() - start
        table = read_table(out)
    rows = [_row(table, i) for i in range(len(table))]
    for row in rows:
        print("  ".join(str(value) for value in row.values()))
    flagged = int(np.count_nonzero(np.asarray(table["flag"])))
    figures: dict[str, Any] = {"n_files": len(files), "n_rows": len(rows), "n_flagged": flagged}
    figures["n_unflagged"] = len(rows) - flagged
    if not asked.quick:
        record("emulator", 6, {**figures, "table": rows}, seed=None, seconds=round(seconds, 1))


def _row(table: Any, i: int) -> dict[str, Any]:
    """What the table of the record says of one spectrum."""
    row: dict[str, Any] = {
        "file": Path(str(table["file"][i])).name,
        "id": str(table["id"][i]),
        "kind": str(table["kind"][i]),
        "snr": _number(table["snr"][i], 1),
    }
    for name in SHOWN:
        for column in (name, f"{name}_err"):
            known = column in table.colnames
            row[column] = _number(table[column][i], 0 if name == "teff" else 2) if known else None
    row["chi2"] = _number(table["chi2"][i], 2) if "chi2" in table.colnames else None
    row["model"] = str(table["model"][i])
    row["flags"] = flag_words(int(table["flag"][i]))
    return row


def _number(value: Any, digits: int) -> float | None:
    number = float(getattr(value, "value", value))
    return round(number, digits) if np.isfinite(number) else None


if __name__ == "__main__":
    main()
