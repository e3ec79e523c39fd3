import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from starnet.surveys.position import position_name, stars_by_position


@pytest.mark.parametrize(
    ("ra", "dec", "name"),
    [
        (144.82112, 0.68547, "SDSS J093917.06+004107.6"),
        (0.0, -0.00001, "SDSS J000000.00-000000.0"),
        (359.999999, 89.999999, "SDSS J235959.99+895959.9"),
        (np.nan, 1.0, ""),
    ],
)
def test_names_are_truncated_not_rounded(ra, dec, name):
    assert position_name("SDSS", ra, dec) == name


def test_visits_within_the_radius_are_one_star_and_chains_too():
    arcsec = 1 / 3600.0
    ra = [10.0, 10.0, 10.0, 50.0, np.nan, np.nan]
    dec = [0.0, 2 * arcsec, 4 * arcsec, 0.0, np.nan, np.nan]
    names = ["c", "b", "a", "d", "e", "e"]
    assert stars_by_position(ra, dec, names).tolist() == ["a", "a", "a", "d", "e", "e"]
    assert stars_by_position(ra, dec, names, radius=1.0).tolist() == names


def test_spectra_of_one_name_stay_together_and_bring_their_neighbours():
    ra, dec = [10.0, 200.0, 200.0], [0.0, 0.0, 0.0]
    assert stars_by_position(ra, dec, ["a", "a", "b"]).tolist() == ["a", "a", "a"]


def test_the_sky_is_round():
    assert stars_by_position([359.9999, 0.0001], [0.0, 0.0], ["a", "b"]).tolist() == ["a", "a"]


@given(st.lists(st.tuples(st.floats(0, 360), st.floats(-90, 90)), min_size=1, max_size=20))
def test_order_does_not_matter(places):
    ra, dec = np.array(places).T
    names = np.array([f"s{i:02d}" for i in range(len(ra))])
    forward = stars_by_position(ra, dec, names)
    back = stars_by_position(ra[::-1], dec[::-1], names[::-1])[::-1]
    assert np.array_equal(forward, back)
