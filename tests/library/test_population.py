"""Stars as a survey observes them."""

import numpy as np
import pytest
import yaml

from starnet.errors import ConfigError, LabelError
from starnet.library import Sampler, draw, vmac_relation
from starnet.library.population import load_population, vmic_of

NAMES = (
    "teff",
    "logg",
    "fe_h",
    "vmic",
    "c_fe",
    "n_fe",
    "o_fe",
    "na_fe",
    "mg_fe",
    "al_fe",
    "si_fe",
    "s_fe",
    "k_fe",
    "ca_fe",
    "ti_fe",
    "v_fe",
    "cr_fe",
    "mn_fe",
    "co_fe",
    "ni_fe",
    "ce_fe",
)


@pytest.fixture(scope="module")
def stars():
    return draw(6000, seed=5)


def test_all_labels_of_the_emulator_in_order_and_within_bounds(stars):
    assert stars.names == NAMES
    low, high = stars.bounds().T
    limits = load_population().bounds
    assert all(
        limits[n][0] <= a and b <= limits[n][1] for n, a, b in zip(NAMES, low, high, strict=True)
    )
    assert np.all(stars.column("c_fe") <= stars.column("o_fe") + 0.15)  # no carbon stars
    assert np.array_equal(draw(20, seed=5).values, stars.values[:20])
    assert not np.array_equal(draw(20, seed=6).values, stars.values[:20])


def test_giants_and_dwarfs_lie_where_stars_are(stars):
    teff, logg, fe_h = (stars.column(n) for n in NAMES[:3])
    assert 0.6 < np.mean(logg < 3.5) < 0.95
    assert np.median(teff[logg > 3.9]) > np.median(teff[logg < 3.5]) + 700
    branch = (logg < 3.0) & (teff < 5200)
    assert np.corrcoef(teff[branch], logg[branch])[0, 1] > 0.75
    assert abs(np.median(fe_h) + 0.16) < 0.06


def test_abundances_have_two_sequences_and_dredge_up(stars):
    fe_h, mg, logg = (stars.column(n) for n in ("fe_h", "mg_fe", "logg"))
    thick = (fe_h > -0.7) & (fe_h < -0.4)
    assert np.std(mg[thick]) > 1.5 * np.std(mg[fe_h > 0.1])  # two sequences, not one
    assert np.median(mg[fe_h < -0.8]) > 0.12
    assert abs(np.median(mg[np.abs(fe_h) < 0.1])) < 0.03
    ratio = stars.column("c_fe") - stars.column("n_fe")
    assert np.median(ratio[logg > 3.6]) > np.median(ratio[logg < 2.5]) + 0.15


def test_motions_follow_their_relations():
    assert vmic_of(5777.0, 4.44) == pytest.approx(1.05, abs=0.01)
    assert vmic_of(4500.0, 2.0) == pytest.approx(1.6, abs=0.2)
    assert vmac_relation(4500, 2.0, 0.0) == pytest.approx(2 * 10**0.471)
    assert vmac_relation(5777, 4.44, 0.0) == pytest.approx(3.21)
    assert np.all(vmac_relation([3800, 6800], [0.5, 3.9], [-2.0, 0.4]) <= 9.0)


def test_macroturbulence_is_drawn_at_wish_and_leaves_the_rest(stars):
    with_it = draw(300, seed=5, vmac=True)
    assert with_it.names == (*NAMES, "vmac")
    assert np.array_equal(with_it.values[:, :-1], stars.values[:300])
    ratio = with_it.column("vmac") / vmac_relation(*with_it.values[:, :3].T)
    assert np.std(np.log10(ratio)) == pytest.approx(0.08, abs=0.015)


def test_rules_and_bounds_take_the_place_of_the_population(stars):
    data = {"sampler": "population", "labels": {"mg_fe": 0.25}, "bounds": {"logg": [3.8, 5.0]}}
    drawn = Sampler.from_dict(data).draw(200)
    assert set(drawn.names) == set(NAMES)
    assert np.all(drawn.column("mg_fe") == 0.25)
    assert drawn.column("logg").min() >= 3.8
    few = draw(50, seed=1, accept=lambda labels: labels.column("teff") < 4500)
    assert few.column("teff").max() < 4500


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"population": "nearby"}, "no population 'nearby'"),
        ({"bounds": {"vsini": [0, 1]}}, "bounds are for"),
        ({"labels": {"teff": [4000, 5000]}}, "drawn twice"),
    ],
)
def test_wrong_settings_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        Sampler.from_dict({"sampler": "population", **change})


def test_a_file_that_holds_no_population_is_refused(tmp_path):
    (tmp_path / "own.yaml").write_text("stars: 3\n")
    with pytest.raises(ConfigError, match="does not hold a population"):
        load_population(str(tmp_path / "own.yaml"))
    data = {**load_population().data, "bounds": {"teff": [4000, 5000]}}
    (tmp_path / "more.yaml").write_text(yaml.safe_dump(data))
    with pytest.raises(ConfigError, match="needs bounds for just the labels"):
        load_population(str(tmp_path / "more.yaml"))
    with pytest.raises(LabelError, match="lie where they can be made"):
        draw(5, seed=1, accept=lambda labels: np.zeros(len(labels), dtype=bool))
