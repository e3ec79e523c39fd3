import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.table import MaskedColumn, QTable, Table

from starnet.dataset import LabelTable
from starnet.dataset.table import label_name
from starnet.errors import ConfigError, LabelError

NAMES = ("teff", "logg", "fe_h")


def small() -> Table:
    return Table(
        {
            "STAR": ["0001", "0002", "0010"],
            "TEFF": [5000.0, -9999.0, 6000.0],
            "logg": [4.0, 9999.0, np.nan],
            "[Fe/H]": [-0.5, 0.1, -9999.99],
            "TEFF_ERR": [50.0, 60.0, -1.0],
        }
    )


EXPECTED = [[5000, 4, -0.5], [np.nan, np.nan, 0.1], [6000, np.nan, np.nan]]


def write(table: Table, path) -> None:
    formats = {".csv": "ascii.csv", ".ecsv": "ascii.ecsv", ".fits": "fits", ".parquet": "parquet"}
    if path.suffix == ".dat":
        lines = ["# " + "  ".join(table.colnames)]
        lines += ["  ".join(str(value) for value in row) for row in table]
        path.write_text("\n".join(lines) + "\n")
    elif path.suffix == ".tsv":
        table.write(path, format="ascii.tab")
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # FITS would rather not have the name [Fe/H]
            table.write(path, format=formats[path.suffix])


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".ecsv", ".fits", ".parquet", ".dat"])
def test_every_format_gives_the_same_labels(tmp_path, suffix):
    path = tmp_path / f"labels.v1{suffix}"
    write(small(), path)
    table = LabelTable.read(path, "STAR", NAMES)
    assert table.keys.tolist() == ["0001", "0002", "0010"]
    np.testing.assert_allclose(table.labels.values, EXPECTED)
    np.testing.assert_allclose(table.labels.errors[:, 0], [50, np.nan, np.nan])
    assert table.row_of("0010") == 2


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".ecsv", ".fits", ".parquet", ".dat"])
def test_a_table_without_the_key_column_says_which_columns_there_are(tmp_path, suffix):
    path = tmp_path / f"labels{suffix}"
    write(small(), path)
    with pytest.raises(LabelError, match=r"no column 'nome'.*TEFF.*key='STAR'"):
        LabelTable.read(path, "nome", NAMES)


@pytest.mark.parametrize("suffix", [".csv", ".ecsv", ".fits", ".parquet", ".dat"])
@pytest.mark.parametrize("content", [b"", b"\x00\xff\xfe\x80 nonsense \x00", b"a\n1,2,3\n1\n"])
def test_a_damaged_table_is_a_sentence(tmp_path, suffix, content):
    path = tmp_path / f"labels{suffix}"
    path.write_bytes(content)
    with pytest.raises(LabelError, match=r"label table|labels\."):
        LabelTable.read(path, "STAR", NAMES)


def test_an_absent_file_and_an_image_are_sentences(tmp_path):
    from astropy.io import fits

    with pytest.raises(LabelError, match="does not exist"):
        LabelTable.read(tmp_path / "absent.csv", "STAR")
    fits.PrimaryHDU(np.zeros((3, 3))).writeto(tmp_path / "image.fits")
    with pytest.raises(LabelError, match="only images"):
        LabelTable.read(tmp_path / "image.fits", "STAR")


def test_an_absent_label_names_the_columns_and_the_remedy():
    with pytest.raises(LabelError, match=r"'mg_fe'.*TEFF.*rename="):
        LabelTable.read(small(), "STAR", ("teff", "mg_fe"))


def test_columns_are_renamed_and_units_converted():
    table = QTable({"name": ["a"], "T": [5.0] * u.kK, "g": [4.4], "e_T": [100.0] * u.K})
    rename = {"teff": "T", "logg": "g", "teff_err": "e_T"}
    found = LabelTable.read(table, "name", rename=rename)
    assert found.labels.names == ("teff", "logg")
    np.testing.assert_allclose(found.labels.values, [[5000.0, 4.4]])
    assert found.labels.errors[0, 0] == 100.0


def test_a_unit_of_another_kind_and_text_are_refused():
    table = QTable({"star": ["a"], "teff": [5.0] * u.m})
    with pytest.raises(LabelError, match="teff"):
        LabelTable.read(table, "star")
    with pytest.raises(LabelError, match="numbers"):
        LabelTable.read(Table({"star": ["a"], "teff": ["hot"]}), "star")


def test_two_columns_of_one_label_need_a_choice():
    table = Table({"star": ["a"], "log g": [1.0], "log_g": [2.0]})
    with pytest.raises(LabelError, match=r"several columns.*log g, log_g"):
        LabelTable.read(table, "star", ["logg"])
    assert LabelTable.read(table, "star", ["logg"], rename={"logg": "log_g"}).labels.values == 2


def test_equal_rows_are_merged_and_conflicts_reported():
    table = Table({"star": ["a", "b", "a", "c", "b"], "teff": [5000.0, np.nan, 5000.0, 1e4, 4e3]})
    with pytest.raises(LabelError, match=r"1 key\(s\).*\(b\).*duplicates=\"first\""):
        LabelTable.read(table, "star")
    first = LabelTable.read(table, "star", duplicates="first")
    assert first.keys.tolist() == ["a", "b", "c"]
    np.testing.assert_allclose(first.labels.values[:, 0], [5000, np.nan, 1e4])
    assert set(first.left_out) == {
        ("a", "repeated label row", "the same"),
        ("b", "repeated label row", "other labels"),
    }
    with pytest.raises(ConfigError, match="duplicates"):
        LabelTable.read(table, "star", duplicates="last")  # type: ignore[arg-type]


def test_rows_without_a_key_are_left_out():
    key = MaskedColumn(["a", "b", " "], mask=[False, True, False])
    found = LabelTable.read(Table({"star": key, "teff": [4e3, 5e3, 6e3]}), "star")
    assert found.keys.tolist() == ["a"]
    assert [reason for _, reason, _ in found.left_out] == ["no key", "no key"]


@pytest.mark.parametrize(
    "key", [[272, 5, 10], [272.0, 5.0, 10.0], [b"0272 ", b" 5", b"010"], ["272", "5", "10"]]
)
def test_whole_numbers_match_names_with_leading_zeros(key):
    table = LabelTable.read(Table({"MILES": key, "teff": [4e3, 5e3, 6e3]}), "MILES")
    assert [table.row_of(name) for name in ("0272", "272", "0005", " 10", "11", "x5")] == [
        *(0, 0, 1, 2, -1, -1)
    ]


def test_a_number_with_two_spellings_stands_for_neither():
    table = LabelTable.read(Table({"star": ["1", "01"], "teff": [4e3, 5e3]}), "star")
    assert [table.row_of(name) for name in ("1", "01", "001")] == [0, 1, -1]


def test_long_integers_keep_every_digit(tmp_path):
    path = tmp_path / "gaia.parquet"
    ids = np.array([6904703228801028864, 6904703228801028865])
    Table({"source_id": ids, "teff": [5000.0, 6000.0]}).write(path, format="parquet")
    table = LabelTable.read(path, "source_id")
    assert table.row_of("6904703228801028865") == 1


@pytest.mark.parametrize(
    ("column", "name"),
    [
        ("[Fe/H]", "fe_h"),
        ("Mg/Fe", "mg_fe"),
        ("log g", "logg"),
        ("log(g)", "logg"),
        ("Teff", "teff"),
        ("e_[Fe/H]", "fe_h_err"),
        ("FE_H_ERR", "fe_h_err"),
        ("M_H", "m_h"),
        ("col1", "col1"),
    ],
)
def test_usual_spellings_are_understood(column, name):
    assert label_name(column) == name


def test_the_parameters_of_miles(shared_data):
    table = LabelTable.read(shared_data / "miles/MILES_params.db", "MILES", NAMES)
    assert len(table) == 985
    values = table.labels.values
    np.testing.assert_allclose(values[table.row_of("0272")], [6024, 4.5, -1.44])
    assert np.isnan(values[table.row_of("0407")]).all()  # 99999 9999 9999
    assert np.nanmax(values[:, 2]) < 3


def test_the_table_of_apogee(shared_data):
    table = LabelTable.read(
        shared_data / "labels/apogee_dr17_subset_50k.csv", "apogee_id", NAMES, duplicates="first"
    )
    row = table.row_of("2M15145309+0116160")
    np.testing.assert_allclose(table.labels.values[row], [6028.295, 3.719655, -0.23566])
