import json
import shutil

import numpy as np
import pytest
from astropy.table import Table

from starnet.dataset import DatasetWriter, from_arrays, open_dataset
from starnet.errors import DataError, LabelError
from starnet.spectra import Spectra, WavelengthGrid


def test_what_was_written_comes_back(make_dataset):
    data = open_dataset(make_dataset(300))
    assert len(data) == 300
    assert data.label_names == ("teff", "logg")
    assert data.labels.units == ("K", "dex")
    assert data.ids[:2].tolist() == ["v0", "v1"]
    assert data.stars[:3].tolist() == ["s0", "s0", "s1"]
    some = data.read([299, 0, 5, 5])
    assert some.flux[:, 0].tolist() == [299, 0, 5, 5]
    assert some.mask[:, 3].tolist() == [True, False, True, True]
    assert some.ivar[0, 0] == 4.0
    assert np.asarray(some.meta["rv"]).tolist() == [149.5, 0, 2.5, 2.5]
    assert data.grid.medium == "air"
    assert data.read(slice(10, 12)).ids.tolist() == ["v10", "v11"]
    assert data.read([-1]).ids.tolist() == ["v299"]
    assert len(data.read([])) == 0
    assert len(data.read()) == 300


def test_the_summary_is_json_and_tells_ranges(make_dataset):
    summary = json.loads(json.dumps(open_dataset(make_dataset(300)).summary()))
    assert summary["n_spectra"] == 300
    assert summary["n_stars"] == 150
    assert summary["labels"]["teff"] == {
        "unit": "K",
        "n": 300,
        "min": 4000.0,
        "median": 4149.5,
        "max": 4299.0,
    }
    assert summary["labels"]["logg"]["n"] == 240


def test_rows_that_are_not_there_are_a_sentence(make_dataset):
    with pytest.raises(DataError, match="300 spectra, rows 0 to 299"):
        open_dataset(make_dataset(300)).read([300])


def test_a_data_set_without_labels_says_so(tmp_path):
    grid = WavelengthGrid.linear(5000.0, 1.0, 5, "air")
    with DatasetWriter(tmp_path / "d.zarr", grid=grid) as writer:
        writer.append(Spectra(grid, np.ones((2, 5))))
    data = open_dataset(tmp_path / "d.zarr")
    assert data.summary()["labels"] == {}
    with pytest.raises(LabelError, match="no labels"):
        data.labels  # noqa: B018


def test_foreign_folders_are_a_sentence(tmp_path):
    import zarr

    with pytest.raises(DataError, match="does not exist"):
        open_dataset(tmp_path / "absent.zarr")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("hello")
    with pytest.raises(DataError, match="is not a data set"):
        open_dataset(tmp_path / "notes")
    (tmp_path / "file.zarr").write_text("hello")
    with pytest.raises(DataError, match="is not a data set"):
        open_dataset(tmp_path / "file.zarr")
    zarr.create_group(tmp_path / "other.zarr", zarr_format=3)
    with pytest.raises(DataError, match="not a StarNet data set"):
        open_dataset(tmp_path / "other.zarr")
    (tmp_path / "notes" / "zarr.json").write_text("{ not json")
    with pytest.raises(DataError, match="cannot be read as a Zarr group"):
        open_dataset(tmp_path / "notes")


def lose_chunk(path):
    (path / "flux" / "c.1.0").unlink()


def empty_chunk(path):
    (path / "ivar" / "c.0.0").write_bytes(b"")


def lose_array(path):
    shutil.rmtree(path / "mask")


def lose_labels(path):
    shutil.rmtree(path / "labels")


def lose_column(path):
    (path / "rows" / "star" / "c.0").unlink()


def lose_rows(path):
    shutil.rmtree(path / "rows")


def shorten(path):
    import zarr

    zarr.open_group(path, mode="r+")["labels"].resize((10, 2))  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "damage",
    [lose_chunk, empty_chunk, lose_array, lose_labels, lose_column, lose_rows, shorten],
)
def test_a_store_that_lost_something_is_refused_on_opening(make_dataset, damage):
    path = make_dataset(300)
    damage(path)
    with pytest.raises(DataError, match=r"is damaged: .*build it again"):
        open_dataset(path)


@pytest.mark.parametrize("name", ["flux", "ivar", "mask"])
def test_a_truncated_or_altered_chunk_is_refused_on_reading(make_dataset, name):
    path = make_dataset(300)
    data = open_dataset(path)
    chunk = path / name / "c.2.0"
    content = bytearray(chunk.read_bytes())
    chunk.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=rf"{name} of .* is damaged at rows 256 to 300"):
        data.read([299])
    content[len(content) // 2] ^= 1  # one bit
    chunk.write_bytes(content)
    with pytest.raises(DataError, match="damaged at rows 256 to 300"):
        data.read([299])
    assert data.read([0]).flux[0, 0] == 0  # the rest can still be read


def change(path, **attributes):
    described = json.loads((path / "zarr.json").read_text())
    described["attributes"].update(attributes)
    (path / "zarr.json").write_text(json.dumps(described))


def test_unfinished_and_newer_stores_are_refused(make_dataset, tmp_path):
    path = make_dataset(10)
    change(path, version=2)
    with pytest.raises(DataError, match="Update StarNet"):
        open_dataset(path)
    change(path, version=1, complete=False)
    with pytest.raises(DataError, match="not finished"):
        open_dataset(path)
    path.rename(tmp_path / "new.zarr.partial")
    with pytest.raises(DataError, match=r"new.zarr.partial is there. Run the same build"):
        open_dataset(tmp_path / "new.zarr")


def test_visits_that_a_survey_names_by_their_coordinates_are_of_one_star(tmp_path, toy_spectra):
    meta = Table({"id": [f"v{i}" for i in range(6)], "star": [f"J{i}" for i in range(6)]})
    meta["ra"] = [10.0, 10.0002, 50.0, 50.0, np.nan, np.nan]  # degrees; 0.7 arcseconds apart
    meta["dec"] = [5.0, 5.0, 0.0, 1.0, np.nan, 2.0]
    path = from_arrays(toy_spectra.replace(meta=meta), None, tmp_path / "set.zarr")
    dataset = open_dataset(path)
    assert list(dataset.stars) == ["J0", "J0", "J2", "J3", "J4", "J5"]
    assert list(dataset.meta["star"]) == list(meta["star"])
