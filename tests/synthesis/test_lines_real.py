"""Line lists on the real files, and against the list that other codes were run with."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from specutils.utils.wcs_utils import air_to_vac

from starnet.synthesis.lines import (
    AboTable,
    LineList,
    VdwKind,
    abo_log_gamma,
    encode,
    identify_format,
    mass_numbers,
    merge,
    read_lines,
    scan,
    without_isotopes,
)


@pytest.fixture(scope="module")
def physics(shared_data: Path) -> Path:
    folder = shared_data / "physics"
    if not folder.is_dir():
        pytest.skip("the physics inputs are absent")
    return folder


@pytest.fixture(scope="module")
def reference(physics: Path) -> dict[str, np.ndarray]:
    """The lines between 15090 and 17020 Angstrom (air) that PySME and Turbospectrum used."""
    with np.load(physics / "reference_spectra/hband_lines_used.npz") as file:
        columns = {name: file[name] for name in file.files}
    air = columns["wavelength_air"] * u.AA
    columns["vacuum"] = air_to_vac(air, scheme="iteration", method="Ciddor1996").value
    return columns


def table(*columns: np.ndarray) -> np.ndarray:
    """Rows of columns, in order of the rounded values."""
    rows = np.round(np.column_stack(columns), 3)
    return rows[np.lexsort(rows.T[::-1])]


def test_atoms_of_the_reference_list(physics: Path, reference: dict[str, np.ndarray]) -> None:
    theory = read_lines(physics / "lines/linemake/moogatom12000").select(15080, 17030)
    laboratory = read_lines(physics / "lines/linemake/goodgf").select(15080, 17030)
    lines, report = merge(theory, laboratory)
    assert (report.n_replaced, report.n_matched, report.n_new) == (14, 12, 4)
    wave = reference["vacuum"]
    lines = lines.select(wave.min() - 1e-3, wave.max() + 1e-3, weakest=-9 + 1e-9)
    lines = lines[lines.species % 10 <= 1]
    atoms = reference["molecule"] == ""
    codes = [
        encode([(int(z), 0)], int(i))
        for z, i in zip(reference["atomic_number"], reference["ionization"], strict=True)
        if z
    ]
    expected = [reference[n][atoms] for n in ("vacuum", "excitation_ev", "log_gf")]
    found = table(lines.wavelength, lines.species, lines.excitation, lines.loggf)
    wanted = table(expected[0], np.array(codes), *expected[1:])
    np.testing.assert_allclose(found, wanted, atol=1.5e-3)


# The reference list left out the fractions of the common isotopes.
RARE_ONLY = {
    1: {1: 1.0},
    6: {12: 1.0, 13: 10**-1.95},
    7: {14: 1.0},
    8: {16: 1.0, 17: 10**-3.43, 18: 10**-2.70},
    26: {56: 1.0},
}


def test_molecules_of_the_reference_list(physics: Path, reference: dict[str, np.ndarray]) -> None:
    path = physics / "lines/turbospec.20180901t20.molec"
    lines = read_lines(path, isotopes=RARE_ONLY)
    wave = reference["vacuum"]
    lines = lines.select(wave.min() - 1e-3, wave.max() + 1e-3)
    for name in ("CN", "CO", "OH", "C2"):
        mine, theirs = lines.select(species=name), reference["molecule"] == name
        found = table(mine.wavelength, mine.excitation, mine.loggf)
        columns = [reference[n][theirs] for n in ("vacuum", "excitation_ev", "log_gf")]
        np.testing.assert_allclose(found, table(*columns), atol=1.5e-3)


def test_scan_of_real_files(physics: Path, tmp_path: Path) -> None:
    counts = {"goodgf": 12824, "moogatom12000": 30417, "moogcn04000": 16174, "mooghyd04000": 43217}
    for name in counts:
        (tmp_path / name).symlink_to(physics / "lines/linemake" / name)
    found = scan(tmp_path)
    assert set(found["format"]) == {"moog"}
    assert not any(found["problem"])
    assert dict(zip(found["file"], found["n_lines"], strict=True)) == counts


def test_every_real_file_is_identified(physics: Path) -> None:
    formats = {p.name: identify_format(p) for p in (physics / "lines").rglob("*") if p.is_file()}
    assert formats.pop("atoms-vald3-10k-17k.dat") == "pfant"
    assert formats.pop("turbospec.20180901t20.molec") == "turbospectrum"
    assert formats.pop("galah_dr3_linelist.h5") == "galah"
    assert set(formats.values()) == {"moog"}
    tables = {identify_format(p) for p in (physics / "tables").glob("*.dat")}
    assert tables == {None}


def test_isotopes_of_a_line_share_its_strength(physics: Path) -> None:
    """Sum of the components times their fractions = the total that the file gives."""
    path = physics / "lines/linemake/goodgfhfs"
    lines = read_lines(path)
    checked = 0
    for text in path.read_text(encoding="latin-1").splitlines():
        wave, species, level, loggf = text[:40].split()
        if float(wave) > 0 or not 4000 < -float(wave) < 7000:
            continue
        z, ion = (int(part) for part in species.split("."))
        same = without_isotopes(lines.species) == encode([(z, 0)], ion)
        near = np.abs(lines.wavelength / 1.000277 + float(wave)) < 1.0
        mine = lines[same & near & (np.abs(lines.excitation - float(level)) < 0.006)]
        assert len(mine)
        total = np.log10((10.0**mine.loggf).sum())
        checked += abs(total - float(loggf)) < 0.02
    assert checked > 500


def test_pfant_and_linemake_have_the_same_lines(physics: Path) -> None:
    """Two lists of unlike formats agree in wavelength and level; their gf are not of one age."""
    vald = read_lines(physics / "lines/atoms-vald3-10k-17k.dat")
    assert len(vald) == 71613
    vald = vald.select(11990, 13280, species=["Fe I", "Ti I", "Si I"], weakest=-7)
    kurucz = read_lines(physics / "lines/linemake/moogatom12000").select(11990, 13280)
    _, report = merge(kurucz, vald, tolerance=0.02, excitation_tolerance=0.01)
    assert report.n_matched > 0.9 * len(vald) > 200
    assert abs(report.median_change) < 0.2


def test_abo_table_fits_cross_sections_of_another_list(physics: Path) -> None:
    """sigma and alpha of the GALAH list against log gamma and alpha of the table."""
    if importlib.util.find_spec("h5py") is None:
        pytest.skip("h5py is not installed")
    galah = read_lines(physics / "lines/galah_dr3_linelist.h5")
    assert len(galah) == 307002
    assert not mass_numbers(galah.species[:1000]).any()
    iron = galah.select(species="Fe I")
    iron = iron[iron.vdw_kind == VdwKind.ABO]
    abo = AboTable.read(physics / "tables/Barklem_ABO.dat")
    assert len(abo) == 15935
    row = abo.match(iron)
    iron, row = iron[row >= 0], row[row >= 0]
    width = [abo_log_gamma(s, a, 55.845) for s, a in zip(iron.vdw, iron.vdw_alpha, strict=True)]
    assert len(row) == 268
    assert np.abs(width - abo.log_gamma[row]).max() < 0.002
    assert np.abs(iron.vdw_alpha - abo.alpha[row]).max() < 0.001


def test_optical_atoms_with_laboratory_values(physics: Path) -> None:
    folder = physics / "lines/linemake"
    lines: LineList = read_lines(folder / "moogatom05000")
    first, last = lines.wavelength[[0, -1]]
    replaced = []
    for name in ("goodgf", "goodgfhfs"):
        lines, report = merge(lines, read_lines(folder / name).select(first, last))
        replaced.append((report.n_replaced, report.n_new))
    assert replaced[0][0] > 1000
    assert replaced[1][0] > 150
    assert replaced[1][1] == 0
    assert set(lines.sources) == {"moogatom05000", "goodgf", "goodgfhfs"}
    _, n = AboTable.read(physics / "tables/Barklem_ABO.dat").apply(lines)
    assert n > 500
