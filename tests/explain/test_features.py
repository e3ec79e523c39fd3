import numpy as np
import pytest

from starnet.errors import DataError, ReadError
from starnet.explain import KnownLines, features_table, strongest_features
from starnet.explain.known import elements_of, label_elements, resolution_element
from starnet.spectra import LineSpread, WavelengthGrid


@pytest.fixture(scope="module")
def grid():
    lsf = LineSpread(resolution=22500.0)
    return WavelengthGrid.log10(4.2, 6e-6, 2000, "vacuum", chips=((0, 900), (1000, 2000)), lsf=lsf)


def bump(grid, at, height, wide=1.5):
    pixel = np.searchsorted(grid.wavelength, at)
    return height * np.exp(-0.5 * ((np.arange(grid.n_pixels) - pixel) / wide) ** 2)


def known(grid):
    wave = np.array([15900.0, 16000.0, 16000.2, 16150.0])
    names = np.array(["Mg I", "CN", "Fe I", "OH"])
    return KnownLines(wave, names, np.array([[80.0], [40.0], [60.0], [20.0]]), ("star",))


def test_features_are_named_by_the_label_s_own_species(grid):
    value = bump(grid, 15900.0, -1.0) + bump(grid, 16000.1, 0.5) + bump(grid, 16100.0, 0.2)
    found = strongest_features(grid, "mg_fe", value, 0.1 * np.abs(value), lines=known(grid), n=5)
    rows = found.rows()
    assert [row["species"] for row in rows] == ["Mg I", "", ""]
    assert [row["beside"] for row in rows] == ["", "Fe I", ""]
    assert rows[0]["sensitivity"] < 0
    assert found.fraction == pytest.approx(1 / 3)
    assert 0 < found.chance < 0.01
    carbon = strongest_features(grid, "c_fe", value, lines=known(grid), n=2).rows()
    assert [row["species"] for row in carbon] == ["", "CN"]
    assert carbon[1]["beside"] == "Fe I"


def test_any_line_will_do_for_a_label_of_the_whole_star(grid):
    value = bump(grid, 15900.0, -1.0) + bump(grid, 16000.1, 0.5)
    assert strongest_features(grid, "teff", value, lines=known(grid), n=2).fraction == 1.0


def test_features_are_a_resolution_element_apart_and_within_chips(grid):
    value = np.random.default_rng(0).standard_normal(grid.n_pixels)
    found = strongest_features(grid, "teff", value, n=40)
    gaps = np.diff(np.sort(found.wavelength))
    assert gaps.min() > resolution_element(grid, found.wavelength).min() * 0.99
    assert not np.any((found.pixel >= 900) & (found.pixel < 1000))


def test_a_table_of_several_labels_has_fractions(grid):
    value = bump(grid, 15900.0, -1.0)
    rows = [strongest_features(grid, n, value, lines=known(grid), n=3) for n in ("mg_fe", "o_fe")]
    table = features_table(rows)
    assert list(table["label"]) == ["mg_fe", "o_fe"]
    assert table.meta["on_own_species"] == {"mg_fe": 1.0, "o_fe": 0.0}
    assert str(table["wavelength"].unit) == "Angstrom"


def test_a_map_without_features_has_an_empty_table(grid):
    found = strongest_features(grid, "mg_fe", np.zeros(grid.n_pixels), lines=known(grid))
    assert len(found) == 0
    assert len(found.table()) == 0


def test_a_map_of_other_pixels_is_refused(grid):
    with pytest.raises(DataError, match="pixels"):
        strongest_features(grid, "mg_fe", np.zeros(7))


def test_the_lines_of_the_package_are_where_they_should_be():
    lines = KnownLines.shipped()
    assert np.all(np.diff(lines.wavelength) >= 0)
    for at, name in ((15753.3, "Mg I"), (16723.5, "Al I"), (5185.05, "Mg I"), (5897.56, "Na I")):
        near = lines.select(start=at - 0.3, stop=at + 0.3)
        assert name in near.species.tolist()
    assert lines.of_label("n_fe").select(start=15000.0).species.tolist().count("CN") > 100
    assert {"CO", "OH"} <= set(lines.of_label("o_fe").select(start=15000.0).species.tolist())
    assert np.abs(lines.wavelength[lines.species == "H I"] - 16811.1).min() < 0.3  # Brackett 11
    assert np.abs(lines.wavelength[lines.species == "H I"] - 6564.6).min() < 0.1


def test_deeper_lines_are_fewer_and_coarser_pixels_see_fewer(grid):
    lines = KnownLines.shipped()
    assert len(lines.on(grid, shallowest=0.05)) < len(lines.on(grid)) < len(lines)
    coarse = WavelengthGrid(grid.wavelength, "vacuum", lsf=LineSpread(resolution=5000.0))
    assert len(lines.on(coarse)) < len(lines.on(grid))


def test_species_and_labels_have_elements():
    assert elements_of("CN") == {"C", "N"}
    assert elements_of("FeH") == {"Fe", "H"}
    assert elements_of("Ti II") == {"Ti"}
    assert label_elements("fe_h") == {"Fe"}
    assert label_elements("teff") == frozenset()
    assert "Mg" in label_elements("alpha_m")


def test_a_file_that_is_no_table_of_lines_is_refused(tmp_path):
    path = tmp_path / "lines.ecsv"
    path.write_text("nothing\n")
    with pytest.raises(ReadError, match="no table of lines"):
        KnownLines.read(path)
