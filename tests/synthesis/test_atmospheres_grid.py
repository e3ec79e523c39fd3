"""Grids of model atmospheres: hulls, weights, interpolation."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starnet.errors import ConfigError, LabelError, ReadError
from starnet.synthesis.atmospheres import (
    Atmosphere,
    AtmosphereGrid,
    LabelHull,
    read_atmospheres,
    read_folder,
    select,
)
from starnet.synthesis.atmospheres.weights import Lattice

GIANTS = Path("physics") / "atmospheres" / "marcs_pfant" / "grid.mod"
TAU = np.logspace(-4, 2, 25)


def model(teff: float, logg: float, m_h: float = 0.0, alpha_m: float = 0.0, **more) -> Atmosphere:
    """A made-up atmosphere whose logarithms are linear in the labels."""
    slope = 0.55 + 1e-5 * (teff - 5000) + 0.02 * m_h
    log_p = 4.0 + 0.5 * logg - 0.3 * m_h + 0.1 * alpha_m + slope * np.log10(TAU)
    temperature = 10 ** (3.7 + 1e-4 * (teff - 5000) + 0.05 * np.log10(TAU))
    return Atmosphere(
        teff, logg, m_h, alpha_m, 10 ** (log_p - logg), temperature, 10**log_p,
        10 ** (log_p + 8 + 0.2 * m_h), tau_ross=TAU, vmic=2.0, abundances={"Fe": 7.45 + m_h},
        **more,
    )  # fmt: skip


def ragged() -> list[Atmosphere]:
    """4 x 4 x 2 nodes without the hot bright corner and without one node inside."""
    nodes = [
        (t, g, m)
        for t in (4000.0, 4500.0, 5000.0, 5500.0)
        for g in (0.0, 1.0, 2.0, 3.0)
        for m in (-1.0, 0.0)
        if not (t >= 5000 and g < 1) and not (t == 5500 and g < 2) and (t, g) != (4500.0, 2.0)
    ]
    return [model(*node) for node in nodes]


@pytest.fixture(scope="module")
def grid() -> AtmosphereGrid:
    return AtmosphereGrid(ragged())


def test_nodes_come_back_as_they_are(grid):
    for node in grid.models:
        got = grid.at(node.teff, node.logg, node.m_h)
        np.testing.assert_array_equal(got.rhox, node.rhox)
        np.testing.assert_array_equal(got.temperature, node.temperature)
        assert not got.clamped


@pytest.mark.parametrize(
    "labels", [(4250.0, 0.5, -0.3), (4600.0, 2.2, -0.9), (4500.0, 2.0, 0.0), (5300.0, 1.7, -0.5)]
)
def test_what_is_linear_in_the_labels_is_exact(grid, labels):
    got, true = grid.at(*labels), model(*labels)
    assert (got.teff, got.logg, got.m_h) == labels
    assert got.source.startswith("mean of")
    for name in ("rhox", "temperature", "gas_pressure", "electron_density"):
        np.testing.assert_allclose(getattr(got, name), getattr(true, name), rtol=1e-9)
    assert got.abundances["Fe"] == pytest.approx(7.45 + labels[2])
    assert got.vmic == 2.0


def test_different_depth_ranges_share_what_is_common():
    short = model(5000.0, 2.0).resample(np.logspace(-3, 1, 25))
    grid = AtmosphereGrid([model(4000.0, 2.0), short])
    got = grid.at(4500.0, 2.0)
    assert grid.labels == ("teff",)
    np.testing.assert_allclose(got.tau_ross[[0, -1]], [1e-3, 10.0])
    true = model(4500.0, 2.0).resample(got.tau_ross)
    np.testing.assert_allclose(got.gas_pressure, true.gas_pressure, rtol=1e-6)


def test_radius_stays_only_between_spherical_models():
    nodes = [model(4000.0, 1.0, radius=1e12), model(5000.0, 1.0, radius=4e12), model(6000.0, 1.0)]
    grid = AtmosphereGrid(nodes)
    assert grid.at(4500.0, 1.0).radius == pytest.approx(2e12)
    assert not grid.at(5500.0, 1.0).spherical


def test_alpha_tied_to_the_metallicity():
    nodes = [model(t, 2.0, m, -0.4 * m) for t in (4000.0, 5000.0) for m in (-1.0, 0.0)]
    grid = AtmosphereGrid(nodes)
    assert grid.labels == ("teff", "m_h")
    assert grid.at(4500.0, 2.0, -0.5).alpha_m == pytest.approx(0.2)
    assert not grid.at(4500.0, 2.0, -0.5, 0.2).clamped
    with pytest.raises(LabelError, match=r"alpha_m = 0\.4 is not in this grid.* has 0\.2 here"):
        grid.at(4500.0, 2.0, -0.5, 0.4)
    assert grid.at(4500.0, 2.0, -0.5, 0.4, outside="clamp").clamped == {"alpha_m": 0.4}
    with pytest.raises(LabelError, match=r"logg = 2\.5 is not in this grid"):
        grid.at(4500.0, 2.5, -0.5)


def test_outside_the_range_the_label_and_the_range_are_named(grid):
    message = r"teff = 7000 \(it covers 4000 to 5500\); .* outside=\"clamp\""
    with pytest.raises(LabelError, match=message):
        grid.at(7000.0, 2.0)
    with pytest.raises(LabelError, match=r"m_h = -3 \(it covers -1 to 0\)"):
        grid.at(4500.0, 2.0, -3.0)


def test_outside_a_ragged_edge_the_ways_back_are_named(grid):
    message = r"surround teff = 5400, logg = 0\.2.* covers teff 4000 to 4600 or logg 1\.8 to 3"
    with pytest.raises(LabelError, match=message):
        grid.at(5400.0, 0.2)


def test_clamping_takes_the_nearest_point_and_says_so(grid):
    got = grid.at(7000.0, 2.5, -0.5, outside="clamp")
    assert (got.teff, got.logg, got.m_h) == (5500.0, 2.5, -0.5)
    assert got.clamped == {"teff": 7000.0}
    corner = grid.at(5400.0, 0.2, outside="clamp")
    assert set(corner.clamped) == {"teff", "logg"}
    assert grid.hull.contains(np.array([[corner.teff, corner.logg, corner.m_h]])).all()
    np.testing.assert_allclose(
        corner.gas_pressure, model(corner.teff, corner.logg).gas_pressure, rtol=1e-6
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_labels_must_be_finite(grid, bad):
    with pytest.raises(LabelError, match="logg is"):
        grid.at(4500.0, bad, outside="clamp")


def test_bad_arguments(grid):
    with pytest.raises(ConfigError, match="error, clamp"):
        grid.at(4500.0, 2.0, outside="extrapolate")
    with pytest.raises(ConfigError, match="two models or more"):
        AtmosphereGrid(ragged()[:1])
    bare = replace(model(4000.0, 1.0), tau_ross=None)
    with pytest.raises(ConfigError, match="no depth scale: 1 of 2 have tau_ross"):
        AtmosphereGrid([bare, model(5000.0, 1.0)])
    most = AtmosphereGrid([replace(bare, teff=9999.0), *ragged()])
    assert [m.teff for m in most.left_out] == [9999.0]
    assert most.limits["teff"] == (4000.0, 5500.0)


def test_two_models_at_one_node_are_refused_and_selected():
    nodes = [model(4000.0, 1.0), model(5000.0, 1.0), replace(model(5000.0, 1.0), vmic=5.0)]
    with pytest.raises(ConfigError, match=r"Two models have teff = 5000.*select"):
        AtmosphereGrid(nodes)
    assert len(AtmosphereGrid(select(nodes, vmic=2.0))) == 2
    with pytest.raises(ConfigError, match="None of 3 models"):
        select(nodes, mass=1.0)
    with pytest.raises(ConfigError, match="not colour"):
        select(nodes, colour=1.0)


def test_a_folder_without_models(tmp_path):
    (tmp_path / "README").write_text("nothing here")
    with pytest.raises(ReadError, match="among 1 files"):
        AtmosphereGrid.open(tmp_path)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=3, max_size=3), st.integers(0, 5))
def test_weights_are_positive_and_give_the_point(place, seed):
    """On a lattice with holes; points are means of nodes, so that they lie inside the hull."""
    rng = np.random.default_rng(seed)
    full = np.stack(np.meshgrid(*[np.linspace(0, 1, 4)] * 3), axis=-1).reshape(-1, 3)
    points = full[rng.random(len(full)) < 0.8]
    hull = LabelHull("abc", points)
    inside = hull.nearest(np.array(place))
    assert hull.contains(inside[None]).all()
    weights = Lattice(points).weights(inside)
    share = np.array(list(weights.values()))
    assert (share > 0).all()
    assert share.sum() == pytest.approx(1)
    np.testing.assert_allclose(share @ points[list(weights)], inside, atol=3e-6)


def test_a_flat_hull():
    """Metallicity and alpha that vary together only."""
    hull = LabelHull(("m_h", "alpha_m"), np.array([[-1.0, 0.4], [-0.5, 0.2], [0.0, 0.0]]))
    assert hull.contains(np.array([[-0.75, 0.3], [-0.75, 0.1], [0.5, -0.2]])).tolist() == [
        True,
        False,
        False,
    ]
    np.testing.assert_allclose(hull.nearest(np.array([0.5, -0.2])), [0.0, 0.0], atol=1e-9)
    assert hull.along(np.array([-0.75, 0.1]), 0) is None


def test_hull_extent_along_a_label():
    hull = LabelHull(("x", "y"), np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 4.0]]))
    assert hull.along(np.array([5.0, 1.0]), 0) == pytest.approx((0.0, 1.5), abs=1e-9)
    assert hull.along(np.array([0.5, 9.0]), 1) == pytest.approx((0.0, 3.0), abs=1e-9)
    assert hull.along(np.array([3.0, 1.0]), 1) is None


@pytest.fixture(scope="module")
def giants(shared_data) -> tuple[Atmosphere, ...]:
    return read_atmospheres(shared_data / GIANTS)


def test_real_giants_at_their_nodes(giants):
    grid = AtmosphereGrid(giants)
    assert grid.labels == ("teff", "logg", "m_h")
    assert grid.limits == {"teff": (3500, 7000), "logg": (0, 3.5), "m_h": (-2, 0.25)}
    assert [model.teff for model in grid.left_out] == [5777.0]  # its depths are Rosseland ones
    for node in grid.models[::25]:
        got = grid.at(node.teff, node.logg, node.m_h)
        np.testing.assert_array_equal(got.gas_pressure, node.gas_pressure)
    arcturus = grid.at(4286.0, 1.66, -0.52)
    assert arcturus.alpha_m == pytest.approx(0.208)
    assert (np.diff(arcturus.temperature) > 0).all()
    ratio = arcturus.gas_pressure / (arcturus.gravity * arcturus.rhox)
    assert 0.95 < ratio.min() <= ratio.max() < 1.01


def test_real_giants_left_out(giants):
    """Inner nodes left out one by one, so that the step is twice the grid's."""
    errors = []
    inner = [i for i, m in enumerate(giants) if m.logg in (1.0, 2.0) and 4250 <= m.teff <= 5000]
    for i in inner[::3]:
        node = giants[i]
        if node.m_h in (-2.0, 0.25):
            continue
        grid = AtmosphereGrid(giants[:i] + giants[i + 1 :])
        got = grid.at(node.teff, node.logg, node.m_h)
        low = max(got.tau_5000[0], node.tau_5000[0]) * 1.001
        tau = np.geomspace(low, min(got.tau_5000[-1], node.tau_5000[-1]) * 0.999, 40)
        new, old = got.resample(tau, "tau_5000"), node.resample(tau, "tau_5000")
        names = ("temperature", "gas_pressure", "rhox")
        errors.append([np.abs(np.log(getattr(new, n) / getattr(old, n))).max() for n in names])
    assert len(errors) >= 6
    # worst over all depths: 1.7 % in temperature, 0.12 in the logarithm of the others
    assert (np.max(errors, axis=0) < [0.025, 0.15, 0.15]).all()
    assert (np.median(errors, axis=0) < [0.012, 0.06, 0.06]).all()


def test_real_marcs_folder_holds_several_kinds(shared_data):
    models = read_folder(shared_data / "physics" / "atmospheres" / "marcs")
    plane = select(models, spherical=False)
    assert len(plane) == 12
    grid = AtmosphereGrid(plane)
    got = grid.at(5600.0, 4.5, -0.2)
    assert (np.diff(got.temperature) > 0).all()
    ratio = got.gas_pressure / (got.gravity * got.rhox)
    assert 0.97 < ratio.min() <= ratio.max() < 1.005
    assert got.density is not None
    assert got.depth is not None
