import errno
from functools import partial
from io import StringIO

import numpy as np
import pytest
from astropy.table import Table
from rich.console import Console

from starnet.dataset import REASONS, LabelTable, build, open_dataset
from starnet.dataset.journal import Journal
from starnet.errors import ConfigError, DataError, GridError, LabelError, OutputError, ReadError
from starnet.spectra import Spectra

from .made_up import GRID, OTHER, label_table, made_up, names

run = partial(build, reader=made_up, progress=False, chunk_rows=4)


def dropped(report) -> set[tuple[str, str]]:
    table = report.dropped_table()
    return set(zip(table["name"].tolist(), table["reason"].tolist(), strict=True))


def test_spectra_and_labels_are_joined(tmp_path):
    report = run(names(15, 3), label_table(15), tmp_path / "d.zarr")
    assert (report.n_files, report.n_spectra, report.n_stars) == (45, 45, 15)
    assert report.matched_by == "star"
    assert not report.dropped
    data = open_dataset(report.path)
    number = data.read().flux[:, 0]
    assert number.tolist() == [10 * s + v for s in range(15) for v in range(3)]
    np.testing.assert_allclose(data.labels.column("teff"), 4000 + number // 10)
    assert np.asarray(data.meta["label_key"]).tolist() == data.stars.tolist()
    np.testing.assert_allclose(data.meta["snr"], number / 10)
    assert np.asarray(data.files["path"]).tolist() == names(15, 3)
    assert data.provenance["settings"]["reader"].endswith("made_up")


def test_everything_that_is_dropped_is_reported_with_its_reason(tmp_path):
    labels = label_table(12)
    labels["teff"][3], labels["logg"][3] = -9999, np.nan
    labels["teff"][4] = 9999  # one label missing: the spectrum stays
    files = [
        *names(5),
        *("broken-s0005_v0.fits", "crash-s0006_v0.fits", "masked-s0007_v0.fits"),
        *("vacuum-s0008_v0.fits", "observed-s0009_v0.fits", "erg-s0010_v0.fits"),
        *("copy-s0002_v0.fits", "s0999_v0.fits"),
    ]
    report = run(files, labels, tmp_path / "d.zarr")
    data = open_dataset(report.path)
    assert data.ids.tolist() == ["s0000_v0", "s0001_v0", "s0002_v0", "s0004_v0"]
    assert np.isnan(data.labels.values[3]).tolist() == [True, False]
    assert dropped(report) == {
        ("broken-s0005_v0.fits", "unreadable file"),
        ("crash-s0006_v0.fits", "unreadable file"),
        ("s0007_v0", "all pixels masked"),
        ("vacuum-s0008_v0.fits", "other grid"),
        ("observed-s0009_v0.fits", "other frame"),
        ("erg-s0010_v0.fits", "other flux unit"),
        ("s0002_v0", "duplicate id"),
        ("s0003_v0", "labels all missing"),
        ("s0999_v0", "no label row"),
        *((name, "label row without spectrum") for name in ("0005", "0006", "0008")),
        *((name, "label row without spectrum") for name in ("0009", "0010", "0011")),
    }
    assert set(report.dropped) <= set(REASONS)
    assert report.n_dropped == 9
    assert sum(report.dropped.values()) == 15
    details = dict(report.dropped_table()["name", "detail"].iterrows())
    assert "truncated" in details["broken-s0005_v0.fits"]
    assert details["crash-s0006_v0.fits"] == "ZeroDivisionError: a reader's own mistake"
    assert "vacuum" in details["vacuum-s0008_v0.fits"]


def test_the_report_prints_counts_and_where_the_list_is(tmp_path):
    report = run([*names(3), "s0007_v0.fits"], label_table(3), tmp_path / "d.zarr")
    console = Console(record=True, width=300, file=StringIO())
    report.show(console)
    text = console.export_text()
    assert "3 spectra of 3 stars" in text
    assert "dropped: no label row" in text
    assert "dropped.csv" in text


@pytest.mark.parametrize(
    ("column", "match"),
    [("{star}", "star"), ("s{star}_v1", "id"), ("s{star}_v1.fits", "file"), ("{number}", "star")],
)
def test_keys_may_name_stars_spectra_or_files(tmp_path, column, match):
    labels = label_table(9)
    keys = [column.format(star=f"{i:04d}", number=i) for i in range(9)]
    labels["key"] = keys
    files = [f"s{i:04d}_v1.fits" for i in range(9)]
    report = run(files, labels, tmp_path / "d.zarr", key="key")
    assert report.matched_by == match
    assert report.n_spectra == 9
    with pytest.raises(DataError, match=r"no label row: 9.*Keys of the label table look like"):
        run(files, labels, tmp_path / "e.zarr", key="key", match="id" if match != "id" else "star")
    assert not list(tmp_path.glob("e.zarr*"))


def test_a_match_that_was_found_is_kept_to(tmp_path):
    labels = Table({"star": ["0001", "s0002_v0"], "teff": [5000.0, 6000.0]})
    report = run(["s0001_v0.fits", "s0002_v0.fits"], labels, tmp_path / "d.zarr")
    assert report.matched_by == "star"
    assert report.dropped == {"no label row": 1, "label row without spectrum": 1}


def test_left_out_rows_of_the_label_table_are_reported(tmp_path):
    labels = label_table(3)
    labels.add_row(["0001", 9000.0, 1.0])
    labels.add_row([" ", 9000.0, 1.0])
    report = run(names(3), labels, tmp_path / "d.zarr", duplicates="first")
    assert report.dropped == {"no key": 1, "repeated label row": 1}
    assert open_dataset(report.path).labels.values[1, 0] == 4001
    with pytest.raises(LabelError, match="0001"):
        run(names(3), labels, tmp_path / "e.zarr")


def test_without_labels_every_spectrum_is_taken(tmp_path):
    report = run(names(5), None, tmp_path / "d.zarr")
    assert report.n_spectra == 5
    assert open_dataset(report.path).label_names == ()


def to_air(spectra: Spectra) -> Spectra:
    return spectra.replace(grid=GRID, frame="rest")


def fail_on_seven(spectra: Spectra) -> Spectra:
    if spectra.flux[0, 0] == 70:
        raise GridError("7 covers half of the grid only.")
    return spectra


def test_prepared_spectra_are_stored(tmp_path):
    files = [*names(3), "vacuum-s0003_v0.fits", "observed-s0004_v0.fits"]
    report = run(files, label_table(5), tmp_path / "d.zarr", prepare=to_air)
    assert report.n_spectra == 5
    report = run(names(9), label_table(9), tmp_path / "e.zarr", prepare=fail_on_seven)
    assert report.dropped["unreadable file"] == 1
    assert report.dropped_table()["detail"][0] == "7 covers half of the grid only."


def test_the_grid_may_be_named(tmp_path):
    files = ["vacuum-s0000_v0.fits", *names(3)[1:]]
    report = run(files, label_table(3), tmp_path / "d.zarr", grid=GRID)
    assert report.dropped == {"other grid": 1, "label row without spectrum": 1}
    report = run(files, label_table(3), tmp_path / "e.zarr")
    assert open_dataset(report.path).grid.matches(OTHER)
    assert report.dropped["other grid"] == 2


def test_a_first_file_that_is_dropped_does_not_choose_the_grid(tmp_path):
    files = ["vacuum-s0999_v0.fits", *names(3)]
    report = run(files, label_table(3), tmp_path / "d.zarr")
    assert report.dropped == {"no label row": 1}


def test_nothing_left_is_a_sentence_and_leaves_nothing(tmp_path):
    with pytest.raises(DataError, match=r"2 file\(s\).*unreadable file: 2.*ends after 12"):
        run(["broken-s0001_v0.fits", "broken-s0002_v0.fits"], label_table(3), tmp_path / "d.zarr")
    with pytest.raises(DataError, match="no spectrum files"):
        run([], label_table(3), tmp_path / "d.zarr")
    assert not list(tmp_path.iterdir())


def test_a_label_table_without_the_key_is_refused_before_anything_is_read(tmp_path):
    def unread(path):
        raise AssertionError("a file was read")

    with pytest.raises(LabelError, match="no column 'nome'"):
        run(names(2), label_table(2), tmp_path / "d.zarr", key="nome", reader=unread)
    with pytest.raises(ConfigError, match="match"):
        run(names(2), label_table(2), tmp_path / "d.zarr", match="name")  # type: ignore[arg-type]


class Stops:
    """A reader that is interrupted after some files, and remembers what it read."""

    def __init__(self, after: int, error: type[BaseException]) -> None:
        self.after, self.error, self.read = after, error, []

    def __call__(self, path: str) -> Spectra:
        if len(self.read) == self.after:
            raise self.error
        self.read.append(path)
        return made_up(path)


@pytest.mark.parametrize(
    ("after", "error"), [(1, KeyboardInterrupt), (29, MemoryError), (45, KeyboardInterrupt)]
)
def test_an_interrupted_build_goes_on_where_it_stopped(tmp_path, after, error):
    labels = label_table(15)
    labels["teff"][2] = labels["logg"][2] = np.nan
    files = [*names(15, 3), "broken-s0001_v7.fits", *names(17)[15:]]
    whole = run(files, labels, tmp_path / "whole.zarr", reader=Stops(99, error))
    out = tmp_path / "d.zarr"
    with pytest.raises(error):
        run(files, labels, out, reader=Stops(after, error))
    assert not out.exists()
    again = Stops(99, error)
    report = run(files, labels, out, reader=again)
    assert again.read == files[after:]
    assert report.resumed == after
    assert report.dropped == whole.dropped
    assert dropped(report) == dropped(whole)
    one, other = open_dataset(out), open_dataset(whole.path)
    assert np.array_equal(one.read().flux, other.read().flux)
    assert one.ids.tolist() == other.ids.tolist()
    assert np.array_equal(one.labels.values, other.labels.values)


@pytest.mark.parametrize("block", [0, 2])
def test_a_killed_build_reads_no_file_twice_into_the_data_set(tmp_path, monkeypatch, block):
    class Killed(BaseException):
        pass

    write, count = Journal.write, iter(range(99))

    def killed(self, record):
        if next(count) >= block:
            raise Killed
        write(self, record)

    out, files = tmp_path / "d.zarr", names(50)
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "write", killed)
        with pytest.raises(Killed):
            run(files, label_table(50), out)
    report = run(files, label_table(50), out)
    assert report.resumed == 16 * block
    assert report.dropped == {}
    assert open_dataset(out).read().flux[:, 0].tolist() == [10.0 * i for i in range(50)]


def test_resuming_with_other_labels_is_refused_and_can_start_afresh(tmp_path):
    out = tmp_path / "d.zarr"
    with pytest.raises(KeyboardInterrupt):
        run(names(30), label_table(30), out, reader=Stops(20, KeyboardInterrupt))
    with pytest.raises(ConfigError, match="label_table"):
        run(names(30), label_table(31), out, reader=Stops(99, KeyboardInterrupt))
    report = run(names(30), label_table(31), out, resume=False)
    assert report.n_spectra == 30
    assert report.resumed == 0


def test_a_full_disk_keeps_what_there_is(tmp_path, monkeypatch):
    out, count = tmp_path / "d.zarr", iter(range(99))
    write = Journal.write

    def full(self, record):
        if next(count) >= 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, record)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "write", full)
        with pytest.raises(OutputError, match="free some space and run the same command"):
            run(names(50), label_table(50), out)
    assert not out.exists()
    assert run(names(50), label_table(50), out).resumed == 16


def test_a_data_set_is_replaced_on_demand_only_and_before_reading(tmp_path):
    out = tmp_path / "d.zarr"
    run(names(3), label_table(3), out)
    with pytest.raises(OutputError, match="overwrite"):
        run(names(5), label_table(5), out, reader=None)
    assert run(names(5), label_table(5), out, overwrite=True).n_spectra == 5


@pytest.mark.slow
def test_several_workers_make_the_same_data_set(tmp_path):
    files = [*names(20, 2), "broken-s0001_v7.fits"]
    one = run(files, label_table(20), tmp_path / "one.zarr")
    two = run(files, label_table(20), tmp_path / "two.zarr", workers=2)
    assert two.dropped == one.dropped
    ids = [open_dataset(r.path).ids.tolist() for r in (one, two)]
    assert ids[0] == ids[1]
    assert len(ids[0]) == 40


def test_a_reader_that_no_process_can_get_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="workers=1"):
        run(names(2), None, tmp_path / "d.zarr", reader=lambda p: made_up(p), workers=2)


def test_progress_is_shown(tmp_path, capsys):
    run(names(3), label_table(3), tmp_path / "d.zarr", progress=True)
    assert "3 kept, 0 dropped" in capsys.readouterr().out


def test_real_spectra_of_miles(shared_data, tmp_path):
    bad = tmp_path / "MILES_res2.50_star_m0999V.fits"
    bad.write_bytes((shared_data / "miles/MILES_res2.50_star_m0001V.fits").read_bytes()[:9000])
    files = [*sorted((shared_data / "miles").glob("*V.fits"))[:30], bad]
    table = shared_data / "miles/MILES_params.db"
    report = build(
        files,
        table,
        tmp_path / "miles.zarr",
        key="MILES",
        label_names=("teff", "logg", "fe_h"),
        progress=False,
    )
    assert report.n_spectra + report.n_dropped == 31
    assert report.dropped["unreadable file"] == 1
    assert report.dropped["label row without spectrum"] >= 950
    data = open_dataset(report.path)
    assert data.grid.medium == "air"
    keys = LabelTable.read(table, "MILES", data.label_names)
    row = keys.row_of(data.ids[0])
    np.testing.assert_array_equal(data.labels.values[0], keys.labels.values[row])


def test_read_errors_of_the_reader_carry_their_sentence():
    with pytest.raises(ReadError, match="truncated"):
        made_up("broken-s0001_v0.fits")
