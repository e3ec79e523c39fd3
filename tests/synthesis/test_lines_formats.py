"""Every format of line lists on small made-up files: values, medium, and damaged files."""

import builtins
import importlib
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from specutils.utils.wcs_utils import air_to_vac

from starnet.errors import ConfigError, DataError, FrameError, MissingDependencyError, ReadError
from starnet.synthesis.lines import (
    FORMATS,
    AboTable,
    LineList,
    VdwKind,
    identify_format,
    read_lines,
    scan,
    species_name,
)

MOOG = """a title
  5000.000      26.0     2.500    -1.250
  5001.000      26.1     3.500    -2.250    -7.500               a comment
  5002.000 607.01214     0.500    -3.000               7.724          1313Qc0065
 -5003.500      27.0     0.400    -0.500                          LAWNOHFS
  5003.450   27.0059     0.400    -0.801                          LAWHFS
  5003.550   27.0059     0.400    -0.801                          LAWHFS
"""
TURBOSPECTRUM = """'0607.012014 '            1      2
'Sneden web '
 5000.000  2.490  -5.316  0.00   48.0  1.00e+00  0.000  'x' 'x'  0.0  1.0
 5002.000  2.802  -3.735  0.00  194.0  1.00e+00  0.000  'x' 'x'  0.0  1.0
' 26.000            '    2          1
'Fe II  '
 5001.000  3.500  -2.250  234.223   4.0  1.00e+08 -6.10  's' 'p'   0.0    1.0 'Fe II'
"""
HEAD = "  5000.00000, 5010.00000, 2, 99, 1.0 Wavelength region, lines selected, lines processed\n"
VALD_STELLAR = (
    HEAD
    + """                                                 Damping parameters   Lande  Central
Spec Ion       WL_vac(A) Excit(eV) Vmic log gf* Rad.   Stark  Waals  factor  depth  Reference
'Fe 1',       5000.0000,  2.5000, 1.0, -1.250, 8.190,-5.380, -7.590,  1.480, 0.180, 'K14 Fe'
'TiO 1',      5002.0000,  0.5000, 1.0, -3.000, 0.000, 0.000,  0.000, 99.000, 0.100, 'P (48)TiO'
* oscillator strengths were NOT scaled by the solar isotopic ratios.
"""
)
VALD_LONG = """                                              Lande factors      Damping parameters
Elm Ion      WL_air(A)   log gf* E_low(eV) J lo  E_up(eV) J up  lower  upper   mean   Rad.  Stark
'Fe 1',       5000.000,  -1.250,  2.5000,  6.0,  7.3480,  5.0, 1.320, 1.090, 1.91, 8.19,-5.38,1.50,
'  LS                                                                       3d7.(4F).4d f5G'
'  JK                                                             3d7.(4F<7/2>).4f 2[11/2]*'
'_          Kurucz Fe I 2014   5 wl:K14   5 gf:K14   5 K14    Fe'
'CO 1',       5002.000,  -3.000,  0.5000, 38.0,  2.1378, 39.0,99.0,99.0,99.0, 2.0, 0.0, 234.223,
'  Hb                                                4s2.5s2.1p4              X,2,0,,none,4'
'  Hb                                                    4s2.5s2.1p4          X,2,0,,none,7'
'KCO                                  2 KCO       2 KCO       2 KCO     (13)C(16)O    '
* oscillator strengths were scaled by the solar isotopic ratios.
"""
PFANT = """FE1  5000.000
2.5 -1.25 4.786301e-13 0 1 0.5 0 0
 N2  5001.000
3.5 -2.25 1.603245e-31 0 1 0.5 0 1
"""


def kurucz(*lines: tuple[float, float, str, float, float, str]) -> str:
    """Lines in Kurucz's columns: nm, log gf, species, two energies in 1/cm, and isotopes."""
    return "".join(
        f"{w:11.4f}{g:7.3f}{s:>6}{e1:12.3f}{2.0:5.1f} {'a label':<10}{e2:12.3f}{3.0:5.1f} "
        f"{'a label':<10}{8.19:6.2f}{-5.38:6.2f}{-7.59:6.2f}{'K14':<4} 0 0{iso:<18}    0    0\n"
        for w, g, s, e1, e2, iso in lines
    )


KURUCZ = kurucz(
    (500.0, -1.25, "26.00", 20163.860, -40163.860, "  0 0.000  0 0.000"),
    (500.1, -2.25, "27.01", -28229.404, 8229.404, " 59-0.301 59 0.000"),
)
TEXTS = {
    "moog": MOOG,
    "turbospectrum": TURBOSPECTRUM,
    "vald": VALD_LONG,
    "pfant": PFANT,
    "kurucz": KURUCZ,
}


@pytest.fixture
def write(tmp_path: Path):
    def _write(text: str, name: str = "a_list") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return _write


def name_at(lines: LineList, row: int) -> str:
    return species_name(int(lines.species[row]))


@pytest.mark.parametrize("name", TEXTS)
def test_contract(name: str, write) -> None:
    """Every format: found by its look, in vacuum, in order, with its file as the source."""
    path = write(TEXTS[name])
    assert identify_format(path) == name
    lines = read_lines(path)
    expected = air_to_vac(5000.0 * u.AA, scheme="iteration", method="Ciddor1996").value
    assert lines.wavelength[0] == pytest.approx(expected, abs=1e-5)
    assert (np.diff(lines.wavelength) > 0).all()
    assert lines.sources == ("a_list",)
    if name != "vald":  # VALD's files say what they are in
        assert read_lines(path, medium="vacuum").wavelength[0] == 5000.0


@pytest.mark.parametrize("name", TEXTS)
def test_damaged_line_is_named_by_its_number(name: str, write) -> None:
    texts = TEXTS[name].split("\n")
    row = {"moog": 3, "turbospectrum": 3, "vald": 6, "pfant": 3, "kurucz": 1}[name]
    texts[row] = texts[row].replace(".", "?")
    with pytest.raises(ReadError, match=f"a_list: line {row + 1} must be"):
        read_lines(write("\n".join(texts)))


@pytest.mark.parametrize("name", [n for n in FORMATS if n not in ("vald", "galah")])
def test_an_empty_list_is_refused(name: str, write) -> None:
    with pytest.raises(ReadError, match="at least one"):
        read_lines(write(""), format=name)


@pytest.mark.parametrize("text", ["", "SIMPLE  =  T", "a,b\n1,2\n", "5000.0 1.0\n5001.0 0.9\n"])
def test_foreign_files_are_refused(text: str, write) -> None:
    assert identify_format(write(text)) is None
    with pytest.raises(ReadError, match="must be a line list of a known format"):
        read_lines(write(text))


def test_moog(write) -> None:
    lines = read_lines(write(MOOG))
    names = [name_at(lines, i) for i in range(5)]
    assert names == ["Fe I", "Fe II", "12C14N", "59Co I", "59Co I"]
    share = np.log10(0.9893 * 0.99636)
    assert lines.loggf == pytest.approx([-1.25, -2.25, -3.0 + share, -0.801, -0.801])
    assert lines.log_fraction[2] == pytest.approx(share)
    assert lines.vdw_kind.tolist() == [0, VdwKind.LOG_GAMMA, 0, 0, 0]
    assert read_lines(write(MOOG), isotopes=None).loggf[2] == -3.0


def test_moog_total_that_names_the_isotope(write) -> None:
    text = MOOG.replace("-5003.500      27.0", "-5003.500   27.0059")
    assert len(read_lines(write(text))) == 5


def test_moog_keeps_a_negative_line_that_is_no_total(write) -> None:
    lines = read_lines(
        write("  5000.000      26.0     2.500    -1.250\n" * 2 + "-5001 26.0 1 -1\n")
    )
    assert len(lines) == 3
    assert lines.wavelength[2] > 5002


def test_turbospectrum(write) -> None:
    lines = read_lines(write(TURBOSPECTRUM))
    assert name_at(lines, 1) == "Fe II"
    assert (lines.vdw[1], lines.vdw_kind[1]) == (234.0, VdwKind.ABO)
    assert lines.vdw_alpha[1] == pytest.approx(0.223)
    assert (lines.gamma_rad[1], lines.gamma_stark[1]) == (8.0, -6.1)
    assert np.isnan(lines.gamma_rad[[0, 2]]).all()


def test_a_cut_block_is_noticed(write) -> None:
    with pytest.raises(ReadError, match=r"species 26 at line 5.*1 fewer"):
        read_lines(write("\n".join(TURBOSPECTRUM.split("\n")[:6])))


def test_vald_stellar(write) -> None:
    lines = read_lines(write(VALD_STELLAR))
    assert lines.wavelength.tolist() == [5000.0, 5002.0]
    assert lines.excitation.tolist() == [2.5, 0.5]
    assert name_at(lines, 1) == "48TiO"
    assert lines.loggf == pytest.approx([-1.25, -3.0 + np.log10(0.7372)])
    assert (lines.gamma_rad[0], lines.gamma_stark[0], lines.vdw[0]) == (8.19, -5.38, -7.59)
    assert np.isnan(lines.vdw[1])
    with pytest.raises(FrameError, match="in vacuum"):
        read_lines(write(VALD_STELLAR), medium="air")


def test_vald_long(write) -> None:
    lines = read_lines(write(VALD_LONG))
    assert name_at(lines, 1) == "13C16O"
    assert lines.excitation.tolist() == [2.5, 0.5]
    assert lines.loggf == pytest.approx([-1.25, -3.0])  # scaled already
    assert lines.log_fraction[1] == pytest.approx(np.log10(0.0107 * 0.99757))
    assert lines.vdw_kind.tolist() == [VdwKind.UNSOLD_FACTOR, VdwKind.ABO]


def test_vald_short_without_microturbulence(write) -> None:
    stellar = read_lines(write(VALD_STELLAR))
    text = VALD_STELLAR.replace("Vmic log", "log").replace(" 1.0, -", " -").replace(HEAD, "")
    every = read_lines(write(text))
    for name in ("wavelength", "species", "excitation", "loggf", "gamma_rad", "vdw"):
        np.testing.assert_array_equal(getattr(every, name), getattr(stellar, name))


def test_vald_in_wavenumbers_of_energy(write) -> None:
    text = VALD_LONG.replace("E_low(eV)", "E_low(cm-1)").replace(" 2.5000", " 20163.86")
    assert read_lines(write(text)).excitation[0] == pytest.approx(2.5, abs=1e-5)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("WL_vac(A)", "WN_vac(cm)", "WL_air or WL_vac"),
        (" 2, 99,", " 3, 99,", "promises; it holds 2"),
        ("* oscillator strengths were NOT scaled", "", "isotopic ratios"),
    ],
)
def test_vald_that_does_not_say_enough(old: str, new: str, message: str, write) -> None:
    with pytest.raises(ReadError, match=message):
        read_lines(write(VALD_STELLAR.replace(old, new)))


def test_pfant(write) -> None:
    lines = read_lines(write(PFANT))
    assert [name_at(lines, 0), name_at(lines, 1)] == ["Fe I", "N II"]
    assert np.isnan(lines.vdw[0])
    assert lines.vdw[1] == pytest.approx(-7.39)


def test_kurucz(write) -> None:
    lines = read_lines(write(KURUCZ))
    assert [name_at(lines, 0), name_at(lines, 1)] == ["Fe I", "59Co II"]
    assert lines.excitation == pytest.approx([2.5, 1.020316], abs=1e-5)
    assert lines.loggf == pytest.approx([-1.25, -2.551])
    assert (lines.gamma_rad[0], lines.gamma_stark[0], lines.vdw[0]) == (8.19, -5.38, -7.59)


def test_an_implausible_number_is_named(write) -> None:
    with pytest.raises(DataError, match=r"line 2 has the loggf 50"):
        read_lines(write(MOOG.replace("-1.250", "50.000")))


def test_wrong_arguments(write) -> None:
    path = write(MOOG)
    with pytest.raises(ConfigError, match="format must be one of"):
        read_lines(path, format="latin")
    with pytest.raises(ConfigError, match="medium must be"):
        read_lines(path, medium="water")  # type: ignore[arg-type]
    with pytest.raises(ReadError, match="must be a readable file"):
        read_lines(path.with_name("absent"))
    with pytest.raises(ReadError, match="line 2 must be a species"):
        read_lines(path, format="pfant") if False else read_lines(
            write("\n" + MOOG), format="pfant"
        )


def test_hdf5_without_h5py(write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("")
    path.write_bytes(b"\x89HDF\r\n\x1a\n")
    assert identify_format(path) == "galah"

    def absent(name: str) -> None:
        raise builtins.ImportError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(MissingDependencyError, match="pip install h5py"):
        read_lines(path)


def test_scan(write, tmp_path: Path) -> None:
    write(MOOG, "b_moog")
    write("".join(TURBOSPECTRUM.splitlines(keepends=True)[:-1]), "c_cut")
    write("nothing of the kind", "readme")
    table = scan(tmp_path)
    assert list(table["file"]) == ["b_moog", "c_cut"]
    assert list(table["format"]) == ["moog", "turbospectrum"]
    assert list(table["n_lines"]) == [5, 0]
    assert table["species"][0] == "59Co I, Fe I, Fe II, 12C14N"
    assert "1 fewer" in table["problem"][1]
    (tmp_path / "empty").mkdir()
    assert len(scan(tmp_path / "empty")) == 0
    with pytest.raises(ConfigError, match="needs a folder"):
        scan(tmp_path / "absent")


def test_damaged_abo_table(write) -> None:
    good = "  3000.062  26.1  -7.888   0.240    3.91E+08\n"
    assert len(AboTable.read(write(good))) == 1
    assert identify_format(write(good * 3)) is None
    with pytest.raises(ReadError, match="line 2 must be"):
        AboTable.read(write(good + "  3000.062  26.1  \n"))
    with pytest.raises(ReadError, match="at least one line"):
        AboTable.read(write(""))
