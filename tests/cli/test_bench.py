"""`starnet bench`, in this process with made-up methods."""

import sys
from functools import partial
from pathlib import Path

import pytest
import yaml

from starnet.cli import app
from starnet.dataset import from_arrays
from starnet.errors import ConfigError, TrainingError
from starnet.evaluate import bench

METHODS = Path(__file__).parents[1] / "evaluate" / "bench"


def call(*words):
    """Run `starnet bench` in this process; what it raises comes out."""
    app(["bench", *map(str, words)], standalone_mode=False)


@pytest.fixture
def suite(tmp_path, labelled, monkeypatch):
    """A suite in a file, and its data; cells are computed in this process."""
    monkeypatch.syspath_prepend(str(METHODS))
    monkeypatch.setattr(bench, "run_bench", partial(bench.run_bench, isolate=False))
    from_arrays(*labelled(50), tmp_path / "stars.zarr")
    path = tmp_path / "own.yaml"
    methods = {"linear": {"method": "made-up"}, "bad": {"method": "made-up", "fails": True}}
    path.write_text(
        yaml.safe_dump(
            {
                "name": "own",
                "data": {"from": "files", "how": "Ask."},
                "labels": ["teff", "logg", "mg_fe"],
                "split": {"folds": 3},
                "modules": ["made_up_methods"],
                "methods": methods,
                "quick": {"split": {"folds": 2}},
            }
        )
    )
    yield path
    sys.modules.pop("made_up_methods", None)


def test_report_tables_and_what_failed(suite, tmp_path, capsys):
    out = tmp_path / "out"
    call(suite, "--data", tmp_path / "stars.zarr", "--out", out, "--quick")
    said = capsys.readouterr()
    assert "fails on purpose" in said.err
    assert "mg_fe is left out" in " ".join(said.out.split())
    assert "linear" in said.out
    for name in ("report.html", "scores.csv", "scores-by-seed.csv", "cells.csv", "config.yaml"):
        assert (out / name).is_file()
    assert len(list(out.glob("cells/*.parquet"))) == 2
    assert len(list(out.glob("cells/*.failed.json"))) == 2


def test_nothing_but_failures_is_an_error(suite, tmp_path):
    with pytest.raises(TrainingError, match="all of them failed"):
        call(suite, "--data", tmp_path / "stars.zarr", "--out", tmp_path / "out",
             "--methods", "bad")  # fmt: skip


def test_what_is_not_there_is_said(suite, tmp_path):
    with pytest.raises(ConfigError, match=r"--data FOLDER\. Ask\."):
        call(suite, "--out", tmp_path / "out")
    with pytest.raises(ConfigError, match="no suite 'mile'; the package has apogee-dr17"):
        call("mile")
    with pytest.raises(ConfigError, match="starnet download miles"):
        call("miles", "--out", tmp_path / "out")
    with pytest.raises(ConfigError, match="no method x; it has bad, linear"):
        call(suite, "--data", tmp_path / "stars.zarr", "--methods", "x")


def test_a_look_before_anything_was_computed(suite, tmp_path):
    with pytest.raises(TrainingError, match="nothing of it was computed yet"):
        call(suite, "--data", tmp_path / "stars.zarr", "--out", tmp_path / "out", "--here")
