import dataclasses

import numpy as np
import pytest
import torch
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d

from starnet.errors import ConfigError
from starnet.models import Projection, ProjectionConfig

CONFIG = ProjectionConfig(
    150, 2, scales=(0.0, 5.0), components=(3, 4), views=((0,), (0, 1)), members=2, hidden=(8,)
)


@pytest.fixture
def inputs(rng):
    """40 spectra (40, 1, 150) that differ in five ways."""
    ways = gaussian_filter1d(rng.standard_normal((5, 150)), 2.0, axis=1)
    return np.exp(0.3 * rng.standard_normal((40, 5)) @ ways)[:, None].astype(np.float32)


def fitted(config, inputs):
    network = Projection(config)
    network.fit_inputs(inputs)
    return network


def components(network, inputs):
    log = torch.from_numpy(np.log(inputs[:, 0]).astype(np.float32)) - network.center
    return (log @ network.basis).numpy()


def test_components_are_those_of_the_covariance(inputs):
    config = dataclasses.replace(CONFIG, whiten_power=0.0)
    found = components(fitted(config, inputs), inputs)[:, :3]
    log = np.log(inputs[:, 0].astype(float))
    _, size, axes = np.linalg.svd(log - log.mean(axis=0), full_matrices=False)
    expected = (log - log.mean(axis=0)) @ axes[:3].T
    ratio = np.abs(found / expected)
    assert np.allclose(ratio, ratio[0, 0], rtol=1e-3)
    assert size[0] > size[1]


def test_whitened_components_are_of_one_size(inputs):
    config = dataclasses.replace(CONFIG, whiten_power=1.0)
    found = components(fitted(config, inputs), inputs)
    assert np.allclose(found[:, :3].std(axis=0), 1.0, rtol=1e-3)
    assert np.allclose(found[:, 3:].std(axis=0), 1.0, rtol=1e-3)


def test_filtered_versions_do_not_see_what_is_broad(inputs):
    network = fitted(CONFIG, inputs)
    broad = np.exp(np.linspace(-0.5, 0.5, 150) ** 2)[None, None] * inputs[:4]
    change = components(network, broad.astype(np.float32)) - components(network, inputs[:4])
    assert np.abs(change[:, 3:]).max() < 0.05 * np.abs(change[:, :3]).max()


def test_the_blue_end_is_left_out_of_filtered_versions(inputs):
    network = fitted(dataclasses.replace(CONFIG, first_pixel=60), inputs)
    changed = inputs.copy()
    changed[:, 0, :35] *= 1.1  # the filter reaches 4 sigma, 20 pixels, beyond
    change = components(network, changed) - components(network, inputs)
    assert np.abs(change[:, 3:]).max() < 1e-4
    assert np.abs(change[:, :3]).max() > 1e-2


def test_more_components_than_spectra_leave_the_rest_empty(inputs):
    network = fitted(dataclasses.replace(CONFIG, components=(3, 50)), inputs[:6])
    assert torch.isfinite(network.basis).all()
    assert torch.count_nonzero(network.basis[:, 3:].abs().sum(dim=0)) <= 6


def test_jitter_acts_in_training_alone_and_differs_between_members(inputs):
    config = dataclasses.replace(CONFIG, noise=0.0, shift=0.5)
    network, x = fitted(config, inputs), torch.from_numpy(inputs)
    network.eval()
    assert torch.equal(network(x), network(x))
    network.train()
    moved = [network.member_outputs(x) for _ in range(2)]
    assert not torch.equal(moved[0], moved[1])


def test_a_shift_is_what_the_derivative_says(inputs, rng):
    network, step = fitted(CONFIG, inputs), 0.2
    pixel = np.arange(150)
    spline = CubicSpline(pixel, gaussian_filter1d(rng.standard_normal((9, 150)), 4.0), axis=1)
    log, moved = (torch.tensor(spline(pixel + d), dtype=torch.float32) for d in (0.0, step))
    exact = network._views(moved) - network._views(log)
    linear = step * network._views(torch.gradient(log, dim=1)[0])
    assert exact.shape == (4, 9, 7)
    assert (exact - linear).std() < 0.1 * exact.std()


@pytest.mark.parametrize(
    "wrong",
    [{"components": (3,)}, {"views": ((2,),)}, {"views": ()}, {"members": 0}, {"first_pixel": 150}],
)
def test_settings_that_do_not_fit_are_refused(wrong):
    with pytest.raises(ConfigError):
        dataclasses.replace(CONFIG, **wrong)
