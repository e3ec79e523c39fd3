"""A small emulator whose spectra are linear in its labels, and a network that inverts them."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from astropy.table import Table
from torch import nn

from starnet.artifact import Model
from starnet.models.emulator import EmulatorConfig, EmulatorNetwork
from starnet.models.registry import register
from starnet.preprocess import Pipeline
from starnet.spectra import LabelScale, LineSpread, Spectra, WavelengthGrid
from starnet.synthesis.emulator import Emulator
from starnet.synthesis.emulator.hull import LabelHull

NAMES = ("teff", "logg", "fe_h")
LOW, HIGH = np.array([3800.0, 0.0, -2.0]), np.array([6800.0, 5.0, 0.5])
CHIPS = ((0, 900), (950, 2000))


def grid(start: float = 4.18, resolution: float = 22500.0) -> WavelengthGrid:
    """2000 pixels of 4 km/s in two chips."""
    spread = LineSpread(resolution=resolution)
    return WavelengthGrid.log10(start, 6e-6, 2000, "vacuum", chips=CHIPS, lsf=spread)


def emulator(start: float = 4.18, seed: int = 0) -> Emulator:
    """80 lines, each of which goes with one of three labels."""
    rng = np.random.default_rng(seed)
    pixel = np.arange(2000)
    centre, depth = rng.uniform(0, 2000, 80), rng.uniform(0.1, 0.5, 80)
    lines = depth[:, None] * np.exp(-0.5 * ((pixel - centre[:, None]) / 1.6) ** 2)
    basis = np.stack([lines[i::3].sum(axis=0) for i in range(3)]) * -0.6
    network = EmulatorNetwork(EmulatorConfig(3, 2000, 3, (4,)))
    state = network.state_dict()
    state |= {
        "low": torch.tensor(LOW).float(),
        "high": torch.tensor(HIGH).float(),
        "mean": torch.tensor(1 - lines.sum(axis=0).clip(0, 0.9)).float(),
        "basis": torch.tensor(basis).float(),
        "head.weight": torch.zeros_like(state["head.weight"]),
        "head.bias": torch.zeros_like(state["head.bias"]),
        "bypass.weight": torch.eye(3),
    }
    network.load_state_dict(state)
    hull = LabelHull(NAMES, LOW, HIGH, np.zeros((0, 4)), np.zeros((0, 4)))
    sharp = replace(grid(start), chips=(), lsf=LineSpread(resolution=30000.0))
    return Emulator(network.eval(), hull, sharp, "stand-in")


@dataclass(frozen=True)
class InverseConfig:
    n_pixels: int
    n_labels: int
    n_channels: int = 1


@register("test-inverse", InverseConfig)
class Inverse(nn.Module):
    """Least squares of flux on the three components, the mean, and the mean times a slope."""

    inverse: torch.Tensor

    def __init__(self, config: InverseConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("inverse", torch.zeros(config.n_pixels, config.n_labels + 2))

    def forward(self, x):
        return self.distribution(x)[0]

    def distribution(self, x):
        found = x[:, 0] @ self.inverse
        mean = found[:, :-2] / found[:, -2:-1]
        return mean, torch.full_like(mean, 0.05)


def model(name: str = "red", start: float = 4.18, seed: int = 0, card: str | None = None) -> Model:
    """A model of the emulator's three labels, on its pixels."""
    own = emulator(start, seed).on(grid(start))
    network = Inverse(InverseConfig(2000, 3))
    mean = own.network.mean
    slope = mean * torch.linspace(-1, 1, 2000)
    design = torch.stack([*own.network.basis, mean, slope])
    network.inverse.copy_(torch.linalg.pinv(design))
    middle, half = (LOW + HIGH) / 2, (HIGH - LOW) / 2
    scale = LabelScale(NAMES, tuple(middle), tuple(half), tuple(LOW), tuple(HIGH))
    about = {"card": {"emulator": card, "training_set": "made up", "failures": ["hot stars"]}}
    return Model(
        network.eval(), scale, Pipeline(()), grid(start), "rest", name=name, provenance=about
    )


def labels_of(n: int, seed: int = 1) -> np.ndarray:
    """Labels (n, 3) well inside."""
    rng = np.random.default_rng(seed)
    return LOW + (HIGH - LOW) * rng.uniform(0.2, 0.8, (n, 3))


def observed(
    labels: np.ndarray, snr: float = 80.0, start: float = 4.18, seed: int = 0, **kw
) -> Spectra:
    """Noisy spectra of these labels, at rest unless ``shift`` (km/s) is given."""
    shift = kw.pop("shift", 0.0)
    own = emulator(start, seed).on(grid(start), shift=shift)
    flux = own.flux(torch.tensor(labels).float()).detach().numpy().astype(float)
    flux *= 1 + 0.1 * np.linspace(-1, 1, 2000)
    rng = np.random.default_rng(5)
    flux = 300.0 * (flux + rng.standard_normal(flux.shape) / snr)
    ivar = np.full(flux.shape, (snr / 300.0) ** 2)
    n = len(flux)
    meta = Table({"id": [f"s{i}" for i in range(n)], "star": [f"s{i}" for i in range(n)]})
    if "rv" in kw:
        meta["rv"] = np.full(n, kw.pop("rv"))
    frame = "observed" if shift or "frame" in kw else "rest"
    return Spectra(grid(start), flux, ivar, frame=kw.pop("frame", frame), meta=meta)


def ship(folder: Path) -> Path:
    """A folder as the package has one: two models, each with an emulator."""
    for name, start, seed in (("red", 4.18, 0), ("blue", 3.7, 3)):
        emulator(start, seed).save(folder / "emulators" / name)
        card = str(folder / "emulators" / name)
        model(name, start, seed, card).save(folder / "models" / name)
    return folder
