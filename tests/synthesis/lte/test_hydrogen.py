"""Lines of hydrogen: strengths, profiles, dissolution, and the Balmer lines of the Sun."""

import functools
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from starnet.synthesis.constants import LIGHT, LINE_CONSTANT
from starnet.synthesis.lines import LineList, parse_species
from starnet.synthesis.lte.engine import LteEngine
from starnet.synthesis.lte.hydrogen import (
    REACH,
    Hydrogen,
    HydrogenLine,
    hydrogen_lines,
    line_nodes,
    occupation,
    oscillator_strength,
)
from starnet.synthesis.lte.tables import Tables

from . import made_up


def gas(t: float = 6000.0, electrons: float = 1e13, neutral: float = 1e10) -> SimpleNamespace:
    atoms = torch.zeros(1, 1, 92, 3, dtype=torch.float64)
    atoms[..., 0, 0] = neutral
    return SimpleNamespace(
        temperature=made_up.tensor([t]),
        electrons=made_up.tensor([electrons]),
        atoms=atoms,
        per_q=atoms / 2,
    )


every_line = functools.cache(hydrogen_lines)


def line(tables: Tables, lower: int, upper: int) -> HydrogenLine:
    return next(x for x in every_line(tables, 2000, 80000) if (x.lower, x.upper) == (lower, upper))


@pytest.mark.parametrize(
    ("n", "m", "f"),
    [  # Wiese, Smith and Glennon 1966
        (1, 2, 0.4162),
        (2, 3, 0.6407),
        (2, 4, 0.1193),
        (2, 5, 0.04467),
        (3, 4, 0.8421),
        (4, 5, 1.0377),
        (4, 6, 0.1793),
    ],
)
def test_oscillator_strengths(n: int, m: int, f: float):
    assert oscillator_strength(n, m) == pytest.approx(f, rel=0.01)


def test_strengths_of_the_tables(tables: Tables):
    for (n, m), table in tables.stark.items():
        assert 10**table.loggf == pytest.approx(2 * n**2 * oscillator_strength(n, m), rel=0.02)


def test_wavelengths(tables: Tables):
    """Vacuum: H alpha, H beta, Brackett 11 and 14."""
    for key, wave in {
        (2, 3): 6564.6,
        (2, 4): 4862.7,
        (4, 11): 16811.1,
        (4, 14): 15884.9,
    }.items():
        assert line(tables, *key).wavelength == pytest.approx(wave, rel=2e-5)


@pytest.mark.parametrize("key", [(2, 3), (2, 4), (2, 8), (3, 5), (3, 10), (4, 6), (4, 11), (5, 12)])
@pytest.mark.parametrize("electrons", [2e12, 3e13, 1e15])
def test_profiles_integrate_to_one(tables: Tables, key: tuple[int, int], electrons: float):
    """Opacity over frequency is pi e2 / (m c) f n, but for what the table's wide steps cost."""
    one = line(tables, *key)
    nu = LIGHT * 1e8 / one.wavelength
    offset = np.geomspace(1e6, nu * 0.07, 6000)
    state = gas(electrons=electrons)
    opacity = Hydrogen([one], LIGHT * 1e8 / (nu + offset))(state)[0, 0].numpy()
    energy = 13.598434 * (1 - 1 / one.lower**2)
    kt = 8.617333e-5 * 6000
    strength = LINE_CONSTANT * one.gf * 0.5e10 * np.exp(-energy / kt)
    strength *= -np.expm1(-4.135668e-15 * nu / kt) * float(occupation(state, float(one.upper)))
    assert 2 * np.trapezoid(opacity, offset) / strength == pytest.approx(0.94, abs=0.09)


def test_cores_are_those_of_heat(tables: Tables):
    """Few electrons: a Gaussian of the Doppler width in the core, whichever table it is from."""
    for key in ((2, 3), (3, 4), (4, 6)):
        one = line(tables, *key)
        nu = LIGHT * 1e8 / one.wavelength
        doppler = nu / LIGHT * np.sqrt(2 * 1.380649e-16 * 5000 / 1.6735e-24)
        x = np.array([0.01, 0.3, 0.6])
        opacity = Hydrogen([one], LIGHT * 1e8 / (nu + x * doppler))(gas(5000.0, 1e10))[0, 0]
        assert np.allclose(opacity / opacity[0], np.exp(-(x**2)), rtol=0.15)


def test_occupation():
    levels = torch.arange(1, 41, dtype=torch.float64)
    for electrons in (1e10, 1e13, 1e16):
        w = occupation(gas(electrons=electrons, neutral=1e15), levels)[0, 0]
        assert ((w >= 0) & (w <= 1)).all()
        # k of equation 4.71 makes levels 3 and 4 nearly the same
        assert (torch.diff(w) <= 1e-3).all()
    thin, dense = (occupation(gas(electrons=x), 12.0) for x in (1e12, 1e15))
    assert dense < thin
    assert occupation(gas(), levels).shape == (1, 1, 40)


def test_inglis_teller(tables: Tables):
    """Half of the last level's atoms: log n_e = 23.26 - 7.5 log n within a few levels."""
    levels = torch.arange(5, 60, dtype=torch.float64)
    for log_ne in (13.0, 15.0):
        w = occupation(gas(electrons=10**log_ne, neutral=1.0), levels)[0, 0]
        last = float(levels[(w > 0.5).sum() - 1])
        assert last == pytest.approx(10 ** ((23.26 - log_ne) / 7.5), rel=0.25)


def test_nodes_are_close_to_the_centres(tables: Tables):
    lines = hydrogen_lines(tables, 15000, 17000)
    nodes = line_nodes(lines, 15000, 17000)
    assert np.all(np.diff(nodes) > 0)
    inside = [x for x in lines if 15000 < x.wavelength < 17000]
    assert len(inside) > 8
    for one in inside:
        assert np.abs(nodes - one.wavelength).min() < 1e-6
        assert (np.abs(nodes - one.wavelength) < 2.0).sum() > 15
    assert all(abs(np.log(x.wavelength / 16000)) < np.log(17 / 15) + REACH for x in lines)


@pytest.fixture(scope="module")
def sun(physics: Path, tables: Tables):
    """Around H alpha, H beta and Brackett 11: wavelength offsets and flux of each."""
    found = {}
    for key, half in (((2, 3), 60.0), ((2, 4), 60.0), ((4, 11), 100.0)):
        centre = line(tables, *key).wavelength
        wave = made_up.log_grid(centre - half, centre + half, 150_000)
        one = LineList([centre + half / 2], [parse_species("Fe I")], [4.0], [-9.0])
        with torch.no_grad():
            made = LteEngine(one, wave, tables)(
                made_up.sun(physics), made_up.solar(), torch.ones(1, dtype=torch.float64)
            )
        found[key] = wave - centre, made.normalized[0].numpy()
    return found


@pytest.mark.parametrize(
    ("key", "offset", "low", "high"),
    [
        # LTE cores; the wings as observed (Kurucz solar atlas, away from other lines)
        ((2, 3), 0.0, 0.25, 0.40),
        ((2, 3), 2.0, 0.76, 0.84),
        ((2, 3), 5.0, 0.88, 0.93),
        ((2, 3), 10.0, 0.945, 0.975),
        ((2, 4), 2.0, 0.74, 0.85),
        ((2, 4), 5.0, 0.87, 0.94),
        ((4, 11), 0.0, 0.94, 0.97),  # the H-band atlas, against 40 Angstrom away: 0.96
        ((4, 11), 20.0, 0.97, 0.99),
    ],
)
def test_the_sun(sun, key: tuple[int, int], offset: float, low: float, high: float):
    x, flux = sun[key]
    for side in (-offset, offset):
        assert low < np.interp(side, x, flux) < high


def test_the_sun_far_from_the_lines(sun):
    x, flux = sun[2, 3]
    assert flux[np.abs(x) > 55].min() > 0.995
