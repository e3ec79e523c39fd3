"""`starnet synth`, in its own process where exit codes and Ctrl-C matter."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from tests.library.fake_engine import NAME

from starnet.cli import app
from starnet.dataset import open_dataset
from starnet.errors import ConfigError
from starnet.library import made_before

ROOT = Path(__file__).resolve().parents[2]


def call(*words):
    app([str(word) for word in words], standalone_mode=False)


def command(*words):
    return [sys.executable, "-m", "starnet", "synth", *map(str, words)]


def run(*words):
    return subprocess.run(
        command(*words), cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def plan(tmp_path):
    """A function that writes a plan of 12 stars, with settings for its engine."""

    def write(**engine):
        settings = {
            "name": "toy",
            "engine": {"name": NAME, **engine},
            "sampler": {"sampler": "sobol", "labels": {
                "teff": [4000, 6000], "logg": [1, 5], "fe_h": [-1, 0]}},
            "instrument": {"resolution": 8000, "start": 5150, "stop": 5200},
            "n": 12,
            "batch": 1,
        }  # fmt: skip
        path = tmp_path / "plan.yaml"
        path.write_text(yaml.safe_dump(settings))
        return path

    return write


def test_a_plan_becomes_a_data_set(plan, tmp_path, capsys):
    out = tmp_path / "toy.zarr"
    call("synth", plan(fail_above=5900), "--out", out, "--n", 30, "--workers", 1,
         "--physics", tmp_path, "--device", "cpu")  # fmt: skip
    told = capsys.readouterr().out
    data = open_dataset(out)
    failed = 30 - len(data)
    assert failed > 0
    assert f"{len(data)} spectra of {len(data)} stars, {failed} failed" in told
    assert "failed: RuntimeError: no convergence" in told
    assert data.provenance["engine"]["physics"] == str(tmp_path)


def test_dry_says_what_would_be_made_and_writes_nothing(plan, tmp_path, capsys):
    before = plan(hottest=5000)
    call("synth", before, "--dry")
    told = " ".join(capsys.readouterr().out.split())
    assert "12, of 12 stars, clean" in told
    assert "size about" in told
    highest = float(next(line for line in told.split("teff")[1:]).split("│")[-2].strip(" ┃│"))
    assert highest <= 5000
    assert list(tmp_path.iterdir()) == [before]


def test_dry_of_a_plan_whose_engine_is_not_there(plan, capsys):
    path = plan()
    path.write_text(path.read_text().replace(NAME, "nowhere_at_all:fake"))
    call("synth", path, "--dry")
    told = " ".join(capsys.readouterr().out.split())
    assert "cannot be opened here" in told
    assert "teff" in told


def test_errors_are_one_sentence_and_the_exit_code_is_1():
    done = run("no-such-plan", "--out", "x.zarr")
    assert done.returncode == 1
    assert "There is no plan 'no-such-plan'" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    with pytest.raises(ConfigError, match="Name the data set with --out"):
        call("synth", "synth-generic")


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_stops_cleanly_and_the_same_command_goes_on(plan, tmp_path, capsys, workers):
    out = tmp_path / "toy.zarr"
    words = plan(seconds=0.15), "--out", out, "--workers", workers, "--shard-size", 2
    process = subprocess.Popen(
        command(*words), cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    until = time.monotonic() + 100  # imports take long on a busy machine
    while made_before(out) < 4 and time.monotonic() < until:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: every process of the group
    told = " ".join(process.communicate(timeout=30)[1].split())
    assert process.returncode == 130
    assert "give the same command again" in told
    assert "of 12 stars are made" in told
    assert "Traceback" not in told
    assert not out.exists()
    assert 4 <= made_before(out) < 12
    call("synth", *words[:3], "--workers", 1)
    told = capsys.readouterr().out
    assert "12 spectra of 12 stars" in told
    assert "0 were there before" not in told
    assert len(open_dataset(out)) == 12
