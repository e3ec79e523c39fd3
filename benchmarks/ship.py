"""Puts a trained model or emulator into the package, with its card.

    python benchmarks/ship.py emulators apogee FOLDER
    python benchmarks/ship.py models apogee FOLDER

The card says what `cards.yaml` says, and what the benchmarks measured. A reader gets its novelty
score here, of spectra drawn as its recipe says, and its errors are calibrated on such spectra
unless they are already (the APOGEE model's by `errors_1_coverage.py --calibrate`).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

import yaml

from _record import RESULTS
from starnet.artifact import Model, load_model
from starnet.inference import Predictor
from starnet.inference.calibration import Calibration
from starnet.inference.drawn import draw_spectra
from starnet.inference.novelty import Novelty
from starnet.models import Reader
from starnet.synthesis.emulator import Emulator
from starnet.training.emulate import portable

HERE = Path(__file__).resolve().parent
SHIPPED = HERE.parent / "src" / "starnet" / "shipped"
N_DRAWN, SEED = 4000, 31


def measured(key: str) -> dict[str, Any]:
    """Scatter of the errors by signal to noise and label, from a result file."""
    path = RESULTS / f"{key}.json"
    if not path.is_file():
        return {}
    figures = json.loads(path.read_text())
    if "bias" in figures and "teff" in figures["bias"]:
        return {name: figures[name] for name in ("bias", "scatter")}
    return {f"scatter at S/N {snr[1:]}": row for snr, row in figures["scatter"].items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("kind", choices=["emulators", "models"])
    parser.add_argument("name")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--score", action="store_true", help="fit novelty and calibration")
    args = parser.parse_args()
    text = yaml.safe_load((HERE / "cards.yaml").read_text())[args.kind][args.name]
    out = SHIPPED / args.kind / args.name
    if args.kind == "emulators":
        emulator = Emulator.load(args.folder)
        card = {**emulator.card, "failures": text["failures"]}
        about = dict(emulator.provenance)
        about["library"] = portable(about["library"])
        shipped = dataclasses.replace(emulator, card=card, provenance=about)
        shipped.save(out, overwrite=True, half=True)
        return
    model = load_model(args.folder)
    bounds = zip(model.labels, model.scale.low, model.scale.high, strict=True)
    card = {
        **model.provenance.get("card", {}),
        "training_set": text["training_set"],
        "bounds": {name: [round(a, 4), round(b, 4)] for name, a, b in bounds},
        "accuracy": measured(text["figures"]) if "figures" in text else {},
        "failures": text["failures"],
    }
    provenance = {**model.provenance, "card": card}
    shipped = dataclasses.replace(
        model,
        name=args.name,
        provenance=provenance,
        error_floor=text.get("error_floor", {}),
    )
    if args.score and isinstance(model.network, Reader):
        shipped = scored(shipped)
    shipped.save(out, overwrite=True, half=True)


def scored(model: Model) -> Model:
    """A reader with novelty score and calibrated errors."""
    emulator = Emulator.load(model.provenance["card"]["emulator"])
    plain = dataclasses.replace(model, novelty={}, error_floor={})
    if not model.calibration:
        spectra, truth = draw_spectra(plain, emulator, N_DRAWN, seed=SEED)
        found = Predictor(plain, compares=False).predict(spectra)
        strata = {name: found.labels.column(name) for name in ("teff", "fe_h")}
        about = {"spectra": len(spectra), "made": "drawn as the recipe says, by the emulator"}
        made = Calibration.fit(found.labels, truth, strata | {"snr": found.snr}, about=about)
        model = dataclasses.replace(model, calibration=made.to_dict())
    made = Novelty.fit(Predictor(plain, adapts=True, emulator=emulator), seed=SEED)
    return dataclasses.replace(model, novelty=made.to_dict())


if __name__ == "__main__":
    main()
