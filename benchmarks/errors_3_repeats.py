"""Figure 3 of `errors`: scatter of repeat visits over the errors that were quoted for them.

    python benchmarks/errors_3_repeats.py --data FOLDER [--optical optical] [--apogee apogee]

FOLDER holds ``lamost`` and ``apogee/apStar``. ``lamost.LABEL`` and ``apogee.LABEL`` are
`starnet.evaluate.repeat_ratio` of the part of the errors that repeats can show (``*_err_noise``:
learnt from pairs of made visits, and never fitted to real ones); ``whole`` holds the same of the
whole quoted error. LAMOST: visits at one position (3 arcsec) are one star. Spectra whose star is
flagged, or whose label is, do not count; a label is measured if half of the good spectra have it
without a flag. ``error`` is the ratio's own standard error. APOGEE: the visits in apStar files. Of
those files two stars alone are within the model's range and not flagged, a giant with three visits
and an eclipsing binary in two reductions: ``apogee`` is of these, and says little.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import starnet
from _record import record
from _references import DATA
from starnet.errors import DataError, StarNetError
from starnet.evaluate import repeat_ratio
from starnet.inference import load_predictor
from starnet.inference.flags import of_the_star
from starnet.surveys import ReadOptions, read_file, stars_by_position

Array = NDArray[Any]


def visits(folder: Path, pattern: str, model: str, **options: Any) -> dict[str, Array]:
    """Values, errors, flags and stars of all spectra that the model takes."""
    predictor = load_predictor(model, adapts=True)
    parts: dict[str, list[Array]] = {}
    for file in sorted(folder.rglob(pattern)):
        try:
            spectra = read_file(file, options=ReadOptions(**options))
            chosen, ready = predictor.assign(spectra)
            found = chosen.predict(ready)
        except StarNetError as error:
            print(f"{file.name}: {error}")
            continue
        row = {
            "values": found.labels.values,
            "whole": found.labels.errors,
            "noise": found.noise,
            "flags": found.flags,
            "star_flags": of_the_star(found.flags, found.labels.names),
            "snr": found.snr,
            "star": np.asarray(found.meta["star"], dtype=str),
            "ra": np.asarray(found.meta["ra"], dtype=float),
            "dec": np.asarray(found.meta["dec"], dtype=float),
        }
        for name, value in row.items():
            parts.setdefault(name, []).append(value)
    return {name: np.concatenate(column) for name, column in parts.items()}


def ratios(found: dict[str, Array], names: tuple[str, ...], star: Array) -> dict[str, Any]:
    """Figures of all labels, by what."""
    good = found["star_flags"] == 0
    out: dict[str, Any] = {"ratio": {}, "whole": {}, "error": {}, "pairs": {}, "stars": {}}
    out["quoted"], out["not_measured"] = {}, []
    for i, name in enumerate(names):
        rows = good & (found["flags"][:, i] == 0)
        if rows.sum() < 0.5 * good.sum():
            out["not_measured"].append(name)
            continue
        try:
            seen, whole = (
                repeat_ratio(found["values"][rows, i, None], found[k][rows, i, None], star[rows])
                for k in ("noise", "whole")
            )
        except DataError as error:
            out["not_measured"].append(f"{name} ({error})")
            continue
        out["ratio"][name] = round(float(seen.ratio[0]), 3)
        out["whole"][name] = round(float(whole.ratio[0]), 3)
        out["error"][name] = round(float(seen.error[0]), 3)
        out["pairs"][name], out["stars"][name] = int(seen.n_pairs[0]), int(seen.n_stars[0])
        out["quoted"][name] = float(f"{np.nanmedian(found['noise'][rows, i]):.3g}")
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--optical", default="optical")
    parser.add_argument("--apogee", default="apogee")
    parser.add_argument("--dry", action="store_true", help="record nothing")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    results, beside = {}, {}
    lamost = visits(arguments.data / "lamost", "*.fits*", arguments.optical)
    apogee = visits(arguments.data / "apogee" / "apStar", "*.fits", arguments.apogee, visits=True)
    groups = {"lamost": lamost, "apogee": apogee}
    for key, found in groups.items():
        model = arguments.optical if key == "lamost" else arguments.apogee
        star = (
            stars_by_position(found["ra"], found["dec"], found["star"])
            if key == "lamost"
            else found["star"]
        )
        out = ratios(found, starnet.load(model).labels, np.asarray(star))
        results[key] = out.pop("ratio")
        out["spectra"], out["good"] = len(star), int((found["star_flags"] == 0).sum())
        beside[key] = out
        print(key, out["spectra"], "spectra,", out["good"], "good; not measured:",
              ", ".join(out["not_measured"]))  # fmt: skip
        for name, value in results[key].items():
            print(f"  {name:6s} {value:6.2f} +- {out['error'][name]:.2f}  whole "
                  f"{out['whole'][name]:.2f}  quoted {out['quoted'][name]:g}  "
                  f"{out['pairs'][name]} pairs of {out['stars'][name]} stars")  # fmt: skip
    if not arguments.dry:
        record("errors", 3, results, seed=0, beside=beside)


if __name__ == "__main__":
    main()
