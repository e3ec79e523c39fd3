"""Networks trained alike and tested on observed-looking APOGEE stars of another line list.

    python benchmarks/bench_2_architectures.py --out FOLDER [--data MOCK.zarr] [--training SET.zarr]

Runs the suite ``architectures``: 20,000 spectra of the shipped emulator to learn from, stars by
the plan ``mock-apogee`` to test, which is made in FOLDER if it is not given. What is there already
is not computed again.
"""

from __future__ import annotations

from typing import Any

from _record import record
from _suites import arguments, everything, failures, rounded, run


def main() -> None:
    """Run the suite and keep its figures."""
    options = arguments(__doc__.splitlines()[0], "data", "training")
    done, tables = run("architectures", options.out, options,
                       data=options.data, training=options.training)  # fmt: skip
    figures: dict[str, Any] = {}
    for row in everything(tables.scores):
        own = figures.setdefault(str(row["method"]), {})
        own[str(row["label"])] = {
            "median": rounded(row, "median"),
            "scatter": rounded(row, "scatter"),
            "scatter_err": rounded(row, "scatter_err"),
            "scatter_spread": rounded(row, "scatter_spread") if row["seeds"] > 1 else None,
        }
        own |= {
            "per_s": round(float(row["per_s"])),
            "train_s": round(float(row["train_s"])),
            "seeds": int(row["seeds"]),
            "n_train": round(float(row["n_train"])),
            "n": int(row["n"]),
        }
    if options.dry:
        print(figures)
        return
    record("bench", 2, figures, seed=done.suite.seeds[0], failed=failures(done),
           about=dict(done.about), quick=options.quick)  # fmt: skip


if __name__ == "__main__":
    main()
