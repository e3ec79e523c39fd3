"""Model atmospheres: the value, and the readers of MARCS, ATLAS and PFANT files."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from starnet.errors import ConfigError, DataError, ReadError
from starnet.synthesis.atmospheres import (
    Atmosphere,
    identify_atmosphere,
    optical_depth,
    read_atmosphere,
    read_atmospheres,
)

FOLDER = Path("physics") / "atmospheres"


@pytest.fixture
def grey() -> Atmosphere:
    """A grey atmosphere with the Sun's labels, constant opacity 0.4 cm2/g."""
    tau = np.logspace(-4, 1.5, 23)
    temperature = 5777.0 * (0.75 * (tau + 2 / 3)) ** 0.25
    rhox = tau / 0.4
    pressure = 10**4.44 * rhox
    return Atmosphere(
        5777.0, 4.44, 0.0, 0.0, rhox, temperature, pressure, 1e-4 * pressure / temperature * 1e16,
        opacity_ross=np.full(23, 0.4), tau_ross=tau, abundances={"H": 12.0}, source="grey",
    )  # fmt: skip


def marcs_text(n: int = 4) -> str:
    """A made-up MARCS file of a giant of 1 solar mass with ``n`` depths."""
    head = [
        "s4000_g+1.0_m1.0_t02_st_z-0.50_a+0.20",
        "  4000.      Teff [K].         Last iteration; yyyymmdd=20200101",
        "  1.4517E+10 Flux [erg/cm2/s]",
        "  1.0000E+01 Surface gravity [cm/s2]",
        "  2.0        Microturbulence parameter [km/s]",
        "  1.0        Mass [Msun]",
        " -0.50 +0.20 Metallicity [Fe/H] and [alpha/Fe]",
        "  3.6526E+12 Radius [cm] at Tau(Rosseland)=1.0",
        "Logarithmic chemical number abundances, H always 12.00",
        "  12.00  10.93 -99.00" + " 1.00" * 89,
        f"  {n} Number of depth points",
        "Model structure",
        " k lgTauR  lgTau5    Depth     T        Pe          Pg         Prad       Pturb",
    ]
    rows = [
        f" {k} {k - 3:.2f} {k - 2.9:.4f} {1e9 * k:.3E} {3000 + 400 * k} {10.0**-k:.4E} "
        f"{10.0**k:.4E} 1.0E-01 0.0E+00"
        for k in range(1, n + 1)
    ]
    middle = [" k lgTauR    KappaRoss   Density   Mu      Vconv   Fconv/F      RHOX"]
    more = [
        f" {k} {k - 3:.2f} {1e-3 * k:.4E} {1e-9 * k:.4E} 1.267 0.0E+00 0.0 {10.0 ** (k - 1):.6E}"
        for k in range(1, n + 1)
    ]
    return "\n".join([*head, *rows, *middle, *more, "Assorted logarithmic partial pressures"])


def kurucz_text(n: int = 4) -> str:
    """A made-up ATLAS12 file: iron and oxygen changed one by one, columns that touch."""
    solar = {8: -3.21, 10: -3.96, 12: -4.46, 14: -4.49, 16: -4.71, 20: -5.68, 22: -7.02, 26: -4.54}
    changes = {z: a + (-0.5 if z == 26 else -0.2) for z, a in solar.items()}
    pairs = " ".join(f"{z} {a:.2f}" for z, a in changes.items())
    rows = [
        f"{1.5 * 10.0**k:15.8E}{10000.5 + 100 * k:7.1f}{1e3 * 10.0**k:10.3E}{1e12:10.3E}{0.1:10.3E}"
        for k in range(n)
    ]
    return "\n".join(
        [
            "TEFF   4000.  GRAVITY 1.50000 LTE ",
            "TITLE  made up, VTURB=1.5  L/H=1.25",
            "ABUNDANCE SCALE   1.00000 ABUNDANCE CHANGE 1 0.92080 2 0.07838",
            f" ABUNDANCE CHANGE {pairs} 43 -20.00",
            f"READ DECK6 {n} RHOX,T,P,XNE,ABROSS",
            *rows,
            "PRADK 1.4601E+00",
        ]
    )


def pfant_bytes(n_models: int = 2, depths: int = 5) -> bytes:
    """A made-up PFANT grid."""
    records = []
    for i in range(n_models):
        k = np.arange(depths)
        columns = [10.0 ** (22 + k), 1.2 - 0.1 * k, 10.0 ** (k - 3), 10.0**k, -2.0 + k]
        table = np.stack(columns, axis=1)
        head = np.array([depths], "<i4").tobytes()
        head += np.array([4000 + 250 * i, 1.5, -0.5, 0.2, 0.0851], "<f4").tobytes()
        records.append((head.ljust(64, b"\0") + table.astype("<f4").tobytes()).ljust(1200, b"\0"))
    return b"".join(records) + np.array([9999], "<i4").tobytes().ljust(1200, b"\0")


CONTENT = {
    "marcs": marcs_text().encode(),
    "kurucz": kurucz_text().encode(),
    "pfant": pfant_bytes(),
}


def test_marcs_header_and_columns(tmp_path):
    path = tmp_path / "any.name"
    path.write_text(marcs_text())
    model = read_atmosphere(path)
    labels = (model.teff, model.logg, model.m_h, model.alpha_m, model.vmic, model.mass)
    assert labels == (4000.0, 1.0, -0.5, 0.2, 2.0, 1.0)
    assert model.spherical
    assert model.radius == 3.6526e12
    assert list(model.abundances)[:3] == ["H", "He", "Be"]  # lithium is absent
    np.testing.assert_allclose(model.rhox, [1, 10, 100, 1000])
    np.testing.assert_allclose(model.electron_pressure, [0.1, 0.01, 1e-3, 1e-4])
    assert model.density is not None
    np.testing.assert_allclose(model.density, 1e-9 * np.arange(1, 5))


def test_kurucz_touching_columns_and_single_abundances(tmp_path):
    path = tmp_path / "ap.dat"
    path.write_text(kurucz_text())
    model = read_atmosphere(path)
    assert (model.teff, model.logg, model.m_h, model.alpha_m) == (4000.0, 1.5, -0.5, 0.3)
    assert model.vmic == 1.5
    assert not model.spherical
    np.testing.assert_allclose(model.temperature, 10000.5 + 100 * np.arange(4))
    assert model.tau_ross is not None
    np.testing.assert_allclose(model.tau_ross, 0.1 * model.rhox)  # the opacity is constant
    assert "Tc" not in model.abundances
    assert model.abundances["Fe"] == pytest.approx(7.0, abs=0.01)


def test_several_kurucz_models_in_a_file(tmp_path):
    path = tmp_path / "two.dat"
    path.write_text(kurucz_text() + "\n" + kurucz_text().replace("4000.", "4250."))
    assert [model.teff for model in read_atmospheres(path)] == [4000.0, 4250.0]
    with pytest.raises(ReadError, match="holds 2 models"):
        read_atmosphere(path)


def test_pfant_grid(tmp_path):
    path = tmp_path / "grid"
    path.write_bytes(pfant_bytes())
    models = read_atmospheres(path)
    assert [m.teff for m in models] == [4000.0, 4250.0]
    np.testing.assert_allclose(models[0].temperature, 5040 / (1.2 - 0.1 * np.arange(5)), rtol=1e-6)
    np.testing.assert_allclose(models[0].electron_pressure, 10.0 ** (np.arange(5) - 3), rtol=1e-6)
    per_hydrogen = models[0].rhox / 10.0 ** (22 + np.arange(5)) / 1.66053907e-24
    np.testing.assert_allclose(per_hydrogen, 1.3449, rtol=1e-3)


def test_a_damaged_pfant_record_is_named(tmp_path):
    path = tmp_path / "grid"
    content = bytearray(pfant_bytes())
    content[1204:1208] = np.array([1e30], "<f4").tobytes()
    path.write_bytes(bytes(content))
    with pytest.raises(ReadError, match="record 1 has no labels of a star"):
        read_atmospheres(path)


@pytest.mark.parametrize("name", CONTENT)
def test_formats_are_known_by_content(name, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(CONTENT[name])
    assert identify_atmosphere(path) == name


@pytest.mark.parametrize("name", CONTENT)
@pytest.mark.parametrize("cut", [1, 3, 40, 150])
def test_a_cut_file_is_refused_with_its_name(name, cut, tmp_path):
    path = tmp_path / "cut.file"
    content = CONTENT[name]
    # MARCS and ATLAS end with lines that are not needed: cut within the last number and further up
    end = {"marcs": content.find(b"\nAssorted"), "kurucz": content.find(b"\nPRADK")}
    path.write_bytes(content[: end.get(name, len(content)) - cut])
    with pytest.raises(ReadError, match=r"cut\.file.*cut off"):
        read_atmospheres(path)


@pytest.mark.parametrize("content", [b"", b"SIMPLE  =  T", b"\x00" * 2400, b"4000 1.5 0.0\n" * 9])
def test_a_foreign_file_is_refused(content, tmp_path):
    path = tmp_path / "foreign"
    path.write_bytes(content)
    assert identify_atmosphere(path) is None
    with pytest.raises(ReadError, match="foreign: not a model atmosphere"):
        read_atmospheres(path)


def test_an_absent_file_is_refused(tmp_path):
    assert identify_atmosphere(tmp_path / "none") is None
    with pytest.raises(ReadError, match="no such file"):
        read_atmospheres(tmp_path / "none")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("4.0000E+00", "x"),
        ("3400", "0.00"),
        ("1.000000E+02", "1.000000E+00"),
        ("  1.0000E+01 S", "S"),
    ],
)
def test_a_damaged_marcs_file_is_refused(old, new, tmp_path):
    path = tmp_path / "bad.mod"
    text = marcs_text().replace("1.0000E+04", "4.0000E+00")
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(ReadError, match=r"bad\.mod"):
        read_atmospheres(path)


def test_the_value_is_frozen_and_copies(grey):
    with pytest.raises(ValueError, match="read-only"):
        grey.rhox[0] = 1.0
    assert repr(grey) == (
        "<Atmosphere teff=5777, logg=4.44, m_h=0, alpha_m=0, 23 depths, plane-parallel>"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature": np.full(22, 5000.0)}, "temperature must hold 23 depths"),
        ({"temperature": np.zeros(23)}, "temperature must be positive"),
        ({"electron_density": np.full(23, np.nan)}, "electron_density must be positive and finite"),
        ({"rhox": np.ones(23)}, "rhox must rise .* depth 2 of 23"),
        ({"tau_ross": np.ones(23)}, "tau_ross must rise"),
        ({"radius": 0.0}, "radius must be positive"),
        ({"logg": np.nan}, "finite logg"),
    ],
)
def test_inconsistent_columns_are_refused(grey, change, message):
    with pytest.raises(DataError, match=message):
        replace(grey, **change)


def test_optical_depth_of_a_power_law_is_exact():
    rhox = np.logspace(-3, 1, 9)
    opacity = 0.5 * rhox**0.7  # tau = 0.5 / 1.7 rhox**1.7, above the first depth opacity * rhox
    expected = 0.5 / 1.7 * (rhox**1.7 - rhox[0] ** 1.7) + opacity[0] * rhox[0]
    np.testing.assert_allclose(optical_depth(rhox, opacity), expected, rtol=1e-12)
    falling = 1.0 / rhox  # the integral is a logarithm
    np.testing.assert_allclose(optical_depth(rhox, falling), 1 + np.log(rhox / rhox[0]), rtol=1e-9)


def test_resampling_keeps_own_depths_and_refuses_others(grey):
    again = grey.resample(grey.tau_ross)
    np.testing.assert_allclose(again.temperature, grey.temperature, rtol=1e-12)
    between = grey.resample(np.logspace(-3.9, 1.4, 40))
    exact = 5777.0 * (0.75 * (between.tau_ross + 2 / 3)) ** 0.25
    np.testing.assert_allclose(between.temperature, exact, rtol=2e-3)
    np.testing.assert_allclose(between.rhox, between.tau_ross / 0.4, rtol=1e-10)
    with pytest.raises(ConfigError, match=r"within log tau_ross -4\.00 to 1\.50"):
        grey.resample([1e-5, 1e-3, 1.0])
    with pytest.raises(ConfigError, match="has no tau_5000"):
        grey.resample([0.1, 1.0, 2.0], "tau_5000")
    with pytest.raises(ConfigError, match="must be one of"):
        grey.resample([0.1, 1.0, 2.0], "tau_h")


def test_a_missing_opacity_is_named(grey):
    bare = replace(grey, opacity_ross=None, tau_ross=None)
    with pytest.raises(DataError, match="opacity_ross"):
        bare.with_tau_ross()
    whole = replace(grey, tau_ross=None).with_tau_ross()
    np.testing.assert_allclose(whole.tau_ross, grey.tau_ross, rtol=1e-10)


def weight_ratio(model: Atmosphere) -> np.ndarray:
    """Gas pressure over gravity times column mass: 1 in hydrostatic equilibrium."""
    return model.gas_pressure / (model.gravity * model.rhox)


def test_real_marcs_models(shared_data):
    paths = sorted((shared_data / FOLDER / "marcs").glob("*.mod"))
    if not paths:
        pytest.skip("no MARCS models here")
    models = {path.name: read_atmosphere(path) for path in paths}
    assert len(models) == 16
    for name, model in models.items():
        assert model.n_depths == 56
        assert (np.diff(model.temperature) > 0).all(), name
        assert model.spherical == (name.startswith("s") and name != "sun.mod")
        assert model.abundances["Fe"] == pytest.approx(7.45 + model.m_h, abs=0.011)
        if not model.spherical and name != "sun.mod":
            # radiation takes up to 1.1 % (6000 K, log g 4)
            ratio = weight_ratio(model)
            assert 0.988 < ratio.min() <= ratio.max() < 1.001, name
        # below the first depths, where the start matters, the file's own scale comes back
        if not model.spherical:
            integrated = optical_depth(model.rhox, model.opacity_ross)
            loose = 0.03 if name == "sun.mod" else 0.01
            np.testing.assert_allclose(integrated[20:], model.tau_ross[20:], rtol=loose)


def test_real_marcs_sun(shared_data):
    sun = read_atmosphere(shared_data / FOLDER / "marcs" / "sun.mod")
    assert (sun.teff, sun.logg, sun.m_h, sun.vmic, sun.spherical) == (5777.0, 4.44, 0.0, 1.0, False)
    assert len(sun.abundances) == 83
    at_one = int(np.argmin(np.abs(np.log10(sun.tau_ross))))
    assert sun.temperature[at_one] == pytest.approx(6235.2)
    assert sun.gas_pressure[at_one] == pytest.approx(1.1865e5)
    assert sun.electron_pressure[at_one] == pytest.approx(40.062)
    middle = sun.resample([0.99, 1.0, 1.01], "tau_5000")
    assert middle.temperature[1] == pytest.approx(6475, abs=80)  # Eddington-Barbier at 5000 Å
    # the file's RHOX lies up to 3.6 % above its own gas pressure over gravity
    assert weight_ratio(sun).min() == pytest.approx(0.9644, abs=1e-3)


def test_real_kurucz_models(shared_data):
    paths = sorted((shared_data / FOLDER / "kurucz").iterdir())
    models = [read_atmosphere(path) for path in paths]
    labels = [(m.teff, m.logg, m.m_h, m.alpha_m, m.vmic, m.n_depths) for m in models]
    assert labels == [
        (5777.0, 4.437, 0.0, 0.0, 2.0, 72),
        (3500.0, 0.0, -0.5, 0.4, 2.0, 72),
        (3500.0, 5.0, -0.5, 0.4, 2.0, 72),
    ]
    for model in models:
        ratio = weight_ratio(model)
        assert 0.965 < ratio.min() <= ratio.max() < 1.02
        # the cool dwarf falls by hundreds of K near the surface
        deep = model.tau_ross > 1e-4
        assert (np.diff(model.temperature[deep]) > 0).all()
        assert -7 < np.log10(model.tau_ross[0]) < -6


def test_real_pfant_grid(shared_data):
    models = read_atmospheres(shared_data / FOLDER / "marcs_pfant" / "grid.mod")
    assert len(models) == 525
    nodes = {(m.teff, m.logg, m.m_h, m.alpha_m) for m in models}
    assert len(nodes) == 525
    alpha = {m.m_h: m.alpha_m for m in models}
    assert alpha == {-2.0: 0.4, -1.5: 0.4, -1.0: 0.4, -0.5: 0.2, 0.0: 0.0, 0.25: 0.0}
    assert all((np.diff(m.temperature) > 0).all() for m in models)
    dwarfish = [weight_ratio(m) for m in models if m.logg >= 3 and m.teff <= 6000]
    assert 0.97 < min(r.min() for r in dwarfish) <= max(r.max() for r in dwarfish) < 1.002
    # the Sun is MARCS's own on its Rosseland depths, the giants are on depths at 5000 Å
    sun = next(m for m in models if m.teff == 5777)
    assert [m for m in models if m.tau_ross is not None] == [sun]
    giant = next(m for m in models if (m.teff, m.logg, m.m_h) == (5000.0, 3.0, 0.0))
    path = next((shared_data / FOLDER / "marcs").glob("s5000*"))
    same = read_atmosphere(path).resample(giant.tau_5000, "tau_5000")
    np.testing.assert_allclose(giant.gas_pressure, same.gas_pressure, rtol=0.005)
    np.testing.assert_allclose(giant.temperature, same.temperature, rtol=0.001)
    marcs = read_atmosphere(shared_data / FOLDER / "marcs" / "sun.mod")
    np.testing.assert_allclose(sun.tau_ross, marcs.tau_ross, rtol=1e-3)
    np.testing.assert_allclose(sun.temperature, marcs.temperature, rtol=1e-5)
    np.testing.assert_allclose(sun.gas_pressure, marcs.gas_pressure, rtol=1e-5)
    np.testing.assert_allclose(sun.electron_pressure, marcs.electron_pressure, rtol=1e-5)
