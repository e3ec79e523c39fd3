"""Tables of line corrections: what they change, what they leave, and what they refuse."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from starnet.errors import DataError, OutputError, ReadError
from starnet.synthesis.calibrate import HBAND, Corrections
from starnet.synthesis.lines import TERRESTRIAL, LineList, VdwKind, log_fractions, parse_species

IRON, CN, CN13, OH = (parse_species(x) for x in ("Fe I", "12C14N", "13C14N", "16O1H"))
NAN = np.nan


def some_lines() -> LineList:
    """Four lines of iron, one for each kind of damping, three of CN and one of OH."""
    species = np.array([IRON] * 4 + [CN, CN, CN13, OH])
    share = log_fractions(species)
    return LineList(
        wavelength=[16000.0, 16010.0, 16020.0, 16030.0, 16040.0, 16040.004, 16050.0, 16060.0],
        species=species,
        excitation=[5.9, 6.0, 6.1, 6.2, 0.8, 1.0, 0.9, 0.3],
        loggf=np.array([-1.0, -2.0, -0.5, -1.5, -2.0, -2.2, -1.9, -5.0]) + share,
        log_fraction=share,
        vdw=[NAN, -7.2, 2.5, 900.0, NAN, NAN, NAN, NAN],
        vdw_alpha=[NAN, NAN, NAN, 0.25, NAN, NAN, NAN, NAN],
        vdw_kind=[0, VdwKind.LOG_GAMMA, VdwKind.UNSOLD_FACTOR, VdwKind.ABO, 0, 0, 0, 0],
    )


def some_corrections(**changes) -> Corrections:
    """Of the four lines of iron, of the second one of CN, and of CN as a whole."""
    lines = some_lines()
    rows = np.array([0, 1, 2, 3, 5])
    columns = {
        "species": np.append(lines.species[rows], parse_species("CN")),
        "wavelength": np.append(lines.wavelength[rows], NAN),
        "excitation": np.append(lines.excitation[rows], NAN),
        "loggf": np.append((lines.loggf - lines.log_fraction)[rows], NAN),
        "delta_loggf": [0.5, -0.25, 0.0, 1.25, 0.2, 0.1],
        "delta_log_vdw": [0.3, 0.1, 0.2, -0.1, 0.0, 0.0],
        "prior": [0.5, 0.5, 0.07, 0.5, 0.06, 0.06],
        "n_stars": [2, 1, 1, 2, 1, 0],
    }
    where = {"start": 15900.0, "stop": 16100.0, "lines": "a list"}
    return Corrections(**(columns | changes), provenance=where)


def test_changes_its_lines_and_no_others() -> None:
    lines = some_lines()
    new = some_corrections().apply(lines)
    moved = [0.5, -0.25, 0.0, 1.25, 0.1, 0.2, 0.1, 0.0]  # CN: its own row, or the species'
    np.testing.assert_allclose(new.loggf - lines.loggf, moved, atol=1e-12)
    np.testing.assert_array_equal(new.wavelength, lines.wavelength)
    np.testing.assert_allclose(new.vdw[:4], [10**0.3, -7.1, 2.5 * 10**0.2, 900 * 10**-0.1])
    assert new.vdw_kind[0] == VdwKind.UNSOLD_FACTOR
    np.testing.assert_array_equal(new.vdw_kind[1:], lines.vdw_kind[1:])
    np.testing.assert_array_equal(np.isnan(new.vdw[4:]), True)


def test_order_of_lines_does_not_matter() -> None:
    lines, table = some_lines(), some_corrections()
    order = np.array([5, 2, 7, 0, 4, 6, 3, 1])
    np.testing.assert_array_equal(table.apply(lines[order]).loggf, table.apply(lines).loggf[order])


def test_isotopes_of_another_star_are_no_other_line() -> None:
    fractions = dict(TERRESTRIAL) | {6: {12: 0.9, 13: 0.1}}
    giant = some_lines().with_isotopes(fractions)
    changed = some_corrections().apply(giant).loggf - giant.loggf
    np.testing.assert_allclose(changed[4:7], [0.1, 0.2, 0.1], atol=1e-12)


@pytest.mark.parametrize(
    ("column", "by"), [("wavelength", 0.02), ("excitation", 0.02), ("loggf", 0.05)]
)
def test_another_line_stays_as_it_is(column, by, caplog) -> None:
    lines = some_lines()
    value = np.array(getattr(lines, column))
    value[1] += by
    other = replace(lines, **{column: value})
    with caplog.at_level("WARNING", "starnet.synthesis"):
        new = some_corrections().apply(other)
    assert new.loggf[1] == other.loggf[1]
    assert new.loggf[0] != other.loggf[0]
    assert "1 of 5 line corrections" in caplog.text
    assert "a list" in caplog.text


def test_list_of_another_source_keeps_its_molecules(caplog) -> None:
    lines = some_lines()
    other = replace(lines, loggf=lines.loggf + 0.3)
    with caplog.at_level("WARNING", "starnet.synthesis"):
        new = some_corrections().apply(other)
    np.testing.assert_array_equal(new.loggf, other.loggf)
    assert "5 of 5" in caplog.text


def test_rows_beyond_the_list_are_no_matter(caplog) -> None:
    with caplog.at_level("WARNING", "starnet.synthesis"):
        new = some_corrections().apply(some_lines().select(16005.0, 16015.0))
        assert len(some_corrections().apply(some_lines()[:0])) == 0
    assert new.loggf[0] == pytest.approx(-2.25)
    assert not caplog.text


def test_says_what_it_found() -> None:
    found = some_corrections().match(some_lines())
    assert str(found).startswith("5 lines corrected, 2 more shifted")
    np.testing.assert_array_equal(found.line[np.argsort(found.row)], [0, 1, 2, 3, 5])


def test_equal_lines_are_taken_one_by_one() -> None:
    lines = some_lines()[np.array([0, 0])]
    table = some_corrections()
    assert table.match(lines).line.size == 1


def test_file_and_back(tmp_path: Path) -> None:
    table = some_corrections()
    place = table.write(tmp_path / "new" / "t.ecsv")
    read = Corrections.read(place)
    for name in ("species", "wavelength", "loggf", "delta_loggf", "delta_log_vdw", "n_stars"):
        np.testing.assert_allclose(getattr(read, name), getattr(table, name), atol=5e-4)
    assert dict(read.provenance) == dict(table.provenance)
    lines = some_lines()
    np.testing.assert_allclose(read.apply(lines).loggf, table.apply(lines).loggf, atol=6e-4)
    assert "vacuum" in place.read_text()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda text: "", "cannot be read"),
        (lambda text: "no table at all\n1 2 3\n", "calibration wrote"),
        (lambda text: text.replace("starnet line corrections 1", "else"), "lacks the mark"),
        (lambda text: text.replace("delta_loggf", "delta"), "delta_loggf"),
        (lambda text: "\n".join(text.splitlines()[:-1]) + "\n", "cut off"),
        (lambda text: text.replace("Fe I", "Xx I"), "Xx"),
        (lambda text: text.replace(",1.25,", ",nan,"), "finite delta_loggf"),
        (lambda text: text.replace(",1.25,", ",77.0,"), "within 6 dex"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, damage, says: str) -> None:
    place = some_corrections().write(tmp_path / "t.ecsv")
    place.write_text(damage(place.read_text()))
    with pytest.raises(ReadError, match=says):
        Corrections.read(place)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"none\.ecsv"):
        Corrections.read(tmp_path / "none.ecsv")


def test_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="corrections"):
        some_corrections().write(tmp_path / "file" / "t.ecsv")


def test_columns_must_fit() -> None:
    with pytest.raises(DataError, match="prior has shape"):
        some_corrections(prior=[1.0])


def test_needs_no_torch() -> None:
    code = "import sys, starnet.synthesis.calibrate; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_shipped_table_is_for_the_default_lines(shared_data: Path, caplog) -> None:
    from starnet.synthesis.inputs import PhysicsInputs

    lines = PhysicsInputs.locate(shared_data / "physics").lines(15_000.0, 17_050.0)
    table = Corrections.read(HBAND)
    with caplog.at_level("WARNING", "starnet.synthesis"):
        new = table.apply(lines)
    assert not caplog.text
    changed = np.abs(new.loggf - lines.loggf)
    atoms = ~lines.is_molecule
    assert 300 < (changed[atoms] > 0.1).sum() < 1500
    assert changed[atoms].max() < 3.0
    assert changed[~atoms].max() < 0.3
    outside = (lines.wavelength < table.start) | (lines.wavelength > table.stop)
    assert outside.any()
    assert not changed[outside].any()


def test_shipped_table_is_small_and_says_how_it_was_made() -> None:
    table = Corrections.read(HBAND)
    assert HBAND.stat().st_size < 200_000
    assert {"stars", "atlases", "priors", "engine", "rms_after"} <= set(table.provenance)
    assert table.provenance["rms_after"]["Sun"] < 0.0085
    assert table.provenance["rms_after"]["Arcturus"] < 0.0140
