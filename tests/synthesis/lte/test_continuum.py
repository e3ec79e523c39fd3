"""Continuous opacity against independent formulae."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from starnet.synthesis.constants import BOLTZMANN, LIGHT
from starnet.synthesis.lte.continuum import Continuum, edges, planck
from starnet.synthesis.lte.eos import EquationOfState, Gas
from starnet.synthesis.lte.tables import Tables

from . import made_up

WAVES = (3000.0, 5000.0, 8000.0, 16000.0, 22000.0)


def gas(tables: Tables, t: object, p: object, m_h: float = 0.0) -> Gas:
    numbers = made_up.solar()
    numbers[:, 2:] *= 10**m_h
    return EquationOfState(tables).solve(made_up.tensor(t), made_up.tensor(p), numbers)


def john_bound_free(micron: float, t: float) -> float:
    """John 1988, equations 3 to 5: cm4/dyn per neutral hydrogen atom, emission taken off."""
    inverse = 1 / micron - 1 / 1.6419
    if inverse <= 0:
        return 0.0
    c = (152.519, 49.534, -118.858, 92.536, -34.194, 4.982)
    f = sum(x * inverse ** (n / 2) for n, x in enumerate(c))
    sigma = 1e-18 * micron**3 * inverse**1.5 * f
    alpha = 1.439e4
    held = 0.750 * t**-2.5 * np.exp(alpha / (1.6419 * t))
    return held * -np.expm1(-alpha / (micron * t)) * sigma


@pytest.mark.parametrize("wave", [4000.0, 5000.0, 8500.0, 12000.0, 15000.0])
def test_negative_hydrogen_bound_free(tables: Tables, wave: float):
    state = gas(tables, [5800.0], [1e5])
    bare = Continuum(tables, [wave])
    with_it = bare(state)[0]
    bare.h_minus_bf = torch.zeros_like(bare.h_minus_bf)
    got = float(with_it - bare(state)[0])
    pressure = float(state.electrons) * BOLTZMANN * 5800.0
    expected = john_bound_free(wave / 1e4, 5800.0) * pressure * float(state.atoms[0, 0, 0, 0])
    assert got == pytest.approx(expected, rel=0.04)


def test_negative_hydrogen_free_free(tables: Tables):
    """John 1988, table 2 (from Bell and Berrington): 1.6 micron, theta 1.0 and 0.8."""
    for theta, other in ((1.0, 1.0), (0.8, 0.85)):
        state = gas(tables, [5040 / theta], [1e5])
        bare = Continuum(tables, [22000.0])
        got = float(bare._h_minus_free(state, state.temperature[..., None]))
        pressure = float(state.electrons) * BOLTZMANN * 5040 / theta
        per = got / pressure / float(state.atoms[0, 0, 0, 0])
        # Gray 2005, equation 8.13
        log = np.log10(22000.0)
        f = (
            -2.2763 - 1.6850 * log + 0.76661 * log**2 - 0.053346 * log**3,
            15.2827 - 9.2846 * log + 1.99381 * log**2 - 0.142631 * log**3,
            -197.789 + 190.266 * log - 67.9775 * log**2 + 10.6913 * log**3 - 0.625151 * log**4,
        )
        expected = 10 ** (-26 + f[0] + f[1] * np.log10(theta) + f[2] * np.log10(theta) ** 2)
        assert per == pytest.approx(expected, rel=0.05), other


def test_negative_hydrogen_free_free_is_continuous(toy_tables: Tables):
    """John's coefficients change at 0.3645 micron."""
    at = Continuum(toy_tables, [3644.99, 3645.01])
    for t in (3000.0, 5000.0, 8000.0):
        low, high = at._h_minus_free(gas(toy_tables, [t], [1e5]), made_up.tensor([[t]]))[0, 0]
        assert low == pytest.approx(float(high), rel=0.03)


def test_hydrogen_bound_free(tables: Tables):
    """Kramers' cross section within the Gaunt factor, level by level."""
    wave = np.array([3000.0, 6000.0, 12000.0])
    rows = Continuum(tables, wave).h_bf.numpy()
    nu = LIGHT / (wave * 1e-8)
    for n in (2, 3, 4, 5, 6):
        edge = 3.28805e15 / n**2
        kramers = np.where(nu > edge, 2 * n**2 * 7.907e-18 * n * (edge / nu) ** 3, 0.0)
        some = kramers > 0
        assert np.all(rows[n - 1][~some] == 0)
        assert np.all(np.abs(rows[n - 1][some] / kramers[some] - 0.97) < 0.22)


def test_free_free_of_a_plasma(tables: Tables):
    """Allen 1973, section 43, with the Gaunt factor of Gray 2005 (equation 8.6)."""
    t, wave = 12000.0, 20000.0
    state = gas(tables, [t], [1e2])
    u = 1.43878 / (wave * 1e-8 * t)
    t_wide = state.temperature[..., None]
    got = float(Continuum(tables, [wave])._free_free(state, t_wide)) * -np.expm1(-u)
    ions = float((state.atoms[..., 1] + 4 * state.atoms[..., 2]).sum())
    g = 1 + 0.3456 / (wave * 1.0968e-3) ** (1 / 3) * (1 / u + 0.5)
    nu = LIGHT / (wave * 1e-8)
    expected = 3.692e8 * -np.expm1(-u) * g * ions * float(state.electrons) / t**0.5 / nu**3
    assert got == pytest.approx(expected, rel=0.1)


def test_scattering(tables: Tables):
    """Thomson's of a hot gas; Rayleigh's of a cool one goes as wavelength to the -4."""
    hot = gas(tables, [12000.0], [1e2])
    scattered = Continuum(tables, [5000.0])(hot)[1]
    assert float(scattered / hot.electrons) == pytest.approx(6.6524e-25, rel=0.01)
    cool = gas(tables, [5500.0], [1e4])
    scattered = Continuum(tables, [8000.0, 16000.0])(cool)[1]
    blue, red = (scattered - 6.6524587e-25 * cool.electrons[..., None])[0, 0]
    assert float(blue / red) == pytest.approx(16, rel=0.1)
    omega = 911.75 / 8000.0  # Lee and Kim 2004, MNRAS 347, 802
    expected = 6.6524e-25 * (1.26562 * omega**4 + 3.73827 * omega**6 + 8.81392 * omega**8)
    assert float(blue / cool.atoms[0, 0, 0, 0]) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("m_h", [-3.0, 0.0])
def test_everywhere_positive_and_smooth_but_at_edges(tables: Tables, m_h: float):
    """From 2000 Angstrom to 20 micron, 2300 to 12,000 K."""
    wave = np.geomspace(2000.5, 199900, 12000)
    t, p = [2300.0, 3500.0, 5000.0, 8000.0, 12000.0], [1e3, 1e4, 1e5, 1e3, 1e6]
    absorbed, scattered = Continuum(tables, wave)(gas(tables, t, p, m_h))
    assert torch.isfinite(absorbed).all()
    assert (absorbed > 0).all()
    assert (scattered > 0).all()
    # levels of iron too, which the nodes of an engine leave out
    jump = torch.diff(torch.log(absorbed + scattered), dim=-1)[0].abs().amax(dim=0).numpy()
    near = np.searchsorted(wave, edges(2000, 200000)) - 1
    smooth = np.ones(jump.size, bool)
    for place in near:
        smooth[max(place - 2, 0) : place + 3] = False
    assert jump[smooth].max() < 0.15, wave[:-1][smooth][jump[smooth].argmax()]
    # the levels of hydrogen that neighbours dissolve end gradually, within some 20 Angstrom
    assert jump[smooth & (wave[:-1] > 4000)].max() < 0.08
    assert jump[~smooth].max() > 0.03


def test_known_edges():
    found = edges(2000, 25000)
    for wave in (3647.0, 8206.0, 14588.0, 22794.0, 2513.0, 3757.0, 2077.0):
        assert np.abs(found / wave - 1).min() < 1e-3, wave


def test_dissolved_levels_fill_the_balmer_jump(tables: Tables):
    """Redward of the edge the opacity falls gradually, the more slowly the denser the gas."""
    wave = np.array([3640.0, 3660.0, 3700.0, 3800.0, 4000.0])
    shares = []
    for pressure in (1e2, 1e5):
        state = gas(tables, [9000.0], [pressure])
        at = Continuum(tables, wave)
        with_it = at(state)[0]
        at.beyond = []
        extra = (with_it - at(state)[0])[0, 0]
        assert extra[0] == 0
        shares.append((extra / extra[1]).numpy())
    assert np.all(np.diff(shares[1][1:]) <= 0.05)  # the cross section grows redwards
    assert np.all(shares[1][1:] >= shares[0][1:])
    assert shares[1][3] > 0.2 > shares[0][3]


def test_stimulated_emission_is_taken_off(toy_tables: Tables):
    """Of each source but those whose formula holds it: at long waves by h nu / kT."""
    state = gas(toy_tables, [6000.0], [1e4])
    for wave in (4000.0, 150000.0):
        at = Continuum(toy_tables, [wave])
        t = state.temperature[..., None]
        factor = 1 - np.exp(-1.43878 / (wave * 1e-8 * 6000))
        with_it = sum(f(state, t) for f in (at._bound_free, at._free_free, at._molecular_ion))
        without = sum(f(state, t) for f in (at._h_minus_free, at._helium_minus))
        total = float(at(state)[0])
        assert total == pytest.approx(float(with_it * factor + without), rel=1e-9)


def test_metals_matter_in_the_ultraviolet(tables: Tables):
    """Mg, Si, Al and Fe, but not in the red."""
    rich, poor = (gas(tables, [5000.0], [1e5], m_h) for m_h in (0.0, -4.0))
    at = Continuum(tables, [2300.0, 16000.0])
    per = [at(s)[0][0, 0] / s.h_minus[0, 0] for s in (rich, poor)]
    assert per[0][0] > 2 * per[1][0]
    assert float(per[0][1]) == pytest.approx(float(per[1][1]), rel=0.1)


def test_planck():
    """Its integral is sigma T**4 / pi."""
    wave = np.geomspace(500, 3e6, 20000)
    values = planck(torch.as_tensor(wave), made_up.tensor([5777.0]))[0, 0].numpy()
    assert np.trapezoid(values, wave) == pytest.approx(5.6704e-5 * 5777**4 / np.pi, rel=1e-4)


def test_derivatives(toy_tables: Tables):
    at = Continuum(toy_tables, np.array(WAVES))
    fixed = gas(toy_tables, [5800.0], [1e5])

    def opacity(t: torch.Tensor) -> torch.Tensor:
        parts = {k: getattr(fixed, k) for k in ("electrons", "per_q", "atoms", "h_minus")}
        moved = SimpleNamespace(temperature=t, molecule=fixed.molecule, **parts)
        return torch.log(at(moved)[0])

    t = made_up.tensor([5800.0]).requires_grad_()
    assert torch.autograd.gradcheck(opacity, (t,), eps=1e-2, atol=1e-9, rtol=1e-3)
