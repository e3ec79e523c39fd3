"""PySME's time for a star, for the benchmarks that compare with it.

    python benchmarks/_pysme.py ATMOSPHERE LINES [--processes 2]

PySME uses one core, so on several cores as many processes run at the same time, each with a star of
its own; each makes one spectrum first that is not timed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np

H_BAND = (15100.0, 17000.0)
R_GRID = 300_000.0


def time_pysme(
    atmosphere: Any,
    lines: Any,
    *,
    span: tuple[float, float] = H_BAND,
    resolution: float = R_GRID,
    runs: int = 2,
    processes: int = 1,
    hydrogen: bool = False,
) -> dict[str, Any]:
    """Seconds that PySME takes for a star, and spectra per second of all processes together.

    Parameters
    ----------
    atmosphere, lines : path
        What `starnet.synthesis.engines.pysme.PySME` takes; one atmosphere.
    span : (start, stop)
        Vacuum Angstrom, on pixels of wavelength / ``resolution``.
    runs : int
        Timed spectra of each process, after one that warms up.
    """
    job = (str(atmosphere), str(lines), span, resolution, runs, hydrogen)
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        results = list(pool.map(_timed, [job] * processes))
    per_star = [statistics.median(result["seconds"]) for result in results]
    return {
        "seconds_per_star": statistics.median(per_star),
        "per_s": sum(1.0 / seconds for seconds in per_star),
        "first_s": results[0]["first"],
        "processes": processes,
        "runs": [result["seconds"] for result in results],
        "pixels": results[0]["pixels"],
        "lines": results[0]["lines"],
        "version": results[0]["version"],
    }


def _timed(job: tuple[str, str, tuple[float, float], float, int, bool]) -> dict[str, Any]:
    from starnet.spectra import Labels, WavelengthGrid
    from starnet.synthesis.atmospheres import read_atmosphere
    from starnet.synthesis.engines.pysme import PySME

    atmosphere, lines, span, resolution, runs, hydrogen = job
    model = read_atmosphere(atmosphere)
    engine = PySME(model, lines, hydrogen=hydrogen, resolution=resolution)
    n = int(np.log(span[1] / span[0]) * resolution)
    grid = WavelengthGrid(span[0] * np.exp(np.arange(n) / resolution), "vacuum")
    # other abundances every time, so that nothing can be kept from one star to the next
    labels = Labels(
        ("teff", "logg", "fe_h"),
        np.array([[model.teff, model.logg, 0.01 * i] for i in range(runs + 1)]),
    )
    seconds = []
    for i in range(runs + 1):
        begin = time.perf_counter()
        engine.emergent(labels[i], grid, outside="clamp")
        seconds.append(time.perf_counter() - begin)
    return {
        "first": seconds[0],
        "seconds": seconds[1:],
        "pixels": n,
        "lines": len(engine.near(grid.wavelength)),
        "version": engine.describe()["version"],
    }


def main() -> None:
    """Print the times as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("atmosphere", help="a MARCS or Kurucz model")
    parser.add_argument("lines", help="a line list of any format that is read")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--runs", type=int, default=2)
    given = parser.parse_args()
    found = time_pysme(given.atmosphere, given.lines, runs=given.runs, processes=given.processes)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
