"""Networks trained alike and tested on observed-looking APOGEE stars of another line list.

    python benchmarks/bench_2_architectures.py --out FOLDER [--data MOCK.zarr] [--training SET.zarr]

Runs the suite ``architectures``: 5,000 and 20,000 spectra of the shipped emulator to learn from,
stars by the plan ``mock-apogee`` to test, which is made in FOLDER if it is not given. What is there
already is not computed again. ``per_s`` is measured at the end, on one core, all networks in turn
in each of several rounds; the median counts. ``gain`` is by how much of its scatter a network is
below the network of 2018, and ``best_gain`` the least of the three labels' gains, of the network
where that is largest among those that are no slower than it.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch

from _record import record
from _suites import arguments, everything, failures, rounded, run
from starnet.evaluate.bench import Suite
from starnet.models import apply_network, build_network, gather

FIRST = "starnet-2018"
SPECTRA, ROUNDS, N_PIXELS = 1024, 7, 7214


def speeds(suite: Suite) -> dict[str, float]:
    """Spectra per second of each network on one core, side by side; of equal ones the same."""
    inputs = np.random.default_rng(0).normal(1.0, 0.1, (SPECTRA, 1, N_PIXELS)).astype(np.float32)
    sizes = {"n_pixels": N_PIXELS, "n_labels": len(suite.labels), "n_channels": 1}
    torch.set_num_threads(1)
    networks, same = {}, {}
    for name, entry in suite.methods.items():
        members = [m for m in entry.settings["networks"] for _ in range(entry.settings["copies"])]
        built = [build_network({**m, **sizes}, seed=0) for m in members]
        same[name] = str([(type(each).__name__, each.config) for each in built])
        networks[same[name]] = gather(built)
    took: dict[str, list[float]] = {name: [] for name in networks}
    for network in networks.values():
        apply_network(network, inputs[:128])  # compiles
    for _ in range(ROUNDS):
        for name, network in networks.items():
            begun = time.perf_counter()
            apply_network(network, inputs)
            took[name].append(time.perf_counter() - begun)
    return {name: SPECTRA / float(np.median(took[which])) for name, which in same.items()}


def gains(figures: dict[str, Any], labels: tuple[str, ...]) -> None:
    """Put into each network's figures how far its scatter is below that of the network of 2018."""
    first = figures.get(FIRST)
    for own in figures.values() if first else ():
        own["gain"] = {n: round(1 - own[n]["scatter"] / first[n]["scatter"], 4) for n in labels}


def best(figures: dict[str, Any]) -> tuple[str | None, float | None]:
    """The network, no slower than that of 2018, whose least gain is largest; and that gain."""
    slowest = figures[FIRST]["per_s"] if FIRST in figures else float("inf")
    able = {k: v for k, v in figures.items() if v["per_s"] >= slowest and k != FIRST}
    least = {name: min(own["gain"].values()) for name, own in able.items()}
    if not least:
        return None, None
    name = max(least, key=lambda k: least[k])
    return name, least[name]


def main() -> None:
    """Run the suite and keep its figures."""
    options = arguments(__doc__.splitlines()[0], "data", "training")
    done, tables = run("architectures", options.out, options,
                       data=options.data, training=options.training)  # fmt: skip
    figures: dict[int, dict[str, Any]] = {}
    for row in everything(tables.scores):
        own = figures.setdefault(int(row["size"]), {}).setdefault(str(row["method"]), {})
        own[str(row["label"])] = {
            "median": rounded(row, "median"),
            "scatter": rounded(row, "scatter"),
            "scatter_err": rounded(row, "scatter_err"),
            "scatter_spread": rounded(row, "scatter_spread") if row["seeds"] > 1 else None,
        }
        own |= {
            "train_s": round(float(row["train_s"])),
            "seeds": int(row["seeds"]),
            "n_train": round(float(row["n_train"])),
            "n": int(row["n"]),
        }
    speed = speeds(done.suite)
    for methods in figures.values():
        for name, own in methods.items():
            own["per_s"] = round(speed[name])
        gains(methods, done.labels)
    most = max(figures)
    name, gain = best(figures[most])
    print(f"best of those that are no slower, at {most}: {name}, {gain}")
    fewer = {f"at_{size}": methods for size, methods in figures.items() if size != most}
    if options.dry:
        print(figures)
        return
    record("bench", 2, {**figures[most], "best_gain": gain, **fewer}, seed=done.suite.seeds[0],
           best=name, failed=failures(done), about=dict(done.about), notes=list(done.notes),
           quick=options.quick)  # fmt: skip


if __name__ == "__main__":
    main()
