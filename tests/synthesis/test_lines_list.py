"""`LineList`: selection, order, concatenation, merge, and what it refuses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from starnet.errors import ConfigError, DataError, FrameError
from starnet.spectra.air import air_to_vacuum
from starnet.synthesis.lines import (
    AboTable,
    LineList,
    VdwKind,
    abo_log_gamma,
    concatenate,
    merge,
    parse_species,
)


def made(*rows: tuple[float, str, float, float], source: str = "made") -> LineList:
    wave, species, excitation, loggf = zip(*rows, strict=True)
    codes = [parse_species(s) for s in species]
    columns = (np.array(c, dtype=float) for c in (wave, excitation, loggf))
    w, e, g = columns
    return LineList(w, np.array(codes), e, g, sources=(source,))


@pytest.fixture
def few() -> LineList:
    return made(
        (5000.0, "Fe I", 1.0, -1.0),
        (5001.0, "Fe II", 3.0, -2.0),
        (5002.0, "12C14N", 0.5, -3.0),
        (5003.0, "13C14N", 0.5, -3.0),
        (5004.0, "Fe I", 4.0, -1.0),
    )


def test_columns_are_frozen_and_default(few: LineList) -> None:
    with pytest.raises(ValueError, match="read-only"):
        few.loggf[0] = 0.0
    assert np.isnan(few.vdw).all()
    assert (few.vdw_kind == VdwKind.NONE).all()
    assert few.is_molecule.tolist() == [False, False, True, True, False]
    assert repr(few) == "LineList(5 lines of 4 species, 5000.0-5004.0 Angstrom (vacuum))"
    assert next(iter(few.counts().items())) == ("Fe I", 2)


@pytest.mark.parametrize(
    ("species", "n"),
    [("Fe I", 2), ("CN", 2), ("13C14N", 1), (["Fe II", "CN"], 3), ("Ni I", 0), (260000, 2)],
)
def test_select_species(few: LineList, species: str | int | list[str], n: int) -> None:
    assert len(few.select(species=species)) == n


def test_select_range_and_strength(few: LineList) -> None:
    assert few.select(5001.0, 5003.0).wavelength.tolist() == [5001.0, 5002.0, 5003.0]
    # theta = 1: strengths -2, -5, -3.5, -3.5, -5
    assert len(few.select(weakest=-3.6)) == 3
    assert len(few.select(weakest=-3.6, log_abundance={6: -3.5, 7: -4.0, 26: 0.0})) == 1
    assert few.strength(10080.0)[0] == pytest.approx(-1.5)
    with pytest.raises(ConfigError, match="start must be below stop"):
        few.select(5003.0, 5001.0)


def test_isotopes_can_be_changed(few: LineList) -> None:
    mix = {6: {12: 0.9, 13: 0.1}, 7: {14: 1.0}}
    mixed = few.with_isotopes(mix)
    assert mixed.loggf - few.loggf == pytest.approx([0, 0, np.log10(0.9), -1.0, 0])
    again = mixed.with_isotopes(mix)
    assert again.loggf == pytest.approx(mixed.loggf)


@pytest.mark.parametrize(
    ("column", "value"),
    [("wavelength", np.nan), ("wavelength", -1.0), ("excitation", -3.0), ("loggf", np.inf)],
)
def test_implausible_numbers_are_refused(few: LineList, column: str, value: float) -> None:
    columns = {n: getattr(few, n).copy() for n in ("wavelength", "excitation", "loggf")}
    columns[column][3] = value
    with pytest.raises(DataError, match=rf"{column} of a line.*row 3"):
        LineList(species=few.species, **columns)


def test_columns_must_fit(few: LineList) -> None:
    with pytest.raises(DataError, match=r"loggf has \(2,\)"):
        LineList(few.wavelength, few.species, few.excitation, few.loggf[:2])
    with pytest.raises(DataError, match="vdw must be a number"):
        LineList(few.wavelength, few.species, few.excitation, few.loggf, vdw=few.loggf)


@given(st.permutations(range(5)), st.integers(0, 5))
def test_concatenation_keeps_every_line_and_its_source(order: list[int], cut: int) -> None:
    whole = made(*[(5000.0 + i, "Fe I", float(i), -1.0) for i in range(5)])
    parts = [whole[order[:cut]], whole[order[cut:]]]
    named = [
        LineList(p.wavelength, p.species, p.excitation, p.loggf, sources=(n,))
        for p, n in zip(parts, "ab", strict=True)
    ]
    joined = concatenate(named)
    assert joined.wavelength.tolist() == whole.wavelength.tolist()
    names = [joined.sources[i] for i in joined.origin]
    assert names == ["a" if i in order[:cut] else "b" for i in range(5)]


def test_laboratory_lines_replace_theoretical_ones() -> None:
    theory = made(
        (5000.00, "Fe I", 1.00, -1.0),  # replaced
        (5000.01, "Fe I", 3.00, -1.0),  # another level
        (5000.02, "Fe II", 1.00, -1.0),  # another ion
        (5010.00, "Fe I", 2.00, -1.0),  # too far from its counterpart
        (5020.00, "Co I", 0.50, -0.5),  # replaced by its components together
    )
    laboratory = made(
        (5000.03, "Fe I", 1.01, -1.3),
        (5010.10, "Fe I", 2.00, -1.3),
        (5019.90, "59Co I", 0.50, -0.801),
        (5020.10, "59Co I", 0.50, -0.801),
        source="laboratory",
    )
    merged, report = merge(theory, laboratory)
    assert (report.n_replaced, report.n_matched, report.n_new) == (2, 2, 1)
    assert report.median_change == pytest.approx(-0.15, abs=1e-3)
    assert len(merged) == 7
    assert [merged.sources[i] for i in merged.origin].count("laboratory") == 4
    assert "2 of 5 lines replaced" in str(report)


def test_components_of_close_lines_replace_both() -> None:
    """Two lines of one level whose components interlock: both theoretical lines go."""
    theory = made((5000.0, "Sc I", 0.0, -1.0), (5000.4, "Sc I", 0.0, -1.0))
    wave = (4999.8, 5000.05, 5000.2, 5000.35, 5000.6)
    merged, report = merge(theory, made(*[(w, "45Sc I", 0.0, -1.5) for w in wave]))
    assert (report.n_replaced, len(merged)) == (2, 5)


def test_merge_with_nothing_in_common() -> None:
    theory, laboratory = made((5000.0, "Fe I", 1, -1)), made((6000.0, "Fe I", 1, -1))
    merged, report = merge(theory, laboratory)
    assert len(merged) == 2
    assert (report.n_replaced, report.n_new) == (0, 1)
    with pytest.raises(ConfigError, match="tolerances"):
        merge(theory, laboratory, tolerance=0.0)
    empty, report = merge(theory[:0], laboratory[:0])
    assert len(empty) == 0 == report.n_new


@pytest.mark.parametrize("wrong", ["laboratory", "theoretical"])
def test_merge_refuses_a_list_in_air(wrong: str) -> None:
    rows = [(5000.0 + 7 * i, "Fe I", 0.1 * i, -1.0) for i in range(20)]
    air, vacuum = made(*rows), made(*[(float(air_to_vacuum(w)), *row) for w, *row in rows])
    lists = (vacuum, air) if wrong == "laboratory" else (air, vacuum)
    with pytest.raises(FrameError, match=f"0 lines agree as they are and 20 once the {wrong}"):
        merge(*lists)
    assert merge(vacuum, vacuum)[1].n_matched == 20


def test_width_of_a_cross_section() -> None:
    # Anstee and O'Mara's sigma and alpha of the Na D lines, 407 and 0.273; log gamma in
    # the table of Barklem is -7.526.
    assert abo_log_gamma(407.0, 0.273, 22.99) == pytest.approx(-7.526, abs=0.001)
    cold, hot = (abo_log_gamma(407.0, 0.273, 22.99, t) for t in (5e3, 1e4))
    assert hot - cold == pytest.approx((1 - 0.273) / 2 * np.log10(2))


def test_abo_lookup_takes_the_nearest_of_the_species(few: LineList) -> None:
    fe1, fe2 = parse_species("Fe I"), parse_species("Fe II")
    table = AboTable(
        np.array([5000.0, 5000.01, 5000.015, 5004.5]),
        np.array([fe2, fe1, fe1, fe1]),
        np.array([-8.0, -7.5, -7.6, -7.7]),
        np.array([0.2, 0.25, 0.26, 0.27]),
        np.array([8.0, 8.1, 8.2, np.nan]),
    )
    new, n = table.apply(few)
    assert n == 1
    assert (new.vdw[0], new.vdw_alpha[0], new.gamma_rad[0]) == (-7.5, 0.25, 8.1)
    assert new.vdw_kind.tolist() == [VdwKind.LOG_GAMMA, 0, 0, 0, 0]
    assert table.apply(new, overwrite=False)[1] == 0
    assert table.match(few, 1.0).tolist() == [1, 0, -1, -1, 3]
