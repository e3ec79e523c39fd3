import errno

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable, Table

from starnet.catalog import read_table, writers
from starnet.errors import OutputError

FORMATS = ["fits", "ecsv", "parquet", "csv"]


@pytest.fixture
def table():
    table = QTable({"id": ["a", "b"], "snr": np.array([100.0, np.nan], dtype="f4")})
    table["teff"] = [5772.0, np.nan] * u.K
    table["teff_flag"] = np.array([0, 4], dtype="i2")
    table["fe_h"] = [0.0, np.nan] * u.dex
    table["message"] = ["", "x.fits cannot be read"]
    table.meta = {"model": "m", "starnet_version": "0", "flag_bits": "1 = a; 2 = b; " * 9 + "4 = c"}
    return table


@pytest.mark.parametrize("ending", FORMATS)
def test_every_format_keeps_values_and_what_it_can_of_units(table, tmp_path, ending):
    path = writers.write_table(table, tmp_path / f"labels.{ending}")
    back = read_table(path)
    assert back.colnames[: len(table.colnames)] == table.colnames
    teff, fe_h = back["teff"], back["fe_h"]
    assert np.allclose(np.ma.filled(u.Quantity(teff).value, np.nan)[0], 5772.0)
    assert [str(m) for m in np.ma.filled(back["message"], "")] == list(table["message"])
    assert back["teff_flag"].tolist() == [0, 4]
    if ending == "csv":
        assert list(back["model"]) == ["m", "m"]
    else:
        assert (teff.unit, fe_h.unit) == (u.K, u.dex)
        assert {k: back.meta[k] for k in table.meta} == table.meta
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("ending", FORMATS)
def test_a_full_disk_leaves_the_old_table_and_nothing_else(table, tmp_path, ending, monkeypatch):
    path = tmp_path / f"labels.{ending}"
    writers.write_table(table, path)
    before = path.read_bytes()

    def full(_table, partial):
        partial.write_bytes(before[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setitem(writers._WRITERS, f".{ending}", full)
    with pytest.raises(OutputError, match="No space left"):
        writers.write_table(table, path)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_places_that_cannot_be_written_are_refused_at_once(table, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written to"):
        writers.check_writable(tmp_path / "file" / "labels.fits")
    with pytest.raises(OutputError, match="ending"):
        writers.write_table(table, tmp_path / "labels.xlsx")
    (tmp_path / "labels.fits").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        writers.write_table(table, tmp_path / "labels.fits")


def test_strangers_read_the_parquet_file(table, tmp_path):
    import pyarrow.parquet

    path = writers.write_table(table, tmp_path / "labels.parquet")
    assert pyarrow.parquet.read_table(path).column_names == table.colnames


@pytest.mark.parametrize("ending", FORMATS)
def test_names_that_are_not_ascii_are_no_obstacle(table, tmp_path, ending):
    table["id"] = ["josé.fits", "星.fits"]
    table.meta["model"] = "modèle"
    back = read_table(writers.write_table(table, tmp_path / f"labels.{ending}"))
    expected = "jos\\xe9.fits" if ending == "fits" else "josé.fits"
    assert str(back["id"][0]) == expected


def test_plain_tables_are_written_too(tmp_path):
    path = writers.write_table(Table({"a": [1, 2]}), tmp_path / "a.fits")
    assert read_table(path)["a"].tolist() == [1, 2]
