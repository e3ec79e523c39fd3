from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from astropy.table import Table

from starnet.artifact import Model
from starnet.errors import ConfigError, DataError, ModelError
from starnet.inference.drawn import draw_spectra
from starnet.inference.novelty import Novelty
from starnet.models import build_network
from starnet.preprocess import Pipeline
from starnet.spectra import Labels, LabelScale, Spectra


@dataclass
class Teacher:
    """A predictor that knows the labels: they travel in the metadata."""

    model: Model
    emulator: Any
    compares: bool = True

    def assign(self, spectra):
        return self, spectra

    def predict(self, spectra):
        values = np.column_stack([spectra.meta[n] for n in self.model.labels])
        return Found(Labels(self.model.labels, values), None)


@dataclass
class Found:
    labels: Labels
    chi2: Any


def model_of(emulator, recipe=None):
    """A reader whose components are those of the emulator."""
    network = build_network(
        {"family": "reader", "n_pixels": 600, "n_labels": 6, "n_channels": 2, "components": 4,
         "order": 2, "hidden": [8]}, seed=1
    )  # fmt: skip
    basis = emulator.network.basis
    length = basis.norm(dim=1, keepdim=True)
    power = 0.1 * torch.ones(4)
    network.set_components(emulator.network.mean, basis / length, power, torch.ones(600))
    low, high = emulator.hull.low, emulator.hull.high
    half = tuple((high - low) / 2)
    scale = LabelScale(emulator.labels, tuple((low + high) / 2), half, tuple(low), tuple(high))
    about = {"recipe": recipe} if recipe else {}
    return Model(
        network.eval(), scale, Pipeline(()), emulator.grid, "rest", channels=("flux", "ivar"),
        name="toy", provenance=about,
    )  # fmt: skip


def stars(emulator, n, seed, change=lambda flux: flux):
    """Spectra of n stars at S/N 20 to 300, with their labels as metadata."""
    rng = np.random.default_rng(seed)
    middle = (emulator.hull.low + emulator.hull.high) / 2
    half = 0.3 * (emulator.hull.high - emulator.hull.low)
    values = middle + half * rng.uniform(-1, 1, (n, 6))
    with torch.no_grad():
        flux = emulator.flux(torch.as_tensor(values).float()).numpy().astype(float)
    flux = change(flux)
    snr = np.exp(rng.uniform(np.log(20), np.log(300), (n, 1)))
    flux = flux * (1 + 0.03 * np.linspace(-1, 1, 600)) + rng.standard_normal(flux.shape) / snr
    names = [f"s{seed}-{i}" for i in range(n)]
    meta = Table({"id": names, **dict(zip(emulator.labels, values.T, strict=True))})
    ivar = np.broadcast_to(snr**2, flux.shape)
    return Spectra(emulator.grid, flux, ivar, frame="rest", meta=meta)


@pytest.fixture(scope="module")
def teacher(toy_emulator):
    return Teacher(model_of(toy_emulator), toy_emulator)


@pytest.fixture(scope="module")
def novelty(teacher, toy_emulator):
    return Novelty.fit(teacher, stars(toy_emulator, 700, 1))


def scores(novelty, teacher, spectra, **kw):
    prepared = teacher.model.prepare(spectra)
    labels = teacher.predict(spectra).labels
    return novelty.score(teacher.model, prepared, labels, emulator=teacher.emulator, **kw)


def test_good_stars_are_within_and_others_are_not(novelty, teacher, toy_emulator):
    assert novelty.names == ("features", "pixels", "waves")
    assert np.mean(scores(novelty, teacher, stars(toy_emulator, 400, 2)) > 1) <= 0.02
    wave = 1 + 0.08 * np.sin(np.arange(600) / 9.0)
    cases = {
        "moved": lambda flux: np.roll(flux, 12, axis=1),
        "wave": lambda flux: flux * wave,
        "reversed": lambda flux: flux[:, ::-1],
        "deep": lambda flux: 1 - 3 * (1 - flux),
    }
    for name, change in cases.items():
        caught = scores(novelty, teacher, stars(toy_emulator, 60, 3, change)) > 1
        assert caught.mean() > 0.9, name


def test_bad_pixels_that_no_mask_tells_of_are_not_novel(novelty, teacher, toy_emulator):
    spectra = stars(toy_emulator, 60, 4)
    flux = np.array(spectra.flux)
    flux[:, 137] += 5.0
    assert np.mean(scores(novelty, teacher, spectra.replace(flux=flux)) > 1) <= 0.05


def test_it_goes_through_json_and_takes_features_that_are_there(novelty, teacher, toy_emulator):
    spectra = stars(toy_emulator, 20, 5)
    again = Novelty.from_dict(novelty.to_dict())
    before = scores(novelty, teacher, spectra)
    assert np.allclose(scores(again, teacher, spectra), before, rtol=0.02)
    inputs = torch.as_tensor(teacher.model.inputs(teacher.model.prepare(spectra)))
    with torch.no_grad():
        known = teacher.model.network.features(inputs).numpy()
    assert np.allclose(scores(novelty, teacher, spectra, features=known), before, rtol=1e-3)


def test_company_does_not_matter_and_stars_without_labels_have_no_score(
    novelty, teacher, toy_emulator
):
    spectra = stars(toy_emulator, 12, 6)
    together = scores(novelty, teacher, spectra)
    assert scores(novelty, teacher, spectra[3:4])[0] == pytest.approx(together[3], rel=1e-3)
    assert scores(novelty, teacher, spectra[[]]).shape == (0,)
    prepared = teacher.model.prepare(spectra)
    none = Labels(teacher.model.labels, np.full((12, 6), np.nan))
    assert np.isnan(novelty.score(teacher.model, prepared, none, emulator=toy_emulator)).all()


def test_without_an_emulator_features_are_held_against_their_mean(toy_emulator):
    alone = Teacher(model_of(toy_emulator), None)
    own = Novelty.fit(alone, stars(toy_emulator, 700, 1))
    assert own.against == "mean"
    deep = stars(toy_emulator, 40, 3, lambda flux: 1 - 4 * (1 - flux))
    assert np.mean(scores(own, alone, deep) > 1) > 0.9


def test_other_networks_go_by_the_spectrum_itself(toy_model, toy_spectra, rng):
    flux = 1.0 + 0.02 * rng.standard_normal((700, 200))
    meta = Table({"id": [f"v{i}" for i in range(700)], "teff": np.full(700, 5000.0)})
    meta["logg"] = 2.0
    spectra = Spectra(toy_spectra.grid, flux, np.full(flux.shape, 2500.0), meta=meta)
    plain = Teacher(toy_model, None)
    own = Novelty.fit(plain, spectra)
    assert own.names == ("features",)
    assert np.mean(scores(own, plain, spectra) > 1) <= 0.006
    broken = spectra[:30].replace(flux=np.where(np.arange(200) < 60, 1.4, flux[:30]))
    assert np.mean(scores(own, plain, broken) > 1) > 0.9
    wrong = Novelty.from_dict({**own.to_dict(), "directions": [[1.0] * 500]})
    with pytest.raises(ModelError, match="Fit it again"):
        scores(wrong, plain, spectra[:2])


def test_spectra_are_drawn_as_the_recipe_says(toy_emulator):
    grid = toy_emulator.grid.to_dict()
    recipe = {
        "observer": {"instrument": {"name": "toy", "grid": grid}, "snr": [20, 200], "sky": None,
                     "telluric": None, "rv_sigma": 0.0},
        "stars": [{"sampler": "sobol", "share": 1.0, "labels": {
            "teff": [4500, 6000], "logg": [3.0, 4.5], "fe_h": [-1.0, 0.2]}}],
        "sight": {"line_error": 0.02},
    }  # fmt: skip
    model = model_of(toy_emulator, recipe)
    spectra, labels = draw_spectra(model, toy_emulator, 20, seed=3)
    again, _ = draw_spectra(model, toy_emulator, 20, seed=3)
    assert np.array_equal(spectra.flux, again.flux)
    assert toy_emulator.covers(labels).all()
    assert spectra.snr.min() > 10
    other, _ = draw_spectra(model, toy_emulator, 20, seed=4, snr=(50, 51))
    assert not np.allclose(other.flux, spectra.flux)
    assert np.ptp(np.asarray(other.meta["snr_photon"])) <= 1.0


def test_what_cannot_be_is_refused(novelty, teacher, toy_emulator):
    with pytest.raises(DataError, match=r"need 600 stars .* received 50 of 50"):
        Novelty.fit(teacher, stars(toy_emulator, 50, 1))
    with pytest.raises(DataError, match="share"):
        Novelty.fit(teacher, stars(toy_emulator, 50, 1), share=0.0)
    with pytest.raises(ConfigError, match="carries no recipe"):
        Novelty.fit(teacher)
    with pytest.raises(DataError, match="no emulator"):
        Novelty.fit(Teacher(teacher.model, None))
    good = novelty.to_dict()
    for broken in ({}, {**good, "limits": [[1.0]]}, {**good, "centres": [["x"]]}):
        with pytest.raises(ModelError, match="cannot be read"):
            Novelty.from_dict(broken)
