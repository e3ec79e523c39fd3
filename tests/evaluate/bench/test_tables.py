"""Numbers of the tables, against values that were worked out by hand; figures and report."""

import csv

import numpy as np
import pytest
from matplotlib.figure import Figure

from starnet.evaluate.bench import BenchRun, Cell, Outcome, Result, write_bench
from starnet.evaluate.bench.figures import bench_figures
from starnet.evaluate.bench.report import bench_page
from starnet.evaluate.bench.run import LeftOut
from starnet.evaluate.bench.tables import averaged, cells_table, pooled, scores_table
from starnet.spectra import Labels

COSTS = {"train_s": 2.0, "pretrain_s": 0.0, "per_s": 100.0, "per_s_errors": 50.0, "peak_gb": 0.5}


def outcome(method, fold, residual, *, size=0, seed=0, n=40, error=1.0, reason="", **costs):
    """A result whose residuals of teff are those given; logg is predicted exactly."""
    cell = Cell(method, fold, size, seed, n, {}, f"{method}{fold}{size}{seed}")
    if reason:
        return Outcome(cell, "failed", reason=reason)
    residual = np.asarray(residual, float)
    truth = np.column_stack(
        [4000.0 + 100 * np.arange(len(residual)), np.linspace(1, 4, len(residual))]
    )
    found = truth + np.column_stack([residual, np.zeros(len(residual))])
    errors = np.full(found.shape, error)
    names = ("teff", "logg")
    star = np.array([f"{fold}-{i}" for i in range(len(residual))])
    result = Result(
        Labels(names, found, errors), Labels(names, truth), star,
        np.linspace(20, 100, len(residual)), {**COSTS, **costs},
    )  # fmt: skip
    return Outcome(cell, "done", result)


@pytest.fixture
def bench(make):
    """A run of the suite with these outcomes."""

    def run(*outcomes, **more):
        methods = {o.cell.method: {"method": "made-up"} for o in outcomes}
        return BenchRun(make(methods=methods, **more), ("teff", "logg"), outcomes)

    return run


def all_stars(table, label="teff"):
    return [r for r in table if r["by"] == "all" and r["label"] == label]


def test_numbers_are_those_worked_out_by_hand(bench):
    run = bench(
        outcome("m", 0, [-2, -1, 0, 1], error=1.1),
        outcome("m", 1, [2, 3, 4, 100, np.nan], n=42, error=1.1),
    )
    (row,) = all_stars(scores_table(pooled(run), {}))
    # Residuals -2, -1, 0, 1, 2, 3, 4, 100: median 1.5; distances from it 3.5 2.5 1.5 .5 .5 1.5
    # 2.5 98.5, median 2; scatter 2 * 1.4826. Only 100 is farther than five of these.
    assert row["n"] == 8
    assert row["missing"] == pytest.approx(1 / 9)
    assert row["median"] == pytest.approx(1.5)
    assert row["scatter"] == pytest.approx(2 * 1.4826)
    assert row["tails"] == pytest.approx(1 / 8)
    # Errors are 1.1: -1, 0 and 1 lie within one of them; 4 and 100 beyond three.
    assert row["coverage_68"] == pytest.approx(3 / 8)
    assert row["beyond_3"] == pytest.approx(2 / 8)
    assert row["quoted"] == pytest.approx(1.1)
    truth = np.array([4000, 4100, 4200, 4300, 4000, 4100, 4200, 4300])
    squares = 4 + 1 + 0 + 1 + 4 + 9 + 16 + 10000
    assert row["r2"] == pytest.approx(1 - squares / np.sum((truth - truth.mean()) ** 2))
    assert row["n_train"] == pytest.approx(41)
    assert row["folds"] == "2 of 2"
    assert (row["train_s"], row["per_s"], row["peak_gb"]) == (2.0, 100.0, 0.5)


def test_a_fold_that_failed_is_seen_in_the_table(bench):
    run = bench(outcome("m", 0, np.arange(9.0)), outcome("m", 1, [], reason="no"))
    (row,) = all_stars(scores_table(pooled(run), {}))
    assert row["folds"] == "1 of 2"
    cells = cells_table(run)
    assert cells["status"].tolist() == ["done", "failed"]
    assert cells["reason"].tolist() == ["", "no"]


def test_seeds_are_averaged_after_each_was_judged(bench):
    one, other = np.array([-1.0, 0, 1, 2]), np.array([-3.0, 0, 3, 6])
    run = bench(outcome("m", 0, one), outcome("m", 0, other, seed=1))
    (row,) = all_stars(averaged(scores_table(pooled(run), {})))
    assert row["seeds"] == 2
    assert row["scatter"] == pytest.approx(1.4826 * (1 + 3) / 2)
    assert row["scatter_spread"] == pytest.approx(1.4826 * 2 / np.sqrt(2))


def test_strata_go_by_the_truth(bench, rng):
    residual = np.where(np.arange(60) < 30, 1.0, 10.0) * rng.standard_normal(60)
    table = scores_table(pooled(bench(outcome("m", 0, residual))), {"teff": (4000, 7000, 10000)})
    rows = [r for r in table if r["by"] == "teff" and r["label"] == "teff"]
    assert [r["n"] for r in rows] == [30, 30]
    assert rows[1]["scatter"] > 4 * rows[0]["scatter"]
    assert [r["n"] for r in table if r["by"] == "snr"] == []


def test_error_of_a_scatter_is_that_of_normal_samples(bench, rng):
    (row,) = all_stars(scores_table(pooled(bench(outcome("m", 0, rng.standard_normal(55)))), {}))
    assert row["scatter_err"] == pytest.approx(1.17 / np.sqrt(55), rel=0.5)


def run_of_three(bench, rng):
    outcomes = []
    for size in (100, 400):
        for i, method in enumerate(("one", "two")):
            residual = (i + 1) * 30 * (100 / size) ** 0.4 * rng.standard_normal(50)
            outcomes.append(outcome(method, 0, residual, size=size, n=size))
    outcomes.append(outcome("untrained", 0, 50 * rng.standard_normal(50), size=0, n=0, train_s=0.0))
    outcomes.append(outcome("bad", 0, [], reason="It <failed>."))
    run = bench(*outcomes)
    return BenchRun(run.suite, run.labels, run.outcomes, (LeftOut("two", 900, "too dear"),))


def test_figures_have_a_panel_for_each_method_and_label(bench, rng):
    run = run_of_three(bench, rng)
    some = pooled(run)
    drawn = bench_figures(run.labels, some, averaged(scores_table(some, {})))
    assert set(drawn) == {"learning_curves", "scatter", "one_to_one", "residuals_snr"}
    assert all(isinstance(figure, Figure) for figure in drawn.values())
    assert len(drawn["one_to_one"].axes) == 3 * 2
    curves = drawn["learning_curves"].axes[0]
    assert curves.get_xscale() == curves.get_yscale() == "log"
    stars = curves.containers[0].lines[0].get_xdata()
    assert list(stars) == [100, 400]
    assert bench_figures(run.labels, [], averaged(scores_table([], {}))) == {}


def test_everything_is_written(bench, rng, tmp_path):
    run = run_of_three(bench, rng)
    tables = write_bench(run, tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "It &lt;failed&gt;." in page
    assert "too dear" in page
    assert page.count("<img") == 4
    assert len(list((tmp_path / "figures").glob("*.png"))) == 4
    with (tmp_path / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(tables.scores)
    found = next(r for r in rows if r["method"] == "one" and r["size"] == "400")
    assert float(found["n_train"]) == 400
    assert bench_page(run, tables, {}).html().count("<img") == 0
