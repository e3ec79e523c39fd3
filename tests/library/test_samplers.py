"""What every sampler shall do, and what each does."""

import json

import numpy as np
import pytest
import yaml
from astropy.table import Table

from starnet.errors import ConfigError, LabelError
from starnet.library import SAMPLERS, Sampler, read_isochrones
from starnet.library.rules import RULES, Box, Trend, Vmic, rule_from
from starnet.library.table import flat_weights

ELEMENTS = {"mg_fe": [-0.3, 0.6], "ni_fe": [-0.2, 0.2], "o_h": [-2.0, 1.0]}
OTHERS = {"vmic": {"rule": "vmic", "scatter": 0.1}, "vsini": [0, 10], **ELEMENTS,
          "ca_fe": {"rule": "trend", "nodes": [[-1, 0.3], [0, 0]], "scatter": 0.05}}  # fmt: skip
BOX = {"teff": [4000, 6000], "logg": [1, 5], "fe_h": [-2, 0.5]}


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """Settings of one sampler of each kind."""
    folder = tmp_path_factory.mktemp("stars")
    rng = np.random.default_rng(1)
    rows = rng.normal([4800, 2.5, -0.1], [300, 0.5, 0.2], (400, 3))
    table = Table(rows, names=("TEFF", "logg", "[Fe/H]"))
    table["TEFF"][3] = np.nan
    table.write(folder / "stars.csv", format="ascii.csv")
    (folder / "iso.dat").write_text(isochrone_text())
    return {
        "sobol": {"labels": {**BOX, **OTHERS}},
        "table": {"path": str(folder / "stars.csv"), "labels": OTHERS},
        "isochrone": {"path": str(folder / "iso.dat"), "labels": OTHERS},
        "population": {"labels": OTHERS},
    }


def isochrone_text():
    """A made-up table in the format of CMD 3: two ages, a straight track."""
    lines = ["# made up", "# Zini Age Mini Mass logL logTe logg label"]
    for age in (1e9, 5e9):
        for i in range(21):
            stage = 1 if i < 10 else 3
            mass = 0.5 + 0.05 * i
            row = (0.0152, age, mass, mass, 0.0, 3.8 - 0.008 * i, 5.0 - 0.2 * i, stage)
            lines.append(" ".join(f"{v:.6g}" for v in row))
    return "\n".join([*lines, "#isochrone terminated"])


@pytest.fixture(params=sorted(SAMPLERS))
def described(request, settings):
    return {"sampler": request.param, "seed": 3, "single": 0.4, **settings[request.param]}


def cool(labels):
    return labels.column("teff") < 4900


def test_every_sampler_is_the_same_each_time_and_extends(described):
    sampler = Sampler.from_dict(described)
    assert sampler.names[:3] == ("teff", "logg", "fe_h")
    many = sampler.draw(1500)
    assert many.complete.all()
    assert np.array_equal(sampler.draw(37).values, many.values[:37])
    again = Sampler.from_dict(described).draw(1500)
    assert np.array_equal(again.values, many.values)
    other = Sampler.from_dict({**described, "seed": 4}).draw(1500)
    assert not np.any(np.all(other.values == many.values, axis=1))


def test_every_sampler_redraws_what_is_not_accepted(described):
    sampler = Sampler.from_dict(described)
    many = sampler.draw(2000)
    kept = sampler.draw(600, cool)
    assert cool(kept).all()
    expected = many.values[cool(many)]
    shared = min(len(expected), len(kept))
    assert shared > 100
    assert np.array_equal(kept.values[:shared], expected[:shared])
    assert np.array_equal(sampler.draw(100, cool).values, kept.values[:100])


def test_every_sampler_gives_up_where_nothing_is_accepted(described):
    with pytest.raises(LabelError, match="0 lie where they can be made"):
        Sampler.from_dict(described).draw(5, lambda labels: np.zeros(len(labels), dtype=bool))
    with pytest.raises(ConfigError, match="at least one star"):
        Sampler.from_dict(described).draw(0)


def test_every_sampler_goes_to_json_and_yaml_and_back(described):
    sampler = Sampler.from_dict(described)
    for there, back in ((json.dumps, json.loads), (yaml.safe_dump, yaml.safe_load)):
        again = Sampler.from_dict(back(there(sampler.to_dict())))
        assert again.to_dict() == sampler.to_dict()
        assert again.draw(5).values.tolist() == sampler.draw(5).values.tolist()
    with pytest.raises(ConfigError, match="has no parameter colour"):
        Sampler.from_dict({**described, "colour": 1})
    with pytest.raises(ConfigError, match="no sampler 'dice'"):
        Sampler.from_dict({"sampler": "dice"})


def test_every_sampler_varies_abundances_independently_and_one_at_a_time(described):
    sampler = Sampler.from_dict(described)
    assert sampler.elements == ("o_h", "mg_fe", "ca_fe", "ni_fe")
    labels = sampler.draw(4000)
    metal = labels.column("fe_h")
    off = np.stack([
        labels.column("mg_fe") != 0, labels.column("ni_fe") != 0,
        labels.column("o_h") != np.clip(metal, -2, 1),
        labels.column("ca_fe") != np.interp(metal, [-1, 0], [0.3, 0]),
    ])  # fmt: skip
    count = off.sum(axis=0)
    assert set(count) == {1, 4}
    assert np.mean(count == 1) == pytest.approx(0.4, abs=0.03)
    assert np.allclose(off[:, count == 1].mean(axis=1), 0.25, atol=0.05)
    free = labels[count == 4]
    mg, ni = free.column("mg_fe"), free.column("ni_fe")
    assert abs(np.corrcoef(mg, ni)[0, 1]) < 0.06
    assert -0.3 <= mg.min() < -0.29
    assert 0.59 < mg.max() <= 0.6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": -1}, "seed must be"),
        ({"single": 2}, "single must be a fraction"),
        ({"labels": {**BOX}, "single": 0.1}, "vary one abundance"),
        ({"labels": {**BOX, "mg_fe": [1, 0]}}, "mg_fe: A box needs"),
        ({"labels": {**BOX, "mg_fe": "high"}}, "mg_fe takes a number"),
        ({"labels": {**BOX, "vmic": {"rule": "vmic", "of": "x"}}}, "vmic is spelled wrongly"),
        ({"labels": {"vmic": {"rule": "vmic"}, "teff": [4000, 6000]}}, "needs logg"),
        ({"labels": {}}, "needs labels"),
    ],
)
def test_wrong_settings_are_refused_with_what_was_wrong(change, message):
    with pytest.raises(ConfigError, match=message):
        Sampler.from_dict({"sampler": "sobol", "labels": {**BOX}, **change})


@pytest.mark.parametrize("rule", [Box(1, 2), Vmic(0.1), Trend(((0, 0.1), (1, 0.5)), "logg", 0.2),
                                  Trend(((0, 1),), scatter=1, limits=(0, 2))])  # fmt: skip
def test_every_rule_rises_with_its_number_and_comes_back_from_json(rule):
    assert rule_from(json.loads(json.dumps(rule.to_dict(), allow_nan=False))) == rule
    assert rule.name in RULES
    u, known = np.linspace(1e-9, 1 - 1e-9, 101), {"logg": np.full(101, 0.5)}
    value = rule.value(u, known)
    assert np.isfinite(value).all()
    assert np.all(np.diff(value) > 0)


def test_rules_have_the_middle_and_spread_they_name():
    u = (np.arange(20000) + 0.5) / 20000
    known = {"logg": np.full(u.size, 2.0)}
    trend = Trend(((0, 0.0), (4, 1.0)), "logg", 0.2).value(u, known)
    assert (trend.mean(), trend.std()) == pytest.approx((0.5, 0.2), abs=1e-3)
    from starnet.synthesis.composition import vmic_relation

    vmic = np.log10(Vmic(0.1).value(u, known))
    assert (vmic.mean(), vmic.std()) == pytest.approx((np.log10(vmic_relation(2.0)), 0.1), abs=2e-3)
    assert rule_from(1.5) == Box(1.5, 1.5)


def test_sobol_is_more_even_than_chance():
    from scipy.stats import qmc

    labels = Sampler.from_dict({"sampler": "sobol", "labels": {**BOX, **ELEMENTS}}).draw(512)
    low, high = labels.bounds().T
    unit = (labels.values - low) / (high - low)
    chance = np.random.default_rng(0).random(unit.shape)
    assert qmc.discrepancy(unit) < 0.5 * qmc.discrepancy(chance)


def test_a_table_is_smoothed_bounded_and_flattened(settings):
    base = {"sampler": "table", "path": settings["table"]["path"]}
    plain = Sampler.from_dict({**base, "smooth": {"teff": 0, "logg": 0, "fe_h": 0}})
    rows = {tuple(row) for row in plain.rows}
    assert len(rows) == 399  # one has no teff
    assert {tuple(row) for row in plain.draw(500).values} <= rows
    blurred = Sampler.from_dict({**base, "smooth": {"teff": 10}, "bounds": {"logg": [2, 3]}})
    logg = blurred.draw(2000).column("logg")
    assert (logg.min() >= 2, logg.max() <= 3) == (True, True)
    assert not rows & {tuple(row) for row in blurred.draw(50).values}
    flat = Sampler.from_dict({**base, "flatten": 1.0})
    assert flat.draw(3000).values[:, 0].std() > 1.3 * plain.draw(3000).values[:, 0].std()
    ratio = flat_weights(plain.rows, 1.0)
    assert ratio.max() / np.median(ratio) <= 100.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": "nowhere.csv"}, "nowhere.csv does not exist"),
        ({"columns": ["teff", "mg_fe"]}, "no columns for 'mg_fe'"),
        ({"columns": {"teff": "TEFF", "logg": "GRAV"}}, "no columns for 'logg'"),
        ({"bounds": {"teff": [9000, 9900]}}, "no row with all of"),
        ({"bounds": {"mg_fe": [0, 1]}}, "bounds are for what the table gives"),
        ({"bounds": {"teff": [2, 1]}}, "low < high"),
        ({"smooth": {"mg_fe": 1}}, "not among"),
        ({"flatten": 3}, "flatten must be"),
    ],
)
def test_wrong_tables_are_refused(settings, change, message):
    data = {"sampler": "table", **settings["table"], "labels": {}, **change}
    with pytest.raises((ConfigError, LabelError), match=message):
        Sampler.from_dict(data).draw(1)


@pytest.mark.parametrize("content", ["", "teff,logg,fe_h\n", "\0\1\2", "teff,logg,fe_h\na,b,c\n"])
def test_damaged_tables_are_one_sentence(tmp_path, content):
    path = tmp_path / "bad.csv"
    path.write_text(content)
    with pytest.raises(LabelError):
        Sampler.from_dict({"sampler": "table", "path": str(path)}).draw(1)


def test_isochrones_are_followed(settings):
    base = {"sampler": "isochrone", "path": settings["isochrone"]["path"], "smooth": {
        "teff": 0, "logg": 0, "fe_h": 0}}  # fmt: skip
    even = Sampler.from_dict({**base, "along": "even"}).draw(4000)
    on_track = 3.8 - 0.008 * (5.0 - even.column("logg")) / 0.2
    assert np.allclose(np.log10(even.column("teff")), on_track, atol=1e-5)
    assert np.allclose(even.column("fe_h"), 0, atol=1e-6)
    logg = even.column("logg")
    gap = (logg < 3.2 - 1e-9) & (logg > 3.0 + 1e-9)
    assert not gap.any()  # between two stages nothing is interpolated
    assert np.mean(logg > 3.1) == pytest.approx(9 / 19, abs=0.03)
    born = Sampler.from_dict({**base, "along": "imf", "stages": [1, 1]}).draw(4000)
    mass = 0.5 + 0.05 * (5.0 - born.column("logg")) / 0.2
    edge = np.array([0.5, 0.7, 0.95]) ** -1.35
    assert np.mean(mass < 0.7) == pytest.approx((edge[0] - edge[1]) / (edge[0] - edge[2]), abs=0.03)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"along": "x"}, "along must be"),
        ({"ages": [7, 9]}, "there are 1 to 5 Gyr"),
        ({"stages": [7, 9]}, "no stars of the stages"),
        ({"metallicities": 0.0}, "metallicities must be"),
        ({"path": "nowhere"}, "no isochrone tables at"),
    ],
)
def test_wrong_isochrones_are_refused(settings, change, message):
    data = {"sampler": "isochrone", **settings["isochrone"], **change}
    with pytest.raises((ConfigError, LabelError), match=message):
        Sampler.from_dict(data).draw(1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column"),
        ("# Zini Age Mini logTe logg label\n", "no rows"),
        ("# Zini Age Mini logTe logg label\n0.0152 1e9 1.0 3.7", "damaged row"),
        ("# Zini Age Mini logTe logg label\n0.0152 1e9 1.0 x 4 1", "damaged row"),
        ("# Mini logTe logg label\n1.0 3.7 4.4 1", "no column age, Zini"),
    ],
)
def test_damaged_isochrone_tables_are_one_sentence(tmp_path, text, message):
    (tmp_path / "a.dat").write_text(text)
    with pytest.raises(LabelError, match=message):
        read_isochrones(tmp_path)


def test_a_newer_spelling_of_isochrones_is_read(tmp_path):
    head = "# Zini MH logAge Mini int_IMF Mass logL logTe logg label\n"
    row = "0.0152 0.1 9.0 {} 0 1 0 3.7 4.4 1\n"
    (tmp_path / "a.dat").write_text(head + row.format(1.0) + row.format(1.1))
    (one,) = read_isochrones(tmp_path)
    assert (one.age, one.m_h, one.mass.tolist()) == (pytest.approx(1.0), 0.1, [1.0, 1.1])


def test_real_tables_and_isochrones(shared_data):
    found = read_isochrones(shared_data / "isochrones")
    assert len(found) == 25
    assert sorted({round(one.m_h, 2) for one in found}) == [-0.5, -0.25, 0.0, 0.25, 0.5]
    assert {round(one.age, 2) for one in found} == {0.1, 0.3, 0.5, 0.7, 0.9}  # not as files say
    sampler = Sampler.from_dict({"sampler": "isochrone", "path": shared_data / "isochrones"})
    stars = sampler.draw(1000)
    giants = stars.values[(stars.column("logg") < 2.5) & (stars.column("teff") > 3000)]
    assert 3800 < np.median(giants[:, 0]) < 5200
    path = shared_data / "labels" / "apogee_dr17_subset_50k.csv"
    table = Sampler.from_dict({"sampler": "table", "path": path, "flatten": 0.5, "labels": OTHERS})
    drawn = table.draw(3000).values
    assert np.all(np.abs(np.median(drawn[:, :3], axis=0) - [4750, 2.5, -0.2]) < [400, 1.0, 0.3])
