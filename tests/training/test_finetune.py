import json

import numpy as np
import pytest
import torch

from starnet.errors import ConfigError
from starnet.models import Kernel, KernelConfig, Reader, ReaderConfig
from starnet.models.kernel import reader_settings
from starnet.training.finetune import (
    FineTuneRecipe,
    finetune_recipes,
    fit_kernel,
    load_finetune_recipe,
)

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
    left_out = fitted[1]
    off = np.std(left_out - spectra[1], axis=0)
    assert off[0] < 0.15
    assert 0.2 < off[1] < 0.45, "noise of labels is neither learnt nor in the way"


def test_each_star_is_predicted_by_the_others(fitted, spectra):
    network, left_out = fitted
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
