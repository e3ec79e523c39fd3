from dataclasses import replace

import numpy as np
import pytest

from starnet.errors import ConfigError, DataError, LabelError
from starnet.explain import Response, changed, response, response_from, shared_labels
from starnet.explain.response import step_of
from starnet.spectra import Labels

NAMES = ("teff", "fe_h", "mg_fe", "ce_fe")


def made(each, limit=None):
    least = np.full(each.shape[:2], 0.02) if limit is None else limit
    return Response(NAMES, each, least, 300.0, 100.0)


def test_each_label_is_changed_down_and_up_with_all_else_held():
    stars = Labels(("teff", "logg", "fe_h"), [[5000.0, 2.0, 0.0], [4000.0, 1.0, -1.0]])
    many = changed(stars, ("fe_h", "teff"))
    assert len(many) == 8
    rows = many.values.reshape(2, 4, 3) - stars.values[:, None]
    assert np.allclose(rows[:, 0], [0, 0, -0.1])
    assert np.allclose(rows[:, 1], [0, 0, 0.1])
    assert np.allclose(rows[:, 3], [50.0, 0, 0])


def test_a_perfect_network_has_a_diagonal_of_one():
    found = made(np.repeat(np.eye(4)[None], 5, axis=0))
    assert found.elements == ("fe_h", "mg_fe", "ce_fe")
    assert found.mean_diagonal == 1.0
    assert found.largest[2] == 0.0
    assert found.iron is not None
    assert np.allclose(found.iron, [0, 1, -1, -1])


def test_what_is_not_measured_does_not_count():
    each = np.repeat(np.eye(4)[None], 4, axis=0)
    each[:, 3] = 0.0  # cerium does not answer,
    each[:, 1, 3] = 0.7  # and follows iron
    limit = np.full((4, 4), 0.02)
    limit[:, 3] = 1.0
    found = made(each, limit)
    assert found.elements == ("fe_h", "mg_fe")
    assert found.mean_diagonal == 1.0
    assert np.isnan(found.matrix[3, 3])
    assert found.everywhere[1, 3] == pytest.approx(0.7)


def test_the_median_is_over_stars_that_measure_both_labels():
    each = np.repeat(np.eye(4)[None], 4, axis=0)
    each[:, 1, 2] = [0.1, 0.2, 0.3, 5.0]
    limit = np.full((4, 4), 0.02)
    limit[3, 2] = 9.0
    found = made(each, limit)
    assert found.matrix[1, 2] == pytest.approx(0.2)
    assert found.largest == ("fe_h", "mg_fe", pytest.approx(0.2))


def test_the_table_has_a_row_for_each_change():
    table = made(np.repeat(np.eye(4)[None], 3, axis=0)).table()
    assert list(table["changed"]) == list(NAMES)
    assert table.meta["largest_off_diagonal"][2] == 0.0


@pytest.fixture
def cheat(toy_model, toy_emulator):
    """A predictor of the emulator's spectra whose fe_h answers to the second line alone."""
    import torch

    from starnet.inference import Predictor
    from starnet.preprocess import Pipeline
    from starnet.spectra import LabelScale

    class Network(torch.nn.Module):
        config = None

        def forward(self, x):
            return x[:, 0, 215:230].sum(dim=1, keepdim=True).repeat(1, 2)

    names = ("teff", "fe_h")
    scale = LabelScale(names, (0.0, -13.0), (1000.0, 1.0), (0.0, -2.0), (9000.0, 1.0))
    model = replace(
        toy_model, network=Network(), scale=scale, pipeline=Pipeline(()),
        input_grid=toy_emulator.grid, channels=("flux",),
    )  # fmt: skip
    return Predictor(model, min_snr=0.0)


def test_responses_are_slopes_of_predictions(cheat, toy_emulator, monkeypatch):
    monkeypatch.setattr("starnet.inference.Predictor.about", {})
    low, high = toy_emulator.hull.low, toy_emulator.hull.high
    star = 0.5 * (low + high)
    stars = Labels(toy_emulator.labels, star[None])
    found = response(cheat, stars, toy_emulator, toy_emulator, snr=50.0)
    assert found.names == ("teff", "fe_h")
    grid = toy_emulator.grid
    flux = toy_emulator.synthesize(changed(stars, found.names), grid).normalized
    total = flux[:, 215:230].sum(axis=1)
    by_fe = (total[3] - total[2]) / (2 * step_of("fe_h"))
    assert found.each[0, 1, 1] == pytest.approx(by_fe, rel=1e-3)
    assert found.each[0, 1, 0] == pytest.approx(by_fe, rel=1e-3)  # 1000 K is the unit
    again = response_from(cheat, stars, found.names, flux[None], toy_emulator, snr=50.0)
    assert np.allclose(again.each, found.each)


def test_wrong_input_is_refused(cheat, toy_emulator):
    stars = Labels(
        toy_emulator.labels, 0.5 * (toy_emulator.hull.low + toy_emulator.hull.high)[None]
    )
    with pytest.raises(DataError, match="must have shape"):
        response_from(cheat, stars, ("teff",), np.ones((1, 3, 600)), toy_emulator)
    with pytest.raises(ConfigError, match="positive"):
        response_from(cheat, stars, ("teff",), np.ones((1, 2, 600)), toy_emulator, snr=0.0)
    with pytest.raises(LabelError, match="all have"):
        shared_labels(("teff",), ("logg",))
