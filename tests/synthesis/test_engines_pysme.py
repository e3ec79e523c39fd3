"""PySME live: the stored references come back, and what its adapter does beyond passing on."""

import sys
from dataclasses import replace
from pathlib import Path

import engine_fakes as fakes
import numpy as np
import pytest

from starnet.errors import ConfigError, MissingDependencyError
from starnet.spectra import Labels, WavelengthGrid
from starnet.spectra.air import air_to_vacuum
from starnet.synthesis.atmospheres import Atmosphere, read_atmosphere
from starnet.synthesis.constants import BOLTZMANN
from starnet.synthesis.engines import pysme
from starnet.synthesis.engines._pysme_lines import columns, with_unsold
from starnet.synthesis.engines.hydrogen import hydrogen_lines, oscillator_strength
from starnet.synthesis.engines.pysme import PySME
from starnet.synthesis.engines.star import Star
from starnet.synthesis.lines import LineList, VdwKind, encode, parse_species

live = pytest.mark.skipif(not fakes.has_pysme(), reason="PySME is not installed")


@pytest.fixture
def references(shared_data: Path) -> Path:
    return shared_data / "physics" / "reference_spectra"


def reference_lines(references: Path, *, without: str = "") -> LineList:
    """The lines of the references. PySME was given no damping with them: Unsold's throughout."""
    with np.load(references / "hband_lines_used.npz") as file:
        names = file["molecule"]
        atoms = zip(names, file["atomic_number"], file["ionization"], strict=True)
        codes = [parse_species(m) if m else encode([(int(z), 0)], int(i)) for m, z, i in atoms]
        keep = names != without if without else np.ones(names.size, bool)
        lines = LineList(
            air_to_vacuum(file["wavelength_air"]),
            np.array(codes),
            file["excitation_ev"],
            file["log_gf"],
        )
    return lines[keep]


def spectrum(engine: PySME, star: Star, wave: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return next(iter(engine._spectra([star], wave)))


@live
@pytest.mark.parametrize("name", ["giant_5000", "giant_4250", "giant_3500"])
def test_giants_come_back(references: Path, name: str):
    with np.load(references / f"{name}_pysme.npz") as file:
        t, pe, pg = file["T"], file["pe"], file["pg"]
        gravity = 10 ** float(file["logg"])
        model = Atmosphere(
            float(file["teff"]),
            float(file["logg"]),
            float(file["fe_h"]),
            float(file["alpha_fe"]),
            pg / gravity,
            t,
            pg,
            pe / (BOLTZMANN * t),
            tau_5000=10 ** file["log_tau5000"],
        )
        abundances = np.log10(file["abund_nX_over_nH"]) + 12
        star = Star(model, abundances, float(file["vmic_kms"]))
        pixels = slice(5600, 5900)
        wave, want = air_to_vacuum(file["wavelength_air"][pixels]), file["flux"][pixels]
    engine = PySME(model, reference_lines(references), hydrogen=False)
    made, continuum = spectrum(engine, star, wave)
    assert np.std(made - want) < 3e-4
    assert np.abs(made - want).max() < 1e-3
    assert want.min() < 0.98
    planck = 1.191042972e27 / wave**5 / np.expm1(1.438776877e8 / wave / model.teff)
    assert 0.5 < np.median(continuum / (np.pi * planck)) < 3.0


@live
def test_the_sun_comes_back(references: Path, shared_data: Path):
    model = read_atmosphere(shared_data / "physics" / "atmospheres" / "marcs" / "sun.mod")
    lines = reference_lines(references, without="C2")  # the reference was made without them
    engine = PySME(model, lines, hydrogen=False, solar="asplund2009", vmic=1.0)
    with np.load(references / "sun_hband_pysme.npz") as file:
        pixels = slice(17800, 18100)
        wave, want = air_to_vacuum(file["wavelength_air"][pixels]), file["flux"][pixels]
    star = engine.stars(Labels(("teff", "logg", "fe_h"), [[5777.0, 4.44, 0.0]]))[0]
    made, _ = spectrum(engine, star, wave)
    assert np.std(made - want) < 3e-4
    assert want.min() < 0.9
    by_mass = PySME(model, lines, hydrogen=False, solar="asplund2009", vmic=1.0, depth="rhox")
    other, _ = spectrum(by_mass, star, wave)
    assert 1e-5 < np.std(other - made) < 3e-3


@live
def test_density_of_its_own_equation_of_state(shared_data: Path):
    folder = shared_data / "physics" / "atmospheres" / "marcs"
    model = read_atmosphere(next(iter(sorted(folder.glob("s3500*")))))
    engine = PySME(model, fakes.lines(), depth="rhox")
    star = Star(model, np.array([model.abundances.get(e, -8.0) for e in _elements()]), 2.0)
    wave = WavelengthGrid.linear(5195.0, 0.02, 500, "vacuum").wavelength
    one = spectrum(engine, star, wave)
    other = spectrum(engine, replace(star, atmosphere=replace(model, density=None)), wave)
    assert np.allclose(one[0], other[0], atol=5e-3)
    assert np.allclose(one[1], other[1], rtol=0.02)


def _elements() -> tuple[str, ...]:
    from starnet.synthesis.composition import ELEMENTS

    return ELEMENTS


@live
def test_hydrogen_stands_where_it_should():
    wave = WavelengthGrid.linear(4850.0, 0.05, 520, "vacuum")
    lines = fakes.lines(4860.0)[[0]]
    lines = replace(lines, loggf=lines.loggf - 8)
    labels = Labels(("teff", "logg", "fe_h"), [[5777.0, 4.44, 0.0]])
    model = fakes.atmosphere()
    with_h, without = (
        PySME(model, lines, hydrogen=on).synthesize(labels, wave).normalized[0]
        for on in (True, False)
    )
    assert without.min() > 0.99
    assert wave.wavelength[with_h.argmin()] == pytest.approx(4862.69, abs=0.15)
    assert with_h.min() < 0.5


@live
def test_unsold_factor_widens_a_line():
    grid = WavelengthGrid.linear(5195.0, 0.02, 500, "vacuum")
    labels = Labels(("teff", "logg", "fe_h"), [[5777.0, 4.44, 0.0]])
    area = []
    for factor in (1.0, 5.0):
        lines = LineList(
            [5200.0],
            [parse_species("Fe I")],
            [2.0],
            [0.5],
            vdw=[factor],
            vdw_kind=[VdwKind.UNSOLD_FACTOR],
        )
        engine = PySME(fakes.atmosphere(), lines, hydrogen=False)
        area.append((1 - engine.synthesize(labels, grid).normalized).sum())
    assert 1.3 < area[1] / area[0] < 5**0.5 + 0.1


@live
def test_it_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd):
    monkeypatch.chdir(tmp_path)
    high = LineList([5200.0], [parse_species("Cr I")], [6.7], [0.0])  # above the ionisation limit
    engine = PySME(fakes.atmosphere(), high)
    engine.synthesize(fakes.LABELS, fakes.grid())
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr().out == ""


@live
def test_depths():
    with pytest.raises(ConfigError, match="depth"):
        PySME(fakes.atmosphere(), fakes.lines(), depth="tau_ross")
    with pytest.raises(ConfigError, match="stark"):
        PySME(fakes.atmosphere(), fakes.lines(), stark="vcs")
    engine = PySME(fakes.atmosphere(tau=False), fakes.lines(), depth="tau_5000")
    with pytest.raises(ConfigError, match="5000 A"):
        engine.synthesize(fakes.LABELS, fakes.grid())


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pysme, "_LOADED", [])
    monkeypatch.setitem(sys.modules, "pysme", None)


def test_absent_names_the_remedy(absent: None):
    engine = PySME(fakes.atmosphere(), fakes.lines())  # nothing is imported before it is needed
    with pytest.raises(MissingDependencyError, match=r"pip install .*--no-deps pysme-astro"):
        engine.synthesize(fakes.LABELS, fakes.grid())


def test_columns_of_the_line_list():
    own = fakes.lines()
    own = own[own.species != 10000]
    table = columns(own, (5190.0, 5210.0), hydrogen=False)
    assert list(table["species"]) == ["Fe 1", "Ca 2", "CN 1", "H2O 1", "Fe 1", "Ni 1"]
    assert np.allclose(table["gamvw"], [300.25, -7.6, 0, 0, 0, 0])
    assert np.allclose(table["gamrad"], [8.0, 0, 0, 0, 8.1, 0])
    assert np.allclose(table["atom_number"], [1, 1, 0, 0, 1, 1])
    assert np.allclose(table["factor"], [np.nan] * 4 + [2.5, np.nan], equal_nan=True)
    done = with_unsold(table, lambda part: np.full(len(part["species"]), -7.8))
    assert done["gamvw"][4] == pytest.approx(-7.8 + np.log10(2.5))
    assert "factor" not in done
    with_h = columns(own, (4800.0, 4900.0), hydrogen=True)
    beta = np.flatnonzero((with_h["species"] == "H 1") & (with_h["gamvw"] == 4))
    assert with_h["wlcent"][beta[0]] == pytest.approx(4862.7, abs=0.1)
    assert np.all(np.diff(with_h["wlcent"]) >= 0)


@pytest.mark.parametrize(
    ("lower", "upper", "exact"),
    # exact values of the nonrelativistic atom
    [(1, 2, 0.4162), (2, 3, 0.6407), (2, 4, 0.1193), (3, 4, 0.8421), (4, 5, 1.038)],
)
def test_oscillator_strengths(lower: int, upper: int, exact: float):
    assert oscillator_strength(lower, upper) == pytest.approx(exact, rel=0.01)


def test_hydrogen_lines_of_the_h_band():
    found = hydrogen_lines(15100.0, 17000.0)
    brackett = found.upper[(found.lower == 4) & (found.wavelength < 17000)]
    assert {11, 12, 13, 14, 15} <= set(brackett.tolist())
    eleven = found.wavelength[(found.lower == 4) & (found.upper == 11)][0]
    assert eleven == pytest.approx(16811.1, abs=0.3)
