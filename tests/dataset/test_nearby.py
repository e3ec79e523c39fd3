import numpy as np
import pytest
from astropy.table import Table

from starnet.dataset import find_labels
from starnet.errors import LabelError


@pytest.mark.parametrize("key", ["star", "APOGEE_ID", "MILES", "file"])
def test_a_table_is_found_by_its_name_and_its_key(tmp_path, key):
    Table({key: ["a", "b"], "teff": [5000.0, 6000.0]}).write(tmp_path / "labels.csv")
    found = find_labels(tmp_path)
    assert list(found.keys) == ["a", "b"]
    assert found.labels.names == ("teff",)


def test_what_is_absent_is_said_with_the_remedy(tmp_path):
    with pytest.raises(LabelError, match="--labels"):
        find_labels(tmp_path)
    path = tmp_path / "table.csv"
    Table({"what": ["a"], "teff": [5000.0]}).write(path)
    with pytest.raises(LabelError, match="--key"):
        find_labels(tmp_path)
    assert find_labels(tmp_path, path, key="what").row_of("a") == 0


def test_both_tables_of_miles_agree(shared_data):
    folder = shared_data / "miles"
    plain = find_labels(folder)
    fixed = find_labels(folder, folder / "paramsMILES_v9.1.txt")
    rows = np.array([(plain.row_of(k), fixed.row_of(k)) for k in plain.keys])
    both = rows[:, 1] >= 0
    assert both.sum() >= 984
    a, b = plain.labels.values[rows[both, 0]], fixed.labels.values[rows[both, 1]]
    assert np.allclose(a, b, equal_nan=True)
