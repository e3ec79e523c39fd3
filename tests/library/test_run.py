"""Making libraries: the same spectra however the work is cut, and nothing lost on the way."""

import json
import logging

import numpy as np
import pytest

from starnet.dataset import open_dataset
from starnet.errors import (
    ConfigError,
    DataError,
    GridError,
    LabelError,
    MissingDependencyError,
    OutputError,
)
from starnet.library import LibraryPlan, made_before, make_library, shards_path
from starnet.library.progress import LibraryProgress, duration
from starnet.library.shard import read_shard
from tests.library.fake_engine import NAME

LABELS = {"teff": [4000, 6000], "logg": [1, 5], "fe_h": [-1, 0.5], "mg_fe": [-0.3, 0.5],
          "vsini": [0, 20]}  # fmt: skip
GENERIC = {"resolution": 8000, "start": 5150, "stop": 5200}


def a_plan(engine=(), **changes):
    base = {
        "name": "toy",
        "seed": 5,
        "engine": {"name": NAME, **dict(engine)},
        "sampler": {"sampler": "sobol", "labels": LABELS, "single": 0.25},
        "instrument": GENERIC,
        "n": 20,
        "batch": 4,
    }
    return LibraryPlan.from_dict({**base, **changes})


def make(plan, out, **settings):
    return make_library(plan, out, **{"workers": 1, "progress": False, **settings})


@pytest.fixture
def out(tmp_path):
    return tmp_path / "toy.zarr"


def contents(path):
    data = open_dataset(path)
    spectra = data.read()
    return data.ids.tolist(), data.labels.values, spectra.flux, spectra.ivar, spectra.mask


def same(one, other):
    return one[0] == other[0] and all(
        np.array_equal(a, b) for a, b in zip(one[1:], other[1:], strict=True)
    )


def test_a_library_is_a_data_set_with_labels_and_provenance(out):
    plan = a_plan()
    report = make(plan, out, shard_size=8)
    assert (report.n_stars, report.n_spectra, report.failed, report.resumed) == (20, 20, (), 0)
    data = open_dataset(out)
    assert data.ids.tolist() == [f"toy-{i:07d}" for i in range(20)]
    assert data.label_names == plan.sampler.names
    assert np.array_equal(data.labels.values, plan.sampler.draw(20).values)
    assert (data.frame, len(data.dropped)) == ("rest", 0)
    past = data.provenance
    assert LibraryPlan.from_dict(past["plan"]) == plan
    assert (past["engine"]["engine"], past["seed"]) == ("fake", 5)
    spectra = data.read()
    assert data.grid.matches(plan.recorder.grid)
    assert spectra.flux.max() == pytest.approx(1, abs=1e-4)
    assert spectra.flux.min(axis=1).max() < 0.95
    assert not spectra.ivar.any()  # noiseless: the error is unknown
    assert not shards_path(out).exists()


def test_stars_are_the_same_however_the_work_is_cut(out, tmp_path):
    observed = {"observer": {"snr": [50, 100]}, "visits": 2}
    first = make(a_plan(**observed), out, shard_size=20)
    assert (first.n_stars, first.n_spectra) == (20, 40)
    other = tmp_path / "other.zarr"
    make(a_plan(**observed, batch=3), other, shard_size=7, keep_shards=True)
    one, two = contents(out), contents(other)
    data = open_dataset(out)
    assert len(set(one[0])) == 40
    assert len(set(data.stars.tolist())) == 20
    order = np.argsort(one[0]), np.argsort(two[0])
    assert sorted(one[0]) == sorted(two[0])
    for a, b in zip(one[1:], two[1:], strict=True):
        assert np.allclose(a[order[0]], b[order[1]], rtol=1e-5, equal_nan=True)
    visits = {name: i for i, name in enumerate(one[0])}
    pair = [visits["toy-0000003-v0"], visits["toy-0000003-v1"]]
    assert np.array_equal(one[1][pair[0]], one[1][pair[1]])
    assert not np.array_equal(one[2][pair[0]], one[2][pair[1]])
    assert (np.asarray(data.meta["snr"]) > 20).all()
    larger = make(a_plan(**observed, n=28), other, overwrite=True)
    assert larger.resumed == 14  # two whole shards of 7; the last one had 6
    assert contents(other)[0][:28] == two[0][:28]


def test_processes_make_the_same(out, tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    make(a_plan(), out)
    report = make(a_plan(), tmp_path / "p.zarr", workers=2, shard_size=5)
    assert report.rate > 0
    assert same(contents(out), contents(tmp_path / "p.zarr"))


def test_stars_that_fail_are_named_and_left_out(out):
    report = make(a_plan({"fail_above": 5500, "nan_above": 5000}), out, shard_size=10)
    teff = a_plan().sampler.draw(20).column("teff")
    assert len(report.failed) == np.sum(teff > 5000)
    assert report.n_stars == np.sum(teff <= 5000)
    expected = [f"toy-{i:07d}" for i in np.flatnonzero(teff > 5000)]
    assert [name for name, _ in report.failed] == expected
    reasons = {why for _, why in report.failed}
    assert any("no convergence" in why for why in reasons)
    assert any("finite" in why for why in reasons)
    data = open_dataset(out)
    assert sorted(data.dropped["name"]) == expected
    assert np.array_equal(data.labels.column("teff"), teff[teff <= 5000])


def test_an_engine_that_fails_on_everything_stops_the_run_and_nothing_is_lost(out):
    with pytest.raises(DataError, match=r"All 10 stars from toy-0000000 .* no convergence"):
        make(a_plan({"fail_above": 0}), out, shard_size=10)
    assert not out.exists()
    with pytest.raises(DataError, match=r"all 2 stars failed, .*no convergence"):
        make(a_plan({"fail_above": 0}, n=2), out.with_name("b.zarr"))


def test_only_stars_that_the_engine_can_make_are_drawn(out):
    make(a_plan({"hottest": 5000}), out)
    labels = open_dataset(out).labels
    assert len(labels) == 20
    assert labels.column("teff").max() <= 5000
    with pytest.raises(LabelError, match="0 lie where they can be made"):
        make(a_plan({"hottest": 3000}), out.with_name("b.zarr"))


def stopped(plan, out, after, monkeypatch, error=KeyboardInterrupt, **settings):
    """A run that is stopped after some shards."""
    import starnet.library.run as module

    real, calls = module.make_shard, []

    def until(task, tick=None):
        if len(calls) == after:
            raise error
        calls.append(task.start)
        return real(task, tick)

    monkeypatch.setattr(module, "make_shard", until)
    with pytest.raises(error):
        make(plan, out, **settings)
    monkeypatch.setattr(module, "make_shard", real)


def test_an_interrupted_run_goes_on_where_it_stopped(out, tmp_path, monkeypatch):
    stopped(a_plan(), out, 2, monkeypatch, shard_size=6)
    assert not out.exists()
    assert made_before(out) == 12
    report = make(a_plan(), out)  # the shard size is that of before
    assert (report.resumed, report.remade) == (12, ())
    make(a_plan(), tmp_path / "whole.zarr")
    assert same(contents(out), contents(tmp_path / "whole.zarr"))


DAMAGE = {
    "cut short": lambda data: data[: len(data) // 2],
    "changed": lambda data: data[:3000] + bytes(8) + data[3008:],
    "empty": lambda data: b"",
    "foreign": lambda data: b"SIMPLE  =                    T",
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_shard_is_named_and_made_again(out, monkeypatch, caplog, kind):
    stopped(a_plan(), out, 2, monkeypatch, shard_size=6)
    path = shards_path(out) / "stars-0000006-0000012.npz"
    path.write_bytes(DAMAGE[kind](path.read_bytes()))
    with pytest.raises(DataError, match=r"stars-0000006-0000012\.npz is damaged"):
        read_shard(path)
    (shards_path(out) / ".stars-0000012-0000018.partial.npz").write_bytes(b"half")
    with caplog.at_level(logging.WARNING):
        report = make(a_plan(), out, keep_shards=True)
    assert report.remade == (path.name,)
    assert report.resumed == 6
    assert path.name in caplog.text
    assert len(open_dataset(out)) == 20
    assert not list(shards_path(out).glob(".*"))


def test_another_plan_is_refused_and_can_start_afresh(out, monkeypatch):
    stopped(a_plan(), out, 1, monkeypatch, shard_size=6)
    other = a_plan(seed=6)
    with pytest.raises(ConfigError, match=r"another plan \(it differs in sampler\).*--no-resume"):
        make(other, out)
    report = make(other, out, resume=False)
    assert report.resumed == 0
    assert np.array_equal(open_dataset(out).labels.values, other.sampler.draw(20).values)


def test_shards_of_other_stars_or_inputs_are_not_mixed_in(out, monkeypatch, tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("teff,logg,fe_h\n5000,3,0\n")
    plan = a_plan(sampler={"sampler": "table", "path": str(table)})
    stopped(plan, out, 1, monkeypatch, shard_size=6)
    table.write_text("teff,logg,fe_h\n4500,3,0\n")
    again = a_plan(sampler={"sampler": "table", "path": str(table)})
    assert make(again, out).remade == ("stars-0000000-0000006.npz",)

    other = tmp_path / "b.zarr"
    stopped(a_plan(), other, 1, monkeypatch, shard_size=6)
    from tests.library.fake_engine import Fake

    monkeypatch.setattr(Fake, "describe", lambda self: {"engine": "fake", "version": 99})
    with pytest.raises(DataError, match="different versions or inputs"):
        make(a_plan(), other)
    assert not other.exists()
    assert made_before(other) == 20


@pytest.mark.parametrize(
    ("plan", "settings", "error", "message"),
    [
        ({"instrument": "apogee"}, {}, GridError, "too coarse"),
        ({}, {"workers": 0}, ConfigError, "workers must be"),
        ({}, {"shard_size": 0}, ConfigError, "shard_size must be"),
        ({"engine": {"name": "none"}}, {}, ConfigError, "no engine 'none'"),
        ({"engine": {"name": "no.such.module:x"}}, {}, ConfigError, "cannot be opened"),
        ({"engine": {"name": NAME, "colour": 1}}, {}, ConfigError, "does not take"),
        ({"engine": {"name": NAME, "version": 0}}, {}, ConfigError, "version must be 1"),
        ({"instrument": {"resolution": 900, "start": 1000, "stop": 1100}}, {}, GridError, "2000 A"),
        ({"sampler": {"sampler": "sobol", "labels": {**LABELS, "xy_fe": 0}}}, {}, LabelError,
         "no meaning"),
    ],
)  # fmt: skip
def test_what_cannot_be_made_is_said_before_anything_is_written(
    out, plan, settings, error, message
):
    with pytest.raises(error, match=message):
        make(a_plan(**plan), out, **settings)
    assert list(out.parent.iterdir()) == []


def test_what_is_in_the_way_is_left_alone(out):
    out.mkdir()
    with pytest.raises(OutputError, match="is not a data set"):
        make(a_plan(), out)
    out.rmdir()
    shards_path(out).mkdir()
    (shards_path(out) / "thesis.txt").write_text("mine")
    for resume in (True, False):
        with pytest.raises(OutputError, match="in the way"):
            make(a_plan(), out, resume=resume)
    assert (shards_path(out) / "thesis.txt").read_text() == "mine"


def test_a_data_set_is_replaced_only_if_asked(out):
    make(a_plan(n=5), out)
    with pytest.raises(OutputError, match="--overwrite"):
        make(a_plan(), out)
    make(a_plan(), out, overwrite=True)
    assert len(open_dataset(out)) == 20


def test_a_worker_that_dies_is_one_sentence_and_the_rest_is_kept(out):
    plan = a_plan({"die_above": 5900}, n=64)
    with pytest.raises(DataError, match="A worker that was making spectra died"):
        make(plan, out, workers=2, shard_size=4)
    done = made_before(out)
    assert all(read_shard(p) for p in shards_path(out).glob("stars-*.npz"))
    report = make(a_plan(n=60), out.with_name("x.zarr"))
    assert (done % 4, report.n_stars) == (0, 60)


def test_absolute_flux_and_wide_instruments(out):
    make(a_plan(absolute=True, instrument={"resolution": 500, "start": 5000, "stop": 5400}), out)
    data = open_dataset(out)
    assert data.flux_unit == "erg s-1 cm-2 Angstrom-1"
    assert np.median(data.read().flux) == pytest.approx(2.0, rel=0.05)


def test_the_same_call_on_a_dask_cluster(out, tmp_path):
    pytest.importorskip("distributed")
    from distributed import LocalCluster

    make(a_plan(), out)
    with LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
    ) as cluster:
        make(a_plan(), tmp_path / "d.zarr", dask=cluster.scheduler_address, shard_size=5)
        assert same(contents(out), contents(tmp_path / "d.zarr"))
        broken = a_plan({"fail_above": 0})
        with pytest.raises(DataError, match="All 10 stars"):
            make(broken, tmp_path / "e.zarr", dask=cluster.scheduler_address, shard_size=10)
    with pytest.raises(ConfigError, match="no scheduler file"):
        make(a_plan(), tmp_path / "f.zarr", dask="nowhere.json", shard_size=5)


def test_without_dask_the_remedy_is_named(out, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(MissingDependencyError, match=r"starnet\[dask\]"):
        make(a_plan(), out, dask="local")


def test_progress_tells_rate_and_time_left(monkeypatch, capsys):
    import starnet.library.progress as module

    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    bar = LibraryProgress(True, 1000, 400, visits=2)
    with bar:
        now[0] = 100.0
        bar.add(100)
    assert bar.rate == 2.0
    assert "500/1000 stars  2 spectra/s  8 min left" in capsys.readouterr().err
    assert [duration(s) for s in (45, 720, 12000)] == ["45 s", "12 min", "3 h 20 min"]


def test_the_state_is_readable(out, monkeypatch):
    stopped(a_plan(), out, 1, monkeypatch, shard_size=6)
    state = shards_path(out) / "library.json"
    assert json.loads(state.read_text())["shard_size"] == 6
    state.write_text("{")
    with pytest.raises(ConfigError, match=r"library\.json is damaged"):
        make(a_plan(), out)
