"""The Payne learns from noisy stars and gives honest errors; a given emulator is taken as it is."""

import numpy as np
import pytest
import torch

from starnet.baselines import load_fitted
from starnet.baselines._members import Members
from starnet.baselines._scatter import scatter_of
from starnet.baselines.payne import Payne
from starnet.errors import ConfigError, LabelError, ModelError
from starnet.spectra import Labels, Spectra, WavelengthGrid

QUICK = {"steps": 120, "rounds": 1, "hidden": (16,)}


def lines(n: int, noise: float, seed: int, hidden: float = 0.0) -> tuple[Spectra, Labels]:
    """Stars with two labels and, if asked for, a third direction that no label tells of."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (n, 2))
    pixel = np.arange(90)
    shape = np.exp(-0.5 * ((pixel - np.array([[15], [30], [45], [60], [75]])) / 2.5) ** 2)
    other = hidden * rng.standard_normal(n)
    rise = [0.1 * x[:, 0], 0.1 * x[:, 1], 0.08 * (x[:, 0] + other)]
    rise += [0.05 * x[:, 0] * x[:, 1] + 0.08 * other, 0.08 * other]
    depth = 0.3 + np.stack(rise, axis=1)
    sigma = noise * rng.uniform(0.5, 2.0, (n, 1)) * np.ones((1, 90))
    flux = 1 - depth @ shape + sigma * rng.standard_normal((n, 90))
    grid = WavelengthGrid.log10(4.18, 6e-6, 90, "vacuum")
    mask = rng.random(flux.shape) < 0.05
    labels = Labels(("teff", "fe_h"), x * [600, 0.5] + [5000, -0.3])
    return Spectra(grid, np.where(mask, 9.0, flux), sigma**-2.0, mask), labels


def test_learns_and_errors_are_honest():
    spectra, labels = lines(500, 0.01, 1)
    fitted = Payne(**QUICK).fit(spectra[:250], labels[:250], seed=2)
    got = fitted.predict(spectra[250:])
    pull = (got.values - labels.values[250:]) / got.errors
    size = 1.4826 * np.median(np.abs(pull), axis=0)
    assert np.all((size > 0.7) & (size < 1.35)), size
    assert np.median(np.abs(got.values[:, 0] - labels.values[250:, 0])) < 25
    flux = fitted.flux(labels[250:])
    good = ~spectra.mask[250:]
    assert np.std((flux - spectra.flux[250:])[good]) < 0.02


def test_what_labels_do_not_explain_is_allowed_for():
    spectra, labels = lines(500, 0.005, 3, hidden=0.6)
    rows = slice(0, 250), slice(250, None)
    off = {}
    for common in (0, 5):
        fitted = Payne(**QUICK, common=common).fit(spectra[rows[0]], labels[rows[0]])
        assert (fitted.components.common.shape[1] > 0) == (common > 0)
        apart = fitted.predict(spectra[rows[1]]).values - labels.values[rows[1]]
        off[common] = np.median(np.abs(apart), axis=0)
    assert off[5][0] < 0.85 * off[0][0]


def test_scatter_is_what_noise_leaves():
    rng = np.random.default_rng(0)
    noise, own = 0.02, np.array([0.0, 0.01, 0.05, 0.1])
    flux = rng.standard_normal((4000, 4)) * np.hypot(noise, own)
    flux[::200] = 3.0
    found = scatter_of(flux, np.full(flux.shape, noise**2), np.ones(flux.shape, bool))
    np.testing.assert_allclose(found[1:], own[1:], rtol=0.25)
    assert found[0] < 0.01


def test_slopes_of_members():
    torch.manual_seed(0)
    members = Members(3, 2, (5, 5), 4).double()
    x = torch.rand(6, 2, dtype=torch.float64)
    value, slope = members.mean_and_slopes(x)
    torch.testing.assert_close(value, members(x).mean(0))
    full = torch.autograd.functional.jacobian(lambda y: members(y).mean(0).sum(0), x)
    torch.testing.assert_close(slope, full.permute(1, 2, 0))


def test_settings_are_checked():
    with pytest.raises(ConfigError, match="folds 2 or more"):
        Payne(folds=1)
    with pytest.raises(ConfigError, match="1 or more"):
        Payne(hidden=(0,))


@pytest.fixture
def emulated(toy_emulator, tmp_path):
    """A method with a small emulator, and 30 stars that it makes."""
    folder = tmp_path / "toy"
    toy_emulator.save(folder)
    rng = np.random.default_rng(1)
    low, high = toy_emulator.hull.low, toy_emulator.hull.high
    x = toy_emulator.hull.clip(rng.uniform(low, high, (30, 6)))
    with torch.no_grad():
        flux = toy_emulator.flux(torch.as_tensor(x).float()).numpy()
    flux = flux + 0.002 * rng.standard_normal(flux.shape)
    spectra = Spectra(toy_emulator.grid, flux, np.full(flux.shape, 0.002**-2))
    return Payne(emulator=str(folder), starts=1), spectra, Labels(("teff", "fe_h"), x[:, [0, 2]])


def test_a_given_emulator_is_corrected_by_a_constant(emulated, tmp_path):
    method, spectra, labels = emulated
    fitted = method.fit(spectra, labels)
    moved = Labels(labels.names, labels.values + np.array([100.0, 0.2]))
    other = method.fit(spectra, moved)
    np.testing.assert_allclose(other.constant - fitted.constant, [100.0, 0.2], atol=1e-6)
    got, plain = other.predict(spectra[:5]), fitted.predict(spectra[:5])
    np.testing.assert_allclose(got.values - plain.values, [[100.0, 0.2]] * 5, atol=1e-6)
    path = fitted.save(tmp_path / "payne.safetensors")
    again = load_fitted(path)
    assert type(again) is type(fitted)
    np.testing.assert_array_equal(again.predict(spectra[:5]).values, plain.values)


def test_a_given_emulator_must_have_the_labels(emulated):
    method, spectra, labels = emulated
    with pytest.raises(LabelError, match="has no label mg_fe"):
        method.fit(spectra, Labels(("teff", "mg_fe"), labels.values))
    with pytest.raises(ModelError, match="There is no emulator 'none'"):
        Payne(emulator="none").fit(spectra, labels)
