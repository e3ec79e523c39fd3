import json

import numpy as np
import pytest
import torch

from starnet.artifact import Model
from starnet.dataset import DatasetWriter, open_dataset
from starnet.errors import ConfigError, ModelError
from starnet.models import Kernel, KernelConfig, Reader, ReaderConfig
from starnet.models.kernel import reader_settings
from starnet.preprocess import Pipeline
from starnet.spectra import Labels, LabelScale, Spectra, WavelengthGrid
from starnet.training.finetune import (
    FineTuneRecipe,
    fine_tune,
    finetune_recipes,
    load_finetune_recipe,
    pretrain,
)
from starnet.training.kernel import fit_kernel

PIXELS, STARS = 90, 60


def reader(seed=0):
    torch.manual_seed(seed)
    return Reader(ReaderConfig(60, 2, components=4, hidden=(8,), order=1)).eval()


def recipe(**changes):
    plain = {"transform": "Pipeline", "steps": []}
    settings = {"name": "toy", "labels": ["teff", "fe_h"], "reader": {}, "windows": [[10, 70]]}
    return FineTuneRecipe.from_dict({**settings, "preprocess": plain, "iterations": 8, **changes})


@pytest.fixture
def spectra(rng):
    """Inputs (60, 2, 90) whose lines follow two labels (60, 2), the second with noise."""
    labels = rng.standard_normal((STARS, 2))
    lines = np.exp(-0.5 * ((np.arange(PIXELS) - np.array([[30], [60]])) / 3) ** 2)
    flux = np.exp(-0.2 * (labels + 1.5) @ lines + 0.003 * rng.standard_normal((STARS, PIXELS)))
    inputs = np.stack([flux, np.full_like(flux, 1e4)], axis=1).astype(np.float32)
    return inputs, labels + rng.standard_normal((STARS, 2)) * [0.0, 0.3]


@pytest.fixture
def fitted(spectra):
    inputs, targets = spectra
    given = reader()
    network = Kernel(
        KernelConfig(
            PIXELS,
            2,
            n_stars=STARS,
            scales=(0.0, 8.0),
            components=(5, 6),
            readers=(reader_settings(given, (10, 70)),),
        )
    ).eval()
    network.set_features(inputs, [given])
    return network, fit_kernel(network, targets, recipe())


def test_a_kernel_learns_what_can_be_learnt(fitted, spectra):
    left_out = fitted[1].mean
    off = np.std(left_out - spectra[1], axis=0)
    assert off[0] < 0.15
    assert 0.2 < off[1] < 0.45, "noise of labels is neither learnt nor in the way"


def test_each_star_is_predicted_by_the_others(fitted, spectra):
    network, left_out = fitted[0], fitted[1].mean
    with torch.no_grad():
        seen = network(torch.from_numpy(spectra[0])).numpy()
    assert np.std(seen - spectra[1], axis=0)[1] < np.std(left_out - spectra[1], axis=0)[1]


def test_half_precision_changes_next_to_nothing(fitted, spectra):
    network = fitted[0]
    x = torch.from_numpy(spectra[0])
    other = Kernel(network.config).eval()
    other.load_state_dict({k: v.half().float() for k, v in network.state_dict().items()})
    with torch.no_grad():
        np.testing.assert_allclose(other(x), network(x), atol=2e-3)


def test_a_recipe_survives_json():
    first = load_finetune_recipe("miles")
    again = FineTuneRecipe.from_dict(json.loads(json.dumps(first.to_dict())))
    assert again.to_dict() == first.to_dict()
    assert "miles" in finetune_recipes()
    assert [one.name for one in again.readers()] == ["miles-0", "miles-1", "miles-2"]


@pytest.mark.parametrize("change", [{"colour": 1}, {"windows": [[1]]}, {"labels": 3}])
def test_a_wrong_recipe_is_refused(change):
    with pytest.raises(ConfigError):
        recipe(**change)


def test_a_recipe_may_take_a_shipped_reader():
    chosen = load_finetune_recipe("apogee")
    (model,) = pretrain(chosen)
    (window,) = chosen.windows
    assert isinstance(model.network, Reader)
    assert model.network.config.n_pixels == window[1] - window[0]


@pytest.mark.parametrize(
    "change",
    [
        {"reader": {"shipped": "none"}},
        {"reader": {"shipped": "apogee", "steps": 3}},
        {"reader": {"shipped": "apogee"}, "windows": [[0, 10], [10, 20]]},
    ],
)
def test_a_shipped_reader_that_does_not_fit_is_refused(change):
    with pytest.raises(ConfigError, match="names one of apogee"):
        pretrain(recipe(**change))


def test_of_too_many_stars_some_are_drawn(tmp_path, rng):
    grid = WavelengthGrid(5000.0 + np.arange(60.0), medium="air")
    labels = Labels(("teff", "fe_h"), rng.normal([5000, 0], [300, 0.3], (70, 2)))
    depth = 0.2 + (labels.values[:, :1] - 5000) / 3000
    flux = 1 - depth * np.exp(-0.5 * ((np.arange(60) - 30) / 3) ** 2)
    spectra = Spectra(grid, flux, np.full_like(flux, 1e4))
    with DatasetWriter(
        tmp_path / "toy.zarr", grid=grid, frame="rest", label_names=labels.names
    ) as writer:
        writer.append(spectra, labels)
    chosen = recipe(windows=[[0, 60]], most=40, network={"scales": [0], "components": [3]})
    pixels = Model(reader(), LabelScale.fit(labels), Pipeline(()), grid, "rest", ("flux", "ivar"))
    made = fine_tune(open_dataset(tmp_path / "toy.zarr"), chosen, [pixels])
    assert isinstance(made.network, Kernel)
    assert made.network.config.n_stars == 40
    assert made.provenance["stars"] == {"train": 40}


def spreading(spectra, rows=slice(None), own=()):
    """An untrained kernel that keeps variances, of some of the stars."""
    inputs, given = spectra[0][rows], [reader()] if own else []
    config = KernelConfig(
        PIXELS, 2, n_stars=len(inputs), scales=(0.0, 8.0), components=(5, 6), spread=True,
        readers=[reader_settings(one, (10, 70)) for one in given], own=own,
    )  # fmt: skip
    network = Kernel(config).eval()
    network.set_features(inputs, given)
    return network


@pytest.mark.parametrize("own", [(), ((0,), (1,)), ((0, 1), ())])
def test_the_variance_is_that_of_a_gaussian_process(spectra, own):
    """As scikit-learn's textbook formula has it, by brute force."""
    network = spreading(spectra, slice(40), own)
    fit_kernel(network, spectra[1][:40], recipe())
    x = torch.from_numpy(spectra[0][30:])
    with torch.no_grad():
        mean, variance, noise = network.mean_and_variance(x)
        new, own = network.features(x), network.stars
        for i in range(2):
            near, far, self = (
                network.kernel(*network.shapes(a, b), i).double()
                for a, b in ((new, own), (own, own), (new, new))
            )
            whole = far + torch.diag(1 / network.precision[i].double())
            expected = (self - near @ torch.linalg.solve(whole, near.T)).diagonal()
            np.testing.assert_allclose(variance[:, i], expected, rtol=0.02, atol=1e-5)
        np.testing.assert_allclose(mean, network(x), atol=1e-5)
    assert 0.3**2 / 4 < float(noise[1]) < 0.3**2 * 4
    assert noise[0] < noise[1]


def test_what_readers_say_of_a_label_itself_has_a_kernel_of_its_own(spectra):
    network = spreading(spectra, own=((1,), ()))
    with torch.no_grad():
        features = network.features(torch.from_numpy(spectra[0][:9]))
        network.trust.fill_(np.log(0.7))
        with_it = network.kernel(*network.shapes(features, features), 0)
        network.trust.fill_(-99.0)  # held at exp(-8)
        without = network.kernel(*network.shapes(features, features), 0)
        second = network.kernel(*network.shapes(features, features), 1)
        network.trust.fill_(np.log(0.7))
        again = network.kernel(*network.shapes(features, features), 1)
    said = features[:, 11 + 1]
    wanted = (0.7 - np.exp(-8.0)) * said[:, None] * said
    np.testing.assert_allclose(with_it - without, wanted, atol=1e-5)
    np.testing.assert_array_equal(second, again)


@pytest.mark.parametrize("own", [((0,),), ((0,), (9,)), ((0,), (-1,))])
def test_own_places_must_be_there_for_each_label(spectra, own):
    with pytest.raises(ConfigError, match="own has places"):
        spreading(spectra, own=own)


def test_the_variance_grows_away_from_the_stars(spectra):
    network = spreading(spectra)
    fit_kernel(network, spectra[1], recipe())
    strange = spectra[0][:5].copy()
    strange[:, 0] = strange[:, 0] ** 6
    with torch.no_grad():
        near = network.mean_and_variance(torch.from_numpy(spectra[0]))[1]
        far = network.mean_and_variance(torch.from_numpy(strange))[1]
    assert far.min(dim=0).values.gt(near.median(dim=0).values).all()


def test_errors_left_out_are_as_large_as_said(spectra):
    out = fit_kernel(spreading(spectra), spectra[1], recipe())
    z = (spectra[1] - out.mean) / np.sqrt(out.variance + out.noise)
    assert 0.7 < np.std(z[:, 1]) < 1.4
    assert np.std(z[:, 0]) < 1.4


def test_a_star_without_a_label_counts_for_the_other(spectra):
    targets = spectra[1].copy()
    targets[:20, 1] = np.nan
    network, without = spreading(spectra), spreading(spectra)
    out = fit_kernel(network, targets, recipe())
    assert np.isnan(out.mean[:20, 1]).all()
    assert np.isfinite(out.mean[:, 0]).all()
    assert torch.all(network.precision[1, :20] == 0)
    fit_kernel(without, spectra[1], recipe())
    x = torch.from_numpy(spectra[0])
    with torch.no_grad():
        mean, variance, _ = network.mean_and_variance(x)
        assert torch.isfinite(mean).all()
        assert variance[:20, 1].mean() > without.mean_and_variance(x)[1][:20, 1].mean()


def test_known_errors_of_labels_weigh_the_stars(spectra, rng):
    """Labels with errors that are known are learnt better than with errors that are not."""
    true = spectra[1].copy()
    each = np.tile(np.where(np.arange(STARS) % 2 == 0, 0.05, 1.0)[:, None], (1, 2))
    noisy = true + each * rng.standard_normal(true.shape)
    off = []
    for errors in (None, each):
        out = fit_kernel(spreading(spectra), noisy, recipe(), errors)
        off.append(np.std(out.mean[:, 0] - true[:, 0]))
        if errors is not None:
            assert out.noise[0] < 0.1, "what the errors explain is no noise"
    assert off[1] < 0.8 * off[0]


def test_a_kernel_without_spread_says_so(fitted, spectra):
    with pytest.raises(ModelError, match="spread"):
        fitted[0].mean_and_variance(torch.from_numpy(spectra[0]))


def test_variances_follow_new_weights(spectra):
    first, second = spreading(spectra), spreading(spectra)
    x = torch.from_numpy(spectra[0][:3])
    with torch.no_grad():
        second.mean_and_variance(x)
        fit_kernel(first, spectra[1], recipe())
        second.load_state_dict({k: v.half().float() for k, v in first.state_dict().items()})
        ours, theirs = first.mean_and_variance(x)[1], second.mean_and_variance(x)[1]
    np.testing.assert_allclose(ours, theirs, rtol=0.05, atol=1e-4)


def test_variances_have_gradients_after_predictions(spectra):
    network = spreading(spectra)
    x = torch.from_numpy(spectra[0][:3])
    with torch.inference_mode():
        network.mean_and_variance(x)
    x.requires_grad_()
    network.mean_and_variance(x)[1].sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
