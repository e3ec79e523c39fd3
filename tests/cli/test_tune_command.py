"""`starnet tune`: a search, its tables and figures, and the best model."""

import pytest
import yaml
from astropy.table import Table

from starnet.artifact import load_model
from starnet.cli import app
from starnet.dataset import from_arrays
from starnet.errors import ConfigError, OutputError
from starnet.preprocess import ChipMedian, InterpolateMasked, Pipeline
from starnet.training import Recipe, TrainingConfig, load_recipe

SPACE = {
    "name": "toy",
    "settings": {
        "lr": {"kind": "float", "low": 1e-4, "high": 1e-2, "log": True},
        "dense": {"kind": "choice", "choices": [[4], [8]]},
    },
}


def call(*words):
    app([str(word) for word in words], standalone_mode=False)


@pytest.fixture
def words(labelled, tmp_path):
    """A command without --out, for a search of two trials of one epoch."""
    store = from_arrays(*labelled(40), tmp_path / "set.zarr")
    recipe = Recipe(
        preprocess=Pipeline((ChipMedian(), InterpolateMasked())),
        networks=({"family": "starnet", "filters": [], "dense": [8]},),
        training=TrainingConfig(epochs=1, batch_size=16, device="cpu"),
    )
    recipe.save(tmp_path / "recipe.yaml")
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(SPACE))
    return (
        "tune", store, "--recipe", tmp_path / "recipe.yaml", "--space", tmp_path / "space.yaml",
        "--study", tmp_path / "study.journal", "--split", "0.6,0.2,0.2",
    )  # fmt: skip


def test_search_then_go_on_and_train_the_best(words, tmp_path, capsys):
    call(*words, "--trials", 2)
    assert "2 complete" in capsys.readouterr().out
    call(*words, "--trials", 11, "--out", tmp_path / "best")
    said = capsys.readouterr().out
    assert "trial 10:" in said
    assert "trial 1:" not in said
    work = tmp_path / "best.tuning"
    trials = Table.read(work / "trials.ecsv")
    assert len(trials) == 11
    assert Table.read(work / "trials.csv").colnames == trials.colnames
    best = load_recipe(work / "best.yaml")
    row = trials[trials["value"] == min(trials["value"])][0]
    assert best.training.lr == pytest.approx(row["lr"])
    for name in ("search.png", "settings.png", "training_curve.png", "test.ecsv", "config.yaml"):
        assert (work / name).stat().st_size > 0
    provenance = load_model(tmp_path / "best").provenance
    assert provenance["tuning"]["study"] == "starnet"
    assert sum(provenance["tuning"]["trials"].values()) == 11
    assert provenance["recipe"]["training"]["lr"] == best.training.lr
    with pytest.raises(OutputError, match="best"):
        call(*words, "--out", tmp_path / "best")


def test_an_unknown_setting_is_refused_before_anything_is_written(words, tmp_path):
    space = {"settings": {**SPACE["settings"], "filtres": SPACE["settings"]["dense"]}}
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(space))
    with pytest.raises(ConfigError, match="'filtres', which recipe"):
        call(*words, "--trials", 1)
    assert not (tmp_path / "study.journal").exists()


def test_no_time_means_no_trial_and_what_to_do(words, tmp_path):
    call(*words, "--trials", 1)
    call(*words, "--trials", 5, "--minutes", 0)
    records = (tmp_path / "study.journal").read_text()
    assert records.count('"op_code":4,') == 1  # nothing begun but the one (and none queued)


def test_shares_that_are_no_numbers(words):
    with pytest.raises(ConfigError, match=r"--split takes three shares"):
        call(*words, "--split", "much,little,none")
