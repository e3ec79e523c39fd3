"""`starnet assess` on tables such as `starnet predict` writes."""

import re

import numpy as np
import pytest
from astropy.table import Table
from matplotlib.figure import Figure

from starnet.catalog import read_table, write_table
from starnet.cli import app
from starnet.errors import ConfigError, LabelError
from starnet.evaluate.tables import PredictionTable, match_truth
from starnet.spectra import Labels

N = 120


def call(*words):
    """Run `starnet assess` in this process; what it raises comes out."""
    app(["assess", *map(str, words)], standalone_mode=False)


@pytest.fixture
def tables(tmp_path):
    """Predictions of two visits of 60 stars, and their truth; six visits are flagged."""
    rng = np.random.default_rng(11)
    star = np.repeat([f"s{i:03d}" for i in range(N // 2)], 2)
    true = np.stack([rng.uniform(4000, 6500, N // 2), rng.uniform(1, 5, N // 2),
                     rng.uniform(-1.5, 0.3, N // 2)], axis=1)  # fmt: skip
    error = np.tile([50.0, 0.1, 0.05], (N, 1))
    found = np.repeat(true, 2, axis=0) + error * rng.standard_normal((N, 3))
    table = Labels(("teff", "logg", "fe_h"), found, error).to_table(
        id=[f"v{i}" for i in range(N)], star=star, snr=rng.uniform(20, 200, N)
    )
    for name in ("teff", "logg", "fe_h"):
        table[f"{name}_flag"] = np.zeros(N, dtype=np.int16)
    table["flag"] = np.zeros(N, dtype=np.int16)
    table["flag"][:6] = 16
    table["fe_h_flag"][10:14] = 2048
    truth = Labels(("teff", "logg", "fe_h"), true).to_table(star=star[::2])
    write_table(table, tmp_path / "labels.fits")
    write_table(truth, tmp_path / "truth.ecsv")
    return table, truth


@pytest.fixture
def few_figures(monkeypatch):
    """One empty figure instead of all: those have tests of their own."""

    def first(result):
        return {"coverage" if hasattr(result, "pit") else "ratio": Figure()}

    monkeypatch.setattr("starnet.evaluate.figures.assessment_figures", first)


def text_of(path):
    return re.sub(r"base64,[^\"]*", "", path.read_text())


def test_against_the_truth(tables, tmp_path, few_figures, capsys):
    out = tmp_path / "out" / "report.html"
    call(tmp_path / "labels.fits", "--truth", tmp_path / "truth.ecsv", "--out", out,
         "--figures", tmp_path / "figures", "--least", 10)  # fmt: skip
    numbers = read_table(out.with_suffix(".ecsv"))
    everything = numbers[numbers["by"] == "all"]
    assert dict(zip(everything["label"], everything["n"], strict=True)) == {
        "teff": 114, "logg": 114, "fe_h": 110,
    }  # fmt: skip
    assert np.all(np.abs(everything["coverage_68"] - 0.68) < 0.15)
    assert "6 flagged, 4 single labels flagged" in capsys.readouterr().out
    text = text_of(out)
    assert "by its column star" in text
    assert "predicted ones" in text
    assert (tmp_path / "figures" / "coverage.png").stat().st_size > 500
    config = out.with_name("report.html.config.yaml")
    again = tmp_path / "again.html"
    call(tmp_path / "labels.fits", "--config", config, "--out", again, "--strata", "true",
         "--flags", "keep", "--table", tmp_path / "t.csv")  # fmt: skip
    assert "go by the true ones" in text_of(again)
    assert read_table(tmp_path / "t.csv")["n"][0] == N


def test_repeats_take_the_errors_of_noise(tables, tmp_path, few_figures):
    table, _ = tables
    for name in ("teff", "logg", "fe_h"):
        table[f"{name}_err_noise"] = table[f"{name}_err"]
        if name != "logg":
            table[f"{name}_err"] = 10 * table[f"{name}_err"]
    del table["logg_err_noise"]
    write_table(table, tmp_path / "labels.parquet")
    out = tmp_path / "repeats.html"
    call(tmp_path / "labels.parquet", "--repeats", "--out", out, "--min-snr", 30)
    numbers = read_table(out.with_suffix(".ecsv"))
    everything = numbers[numbers["by"] == "all"]
    assert np.all(np.abs(everything["ratio"] - 1) < 4 * everything["ratio_err"])
    assert np.all(everything["ratio"] > 0.5)
    assert "does not keep them apart for log g:" in text_of(out)


def test_the_limit_comes_from_an_emulator_of_the_package(tables, tmp_path, few_figures):
    out = tmp_path / "limit.html"
    call(tmp_path / "labels.fits", "--truth", tmp_path / "truth.ecsv", "--out", out,
         "--emulator", "apogee", "--min-snr", 180)  # fmt: skip
    over = read_table(out.with_suffix(".ecsv"))["over_limit"]
    assert np.all(over[:3] > 1)


@pytest.mark.parametrize(
    ("change", "words", "error", "says"),
    [
        (None, (), ConfigError, "--truth TABLE .* or --repeats"),
        (None, ("--repeats", "--truth", "truth.ecsv"), ConfigError, "one of the two"),
        (None, ("--repeats", "--out", "r.pdf"), ConfigError, "end in .html"),
        (None, ("--repeats", "--labels", "teff,mg_fe"), LabelError, "has no label mg_fe; it has"),
        (None, ("--repeats", "--min-snr", "999"), LabelError, "Nothing is left"),
        (None, ("--repeats", "--instrument", "apogee"), ConfigError, "give --emulator"),
        (None, ("--truth", "other.csv"), LabelError, "No star of .* there is '.*' in .* --key"),
        (None, ("--truth", "nothing.csv"), LabelError, "none of the predicted labels"),
        (None, ("--truth", "absent.csv"), LabelError, "does not exist"),
        ("errors", ("--repeats",), LabelError, r"no errors .*starnet predict"),
        ("constant", ("--repeats",), LabelError, "no variance"),
        ("nan", ("--repeats",), LabelError, "no errors|no variance"),
        ("single", ("--repeats",), ValueError, "No star has two visits"),
        ("empty", ("--repeats",), LabelError, "no rows|cannot be read"),
        ("damaged", ("--repeats",), LabelError, "cannot be read"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_nothing_is_written(
    tables, tmp_path, monkeypatch, change, words, error, says
):
    monkeypatch.chdir(tmp_path)
    table, _ = tables
    Table({"star": ["x1", "x2"], "teff": [5000.0, 6000.0]}).write("other.csv")
    Table({"star": ["s001"], "colour": [1.0]}).write("nothing.csv")
    if change == "errors":
        table.remove_columns([f"{n}_err" for n in ("teff", "logg", "fe_h")])
    elif change == "constant":
        table["logg"][:] = table["logg"][0]
    elif change == "nan":
        for name in ("teff", "logg", "fe_h"):
            table[name] = np.nan * table[name]
    elif change == "single":
        table["star"] = table["id"]
    elif change == "empty":
        table = table[:0]
    if change:
        write_table(table, "labels.fits")
    if change == "damaged":
        (tmp_path / "labels.fits").write_bytes(b"SIMPLE  = nonsense")
    with pytest.raises(error, match=says):
        call("labels.fits", *words)
    assert not list(tmp_path.glob("*.html"))


def test_the_truth_is_found_by_star_id_or_file(tables, tmp_path):
    table, truth = tables
    read = PredictionTable.read(table)
    assert read.labels.names == ("teff", "logg", "fe_h")
    by_id = Table({"id": table["id"][::3], "[Fe/H]": np.linspace(-1, 0, N // 3)})
    found, key = match_truth(read, by_id)
    assert key == "id"
    assert np.isfinite(found.column("fe_h")).sum() == N // 3
    assert found.column("fe_h")[3] == by_id["[Fe/H]"][1]
    by_star, key = match_truth(read, truth)
    assert key == "star"
    assert np.array_equal(by_star.values[::2], by_star.values[1::2])


@pytest.mark.parametrize("what", ["predictions", "truth"])
def test_what_is_assessed_is_never_written_over(tables, tmp_path, what):
    write_table(tables[0], tmp_path / "labels.ecsv")
    names = {"predictions": "labels", "truth": "truth"}
    before = (tmp_path / f"{names[what]}.ecsv").read_bytes()
    with pytest.raises(ConfigError, match="would be written over"):
        call(tmp_path / "labels.ecsv", "--truth", tmp_path / "truth.ecsv",
             "--out", tmp_path / f"{names[what]}.html")  # fmt: skip
    assert (tmp_path / f"{names[what]}.ecsv").read_bytes() == before
