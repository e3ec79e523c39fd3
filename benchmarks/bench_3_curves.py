"""Scatter against the number of training stars, on MILES and on mock APOGEE stars.

    python benchmarks/bench_3_curves.py --out FOLDER --miles FOLDER [--mock MOCK.zarr]

Runs the suites ``small-training-set`` (on stars of the plan ``mock-apogee``, made in --out if they
are not given) and ``small-training-set-miles``; the latter only with --miles. What is there already
is not computed again.
"""

from __future__ import annotations

from typing import Any

from _record import record
from _suites import arguments, everything, failures, rounded, run
from starnet.evaluate.bench import Tables

OURS = "starnet-finetuned"


def curves(tables: Tables) -> dict[str, Any]:
    """Scatter by size, method and label."""
    figures: dict[str, Any] = {}
    for row in everything(tables.scores):
        size = str(row["size"]) if row["n_train"] > 0 else "none"
        own = figures.setdefault(size, {}).setdefault(str(row["method"]), {})
        own[str(row["label"])] = rounded(row, "scatter")
        own[f"{row['label']}_err"] = rounded(row, "scatter_err")
    return figures


def beaten(figures: dict[str, Any]) -> list[str]:
    """Where another method is ahead of ours, or ours is not there."""
    out = []
    for size, methods in figures.items():
        if OURS not in methods:
            out.append(f"{size}: {OURS} is not there")
            continue
        ours = methods[OURS]
        for method, labels in methods.items():
            out += [
                f"{size}: {method} {name} {value} < {ours[name]}"
                for name, value in labels.items()
                if not name.endswith("_err") and value < ours[name]
            ]
    return out


def main() -> None:
    """Run both suites and keep their figures."""
    options = arguments(__doc__.splitlines()[0], "mock", "miles")
    suites = {"apogee-mock": ("small-training-set", options.mock)}
    if options.miles:
        suites["miles"] = ("small-training-set-miles", options.miles)
    figures, failed, ahead = {}, {}, {}
    for name, (suite, data) in suites.items():
        done, tables = run(suite, options.out / suite, options, data=data)
        figures[name], failed[name] = curves(tables), failures(done)
        ahead[name] = beaten(figures[name])
        print(f"{name}: other methods are ahead of {OURS} at {len(ahead[name])} places")
        print("\n".join(ahead[name]))
    if options.dry:
        print(figures)
        return
    record("bench", 3, figures, seed=0, ahead_of_ours=ahead, failed=failed, quick=options.quick)


if __name__ == "__main__":
    main()
