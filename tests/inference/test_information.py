import numpy as np
import pytest

from starnet.errors import DataError
from starnet.inference.information import (
    disagreement,
    information,
    information_of_pixels,
    members_disagree,
    not_measured,
    spread_of,
)
from starnet.spectra import Labels, LabelScale


def test_information_is_what_the_spectrum_takes_from_the_spread():
    errors = np.array([[0.1, 0.2], [0.5, 0.4], [np.nan, 0.8]])
    content = information(errors, [1.0, 0.4])
    assert np.allclose(content[0], [0.99, 0.75])
    assert np.allclose(content[1], [0.75, 0.0])
    assert np.isnan(content[2, 0])
    assert content[2, 1] == 0  # an error larger than the spread tells nothing, not less
    flags = not_measured(content)
    assert flags.tolist() == [[False, False], [False, True], [False, True]]


def test_a_label_scaled_in_its_logarithm_has_a_spread_that_goes_with_it():
    labels = Labels(("teff", "logg"), [[4000.0, 1.0], [5000.0, 2.0], [6000.0, 4.0]])
    scale = LabelScale.fit(labels, log10=("teff",))
    values = np.array([[4000.0, 2.0], [8000.0, 2.0], [np.nan, 2.0]])
    wide = spread_of(scale, values)
    assert wide[1, 0] == pytest.approx(2 * wide[0, 0])
    assert np.isfinite(wide).all()
    assert np.allclose(wide[:, 1], scale.scale[1])
    content = information(0.1 * wide, scale, values)
    assert np.allclose(content, 0.99)


def test_pixels_without_the_line_say_nothing_of_its_label(toy_emulator):
    labels = Labels(toy_emulator.labels, [[5000.0, 2.5, -0.5, 1.5, 0.0, 0.1]] * 2)
    spread = 0.25 * (toy_emulator.hull.high - toy_emulator.hull.low)
    ivar = np.full((2, 600), 1e4)
    ivar[1] = 0.0
    content = information_of_pixels(toy_emulator, labels, ivar, spread)
    assert np.all((content >= -1e-6) & (content <= 1))
    assert content[0].max() > 0.2
    assert np.allclose(content[1], 0.0, atol=1e-6)
    sharp = information_of_pixels(toy_emulator, labels, ivar * 100, spread)
    assert np.all(sharp[0] >= content[0])
    values = np.array(labels.values)
    values[0, 0] = np.nan
    lost = information_of_pixels(toy_emulator, Labels(labels.names, values), ivar, spread)
    assert np.isnan(lost[0]).all()
    assert np.isfinite(lost[1]).all()


def test_members_disagree_by_their_scatter_over_the_error():
    values = np.zeros((3, 2, 1))
    values[:, 1, 0] = [-1.0, 0.0, 1.0]
    apart = disagreement(values, [[0.5], [0.5]])
    assert np.allclose(apart[:, 0], [0.0, 2.0])
    assert members_disagree(apart)[:, 0].tolist() == [False, True]
    unknown = disagreement(values, [[0.0], [np.nan]])
    assert np.isnan(unknown).all()
    assert not members_disagree(unknown).any()


def test_what_does_not_fit_is_refused(toy_emulator):
    with pytest.raises(DataError, match="two or more"):
        disagreement(np.zeros((1, 2, 1)), np.ones((2, 1)))
    with pytest.raises(DataError, match="spread for each label"):
        information(np.ones((2, 3)), [1.0, 2.0])
    with pytest.raises(DataError, match="positive"):
        information(np.ones((2, 2)), [1.0, 0.0])
    scale = LabelScale.fit(Labels(("logg",), [[1.0], [2.0]]))
    with pytest.raises(DataError, match="predicted values"):
        information(np.ones((2, 1)), scale)
    labels = Labels(toy_emulator.labels, [[5000.0, 2.5, -0.5, 1.5, 0.0, 0.1]])
    with pytest.raises(DataError, match="600 pixels"):
        information_of_pixels(toy_emulator, labels, np.ones(10), np.ones(6))
