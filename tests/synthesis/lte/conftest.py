"""The real tables, read once, and the made-up ones."""

import warnings
from pathlib import Path

import pytest

from starnet.synthesis.lte.tables import Tables

from . import made_up


@pytest.fixture(scope="session")
def physics(shared_data: Path) -> Path:
    """The folder of real inputs."""
    folder = shared_data / "physics"
    if not (folder / "tables").is_dir():
        pytest.skip("the folder of real physics inputs is absent")
    return folder


@pytest.fixture(scope="session")
def tables(physics: Path) -> Tables:
    """The real tables."""
    return Tables.open(physics / "tables")


@pytest.fixture(scope="session")
def toy_tables() -> Tables:
    """Made-up tables, for machines without data."""
    return made_up.tables()


@pytest.fixture(scope="session", autouse=True)
def forward_mode() -> None:
    """Torch warns of itself when derivatives are first taken forward."""
    import torch

    with warnings.catch_warnings(), torch.autograd.forward_ad.dual_level():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.autograd.forward_ad.make_dual(torch.zeros(1), torch.zeros(1))
