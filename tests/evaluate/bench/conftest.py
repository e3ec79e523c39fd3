"""A small data set, and suites of made-up methods on it."""

import os
from pathlib import Path

import pytest

from starnet.dataset import from_arrays, open_dataset
from starnet.evaluate.bench import Suite

HERE = Path(__file__).parent


@pytest.fixture
def modules(monkeypatch):
    """The made-up methods can be imported, here and in processes that are started."""
    monkeypatch.syspath_prepend(str(HERE))
    others = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(p for p in (str(HERE), others) if p))
    return ["made_up_methods"]


@pytest.fixture
def stars(tmp_path, labelled):
    """Path of a data set: 60 stars with two visits each, teff and logg."""
    spectra, labels = labelled(60, visits=2)
    path = tmp_path / "stars.zarr"
    from_arrays(spectra, labels, path)
    return path


@pytest.fixture
def dataset(stars):
    return open_dataset(stars)


@pytest.fixture
def make(modules):
    """Makes a suite of made-up methods; settings are merged over the usual ones."""

    def suite(**changes):
        data = {
            "name": "try",
            "data": {"from": "files", "how": "Look under a stone."},
            "labels": ["teff", "logg"],
            "split": {"folds": 2},
            "strata": {"teff": [4000, 5500, 7000]},
            "modules": modules,
            "methods": {"linear": {"method": "made-up"}},
        }
        return Suite.from_dict({**data, **changes})

    return suite
