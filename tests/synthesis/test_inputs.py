"""Inputs on disk: found by role, put together, and described, on a small made-up folder."""

import os
from pathlib import Path

import numpy as np
import pytest

from starnet.archives import physics_roles
from starnet.errors import ConfigError, DataError, ReadError
from starnet.spectra.air import air_to_vacuum
from starnet.synthesis.inputs import PhysicsInputs, compilers, known_gaps
from starnet.synthesis.inputs.parts import ATOMS, MOLECULES
from starnet.synthesis.lines import TERRESTRIAL

LINEMAKE = "lines/linemake"


def moog(*rows: tuple[float, str, float, float]) -> str:
    """Rows of a MOOG list in linemake's columns."""
    return "".join(f"{w:10.3f}{s:>10}{e:10.3f}{g:10.3f}\n" for w, s, e, g in rows)


TEXTS = {
    f"{LINEMAKE}/moogatom04000": moog((4400.0, "26.0", 1.0, -1.0), (5010.0, "22.0", 1.0, -1.0)),
    f"{LINEMAKE}/moogatom05000": moog(
        (4990.0, "24.0", 1.0, -1.0),
        (5010.0, "22.0", 1.0, -1.0),
        (5100.0, "26.0", 2.0, -3.0),
        (5200.0, "27.0", 1.5, -2.0),
    ),
    f"{LINEMAKE}/goodgf": moog((5100.01, "26.0", 2.0, -2.5), (8000.0, "26.0", 2.0, -2.5)),
    f"{LINEMAKE}/goodgfhfs": moog((5199.99, "27.0059", 1.5, -2.3), (5200.01, "27.0059", 1.5, -2.3)),
    f"{LINEMAKE}/mooghyd04000": moog(
        (5004.0, "107.00114", 1.0, -4.0),
        (5004.0, "107.00114", 1.0, -4.0),
        (5300.0, "106.00112", 1.0, -4.0),
    ),
    f"{LINEMAKE}/moogcn04000": moog((4999.0, "607.01214", 1.0, -4.0)),
    f"{LINEMAKE}/moogcn05000": moog((5001.0, "607.01214", 1.0, -4.0)),
    "tables/Barklem_ABO.dat": "  5100.010  26.0  -7.500   0.250    1.00E+08\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in TEXTS.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory):
    monkeypatch.delenv("STARNET_PHYSICS", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))


# --- where ---------------------------------------------------------------------------------------


def test_folder_argument_then_variable_then_data_folder(folder, monkeypatch):
    assert PhysicsInputs.locate(folder).folder == folder
    monkeypatch.setenv("STARNET_PHYSICS", str(folder))
    assert PhysicsInputs.locate().folder == folder
    monkeypatch.delenv("STARNET_PHYSICS")
    mine = PhysicsInputs.locate()
    assert mine.folder == Path(os.environ["XDG_DATA_HOME"]) / "starnet" / "physics"
    assert {s.state for s in mine.coverage().states} == {"missing"}
    assert mine.coverage().command == "starnet download physics"


def test_named_folder_must_exist(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"the folder given is .*absent.*download physics --to"):
        PhysicsInputs.locate(tmp_path / "absent")
    monkeypatch.setenv("STARNET_PHYSICS", str(tmp_path / "gone"))
    with pytest.raises(ConfigError, match=r"\$STARNET_PHYSICS is .*gone"):
        PhysicsInputs.locate()


def test_missing_file_names_purpose_and_command(folder):
    inputs = PhysicsInputs.locate(folder)
    with pytest.raises(DataError) as caught:
        inputs.path("atmosnet")
    text = str(caught.value)
    assert "col1_300neurons_cool.npz" in text
    assert "and 5 more are missing" in text
    assert physics_roles()["atmosnet"].what in text
    assert f"starnet download physics --to {folder} --role atmosnet" in text
    with pytest.raises(ConfigError, match="must be one of tables"):
        inputs.path("nothing")
    with pytest.raises(ConfigError, match="no file 'x'"):
        inputs.file("x")


def test_empty_file_is_no_file(folder):
    (folder / "tables/Barklem_ABO.dat").write_text("")
    with pytest.raises(DataError, match="is empty in"):
        PhysicsInputs.locate(folder).path("abo")


def test_role_of_one_file_and_role_of_a_folder(folder):
    inputs = PhysicsInputs.locate(folder)
    assert inputs.path("abo") == folder / "tables/Barklem_ABO.dat"
    for file in physics_roles()["kurucz"].files:
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a model")
    assert PhysicsInputs.locate(folder).path("kurucz") == folder / "atmospheres/kurucz"


def test_other_layouts_are_found_by_name(folder, tmp_path_factory):
    clone = tmp_path_factory.mktemp("clone")
    for name, text in TEXTS.items():
        path = clone / "elsewhere" / Path(name).name.replace("Barklem_ABO", "Barklem")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    inputs = PhysicsInputs.locate(clone)
    assert inputs.path("abo") == clone / "elsewhere/Barklem.dat"
    found, there = inputs.lines(5050, 5250), PhysicsInputs.locate(folder).lines(5050, 5250)
    np.testing.assert_array_equal(found.wavelength, there.wavelength)


def test_of_several_of_one_name_the_size_decides(folder):
    (file,) = physics_roles()["marcs_giants"].files
    for name, size in (("a", 10), ("b", file.size)):
        (folder / name).mkdir()
        (folder / name / "grid.mod").write_bytes(bytes(size))
    assert PhysicsInputs.locate(folder).path("marcs_giants") == folder / "b/grid.mod"
    (folder / "b/grid.mod").write_bytes(bytes(11))
    with pytest.raises(DataError, match="missing"):
        PhysicsInputs.locate(folder).path("marcs_giants")


def test_files_of_a_role_in_two_folders_are_refused(folder):
    for k, file in enumerate(physics_roles()["kurucz"].files):
        path = folder / f"k{min(k, 1)}" / Path(file.path).name
        path.parent.mkdir(exist_ok=True)
        path.write_text("a model")
    with pytest.raises(DataError, match=r"must lie in one folder.*k0.*k1"):
        PhysicsInputs.locate(folder).path("kurucz")


# --- lines ---------------------------------------------------------------------------------------


def test_lines_of_a_range(folder):
    lines = PhysicsInputs.locate(folder).lines(4950, 5350)
    air = np.array([4999.0, 5001.0, 5004.0, 5010.0, 5100.01, 5199.99, 5200.01, 5300.0])
    np.testing.assert_allclose(lines.wavelength, air_to_vacuum(air), atol=1e-6)
    assert lines.counts() == {
        "12C14N": 2, "59Co I": 2, "12C1H": 1, "14N1H": 1, "Fe I": 1, "Ti I": 1
    }  # fmt: skip
    iron = lines.select(species="Fe I")
    assert iron.loggf[0] == -2.5
    assert iron.vdw[0] == -7.5


def test_options_of_the_line_list(folder):
    inputs = PhysicsInputs.locate(folder)
    cobalt = inputs.lines(5150, 5250, hfs=False).counts()
    assert cobalt == {"Co I": 1}
    assert np.isnan(inputs.lines(5050, 5150, abo=False).select(species="Fe I").vdw[0])
    (folder / "tables/Barklem_ABO.dat").unlink()
    without = PhysicsInputs.locate(folder).lines(5050, 5150)
    assert np.isnan(without.select(species="Fe I").vdw[0])


@pytest.mark.parametrize("span", [(5200, 5100), (2000, 5000), (5000, 40000), (np.nan, 5000)])
def test_ranges_without_lines_are_refused(folder, span):
    with pytest.raises(ConfigError, match=r"within 2981 and 30007 Angstrom \(vacuum\)"):
        PhysicsInputs.locate(folder).lines(*span)


@pytest.mark.parametrize(
    ("span", "role"),
    [((5500, 6500), "atoms"), ((10500, 10600), "vald_infrared"), ((3500, 3600), "atoms")],
)
def test_range_says_which_file_it_lacks(folder, span, role):
    with pytest.raises(DataError, match=f"--role {role}"):
        PhysicsInputs.locate(folder).lines(*span)


def test_damaged_list_is_named(folder):
    (folder / LINEMAKE / "goodgf").write_text("not a line list\n")
    with pytest.raises(ReadError, match="goodgf"):
        PhysicsInputs.locate(folder).lines(5050, 5150)


def test_parts_are_registered_and_atoms_have_no_gap():
    known = {file.path: role.name for role in physics_roles().values() for file in role.files}
    assert all(known[part.path] == part.role for part in (*ATOMS, *MOLECULES))
    assert [part.start for part in ATOMS[1:]] == [part.stop for part in ATOMS[:-1]]


def test_unknown_kind_of_atmosphere(folder):
    with pytest.raises(ConfigError, match="cool or giants; received 'hot'"):
        PhysicsInputs.locate(folder).atmospheres("hot")


# --- coverage ------------------------------------------------------------------------------------


def test_coverage_of_a_folder(folder, monkeypatch):
    coverage = PhysicsInputs.locate(folder).coverage()
    states = {s.role.name: s for s in coverage.states}
    assert states["atmosnet"].state == "missing"
    assert states["atoms"].state == "damaged"  # files of other sizes than the registered
    assert "bytes, not" in states["atoms"].damaged[f"{LINEMAKE}/goodgf"]
    assert "atoms" in {s.role.name for s in coverage.lacking}
    assert coverage.atoms == ()
    assert coverage.atmospheres == {}


def test_checksums_find_what_sizes_do_not(folder):
    (file,) = physics_roles()["vald_infrared"].files
    (folder / file.path).write_bytes(bytes(file.size))
    inputs = PhysicsInputs.locate(folder)
    state = {s.role.name: s.state for s in inputs.coverage().states}
    assert state["vald_infrared"] == "present"
    low, high = inputs.coverage().atoms[0]
    assert (round(low), round(high)) == (10003, 12003)
    state = {s.role.name: s.state for s in inputs.coverage(check=True).states}
    assert state["vald_infrared"] == "damaged"


def test_unreadable_file_is_damaged(folder, monkeypatch):
    (file,) = physics_roles()["abo"].files
    opened = Path.open

    def refuse(self, *words, **options):
        if self.name == "Barklem_ABO.dat":
            raise PermissionError(13, "Permission denied")
        return opened(self, *words, **options)

    monkeypatch.setattr(Path, "open", refuse)
    states = PhysicsInputs.locate(folder).coverage().states
    (abo,) = (s for s in states if s.role.name == "abo")
    assert abo.damaged == {file.path: "cannot be read (Permission denied)"}


def test_gaps_of_a_range():
    assert known_gaps(15100, 17000) == tuple(t for t in known_gaps() if "H2O" in t)
    assert any("TiO" in text for text in known_gaps(4800, 5400))
    assert any("no molecular lines" in text for text in known_gaps(12000, 13000))


def test_compilers_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.delenv("CXX", raising=False)
    assert compilers() == {}
    tool = tmp_path / "g++"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    assert compilers() == {"C++": "g++"}
    monkeypatch.setenv("CXX", "absent -O3")
    assert compilers() == {}


# --- on the real files ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(shared_data: Path) -> PhysicsInputs:
    folder = shared_data / "physics"
    if not folder.is_dir():
        pytest.skip("the physics inputs are absent")
    return PhysicsInputs.locate(folder)


def test_real_inputs_are_whole(real):
    coverage = real.coverage(check=True)
    assert coverage.unfit == ()
    assert coverage.command == ""
    assert [tuple(map(round, span)) for span in coverage.atoms] == [(2981, 30007)]
    spans = [tuple(map(round, span)) for span in coverage.molecules]
    assert spans == [(2037, 10013), (15004, 17505)]


# The reference list left out the fractions of the common isotopes.
RARE_ONLY = {
    1: {1: 1.0},
    6: {12: 1.0, 13: 10**-1.95},
    7: {14: 1.0},
    8: {16: 1.0, 17: 10**-3.43, 18: 10**-2.70},
    26: {56: 1.0},
}


def test_real_h_band_is_the_list_that_other_codes_used(real):
    with np.load(real.folder / "reference_spectra/hband_lines_used.npz") as file:
        wanted = {name: file[name] for name in ("wavelength_air", "excitation_ev", "log_gf")}
        molecule = file["molecule"]
    atoms = molecule == ""
    wave = air_to_vacuum(wanted["wavelength_air"])
    lines = real.lines(wave.min() - 1e-3, wave.max() + 1e-3, isotopes=TERRESTRIAL | RARE_ONLY)
    strong = lines.strength() >= -9 + 1e-9
    mine = ~lines.is_molecule & strong & (lines.species % 10 <= 1)
    found = [lines.wavelength[mine], lines.excitation[mine], lines.loggf[mine]]
    expected = [wave[atoms], wanted["excitation_ev"][atoms], wanted["log_gf"][atoms]]
    assert len(found[0]) == len(expected[0])
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(np.sort(one), np.sort(other), atol=1.5e-3)
    for name in ("CN", "CO", "OH", "C2"):
        assert len(lines.select(species=name)) == (molecule == name).sum() > 1000


def test_real_optical_lines(real):
    lines = real.lines(4900, 5100)
    assert lines.sources == (
        "moogatom04000", "moogatom05000", "goodgf", "goodgfhfs", "mooghyd04000", "moogcn04000",
        "moogcn05000",
    )  # fmt: skip
    edge = float(air_to_vacuum(5000.0))
    density = [len(lines.select(edge - 50 + k, edge - 30 + k, species="Fe I")) for k in (0, 40, 80)]
    assert 0.5 < density[1] / np.mean([density[0], density[2]]) < 1.5  # nothing twice, none lost
    nh = lines.select(species="NH")
    rows = np.column_stack([nh.wavelength, nh.excitation, nh.loggf, nh.species])
    assert len(np.unique(rows, axis=0)) == len(nh)


def test_real_galah_lines_add_molecules(real):
    pytest.importorskip("h5py")
    plain, more = (set(real.lines(4870, 4900, galah=g).counts()) for g in (False, True))
    assert {"TiO", "C2"} <= more - plain
    assert real.lines(5200, 5210, galah=True).counts() == real.lines(5200, 5210).counts()


def test_real_atmospheres(real):
    roles = physics_roles()
    for kind, role in (("cool", "atmosnet"), ("giants", "marcs_giants")):
        limits = real.atmospheres(kind).limits
        for label, (low, high) in roles[role].labels.items():
            np.testing.assert_allclose(limits[label], (low, high), atol=1e-6)
