import json

import numpy as np
import pytest

from starnet.errors import LabelError
from starnet.spectra import Labels, LabelScale

LABELS = Labels(("teff", "logg"), [[4000.0, 1.0], [5000.0, np.nan], [6000.0, 4.5], [-9999.0, 2.0]])


@pytest.mark.parametrize("log10", [(), ("teff",)])
def test_scores_have_mean_zero_and_width_one_and_come_back(log10):
    scale = LabelScale.fit(LABELS, log10=log10)
    scores = scale.forward(LABELS.values)
    assert np.allclose(np.nanmean(scores, axis=0), 0.0)
    assert np.allclose(np.nanstd(scores, axis=0), 1.0)
    assert np.allclose(scale.inverse(scores), LABELS.values, equal_nan=True)


@pytest.mark.parametrize("log10", [(), ("teff",)])
def test_errors_scale_with_the_derivative(log10):
    scale = LabelScale.fit(LABELS, log10=log10)
    score, step = np.array([[0.3, -0.2]]), 1e-6
    numeric = (scale.inverse(score + step) - scale.inverse(score - step)) / (2 * step)
    assert np.allclose(scale.inverse_derivative(score), numeric, rtol=1e-6)


def test_what_training_never_saw_is_outside():
    scale = LabelScale.fit(LABELS)
    assert scale.outside([[3999.0, 1.0], [5000.0, 4.6]]).tolist() == [[True, False], [False, True]]


def test_json_round_trip():
    scale = LabelScale.fit(LABELS, log10=("teff",))
    assert LabelScale.from_dict(json.loads(json.dumps(scale.to_dict()))) == scale


@pytest.mark.parametrize(
    ("values", "log10", "message"),
    [
        ([[5000.0, 1.0], [5000.0, 2.0]], (), "teff has 2 value"),
        ([[5000.0, np.nan], [6000.0, np.nan]], (), "logg has 0 value"),
        ([[5000.0, -0.5], [6000.0, 1.0]], ("logg",), "logarithm"),
        ([[5000.0, 0.5], [6000.0, 1.0]], ("fe_h",), "not trained"),
    ],
)
def test_labels_from_which_nothing_can_be_learnt_are_refused(values, log10, message):
    with pytest.raises(LabelError, match=message):
        LabelScale.fit(Labels(("teff", "logg"), values), log10=log10)
