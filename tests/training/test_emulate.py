"""From a library to an emulator, with stars held out and measured."""

import dataclasses

import numpy as np
import pytest
import torch
from astropy.table import Table

from starnet.dataset import DatasetWriter, open_dataset
from starnet.errors import ConfigError, TrainingError
from starnet.spectra import Labels, Spectra
from starnet.training.emulate import (
    EmulatorRecipe,
    emulator_recipes,
    load_emulator_recipe,
    portable,
    train_emulator,
)
from starnet.training.emulator import EmulatorTraining, components_of, fit_emulator

NAMES = ("teff", "logg", "fe_h", "vmic", "c_fe", "o_fe")
RECIPE = EmulatorRecipe(
    name="toy",
    labels=NAMES,
    bounds={"teff": (4200, 6300)},
    limits=(("c_fe", "o_fe", 0.15),),
    training=EmulatorTraining(components=6, hidden=(24, 24), steps=1200, batch_size=64, lr=5e-3),
    held_out=0.2,
)


def stars(toy_emulator, n=400):
    rng = np.random.default_rng(1)
    labels = rng.uniform(toy_emulator.hull.low, toy_emulator.hull.high, (n, 6))
    with torch.no_grad():
        flux = toy_emulator.flux(torch.tensor(labels, dtype=torch.float32)).numpy()
    return labels, flux


@pytest.fixture
def library(toy_emulator, tmp_path):
    labels, flux = stars(toy_emulator)
    names = [f"s{i}" for i in range(len(flux))]
    spectra = Spectra(
        toy_emulator.grid, flux, frame="rest", meta=Table({"id": names, "star": names})
    )
    with DatasetWriter(tmp_path / "l.zarr", grid=toy_emulator.grid, label_names=NAMES) as writer:
        writer.append(spectra, Labels(NAMES, labels))
    return open_dataset(tmp_path / "l.zarr")


def test_an_emulator_learns_its_library(library, toy_emulator):
    made = train_emulator(library, RECIPE, progress=False)
    found = made.card["accuracy"]["all"]
    assert found["median_error"] < 0.003
    assert 30 < found["stars"] < 80
    assert made.hull.low[0] == 4200
    assert not made.hull.contains(np.array([[5000, 3.0, -0.5, 1.5, 0.3, 0.0]])).any()
    assert made.grid.matches(library.grid)


def test_provenance_names_no_place_of_one_machine():
    library = {
        "command": "starnet synth p --out /home/me/l.zarr",
        "plan": {"n": 3, "engine": {"name": "lte", "physics": "/home/me/physics"}},
    }
    assert portable(library) == {"plan": {"n": 3, "engine": {"name": "lte"}}}


def test_components_are_the_strongest_ones(toy_emulator):
    _, flux = stars(toy_emulator)
    mean, basis = components_of(flux, 4)
    assert torch.allclose(basis @ basis.T, torch.eye(4), atol=1e-4)
    rows = torch.tensor(flux) - mean
    assert torch.allclose(rows, rows @ basis.T @ basis, atol=1e-4)  # four lines, four components


def test_a_run_gives_the_same_network_again(toy_emulator):
    labels, flux = stars(toy_emulator)
    how = dataclasses.replace(RECIPE.training, steps=30)
    one, two = (
        fit_emulator(labels, flux, labels.min(axis=0), labels.max(axis=0), how) for _ in range(2)
    )
    assert torch.equal(one.head.weight, two.head.weight)


def test_masked_spectra_are_refused(toy_emulator, tmp_path):
    labels, flux = stars(toy_emulator)
    mask = np.zeros(flux.shape, dtype=bool)
    mask[:, 5] = True
    names = [f"s{i}" for i in range(len(flux))]
    spectra = Spectra(
        toy_emulator.grid, flux, mask=mask, frame="rest", meta=Table({"id": names, "star": names})
    )
    with DatasetWriter(tmp_path / "l.zarr", grid=toy_emulator.grid, label_names=NAMES) as writer:
        writer.append(spectra, Labels(NAMES, labels))
    with pytest.raises(TrainingError, match="clean spectra"):
        train_emulator(open_dataset(tmp_path / "l.zarr"), RECIPE, progress=False)


def test_spectra_that_are_not_finite_are_refused(toy_emulator):
    labels, flux = stars(toy_emulator, 60)
    flux[3, 7] = np.nan
    with pytest.raises(TrainingError, match="finite"):
        fit_emulator(labels, flux, labels.min(axis=0), labels.max(axis=0), RECIPE.training)


@pytest.mark.parametrize(
    "wrong",
    [
        {"labels": ("logg", "teff", "fe_h")},
        {"bounds": {"mg_fe": (0, 1)}},
        {"held_out": 0.9},
        {"limits": (("c_fe", "mg_fe", 0.1),)},
    ],
)
def test_a_wrong_recipe(wrong):
    with pytest.raises(ConfigError):
        dataclasses.replace(RECIPE, **wrong)


def test_recipes_of_the_package_go_to_yaml_and_back():
    assert {"apogee", "optical"} <= set(emulator_recipes())
    for name in emulator_recipes():
        one = load_emulator_recipe(name)
        assert EmulatorRecipe.from_dict(one.to_dict()) == one
