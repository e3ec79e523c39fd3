"""Equation of state: conservation recomputed from the densities, known stars, derivatives."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from starnet.errors import DataError
from starnet.synthesis.atmospheres import read_atmosphere, read_atmospheres
from starnet.synthesis.composition import SOLAR
from starnet.synthesis.constants import DALTON, MASSES
from starnet.synthesis.lte.eos import BINDING, MAIN, EquationOfState, Gas
from starnet.synthesis.lte.tables import Tables

from . import made_up

COMMON = [z - 1 for z in (2, 11, 19, *BINDING)]
TOY = EquationOfState(made_up.tables())


def numbers(m_h: float = 0.0) -> Tensor:
    out = made_up.solar()
    out[:, 2:] *= 10**m_h
    return out


def nuclei(gas: Gas) -> Tensor:
    """Of each element, molecules and H- included, (B, D, 92)."""
    total = gas.atoms.sum(dim=-1)
    total[..., 0] += gas.h_minus
    for name in MAIN:
        if name in gas.state.molecules:
            for z in gas.state.molecules[name].atoms:
                total[..., z - 1] += gas.molecule(name)[0]
    return total


def assert_conserves(gas: Gas, pressure: Tensor, abundances: Tensor) -> None:
    """To 1e-7, but where elements are involved that the solution leaves to their traces."""
    molecules = sum(gas.molecule(name)[0] for name in MAIN if name in gas.state.molecules)
    everything = gas.electrons + gas.h_minus + gas.atoms.sum(dim=(-1, -2)) + molecules
    expected = made_up.particles(gas.temperature, pressure)
    rare = 2e-5 if len(gas.state.trace) else 1e-7
    torch.testing.assert_close(everything, expected, rtol=rare, atol=0)
    charge = (gas.atoms * torch.tensor([0.0, 1.0, 2.0])).sum(dim=(-1, -2))
    few = 3e-3 if len(gas.state.trace) else 1e-7
    torch.testing.assert_close(charge, gas.electrons + gas.h_minus, rtol=few, atol=0)
    found = nuclei(gas)
    shares = found / found[..., :1]
    expected = abundances[:, None].expand_as(shares)
    torch.testing.assert_close(shares[..., COMMON], expected[..., COMMON], rtol=1e-7, atol=0)
    found = abundances[:, None] * found[..., :1]
    mass = (found * torch.tensor(MASSES, dtype=torch.float64)).sum(dim=-1) * DALTON
    torch.testing.assert_close(gas.density, mass, rtol=1e-7, atol=0)


STATES = {
    "t": st.floats(2000, 12000),
    "log_p": st.floats(0, 7),
    "m_h": st.floats(-4, 1),
    "c_o": st.floats(-0.5, 0.8),
}


def solved(state: EquationOfState, t: float, log_p: float, m_h: float, c_o: float) -> None:
    abundances = numbers(m_h)
    abundances[:, 5] *= 10**c_o  # up to stars with more carbon than oxygen
    temperature, pressure = made_up.tensor([t]), made_up.tensor([10**log_p])
    assert_conserves(state.solve(temperature, pressure, abundances), pressure, abundances)


@settings(max_examples=25, deadline=None)
@given(**STATES)
def test_conserves_whatever_the_state(t, log_p, m_h, c_o):
    solved(TOY, t, log_p, m_h, c_o)


def test_conserves_with_the_real_tables(tables: Tables):
    state = EquationOfState(tables)

    @settings(max_examples=25, deadline=None)
    @given(**STATES)
    def check(t, log_p, m_h, c_o):
        solved(state, t, log_p, m_h, c_o)

    check()


def test_saha_for_hydrogen(tables: Tables):
    """At 10,000 K: n(H+) n_e / n(H) from the constants."""
    gas = EquationOfState(tables).solve(
        made_up.tensor([1e4]), made_up.tensor([1e3]), made_up.solar()
    )
    ratio = gas.atoms[0, 0, 0, 1] * gas.electrons[0, 0] / gas.atoms[0, 0, 0, 0]
    expected = 2.4146830e15 * 1e6 * np.exp(-13.598434 / (8.617333e-5 * 1e4))  # u = 2 and 1
    assert ratio == pytest.approx(expected, rel=2e-3)


def test_negative_hydrogen(tables: Tables):
    """Saha: 2 u(H) / u(H-) = 4, (2 pi m k / h2)**1.5 = 2.4147e15, bound by 0.754 eV."""
    t = 5800.0
    gas = EquationOfState(tables).solve(made_up.tensor([t]), made_up.tensor([1e5]), made_up.solar())
    ratio = gas.h_minus / gas.atoms[..., 0, 0] / gas.electrons
    expected = np.exp(0.7542 / (8.617333e-5 * t)) / (4 * 2.4147e15 * t**1.5)
    assert float(ratio) == pytest.approx(expected, rel=1e-3)


def test_most_carbon_of_a_cool_giant_is_in_monoxide(tables: Tables):
    gas = EquationOfState(tables).solve(made_up.tensor([3500.0]), made_up.tensor([1e3]), numbers())
    carbon = nuclei(gas)[0, 0, 5]
    assert 0.98 < gas.molecule("CO")[0][0, 0] / carbon < 1.0001


def test_electron_pressure_of_the_sun(physics: Path, tables: Tables):
    model = read_atmosphere(physics / "atmospheres/marcs/sun.mod")
    columns = (model.temperature, model.gas_pressure)
    gas = EquationOfState(tables).solve(*map(made_up.tensor, columns), made_up.solar())
    ratio = gas.electrons[0].numpy() / model.electron_density
    assert abs(np.median(ratio) - 1) < 0.01
    assert np.all(np.abs(ratio - 1) < 0.08)


def test_electron_pressure_of_giants(physics: Path, tables: Tables):
    """Every twelfth of the models that PFANT took from MARCS, 3500 to 7000 K."""
    models = read_atmospheres(physics / "atmospheres/marcs_pfant/grid.mod")[::12]
    n = min(m.n_depths for m in models)
    t, p, ne = (
        np.stack([getattr(m, name)[:n] for m in models])
        for name in ("temperature", "gas_pressure", "electron_density")
    )
    log_n = np.tile(SOLAR["grevesse2007"] - 12, (len(models), 1))
    log_n[:, 2:] += np.array([m.m_h for m in models])[:, None]
    for z in (8, 10, 12, 14, 16, 18, 20, 22):
        log_n[:, z - 1] += [m.alpha_m for m in models]
    gas = EquationOfState(tables).solve(*map(torch.as_tensor, (t, p, 10**log_n)))
    ratio = gas.electrons.numpy() / ne
    assert abs(np.median(ratio) - 1) < 0.01
    assert np.all(np.abs(np.median(ratio, axis=1) - 1) < 0.10)


@pytest.mark.parametrize("t", [3211.0, 7003.0])
def test_derivatives(t: float):
    """By temperature, pressure and each kind of abundance, against differences in float64."""
    log_t = torch.tensor([[np.log(t)]], dtype=torch.float64, requires_grad=True)
    log_p = torch.tensor([[np.log(3e4)]], dtype=torch.float64, requires_grad=True)
    moved = torch.zeros(5, dtype=torch.float64, requires_grad=True)  # He, C, O, Na, Fe

    def densities(log_t: Tensor, log_p: Tensor, moved: Tensor) -> Tensor:
        more = torch.zeros(92, dtype=torch.float64).index_put(
            (torch.tensor([1, 5, 7, 10, 25]),), moved
        )
        gas = TOY.solve(torch.exp(log_t), torch.exp(log_p), made_up.solar() * torch.exp(more))
        some = [gas.electrons, gas.density, gas.h_minus, gas.molecule("CO")[0]]
        some += [gas.molecule("H2")[1], gas.per_q[..., 25, 0], gas.per_q[..., 10, 1]]
        return torch.log(torch.stack(some))

    assert torch.autograd.gradcheck(
        densities, (log_t, log_p, moved), eps=1e-5, atol=1e-6, rtol=1e-4, check_forward_ad=True
    )


def test_derivatives_at_a_node_of_the_tables_are_finite(tables: Tables):
    t = made_up.tensor([10**3.7]).requires_grad_()
    gas = EquationOfState(tables).solve(t, made_up.tensor([1e4]), made_up.solar())
    gas.electrons.sum().backward()
    assert torch.isfinite(t.grad).all()


def test_the_analytic_jacobian():
    """Against differences of the residuals, molecules and ions alike in number."""
    t, p = made_up.tensor([3400.0, 7000.0]), made_up.tensor([1e4, 1e5])
    known = TOY._known(t, p, made_up.solar())
    with torch.no_grad():
        x = TOY._newton(TOY._start(known), known)
        _, jacobian = TOY._equations(x, known)
        for k in range(x.shape[-1]):
            step = torch.zeros_like(x)
            step[..., k] = 1e-5
            up, down = (TOY._equations(x + s * step, known)[0] for s in (1, -1))
            torch.testing.assert_close((up - down) / 2e-5, jacobian[..., k], atol=1e-6, rtol=1e-6)


def test_stars_of_a_batch_do_not_meet():
    t, p = torch.rand(4, 6) * 4000 + 3000, 10 ** (torch.rand(4, 6) * 3 + 2)
    t, p = t.double(), p.double()
    abundances = torch.cat([numbers(m) for m in (-2.0, -1.0, 0.0, 0.4)])
    whole = TOY.solve(t, p, abundances).electrons
    each = torch.cat(
        [TOY.solve(*(x[i : i + 1] for x in (t, p, abundances))).electrons for i in range(4)]
    )
    torch.testing.assert_close(whole, each, rtol=1e-9, atol=0)


def test_what_is_no_star_is_refused():
    with pytest.raises(DataError, match="must be finite"):
        TOY.solve(made_up.tensor([float("nan")]), made_up.tensor([1e4]), made_up.solar())


def test_an_unknown_molecule_is_refused():
    gas = TOY.solve(made_up.tensor([4000.0]), made_up.tensor([1e4]), made_up.solar())
    with pytest.raises(DataError, match=r"no equilibrium constant of the molecule 'XeO'.*CO"):
        gas.molecule("XeO")


def test_trace_elements_too_are_bound(tables: Tables):
    """Zirconium of a cool giant sits in its oxide; the atoms and it add up."""
    state = EquationOfState(tables)
    t, p, abundances = made_up.tensor([2800.0]), made_up.tensor([1e3]), numbers()
    gas = state.solve(t, p, abundances)
    for symbol, name in ((40, "ZrO"), (9, "HF"), (57, "LaO")):
        if name in state.molecules:
            whole = gas.atoms[0, 0, symbol - 1].sum() + gas.molecule(name)[0][0, 0]
            hydrogen = nuclei(gas)[0, 0, 0]
            assert gas.molecule(name)[0][0, 0] / whole > 0.3
            assert whole / hydrogen == pytest.approx(float(abundances[0, symbol - 1]), rel=0.1)


def test_the_elements_that_bind():
    assert set(BINDING) == {z for name in MAIN for z in made_up.molecule(name).atoms}
