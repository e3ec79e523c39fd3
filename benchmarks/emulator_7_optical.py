"""Labels of MILES stars by the optical model, which has seen no observed spectrum.

    python benchmarks/emulator_7_optical.py --data FOLDER

MILES spectra (FWHM 2.5 A) are resampled to the model's pixels. Stars lie within 4200-6600 K and
[Fe/H] -1.5 to 0.4; bias is the median of predicted minus library label, scatter the robust one.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import starnet
from _record import record
from starnet.dataset import build, find_labels, open_dataset
from starnet.evaluate import robust_scatter

MAIN = ("teff", "logg", "fe_h")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the MILES library")
    parser.add_argument("--model", default="optical")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "miles.zarr"
        build(args.data, find_labels(args.data), store)
        data = open_dataset(store)
        labels = data.labels.select(MAIN)
        teff, _, fe_h = labels.values.T
        chosen = labels.complete & (teff > 4200) & (teff < 6600) & (fe_h > -1.5) & (fe_h < 0.4)
        rows = np.flatnonzero(chosen)
        spectra = data.read(rows)
    predictor: Any = starnet.load(args.model)
    found = predictor.predict(predictor.adapt(spectra)).labels
    figures: dict[str, Any] = {"bias": {}, "scatter": {}, "over_error": {}}
    for name in MAIN:
        gap = found.column(name) - labels.column(name)[rows]
        error = found.errors[:, found.index(name)]
        figures["bias"][name] = round(float(np.nanmedian(gap)), 4)
        figures["scatter"][name] = round(float(robust_scatter(gap)), 4)
        figures["over_error"][name] = round(float(robust_scatter(gap / error)), 3)
    print(figures)
    record("emulator", 7, figures, seed=None, n_stars=len(rows))


if __name__ == "__main__":
    main()
