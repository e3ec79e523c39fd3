"""Figure 5 of `physics`: spectra per second, the H band on a grid of R = 300,000, against PySME.

    python benchmarks/physics_5_speed.py [--cores 2]

The line list of the references (43,252 lines), the MARCS Sun, no lines of hydrogen, and other
abundances for every spectrum. PySME uses one core, so as many processes as cores run at the same
time; the first spectrum of each is not timed. Ours is one process with as many threads, in batches
of 16 stars. ``one_star`` is ours without batches; ``library`` is what `starnet synth` asks for:
atmospheres from the emulator, hydrogen, the default lines. The first call's compilation is timed
apart, in a fresh cache folder.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import torch

from _record import record
from _references import PHYSICS, fine, reference_lines, sun_model
from starnet.spectra import Labels, WavelengthGrid
from starnet.synthesis import build_synthesizer
from starnet.synthesis.lte.synthesizer import LteSynthesizer
from starnet.synthesis.lte.tables import Tables

H_BAND = (15100.0, 17000.0)
NAMES = ("teff", "logg", "fe_h", "mg_fe", "c_fe", "vmic")
BATCH = 16
RUNS = 3
COMPILE = """
import time
from starnet.synthesis.lte import formal, linesum
start = time.perf_counter()
assert linesum.is_compiled() and formal._library() is not None
print(time.perf_counter() - start)
"""


def stars(n: int, seed: int) -> Labels:
    """The Sun with other abundances."""
    rng = np.random.default_rng(seed)
    model = sun_model()
    values = np.zeros((n, len(NAMES)))
    values[:, :2] = model.teff, model.logg
    values[:, 2:5] = rng.uniform(-0.3, 0.3, (n, 3))
    values[:, 5] = rng.uniform(0.9, 1.5, n)
    return Labels(NAMES, values)


def grid() -> WavelengthGrid:
    """The H band."""
    return WavelengthGrid(fine(*H_BAND), "vacuum")


def pysme(job: int) -> list[float]:
    """Seconds for each of a few stars, in a process of its own."""
    from starnet.synthesis.engines.pysme import PySME

    engine = PySME(sun_model(), reference_lines(), hydrogen=False)
    return [timed(engine, stars(1, seed=10 * job + i)) for i in range(RUNS)][1:]


def timed(engine: object, labels: Labels) -> float:
    """Seconds for a batch."""
    start = time.perf_counter()
    engine.emergent(labels, grid(), outside="clamp")  # type: ignore[attr-defined]
    return time.perf_counter() - start


def ours(engine: object, n: int) -> float:
    """Spectra per second in batches of n, the median of a few; the first does not count."""
    seconds = [timed(engine, stars(n, seed=100 + i)) for i in range(RUNS + 1)][1:]
    return n / statistics.median(seconds)


def compile_seconds() -> float:
    """Seconds to compile what is compiled, with nothing kept."""
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"XDG_CACHE_HOME": cache}
        command = [sys.executable, "-c", COMPILE]
        found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(found.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cores", type=int, default=2)
    cores = parser.parse_args().cores
    torch.set_num_threads(cores)
    tables = Tables.open(PHYSICS / "tables")
    model = sun_model()
    plain = LteSynthesizer(model, reference_lines(), tables, hydrogen=False, scale="tau_5000")
    library = build_synthesizer("lte", physics=str(PHYSICS))
    figures = {
        "compile_s": compile_seconds(),
        "per_s_cpu": ours(plain, BATCH),
        "one_star_per_s": ours(plain, 1),
        "library_per_s": ours(library, BATCH),
    }
    with ProcessPoolExecutor(cores, get_context("spawn")) as pool:
        runs = list(pool.map(pysme, range(cores)))
    theirs = sum(1 / statistics.median(seconds) for seconds in runs)
    figures |= {"ratio_pysme": figures["per_s_cpu"] / theirs, "pysme_per_s": theirs}
    gpu = None
    if torch.cuda.is_available():
        on_gpu = LteSynthesizer(
            model, reference_lines(), tables, hydrogen=False, scale="tau_5000", device="cuda"
        )
        gpu = ours(on_gpu, BATCH)
    figures["per_s_gpu"] = gpu
    for name, value in figures.items():
        print(f"{name:16s} {value}")
    record("physics", 5, figures, seed=0, cores=cores, pysme_seconds=runs)


if __name__ == "__main__":
    main()
