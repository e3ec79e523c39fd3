import errno

import numpy as np
import pytest
from astropy.table import Table

from starnet.dataset import DatasetWriter, from_arrays, open_dataset, writer
from starnet.dataset.journal import Journal, JournalState, joint_kind, kind_of
from starnet.errors import (
    ConfigError,
    DataError,
    FrameError,
    GridError,
    LabelError,
    OutputError,
)
from starnet.spectra import Labels, LineSpread, Spectra, WavelengthGrid

GRID = WavelengthGrid.linear(
    5000.0, 1.0, 20, "vacuum", chips=((0, 8), (10, 20)), lsf=LineSpread(fwhm=np.full(20, 2.5))
)


def batch(start: int, n: int, **meta) -> tuple[Spectra, Labels]:
    rows = np.arange(start, start + n)
    flux = np.repeat(rows[:, None].astype("f4"), 20, axis=1)
    table = Table({"id": [f"v{i}" for i in rows], "star": [f"s{i // 2}" for i in rows], **meta})
    spectra = Spectra(GRID, flux, np.ones_like(flux), frame="observed", meta=table)
    return spectra, Labels(("teff",), 4000.0 + rows[:, None], np.full((n, 1), 50.0))


def start(path, **kw) -> DatasetWriter:
    return DatasetWriter(
        path, grid=GRID, frame="observed", label_names=("teff",), chunk_rows=4, **kw
    )


def fill(path, rows, error: type[BaseException] | None = None, **kw) -> None:
    """Append rows one by one, then end well or with an error."""
    with start(path, **kw) as writing:
        for i in rows:
            writing.append(*batch(i, 1))
        if error is not None:
            raise error


def test_batches_of_any_size_come_back_in_order(tmp_path):
    with start(tmp_path / "d.zarr", provenance={"engine": "test"}) as writing:
        first = 0
        for n in (1, 3, 40, 2, 7, 16):
            writing.append(*batch(first, n))
            first += n
            assert len(writing) == first
    data = open_dataset(tmp_path / "d.zarr")
    assert data.read().flux[:, 0].tolist() == list(range(69))
    assert data.labels.values[:, 0].tolist() == [4000 + i for i in range(69)]
    assert data.labels.errors[68, 0] == 50
    assert data.frame == "observed"
    assert data.grid.chips == GRID.chips
    assert GRID.lsf is not None
    assert GRID.lsf.matches(data.grid.lsf)
    assert data.provenance["engine"] == "test"
    assert not (tmp_path / "d.zarr.partial").exists()
    assert not (tmp_path / "d.zarr" / "journal.jsonl").exists()


def test_columns_of_every_kind_survive_and_gaps_are_filled(tmp_path):
    big = 6904703228801028865
    given = {
        "snr": [10.5, np.nan],
        "field": ["M67", "größer"],
        "mjd": [55000, 55001],
        "source_id": [big, big + 1],
        "good": [True, False],
        "a/b": [1.0, 2.0],
        "a_b": [3.0, 4.0],
        "vector": [[1, 2], [3, 4]],
    }
    with start(tmp_path / "d.zarr") as writing:
        for k in range(9):  # several blocks
            writing.append(*batch(2 * k, 2, **given))
    meta = open_dataset(tmp_path / "d.zarr").meta
    for name in ("field", "mjd", "source_id", "good", "a/b", "a_b"):
        assert np.asarray(meta[name])[-2:].tolist() == given[name]
    assert np.isnan(meta["snr"][1])
    assert "vector" not in meta.colnames
    with start(tmp_path / "gaps.zarr") as writing:
        writing.append(*batch(0, 20, mjd=np.arange(20), good=[True] * 20))
        writing.append(*batch(20, 20, field=["x"] * 20, good=["yes"] * 20))
    meta = open_dataset(tmp_path / "gaps.zarr").meta
    assert np.isnan(meta["mjd"][20])
    assert meta["field"][0] == ""
    assert np.asarray(meta["good"])[[0, 20]].tolist() == ["True", "yes"]


def test_units_of_columns_are_kept(tmp_path):
    spectra, labels = batch(0, 2, rv=[1.0, 2.0])
    spectra.meta["rv"].unit = "km/s"
    from_arrays(spectra, labels, tmp_path / "d.zarr")
    assert str(open_dataset(tmp_path / "d.zarr").meta["rv"].unit) == "km / s"


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 2], "int"),
        ([1, None], "float"),
        ([1, 2.5], "float"),
        ([2**60], "big"),
        ([2**60, None], "str"),
        (["a", None], "str"),
        ([True], "bool"),
        ([], "missing"),
    ],
)
def test_kinds_hold_every_value(values, kind):
    assert kind_of(values) == kind
    assert joint_kind(kind, kind) == kind


def wrong(**changes):
    spectra, labels = batch(0, 2)
    return spectra.replace(**changes), labels


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        (lambda: wrong(grid=GRID.to_air()), GridError, "Resample"),
        (lambda: wrong(frame="rest"), FrameError, "observed frame is needed"),
        (lambda: wrong(flux_unit="erg"), DataError, "received erg"),
        (lambda: (batch(0, 2)[0], None), LabelError, "received 0"),
        (lambda: (batch(0, 2)[0], batch(0, 3)[1]), LabelError, "received 3"),
        (lambda: wrong(meta=Table({"id": ["a", "a"]})), DataError, r"\(a\)"),
        (lambda: batch(9, 2), DataError, r"\(v9\)"),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(tmp_path, given, error, text):
    with start(tmp_path / "d.zarr") as writing:
        writing.append(*batch(9, 1))
        with pytest.raises(error, match=text):
            writing.append(*given())
    assert len(open_dataset(tmp_path / "d.zarr")) == 1


def test_an_empty_data_set_is_refused(tmp_path):
    with pytest.raises(DataError, match="no spectrum"), start(tmp_path / "d.zarr"):
        pass
    assert not (tmp_path / "d.zarr").exists()


@pytest.mark.parametrize(
    ("stop", "kind"), [(1, RuntimeError), (16, KeyboardInterrupt), (38, RuntimeError)]
)
def test_an_interrupted_writer_goes_on(tmp_path, stop, kind):
    out = tmp_path / "d.zarr"
    with pytest.raises(kind):
        fill(out, range(stop), kind)
    assert not out.exists()
    with start(out, resume=True) as writing:
        assert len(writing) == stop
        for i in range(stop, 40):
            writing.append(*batch(i, 1))
    assert open_dataset(out).read().flux[:, 0].tolist() == list(range(40))


def test_a_killed_writer_goes_on_after_its_last_whole_block(tmp_path):
    out = tmp_path / "d.zarr"
    writing = start(out)
    for i in range(40):
        writing.append(*batch(i, 1))
    del writing  # killed: nothing is flushed; blocks are of 16
    journal = tmp_path / "d.zarr.partial" / "journal.jsonl"
    with journal.open("a") as stream:
        stream.write('{"rows":48,"colum')  # and it was killed while writing a line
    with start(out, resume=True) as writing:
        assert len(writing) == 32
        for i in range(32, 45):
            writing.append(*batch(i, 1))
    data = open_dataset(out)
    assert data.read().flux[:, 0].tolist() == list(range(45))
    assert data.ids.tolist() == [f"v{i}" for i in range(45)]


def test_a_writer_that_was_killed_between_pixels_and_journal_loses_nothing(tmp_path, monkeypatch):
    out = tmp_path / "d.zarr"
    writing = start(out)
    for i in range(18):
        writing.append(*batch(i, 1))

    def killed(self, record):
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "write", killed)
        with pytest.raises(SystemExit):
            writing.flush()  # rows 16 and 17 are in the arrays, and the journal does not know
    with start(out, resume=True) as writing:
        assert len(writing) == 16
        writing.append(*batch(100, 3))
    assert open_dataset(out).read().flux[:, 0].tolist() == [*range(16), 100, 101, 102]


def test_without_resume_a_build_starts_afresh(tmp_path):
    out = tmp_path / "d.zarr"
    start(out).append(*batch(0, 20))
    with start(out) as writing:
        writing.append(*batch(5, 2))
    assert open_dataset(out).ids.tolist() == ["v5", "v6"]


def test_resuming_with_other_settings_is_refused(tmp_path):
    out = tmp_path / "d.zarr"
    start(out, settings={"cut": 1}).append(*batch(0, 20))
    with pytest.raises(ConfigError, match=r"cut: 1 before, 2 now.*resume=False"):
        start(out, settings={"cut": 2}, resume=True)


def test_nothing_is_replaced_by_accident(tmp_path):
    out = from_arrays(*batch(0, 2), tmp_path / "d.zarr")
    with pytest.raises(OutputError, match="overwrite=True"):
        from_arrays(*batch(5, 3), out)
    assert len(open_dataset(out)) == 2
    from_arrays(*batch(5, 3), out, overwrite=True)
    assert open_dataset(out).ids.tolist() == ["v5", "v6", "v7"]
    precious = tmp_path / "thesis"
    precious.mkdir()
    (precious / "chapter.tex").write_text("words")
    with pytest.raises(OutputError, match="not a data set; it will not be replaced"):
        from_arrays(*batch(0, 2), precious, overwrite=True)
    precious.rename(tmp_path / "new.zarr.partial")
    with pytest.raises(OutputError, match="in the way"):
        from_arrays(*batch(0, 2), tmp_path / "new.zarr")
    assert (tmp_path / "new.zarr.partial" / "chapter.tex").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d.zarr", "new.zarr.partial"]


def test_an_overwrite_that_fails_leaves_the_old_data_set(tmp_path):
    out = from_arrays(*batch(0, 2), tmp_path / "d.zarr")
    with pytest.raises(RuntimeError):
        fill(out, range(5, 35), RuntimeError, overwrite=True)
    assert open_dataset(out).ids.tolist() == ["v0", "v1"]


def full_disk(monkeypatch, after: int) -> None:
    """Writes fail after a number of chunks, as they do when the disk is full."""
    from zarr.storage import _local

    put, count = _local._put, iter(range(10**6))

    def failing(path, *args, **kw):
        if next(count) >= after:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return put(path, *args, **kw)

    monkeypatch.setattr(_local, "_put", failing)


@pytest.mark.parametrize("after", [0, 3, 10, 25])
def test_a_full_disk_is_a_sentence_and_can_be_resumed(tmp_path, monkeypatch, after):
    out = tmp_path / "d.zarr"
    with monkeypatch.context() as patch:
        full_disk(patch, after)
        with pytest.raises(OutputError, match=r"disk is full.*d.zarr.partial"):
            fill(out, range(40))
    assert not out.exists()
    with start(out, resume=True) as writing:
        for i in range(len(writing), 40):
            writing.append(*batch(i, 1))
    assert open_dataset(out).read().flux[:, 0].tolist() == list(range(40))


def test_a_disk_that_fills_up_at_the_very_end_leaves_no_half_of_a_store(tmp_path, monkeypatch):
    out = tmp_path / "d.zarr"

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(writer, "write_columns", full)
        with pytest.raises(OutputError, match="disk is full"), start(out) as writing:
            writing.append(*batch(0, 5))
    assert not out.exists()
    with start(out, resume=True) as writing:
        assert len(writing) == 5
    assert len(open_dataset(out)) == 5


def test_an_unwritable_output_is_a_sentence(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot be written.*Choose another output"):
        start(tmp_path / "file" / "d.zarr")

    def refused(*args, **kw):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("pathlib.Path.mkdir", refused)
    with pytest.raises(OutputError, match="Permission denied"):
        start(tmp_path / "locked" / "d.zarr")


def test_the_journal_survives_a_last_line_that_was_cut(tmp_path):
    journal = Journal(tmp_path / "j")
    record = {"rows": 1, "columns": {"id": ["a"]}, "units": {}, "files": [], "dropped": []}
    journal.write(record)
    with journal.path.open("a") as stream:
        stream.write('{"rows": 2')
    assert [line["rows"] for line in journal] == [1]
    journal.repair()
    journal.write({**record, "rows": 2, "columns": {"id": ["b"]}})
    state = JournalState()
    for line in journal:
        state.add(line)
    assert state.ids == {"a", "b"}
    assert state.n_rows == 2
