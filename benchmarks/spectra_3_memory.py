"""Memory needed to build a data set and to train from it (issue "spectra", number 3).

    python benchmarks/spectra_3_memory.py

A process of its own builds a data set of made-up spectra of 7,214 pixels with `dataset.build`
(each spectrum is made when its made-up file is "read"), trains the 2018 recipe for an epoch on nine
tenths of them with `train_model`, streams one epoch of all of them without a network, and tells its
peak memory (the resident set). A second process does the same with ten times as many spectra.
"""

# The parent imports nothing heavy: a child's peak would start from the parent's.
from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _record import record

N_PIXELS = 7214
NAMES = ("teff", "logg", "fe_h")
BYTES = N_PIXELS * (4 + 4 + 1)
SEED = 3


def main() -> None:
    args = _arguments()
    if args.child:
        print(json.dumps(measure(Path(args.folder), args.n, args.batch_size)))
        return
    folder = Path(tempfile.mkdtemp(prefix="starnet-memory-", dir=args.folder))
    sizes = [args.n, args.n * args.factor] if args.factor > 1 else [args.n]
    needed, free = sizes[-1] * BYTES, shutil.disk_usage(folder).free
    try:
        if free < 1.2 * needed:
            sys.exit(
                f"{needed / 1e9:.0f} GB of disk are needed in {folder}; {free / 1e9:.0f} free."
            )
        runs = [child(folder / f"{n}.zarr", n, args) for n in sizes]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    show(runs)
    if not args.dry:
        figures = {"peak_gb": runs[0]["peak_gb"]}
        if len(runs) > 1:
            figures["peak_gb_10x"] = runs[1]["peak_gb"]
        settings = {"n_pixels": N_PIXELS, "batch_size": args.batch_size, "factor": args.factor}
        record("spectra", 3, figures, seed=SEED, runs=runs, **settings)


def child(out: Path, n: int, args: argparse.Namespace) -> dict[str, Any]:
    """Run `measure` in a process of its own, and remove what it wrote."""
    options = ["--child", "--n", n, "--batch-size", args.batch_size]
    command = [sys.executable, __file__, "--folder", out, *options]
    print(f"building and streaming {n} spectra", flush=True)
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True)
    shutil.rmtree(out, ignore_errors=True)
    if done.returncode:
        sys.exit(f"The run with {n} spectra failed.")
    return json.loads(done.stdout.splitlines()[-1])


def measure(out: Path, n: int, batch_size: int) -> dict[str, Any]:
    """Build, train, stream; seconds and peak memory of each, in this process."""
    import numpy as np
    from astropy.table import Table

    from starnet.dataset import SpectraStream, build, open_dataset
    from starnet.spectra import LabelScale

    peaks, seconds = {"imports": peak_gb()}, {}
    names = [f"star{i:07d}" for i in range(n)]
    values = np.random.default_rng(SEED).uniform((4000, 0, -2), (5500, 4, 0.5), (n, 3))
    labels = Table([names, *values.T], names=("star", *NAMES))
    start = time.perf_counter()
    report = build(names, labels, out, reader=MadeUp(), progress=sys.stderr.isatty())
    seconds["build"] = time.perf_counter() - start
    peaks["build"] = peak_gb()
    assert (report.n_spectra, report.n_dropped) == (n, 0)

    data = open_dataset(out)
    scale = LabelScale.fit(data.labels)
    start = time.perf_counter()
    loss = train(data, batch_size)
    seconds["train"] = time.perf_counter() - start
    peaks["train"] = peak_gb()

    start = time.perf_counter()
    stream = SpectraStream(data, scale=scale)
    streamed = sum(len(batch.inputs) for batch in stream.batches(batch_size, seed=SEED, epoch=1))
    seconds["stream"] = time.perf_counter() - start
    assert streamed == n
    return {
        "n_spectra": n,
        "n_trained": round(0.9 * n),
        "train_loss": loss,
        "disk_gb": sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) / 1e9,
        "peak_gb": peak_gb(),
        "peak_gb_after": peaks,
        "seconds": seconds,
        "per_second": {
            "build": n / seconds["build"],
            "train": 0.9 * n / seconds["train"],
            "stream": n / seconds["stream"],
        },
    }


def train(data: Any, batch_size: int) -> float:
    """One epoch of the 2018 recipe on nine tenths of the spectra, as users train; the loss."""
    from starnet.training import load_recipe, train_model

    settings = {"epochs": 1, "batch_size": batch_size, "seed": SEED, "device": "cpu"}
    recipe = load_recipe("starnet-2018").with_settings(**settings, split=(0.9, 0.1, 0.0))
    result = train_model(data, recipe, progress=False)
    return float(result.histories[0].epochs[-1].train_loss)


class MadeUp:
    """A reader that makes a spectrum up from its name: noise about a continuum, S/N 50."""

    def __init__(self) -> None:
        from starnet.spectra import WavelengthGrid

        self.grid = WavelengthGrid.log10(4.179, 6e-6, N_PIXELS, "vacuum")

    def __call__(self, name: str) -> Any:
        import numpy as np
        from astropy.table import Table

        from starnet.spectra import Spectra

        rng = np.random.default_rng((SEED, int(name.removeprefix("star"))))
        flux = 1 + np.float32(0.02) * rng.standard_normal((1, N_PIXELS), dtype=np.float32)
        ivar = np.float32(2500) * (1 + rng.random((1, N_PIXELS), dtype=np.float32))
        mask = rng.random((1, N_PIXELS), dtype=np.float32) < 0.02
        meta = Table({"id": [name], "star": [name], "file": [f"{name}.fits"], "snr": [50.0]})
        return Spectra(self.grid, flux, ivar, mask, meta=meta)


def peak_gb() -> float:
    """Largest resident set of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e9 if sys.platform == "darwin" else 1e9 / 1024)


def show(runs: list[dict[str, Any]]) -> None:
    """Print the results."""
    from rich.console import Console
    from rich.table import Table

    table = Table("spectra", "disk GB", "peak GB: build", "train", "all", "build /s", "train /s")
    table.add_column("stream /s")
    for run in runs:
        peaks, rates = run["peak_gb_after"], run["per_second"]
        shown = (run["disk_gb"], peaks["build"], peaks["train"], run["peak_gb"])
        speeds = (f"{rates[name]:.0f}" for name in ("build", "train", "stream"))
        table.add_row(str(run["n_spectra"]), *(f"{value:.2f}" for value in shown), *speeds)
    Console().print(table)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--n", type=int, default=20_000, help="spectra of the smaller data set")
    parser.add_argument("--factor", type=int, default=10, help="how much larger the other is")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--folder", help="where to write (13 GB at the default sizes)")
    parser.add_argument("--dry", action="store_true", help="print, and record nothing")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
