"""The search for hyperparameters: spaces, studies, workers that die, files that are damaged."""

import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from starnet.artifact import load_model
from starnet.dataset import from_arrays, open_dataset
from starnet.errors import ConfigError, DataError, MissingDependencyError, TrainingError
from starnet.preprocess import ChipMedian, InterpolateMasked, Pipeline, SelectPixels
from starnet.training import Recipe, TrainingConfig, load_recipe, train_model
from starnet.training.tune import (
    Entry,
    Job,
    Objective,
    Space,
    check_space,
    load_space,
    space_names,
    storage,
    tune,
    with_values,
    worker,
)
from starnet.training.tune.beats import BEAT, give_up, is_stale
from starnet.training.tune.objective import scatter
from starnet.training.tune.settings import start_of
from starnet.training.tune.storage import cut_partial_line, open_storage, shown

ROOT = Path(__file__).resolve().parents[2]
RECIPE = Recipe(
    name="toy",
    preprocess=Pipeline((ChipMedian(), InterpolateMasked())),
    networks=({"family": "starnet", "filters": [], "dense": [8]},),
    training=TrainingConfig(epochs=2, batch_size=16, lr=3e-3, device="cpu"),
    split=(0.6, 0.2, 0.2),
)
SPACE = Space(
    {
        "lr": Entry("float", 1e-4, 1e-2, log=True),
        "dense": Entry("choice", choices=[[4], [8], [16, 8]]),
        "batch_size": Entry("int", 8, 32),
    }
)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    from tests.conftest import labelled_spectra

    folder = tmp_path_factory.mktemp("tune")
    return from_arrays(*labelled_spectra(40), folder / "set.zarr")


@pytest.fixture
def job(store, tmp_path):
    study = str(tmp_path / "study.journal")
    return Job(str(store), RECIPE.to_dict(), SPACE.to_dict(), study, trials=3)


# Spaces


def test_the_shipped_space_searches_the_13_hyperparameters_and_holds_the_recipe_of_2018():
    assert space_names() == ["starnet"]
    space, recipe = load_space("starnet"), load_recipe("starnet-2018")
    check_space(space, recipe)
    together = {"weight_decay", "dropout"}  # count once
    assert len(set(space.settings) - together) + 1 == 13
    start = start_of(space, recipe)
    assert set(start) == set(space.settings)
    again = with_values(recipe, space.values(start))
    assert again.preprocess == recipe.preprocess
    assert again.training == recipe.training


def test_a_space_survives_a_round_trip():
    space = load_space("starnet")
    again = Space.from_dict(json.loads(json.dumps(space.to_dict())))
    assert again.to_dict() == space.to_dict()
    assert again.values({"filters": "4-16"}) == {"filters": [4, 16]}


def test_a_setting_that_nobody_knows_is_refused_with_those_there_are():
    space = Space({"kernle": Entry("int", 3, 9)})
    with pytest.raises(ConfigError, match=r"'kernle', which recipe 'toy' does not know.*kernel"):
        check_space(space, RECIPE)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"lr": {"kind": "flaot", "low": 0.1, "high": 1}}, "kind must be float, int or choice"),
        ({"lr": {"kind": "float", "low": 1, "high": 0.1}}, "limits low < high"),
        ({"lr": {"kind": "float", "low": 0, "high": 1, "log": True}}, "above 0 with log"),
        ({"lr": {"kind": "choice"}}, "needs choices"),
        ({"lr": {"kind": "float", "lo": 1}}, "takes kind and"),
        ({"normalise": {"kind": "choice", "choices": [[{"transform": "ChipMedian"}]]}}, "names"),
        ({}, "at least one setting"),
        (None, "needs settings"),
    ],
)
def test_a_wrong_space_is_refused(settings, said):
    with pytest.raises(ConfigError, match=said):
        Space.from_dict({"settings": settings})


def test_a_value_that_no_recipe_takes_is_refused_before_the_search():
    space = Space({"activation": Entry("choice", choices=["relu", "tanhh"])})
    with pytest.raises(ConfigError, match="activation the value 'tanhh'"):
        check_space(space, RECIPE)


def test_settings_reach_trunks_training_and_preprocessing():
    recipe = dataclasses.replace(
        load_recipe("starnet-errors"),
        preprocess=Pipeline((SelectPixels(((0, 100),), unit="pixel"), ChipMedian())),
    )
    values = {"filters": [2], "width": 16, "lr": 0.01, "schedule": "onecycle", "augment": 0.5,
              "normalise": ["InterpolateMasked", "ChipMedian"]}  # fmt: skip
    out = with_values(recipe, values)
    assert out.networks[0]["width"] == 16
    assert out.networks[0]["trunk"]["filters"] == [2]
    assert out.networks[0]["trunk"]["dense"] == [256]
    assert (out.training.lr, out.training.patience) == (0.01, None)
    names = [type(step).__name__ for step in out.preprocess.steps]
    assert names == ["SelectPixels", "RVJitter", "ContinuumShape", "AddNoise",
                     "InterpolateMasked", "ChipMedian"]  # fmt: skip
    assert len(out.preprocess.deterministic().steps) == 3


# The objective


def test_the_scatter_is_robust_counts_labels_alike_and_knows_missing_ones(rng):
    truth = np.zeros((1000, 2))
    predicted = rng.standard_normal((1000, 2)) * (1.0, 3.0) + 5
    predicted[:50] = 1e6
    assert scatter(predicted, truth) == pytest.approx(2.0, rel=0.15)
    truth[:500, 1] = np.nan
    assert scatter(predicted, truth) == pytest.approx(2.0, rel=0.15)
    predicted[3, 0] = np.nan
    assert scatter(predicted, truth) == math.inf


def test_test_stars_are_not_looked_at(store):
    dataset = open_dataset(store)
    for folds in (1, 3):
        objective = Objective.of(dataset, RECIPE, folds)
        used = {i for part in objective.parts for rows in part for i in rows}
        assert len(objective.parts) == folds
        assert len(used) == 32
    first, second = (Objective.of(dataset, RECIPE.with_settings(seed=s)) for s in (0, 1))
    assert first.fingerprint() != second.fingerprint()


def test_a_recipe_without_validation_stars_is_refused_with_what_to_do(store):
    recipe = RECIPE.with_settings(split=(0.8, 0.0, 0.2))
    with pytest.raises(ConfigError, match="keeps no stars for validation"):
        Objective.of(open_dataset(store), recipe)


# The search


def test_it_starts_with_the_recipe_and_goes_on_where_it_stopped(job, tmp_path):
    first = tune(job)
    assert list(first.trials["state"]) == ["complete"] * 3
    assert (first.trials["lr"][0], str(first.trials["dense"][0])) == (3e-3, "8")
    more = tune(dataclasses.replace(job, trials=6))
    assert list(more.trials["lr"][:3]) == list(first.trials["lr"])
    whole = tune(dataclasses.replace(job, trials=6, study=str(tmp_path / "whole.journal")))
    assert list(whole.trials["lr"]) == list(more.trials["lr"])
    assert list(whole.trials["value"]) == list(more.trials["value"])
    assert more.facts["best_value"] == min(more.trials["value"])


def test_a_first_trial_that_is_not_the_recipe_is_not_called_so(job):
    """The space does not hold the recipe's learning rate, which is then drawn."""
    assert tune(job).facts["first_value"] is not None
    settings = {**SPACE.settings, "lr": Entry("float", 1e-4, 1e-3, log=True)}
    other = dataclasses.replace(job, space=Space(settings).to_dict(), name="other")
    assert tune(other).facts["first_value"] is None


def test_the_best_recipe_gives_the_best_value_again_and_signs_its_model(job, tmp_path):
    found = tune(job)
    dataset = open_dataset(job.dataset)
    assert Objective.of(dataset, RECIPE)(found.best) == found.facts["best_value"]
    result = train_model(dataset, found.best, progress=False)
    found.signed(result.model).save(tmp_path / "model")
    noted = load_model(tmp_path / "model").provenance["tuning"]
    assert noted["best_trial"] == found.facts["best_trial"]
    assert noted["settings"]["dense"] in [[4], [8], [16, 8]]


def test_bad_trials_are_pruned(job, monkeypatch):
    from starnet.training.tune import sampler

    monkeypatch.setattr(sampler, "STARTUP", 4)
    space = Space({"lr": Entry("float", 1e-7, 1e-2, log=True)})
    recipe = RECIPE.with_settings(epochs=6)
    found = tune(
        dataclasses.replace(job, space=space.to_dict(), recipe=recipe.to_dict(), trials=14)
    )
    pruned = found.trials[np.asarray(found.trials["state"]) == "pruned"]
    assert len(pruned) > 0
    assert max(pruned["epochs"]) < 6
    assert len(found.importance) == 0 or found.importance["setting"][0] == "lr"


@pytest.mark.parametrize("pruner", ["hyperband", "halving", "none"])
def test_other_pruners_and_a_database(job, tmp_path, pruner):
    study = str(tmp_path / "study.db")
    found = tune(dataclasses.replace(job, pruner=pruner, study=study, trials=2))
    assert len(found.trials) == 2


def test_a_trial_that_cannot_be_trained_is_noted_and_the_search_goes_on(job):
    space = Space({"lr": Entry("choice", choices={"good": 3e-3, "bad": 1e30})})
    found = tune(dataclasses.replace(job, space=space.to_dict(), trials=6))
    states = [str(state) for state in found.trials["state"]]
    assert {"complete", "failed"} == set(states)
    assert "loss became" in str(found.trials["reason"][states.index("failed")])


def test_a_search_in_which_nothing_trains_is_ended(job, monkeypatch):
    monkeypatch.setattr(worker, "HOPELESS", 3)
    space = Space({"lr": Entry("float", 1e30, 1e31)})
    with pytest.raises(TrainingError, match="None of the first 3 trials could be trained"):
        tune(dataclasses.replace(job, space=space.to_dict(), trials=9))


def test_another_search_in_the_same_study_is_refused(job):
    tune(dataclasses.replace(job, trials=1))
    other = dataclasses.replace(job, recipe=RECIPE.with_settings(epochs=3).to_dict(), folds=2)
    with pytest.raises(ConfigError, match="was made with another recipe, another stars, another f"):
        tune(other)


# Workers that share a study, and die

TUNE = """
import sys, json
from starnet.training.tune import Job, tune
if __name__ == "__main__":
    job = Job(**json.loads(sys.argv[1]))
    tune(job, workers=int(sys.argv[2]), on_trial=lambda row: print(row["number"], flush=True))
"""


def as_process(job, workers, folder):
    script = folder / "search.py"
    script.write_text(TUNE)
    words = [sys.executable, str(script), json.dumps(dataclasses.asdict(job)), str(workers)]
    return subprocess.Popen(
        words, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    )


def in_full_swing(job):
    """Whether a trial has ended, and two run that have given a sign of life."""
    path = Path(job.study)
    if not path.exists() or '"datetime_complete":"' not in path.read_text():
        return False
    with storage.quiet():
        trials = worker.open_study(job).get_trials(deepcopy=False)
    running = [trial for trial in trials if trial.state.name == "RUNNING"]
    return len(running) == 2 and all(BEAT in trial.user_attrs for trial in running)


@pytest.mark.slow
def test_two_workers_one_study_a_kill_and_the_rest(job, tmp_path):
    slow = RECIPE.with_settings(epochs=40, patience=None)
    job = dataclasses.replace(job, recipe=slow.to_dict(), trials=10, pruner="none")
    process = as_process(job, 2, tmp_path)
    while not in_full_swing(job):  # not what it prints, which comes when all may be done
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    found = tune(job, workers=2)
    states = [str(state) for state in found.trials["state"]]
    assert states.count("complete") >= 10
    assert "running" not in states
    retried = [int(number) for number in found.trials["retry_of"] if number >= 0]
    assert sorted(retried) == [i for i, state in enumerate(states) if state == "lost"]
    for row in found.trials[np.asarray(found.trials["retry_of"]) >= 0]:
        assert row["lr"] == found.trials["lr"][row["retry_of"]]
    assert len(set(found.trials["worker"])) >= 3
    numbers = [int(n) for n in found.trials["number"]]
    assert len(set(found.trials["lr"])) == len(numbers) - len(retried)  # nobody drew alike


def begun(job):
    """A study with one trial that runs in this process."""
    with storage.quiet():
        study = worker.open_study(job)
        trial = study.ask(SPACE.distributions())
        return study, trial


def test_a_trial_of_a_living_worker_is_left_alone_and_of_a_silent_one_given_up(job):
    study, trial = begun(job)
    now = {"host": "elsewhere", "pid": 1}
    trial.set_user_attr("worker", now)
    trial.set_user_attr("beat", time.time() - 100)
    assert not is_stale(study.trials[0], grace=200)
    assert is_stale(study.trials[0], grace=50)
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    trial.set_user_attr("worker", {"host": __import__("socket").gethostname(), "pid": process.pid})
    trial.set_user_attr("beat", time.time())
    assert is_stale(study.trials[0], grace=200)


def test_a_trial_is_tried_twice_again_and_then_counts_as_failed(job):
    study, trial = begun(job)
    for again in range(3):
        assert give_up(study, study.trials[-1])
        assert not give_up(study, study.trials[-1]) or again < 2
        with storage.quiet():
            waiting = [t for t in study.trials if t.state.name == "WAITING"]
            assert len(waiting) == (1 if again < 2 else 0)
            if waiting:
                assert study.ask(SPACE.distributions()).params == trial.params
    assert [worker.counts(t) for t in study.trials] == [False, False, True]


# Damaged studies


def test_half_a_line_at_the_end_is_cut_off(job):
    tune(dataclasses.replace(job, trials=1))
    with open(job.study, "a") as file:
        file.write('{"op_code":5,"worker_id":"a')
    found = tune(dataclasses.replace(job, trials=2))
    assert list(found.trials["state"]) == ["complete"] * 2


def test_a_long_half_line_is_cut_and_a_whole_file_left(tmp_path):
    path = tmp_path / "journal"
    path.write_bytes(b'{"op_code":1}\n' + b"x" * 10_000)
    assert cut_partial_line(path) == 10_000
    assert cut_partial_line(path) == 0
    assert path.read_bytes() == b'{"op_code":1}\n'


def test_a_damaged_line_is_named_with_what_to_do(job):
    tune(dataclasses.replace(job, trials=1))
    path = Path(job.study)
    lines = path.read_text().splitlines(keepends=True)
    lines[4] = lines[4][:20] + "\n"
    path.write_text("".join(lines))
    with pytest.raises(DataError, match=r"damaged at line 5.*head -n 4 study.journal"):
        tune(job)
    path.write_text("".join(lines[:4]))
    assert len(tune(dataclasses.replace(job, trials=1)).trials) >= 1


@pytest.mark.parametrize("text", ["star,teff\na,5000\n", "no end of line", '{"a": 1}\n', "[1]\n"])
def test_a_file_of_another_kind_is_refused_and_left_alone(job, text):
    Path(job.study).write_text(text)
    with pytest.raises(DataError, match="is no study"):
        tune(job)
    assert Path(job.study).read_text() == text


def test_a_damaged_database_and_a_folder_are_refused(tmp_path):
    (tmp_path / "study.db").write_bytes(b"not a database, surely not" * 100)
    with pytest.raises(DataError, match=r"study.db cannot be opened"):
        open_storage(str(tmp_path / "study.db"))
    with pytest.raises(DataError, match="is a folder"):
        open_storage(str(tmp_path))


def test_passwords_are_not_shown():
    assert shown("postgresql://me:secret@host:5432/db") == "postgresql://me:***@host:5432/db"
    assert shown("study.journal") == "study.journal"


def test_without_optuna_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingDependencyError, match=r"starnet\[tune\]"):
        storage.require_optuna()


def test_importing_the_package_loads_no_optuna():
    code = "import sys, starnet.training.tune, starnet.cli; sys.exit('optuna' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
