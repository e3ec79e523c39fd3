import numpy as np
import pytest

from starnet.errors import DataError
from starnet.plots import response_matrix, save, sensitivity_map


def test_a_response_has_a_number_in_each_cell_that_matters(tmp_path):
    matrix = np.array([[0.97, 0.12], [0.001, np.nan]])
    figure = response_matrix(["mg_fe", "ce_fe"], matrix, measured=["mg_fe"])
    words = [text.get_text() for text in figure.axes[0].texts]
    assert words == [".97", ".12"]
    assert figure.axes[0].get_xticklabels()[1].get_color() == "0.65"
    assert save(figure, tmp_path / "response.png").stat().st_size > 1000


def test_a_map_has_rows_names_and_bands(tmp_path):
    wave = np.linspace(15000, 15100, 90)
    value = np.sin(wave)
    curves = {"synthetic": (value, 0.1 * np.abs(value)), "observed": (value, None)}
    marks = [(15020.0, "Mg I", True), (15020.1, "Fe I", True), (15070.0, "", False)]
    figure = sensitivity_map("mg_fe", wave, np.ones(90), curves, marks=marks)
    assert len(figure.axes) == 6
    words = [text.get_text() for axis in figure.axes for text in axis.texts]
    assert words == ["Mg I", "?"]  # names that would lie on each other are left out
    save(figure, tmp_path / "map.png")


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match="shape"):
        response_matrix(["mg_fe"], np.eye(2))
    with pytest.raises(DataError, match="curves"):
        sensitivity_map("mg_fe", np.ones(5), np.ones(5), {"a": (np.ones(4), None)})
    with pytest.raises(DataError, match="curves"):
        sensitivity_map("mg_fe", np.ones(5), np.ones(5), {})
