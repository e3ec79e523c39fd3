"""Figure 4 of `physics`: derivatives by labels against finite differences.

    python benchmarks/physics_4_gradients.py [--physics FOLDER]

Three stars, the H band at R = 22,500, derivatives by teff, logg, vmic and 18 abundances in forward
mode, against central differences of the engine's own spectra. The emulator of atmospheres is made
of leaky ReLUs, so its response bends every few hundredths of a dex: labels that move the atmosphere
have steps small enough to stay between bends. A response is significant where it is above a fifth
of the label's largest, and above what rounding of single precision makes of the difference.
``worst_relative`` is the largest relative difference over all stars, labels and significant pixels;
the medians and the share within 2 % are beside it.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from _record import record
from _references import PHYSICS, smooth
from starnet.spectra import WavelengthGrid
from starnet.synthesis import build_synthesizer
from starnet.synthesis.composition import TRACERS
from starnet.synthesis.observe import Instrument

ELEMENTS = "c n o na mg al si s k ca ti v cr mn co ni ce".split()
NAMES = ("teff", "logg", "fe_h", *(f"{x}_fe" for x in ELEMENTS), "vmic")
STEPS = {"teff": 2.0, "logg": 0.004, "fe_h": 0.004, "vmic": 0.05}
ALPHA_STEP = 0.01  # of elements that move the atmosphere through its alpha enhancement
STARS = {
    "dwarf": (5777.0, 4.44, 0.0, 1.0),
    "clump": (4750.0, 2.5, -0.2, 1.5),
    "giant": (4250.0, 1.5, -0.5, 1.8),
}
RESOLUTION = 22_500.0
SIGNIFICANT = 0.2
NOISE = 5e-7
"""Of flux at this resolving power, from sums in single precision and lines cut off."""


def point(star: tuple[float, ...]) -> np.ndarray:
    """The labels of a star in the order of `NAMES`."""
    teff, logg, fe_h, vmic = star
    return np.array([teff, logg, fe_h, *[0.0] * len(ELEMENTS), vmic])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--physics", default=str(PHYSICS))
    synthesizer = build_synthesizer("lte", physics=parser.parse_args().physics)
    fine = synthesizer.fine_grid(Instrument.preset("apogee").grid)
    step = float(np.log(fine.wavelength[1] / fine.wavelength[0]))
    table: dict[str, dict[str, dict[str, float]]] = {}
    for star, values in STARS.items():
        table[star] = compare(synthesizer, point(values), fine, step)
        print(star, {k: round(v["worst"], 4) for k, v in table[star].items()})
    cells = [cell for row in table.values() for cell in row.values()]
    worst = max(cell["worst"] for cell in cells)
    pixels = sum(cell["pixels"] for cell in cells)
    within = sum(cell["within_2_percent"] * cell["pixels"] for cell in cells) / pixels
    record(
        "physics",
        4,
        {"worst_relative": worst, "share_within_2_percent": within},
        seed=None,
        by_star_and_label=table,
    )


def compare(
    synthesizer: object, labels: np.ndarray, fine: WavelengthGrid, step: float
) -> dict[str, dict[str, float]]:
    """For each label the worst and the median relative difference over significant pixels."""
    exact = synthesizer.jacobian(labels, NAMES, fine)  # type: ignore[attr-defined]
    out = {}
    for k, name in enumerate(NAMES):
        h = STEPS.get(name, ALPHA_STEP if name[:-3].capitalize() in TRACERS else 0.03)
        slope = smooth(difference(synthesizer, labels, k, h, fine), RESOLUTION, step)
        ours = smooth(exact[k].astype(float), RESOLUTION, step)
        floor = max(SIGNIFICANT * np.abs(ours).max(), 50 * NOISE / h)
        chosen = np.abs(ours) > floor
        if not chosen.any():
            out[name] = {"worst": 0.0, "median": 0.0, "within_2_percent": 1.0, "pixels": 0}
            continue
        gap = np.abs(slope - ours)[chosen] / np.abs(ours)[chosen]
        out[name] = {
            "worst": float(gap.max()),
            "median": float(np.median(gap)),
            "within_2_percent": float(np.mean(gap < 0.02)),
            "pixels": int(chosen.sum()),
        }
    return out


def difference(
    synthesizer: object, labels: np.ndarray, k: int, h: float, fine: WavelengthGrid
) -> np.ndarray:
    """Central difference of fourth order."""
    rows = np.tile(labels, (4, 1))
    rows[:, k] += np.array([-2, -1, 1, 2]) * h
    with torch.no_grad():
        flux = synthesizer(torch.as_tensor(rows), NAMES, fine)  # type: ignore[operator]
    far_low, low, high, far_high = flux.normalized.double().numpy()
    return (far_low - 8 * low + 8 * high - far_high) / (12 * h)


if __name__ == "__main__":
    main()
