"""The runner: results are kept, and what fails does not stop the rest."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from starnet.errors import ConfigError, DataError, OutputError
from starnet.evaluate.bench import child, run_bench
from starnet.evaluate.bench.answers import Work, learnt_labels
from starnet.evaluate.bench.cells import Store, read_result, write_result
from starnet.evaluate.bench.runner import Runner
from starnet.preprocess import Pipeline


@pytest.fixture
def run(make, stars, tmp_path):
    """Runs a suite within this process; gives the run, and how many cells were computed."""

    def go(
        *,
        out=tmp_path / "out",
        isolate=False,
        data=stars,
        retry=False,
        fresh=False,
        here=False,
        **changes,
    ):
        found = run_bench(
            make(**changes), out, data=data, isolate=isolate, retry=retry, fresh=fresh, here=here
        )
        return found, sum(not o.cached for o in found.outcomes)

    return go


def test_results_are_kept_and_taken_up(run, tmp_path):
    first, computed = run()
    assert computed == 2
    assert all(o.status == "done" for o in first.outcomes)
    again, computed = run()
    assert computed == 0
    for one, other in zip(first.outcomes, again.outcomes, strict=True):
        np.testing.assert_array_equal(one.result.predicted.values, other.result.predicted.values)
    assert run(seeds=[0, 5])[1] == 2  # the two of seed 5
    assert run(noise={"teff": 10.0})[1] == 2
    assert run(methods={"linear": {"method": "made-up", "error": 2.0}})[1] == 2
    assert run(methods={"other name": {"method": "made-up"}})[1] == 0
    assert run(fresh=True)[1] == 2


def test_a_process_whose_parent_ended_before_it_began_ends(tmp_path):
    task = tmp_path / "task.json"
    task.write_text(json.dumps({"do": "wait"}))
    code = (
        "import time; from starnet.evaluate.bench import child; "
        "child.perform = lambda task: time.sleep(60); child.main(__import__('sys').argv[1])"
    )
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    own = {**os.environ, child.PARENT: str(gone.pid)}
    ended = subprocess.run([sys.executable, "-c", code, str(task)], env=own, timeout=50)
    assert ended.returncode == 1


def test_a_look_at_what_is_there_computes_nothing(run):
    nothing, _ = run(here=True)
    assert nothing.outcomes == ()
    assert len(nothing.notes) == 1
    assert "2 of 2 results are not there yet" in nothing.notes[0]
    run()
    some, computed = run(here=True, seeds=[0, 5])
    assert computed == 0
    assert len(some.done) == 2
    assert "2 of 4" in some.notes[-1]
    assert "seed5" in some.notes[-1]


def test_afresh_readers_are_trained_anew_too(run, tmp_path):
    old = tmp_path / "out" / "readers" / "of-before"
    run()
    old.mkdir()
    run()
    assert old.is_dir()
    run(fresh=True)
    assert not old.exists()


def test_results_of_other_code_are_told_of(run, monkeypatch):
    first, _ = run()
    assert first.notes == ()
    assert run()[0].notes == ()
    monkeypatch.setattr("starnet.evaluate.bench.run.code_digest", lambda: "other")
    (note,) = run()[0].notes
    assert note.startswith("2 of 2 results are of an earlier state")


def test_other_data_make_results_anew(run, tmp_path, labelled):
    from starnet.dataset import from_arrays

    run()
    spectra, labels = labelled(60, visits=2)
    flux = np.array(spectra.flux)
    flux[3, 5] += 0.01
    from_arrays(spectra.replace(flux=flux), labels, tmp_path / "other.zarr")
    assert run(data=tmp_path / "other.zarr")[1] == 2
    from_arrays(spectra, labels, tmp_path / "same.zarr")
    assert run(data=tmp_path / "same.zarr")[1] == 0


def test_a_corrupt_result_is_made_anew(run, tmp_path):
    first, _ = run()
    store = Store(tmp_path / "out" / "cells")
    path = store.path(first.outcomes[0].cell.key)
    data = bytearray(path.read_bytes())
    middle = len(data) // 3
    data[middle : middle + 40] = bytes(40)
    path.write_bytes(bytes(data))
    again, computed = run()
    assert computed == 1
    assert len(again.done) == 2
    path.write_bytes(b"")
    assert run()[1] == 1
    (tmp_path / "x.parquet").write_text("something else")
    with pytest.raises(DataError, match="is damaged"):
        read_result(tmp_path / "x.parquet")


def test_a_failing_method_is_recorded_and_the_rest_goes_on(run, tmp_path):
    methods = {"bad": {"method": "made-up", "fails": True}, "linear": {"method": "made-up"}}
    found, computed = run(methods=methods)
    assert computed == 4
    assert [o.cell.method for o in found.failed] == ["bad", "bad"]
    assert {o.reason for o in found.failed} == {"The method made-up fails on purpose."}
    assert len(found.done) == 2
    assert run(methods=methods)[1] == 0  # known to fail
    assert run(methods=methods, retry=True)[1] == 2


def test_a_full_disk_is_no_failure_of_the_method_and_is_tried_again(run):
    methods = {"unlucky": {"method": "made-up", "disk": True}}
    found, _ = run(methods=methods)
    assert {o.status for o in found.failed} == {"killed"}
    assert run(methods=methods)[1] == 2


def test_a_folder_that_cannot_be_written_is_said(make, stars, tmp_path, monkeypatch):
    suite = make()

    def full(self, *_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Runner, "call", full)
    with pytest.raises(OutputError, match=r"No space left on device\. Free some space"):
        run_bench(suite, tmp_path / "out", data=stars)


def test_two_names_of_one_method_are_two_rows(run):
    methods = {"one": {"method": "made-up"}, "other": {"method": "made-up"}}
    found, _ = run(methods=methods)
    assert [o.cell.method for o in found.done] == ["one", "other", "one", "other"]


def test_an_empty_preprocessing_is_the_entrys_own(run):
    half = [{"transform": "SelectPixels", "ranges": [[0, 8]], "unit": "pixel"}]
    bare = {"method": "made-up", "preprocess": []}
    found, _ = run(methods={"bare": bare}, preprocess=half)
    plain, _ = run()
    for one, other in zip(found.outcomes, plain.outcomes, strict=True):
        np.testing.assert_array_equal(one.result.predicted.values, other.result.predicted.values)


def test_labels_besides_are_learnt_with_noise_and_not_compared(run, make, dataset):
    """logg is learnt besides teff: the answer to teff is that of both, and logg has no column."""
    methods = {"linear": {"method": "made-up"}, "more": {"method": "made-up", "also": ["logg"]}}
    changes = {"labels": ["teff"], "methods": methods, "noise": {"logg": 0.5}}
    found, _ = run(**changes)
    assert found.labels == ("teff",)
    assert {o.result.predicted.names for o in found.done} == {("teff",)}
    entry = make(**changes).methods["more"].to_dict()
    rows = np.arange(len(dataset))
    work = Work(dataset, dataset, entry, ("teff",), rows, rows, Pipeline(), noise={"logg": 0.5})
    known = learnt_labels(work)
    assert known.names == work.learnt == ("teff", "logg")
    off = known.column("logg") - dataset.labels.column("logg")
    assert 0.2 < np.std(off) < 0.8
    assert np.array_equal(known.column("teff"), dataset.labels.column("teff"))


def test_labels_besides_that_data_lack_leave_the_method_out(run):
    methods = {"linear": {"method": "made-up"}, "more": {"method": "made-up", "also": ["mg_fe"]}}
    found, _ = run(methods=methods)
    assert {o.cell.method for o in found.done} == {"linear"}
    assert [(e.method, e.reason) for e in found.left_out] == [
        ("more", "stars.zarr lacks mg_fe, which it also learns")
    ]


def test_methods_see_the_stars_of_their_side_alone(run, tmp_path):
    saw = tmp_path / "saw.txt"
    found, _ = run(methods={"spy": {"method": "made-up", "saw": str(saw)}})
    for line, outcome in zip(saw.read_text().splitlines(), found.outcomes, strict=True):
        tested = set(outcome.result.star.tolist())
        assert len(tested) == 30
        assert tested.isdisjoint(line.split())


def test_noise_is_on_what_is_learnt_and_not_on_the_truth(run, dataset):
    plain, _ = run()
    spoilt, _ = run(noise={"teff": 500.0})
    truth = np.concatenate([o.result.truth.column("teff") for o in spoilt.outcomes])
    assert set(truth) == set(dataset.labels.column("teff"))
    worse = [
        np.std(np.concatenate([(o.result.predicted.values - o.result.truth.values)[:, 0]
                               for o in r.outcomes]))
        for r in (plain, spoilt)
    ]  # fmt: skip
    assert worse[1] > 2 * worse[0]


def test_sizes_that_are_not_there_are_left_out(run):
    found, computed = run(sizes=[10, 30, 500])
    assert computed == 4
    assert sorted({o.cell.n_stars for o in found.outcomes}) == [10, 30]
    assert [(e.size, e.reason) for e in found.left_out] == [
        (500, "not so many stars to learn from")
    ]


def test_a_missing_label_is_left_out_with_a_note(run):
    found, _ = run(labels=["teff", "mg_fe"])
    assert found.labels == ("teff",)
    assert "mg_fe is left out" in found.notes[0]


def test_data_must_be_given_or_makeable(make, tmp_path, stars):
    with pytest.raises(ConfigError, match=r"--data FOLDER\. Look under a stone"):
        run_bench(make(), tmp_path / "out")
    with pytest.raises(DataError, match="does not exist"):
        run_bench(make(), tmp_path / "out", data=tmp_path / "no")
    with pytest.raises(ConfigError, match="no --training"):
        run_bench(make(), tmp_path / "out", data=stars, training=stars)


def test_a_result_survives_a_round_trip(run, tmp_path):
    result = run()[0].outcomes[0].result
    again = read_result(write_result(tmp_path / "r.parquet", result))
    np.testing.assert_array_equal(again.predicted.values, result.predicted.values)
    np.testing.assert_array_equal(again.predicted.errors, result.predicted.errors)
    np.testing.assert_array_equal(again.truth.values, result.truth.values)
    assert again.about == result.about
    assert np.array_equal(again.star, result.star)


@pytest.mark.slow
def test_processes_that_die_are_recorded_and_tried_again(run):
    methods = {
        "dies": {"method": "made-up", "dies": True},
        "linear": {"method": "made-up"},
    }
    found, _ = run(methods=methods, split={"test": 20}, isolate=True)
    (bad,), (good,) = found.failed, found.done
    assert bad.status == "killed"
    assert "SIGKILL; memory ran out, perhaps" in bad.reason
    about = good.result.about
    assert 0.01 < about["peak_gb"] < 4
    assert about["train_s"] > 0
    assert about["per_s"] > 0
    again, computed = run(methods={"dies": methods["dies"]}, split={"test": 20}, isolate=True)
    assert computed == 1
    assert not again.done


IDLE = """
import subprocess, sys, time
wait = [sys.executable, "-c", "import time; time.sleep(600)"]
open({note!r}, "w").write(str(subprocess.Popen(wait).pid))
time.sleep(600)
"""


def test_what_took_too_long_is_ended_and_tried_again_when_given_longer(
    make, stars, tmp_path, monkeypatch
):
    note = tmp_path / "pid"
    own = (sys.executable, "-S", "-c", IDLE.format(note=str(note)))
    monkeypatch.setattr("starnet.evaluate.bench.runner.CHILD", own)
    suite = make(split={"test": 20}, minutes=0.08)
    (bad,) = run_bench(suite, tmp_path / "out", data=stars).failed
    assert (bad.status, bad.reason) == ("late", "took longer than 0.08 minutes")
    _until(lambda: _ended(int(note.read_text())), 20)
    known = Store(tmp_path / "out" / "cells").read(bad.cell)
    for minutes, again in ((0.05, False), (0.08, False), (1.0, True), (0.0, True)):
        runner = Runner(replace(suite, minutes=minutes), tmp_path, 1, False, False, True, None)
        assert runner._again(known) is again


@pytest.mark.slow
def test_a_bench_that_was_interrupted_goes_on(make, stars, tmp_path, modules):
    suite = {
        "name": "try", "data": {"from": "files"}, "labels": ["teff", "logg"],
        "split": {"test": 20}, "modules": modules,
        "methods": {"quick": {"method": "made-up"},
                    "slow": {"method": "made-up", "waits": 600.0}},
    }  # fmt: skip
    path, out = tmp_path / "try.yaml", tmp_path / "out"
    path.write_text(json.dumps(suite))
    words = ["-c", "from starnet.cli import main; main()", "bench", path, "--data", stars]
    process = subprocess.Popen(
        [sys.executable, *map(str, words), "--out", str(out)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    _until(lambda: list(out.glob("cells/*.parquet")) and list(out.glob("logs/slow*.task.json")))
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 130, said
    assert "stopped" in said
    assert not list(out.glob("cells/*.failed.json"))
    found = run_bench(make(split={"test": 20}), out, data=stars, isolate=False)
    assert [o.cached for o in found.outcomes] == [True]


def _ended(pid):
    """Whether a process is gone, or only waits to be collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def _until(there, seconds=400):
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.1)
