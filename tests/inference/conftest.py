import pytest

from starnet import _shipped
from tests.inference.stand_ins import ship


@pytest.fixture(scope="session")
def shipped_folder(tmp_path_factory):
    return ship(tmp_path_factory.mktemp("shipped"))


@pytest.fixture
def shipped(shipped_folder, monkeypatch):
    """The package comes with the stand-ins "red" and "blue", and nothing else."""
    monkeypatch.setattr(_shipped, "SHIPPED", shipped_folder)
    return shipped_folder
