"""Fixtures that every room of the tests shares."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from starnet.spectra import Spectra, WavelengthGrid

settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):  # the same examples every time; other examples on everybody's machine
    settings.load_profile("ci")

SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real spectra and labels; tests that need it are skipped where it is absent.

    `STARNET_TEST_DATA` names another folder of the same layout.
    """
    folder = Path(os.environ.get("STARNET_TEST_DATA", SHARED))
    if not folder.is_dir():
        pytest.skip("the folder of real spectra is absent; set STARNET_TEST_DATA to have it")
    return folder


@pytest.fixture(scope="session", autouse=True)
def interrupts() -> Iterator[None]:
    """Ctrl-C works in tests also where the shell that started them has switched it off."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def rng() -> np.random.Generator:
    """A seeded random generator."""
    return np.random.default_rng(20180101)


@pytest.fixture
def apstar_grid() -> WavelengthGrid:
    """The 8575-pixel grid of APOGEE's apStar files, with its three chips."""
    chips = ((322, 3242), (3648, 6048), (6412, 8306))
    return WavelengthGrid.log10(4.179, 6e-6, 8575, "vacuum", chips=chips)


@pytest.fixture
def toy_spectra(rng: np.random.Generator) -> Spectra:
    """Six spectra of three stars on 200 pixels in two chips, with known errors and some masks."""
    grid = WavelengthGrid.log10(3.7, 1e-4, 200, "vacuum", chips=((0, 90), (100, 200)))
    flux = 1.0 + 0.02 * rng.standard_normal((6, 200))
    mask = rng.random((6, 200)) < 0.05
    from astropy.table import Table

    meta = Table({"id": [f"v{i}" for i in range(6)], "star": [f"s{i // 2}" for i in range(6)]})
    return Spectra(grid, flux, np.full((6, 200), 2500.0), mask, meta=meta)


@pytest.fixture
def toy_model(toy_spectra: Spectra):
    """A small untrained model that reads `toy_spectra`: teff (scaled in log10) and logg."""
    from starnet.artifact import Model
    from starnet.models import build_network
    from starnet.preprocess import ChipMedian, InterpolateMasked, Pipeline
    from starnet.spectra import Labels, LabelScale

    pipeline = Pipeline((ChipMedian(), InterpolateMasked()))
    grid, _ = pipeline.output_grid(toy_spectra.grid, toy_spectra.frame)
    sizes = {"n_pixels": grid.n_pixels, "n_labels": 2, "n_channels": 1}
    network = build_network({"family": "starnet", "filters": [2, 3], "dense": [8], **sizes}, seed=1)
    labels = Labels(("teff", "logg"), [[4000.0, 0.5], [5000.0, 2.5], [6000.0, 4.5]])
    scale = LabelScale.fit(labels, log10=("teff",))
    return Model(network.eval(), scale, pipeline, toy_spectra.grid, "rest", name="toy")


def labelled_spectra(n: int, seed: int = 0, visits: int = 1):
    """Spectra of ``n`` made-up stars whose lines respond to teff and logg, with their labels."""
    from astropy.table import Table

    from starnet.spectra import Labels

    rng = np.random.default_rng(seed)
    grid = WavelengthGrid.log10(3.7, 1e-4, 160, "vacuum")
    teff, logg = rng.uniform(4000, 7000, n), rng.uniform(0, 5, n)
    pixel = np.arange(160)
    depth = np.stack([(7000 - teff) / 6000, (teff - 4000) / 9000, 0.1 + logg / 12], axis=1)
    lines = np.exp(-0.5 * ((pixel - np.array([[30], [80], [120]])) / 3.0) ** 2)
    flux = np.repeat(1 - depth @ lines, visits, axis=0)
    flux += 0.005 * rng.standard_normal(flux.shape)
    star = np.repeat([f"star{i:03d}" for i in range(n)], visits)
    name = [f"{s}-{v}" for s, v in zip(star, np.tile(np.arange(visits), n), strict=True)]
    meta = Table({"id": name, "star": star})
    spectra = Spectra(grid, flux, np.full(flux.shape, 0.005**-2), meta=meta)
    values = np.repeat(np.column_stack([teff, logg]), visits, axis=0)
    return spectra, Labels(("teff", "logg"), values)


@pytest.fixture
def labelled():
    """The function `labelled_spectra`."""
    return labelled_spectra


@pytest.fixture(scope="session")
def toy_emulator():
    """A small emulator of 6 labels and 600 pixels, untrained: its four lines answer to labels."""
    import torch

    from starnet.models.emulator import EmulatorConfig, EmulatorNetwork
    from starnet.spectra import LineSpread
    from starnet.synthesis.emulator import Emulator
    from starnet.synthesis.emulator.hull import LabelHull

    names = ("teff", "logg", "fe_h", "vmic", "c_fe", "o_fe")
    low = np.array([4000.0, 0.5, -2.0, 0.5, -0.5, -0.3])
    high = np.array([6500.0, 5.0, 0.4, 2.5, 0.4, 0.6])
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = EmulatorNetwork(EmulatorConfig(len(names), 600, components=4, hidden=(8, 8)))
    pixel = torch.arange(600.0)
    lines = [torch.exp(-0.5 * ((pixel - c) / 1.4) ** 2) for c in (100.3, 222.0, 350.7, 480.1)]
    state = network.state_dict() | {
        "low": torch.tensor(low),
        "high": torch.tensor(high),
        "basis": torch.stack(lines),
        "spread": torch.full((4,), 0.05),
        "mean": 1 - 0.3 * torch.stack(lines).sum(dim=0),
    }
    network.load_state_dict(state)
    points = np.random.default_rng(0).uniform(low, high, (300, len(names)))
    points = points[points[:, 0] - 1200 * points[:, 1] > -500]  # no cool dwarfs
    hull = LabelHull.of(names, low, high, points, [("c_fe", "o_fe", 0.15)])
    lsf = LineSpread(resolution=30000.0)
    grid = WavelengthGrid.log10(4.179, 6e-6, 600, "vacuum", lsf=lsf)
    return Emulator(network.eval(), hull, grid, "toy", {"about": "for tests"})
