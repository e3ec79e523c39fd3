import numpy as np
import pytest

from starnet.errors import ConfigError
from starnet.inference import LabelFlag, Predictor


def test_the_table_has_ids_units_flags_and_versions(toy_model, toy_spectra):
    table = Predictor(toy_model).predict(toy_spectra).to_table()
    assert table.colnames == [
        "id", "star", "snr", "masked_fraction", "teff", "teff_flag", "logg", "logg_flag", "flag",
        "model",
    ]  # fmt: skip
    assert str(table["teff"].unit) == "K"
    assert list(table["star"]) == list(toy_spectra.stars)
    assert np.allclose(table["snr"], 50.0, rtol=0.1)
    assert table.meta["model"] == "toy"
    assert "1 = value outside" in table.meta["flag_bits"]


def test_labels_do_not_depend_on_the_company(toy_model, toy_spectra):
    predictor = Predictor(toy_model)
    together = predictor.predict(toy_spectra).labels.values
    alone = np.concatenate([predictor.predict(toy_spectra[i]).labels.values for i in range(6)])
    assert np.allclose(together, alone, rtol=1e-5)


def test_a_spectrum_without_a_usable_pixel_has_no_label(toy_model, toy_spectra):
    mask = np.array(toy_spectra.mask)
    mask[2] = True
    prediction = Predictor(toy_model).predict(toy_spectra.replace(mask=mask))
    assert np.isnan(prediction.labels.values[2]).all()
    assert np.all(prediction.flags[2] & LabelFlag.FAILED)
    assert np.all(prediction.flags[2] & LabelFlag.MANY_MASKED)
    assert np.isfinite(prediction.labels.values[[0, 1, 3, 4, 5]]).all()


def test_only_dead_spectra(toy_model, toy_spectra):
    dead = toy_spectra.replace(mask=np.ones_like(toy_spectra.mask))
    assert np.isnan(Predictor(toy_model).predict(dead).labels.values).all()


def test_no_spectra_at_all(toy_model, toy_spectra):
    assert len(Predictor(toy_model).predict(toy_spectra[[]]).to_table()) == 0


def test_many_masked_pixels_are_flagged_beyond_the_limit(toy_model, toy_spectra):
    mask = np.zeros_like(toy_spectra.mask)
    mask[0, 20:70] = True  # of the 200 pixels, 10 between the chips are masked throughout
    flags = Predictor(toy_model, max_masked=0.2).predict(toy_spectra.replace(mask=mask)).flags
    assert ((flags & LabelFlag.MANY_MASKED) > 0).any(axis=1).tolist() == [True] + [False] * 5


def test_values_outside_the_training_labels_are_flagged(toy_model, toy_spectra):
    prediction = Predictor(toy_model).predict(toy_spectra)
    outside = toy_model.scale.outside(prediction.labels.values)
    assert np.array_equal((prediction.flags & LabelFlag.OUTSIDE_BOUNDS) > 0, outside)


def test_a_limit_that_is_no_fraction_is_refused(toy_model):
    with pytest.raises(ConfigError, match="between 0 and 1"):
        Predictor(toy_model, max_masked=20)


def test_the_numbers_of_the_flags_never_change():
    assert {flag.name: flag.value for flag in LabelFlag} == {
        "OUTSIDE_BOUNDS": 1,
        "MANY_MASKED": 2,
        "FAILED": 4,
        "LOW_SNR": 8,
        "POOR_FIT": 16,
        "EMPTY_CHIP": 32,
        "NOT_CONVERGED": 64,
        "BAD_VELOCITY": 128,
        "OUTSIDE_HULL": 256,
        "EMISSION": 512,
        "UNLIKE_TRAINING": 1024,
        "NOT_MEASURED": 2048,
        "MEMBERS_DISAGREE": 4096,
    }


def test_a_floor_of_errors_is_added_in_squares_and_kept_with_the_model(tmp_path):
    import dataclasses

    from starnet.artifact import load_model
    from starnet.inference import Predictor
    from tests.inference import stand_ins

    plain = stand_ins.model()
    dataclasses.replace(plain, error_floor={plain.labels[0]: 100.0}).save(tmp_path / "m")
    model = load_model(tmp_path / "m")
    spectra = stand_ins.observed(stand_ins.labels_of(3))
    own, floored = (Predictor(m).predict(spectra).labels.errors for m in (plain, model))
    assert np.allclose(floored[:, 0], np.hypot(own[:, 0], 100.0))
    assert np.allclose(floored[:, 1:], own[:, 1:])
