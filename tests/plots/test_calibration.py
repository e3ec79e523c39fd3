"""Figures of calibration and repeats: what they show, and that they take what is missing."""

import numpy as np
import pytest

from starnet.errors import DataError
from starnet.plots import (
    Page,
    coverage_curves,
    coverage_points,
    difference_histograms,
    ratios,
    stratum_map,
    uniform_histograms,
    z_trends,
)

NAMES = ("teff", "logg", "mg_fe")
LEVELS = (0.5, 0.68, 0.9, 0.95)


def band(shape, low=0.4, high=0.9):
    return np.full(shape, low), np.full(shape, high)


def test_coverage_is_drawn_as_the_difference_from_nominal():
    found = np.array(LEVELS)[:, None] + [[0.1, 0.0, np.nan]]
    (axis,) = coverage_points(NAMES, LEVELS, found, band((4, 3))).axes
    drawn = [marks.get_offsets()[:, 1] for marks in axis.collections]
    assert np.allclose([d[0] for d in drawn], 10)
    assert axis.get_ylim()[1] > 10


def test_one_panel_for_each_label_and_none_more():
    u = np.linspace(0.05, 0.95, 10)
    assert len(coverage_curves(NAMES, u, np.tile(u[:, None], 3), band((10, 3))).axes) == 3
    assert len(uniform_histograms(NAMES * 3, np.ones((10, 9)), band(9)).axes) == 9
    rng = np.random.default_rng(0)
    z = rng.standard_normal((200, 3))
    z[:, 1] = np.nan
    figure = z_trends(NAMES, z, rng.uniform(20, 200, 200), "S/N")
    assert len(figure.axes) == 3
    median = figure.axes[0].lines[-1].get_ydata()
    assert np.all(np.abs(median) < 1.2)
    assert len(figure.axes[0].lines) == len(figure.axes[1].lines) + 1  # nothing to run over
    assert len(difference_histograms(NAMES, z).axes) == 3


def test_bars_beyond_chance_are_marked():
    counts = np.full((10, 1), 100.0)
    counts[0] = 300.0
    axis = uniform_histograms(["teff"], counts, (np.array([0.08]), np.array([0.12]))).axes[0]
    marked = axis.patches[1].get_data().values
    assert marked[0] > 2
    assert not marked[1:].any()


def test_ratios_far_out_stand_at_the_end_of_the_axis():
    ratio = np.array([[1.0, 50.0, np.nan]])
    axis = ratios(NAMES, ratio, 0.1 * ratio, ["all"]).axes[0]
    at = axis.lines[1].get_ydata()
    assert at[0] == 1
    assert 5 < at[1] < axis.get_ylim()[1] <= 10


def test_a_map_has_a_number_for_every_value():
    values = np.array([[68.0, 50.0, np.nan], [70.0, 71.0, 90.0]])
    axis = stratum_map(NAMES, ["a", "b"], values, centre=68, reach=15, title="").axes[0]
    assert [t.get_text() for t in axis.texts] == ["68", "50", "70", "71", "90"]


@pytest.mark.parametrize(
    "draw",
    [
        lambda: coverage_points(NAMES, LEVELS, np.zeros((3, 3)), band((3, 3))),
        lambda: uniform_histograms(NAMES, np.zeros((10, 2)), band(2)),
        lambda: z_trends((), np.zeros((5, 0)), np.zeros(5)),
        lambda: ratios(NAMES, np.ones((2, 3)), np.ones((2, 3)), ["all"]),
        lambda: stratum_map(NAMES, ["a"], np.ones((2, 3)), centre=1, reach=1, title=""),
        lambda: difference_histograms(NAMES, np.ones((4, 2))),
    ],
)
def test_shapes_must_fit(draw):
    with pytest.raises(DataError, match="shape"):
        draw()


def test_a_page_escapes_what_it_is_given(tmp_path):
    page = Page("a < b & c")
    page.text("see `x < 1` <script>")
    page.table(["<i>"], [["&"]])
    text = page.write(tmp_path / "p.html").read_text()
    assert "<script>" not in text
    assert "<code>x &lt; 1</code>" in text
    assert "<th>&lt;i&gt;</th>" in text
