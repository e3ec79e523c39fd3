"""A small emulator made up of Gaussian lines, and spectra drawn from it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from astropy.table import Table

from starnet.models.emulator import EmulatorConfig, EmulatorNetwork
from starnet.spectra import LineSpread, Spectra, WavelengthGrid
from starnet.synthesis.emulator import Emulator
from starnet.synthesis.emulator.hull import LabelHull

NAMES = ("teff", "logg", "fe_h", "mg_fe", "si_fe")
LOW, HIGH = np.array([4000, 0.5, -1, -0.4, -0.4]), np.array([6000, 4.5, 0.5, 0.6, 0.6])


def grid_of(resolution: float, margin: int = 0) -> WavelengthGrid:
    chips = ((0, 190), (210, 400)) if not margin else ()
    start = 4.19 - 6e-6 * margin
    lsf = LineSpread(resolution=resolution)
    return WavelengthGrid.log10(start, 6e-6, 400 + 2 * margin, "vacuum", chips=chips, lsf=lsf)


@pytest.fixture(scope="session")
def emulator() -> Emulator:
    """Five labels on 560 pixels: lines whose depths depend smoothly on the labels."""
    rng = np.random.default_rng(3)
    grid = grid_of(30000.0, 80)
    k, pixel = 24, np.arange(grid.n_pixels)
    at = rng.uniform(20, grid.n_pixels - 20, 60)
    sigma = 1 / (30000 * 2.3548 * 6e-6 * np.log(10))
    lines = np.exp(-0.5 * ((pixel - at[:, None]) / sigma) ** 2)
    config = EmulatorConfig(len(NAMES), grid.n_pixels, components=k, hidden=(16, 16))
    torch.manual_seed(5)
    network = EmulatorNetwork(config)
    state = network.state_dict()
    state["low"], state["high"] = torch.tensor(LOW).float(), torch.tensor(HIGH).float()
    depth = rng.uniform(0.1, 0.4, 60)
    state["mean"] = torch.tensor(1 - depth @ lines).float()
    state["basis"] = torch.tensor(0.04 * rng.standard_normal((k, 60)) @ lines).float()
    network.load_state_dict(state)
    corners = np.stack(np.meshgrid(*zip(LOW[:3], HIGH[:3], strict=True)), axis=-1).reshape(-1, 3)
    corners = np.concatenate([corners[corners[:, 0] + 400 * corners[:, 1] < 7500]])
    points = np.concatenate([corners, np.zeros((len(corners), 2))], axis=1)
    hull = LabelHull.of(NAMES, LOW, HIGH, points)
    return Emulator(network.eval(), hull, grid, "made up")


@dataclass(frozen=True)
class Made:
    """Spectra and what they were made of."""

    spectra: Spectra
    labels: np.ndarray
    rv: np.ndarray
    broadening: np.ndarray


@pytest.fixture(scope="session")
def make(emulator: Emulator) -> Callable[..., Made]:
    """Draws spectra of stars well inside the hull."""
    from starnet.inference.fit.render import Moving

    def draw(n: int = 12, seed: int = 0, snr: float = 200.0, moving: bool = False, **kw) -> Made:
        rng = np.random.default_rng(seed)
        middle = np.array([4500, 1.8, -0.2, 0.1, 0.1])
        width = kw.pop("width", np.array([400, 0.8, 0.4, 0.25, 0.25]))
        labels = middle + width * rng.uniform(-1, 1, (n, 5))
        rv = rng.uniform(-4, 4, n) * moving
        broad = rng.uniform(6, 14, n) * moving
        grid = grid_of(22500.0)
        drawing = Moving.of(emulator, grid, np.arange(400), 200.0)
        motion = torch.tensor(np.stack([rv, broad**2], axis=1)).float()
        with torch.no_grad():
            value = emulator.network.coefficients(torch.tensor(labels).float())
            flux = drawing.forward(value, motion)[0].numpy().astype(float)
        x = np.linspace(-1, 1, 400)
        level = kw.pop("level", 1.0) * (1 + 0.3 * x - 0.1 * x**2 if moving else 1.0)
        error = flux * level / snr
        mask = rng.random(flux.shape) < 0.05
        flux = flux * level + error * rng.standard_normal(flux.shape)
        meta = Table({"id": [f"s{i}" for i in range(n)]})
        return Made(Spectra(grid, flux, error**-2, mask, meta=meta), labels, rv, broad)

    return draw
