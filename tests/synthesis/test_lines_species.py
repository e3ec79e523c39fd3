"""Species codes and isotope fractions."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from starnet.errors import ConfigError
from starnet.synthesis.lines import (
    TERRESTRIAL,
    atomic_numbers,
    charges,
    encode,
    log_fraction,
    log_fractions,
    mass_numbers,
    parse_species,
    species_name,
    without_isotopes,
)
from starnet.synthesis.lines.moog import moog_species


@st.composite
def nuclei(draw: st.DrawFn) -> tuple[int, int]:
    z = draw(st.integers(1, 92))
    return z, draw(st.sampled_from([0, z, 2 * z, 3 * z + 2]))


@given(st.lists(nuclei(), min_size=1, max_size=3), st.integers(0, 9))
def test_code_holds_atoms_and_charge(atoms: list[tuple[int, int]], charge: int) -> None:
    code = encode(atoms, charge)
    z, a = atomic_numbers(code)[0], mass_numbers(code)[0]
    assert [pair for pair in zip(z, a, strict=True) if pair[0]] == sorted(atoms)
    assert charges(code)[0] == charge
    assert code == encode(atoms[::-1], charge)
    assert without_isotopes(code)[0] == encode([(z, 0) for z, _ in atoms], charge)


@given(st.lists(nuclei(), min_size=1, max_size=3), st.integers(0, 9))
def test_name_and_back(atoms: list[tuple[int, int]], charge: int) -> None:
    code = encode(atoms, charge)
    assert parse_species(species_name(code)) == code


@pytest.mark.parametrize(
    ("name", "atoms", "charge"),
    [
        ("Fe I", [(26, 0)], 0),
        ("Fe 2", [(26, 0)], 1),
        ("151Eu II", [(63, 151)], 1),
        ("CN", [(6, 0), (7, 0)], 0),
        ("12C14N", [(6, 12), (7, 14)], 0),
        ("12C12C", [(6, 12), (6, 12)], 0),
        ("C2", [(6, 0), (6, 0)], 0),
        ("H2O", [(1, 0), (1, 0), (8, 0)], 0),
        ("TiO 1", [(8, 0), (22, 0)], 0),
        ("56Fe1H", [(1, 1), (26, 56)], 0),
        ("H2+", [(1, 0), (1, 0)], 1),
    ],
)
def test_names(name: str, atoms: list[tuple[int, int]], charge: int) -> None:
    assert parse_species(name) == encode(atoms, charge)


@pytest.mark.parametrize("name", ["Fe", "Xx I", "", "fe I", "C N", "12", "CNOHe", "99C12C"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="received"):
        parse_species(name)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("26.0", "Fe I"),
        ("63.1151", "151Eu II"),
        ("3.0007", "7Li I"),
        ("607.01314", "13C14N"),
        ("106.00112", "12C1H"),
        ("112.00124", "24Mg1H"),
        ("822.01648", "48Ti16O"),
        ("606.0", "C2"),
        ("607", "CN"),
        ("10108.0", "H2O"),
    ],
)
def test_species_of_moog(text: str, name: str) -> None:
    assert species_name(moog_species(text)) == name


@pytest.mark.parametrize("text", ["0.0", "97.0", "26.x", "26.0999", "abc", "-26.0"])
def test_what_is_no_species_of_moog(text: str) -> None:
    assert moog_species(text) == 0


def test_fractions_of_an_element_sum_to_one() -> None:
    assert all(abs(sum(shares.values()) - 1) < 2e-3 for shares in TERRESTRIAL.values())
    assert len(TERRESTRIAL) == 84


def test_fractions_of_isotopologues() -> None:
    assert log_fraction(parse_species("CN")) == 0.0
    assert log_fraction(parse_species("13C14N")) == pytest.approx(math.log10(0.0107 * 0.99636))
    mix = {6: {12: 0.9, 13: 0.1}}
    c2 = [log_fraction(parse_species(n), mix) for n in ("12C12C", "12C13C", "13C13C")]
    assert 10.0 ** np.array(c2) == pytest.approx([0.81, 0.18, 0.01])
    codes = np.array([parse_species("13C14N"), parse_species("Fe I")])
    assert log_fractions(codes)[1] == 0.0


def test_a_missing_fraction_is_named() -> None:
    with pytest.raises(ConfigError, match=r"13C.*13C14N"):
        log_fraction(parse_species("13C14N"), {6: {12: 1.0}, 7: {14: 1.0}})
