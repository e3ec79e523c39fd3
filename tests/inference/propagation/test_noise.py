"""Propagated errors: exact for a linear network, streamed, in physical units."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from starnet.artifact import Model
from starnet.errors import ConfigError, DataError, ModelError
from starnet.inference.propagation import label_jacobian, noise, propagate, propagated_covariance
from starnet.models import ReaderConfig, StarNetConfig, build_network
from starnet.preprocess import ChipMedian, Pipeline
from starnet.spectra import LabelScale, Spectra, WavelengthGrid

NAMES = ("teff", "logg", "fe_h")
GRID = WavelengthGrid.log10(4.18, 6e-6, 120, "vacuum", chips=((0, 50), (55, 120)))
SCALE = LabelScale(
    NAMES, (3.7, 2.5, -0.5), (0.05, 1.0, 0.4), (3500, 0, -2.5), (8000, 5, 0.5), ("teff",)
)


def model(network=None, channels=("flux",), pipeline=Pipeline((ChipMedian(),))):  # noqa: B008
    network = network or build_network(StarNetConfig(120, 3, dense=(16,)), seed=3)
    return Model(network.eval(), SCALE, pipeline, GRID, "rest", channels=channels)


def linear():
    """A StarNet without hidden layers is linear."""
    return build_network(StarNetConfig(120, 3, filters=(), dense=()), seed=3)


def spectra(n=5, seed=0):
    rng = np.random.default_rng(seed)
    flux = 200 * (1 + 0.1 * rng.normal(size=(n, 120)))
    ivar = rng.uniform(0.5, 2.0, size=flux.shape) / 20**2
    mask = rng.random(flux.shape) < 0.1
    return Spectra(GRID, flux, ivar, mask)


def by_hand(jacobian, ivar, mask):
    out = []
    for j, w, bad in zip(jacobian.astype(float), ivar.astype(float), mask, strict=True):
        good = ~bad & (w > 0)
        out.append(sum(np.outer(j[:, p], j[:, p]) / w[p] for p in np.flatnonzero(good)))
    return np.array(out)


def test_the_jacobian_is_that_of_the_network():
    inputs = np.random.default_rng(1).normal(size=(7, 1, 120)).astype(np.float32)
    network = build_network(StarNetConfig(120, 3, dense=(16,)), seed=3)
    found = label_jacobian(network, inputs, batch_size=3)
    assert network.training, "the mode must be as it was"
    for star, one in zip(found, torch.from_numpy(inputs), strict=True):
        wanted = torch.autograd.functional.jacobian(lambda x: network.eval()(x[None])[0], one)
        np.testing.assert_allclose(star, wanted[:, 0], rtol=1e-4, atol=1e-6)
    assert label_jacobian(network, inputs[:0]).shape == (0, 3, 120)


def test_the_covariance_is_the_textbooks():
    one, prepared = model(linear()), model(linear()).prepare(spectra())
    jacobian = label_jacobian(one, one.inputs(prepared))
    scaled = by_hand(jacobian, prepared.ivar, prepared.mask)
    found = propagated_covariance(jacobian, prepared.ivar, prepared.mask)
    np.testing.assert_allclose(found, scaled, rtol=1e-5, atol=1e-7 * scaled.max())
    values, covariance = propagate(one, prepared, batch_size=2)
    unit = SCALE.inverse_derivative(SCALE.forward(values))
    wanted = scaled * unit[:, :, None] * unit[:, None, :]
    np.testing.assert_allclose(covariance, wanted, rtol=2e-5, atol=1e-7 * wanted.max())


def test_noise_scatters_labels_as_much_as_it_says():
    """4,000 noisy copies of a star, through a linear network, in physical units."""
    one = model(linear(), pipeline=Pipeline(()))
    rng = np.random.default_rng(2)
    flux, sigma = 1 + 0.1 * rng.normal(size=120), rng.uniform(0.001, 0.003, 120)
    clean = Spectra(GRID, flux, 1 / sigma**2)
    noisy = Spectra(GRID, flux + sigma * rng.normal(size=(4000, 120)))
    said = propagate(one, clean)[1][0]
    seen = np.cov(propagate(one, noisy)[0].T)
    error = np.sqrt(np.diag(said))
    np.testing.assert_allclose(
        seen / np.outer(error, error), said / np.outer(error, error), atol=0.1
    )


def test_masked_and_unknown_pixels_add_nothing():
    one, prepared = model(), model().prepare(spectra())
    wild = np.where(prepared.mask, np.float32(1e6), prepared.ivar)
    jacobian = label_jacobian(one, one.inputs(prepared))
    found = propagated_covariance(jacobian, wild, prepared.mask)
    np.testing.assert_array_equal(
        found, propagated_covariance(jacobian, prepared.ivar, prepared.mask)
    )
    half = prepared.ivar.copy()
    half[:, ::2] = 0
    unknown = propagated_covariance(jacobian, half)
    dropped = propagated_covariance(jacobian[:, :, 1::2], half[:, 1::2])
    np.testing.assert_allclose(unknown, dropped, rtol=1e-5, atol=1e-9)


def test_what_is_not_known_is_nan_and_stays_alone():
    good = spectra(3)
    ivar, mask = good.ivar.copy(), good.mask.copy()
    ivar[1] = 0  # no error known
    mask[2] = True  # no pixel known
    one = model()
    values, covariance = propagate(one, one.prepare(Spectra(GRID, good.flux, ivar, mask)))
    assert np.isfinite(values[:2]).all()
    assert np.isnan(values[2]).all()
    assert np.isnan(covariance[1:]).all()
    np.testing.assert_allclose(covariance[0], propagate(one, one.prepare(good))[1][0], rtol=1e-6)


def test_errors_of_any_size_keep_their_digits():
    one = model(linear(), pipeline=Pipeline(()))
    flux = np.ones((3, 120))
    ivar = np.ones((3, 120)) * np.array([1e-30, 1.0, 1e30])[:, None]
    variance = np.diagonal(propagate(one, Spectra(GRID, flux, ivar))[1], axis1=1, axis2=2)
    np.testing.assert_allclose(variance[0] / variance[1], 1e30, rtol=1e-4)
    np.testing.assert_allclose(variance[2] / variance[1], 1e-30, rtol=1e-4)


def test_pixels_of_large_error_can_be_left_out():
    one, prepared = model(), model().prepare(spectra())
    ivar = prepared.ivar.copy()
    ivar[:, 10] = 1e-3
    rough = prepared.replace(ivar=ivar)
    smooth = prepared.replace(ivar=np.where(np.arange(120) == 10, 0, prepared.ivar))
    found = propagate(one, rough, max_error=6.0)[1]
    np.testing.assert_allclose(found, propagate(one, smooth)[1], rtol=1e-6)
    with pytest.raises(ConfigError, match="max_error"):
        propagate(one, prepared, max_error=0)


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_batches_change_nothing(batch_size):
    one, prepared = model(), model().prepare(spectra(7))
    values, covariance, jacobian = propagate(
        one, prepared, batch_size=batch_size, keep_jacobian=True
    )
    again = propagate(one, prepared)
    np.testing.assert_allclose(values, again[0], rtol=1e-5)
    np.testing.assert_allclose(covariance, again[1], rtol=1e-3, atol=1e-6)
    assert jacobian.shape == (7, 3, 120)
    np.testing.assert_allclose(
        propagated_covariance(jacobian, prepared.ivar, prepared.mask), covariance, rtol=1e-3
    )


def test_memory_does_not_grow_with_stars(monkeypatch):
    """No batch sees more spectra than it may, and none outlives the next."""
    seen = []
    honest = noise.outputs_and_slopes

    def watched(network, x, channel):
        seen.append(len(x))
        return honest(network, x, channel)

    monkeypatch.setattr(noise, "outputs_and_slopes", watched)
    one = model()
    inputs = []
    monkeypatch.setattr(
        type(one), "inputs", lambda self, s: (inputs.append(len(s)), s.flux[:, None])[1]
    )
    propagate(one, one.prepare(spectra(50)), batch_size=8)
    assert seen == inputs == [8, 8, 8, 8, 8, 8, 2]


def test_only_the_flux_of_a_reader_is_varied():
    network = build_network(
        ReaderConfig(120, 3, components=6, hidden=(16,), order=1, passes=1), seed=1
    )
    one = model(network.eval(), ("flux", "ivar"))
    prepared = one.prepare(spectra(3))
    inputs = one.inputs(prepared)
    found = label_jacobian(one, inputs)
    wide = network.double()
    x = torch.from_numpy(inputs).double()
    for pixel in (3, 70, 110):
        moved = x.clone()
        moved[:, 0, pixel] += 1e-6
        with torch.no_grad():
            slope = (wide(moved) - wide(x)) / 1e-6
        np.testing.assert_allclose(found[:, :, pixel], slope, rtol=2e-3, atol=1e-4)


def test_bad_input_is_named():
    one, prepared = model(), model().prepare(spectra())
    with pytest.raises(ModelError, match="is fed mask"):
        propagate(dataclasses.replace(one, channels=("mask",)), prepared)
    with pytest.raises(ConfigError, match="batch_size"):
        propagate(one, prepared, batch_size=0)
    with pytest.raises(DataError, match=r"\(2, 3, 4\), \(2, 5\)"):
        propagated_covariance(np.ones((2, 3, 4)), np.ones((2, 5)))
