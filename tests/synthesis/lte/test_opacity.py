"""Opacity of lines: strengths and widths by hand, selection, what is left out."""

import logging

import numpy as np
import pytest
import torch

from starnet.errors import DataError
from starnet.synthesis.constants import LINE_CONSTANT
from starnet.synthesis.lines import LineList, VdwKind, parse_species
from starnet.synthesis.lte import opacity as module
from starnet.synthesis.lte.eos import EquationOfState, Gas
from starnet.synthesis.lte.opacity import LineOpacity, Species, Widths
from starnet.synthesis.lte.tables import Tables

from . import made_up

WAVE = made_up.log_grid(15990.0, 16010.0)
NAN = np.nan


@pytest.fixture(scope="module")
def gas(toy_tables: Tables) -> Gas:
    """Two depths."""
    return EquationOfState(toy_tables).solve(
        made_up.tensor([4500.0, 6000.0]), made_up.tensor([1e4, 1e5]), made_up.solar()
    )


def one(name: str = "Fe I", wave: float = 16000.0, gf: float = -1.0, **more: object) -> LineList:
    more = {k: [v] for k, v in more.items()}
    return LineList([wave], [parse_species(name)], [4.0], [gf], **more)


def total(lines: LineList, tables: Tables, gas: Gas, level: float = 1e-12, vmic: float = 1e5):
    continuum = torch.full((1, 2, 4), level, dtype=torch.float64)
    made = LineOpacity(lines, WAVE, tables)(gas, torch.tensor([vmic]), continuum)
    return made[0].double().numpy()


@pytest.mark.parametrize("name", ["Fe I", "Ti II", "CO"])
def test_a_line_holds_its_strength(toy_tables: Tables, gas: Gas, name: str):
    """Over frequency: pi e2 / (m c) gf n / Q exp(-E / kT) (1 - exp(-h nu / kT))."""
    lines = one(name, gamma_rad=7.0, vdw=-9.5, vdw_kind=int(VdwKind.LOG_GAMMA), gamma_stark=-9.0)
    nu = 2.99792458e18 / WAVE
    got = -np.trapezoid(total(lines, toy_tables, gas, level=1e-20), nu)
    t = gas.temperature[0].numpy()
    z, stage = {"Fe I": (25, 0), "Ti II": (21, 1), "CO": (0, 0)}[name]
    per_q = gas.molecule("CO")[1] if name == "CO" else gas.per_q[..., z, stage]
    expected = LINE_CONSTANT * 0.1 * per_q[0].numpy() * np.exp(-4.0 / (8.617333e-5 * t))
    expected *= -np.expm1(-1.43878 / (16000e-8 * t))
    assert got == pytest.approx(expected, rel=0.02)  # a wing or two is off the grid


def test_the_width_of_a_weak_line(toy_tables: Tables, gas: Gas):
    """Heat of iron and microturbulence: sqrt(2 kT / m + vmic2)."""
    lines = one(gamma_rad=6.0, vdw=-12.0, vdw_kind=int(VdwKind.LOG_GAMMA), gamma_stark=-12.0)
    velocity = (WAVE / 16000.0 - 1) * 2.99792458e10
    for vmic in (1e5, 3e5):
        profile = total(lines, toy_tables, gas, level=1e-20, vmic=vmic)
        near = np.abs(velocity) < 15e5
        spread = [np.sqrt(np.average(velocity[near] ** 2, weights=p[near])) for p in profile]
        t = gas.temperature[0].numpy()
        expected = np.sqrt(0.5 * (2 * 1.380649e-16 * t / (55.845 * 1.66054e-24) + vmic**2))
        assert spread == pytest.approx(expected, rel=0.01)


def test_damping_by_hand(toy_tables: Tables, gas: Gas):
    """Far wing: amp a / (sqrt(pi) v2), where gamma counts rad/s of all three."""
    lines = one(gf=1.0, gamma_rad=8.0, gamma_stark=-5.0, vdw=-7.5, vdw_kind=int(VdwKind.LOG_GAMMA))
    at = np.argmin(np.abs(WAVE - 16003.0))
    nu = 2.99792458e18 / WAVE
    t = gas.temperature[0].numpy()
    h, he, h2 = gas.atoms[0, :, 0, 0], gas.atoms[0, :, 1, 0], gas.molecule("H2")[0][0]
    perturbers = (h + 0.42 * he + 0.85 * h2).numpy()
    gamma = 1e8 + 1e-5 * gas.electrons[0].numpy() * (t / 1e4) ** (1 / 6)
    gamma += 10**-7.5 * perturbers * (t / 1e4) ** 0.3
    strength = LINE_CONSTANT * 10 * gas.per_q[0, :, 25, 0].numpy() * np.exp(-4 / (8.617333e-5 * t))
    strength *= -np.expm1(-1.43878 / (16000e-8 * t))
    offset = nu[at] - 2.99792458e18 / 16000.0
    expected = strength * gamma / (4 * np.pi**2) / offset**2
    assert total(lines, toy_tables, gas, level=1e-25)[:, at] == pytest.approx(expected, rel=0.02)


def test_widths_by_approximation(toy_tables: Tables):
    """Classical damping, Kurucz's Stark and Gray's Unsold, by hand, for E = 4 of 8 eV."""
    width = Widths.of(one(), toy_tables)
    assert width.radiative[0] == pytest.approx(2.223e15 / 16000.0**2)
    photon = 12398.42 / 16000.0
    gap = 8.0 - 4.0 - photon
    assert width.stark[0] == pytest.approx(1e-8 * np.sqrt(13.598 / gap) ** 5, rel=1e-3)
    c6 = 0.3e-30 * (1 / gap**2 - 1 / 4.0**2)
    # 17 v**0.6 C6**0.4 n: log gamma6 = 19.6 + 0.4 log C6 + log Pg - 0.7 log T (Gray 1992)
    gray = 19.6 + 0.4 * np.log10(c6) + np.log10(1.380649e-16 * 1e4) - 0.7 * 4
    assert width.log_vdw[0] / np.log(10) == pytest.approx(gray, abs=0.04)
    assert width.vdw_power[0] == pytest.approx(0.3)


def test_widths_as_given(toy_tables: Tables):
    plain = Widths.of(one(), toy_tables).log_vdw[0]
    twice = Widths.of(one(vdw=2.0, vdw_kind=int(VdwKind.UNSOLD_FACTOR)), toy_tables).log_vdw[0]
    assert twice - plain == pytest.approx(np.log(2))
    abo = Widths.of(one(vdw=300.0, vdw_alpha=0.25, vdw_kind=int(VdwKind.ABO)), toy_tables)
    # Barklem: 2 (4 / pi)**(a / 2) Gamma(2 - a / 2) v0 sigma (v / v0)**(1 - a)
    speed = np.sqrt(8 * 1.380649e-16 * 1e4 / np.pi / 1.66054e-24 * (1 / 1.008 + 1 / 55.845))
    expected = 2 * (4 / np.pi) ** 0.125 * 0.94 * 1e6 * 300 * 2.8003e-17 * (speed / 1e6) ** 0.75
    assert np.exp(abo.log_vdw[0]) == pytest.approx(expected, rel=0.02)
    assert abo.vdw_power[0] == pytest.approx(0.375)
    molecule = Widths.of(one("CO"), toy_tables)
    assert molecule.stark[0] == 0
    assert np.isfinite(molecule.log_vdw[0])


def test_levels_above_the_limit_have_finite_widths(toy_tables: Tables):
    lines = LineList([16000.0], [parse_species("Fe I")], [8.5], [0.0])
    width = Widths.of(lines, toy_tables)
    assert np.isfinite([width.radiative, width.stark, width.log_vdw]).all()


def test_wings_of_lines_beyond_the_grid(toy_tables: Tables, gas: Gas):
    lines = one(wave=15985.0, gf=2.0)
    assert total(lines, toy_tables, gas, level=1e-20)[1, 0] > 0


def test_lines_too_weak_change_nothing(toy_tables: Tables, gas: Gas):
    strong = total(one(), toy_tables, gas, level=1e-9)
    weak = one(wave=16004.0, gf=-12.0)
    both = LineList([16000.0, 16004.0], [*one().species, *weak.species], [4.0, 4.0], [-1.0, -12.0])
    assert np.array_equal(total(both, toy_tables, gas, level=1e-9), strong)


def test_what_is_cut_off_is_little(toy_tables: Tables, gas: Gas):
    level = 1e-9
    lines = made_up.lines(15991, 16009)
    cut = total(lines, toy_tables, gas, level=level)
    whole = total(lines, toy_tables, gas, level=1e-25)
    assert np.all(cut <= whole * 1.001)
    assert (whole - cut).max() < len(lines) * module.EPSILON * level


def test_species_without_data_are_counted(toy_tables: Tables, caplog: pytest.LogCaptureFixture):
    names = ["Fe I", "TiO", "XeO", "H I", "Fe IV"]
    lines = LineList(
        16000.0 + np.arange(5), [parse_species(n) for n in names], np.ones(5), np.zeros(5)
    )
    with caplog.at_level(logging.WARNING, logger="starnet.synthesis"):
        species = Species.of(lines, toy_tables)
    assert (species.index >= 0).tolist() == [True, True, False, False, False]
    assert len(caplog.messages) <= 2
    assert "XeO" in caplog.text


@pytest.mark.parametrize("where", [5000.0, 16500.0])
def test_a_list_elsewhere_is_refused(toy_tables: Tables, where: float):
    with pytest.raises(DataError, match="no line that can be used between 15990"):
        LineOpacity(one(wave=where), WAVE, toy_tables)


def test_an_empty_list_is_refused(toy_tables: Tables):
    with pytest.raises(DataError, match="no line"):
        LineOpacity(one()[:0], WAVE, toy_tables)


def test_derivatives_by_line_data(toy_tables: Tables, gas: Gas, monkeypatch):
    """log gf and the width by hydrogen: a line is linear in gf, its wing in the width."""
    monkeypatch.setattr(module, "EPSILON", 1e-9)
    lines = LineOpacity(made_up.lines(15991, 16009), WAVE, toy_tables)
    level = torch.full((1, 2, 4), 1e-12, dtype=torch.float64)
    vmic = torch.tensor([1e5], dtype=torch.float64)
    log_gf, log_vdw = (x.clone().requires_grad_() for x in (lines.log_gf, lines.log_vdw))
    weights = torch.linspace(0, 1, WAVE.size) / 1e-9
    (lines(gas, vmic, level, log_gf=log_gf, log_vdw=log_vdw) * weights).sum().backward()
    for given, at in ((log_gf, 3), (log_vdw, 4)):
        ends = []
        for step in (0.1, -0.1):
            moved = given.detach().clone()
            moved[at] += step
            name = "log_gf" if given is log_gf else "log_vdw"
            ends.append(float((lines(gas, vmic, level, **{name: moved}) * weights).double().sum()))
        assert float(given.grad[at]) == pytest.approx((ends[0] - ends[1]) / 0.2, rel=0.01)
