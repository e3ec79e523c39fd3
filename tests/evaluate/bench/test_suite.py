"""Suites as they are written in YAML."""

import pytest
import yaml

from starnet.errors import ConfigError
from starnet.evaluate.bench import Suite, load_suite, suite_names
from starnet.evaluate.bench.entries import merged
from starnet.evaluate.bench.suite import ALL

GOOD = {
    "name": "try",
    "data": {"from": "files"},
    "labels": ["teff"],
    "methods": {"net": {"network": "starnet-2018"}},
}


@pytest.mark.parametrize("name", suite_names())
@pytest.mark.parametrize("quick", [False, True])
def test_suites_of_the_package_can_be_read(name, quick):
    suite = load_suite(name, quick=quick)
    assert suite.name == name
    assert suite.about
    assert {"teff", "logg", "fe_h"} <= set(suite.labels)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"metods": {}}, "no setting 'metods'"),
        ({"labels": []}, "must say labels"),
        ({"data": {"from": "moon"}}, "files, plan, drawn; received 'moon'"),
        ({"data": {"from": "plan", "stars": 3}}, "spelled wrongly"),
        ({"split": {"test": "all"}}, "give training, too"),
        ({"split": {"folds": 2, "test": 3}}, "folds or test"),
        ({"sizes": [-3]}, "whole numbers"),
        ({"noise": {"teff": -1}}, "0 or more"),
        ({"noise": {"te_ff": 1}}, "noise names te_ff, which nothing learns"),
        ({"methods": {"a": {"reader": "apogee", "also": ["mg_fe"]}}}, "leave also out"),
        ({"select": {"teff": [5000, 4000]}}, "must ascend"),
        ({"modules": ["no_such_module"]}, "cannot be imported"),
        ({"methods": {"a": {"method": "no-such"}}}, "no method 'no-such'; there are"),
        ({"methods": {"a": {"network": "no-such"}}}, "no recipe 'no-such'"),
        ({"methods": {"a": {"network": "miles", "method": "x"}}}, "one of method, network"),
        ({"methods": {"a": {"network": "miles", "colour": 1}}}, "no setting 'colour'"),
        ({"methods": {"a": {"network": "miles", "settings": {"lrate": 1}}}}, "no such setting"),
        ({"methods": {"a": {"reader": "apogee", "largest": "many"}}}, "a number of stars"),
    ],
)
def test_what_is_wrong_is_said(changes, said):
    with pytest.raises(ConfigError, match=said):
        Suite.from_dict({**GOOD, **changes})


def test_a_method_has_its_settings_checked(make):
    with pytest.raises(ConfigError, match="no setting colour"):
        make(methods={"a": {"method": "made-up", "colour": 1}})


def test_quick_changes_and_removes(tmp_path):
    data = {**GOOD, "sizes": [10, "all"], "quick": {
        "sizes": [10],
        "methods": {"net": None, "other": {"network": "miles", "settings": {"epochs": 2}}},
    }}  # fmt: skip
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(data))
    assert load_suite(path).sizes == (10, ALL)
    quick = load_suite(path, quick=True)
    assert quick.sizes == (10,)
    assert list(quick.methods) == ["other"]
    assert quick.methods["other"].settings["training"]["epochs"] == 2


def test_merging_leaves_what_it_is_given():
    one = {"a": {"b": 1, "c": 2}, "d": 3}
    assert merged(one, {"a": {"b": None}, "e": 4}) == {"a": {"c": 2}, "d": 3, "e": 4}
    assert one == {"a": {"b": 1, "c": 2}, "d": 3}


def test_some_methods_and_another_seed(make):
    suite = make(methods={"a": {"method": "made-up", "seeds": [0, 1]}, "b": {"method": "made-up"}})
    assert list(suite.with_methods(["b"]).methods) == ["b"]
    with pytest.raises(ConfigError, match="no method c; it has a, b"):
        suite.with_methods(["c"])
    moved = suite.with_seed(7)
    assert moved.split["seed"] == 7
    assert moved.seeds == (7,)
    assert moved.methods["a"].seeds == (7, 8)


def test_entries_are_left_out_with_a_reason(make):
    suite = make(methods={
        "big": {"method": "made-up", "smallest": 50, "largest": 100, "why": "too dear"},
        "absent": {"method": "made-up", "needs": "no_such_package"},
        "reader": {"reader": "apogee", "smallest": 50},
    })  # fmt: skip
    big = suite.methods["big"]
    assert [big.left_out(n) for n in (10, 50, 100, 101)] == ["too dear", "", "", "too dear"]
    assert "no_such_package" in suite.methods["absent"].left_out(60)
    assert suite.methods["reader"].left_out(0) == ""


def test_labels_besides_are_a_part_of_what_a_result_depends_on(make):
    method = {"method": "made-up"}
    suite = make(
        methods={"plain": method, "more": {**method, "also": ["mg_fe", "c_fe"]}},
        noise={"teff": 60, "mg_fe": 0.05},
    )
    assert suite.methods["more"].also == ("mg_fe", "c_fe")
    assert suite.methods["more"].to_dict()["also"] == ["mg_fe", "c_fe"]
    assert "also" not in suite.methods["plain"].to_dict()


def test_a_recipe_for_fine_tuning_is_changed_in_part():
    methods = {"a": {"finetune": "miles", "settings": {"reader": {"training": {"steps": 7}}}}}
    settings = Suite.from_dict({**GOOD, "methods": methods}).methods["a"].settings
    assert settings["reader"]["training"]["steps"] == 7
    assert settings["reader"]["training"]["conditions"] == 60


def test_small_sets_are_drawn_more_often(make):
    suite = make(sizes=[100, 300, "all"], seeds=[4, 9], repeats={100: 3})
    assert [suite.seeds_at(size) for size in suite.sizes] == [(4, 5, 6), (4, 9), (4, 9)]
    assert make(sizes=[100], repeats=None).seeds_at(100) == (0,)


@pytest.mark.parametrize("repeats", [{100: 0}, {200: 3}, {100: 1.5}])
def test_repeats_are_numbers_of_seeds_of_sizes(make, repeats):
    with pytest.raises(ConfigError, match="repeats a number of them"):
        make(sizes=[100], repeats=repeats)
