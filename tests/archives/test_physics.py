"""The registry of public inputs, and its download from an archive on this machine."""

import hashlib
import re
from pathlib import Path

import pytest
from _archive_server import ArchiveServer

from starnet.archives import fetch_physics, physics_folder, physics_items, physics_roles
from starnet.archives import physics as module
from starnet.archives.physics import InputFile, Role, Source, choose_roles, is_whole
from starnet.errors import ConfigError

FAST = {"progress": False, "timeout": 5.0, "backoff": 0.01, "retries": 1}
BODIES = {"one": b"first file\n" * 9000, "two": b"second file\n" * 50}
SOURCE = Source("people/lists", "abc123", "none found", "People 2020")


def entry(name: str, body: bytes) -> InputFile:
    places = (("abc123", f"data:a b+/{name}"), ("HEAD", f"data:a b+/{name}"))
    return InputFile(
        f"lines/{name}", SOURCE, places, "listed", len(body), hashlib.sha256(body).hexdigest()
    )


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> dict[str, Role]:
    """Two roles of one file each."""
    roles = {
        name: Role(name, f"what {name} is for", True, "lines", (entry(name, body),), {})
        for name, body in BODIES.items()
    }
    monkeypatch.setattr(module, "physics_roles", lambda: roles)
    return roles


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ArchiveServer() as running:
        for name, body in BODIES.items():
            running.files[f"/people/lists/abc123/data:a b+/{name}"] = body
        yield running


def fetch(server: ArchiveServer, folder: Path, *roles: str):
    return fetch_physics(folder, roles, base_url=server.url, **FAST)


# --- the registry itself -----------------------------------------------------------------------


def test_every_file_has_an_address_a_licence_and_a_checksum():
    items = physics_items()
    paths = [item.path for item in items]
    assert len(paths) == len(set(paths)) >= 60
    for item in items:
        assert re.fullmatch(r"[0-9a-f]{64}", item.sha256), item.path
        assert all(url.startswith(f"{module.RAW}/") and " " not in url for url in item.urls())
    for role in physics_roles().values():
        assert role.what, role.name
        for file in role.files:
            assert file.seen in ("compared", "listed", "inferred"), file.path
            assert file.source.licence, file.path
            assert file.path.startswith(f"{role.folder}/")
            assert 1000 < file.size < 1e7
            assert file.places[-1][0] == "HEAD"
            assert file.places[0][0] == file.source.commit


def test_registry_is_of_the_real_files(shared_data: Path):
    folder = shared_data / "physics"
    if not folder.is_dir():
        pytest.skip("the physics inputs are absent")
    files = [file for role in physics_roles().values() for file in role.files]
    assert [file.path for file in files if not is_whole(folder / file.path, file)] == []
    kept = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    extra = {path for path in kept if not path.startswith("reference_spectra/")}
    assert extra == {file.path for file in files}


def test_unknown_role_is_named():
    with pytest.raises(ConfigError, match=r"one of tables, abo.*received atom, line"):
        choose_roles(["atom", "tables", "line"])


def test_folder_of_the_inputs(tmp_path, monkeypatch):
    monkeypatch.delenv("STARNET_PHYSICS", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert physics_folder() == tmp_path / "starnet" / "physics"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert physics_folder() == tmp_path / ".local" / "share" / "starnet" / "physics"
    monkeypatch.setenv("STARNET_PHYSICS", str(tmp_path / "mine"))
    assert physics_folder() == tmp_path / "mine"
    assert physics_folder(tmp_path / "other") == tmp_path / "other"


def test_no_home_is_said(monkeypatch):
    def homeless() -> Path:
        raise RuntimeError("no home")

    monkeypatch.delenv("STARNET_PHYSICS", raising=False)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(ConfigError, match="STARNET_PHYSICS"):
        physics_folder()


# --- the download ------------------------------------------------------------------------------


def test_files_arrive_verified_and_once(registry, server, tmp_path):
    report = fetch(server, tmp_path)
    assert {o.verified for o in report.downloaded} == {"sha256"}
    assert {n: (tmp_path / "lines" / n).read_bytes() for n in BODIES} == BODIES
    asked = len(server.seen)
    assert len(fetch(server, tmp_path).skipped) == 2
    assert len(server.seen) == asked


def test_one_role_alone(registry, server, tmp_path):
    assert len(fetch(server, tmp_path, "two").downloaded) == 1
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["two"]


def test_damaged_file_is_replaced(registry, server, tmp_path):
    fetch(server, tmp_path)
    (tmp_path / "lines/two").write_bytes(BODIES["two"].swapcase())
    report = fetch(server, tmp_path)
    assert [o.name for o in report.downloaded] == ["two: lines/two"]
    assert (tmp_path / "lines/two").read_bytes() == BODIES["two"]


def test_wrong_content_is_passed_over_for_the_next_address(registry, server, tmp_path):
    server.files["/people/lists/abc123/data:a b+/one"] = BODIES["one"].upper()
    server.files["/people/lists/HEAD/data:a b+/one"] = BODIES["one"]
    report = fetch(server, tmp_path)
    assert not report.failed
    assert (tmp_path / "lines/one").read_bytes() == BODIES["one"]


def test_wrong_content_everywhere_leaves_nothing(registry, server, tmp_path):
    for commit in ("abc123", "HEAD"):
        server.files[f"/people/lists/{commit}/data:a b+/one"] = b"something else"
    (failed,) = fetch(server, tmp_path).failed
    assert "SHA-256" in failed.reason
    assert "by hand" in failed.reason
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["two"]


def test_interrupted_file_is_continued(registry, server, tmp_path):
    path = "/people/lists/abc123/data:a b+/one"
    server.faults[path] = [("cut", 40_000)]
    assert not fetch(server, tmp_path).failed
    assert server.asked(path) == ["", "bytes=40000-"]


def test_absent_at_home_keeps_what_was_there(registry, server, tmp_path):
    (tmp_path / "lines").mkdir()
    (tmp_path / "lines/one").write_bytes(b"an older version")
    server.files.clear()
    report = fetch(server, tmp_path, "one")
    assert "no such file" in report.failed[0].reason
    assert (tmp_path / "lines/one").read_bytes() == b"an older version"
