"""Atlases, the way from a model to the pixels of an observation, and the fit of line data."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from starnet.errors import ConfigError, DataError, GridError, ReadError
from starnet.spectra import WavelengthGrid
from starnet.spectra.air import air_to_vacuum
from starnet.synthesis.calibrate.atlas import ARCTURUS, SUN, Atlas, carbon
from starnet.synthesis.calibrate.observed import LIGHT, Gaussian, Observed
from starnet.synthesis.calibrate.parameters import Parameters, Priors, tied
from starnet.synthesis.lines import LineList, parse_species

FINE = np.exp(np.arange(np.log(16100.0), np.log(16400.0), 1 / 200_000))
PIXELS = WavelengthGrid.log10(np.log10(16140.0), 6e-6, 900, "vacuum")


def dips(wave, centres, width=0.15, depth=0.4):
    """A flux with Gaussian lines of a standard deviation in Angstrom."""
    return 1 - sum(depth * np.exp(-0.5 * ((wave - c) / width) ** 2) for c in centres)


# ------------------------------------------------------------------ atlases


def test_atlas_is_in_vacuum(tmp_path: Path) -> None:
    place = tmp_path / "a.txt"
    wave = np.linspace(15000.0, 15010.0, 50)
    np.savetxt(place, np.column_stack([wave, np.ones(50)]))
    read = Atlas.read(place, "air")
    np.testing.assert_allclose(read.wavelength, air_to_vacuum(wave), atol=1e-6)
    np.testing.assert_allclose(Atlas.read(place, "vacuum").wavelength, wave)
    with pytest.raises(ConfigError, match="air or vacuum"):
        Atlas.read(place, "water")  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "one two\nthree four\n", "1.0\n2.0\n"])
def test_foreign_atlases(tmp_path: Path, text: str) -> None:
    place = tmp_path / "a.txt"
    place.write_text(text)
    with pytest.raises(ReadError, match=r"a\.txt"):
        Atlas.read(place, "air")
    with pytest.raises(ReadError, match="cannot be read as an atlas"):
        Atlas.read(tmp_path / "none", "air")


@pytest.mark.parametrize(
    ("wave", "flux", "says"),
    [
        (np.arange(20.0)[::-1] + 1, np.ones(20), "rise"),
        (np.arange(20.0) + 1, np.ones(19), "as many"),
        (np.arange(20.0) + 1, np.full(20, np.nan), "NaN"),
    ],
)
def test_impossible_atlases(wave, flux, says: str) -> None:
    with pytest.raises(DataError, match=says):
        Atlas(wave, flux)


def test_isotopes_of_arcturus() -> None:
    assert sum(carbon(7.0)[6].values()) == pytest.approx(1.0)
    assert ARCTURUS.isotopes[6][12] / ARCTURUS.isotopes[6][13] == pytest.approx(7.0)
    assert SUN.isotopes[6][13] < 0.02


# ------------------------------------------------------------------ to the pixels


def test_gaussian_broadens_as_it_says() -> None:
    narrow = torch.as_tensor(dips(FINE, [16250.0], width=0.1))
    sigma = 0.3 / 16250.0
    wide = Gaussian(FINE, PIXELS.wavelength, sigma)(narrow).numpy()
    total = np.hypot(0.1, 0.3)
    expected = dips(PIXELS.wavelength, [16250.0], width=total, depth=0.4 * 0.1 / total)
    np.testing.assert_allclose(wide, expected, atol=2e-5)


def test_gaussian_needs_a_margin() -> None:
    with pytest.raises(GridError, match="beyond the pixels"):
        Gaussian(PIXELS.wavelength, PIXELS.wavelength, 1e-4)


def test_velocity_broadening_and_continuum_are_found() -> None:
    centres = np.linspace(16150.0, 16330.0, 14)
    x = FINE / (1 + 12.0 / LIGHT)
    width = np.hypot(0.1, 5.0 / LIGHT * 16240.0)
    seen = dips(x, centres, width=width, depth=0.4 * 0.1 / width)
    atlas = Atlas(FINE, seen * (1.02 + 0.01 * np.sin(FINE / 40)))
    observed = Observed.of(atlas, PIXELS)
    model = torch.as_tensor(dips(FINE, centres, width=0.1))
    tuned = observed.tuned(model, FINE, reach=20.0)
    assert tuned.velocity == pytest.approx(12.0, abs=0.1)
    assert tuned.broadening == pytest.approx(5.0, abs=0.1)
    assert tuned.rms(model, FINE) < 2e-4 < 0.01 < observed.rms(model, FINE)


def test_bad_pixels_do_not_count() -> None:
    model = torch.as_tensor(dips(FINE, [16200.0, 16300.0]))
    flux = dips(FINE, [16200.0, 16300.0])
    flux[(FINE > 16250) & (FINE < 16251)] = np.nan
    flux[(FINE > 16280) & (FINE < 16285)] = 5.0
    mask = (PIXELS.wavelength > 16275) & (PIXELS.wavelength < 16290)
    observed = Observed.of(Atlas(FINE, flux), PIXELS, mask=mask)
    lost = PIXELS.n_pixels - int(observed.good.sum())
    assert mask.sum() < lost < mask.sum() + 30
    assert replace(observed, broadening=0.0).rms(model, FINE) < 1e-4
    with pytest.raises(ConfigError, match="mask must have 900"):
        Observed.of(Atlas(FINE, flux), PIXELS, mask=mask[:5])
    with pytest.raises(ConfigError, match="none of the pixels"):
        Observed.of(Atlas(FINE / 2, flux), PIXELS)


# ------------------------------------------------------------------ parameters


def test_lines_that_change_together() -> None:
    names = ["51V I", "51V I", "51V I", "Fe I", "Fe I", "12C14N", "12C14N", "12C14N"]
    lines = LineList(
        wavelength=[16000.0, 16000.2, 16000.9, 16000.0, 16000.1, 16000.0, 16000.01, 16000.1],
        species=[parse_species(name) for name in names],
        excitation=[1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5],
        loggf=np.full(8, -1.0),
        origin=[0, 0, 0, 1, 1, 1, 1, 1],
        sources=("goodgfhfs", "theory"),
    )
    groups = tied(lines)
    together = groups[:, None] == groups
    assert together[0, 1]
    assert not together[0, 2]
    assert not together[3, 4]
    assert together[5, 6]
    assert not together[6, 7]
    parameters = Parameters(lines, Priors(theory=0.5, laboratory=0.07))
    gf, vdw = parameters(torch.ones(parameters.size, dtype=torch.float64))
    np.testing.assert_allclose(gf[:5], [0.07] * 3 + [0.5] * 2)
    np.testing.assert_allclose(vdw[5:], 0.0)
    gf, vdw = parameters.shifts(torch.ones(parameters.size))
    np.testing.assert_allclose(gf, [0.0] * 5 + [0.03] * 3, atol=1e-6)
    np.testing.assert_allclose(vdw, [0.2] * 5 + [0.0] * 3, atol=1e-6)


# ------------------------------------------------------------------ the fit


@pytest.fixture(scope="module")
def make_target(shared_data: Path):
    """Makes a target of the Sun on a few Angstrom from an observation."""
    from starnet.synthesis.atmospheres import read_atmosphere
    from starnet.synthesis.calibrate.fit import Target
    from starnet.synthesis.inputs import PhysicsInputs
    from starnet.synthesis.lte.tables import Tables

    inputs = PhysicsInputs.locate(shared_data / "physics")
    sun = read_atmosphere(shared_data / "physics/atmospheres/marcs/sun.mod")
    tables, lines = Tables.open(inputs.path("tables")), inputs.lines(16190.0, 16250.0)

    def make(observed: Observed, some: LineList = lines, star=SUN):
        return Target(star, observed, sun, some, tables, resolution=80_000)

    return make


GRID = WavelengthGrid.log10(np.log10(16200.0), 6e-6, 160, "vacuum")


def test_wrong_line_is_set_right(make_target) -> None:
    from starnet.synthesis.calibrate.fit import calibrate

    blank = Observed.at_pixels(GRID, np.ones(GRID.n_pixels), 22_500.0)
    true = make_target(blank)
    lines = true.lines
    inside = (lines.wavelength > 16205) & (lines.wavelength < 16230) & ~lines.is_molecule
    k = int(np.argmax(np.where(inside, true.strengths().numpy(), -np.inf)))
    change = torch.zeros(len(lines), dtype=torch.float64)
    change[k] = -0.6
    with torch.no_grad():
        seen = replace(blank, velocity=1.0).map(true.grid.wavelength)(true.flux(change)).numpy()
    target = make_target(Observed.at_pixels(GRID, 1.01 * seen, 22_500.0))
    told: list[int] = []
    found = calibrate([target], rounds=(8,), progress=lambda n, *_: told.append(n))
    assert found.after["Sun"] < 0.2 * found.before["Sun"]
    assert found.delta_loggf[k] == pytest.approx(-0.6, abs=0.12)
    assert np.abs(np.delete(found.delta_loggf, k)).max() < 0.25
    assert target.observed.velocity == pytest.approx(1.0, abs=0.3)
    assert told == list(range(1, found.evaluations + 1))
    assert found.moved(0.3)["atomic"] == 1
    table = found.corrections({"lines": "test"})
    again = make_target(target.observed, table.apply(lines))
    assert again.tune(again.flux()) == pytest.approx(found.after["Sun"], rel=0.1)


def test_isotopes_are_those_of_the_star(make_target) -> None:
    blank = Observed.at_pixels(GRID, np.ones(GRID.n_pixels), 22_500.0)
    giant = make_target(blank, star=replace(SUN, isotopes=carbon(7.0)))
    change = giant.lines.loggf - make_target(blank).lines.loggf
    rare = giant.lines.species == parse_species("13C14N")
    np.testing.assert_allclose(change[rare], np.log10(0.125 / 0.0107), atol=1e-3)
    assert not change[~giant.lines.is_molecule].any()


def test_what_a_calibration_needs(make_target) -> None:
    from starnet.synthesis.calibrate.fit import Target, calibrate

    with pytest.raises(ConfigError, match="at least one star"):
        calibrate([])
    blank = Observed.at_pixels(GRID, np.ones(GRID.n_pixels), 22_500.0)
    with pytest.raises(ConfigError, match="error of a target"):
        Target(SUN, blank, None, None, None, error=0.0)  # type: ignore[arg-type]
