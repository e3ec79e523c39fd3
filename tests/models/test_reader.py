"""The reader: masks, errors and continua go into the fit, not into the labels."""

import numpy as np
import pytest
import torch

from starnet.errors import ConfigError
from starnet.models.reader import Reader, ReaderConfig

CHIPS = ((0, 150), (170, 300))


@pytest.fixture(scope="module")
def reader() -> Reader:
    """A reader of three lines whose depths are its components."""
    torch.manual_seed(1)
    made = Reader(ReaderConfig(300, 2, chips=CHIPS, components=3, hidden=(8, 8), order=2))
    pixel = torch.arange(300.0)
    lines = torch.exp(-0.5 * ((pixel - torch.tensor([[40.0], [90.0], [230.0]])) / 3) ** 2)
    basis = lines / lines.norm(dim=1, keepdim=True)
    made.set_components(1 - 0.2 * lines.sum(dim=0), basis, torch.full((3,), 0.3), torch.ones(300))
    return made.double().eval()


def observed(reader, numbers, ivar=1e4, tilt=0.0, noise=0.0, seed=0):
    flux = reader.mean + torch.as_tensor(numbers).double() @ reader.basis
    pixel = torch.linspace(-1, 1, 300).double()
    flux = flux * (1 + tilt * pixel) + noise * torch.from_numpy(
        np.random.default_rng(seed).standard_normal(300)
    )
    return torch.stack([flux, torch.full_like(flux, ivar)])[None]


def test_the_fit_finds_the_components(reader):
    found = reader.features(observed(reader, [0.2, -0.1, 0.05]))[0]
    assert np.allclose(found[:3] * 0.3, [0.2, -0.1, 0.05], atol=2e-3)
    assert found[3] == pytest.approx(0.0, abs=1e-4)  # S/N 100
    assert found[4] == 0


def test_masked_pixels_have_no_say(reader):
    x = observed(reader, [0.2, -0.1, 0.05])
    x[0, 1, 60:80] = 0
    spoilt = x.clone()
    spoilt[0, 0, 60:80] = 40.0
    assert torch.equal(reader.features(spoilt), reader.features(x))
    assert reader.features(x)[0, 4] == pytest.approx(20 / 300)


def test_half_a_line_is_enough(reader):
    x = observed(reader, [0.2, -0.1, 0.05])
    x[0, 1, 90:110] = 0  # half of the second line
    assert np.allclose(reader.features(x)[0, :3] * 0.3, [0.2, -0.1, 0.05], atol=5e-3)


def test_a_continuum_is_divided_out(reader):
    plain = reader.features(observed(reader, [0.2, -0.1, 0.05]))
    tilted = reader.features(observed(reader, [0.2, -0.1, 0.05], tilt=0.3))
    scaled = observed(reader, [0.2, -0.1, 0.05], ivar=1e4 / 0.64)
    scaled[0, 0] *= 0.8
    assert torch.allclose(tilted[:, :3], plain[:, :3], atol=0.02)
    assert torch.allclose(reader.features(scaled)[:, :3], plain[:, :3], atol=0.01)


def test_noise_goes_down_with_the_errors(reader):
    x = torch.cat([observed(reader, [0, 0, 0], noise=0.01, seed=s) for s in range(200)])
    spread = (reader.features(x)[:, :3] * 0.3).std(dim=0)
    assert np.allclose(spread, 0.01, rtol=0.35)  # unit vectors: the noise of one pixel


def test_no_good_pixel_gives_finite_numbers(reader):
    x = observed(reader, [0.0, 0.0, 0.0])
    x[0, 1] = 0
    mean, sigma = reader.distribution(x)
    assert torch.isfinite(mean).all()
    assert (sigma > 0).all()


def test_other_weights_are_used_at_once_also_inside_another_network(reader):
    x = observed(reader, [0.2, -0.1, 0.05]).float()
    holder = torch.nn.ModuleList([Reader(reader.config)])
    holder[0].features(x)  # matrices are made for the weights of the beginning
    holder.load_state_dict({f"0.{k}": v.float() for k, v in reader.state_dict().items()})
    assert torch.allclose(holder[0].features(x), reader.float().features(x), atol=1e-3)
    reader.double()


def test_it_takes_flux_and_ivar_only():
    with pytest.raises(ConfigError, match="channels"):
        ReaderConfig(100, 2, n_channels=1)
