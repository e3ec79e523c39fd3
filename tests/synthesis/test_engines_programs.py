"""Engines that are programs: absent, crashing, hanging, writing nonsense; what they are given."""

import time
from pathlib import Path

import engine_fakes as fakes
import numpy as np
import pytest

from starnet.errors import ConfigError, DataError, EngineError, LabelError, MissingDependencyError
from starnet.spectra.air import vacuum_to_air
from starnet.synthesis.engines import korg
from starnet.synthesis.engines.korg import Korg, korg_atmosphere, korg_lines
from starnet.synthesis.engines.star import Star
from starnet.synthesis.engines.synspec import Synspec
from starnet.synthesis.engines.textfiles import (
    atlas_deck,
    synspec_atoms,
    synspec_molecules,
    turbospectrum_lines,
    turbospectrum_model,
)
from starnet.synthesis.engines.turbospectrum import Turbospectrum
from starnet.synthesis.lines import read_lines

MEMBERS = {
    "turbospectrum": (Turbospectrum, "folder", fakes.turbospectrum, "STARNET_TURBOSPECTRUM"),
    "synspec": (Synspec, "folder", fakes.synspec, "STARNET_SYNSPEC"),
    "korg": (Korg, "julia", fakes.julia, "STARNET_JULIA"),
}


@pytest.fixture(params=MEMBERS)
def member(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    for *_, variable in MEMBERS.values():
        monkeypatch.delenv(variable, raising=False)
    return MEMBERS[request.param]


def build(member, folder: Path, body: str | None = None, **settings):
    engine, setting, make, _ = member
    place = make(folder) if body is None else make(folder, body)
    return engine(fakes.OneStar(), fakes.lines(), **{setting: place}, **settings)


def executable(folder: Path) -> Path:
    names = ("bsyn_lu", "synspec54", "julia")
    return next(path for path in folder.rglob("*") if path.name in names)


def synthesize(engine):
    return engine.synthesize(fakes.LABELS, fakes.grid())


def test_absent_names_the_remedy(member, tmp_path: Path):
    engine, setting, _, variable = member
    with pytest.raises(MissingDependencyError, match=f"https.*{variable}"):
        engine(fakes.OneStar(), fakes.lines())
    with pytest.raises(MissingDependencyError, match="holds no"):
        engine(fakes.OneStar(), fakes.lines(), **{setting: tmp_path})


def test_found_by_environment_and_on_the_path(member, tmp_path: Path, monkeypatch):
    engine, _, make, variable = member
    place = make(tmp_path)
    monkeypatch.setenv(variable, str(place))
    assert synthesize(engine(fakes.OneStar(), fakes.lines())).normalized.min() < 0.9
    monkeypatch.delenv(variable)
    folder = next(
        p.parent for p in tmp_path.rglob("*") if p.name in ("bsyn_lu", "synspec54", "julia")
    )
    monkeypatch.setenv("PATH", str(folder))
    assert synthesize(engine(fakes.OneStar(), fakes.lines())).normalized.min() < 0.9


def test_not_executable(member, tmp_path: Path):
    engine, setting, make, _ = member
    place = make(tmp_path)
    executable(tmp_path).chmod(0o644)
    with pytest.raises(MissingDependencyError, match="chmod"):
        engine(fakes.OneStar(), fakes.lines(), **{setting: place})


def test_crash_shows_the_end_of_the_log(member, tmp_path: Path):
    body = "print('\\n'.join(f'row {i}' for i in range(50)))\nsys.exit('no partition function')"
    with pytest.raises(EngineError, match=r"code 1.*\n(.*\n)*.*no partition function") as error:
        synthesize(build(member, tmp_path, body))
    assert "row 30" not in str(error.value)


def test_killed_by_a_signal(member, tmp_path: Path):
    with pytest.raises(EngineError, match="signal 11"):
        synthesize(build(member, tmp_path, "import signal; os.kill(os.getpid(), signal.SIGSEGV)"))


def test_nothing_written(member, tmp_path: Path):
    with pytest.raises(EngineError, match=r"wrote no .*\n.*log ends(.*\n)*.*STOP"):
        synthesize(build(member, tmp_path, "print('STOP in babsma')"))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "0 rows"),
        ("*** oops ***\\n", "columns of numbers"),
        ("5000. nan nan\\n5001. nan nan\\n5002. 1 1\\n", "not finite"),
        ("5000. 1. 1.\\n5001. 1. 1.\\n", "was asked for"),
    ],
)
def test_nonsense_written(member, tmp_path: Path, text: str, what: str):
    names = ("spectrum.out", "fort.7", "fort.17", "spectrum-1.txt")
    body = f"for name in {names}: open(name, 'w').write('{text}')"
    if what == "was asked for" and member[0] is Synspec:
        body = f"for name in {names}: open(name, 'w').write('5000. 1.\\n5001. 1.\\n')"
    with pytest.raises(EngineError, match=what):
        synthesize(build(member, tmp_path, body))


def test_hanging_is_stopped_with_its_children(member, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(korg, "STARTING", 0.0)
    mark = tmp_path / "alive"
    body = (
        f"if os.fork() == 0:\n    time.sleep(2); open({str(mark)!r}, 'w').write('x'); os._exit(0)\n"
        "time.sleep(60)"
    )
    engine = build(member, tmp_path, body, timeout=0.6)
    begin = time.monotonic()
    with pytest.raises(EngineError, match=r"stopped after 0.6 s.*timeout="):
        synthesize(engine)
    assert time.monotonic() - begin < 20
    time.sleep(1.7)
    assert not mark.exists()


def test_folders_go_or_stay(member, tmp_path: Path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    synthesize(build(member, tmp_path / "a"))
    assert not list(scratch.iterdir())
    kept = tmp_path / "kept"
    synthesize(build(member, tmp_path / "b", keep=kept))
    assert len(list(kept.iterdir())) == 1


def test_input_that_cannot_be_used(member, tmp_path: Path):
    engine, setting, make, _ = member
    place = {setting: make(tmp_path)}
    with pytest.raises(ConfigError, match="at least one line"):
        engine(fakes.OneStar(), fakes.lines()[4:5], **place)  # hydrogen only
    with pytest.raises(ConfigError, match="solar"):
        engine(fakes.OneStar(), fakes.lines(), solar="anders", **place)
    with pytest.raises(ConfigError, match="atmospheres must be"):
        engine(7, fakes.lines(), **place)
    with pytest.raises(ConfigError, match="vmic"):
        engine(fakes.OneStar(), fakes.lines(), vmic=-1.0, **place)
    with pytest.raises(DataError, match="readable file"):
        engine(fakes.OneStar(), tmp_path / "none.vald", **place)


def test_one_atmosphere_serves_its_own_labels_only(member, tmp_path: Path):
    engine, setting, make, _ = member
    made = engine(fakes.atmosphere(), fakes.lines(), **{setting: make(tmp_path)})
    synthesize(made)
    other = type(fakes.LABELS)(fakes.LABELS.names, [[5000.0, 4.44, 0.0, 1.0]])
    with pytest.raises(LabelError, match="one atmosphere"):
        made.synthesize(other, fakes.grid())
    used = made.synthesize(other, fakes.grid(), outside="clamp").labels
    assert used.column("teff")[0] == 5777.0


def test_a_grid_of_fixed_alpha_is_not_asked_for_alpha(tmp_path: Path):
    source = fakes.OneStar()
    engine = Korg(source, fakes.lines(), julia=fakes.julia(tmp_path))
    synthesize(engine)
    assert source.alphas == [None]
    source.limits = source.limits | {"alpha_m": (0.0, 0.4)}
    synthesize(engine)
    assert source.alphas[-1] == 0.0


def test_babsma_that_fails_stops_bsyn(tmp_path: Path):
    folder = fakes.turbospectrum(tmp_path, babsma="sys.exit(3)")
    with pytest.raises(EngineError, match="babsma_lu ended with code 3"):
        synthesize(Turbospectrum(fakes.OneStar(), fakes.lines(), folder=folder))


def test_parts_of_an_installation_that_are_missing(tmp_path: Path):
    folder = fakes.turbospectrum(tmp_path / "t")
    (folder / "exec-v19.1" / "babsma_lu").unlink()
    with pytest.raises(MissingDependencyError, match="babsma_lu"):
        Turbospectrum(fakes.OneStar(), fakes.lines(), folder=folder)
    (folder / "DATA" / "Hlinedata").unlink()
    (folder / "DATA").rmdir()
    with pytest.raises(MissingDependencyError, match="DATA"):
        Turbospectrum(fakes.OneStar(), fakes.lines(), folder=folder)
    place = fakes.synspec(tmp_path / "s")
    with pytest.raises(ConfigError, match="hydrogen"):
        Synspec(fakes.OneStar(), fakes.lines(), folder=place, hydrogen=False)


def test_turbospectrum_lines_are_read_back(tmp_path: Path):
    own = fakes.lines()
    file = tmp_path / "lines.list"
    file.write_text(turbospectrum_lines(own))
    back = read_lines(file, format="turbospectrum")
    assert np.allclose(back.wavelength, own.wavelength, atol=1e-4)
    assert np.allclose(back.loggf, own.loggf)  # no isotope is named, so none is multiplied in
    assert np.allclose(back.excitation, own.excitation)
    assert back.counts() == {"Fe I": 2, "CN": 1, "Ca II": 1, "H I": 1, "H2O": 1, "Ni I": 1}
    assert np.allclose(back.vdw[[0, 1, 5, 6]], [300.0, -7.6, 2.5, 1.0])
    assert back.vdw_alpha[0] == pytest.approx(0.25)
    assert np.isnan(back.vdw[2])


def test_synspec_lines():
    own = fakes.lines()
    atoms = [row.split() for row in synspec_atoms(own[[0, 1, 6]]).splitlines()]
    assert [row[1] for row in atoms] == ["26.00", "20.01", "28.00"]
    assert float(atoms[0][0]) == pytest.approx(vacuum_to_air(5197.0) / 10, abs=1e-4)
    assert float(atoms[0][3]) == pytest.approx(2.0 * 8065.544, rel=1e-5)
    assert float(atoms[0][5]) - float(atoms[0][3]) == pytest.approx(1e8 / 5197.0, rel=1e-5)
    assert -8.0 < float(atoms[0][9]) < -7.0  # a width of the cross section
    assert float(atoms[1][9]) == -7.6
    molecules = [row.split() for row in synspec_molecules(own[[2, 3]]).splitlines()]
    assert [row[1] for row in molecules] == ["607.00", "10108.00"]


def test_korg_lines_and_atmosphere():
    rows = [row.split(",") for row in korg_lines(fakes.lines()).splitlines()]
    assert [row[2] for row in rows] == ["Fe I", "Ca II", "CN", "H2O", "H I", "Fe I", "Ni I"]
    assert rows[0][4:] == ["1e+08", "3.1623e-06", "300.25"]
    assert rows[2][4:] == ["NaN", "NaN", "NaN"]
    table = korg_atmosphere(Star(fakes.atmosphere(), np.zeros(92), 1.0))
    assert table.shape == (40, 6)
    assert np.all(np.diff(table[:, 1]) < 0)  # heights fall inwards
    with pytest.raises(ConfigError, match="density"):
        korg_atmosphere(Star(fakes.atmosphere(density=False), np.zeros(92), 1.0))


def test_atmospheres_as_text():
    model = fakes.atmosphere()
    text = turbospectrum_model(model, 1.5).splitlines()
    assert text[0].split() == ["'starnet'", "40", "5000.", "4.440", "0", "0."]
    rows = np.array([line.split() for line in text[1:]], dtype=float)
    assert np.allclose(10 ** rows[:, 0], model.tau_5000, rtol=1e-4)
    assert np.allclose(10 ** rows[:, 3], model.gas_pressure, rtol=1e-4)
    assert np.all(rows[:, 4] == 1.5)
    deck = turbospectrum_model(fakes.atmosphere(tau=False), 1.5)
    assert deck == atlas_deck(model)
    lines = deck.splitlines()
    assert lines[0].startswith("TEFF")
    assert lines[22][:10] == "READ DECK6"
    assert int(lines[22][10:13]) == 40
    assert len(lines) == 63
