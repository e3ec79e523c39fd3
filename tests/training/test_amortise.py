"""A head on a reader: the reader stays, and its errors become those that are made."""

import dataclasses

import numpy as np
import pytest
import torch

from starnet.artifact import load_model
from starnet.errors import ConfigError, ModelError
from starnet.inference import MixturePosterior
from starnet.inference.network_posterior import network_posterior
from starnet.models import AmortisedConfig
from starnet.models.heads import label_log_prob
from starnet.preprocess import Pipeline
from starnet.spectra import LineSpread, WavelengthGrid
from starnet.synthesis.observe import Instrument, Observer
from starnet.training.amortise import amortise, residuals
from starnet.training.reader import ReaderRecipe, ReaderTraining, train_reader


def recipe(**changes) -> ReaderRecipe:
    grid = WavelengthGrid.log10(4.179, 6e-6, 600, "vacuum", lsf=LineSpread(resolution=22500.0))
    observer = Observer(Instrument("toy", grid), snr=(30, 200), sky=None, telluric=None)
    limits = {"teff": [4200, 6200], "logg": [1, 4], "fe_h": [-1, 0.2], "vmic": [1, 2]}
    limits |= {"c_fe": [-0.4, 0.0], "o_fe": [0.0, 0.4]}
    settings = {k: v for k, v in observer.to_dict().items() if k != "instrument"}
    return ReaderRecipe(
        name="toy",
        emulator="toy",
        observer={**settings, "instrument": observer.instrument.to_dict()},
        preprocess=Pipeline(()),
        stars=({"sampler": "sobol", "labels": limits},),
        labels=("teff", "logg"),
        network={"components": 4, "hidden": [16]},
        sight={"spreads": 2},
        training=ReaderTraining(conditions=12, together=4, batch_size=64, steps=150, lr=5e-3),
        **changes,
    )


@pytest.fixture(scope="module")
def trained(toy_emulator):
    """A reader whose errors are made half of what they should be."""
    model = train_reader(recipe(), emulator=toy_emulator, progress=False)
    with torch.no_grad():
        model.network.head.bias[2:] -= 1.0
    drawn = residuals(model, toy_emulator, recipe(), conditions=12, seed=1)
    return model, toy_emulator, drawn


def density(network, drawn):
    hidden, mean, sigma, target = drawn.draw(12, 80, torch.Generator().manual_seed(9))
    z = (target - mean) / sigma
    with torch.no_grad():
        return label_log_prob(network.top(hidden), z).mean().item(), z


@pytest.mark.parametrize("kind", ["covariance", "mixture", "flow"])
def test_it_knows_better_than_the_reader(trained, kind):
    if kind == "flow":
        pytest.importorskip("zuko")
    model, emulator, drawn = trained
    head = {"kind": kind} | ({"transforms": 1, "nodes": [16]} if kind == "flow" else {})
    how = {"head": head, "hidden": (16,), "steps": 150, "lr": 5e-3}
    made = amortise(model, emulator, recipe(), drawn=drawn, **how)
    found, z = density(made.network, drawn)
    raw = -0.5 * (z.square() + np.log(2 * np.pi)).sum(dim=1).mean().item()
    assert found > raw + 0.1
    kept = made.network.reader.state_dict()
    assert all(torch.equal(kept[k], v) for k, v in model.network.state_dict().items())
    assert made.provenance["amortised"]["head"]["kind"] == kind


def test_spectra_may_be_drawn_beforehand(trained):
    model, emulator, drawn = trained
    how = {"head": {"kind": "covariance"}, "hidden": (16,), "steps": 150, "lr": 5e-3}
    made = amortise(model, emulator, recipe(), drawn=drawn, pool=4000, **how)
    found, z = density(made.network, drawn)
    raw = -0.5 * (z.square() + np.log(2 * np.pi)).sum(dim=1).mean().item()
    assert found > raw + 0.1
    assert made.provenance["amortised"]["pool"] == 4000


def test_it_is_saved_and_loaded_and_predicts(trained, tmp_path):
    model, emulator, drawn = trained
    made = amortise(
        model, emulator, recipe(), drawn=drawn, head={"kind": "covariance"}, steps=3, hidden=(8,)
    )
    there = load_model(made.save(tmp_path / "amortised"))
    x = np.ones((4, 2, 600), np.float32)
    first, second = (network_posterior(m.network, x, m.scale) for m in (made, there))
    assert isinstance(first, MixturePosterior)
    assert np.array_equal(first.mean, second.mean)
    assert np.array_equal(first.covariance, second.covariance)


def test_what_was_measured_with_the_readers_errors_is_forgotten(trained):
    model, emulator, drawn = trained
    model = dataclasses.replace(model, error_floor={"teff": 30.0})
    made = amortise(model, emulator, recipe(), drawn=drawn, head={"kind": "normal"}, steps=2)
    assert made.error_floor == {}


def test_another_recipe_is_refused(trained, toy_model):
    model, emulator, _ = trained
    with pytest.raises(ConfigError, match="own recipe"):
        amortise(model, emulator, dataclasses.replace(recipe(), labels=("teff",)))
    with pytest.raises(ConfigError, match="own recipe"):
        amortise(toy_model, emulator, recipe())
    with pytest.raises((ConfigError, ModelError), match="stands on a reader"):
        AmortisedConfig(60, 2, reader={"family": "starnet"})
