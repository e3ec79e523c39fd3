"""Atmospheres of labels: the same as the readers', with derivatives."""

from pathlib import Path

import numpy as np
import pytest
import torch

from starnet.errors import LabelError
from starnet.synthesis.atmospheres import AtmosphereEmulator, AtmosphereGrid, read_atmosphere
from starnet.synthesis.lte.structure import EmulatedStructures, GivenStructures

from . import made_up

STARS = np.array([[4500.0, 2.0, -0.5, 0.1], [5777.0, 4.44, 0.0, 0.05]])


@pytest.fixture(scope="module")
def toy() -> EmulatedStructures:
    return EmulatedStructures(made_up.emulator(), n_depths=30)


def test_the_same_as_the_emulator(toy: EmulatedStructures):
    made = toy(torch.as_tensor(STARS))
    for row, star in enumerate(STARS):
        one = made_up.emulator().at(*star)
        assert np.allclose(made.temperature[row], one.temperature)
        assert np.allclose(made.gas_pressure[row], one.gas_pressure)
        assert np.allclose(made.depth[row], one.rhox)


def test_the_same_as_the_real_emulator(physics: Path):
    emulator = AtmosphereEmulator.open(physics / "atmospheres/atmosnet")
    made = EmulatedStructures(emulator, n_depths=80)(torch.as_tensor(STARS))
    for row, star in enumerate(STARS):
        one = emulator.at(*star)
        assert np.allclose(made.temperature[row], one.temperature, rtol=1e-6)
        assert np.allclose(made.gas_pressure[row], one.gas_pressure, rtol=1e-6)
        assert np.allclose(made.depth[row], one.rhox, rtol=1e-6)
    assert (torch.diff(made.depth, dim=-1) > 0).all()


def test_derivatives(toy: EmulatedStructures):
    labels = torch.as_tensor(STARS).clone().requires_grad_()

    def columns(x: torch.Tensor) -> torch.Tensor:
        made = toy(x)
        return torch.stack(
            [torch.log(c) for c in (made.temperature, made.gas_pressure, made.depth)]
        )

    assert torch.autograd.gradcheck(columns, (labels,), eps=1e-5, atol=1e-6, rtol=1e-3)


def test_outside(toy: EmulatedStructures):
    far = torch.tensor([[7000.0, 3.0, 0.0, 0.0]], dtype=torch.float64)
    with pytest.raises(LabelError, match="teff = 7000"):
        toy(far)
    near = torch.tensor([[6000.0, 3.0, 0.0, 0.0]], dtype=torch.float64)
    assert torch.equal(toy(far, "clamp").temperature, toy(near).temperature)
    assert toy.covers(np.concatenate([far, near])).tolist() == [False, True]


def test_one_atmosphere(physics: Path):
    sun = read_atmosphere(physics / "atmospheres/marcs/sun.mod")
    given = GivenStructures(sun, "tau_5000")
    labels = torch.tensor([[sun.teff, sun.logg, 0.0, 0.0]] * 2, dtype=torch.float64)
    made = given(labels)
    assert made.scale == "tau_5000"
    assert np.allclose(made.depth[1], sun.tau_5000)
    with pytest.raises(LabelError, match=r"one atmosphere given.*clamp"):
        given(labels + torch.tensor([200.0, 0.0, 0.0, 0.0]))
    moved = given(labels + torch.tensor([200.0, 0.0, 0.0, 0.0]), "clamp")
    assert torch.equal(moved.temperature, made.temperature)


def test_a_depth_scale_that_is_not_there(physics: Path):
    model = read_atmosphere(next((physics / "atmospheres/kurucz").glob("t03500g0.0*")))
    labels = torch.tensor([[model.teff, model.logg, 0.0, 0.0]], dtype=torch.float64)
    with pytest.raises(LabelError, match="have no tau_5000"):
        GivenStructures(model, "tau_5000")(labels)


def test_a_grid_of_models(physics: Path):
    grid = AtmosphereGrid.open(physics / "atmospheres/marcs_pfant")
    labels = torch.tensor([[4620.0, 1.8, -0.3, 0.1]], dtype=torch.float64)
    model = grid.at(4620.0, 1.8, -0.3, 0.1, outside="clamp")
    made = GivenStructures(grid)(labels, "clamp")
    assert np.allclose(made.temperature[0], model.temperature)
    assert np.allclose(made.depth[0], model.rhox)
