"""Figures of a search."""

import numpy as np
import pytest
from astropy.table import Table

from starnet.plots.tune import search_history, setting_importance, setting_slices


@pytest.fixture
def trials():
    return Table(
        {
            "number": [0, 1, 2, 3],
            "state": ["complete", "pruned", "failed", "complete"],
            "value": [0.5, 0.9, np.nan, 0.3],
            "best": [0.5, 0.5, 0.5, 0.3],
            "lr": [1e-3, 1e-2, 1e-4, 2e-3],
            "normalise": ["b", "chip median, masked as zero", "b", "a"],
        }
    )


def test_history_shows_complete_and_pruned_trials_and_the_best(trials):
    axis = search_history(trials).axes[0]
    shown = [text.get_text() for text in axis.get_legend().get_texts()]
    assert shown == ["complete", "pruned", "best so far"]
    assert list(axis.lines[0].get_ydata()) == [0.5, 0.5, 0.5, 0.3]


def test_slices_have_a_panel_for_each_setting_with_choices_in_order(trials, tmp_path):
    figure = setting_slices(trials, ["lr", "normalise"], log={"lr"})
    left, right = figure.axes
    assert (left.get_xscale(), right.get_xscale()) == ("log", "linear")
    names = [text.get_text().replace("\n", " ") for text in right.get_xticklabels()]
    assert names == ["a", "b", "chip median, masked as zero"]
    assert sum(len(dots.get_offsets()) for dots in right.collections) == 3
    figure.savefig(tmp_path / "slices.png")


def test_importance_has_the_most_important_on_top():
    table = Table({"setting": ["lr", "pool"], "importance": [0.9, 0.1]})
    axis = setting_importance(table).axes[0]
    assert [bar.get_width() for bar in axis.patches] == [0.1, 0.9]
