"""The runner: results are kept, and what fails does not stop the rest."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from starnet.errors import ConfigError, DataError
from starnet.evaluate.bench import run_bench
from starnet.evaluate.bench.cells import Store, read_result, write_result


@pytest.fixture
def run(make, stars, tmp_path):
    """Runs a suite within this process; gives the run, and how many cells were computed."""

    def go(*, out=tmp_path / "out", isolate=False, data=stars, retry=False, fresh=False, **changes):
        found = run_bench(
            make(**changes), out, data=data, isolate=isolate, retry=retry, fresh=fresh
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


def _until(there, seconds=400):
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.1)
