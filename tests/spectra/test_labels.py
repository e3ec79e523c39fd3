import astropy.units as u
import numpy as np
import pytest
from astropy.table import MaskedColumn, QTable, Table

from starnet.errors import LabelError
from starnet.spectra import Labels, label_spec


@pytest.mark.parametrize("missing", [-9999.0, 9999.0, np.nan, np.inf, -999.0])
@pytest.mark.parametrize("name", ["teff", "logg", "fe_h", "mg_fe"])
def test_sentinels_become_nan(name, missing):
    labels = Labels((name,), np.array([[missing], [4.5 if name != "teff" else 5000.0]]))
    assert np.isnan(labels.values[0, 0])
    assert np.isfinite(labels.values[1, 0])


def test_values_that_no_star_has_are_missing():
    labels = Labels(("teff", "logg"), np.array([[0.0, 99.9], [5772.0, 4.44]]))
    assert np.array_equal(labels.complete, [False, True])


def test_units_are_converted_and_columns_found_in_upper_case():
    table = QTable({"TEFF": [5.772, 4.286] * u.kK, "logg": [4.44, 1.66], "FE_H": [0.0, -0.52]})
    labels = Labels.from_table(table, ["teff", "logg", "fe_h"])
    assert np.allclose(labels.column("teff"), [5772.0, 4286.0])
    assert labels.units == ("K", "dex", "dex")


def test_errors_come_along_and_masked_values_are_missing():
    table = Table(
        {"teff": MaskedColumn([5000.0, 5100.0], mask=[False, True]), "teff_err": [50.0, 60.0]}
    )
    labels = Labels.from_table(table, ["teff"])
    assert np.isnan(labels.values[1, 0])
    assert labels.errors[0, 0] == 50.0
    assert np.isnan(labels.errors[1, 0])


@pytest.mark.parametrize("kind", [Table, QTable])
def test_masked_values_with_units_are_missing_and_not_zero(kind):
    table = kind({"vmic": MaskedColumn([1.5, 2.0], mask=[False, True], unit="km/s")})
    values = Labels.from_table(table, ["vmic"]).values[:, 0]
    assert values[0] == 1.5
    assert np.isnan(values[1])


def test_a_column_that_is_blank_throughout_is_missing():
    table = Table.read("star,teff,mg_fe\na,5000,\nb,6000,\n", format="ascii.csv")
    labels = Labels.from_table(table, ["teff", "mg_fe"])
    assert np.isnan(labels.column("mg_fe")).all()
    assert labels.column("teff").tolist() == [5000.0, 6000.0]


def test_integer_columns_with_masked_values():
    table = Table({"teff": MaskedColumn([5000, -9999], mask=[False, True])})
    assert np.isnan(Labels.from_table(table).values[1, 0])


def test_known_labels_are_found_without_being_named():
    table = Table({"name": ["a"], "logg": [4.0], "teff": [5000.0], "colour": [1.0]})
    assert Labels.from_table(table).names == ("teff", "logg")


@pytest.mark.parametrize(
    ("table", "names", "message"),
    [
        (Table({"teff": [1.0]}), ["teff", "logg"], "no column logg"),
        (Table({"a": [1.0]}), None, "known label"),
        (Table({"teff": ["hot"]}), ["teff"], "numbers"),
        (QTable({"teff": [1.0] * u.m}), ["teff"], "numbers in K"),
    ],
)
def test_wrong_tables_are_refused(table, names, message):
    with pytest.raises(LabelError, match=message):
        Labels.from_table(table, names)


def test_round_trip_through_a_table():
    labels = Labels(
        ("teff", "mg_fe"), [[5000.0, 0.1], [4000.0, np.nan]], [[10.0, 0.01], [20.0, 0.0]]
    )
    table = labels.to_table(id=["a", "b"])
    back = Labels.from_table(table, labels.names)
    assert table.colnames == ["id", "teff", "teff_err", "mg_fe", "mg_fe_err"]
    assert np.array_equal(back.values, labels.values, equal_nan=True)
    assert np.array_equal(back.errors, labels.errors, equal_nan=True)


def test_bounds_selection_and_rows():
    labels = Labels(("teff", "logg"), [[5000.0, np.nan], [4000.0, np.nan]])
    assert np.array_equal(labels.bounds()[0], [4000.0, 5000.0])
    assert np.isnan(labels.bounds()[1]).all()
    assert labels.select(["logg", "teff"]).names == ("logg", "teff")
    assert len(labels[1]) == 1
    with pytest.raises(LabelError, match="there are teff, logg"):
        labels.column("fe_h")


def test_names_must_differ_and_shapes_agree():
    with pytest.raises(LabelError, match="differ"):
        Labels(("teff", "teff"), [[1.0, 2.0]])
    with pytest.raises(LabelError, match="shape"):
        Labels(("teff",), [[1.0, 2.0]])


def test_unknown_labels_have_no_unit():
    assert label_spec("colour").unit == ""
    assert label_spec("ni_fe").unit == "dex"
