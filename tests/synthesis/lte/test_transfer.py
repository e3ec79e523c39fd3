"""The flux of atmospheres whose solution is known."""

import numpy as np
import pytest
import torch
from scipy.special import expn
from torch import Tensor

from starnet.synthesis.lte.transfer import (
    emergent_flux,
    exponential_integrals,
    mean_intensity,
    optical_depth,
)

TAU = np.concatenate([[1e-6], np.geomspace(1e-5, 60, 120)])


def atmosphere(tau: np.ndarray = TAU, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Opacity (1, D, 1) and ln of a depth scale (1, D) that make this optical depth."""
    t = torch.as_tensor(tau, dtype=dtype)[None]
    return t[..., None], torch.log(t)


def column(values: np.ndarray, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.as_tensor(values, dtype=dtype)[None, :, None]


def test_exponential_integrals():
    x = np.concatenate([[0.0], np.geomspace(1e-8, 80, 500)])
    for n, got in zip((2, 3, 4), exponential_integrals(torch.as_tensor(x)), strict=True):
        assert np.abs(got.numpy() - expn(n, x)).max() < 3e-7


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_exponential_integrals_far_in(dtype: torch.dtype):
    """Powers of a large depth overflow in single precision."""
    x = torch.tensor([1e3, 1e6, 1e10, 1e15, 1e30], dtype=dtype, requires_grad=True)
    values = torch.stack(exponential_integrals(x))
    values.sum().backward()
    assert (values == 0).all()
    assert (x.grad == 0).all()


def test_optical_depth_of_a_power_law():
    """Opacity that goes as the scale to 1.7 is tau / 1.7 ... exactly, on few depths."""
    scale = np.geomspace(1e-3, 10, 25)
    tau, steps = optical_depth(column(scale**1.7), torch.log(torch.as_tensor(scale))[None])
    exact = (scale**1.7)[0] * (1 - 1 / 1.7) + scale**1.7 / 1.7
    assert np.allclose(tau[0, :, 0], exact, rtol=1e-5)
    assert np.allclose(np.diff(tau[0, :, 0]), steps[0, :, 0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("a", "b"), [(1.0, 0.0), (1.0, 1.5), (0.0, 1.0)])
def test_linear_sources(a: float, b: float, dtype: torch.dtype):
    """F = pi (a + 2 b / 3), as Eddington and Barbier have it."""
    opacity, scale = atmosphere(dtype=dtype)
    flux = emergent_flux(opacity, column(a + b * TAU, dtype), scale)
    assert float(flux) == pytest.approx(np.pi * (a + 2 * b / 3), rel=1e-4)


def test_a_grey_atmosphere():
    """S = 3/4 (tau + q) F / pi with Hopf's q gives F back."""
    hopf = 0.7104 - 0.1331 * np.exp(-3.4488 * TAU)  # Mihalas 1978
    opacity, scale = atmosphere()
    assert float(emergent_flux(opacity, column(0.75 * (TAU + hopf) / np.pi), scale)) == (
        pytest.approx(1.0, rel=3e-3)
    )


def test_brute_force():
    """A bumpy opacity and source, against many rays and fine steps."""
    log_scale = np.linspace(-7, 5, 60)
    opacity = np.exp(log_scale) * (1 + 0.6 * np.sin(2 * log_scale))
    source = 1 + 0.4 * np.tanh(log_scale)
    got = emergent_flux(column(opacity), column(source), torch.as_tensor(log_scale)[None])
    tau, _ = optical_depth(column(opacity), torch.as_tensor(log_scale)[None])
    tau = tau[0, :, 0].numpy()
    mu, weight = np.polynomial.legendre.leggauss(40)
    mu, weight = 0.5 * (mu + 1), 0.5 * weight
    fine = np.unique(np.concatenate([tau, np.geomspace(1e-7, tau[-1], 20000)]))
    s = np.interp(fine, tau, source)
    rays = [np.trapezoid(s * np.exp(-fine / m) / m, fine) for m in mu]
    assert float(got) == pytest.approx(2 * np.pi * np.sum(weight * mu * rays), rel=3e-4)


def test_the_flux_does_not_jump_with_the_opacity():
    """Where small steps are taken another way; float32 noise is 1e-7."""
    opacity, scale = atmosphere(np.geomspace(1e-4, 30, 50))
    factors = torch.linspace(0.5, 2.0, 4000, dtype=torch.float64)
    opacity = opacity * factors
    source = column(1 + np.geomspace(1e-4, 30, 50) ** 0.5).expand_as(opacity)
    flux = emergent_flux(opacity, source, scale)[0].numpy()
    bend = np.diff(flux, 2)
    assert np.abs(bend).max() < 3e-6


def mean(share: float, thermal: np.ndarray, tau: np.ndarray = TAU) -> np.ndarray:
    """J with a share of scattering."""
    total, scale = atmosphere(tau)
    ones = torch.ones(1, tau.size, dtype=torch.float64)
    absorbed, scattered = total * (1 - share), total * share
    return mean_intensity(absorbed, scattered, column(thermal), ones, scale)[0, :, 0].numpy()


def test_mean_intensity_without_scattering():
    """Half the source at the surface, all of it deep inside, E2 between."""
    j = mean(0.0, np.ones(TAU.size))
    assert np.allclose(j, 1 - 0.5 * expn(2, TAU), atol=2e-4)
    linear = mean(0.0, 1 + TAU)
    inside = (TAU > 3) & (TAU < 40)
    assert np.allclose(linear[inside], (1 + TAU)[inside], rtol=0.01)
    assert linear[0] == pytest.approx(0.5 + 0.25, rel=2e-3)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_scattering_in_an_even_atmosphere(share: float):
    """S = sqrt(eps) B at the surface and B below the thermal depth."""
    eps = 1 - share
    j = mean(share, np.ones(TAU.size))
    source = eps + share * j
    assert source[0] == pytest.approx(np.sqrt(eps), rel=0.03)
    assert j[20 / np.sqrt(eps) < TAU].min(initial=1.0) > 0.99
    assert np.all(np.diff(j) > -1e-6)


def test_pure_scattering_is_conserved():
    """No light is made: the flux at the surface is that of the deep layers, J = S."""
    j = mean(1 - 1e-9, 0.75 * (TAU + 2 / 3))
    opacity, scale = atmosphere()
    source = column(1e-9 * 0.75 * (TAU + 2 / 3) + (1 - 1e-9) * j)
    assert np.all(j > 0)
    # Milne's problem: J = 3/4 (tau + q) F / pi, whatever the scale of F
    slope = (j[-20] - j[-40]) / (TAU[-20] - TAU[-40])
    flux = float(emergent_flux(opacity, source, scale))
    assert flux / np.pi == pytest.approx(4 / 3 * slope, rel=0.02)
    assert j[0] / slope == pytest.approx(1 / np.sqrt(3), rel=0.02)


def test_derivatives():
    tau = np.geomspace(1e-3, 20, 8)
    opacity, scale = atmosphere(tau)
    opacity = (opacity * torch.tensor([1.0, 30.0])).requires_grad_()
    source = column(1 + tau).expand(1, 8, 2).clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda k, s: emergent_flux(k, s, scale), (opacity, source), eps=1e-6, atol=2e-5, rtol=1e-3
    )
    parts = [(0.4 * opacity).detach(), (0.6 * opacity).detach(), source.detach()]
    ones = torch.ones(1, 8, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda a, s, b: mean_intensity(a, s, b, ones, scale),
        tuple(x.requires_grad_() for x in parts),
        eps=1e-6,
        atol=2e-5,
        rtol=1e-3,
    )
