"""Tables: what is missing or damaged is named; values against independent ones."""

from pathlib import Path

import numpy as np
import pytest

from starnet.errors import DataError
from starnet.synthesis.lte import tables as module
from starnet.synthesis.lte.tables import FILES, H_MINUS, LOG_T, STARK, Tables

LN10 = np.log(10)


def at(values: np.ndarray, t: float) -> float:
    return float(np.interp(np.log10(t), LOG_T, values))


def test_missing_files_are_named(tmp_path: Path):
    (tmp_path / FILES[0]).write_bytes(b"")
    with pytest.raises(DataError, match=r"lacks .*vanHoof") as error:
        Tables.open(tmp_path)
    assert H_MINUS in str(error.value)
    assert "starnet download physics" in str(error.value)


@pytest.mark.parametrize("name", [n for n in FILES if n != module.MOLECULES])
@pytest.mark.parametrize("content", [b"", b"no table\n1 2 3\n"], ids=["empty", "foreign"])
def test_damaged_files_are_named(physics: Path, tmp_path: Path, name: str, content: bytes):
    for file in FILES:
        (tmp_path / file).symlink_to(physics / "tables" / file)
    (tmp_path / name).unlink()
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=r"cannot be read.*download physics") as error:
        Tables.open(tmp_path)
    assert name in str(error.value)


@pytest.mark.parametrize(
    ("z", "stage", "t", "expected", "within"),
    [
        (1, 0, 5000, 2.0, 1e-3),
        (1, 1, 5000, 1.0, 1e-6),
        (2, 0, 8000, 1.0, 1e-3),
        (11, 0, 5000, 2.06, 0.01),  # Gray 2005, appendix D.2
        (12, 0, 5000, 1.02, 0.01),
        (20, 0, 5000, 1.17, 0.02),
        (26, 0, 5000, 27.8, 0.02),
        (26, 1, 5000, 43.4, 0.02),
        (22, 0, 5000, 29.5, 0.03),
    ],
)
def test_partition_functions_of_atoms(tables: Tables, z, stage, t, expected, within):
    assert np.exp(at(tables.log_u[z - 1, stage], t)) == pytest.approx(expected, rel=within)


def test_ionisation_energies(tables: Tables):
    known = {1: 13.598, 2: 24.587, 6: 11.260, 11: 5.139, 19: 4.341, 20: 6.113, 26: 7.902}
    for z, energy in known.items():
        assert tables.ionisation[z - 1, 0] == pytest.approx(energy, abs=2e-3)
    assert tables.ionisation[25, 1] == pytest.approx(16.199, abs=2e-3)
    assert tables.ionisation[0, 1] > 100  # a proton loses nothing more


def test_carbon_monoxide_is_a_rotator_and_an_oscillator(tables: Tables):
    """Q = kT / (hc B) / (1 - exp(-hc omega / kT)), B = 1.9225, omega = 2143 per cm."""
    for t in (1000.0, 2000.0):
        rotations = 0.695035 * t / 1.92253
        expected = rotations / -np.expm1(-1.43878 * 2143.3 / t)
        assert np.exp(at(tables.molecules["CO"].log_q, t)) == pytest.approx(expected, rel=0.02)


def moving(mass: float, t: float) -> float:
    """(2 pi m kT / h2)**1.5 kT of a mass in dalton."""
    k, h = 1.380649e-16, 6.62607e-27
    return (2 * np.pi * mass * 1.66054e-24 * k * t / h**2) ** 1.5 * k * t


def oxygen(t: float) -> float:
    """Partition function of the ground term."""
    return 5 + 3 * np.exp(-1.43878 * 158.3 / t) + np.exp(-1.43878 * 227.0 / t)


@pytest.mark.parametrize(
    ("name", "energy", "rotation", "vibration", "masses", "weight", "apart"),
    [  # eV, per cm, per cm (Huber and Herzberg 1979), statistical weights
        ("H2", 4.478, 59.3, 4161.0, (1.008, 1.008), 0.5, lambda t: 4.0),
        ("CO", 11.09, 1.9225, 2143.0, (12.011, 15.999), 1.0, lambda t: 9.2 * oxygen(t)),
        ("OH", 4.39, 18.5, 3570.0, (1.008, 15.999), 4.0, lambda t: 2 * oxygen(t)),
    ],
)
def test_diatomic_molecules_by_hand(
    tables: Tables, name, energy, rotation, vibration, masses, weight, apart
):
    """Saha's equation with a rigid rotator and a harmonic oscillator."""
    t = 3000.0
    q = weight * 0.695035 * t / rotation / -np.expm1(-1.43878 * vibration / t)
    together = q * moving(sum(masses), t)
    free = apart(t) * moving(masses[0], t) * moving(masses[1], t)
    expected = np.log10(free / together) - energy / (8.617333e-5 * t) / LN10
    assert at(tables.molecules[name].log_k, t) / t / LN10 == pytest.approx(expected, abs=0.08)


def test_water_by_hand(tables: Tables):
    """Saha's equation with the moments of inertia and the vibrations of water."""
    t = 3000.0
    rotation = np.sqrt(np.pi / (27.88 * 14.51 * 9.28)) * (0.695035 * t) ** 1.5 / 2
    vibration = np.prod([1 / -np.expm1(-1.43878 * w / t) for w in (3657.0, 1595.0, 3756.0)])
    apart = (2 * moving(1.008, t)) ** 2 * oxygen(t) * moving(15.999, t)
    together = rotation * vibration * moving(18.015, t)
    expected = np.log10(apart / together) - 917.8 / 96.485 / (8.617333e-5 * t) / LN10
    assert at(tables.molecules["H2O"].log_k, t) / t / LN10 == pytest.approx(expected, abs=0.05)


def test_all_is_finite(tables: Tables):
    assert np.isfinite(tables.log_u).all()
    for molecule in tables.molecules.values():
        assert np.isfinite(molecule.log_k).all(), molecule.name
        assert np.isfinite(molecule.log_q).all(), molecule.name


def test_hydrogen_cross_sections_hold_the_weights(tables: Tables):
    """At the threshold of level n: 7.91 n Mb and a Gaunt factor, times 2 n**2."""
    n, _, sigma = tables.h_bound_free
    gaunt = sigma[:, 0] / (2 * n**2) / (7.907 * n)
    assert gaunt[0] == pytest.approx(0.797, abs=0.01)  # Menzel and Pekeris
    assert np.all((gaunt > 0.79) & (gaunt < 1.05))


def test_stark_profiles_are_even_and_full(tables: Tables):
    """The file's offsets are uneven and it is empty where gas is cold and dense."""
    assert {(1, 2), (2, 3), (2, 4), (3, 4), (3, 18)} <= set(tables.stark), STARK
    for key, table in tables.stark.items():
        steps = np.diff(table.log_offset[1:])
        assert np.ptp(steps) < 1e-9, key
        assert table.log_profile.min() > -200, key
