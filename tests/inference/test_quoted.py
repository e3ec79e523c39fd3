import dataclasses

import numpy as np
import pytest

from starnet.inference.quoted import quote
from starnet.models import build_network
from starnet.models.amortised import amortised


@pytest.fixture
def reading(toy_model, toy_spectra):
    """A model with a reader, and spectra as it takes them."""
    prepared = toy_model.prepare(toy_spectra)
    sizes = {"n_pixels": prepared.n_pixels, "n_labels": len(toy_model.labels), "n_channels": 2}
    settings = {"family": "reader", "components": 4, "hidden": [8], "repeats": True, "order": 1}
    reader = build_network({**settings, **sizes}, seed=0)
    return dataclasses.replace(toy_model, network=reader, channels=("flux", "ivar")), prepared


def test_a_head_on_a_reader_keeps_its_noise_and_its_features(reading):
    model, prepared = reading
    top = amortised(model.network, {"kind": "covariance"}, (8,))
    snr = np.full(len(prepared), 50.0)
    plain = quote(model, prepared, snr)
    headed = quote(dataclasses.replace(model, network=top), prepared, snr)
    assert np.allclose(headed.features, plain.features)
    assert np.allclose(headed.noise[:, 1], plain.noise[:, 1])  # that of teff is cut at its error
    assert (headed.noise <= headed.error).all()
    assert np.allclose(headed.posterior.mean, headed.values)
    assert np.allclose(headed.posterior.error, headed.error)
    assert not np.allclose(headed.error, plain.error)
