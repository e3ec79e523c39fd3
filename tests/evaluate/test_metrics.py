import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from starnet.errors import LabelError
from starnet.evaluate import residual_table, robust_scatter
from starnet.spectra import Labels


def test_robust_scatter_is_sigma_for_a_normal_distribution(rng):
    assert robust_scatter(3.0 * rng.standard_normal(200_000) + 7.0) == pytest.approx(3.0, rel=0.01)


@given(st.floats(1e3, 1e6))
def test_a_few_outliers_do_not_move_it(size):
    values = np.linspace(-1.0, 1.0, 101)
    spoiled = np.concatenate([values, [size, -size]])
    assert robust_scatter(spoiled) == pytest.approx(robust_scatter(values), rel=0.05)


def test_the_table_of_residuals():
    truth = np.column_stack([np.linspace(4000.0, 6000.0, 101), np.linspace(0.0, 5.0, 101)])
    guess = truth + np.array([50.0, 0.0])
    guess[0, 0] = np.nan
    table = residual_table(Labels(("teff", "logg"), guess), Labels(("teff", "logg"), truth))
    assert table["n"].tolist() == [100, 101]
    assert table["median"][0] == pytest.approx(50.0)
    assert table["scatter"].tolist() == pytest.approx([0.0, 0.0], abs=1e-9)
    assert table["r2"][1] == 1.0


def test_a_label_without_pairs_has_no_numbers():
    table = residual_table(Labels(("teff",), [[np.nan]]), Labels(("teff",), [[5000.0]]))
    assert table["n"][0] == 0
    assert np.isnan(table["scatter"][0])


def test_other_stars_or_other_labels_are_refused():
    one, two = Labels(("teff",), [[5000.0]]), Labels(("teff",), [[5000.0], [6000.0]])
    with pytest.raises(LabelError, match="1 and 2 stars"):
        residual_table(one, two)
    with pytest.raises(LabelError, match="share a label"):
        residual_table(one, Labels(("logg",), [[4.0]]))
