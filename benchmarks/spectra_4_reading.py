"""Figure 4 of `spectra`: apStar files read per second on one core, against specutils' loader.

    python benchmarks/spectra_4_reading.py [FOLDER]

FOLDER holds apStar files (by default the real ones of the tests' data). The readers get the same
files in turn, round after round, with the files in the cache and one thread each; the median of
the rounds counts. specutils' loader is called by name, so that its search for a format does not
count against it. It ends in arrays of wavelength, flux and error and leaves the mask alone;
``specutils_with_mask_files_per_s`` is with the mask taken from the file as its user would, with
astropy. Ours finds out the survey, ends in all four, reads the metadata and checks that the file
is whole. Files that specutils cannot read (those of one visit) are left out.
"""

from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import sys  # noqa: E402
import time  # noqa: E402
import warnings  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402
from statistics import median  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
from astropy.io import fits  # noqa: E402
from specutils import Spectrum  # noqa: E402

from _record import ROOT, record  # noqa: E402
from starnet.surveys import find, read_file  # noqa: E402

DATA = Path(os.environ.get("STARNET_TEST_DATA", ROOT.parent / "shared" / "data"))
BAD_BITS = sum(1 << bit for bit in (0, 1, 2, 3, 4, 5, 6, 7, 14))
ROUNDS = 25
Arrays = tuple[Any, Any, Any, Any]


def ours(path: Path) -> Arrays:
    """Wavelength, flux, error, mask by StarNet."""
    spectra = read_file(path)
    return spectra.grid.wavelength, spectra.flux[0], spectra.error[0], spectra.mask[0]


def theirs(path: Path) -> Arrays:
    """Wavelength, flux and error by specutils."""
    spectrum = Spectrum.read(path, format="APOGEE apStar")
    assert spectrum.uncertainty is not None
    wave = spectrum.spectral_axis.to_value("Angstrom")
    return wave, spectrum.flux.value, spectrum.uncertainty.array, None


def with_mask(path: Path) -> Arrays:
    """The same, and the mask by astropy."""
    wave, flux, error, _ = theirs(path)
    with fits.open(path) as hdus:
        pixels: Any = hdus[3]
        mask = (pixels.data[0] & BAD_BITS) != 0
    return wave, flux, error, mask


def readable(paths: list[Path]) -> list[Path]:
    """Files of which both readers give the same arrays."""
    kept = []
    for path in paths:
        try:
            wave, flux, error, _ = with_mask(path)
        except IndexError:
            print(f"left out, specutils fails on its single row: {path.name}")
            continue
        mine = ours(path)
        good = ~mine[3]
        assert np.allclose(mine[0], wave, rtol=1e-9)
        assert np.allclose(mine[1], flux)
        assert np.allclose(mine[2][good], error[good], rtol=1e-5)
        kept.append(path)
    return kept


def seconds(read: Callable[[Path], Arrays], paths: list[Path]) -> float:
    """Wall time to read all files once."""
    start = time.perf_counter()
    for path in paths:
        read(path)
    return time.perf_counter() - start


def main() -> None:
    """Run, print and record."""
    warnings.simplefilter("ignore")  # specutils has some about units
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DATA / "apogee" / "apStar"
    paths = readable(find(folder))
    readers = {"": ours, "specutils_": theirs, "specutils_with_mask_": with_mask}
    times: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(ROUNDS):
        for name, read in readers.items():
            times[name].append(seconds(read, paths))
    figures = {f"{name}files_per_s": round(len(paths) / median(t), 1) for name, t in times.items()}
    ratios = [b / a for a, b in zip(times[""], times["specutils_"], strict=True)]
    figures["ratio"] = round(median(ratios), 2)
    for name, value in figures.items():
        print(f"{name:42s} {value:8.1f}")
    record(
        "spectra",
        4,
        figures,
        seed=None,
        files=len(paths),
        megabytes_per_file=round(sum(p.stat().st_size for p in paths) / len(paths) / 1e6, 2),
        rounds=ROUNDS,
        ratio_quartiles=[round(float(q), 2) for q in np.percentile(ratios, [25, 75])],
        load_average=round(os.getloadavg()[0], 1),
    )


if __name__ == "__main__":
    main()
