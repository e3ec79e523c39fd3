"""Assessments and their reports."""

import re

import numpy as np
import pytest

from starnet.errors import ConfigError, DataError, LabelError
from starnet.evaluate import assess_repeats, assess_truth, strata
from starnet.evaluate.report import write_report
from starnet.inference.posterior import MixturePosterior, SampledPosterior
from starnet.spectra import Labels

NAMES = ("teff", "logg", "fe_h")
CENTRE, SPREAD = np.array([5000.0, 3.0, -0.3]), np.array([600.0, 1.0, 0.4])
SIGMA = np.array([40.0, 0.1, 0.05])


def made(seed=0, n=600, scale=(1.0, 1.0, 1.0)):
    """Predicted labels with errors, truth and S/N; errors are too small by ``scale``."""
    rng = np.random.default_rng(seed)
    snr = rng.uniform(20, 200, n)
    error = SIGMA * (100 / snr)[:, None]
    truth = CENTRE + SPREAD * rng.standard_normal((n, 3))
    found = truth + np.array(scale) * error * rng.standard_normal((n, 3))
    return Labels(NAMES, found, error), Labels(NAMES, truth), snr


def test_the_table_tells_which_label_has_wrong_errors():
    predicted, truth, snr = made(scale=(1, 2, 1))
    table = assess_truth(predicted, truth, snr=snr).table()
    everything = table[table["by"] == "all"]
    factor = dict(zip(everything["label"], everything["factor"], strict=True))
    assert factor["logg"] == pytest.approx(2, abs=0.2)
    assert factor["teff"] == pytest.approx(1, abs=0.12)
    covered = dict(zip(everything["label"], everything["coverage_68"], strict=True))
    assert covered["logg"] < 0.5 < 0.6 < covered["fe_h"]
    assert {"snr", "teff", "fe_h"} <= set(table["by"])
    part = table[(table["by"] == "snr") & (table["label"] == "teff")]
    assert np.sum(part["n"]) == 600
    assert np.all(np.diff(part["quoted"]) < 0)  # errors fall with S/N


def test_errors_of_references_are_added_in_squares(rng):
    predicted, truth, _ = made()
    extra = 3 * SIGMA * np.ones_like(truth.values)
    noisy = truth.values + extra * rng.standard_normal(extra.shape)
    alone = assess_truth(predicted, Labels(NAMES, noisy)).coverage([0.68])
    known = assess_truth(predicted, Labels(NAMES, noisy, extra)).coverage([0.68])
    assert np.all(alone < 0.45)
    assert np.all(np.abs(known - 0.68) < 0.08)
    posterior = MixturePosterior.gaussian(NAMES, predicted.values, error=predicted.errors)
    same = assess_truth(posterior, Labels(NAMES, noisy, extra))
    assert np.allclose(same.coverage([0.68]), known)
    draws = SampledPosterior(NAMES, posterior.samples(400))
    near = assess_truth(draws, Labels(NAMES, noisy, extra)).coverage([0.68])
    assert np.allclose(near, known, atol=0.03)


def test_a_posterior_is_asked_itself():
    """Two components far apart: no normal distribution of its mean and error has this coverage."""
    rng = np.random.default_rng(4)
    n = 800
    side = rng.choice([-1.0, 1.0], n)
    truth = Labels(("logg",), (2.5 + side + 0.1 * rng.standard_normal(n))[:, None])
    centre = 2.5 + np.tile([[[-1.0], [1.0]]], (n, 1, 1)) + 0.001 * rng.random((n, 1, 1))
    mixture = MixturePosterior(("logg",), np.full((n, 2), 0.5), centre, np.full((n, 2, 1, 1), 0.01))
    found = assess_truth(mixture, truth)
    assert np.allclose(found.coverage([0.5, 0.9])[:, 0], [0.5, 0.9], atol=0.06)
    normal = assess_truth(Labels(("logg",), mixture.mean, mixture.error), truth)
    assert normal.coverage([0.5])[0, 0] < 0.2
    assert found.crps.mean() < 0.95 * normal.crps.mean()


def test_labels_are_matched_by_name_and_limits_with_them():
    predicted, truth, _ = made()
    limit = np.tile(SIGMA, (len(truth), 1))
    limit[:5] = np.inf
    swapped = truth.select(["fe_h", "teff"])
    found = assess_truth(predicted, swapped, limit=limit)
    assert found.names == ("teff", "fe_h")
    assert found.limit is not None
    assert np.array_equal(found.limit[-1], SIGMA[[0, 2]])
    assert np.allclose(found.over_limit(), 0.9, atol=0.15)  # S/N is above 100 for most
    posterior = MixturePosterior.gaussian(NAMES, predicted.values, error=predicted.errors)
    assert np.allclose(assess_truth(posterior, swapped).pit, found.pit)


def test_missing_labels_do_not_count():
    predicted, truth, snr = made(n=100)
    values = predicted.values.copy()
    values[:30, 1] = np.nan
    holes = Labels(NAMES, values, predicted.errors)
    assert assess_truth(holes, truth, snr=snr).count().tolist() == [100, 70, 100]
    with pytest.raises(DataError, match="No star has a prediction"):
        assess_truth(predicted, Labels(NAMES, np.full((100, 3), np.nan)))


def test_what_cannot_be_assessed_is_one_sentence():
    predicted, truth, _ = made(n=50)
    with pytest.raises(LabelError, match=r"no errors.*starnet predict"):
        assess_truth(Labels(NAMES, predicted.values), truth)
    constant = predicted.values.copy()
    constant[:, 2] = -0.2
    flat = Labels(NAMES, constant, predicted.errors)
    with pytest.raises(LabelError, match=r"fe_h is predicted as -0.2 for all 50"):
        assess_truth(flat, truth)
    with pytest.raises(LabelError, match="no variance"):
        assess_repeats(flat, np.zeros(50))
    with pytest.raises(LabelError, match="label in common"):
        assess_truth(predicted, truth[:10])
    with pytest.raises(DataError, match="No star has two visits"):
        assess_repeats(predicted, np.arange(50))
    with pytest.raises(ConfigError, match="predicted"):
        assess_truth(predicted, truth, by="both")  # type: ignore[arg-type]
    blank = Labels(NAMES, np.where(np.arange(50)[:, None] % 2, predicted.values, np.nan),
                   predicted.errors)  # fmt: skip
    with pytest.raises(DataError, match="with labels and errors"):
        assess_repeats(blank, np.arange(50) // 2)


def repeats(n=300, scale=1.5):
    rng = np.random.default_rng(9)
    star = np.repeat(np.arange(n), 2)
    truth = (CENTRE + SPREAD * rng.standard_normal((n, 3)))[star]
    snr = rng.uniform(20, 200, 2 * n)
    error = SIGMA * (100 / snr)[:, None]
    found = truth + scale * error * rng.standard_normal(truth.shape)
    return Labels(NAMES, found, error), star, snr


def test_repeats_by_stratum():
    predicted, star, snr = repeats()
    found = assess_repeats(predicted, star, snr=snr, limit=predicted.errors)
    assert np.allclose(found.ratio().ratio, 1.5, atol=0.25)
    over = found.over_limit()
    assert over is not None
    assert np.allclose(over.ratio, found.ratio().ratio)
    table = found.table()
    part = table[(table["by"] == "snr") & (table["label"] == "logg")]
    assert np.sum(part["n_pairs"]) == 300
    assert np.all(np.diff(part["scatter"]) < 0)
    assert np.all(np.abs(part["ratio"] - 1.5) < 5 * part["ratio_err"])


@pytest.mark.parametrize("kind", ["truth", "repeats"])
def test_the_report_needs_nothing_else(kind, tmp_path):
    if kind == "truth":
        predicted, truth, snr = made(n=150, scale=(1, 2, 0.4))
        values = truth.values.copy()
        values[:, 0] = np.nan  # a label of which no star has a truth
        result = assess_truth(predicted, Labels(NAMES, values), snr=snr, limit=predicted.errors)
    else:
        predicted, star, snr = repeats(n=60)
        result = assess_repeats(predicted, star, snr=snr, limit=predicted.errors)
    text = write_report(result, tmp_path / "r.html").read_text()
    bare = re.sub(r"base64,[^\"]*", "", text)
    assert text.count("base64,") == {"truth": 11, "repeats": 4}[kind]
    assert not re.search(r"\bnan\b|http", bare)
    said = {"truth": ["too small, beyond chance, for log g", "too large for [Fe/H]", "CRPS"],
            "repeats": ["60 pairs of visits", "floor", "bootstrap"]}  # fmt: skip
    for words in said[kind]:
        assert words in bare


def test_strata_have_edges_that_ascend_and_names():
    parts = strata({"snr": np.array([10.0, 60.0, np.nan, 500.0])}, least=1)
    assert [p.title for p in parts] == ["all", "S/N below 40", "S/N 40 to 80", "S/N above 150"]
    assert [int(p.rows.sum()) for p in parts] == [4, 1, 1, 1]
    with pytest.raises(ConfigError, match="ascend"):
        strata({"snr": np.ones(3)}, {"snr": (3.0, 1.0)})
    cold = strata({"fe_h": np.full(30, -0.7)}, {"fe_h": (-1.0, -0.5)})
    assert cold[1].title == "[Fe/H] −1 to −0.5"
