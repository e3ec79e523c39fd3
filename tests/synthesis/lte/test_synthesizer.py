"""Labels in, spectra out: bad input, batches, derivatives, absolute flux."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from starnet.errors import ConfigError, DataError, GridError, LabelError
from starnet.spectra import Labels, WavelengthGrid
from starnet.synthesis import build_synthesizer
from starnet.synthesis.atmospheres import AtmosphereEmulator, read_atmosphere
from starnet.synthesis.composition import vmic_relation
from starnet.synthesis.inputs import PhysicsInputs
from starnet.synthesis.lines import LineList, parse_species
from starnet.synthesis.lte import linesum, opacity
from starnet.synthesis.lte.engine import LteEngine, Structure
from starnet.synthesis.lte.synthesizer import LteSynthesizer
from starnet.synthesis.lte.tables import Tables

from . import made_up

NAMES = ("teff", "logg", "fe_h", "mg_fe")
STARS = Labels(NAMES, [[4600.0, 2.0, -0.5, 0.1], [5500.0, 4.4, 0.0, 0.0], [4100.0, 1.2, 0.3, 0.0]])
GRID = WavelengthGrid.linear(16001.0, 0.05, 160, "vacuum")


@pytest.fixture(scope="module")
def toy(toy_tables: Tables) -> LteSynthesizer:
    return LteSynthesizer(made_up.emulator(), made_up.lines(15960, 16050, 120), toy_tables)


def test_spectra(toy: LteSynthesizer):
    made = toy.synthesize(STARS, GRID)
    assert made.normalized.shape == (3, 160)
    assert np.isfinite(made.normalized).all()
    assert made.normalized.min() > 0
    assert made.normalized.max() < 1.001
    assert made.normalized.min(axis=1).max() < 0.95
    assert np.all(np.diff(made.continuum[:, 0][[2, 0, 1]]) > 0)  # hotter is brighter
    said = toy.describe()
    assert json.loads(json.dumps(said)) == said
    assert said["engine"] == "lte"


def test_a_star_does_not_depend_on_its_batch(toy: LteSynthesizer):
    whole = toy.synthesize(STARS, GRID)
    alone = np.concatenate([toy.synthesize(STARS[i : i + 1], GRID).normalized for i in range(3)])
    order = [2, 0, 1]
    mixed = toy.synthesize(STARS[order], GRID, batch=2)
    # lines that only another star shows may be summed too: less than the cut-off of a line
    assert np.abs(whole.normalized - alone).max() < 2 * opacity.EPSILON + 1e-6
    assert np.abs(whole.normalized[order] - mixed.normalized).max() < 2 * opacity.EPSILON + 1e-6
    assert np.allclose(whole.continuum[order], mixed.continuum, rtol=1e-9)


def test_the_uncompiled_sum_gives_the_same(toy: LteSynthesizer, monkeypatch: pytest.MonkeyPatch):
    if not linesum.is_compiled():
        pytest.skip("there is no C compiler")
    fast = toy.synthesize(STARS, GRID).normalized
    monkeypatch.setenv("STARNET_FUSED", "0")
    assert (
        np.abs(fast - toy.synthesize(STARS, GRID).normalized).max() < 1e-4
    )  # it sums in another order


def test_microturbulence_by_default(toy: LteSynthesizer):
    plain = toy.synthesize(STARS, GRID).normalized
    vmic = vmic_relation(STARS.column("logg"))
    given = Labels((*NAMES, "vmic"), np.column_stack([STARS.values, vmic]))
    assert np.allclose(toy.synthesize(given, GRID).normalized, plain, atol=1e-6)
    given = Labels((*NAMES, "vmic"), np.column_stack([STARS.values, vmic + 2]))
    assert toy.synthesize(given, GRID).normalized.mean() < plain.mean() - 1e-3


def test_only_its_own_lines_change_with_an_element(toy: LteSynthesizer):
    fine = toy.fine_grid(GRID)
    base = np.array([4600.0, 2.0, -0.5, 0.0])
    more = base + np.array([0, 0, 0, 0.3])
    flux, _ = toy.emergent(Labels(NAMES, [base, more]), fine, outside="error")
    change = np.abs(flux[1] - flux[0])
    lines = made_up.lines(15960, 16050, 120)
    magnesium = lines.wavelength[lines.species == parse_species("Mg I")]
    far = np.abs(fine.wavelength[:, None] - magnesium).min(axis=1) > 0.7
    assert change.max() > 0.01
    assert change[far].max() < 0.3 * change.max()


def test_labels_outside(toy: LteSynthesizer):
    far = Labels(NAMES, [[4600.0, 2.0, 1.0, 0.0], [9000.0, 2.0, 0.0, 0.0]])
    with pytest.raises(LabelError, match=r"Outside.*clamp"):
        toy.synthesize(far, GRID)
    made = toy.synthesize(far, GRID, outside="clamp")
    assert made.labels.values.tolist() == [[4600.0, 2.0, 0.5, 0.0], [6000.0, 2.0, 0.0, 0.0]]
    at_edge = toy.synthesize(made.labels, GRID)
    assert np.array_equal(made.normalized, at_edge.normalized)


@pytest.mark.parametrize(
    ("names", "values", "match"),
    [
        (("teff", "logg", "fe_h", "qq_fe"), [5000.0, 3.0, 0.0, 0.0], "'qq_fe' has no meaning"),
        (("teff", "logg"), [5000.0, 3.0], "fe_h"),
        (("teff", "logg", "fe_h"), [5000.0, np.nan, 0.0], "no logg"),
        (("teff", "logg", "fe_h", "vmic"), [5000.0, 3.0, 0.0, -1.0], "no vmic"),
        (("teff", "logg", "fe_h", "m_h"), [5000.0, 3.0, 0.0, 0.0], "only one of"),
    ],
)
def test_bad_labels(toy: LteSynthesizer, names, values, match):
    with pytest.raises(LabelError, match=match):
        toy.synthesize(Labels(names, [values]), GRID)


@pytest.mark.parametrize("start", [1500.0, 210000.0])
def test_wavelengths_without_opacities(toy: LteSynthesizer, start: float):
    grid = WavelengthGrid.linear(start, 0.05, 100, "vacuum")
    with pytest.raises(GridError, match="2000 to 200000"):
        toy.synthesize(STARS, grid)


def test_wavelengths_without_lines(toy: LteSynthesizer):
    with pytest.raises(DataError, match=r"no line that can be used.*vacuum"):
        toy.synthesize(STARS, WavelengthGrid.linear(12000.0, 0.05, 100, "vacuum"))


def test_an_empty_list(toy_tables: Tables):
    empty = LteSynthesizer(made_up.emulator(), made_up.lines()[:0], toy_tables)
    with pytest.raises(DataError, match="no line"):
        empty.synthesize(STARS, GRID)


def test_settings(toy_tables: Tables, tmp_path: Path):
    with pytest.raises(ConfigError, match="resolution must be at least 1000"):
        LteSynthesizer(made_up.emulator(), made_up.lines(), toy_tables, resolution=10)
    with pytest.raises((ConfigError, DataError), match="download physics"):
        build_synthesizer("lte", physics=tmp_path)
    with pytest.raises(ConfigError, match="none"):
        build_synthesizer("lte", physics=tmp_path / "nowhere")


def test_the_engine_wants_an_even_grid(toy_tables: Tables):
    with pytest.raises(GridError, match="even in the logarithm"):
        LteEngine(made_up.lines(), np.linspace(16000, 16100, 500), toy_tables)
    with pytest.raises(GridError, match="at least 16"):
        LteEngine(made_up.lines(), made_up.log_grid(16000, 16000.2), toy_tables)


def test_derivatives_of_the_made_up_engine(toy: LteSynthesizer, monkeypatch):
    """Its emulator has no kinks, so that steps can be wide."""
    names, values = (*NAMES, "vmic", "c_fe"), np.array([4600.0, 2.0, -0.5, 0.1, 1.5, 0.0])
    wide = {"teff": 20.0, "logg": 0.05, "fe_h": 0.02, "mg_fe": 0.02, "vmic": 0.02, "c_fe": 0.05}
    worst = derivatives(toy, names, values, wide, monkeypatch)
    assert max(worst.values()) < 0.02, worst


def derivatives(made: LteSynthesizer, names, values, steps, monkeypatch) -> dict[str, float]:
    """Largest relative error of each label's derivative, where it is over 10 % of its largest.

    Lines are followed nearly without end, because the pixel where one is cut off moves with the
    labels: steps of 1e-5 of the continuum that no derivative has. What is left is float32, some
    3e-6 over the step, and with real emulators the kinks of their leaky ReLUs, which allow teff a
    step of 2 K only.
    """
    monkeypatch.setattr(opacity, "EPSILON", 1e-7)
    fine = made.fine_grid(GRID)
    own = made.jacobian(np.array(values), names, fine)
    worst = {}
    for k, name in enumerate(names):
        step = np.zeros(len(names))
        step[k] = steps.get(name, 0.01)
        both = Labels(names, [values + step, values - step])
        flux, _ = made.emergent(both, fine, outside="error")
        found = (flux[0] - flux[1]) / (2 * step[k])
        strong = np.abs(own[k]) > 0.1 * np.abs(own[k]).max()
        worst[name] = float(np.max(np.abs(found / own[k] - 1)[strong]))
    return worst


@pytest.fixture(scope="module")
def real(physics: Path, tables: Tables) -> LteSynthesizer:
    """The real engine, its H-band lines read once."""
    lines = PhysicsInputs.locate(physics).lines(15930, 16080)
    return LteSynthesizer(AtmosphereEmulator.open(physics / "atmospheres/atmosnet"), lines, tables)


def test_derivatives_of_a_giant(real: LteSynthesizer, monkeypatch):
    names = ("teff", "logg", "fe_h", "vmic", "c_fe", "n_fe", "o_fe", "mg_fe", "si_fe")
    values = np.array([4500.0, 2.0, -0.5, 1.5, 0.0, 0.1, 0.1, 0.1, 0.1])
    narrow = {"teff": 2.0, "fe_h": 0.005}
    worst = derivatives(real, names, values, narrow, monkeypatch)
    assert max(worst.values()) < 0.02, worst


def test_gradients_backwards_are_those_forwards(toy: LteSynthesizer):
    fine = toy.fine_grid(GRID)
    labels = torch.tensor(STARS.values[:1], requires_grad=True)
    weights = torch.linspace(-1, 1, fine.n_pixels)
    (toy(labels, NAMES, fine).normalized[0] * weights).sum().backward()
    forward = toy.jacobian(STARS.values[0], NAMES, fine) @ weights.numpy()
    assert np.allclose(labels.grad[0], forward, rtol=2e-3, atol=1e-4 * np.abs(forward).max())


def test_real_spectra_of_the_public_inputs(real: LteSynthesizer):
    made = real.synthesize(STARS, GRID)
    assert np.isfinite(made.flux).all()
    assert made.normalized.min(axis=1).max() < 0.95


@pytest.fixture(scope="module")
def bare(physics: Path, tables: Tables):
    """Flux of the continuum at the Sun's surface, over all wavelengths."""
    wave = made_up.log_grid(2050.0, 150000.0, 400.0)
    weak = LineList([16000.0], [parse_species("Fe I")], [4.0], [-9.0])
    model = read_atmosphere(physics / "atmospheres/marcs/sun.mod")
    columns = (model.temperature, model.gas_pressure, model.rhox)
    structure = Structure(*(made_up.tensor(x) for x in columns))
    engine = LteEngine(weak, wave, tables, hydrogen=False)
    with torch.no_grad():
        made = engine(structure, made_up.solar(), torch.ones(1, dtype=torch.float64))
    return wave, made.continuum[0].numpy()


def test_the_continuum_of_the_sun_integrates_to_its_temperature(bare):
    """Without lines, which take some 12 % away and most of it in the blue, it is brighter."""
    wave, flux = bare
    total = np.trapezoid(flux, wave) / (5.6704e-5 * 5777.0**4)
    assert 1.02 < total < 1.22


@pytest.mark.parametrize(
    ("wave", "flux"),
    [
        # W / m2 / nm at 1 AU between lines (Neckel and Labs 1984; Thuillier et al. 2003), over
        # the square of the Sun's angular radius, 2.1624e-5, in erg / s / cm2 / Angstrom
        (5500.0, 1.95),
        (6560.0, 1.60),
        (8700.0, 0.985),
        (10400.0, 0.69),
        (16400.0, 0.236),
        (22000.0, 0.0795),
    ],
)
def test_the_continuum_of_the_sun(bare, wave: float, flux: float):
    expected = flux * 100 / 2.1624e-5
    assert np.interp(wave, *bare) == pytest.approx(expected, rel=0.05)
