from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

from starnet.catalog import label_dataset, make_catalog, read_table
from starnet.dataset import from_arrays
from starnet.errors import GridError, OutputError, ReadError
from starnet.inference import LabelFlag, Predictor


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "spectra"
    folder.mkdir()
    for i in range(10):
        (folder / f"star{i}.fits").write_text("read by the fixture below")
    return folder


@pytest.fixture
def reader(toy_spectra):
    """Reads star0 to star9; 3 is corrupt, 5 is on another grid, 7 raises what no reader should."""

    def read(path: Path):
        i = int(path.stem[-1])
        if i == 3:
            raise ReadError(f"{path.name} is truncated.")
        if i == 7:
            raise ValueError("surprise")
        meta = Table({"id": [path.stem], "star": [f"s{i}"], "file": [path.name]})
        one = toy_spectra[i % 6].replace(meta=meta)
        return one.select_pixels(slice(0, 150)) if i == 5 else one

    return read


@pytest.mark.parametrize("part_size", [1, 4, 100])
def test_one_bad_file_never_stops_the_others(toy_model, folder, reader, tmp_path, part_size):
    out = tmp_path / "labels.ecsv"
    report = make_catalog(Predictor(toy_model), folder, out, reader=reader, part_size=part_size)
    table = read_table(out)
    assert [Path(name).name for name in table["file"]] == [f"star{i}.fits" for i in range(10)]
    failed = (np.asarray(table["flag"]) & LabelFlag.FAILED) > 0
    assert np.flatnonzero(failed).tolist() == [3, 5, 7]
    assert np.array_equal(np.isnan(table["teff"].value), failed)
    assert "truncated" in table["message"][3]
    assert "reads spectra on" in table["message"][5]
    assert "surprise" in table["message"][7]
    assert (report.n_files, report.n_spectra, report.n_failed) == (10, 10, 3)
    assert [file for file, _ in report.failures] == [
        str(folder / name) for name in ("star3.fits", "star5.fits", "star7.fits")
    ]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["labels.ecsv", "spectra"]


def test_an_interrupted_run_goes_on_where_it_was(toy_model, folder, reader, tmp_path):
    out, seen = tmp_path / "labels.fits", []

    def interrupted(path):
        seen.append(path.name)
        if len(seen) == 7:
            raise KeyboardInterrupt
        return reader(path)

    predictor = Predictor(toy_model)
    with pytest.raises(KeyboardInterrupt):
        make_catalog(predictor, folder, out, reader=interrupted, part_size=2)
    assert not out.exists()
    seen.clear()
    make_catalog(predictor, folder, out, reader=lambda p: (seen.append(p.name), reader(p))[1],
                 part_size=2)  # fmt: skip
    assert seen == ["star6.fits", "star7.fits", "star8.fits", "star9.fits"]
    unbroken = tmp_path / "unbroken.fits"
    make_catalog(predictor, folder, unbroken, reader=reader)
    np.testing.assert_allclose(  # products of other sizes round otherwise on some processors
        read_table(out)["teff"].value, read_table(unbroken)["teff"].value, rtol=1e-6, equal_nan=True
    )


def test_parts_of_another_run_are_not_used(toy_model, folder, reader, tmp_path):
    out = tmp_path / "labels.fits"

    def interrupted(path):
        if path.stem.endswith("4"):
            raise KeyboardInterrupt
        return reader(path)

    with pytest.raises(KeyboardInterrupt):
        make_catalog(Predictor(toy_model), folder, out, reader=interrupted, part_size=2)
    strict = Predictor(toy_model, max_masked=0.0)
    make_catalog(strict, folder, out, reader=reader, part_size=2)
    flag = np.asarray(read_table(out)["flag"])
    assert np.all(flag & (LabelFlag.MANY_MASKED | LabelFlag.FAILED))


def test_only_bad_files_make_a_table_of_failures(toy_model, folder, tmp_path):
    def broken(path):
        raise ReadError(f"{path.name} is no spectrum.")

    report = make_catalog(Predictor(toy_model), folder, tmp_path / "l.csv", reader=broken)
    assert report.n_failed == report.n_spectra == 10


def test_an_empty_folder_and_an_unwritable_output_are_refused_at_once(toy_model, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ReadError, match="empty"):
        make_catalog(Predictor(toy_model), tmp_path / "empty", tmp_path / "labels.fits")
    with pytest.raises(OutputError, match="ending"):
        make_catalog(Predictor(toy_model), tmp_path, tmp_path / "labels.txt")


@pytest.mark.parametrize("block", [1, 4, 100])
def test_a_data_set_gives_the_same_labels(toy_model, toy_spectra, tmp_path, block):
    predictor = Predictor(toy_model)
    store = from_arrays(toy_spectra, None, tmp_path / "set.zarr")
    label_dataset(predictor, store, tmp_path / "labels.parquet", block=block)
    table = read_table(tmp_path / "labels.parquet")
    expected = predictor.predict(toy_spectra).labels.values
    assert np.allclose(table["teff"].value, expected[:, 0], rtol=1e-5)
    other = from_arrays(toy_spectra.select_pixels(slice(0, 50)), None, tmp_path / "other.zarr")
    with pytest.raises(GridError, match="reads spectra on"):
        label_dataset(predictor, other, tmp_path / "other.fits")
