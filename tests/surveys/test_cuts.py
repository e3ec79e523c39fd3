import numpy as np
import pytest
from astropy.table import MaskedColumn, Table
from hypothesis import given
from hypothesis import strategies as st

from starnet.errors import LabelError
from starnet.surveys import cuts


@pytest.fixture
def allstar() -> Table:
    """A star that passes, then one that fails each of the cuts of 2018."""
    table = Table(
        {
            "SNR": np.full(9, 250.0),
            "TEFF": np.full(9, 4800.0),
            "LOGG": np.full(9, 2.0),
            "FE_H": np.full(9, -0.5),
            "STARFLAG": np.zeros(9, int),
            "ASPCAPFLAG": np.zeros(9, int),
            "VSCATTER": np.full(9, 0.1),
        }
    )
    table["SNR"][1] = 199.0
    table["STARFLAG"][2] = 4
    table["ASPCAPFLAG"][3] = 1 << 23
    table["TEFF"][4:6] = 5500.0, -9999.0
    table["FE_H"][6] = -3.0
    table["LOGG"][7] = -9999.0
    table["VSCATTER"][8] = 1.0
    return table


def test_the_cuts_of_2018_keep_what_the_paper_keeps(allstar):
    assert cuts.APOGEE_2018(allstar).tolist() == [True] + [False] * 8
    assert cuts.APOGEE_2018_TEST(allstar).tolist() == [True, True] + [False] * 7
    allstar["SNR"][1] = 200.0
    assert cuts.APOGEE_2018(allstar)[1]


def test_report_says_what_each_removes(allstar):
    report = cuts.APOGEE_2018.report(allstar)
    assert report["removes"].sum() == 8
    assert report["left"][-1] == 1
    assert report["cut"][0] == "snr >= 200"
    assert dict(zip(report["cut"], report["fails"], strict=True))["4000 < teff < 5500"] == 2


def test_names_read_well():
    cut = cuts.snr_above(200) & ~cuts.teff_between(4000, 5500)
    assert cut.name == "snr > 200 & not (4000 < teff < 5500)"
    assert (cuts.no_starflag() | cuts.fe_h_above(-1)).name == "(starflag = 0 | fe_h > -1)"


@given(st.lists(st.floats(-1e4, 1e4) | st.just(np.nan), min_size=1, max_size=30))
def test_cuts_compose_like_booleans(values):
    table = Table({"snr": values, "teff": values[::-1]})
    one, two = cuts.snr_above(5), cuts.teff_between(-100, 100)
    assert np.array_equal((one & two)(table), one(table) & two(table))
    assert np.array_equal((one | two)(table), one(table) | two(table))
    assert np.array_equal((~one)(table), ~one(table))
    assert np.array_equal((~(one & two))(table), (~one | ~two)(table))


@pytest.mark.parametrize("missing", [np.nan, -9999.0, -999.0])
def test_missing_values_pass_no_comparison(missing):
    table = Table({"teff": [missing, 5000.0]})
    assert cuts.below("teff", 1e6)(table).tolist() == [False, True]
    assert cuts.has_labels("teff")(table).tolist() == [False, True]


def test_masked_values_pass_nothing():
    flag = MaskedColumn([0, 0, 8], mask=[True, False, False])
    table = Table({"flag_sp": flag, "teff": MaskedColumn([5000.0, 5000.0, 1.0], mask=flag.mask)})
    assert cuts.is_zero("flag_sp")(table).tolist() == [False, True, False]
    assert cuts.bits_clear("flag_sp", 3)(table).tolist() == [False, True, False]
    assert cuts.above("teff", 10)(table).tolist() == [False, True, False]


def test_an_absent_column_is_named():
    with pytest.raises(LabelError, match=r"vscatter.*the table has SNR"):
        cuts.vscatter_below(1.0)(Table({"SNR": [1.0]}))
    with pytest.raises(LabelError, match="must hold numbers"):
        cuts.snr_above(1.0)(Table({"SNR": ["high"]}))


@pytest.mark.parametrize(
    ("cut", "row"),
    [
        (cuts.APOGEE_DR17, {"SNR": 150.0, "ASPCAPFLAG": 1, "STARFLAG": 2}),
        (cuts.LAMOST_LRS, {"class": "STAR", "snrg": 40.0, "teff": 5e3, "logg": 4.0, "feh": 0.0}),
        (
            cuts.SEGUE,
            {"snr": 30.0, "zwarning": 0, "teff_adop": 5e3, "logg_adop": 4.0, "feh_adop": 0.0},
        ),
        (cuts.GALAH_DR3, {"flag_sp": 0, "flag_fe_h": 0, "snr_c3_iraf": 40.0}),
        (cuts.GALAH_DR4, {"flag_sp": 0, "flag_fe_h": 0, "snr_px_ccd3": 40.0}),
    ],
)
def test_the_usual_cuts_of_other_surveys(cut, row):
    good = Table([row])
    assert cut(good).tolist() == [True]
    for name in row:
        bad = good.copy()
        bad[name] = ["QSO"] if bad[name].dtype.kind == "U" else [-9999]
        if name in ("ASPCAPFLAG", "STARFLAG"):
            bad[name] = [1 << 23 | 1]
        assert cut(bad).tolist() == [False], name
        with pytest.raises(LabelError, match=name.lower()):
            cut(good[[other for other in row if other != name]])


def test_bytes_of_fits_tables_are_text():
    assert cuts.equals("class", "STAR")(Table({"class": [b"STAR ", b"QSO"]})).tolist() == [
        True,
        False,
    ]
