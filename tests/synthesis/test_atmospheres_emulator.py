"""Neural emulators of model atmospheres."""

from pathlib import Path

import numpy as np
import pytest

from starnet.errors import LabelError, ModelError
from starnet.synthesis.atmospheres import AtmosphereEmulator, read_atmosphere

FOLDER = Path("physics") / "atmospheres"
LOW, HIGH = np.array([4000.0, 0.0, -2.0, 0.0]), np.array([6000.0, 4.0, 0.0, 0.4])
DEPTHS = 6


def write(folder: Path, family: str = "toy", noise: float = 0.0, **change) -> None:
    """A made-up emulator with 5 hidden neurons, the same for all labels but for ``noise``."""
    rng = np.random.default_rng(0)
    corners = np.stack(np.meshgrid(*zip(LOW, HIGH, strict=True)), axis=-1).reshape(-1, 4)
    bases = [-3.0, 3.7, -3.0, 10.0, -2.0, 0.0]
    for column, base in enumerate(bases, start=1):
        steps = np.arange(DEPTHS) * (0.02 if column == 2 else 0.5)
        content = {
            "w_array_0": rng.normal(size=(5, 4)).astype("f4"),
            "b_array_0": rng.normal(size=5).astype("f4"),
            "w_array_1": rng.normal(size=(5, 5)).astype("f4"),
            "b_array_1": rng.normal(size=5).astype("f4"),
            "w_array_2": noise * rng.normal(size=(DEPTHS, 5)).astype("f4"),
            "b_array_2": (base + steps).astype("f4"),
            "x_min": LOW,
            "x_max": HIGH,
            "labels": np.array(["TEFF", "LOGG", "FE_H", "ALPHA_FE"]),
            "training_labels": corners,
        }
        path = folder / f"{family}_col{column}_5neurons.npz"
        np.savez(path, **(content | change.get(f"col{column}", {})))


@pytest.fixture
def toy(tmp_path) -> AtmosphereEmulator:
    write(tmp_path)
    return AtmosphereEmulator.open(tmp_path)


def test_the_networks_by_hand(tmp_path):
    """Against one star, one column at a time, as the format is described."""
    write(tmp_path, noise=0.3)
    emulator = AtmosphereEmulator.open(tmp_path)
    stars = np.array([[4321.0, 1.5, -0.7, 0.1], [5900.0, 3.9, 0.0, 0.4]])
    got = emulator.logarithms(stars)
    assert got.shape == (5, 2, DEPTHS)
    for column in range(5):
        file = np.load(tmp_path / f"toy_col{column + 1}_5neurons.npz")
        for row, star in enumerate(stars):
            value = (star - LOW) / (HIGH - LOW) - 0.5
            for layer in range(3):
                value = file[f"w_array_{layer}"] @ value + file[f"b_array_{layer}"]
                if layer < 2:
                    value = np.maximum(value, 0.01 * value)
            np.testing.assert_allclose(got[column, row], value, rtol=1e-6)


def test_columns_and_the_single_call_agree(toy):
    stars = np.array([[4321.0, 1.5, -0.7, 0.1], [5900.0, 1.0, 0.0, 0.0]])
    columns = toy.columns(stars)
    assert {name: values.shape for name, values in columns.items()} == dict.fromkeys(
        ["rhox", "temperature", "gas_pressure", "electron_density", "opacity_ross", "tau_ross"],
        (2, DEPTHS),
    )
    np.testing.assert_allclose(columns["rhox"][0], 10 ** (-3 + 0.5 * np.arange(DEPTHS)), rtol=1e-5)
    single = toy.at(5900.0, 1.0)
    assert (single.teff, single.logg, single.m_h, single.alpha_m) == (5900.0, 1.0, 0.0, 0.0)
    np.testing.assert_allclose(single.tau_ross, columns["tau_ross"][1], rtol=1e-12)
    assert [w.shape for w in toy.weights] == [(5, 5, 4), (5, 5, 5), (5, DEPTHS, 5)]
    assert toy.n_depths == DEPTHS


def test_outside_the_training_labels(toy):
    assert toy.limits["teff"] == (4000.0, 6000.0)
    with pytest.raises(LabelError, match=r"teff = 6500 \(it covers 4000 to 6000\)"):
        toy.at(6500.0, 2.0)
    with pytest.raises(LabelError, match=r"2 stars lie outside"):
        toy.columns([[6500.0, 2.0, 0.0, 0.0], [5000.0, 2.0, 0.0, 0.9], [5000.0, 2.0, 0.0, 0.1]])
    with pytest.raises(LabelError, match="m_h is nan in row 0"):
        toy.columns([[5000.0, 2.0, np.nan, 0.0]], outside="clamp")
    clamped = toy.at(6500.0, 2.0, outside="clamp")
    assert (clamped.teff, clamped.logg) == (6000.0, 2.0)
    assert clamped.clamped == {"teff": 6500.0}


def test_column_mass_is_made_to_rise(tmp_path):
    falling = (-3 + 0.5 * np.arange(DEPTHS)).astype("f4")
    falling[2] = falling[1] - 0.03
    write(tmp_path, col1={"b_array_2": falling})
    got = AtmosphereEmulator.open(tmp_path).at(5000.0, 2.0)
    steps = np.diff(np.log10(got.rhox))
    np.testing.assert_allclose(steps, [0.5, 1e-4, 0.9999, 0.5, 0.5], atol=2e-6)


def test_what_is_no_atmosphere_is_refused(tmp_path):
    """Gas pressure above the weight of the column: P = 10^3.05 RHOX here."""
    pressure = (0.05 + 0.5 * np.arange(DEPTHS)).astype("f4")
    write(tmp_path, col3={"b_array_2": pressure})
    emulator = AtmosphereEmulator.open(tmp_path)
    stars = np.array([[5000.0, 3.0, 0.0, 0.0], [5000.0, 2.5, 0.0, 0.0]])
    assert emulator.sound(stars).tolist() == [True, False]
    with pytest.raises(LabelError, match=r"1 of 2 stars.*logg = 2\.5.*0\.55 dex"):
        emulator.columns(stars)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"col1": {"labels": np.array(["A", "B", "C", "D"])}}, "its labels are"),
        ({"col3": {"x_min": LOW - 1}}, "scaled otherwise"),
        ({"col4": {"w_array_1": np.zeros((4, 5), "f4")}}, "differ in size"),
    ],
)
def test_damaged_files_are_refused(change, message, tmp_path):
    write(tmp_path, **change)
    with pytest.raises(ModelError, match=message):
        AtmosphereEmulator.open(tmp_path)


def test_incomplete_and_foreign_folders_are_refused(tmp_path):
    with pytest.raises(ModelError, match="found none"):
        AtmosphereEmulator.open(tmp_path)
    write(tmp_path)
    write(tmp_path, family="hot")
    with pytest.raises(ModelError, match=r"found hot__5neurons, toy__5neurons"):
        AtmosphereEmulator.open(tmp_path)
    assert AtmosphereEmulator.open(tmp_path, "hot").n_depths == DEPTHS
    file = tmp_path / "toy_col2_5neurons.npz"
    file.write_bytes(file.read_bytes()[:300])
    with pytest.raises(ModelError, match=r"col2.*get it again"):
        AtmosphereEmulator.open(tmp_path, "toy")
    file.unlink()
    with pytest.raises(ModelError, match="lacks its column 2"):
        AtmosphereEmulator.open(tmp_path, "toy")


@pytest.fixture(scope="module")
def atmosnet(shared_data) -> AtmosphereEmulator:
    return AtmosphereEmulator.open(shared_data / FOLDER / "atmosnet")


def test_real_emulator_of_the_sun(atmosnet):
    got = atmosnet.at(5777.0, 4.44)
    assert (got.n_depths, got.spherical) == (80, False)
    ratio = got.gas_pressure / (got.gravity * got.rhox)
    assert 0.98 < ratio.min() <= ratio.max() < 1.03
    steps = np.diff(got.temperature)  # towards the surface the network wiggles by some kelvin
    assert (steps > -10).all()
    assert (steps[got.tau_ross[1:] > 1e-3] > 0).all()


@pytest.mark.parametrize("name", ["marcs/sun.mod", "kurucz/ksun.mod", "marcs/s5000*.mod"])
def test_real_emulator_against_other_models(name, atmosnet, shared_data):
    """ATLAS12 against MARCS and ATLAS9, which differ by as much between themselves."""
    tau = np.logspace(-3, 1.5, 40)
    other = read_atmosphere(next((shared_data / FOLDER).glob(name))).resample(tau)
    got = atmosnet.at(other.teff, other.logg, other.m_h, other.alpha_m).resample(tau)
    np.testing.assert_allclose(got.temperature, other.temperature, rtol=0.015)
    np.testing.assert_allclose(got.gas_pressure, other.gas_pressure, rtol=0.08)
    np.testing.assert_allclose(got.electron_density, other.electron_density, rtol=0.15)


def test_real_emulator_in_a_batch(atmosnet, rng):
    labels = atmosnet.training_labels
    assert labels.shape == (15189, 4)
    stars = labels[rng.choice(len(labels), 400, replace=False)]
    assert atmosnet.hull.contains(stars).all()
    sound = atmosnet.sound(stars)
    assert sound.mean() > 0.98
    columns = atmosnet.columns(stars[sound])
    assert all(np.isfinite(values).all() for values in columns.values())
    assert (np.diff(columns["rhox"]) > 0).all()
    assert (np.diff(columns["tau_ross"]) > 0).all()
    dwarfs = stars[sound][:, 1] >= 2.0
    excess = np.log10(columns["gas_pressure"] / columns["rhox"]) - stars[sound][:, 1:2]
    assert abs(np.median(excess[dwarfs])) < 0.005
    assert not atmosnet.hull.contains(np.array([[7700.0, 0.0, 0.0, 0.0]]))[0]


def test_real_emulator_between_its_training_models(atmosnet):
    """Gravity moves pressure as it should: dlogP/dlogg at fixed optical depth is 0.5 to 0.7."""
    tau = np.logspace(-2, 0, 5)
    low, high = (atmosnet.at(5777.0, g).resample(tau) for g in (4.3, 4.5))
    slope = np.log10(high.gas_pressure / low.gas_pressure) / 0.2
    assert (slope > 0.45).all()
    assert (slope < 0.75).all()
