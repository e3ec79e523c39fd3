"""The FITS reader against astropy's: independent code, same numbers."""

import gzip

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from starnet import surveys
from starnet.errors import ReadError
from starnet.surveys._fits import FitsFile
from starnet.surveys._fits_header import Header


@pytest.mark.parametrize(
    "where",
    [
        "apogee/apStar/*r8*",
        "apogee/apVisit/*296*",
        "apogee/aspcapStar/*2M2320*",
        "sdss",
        "lamost/*232*",
    ],
)
def test_as_astropy_reads_it(shared_data, where):
    for path in surveys.find(shared_data / where):
        with FitsFile(path) as ours, fits.open(path) as theirs:
            ours.check_complete()
            for index, hdu in enumerate(theirs):
                _same(ours, index, hdu)
            with pytest.raises(ReadError, match="HDUs and HDU"):
                ours.hdu(len(theirs))


def _same(ours, index, hdu):
    data = hdu.data
    if data is None:
        assert ours.hdu(index).size == 0
    elif ours.hdu(index).is_image:
        assert np.array_equal(ours.image(index), data, equal_nan=True)
    else:
        table = ours.table(index)
        assert table.names == tuple(name.lower() for name in data.names)
        for name in set(data.names):
            if data[name].dtype.kind in "iuf":
                mine = table.column(name.lower())
                assert np.array_equal(mine.reshape(data[name].shape), data[name], equal_nan=True)
            elif data[name].dtype.kind == "U" and data[name].ndim == 1:
                words = table.column(name.lower()).ravel()
                assert [str(w).strip() for w in data[name].ravel()] == list(words)


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "u4", "i8", "f4", "f8"])
@pytest.mark.parametrize("packed", [False, True])
def test_images_and_columns_of_every_type(tmp_path, dtype, packed):
    data = np.arange(12).reshape(3, 4).astype(dtype)
    path = tmp_path / "a.fits"
    column = fits.ColDefs(np.array([(1, row) for row in data], [("n", "i2"), ("v", dtype, 4)]))
    fits.HDUList([fits.PrimaryHDU(data), fits.BinTableHDU.from_columns(column)]).writeto(path)
    if packed:
        path.write_bytes(gzip.compress(path.read_bytes()))
    with FitsFile(path) as file:
        assert np.array_equal(file.image(0), data)
        assert np.array_equal(file.image(0, slice(1, 3)), data[1:])
        assert np.array_equal(file.table(1).column("v"), data)
        assert np.array_equal(file.table(1).row("v", 2), data[2])
        assert file.table(1).same_in_every_row("n", rtol=0.0)
        assert not file.table(1).same_in_every_row("v", rtol=0.0)
        with pytest.raises(ReadError, match=r"no column x or y; it has n, v"):
            file.table(1).column("x", "y")
        with pytest.raises(ReadError, match="as a binary table"):
            file.table(0)
        with pytest.raises(ReadError, match="as an image"):
            file.image(1)


def test_large_tables_are_mapped(tmp_path, monkeypatch):
    monkeypatch.setattr("starnet.surveys._fits.MAPPED", 10)
    path = tmp_path / "a.fits"
    fits.BinTableHDU.from_columns([fits.Column("v", "E", array=np.arange(5.0))]).writeto(path)
    with FitsFile(path) as file:
        assert isinstance(file.table(1)._rows, np.memmap)
        assert file.table(1).column("v").tolist() == [0, 1, 2, 3, 4]


words = st.text(st.characters(codec="ascii", exclude_categories=("C",)), max_size=60)


@settings(deadline=None)
@given(st.integers(-(10**17), 10**17) | st.floats(allow_nan=False, allow_infinity=False) | words)
def test_values_of_cards_come_back(value):
    card = fits.Card("VALUE", value, "of / a 'card'") if not isinstance(value, str) else None
    raw = fits.Header([("OTHER", "VALUE   = 7", ""), card or ("VALUE", value)]).tostring().encode()
    if raw.count(b"CONTINUE"):
        return
    found = Header(raw).get("VALUE", "")
    if isinstance(value, str):  # as it was written: astropy reads "'/" back as "'"
        assert found == value.rstrip()
    else:
        assert found == fits.Header.fromstring(raw.decode())["VALUE"]


def test_cards_that_are_odd():
    cards = [
        "FLAG    =                    T",
        "EXP     =              1.5D+03",
        "BLANK   =                     ",
        "QUOTED  = 'it''s / so'  / note",
        "HISTORY X       = 5",
        "NAN     = 'NaN'",
        "TWICE   =                    1",
        "TWICE   =                    2",
    ]
    head = Header("".join(card.ljust(80) for card in cards).encode())
    assert head.get("FLAG") is True
    assert head.number("EXP") == 1500.0
    assert head.get("BLANK", "none") == "none"
    assert head.text("ABSENT", "QUOTED") == "it's / so"
    assert "X" not in head
    assert np.isnan(head.number("NAN"))
    assert head.integer("TWICE") == 1
