"""`starnet physics` and `starnet download physics` as a newcomer meets them."""

import hashlib
import shutil
import subprocess
import sys
import threading
from collections import Counter
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import typer
from typer.testing import CliRunner

from starnet.archives import physics as registry
from starnet.archives import physics_roles
from starnet.cli import app, download
from starnet.errors import ConfigError, DownloadError
from starnet.synthesis.inputs import known_gaps

runner = CliRunner()


@pytest.fixture(autouse=True)
def own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path_factory) -> Path:
    base = tmp_path_factory.mktemp("data")
    monkeypatch.delenv("STARNET_PHYSICS", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(base))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return base / "starnet" / "physics"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A registry of one needed role of one file, and the server that has the file."""
    body = b"a line list\n" * 100
    source = registry.Source("people/lists", "abc123", "none found", "People 2020")
    sha256 = hashlib.sha256(body).hexdigest()
    file = registry.InputFile(
        "lines/one", source, (("abc123", "one"),), "listed", len(body), sha256
    )
    role = registry.Role("atoms", "atomic lines", True, "lines", (file,), {})
    monkeypatch.setattr(registry, "physics_roles", lambda: {"atoms": role})
    at = tmp_path / "served" / "people/lists/abc123"
    at.mkdir(parents=True)
    (at / "one").write_bytes(body)
    handler = partial(_Quiet, directory=str(tmp_path / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", at / "one"
        server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Keep the test output clean."""

    def translate_path(self, path: str) -> str:
        return super().translate_path(unquote(urlsplit(path).path))


def call(*words: object, **options):
    return runner.invoke(app, [str(word) for word in words], **options)


# --- starnet physics -----------------------------------------------------------------------------


def test_nothing_here_says_how_to_get_it(own_folder):
    done = call("physics")
    assert done.exit_code == 1
    assert str(own_folder) in done.output.replace("\n", "")
    assert "Needed and not here: tables, atmosnet, atoms" in done.output
    assert "starnet download physics\n" in done.output
    assert "Atomic lines: none." in done.output
    assert "Compilers: " in done.output


def test_folder_that_is_none(tmp_path):
    done = call("physics", tmp_path / "absent")
    assert isinstance(done.exception, ConfigError)
    assert "absent, which is none" in str(done.exception)


def test_no_compiler_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.delenv("CXX", raising=False)
    assert "Compilers: none; without C and C++" in call("physics").output


def test_exit_code_in_a_process_of_its_own():
    command = [sys.executable, "-m", "starnet", "physics"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (1, "")


def test_real_inputs_then_damaged_and_incomplete(shared_data, tmp_path):
    if not (shared_data / "physics").is_dir():
        pytest.skip("the physics inputs are absent")
    whole = call("physics", shared_data / "physics", "--check")
    assert whole.exit_code == 0
    assert "Everything is here (checksums compared)." in whole.output
    assert "Atomic lines: 2981-30007 A (vacuum)." in whole.output
    assert "atmosnet: teff 2500 to 7750" in whole.output
    for role in physics_roles().values():
        for file in role.files:
            (tmp_path / file.path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file.path).symlink_to(shared_data / "physics" / file.path)
    (tmp_path / "lines/linemake/goodgf").unlink()
    abo = tmp_path / "tables/Barklem_ABO.dat"
    body = abo.read_bytes()
    abo.unlink()
    abo.write_bytes(body.replace(b"26.1", b"26.0", 1))
    quick = call("physics", tmp_path)
    assert quick.exit_code == 1
    assert "Missing: lines/linemake/goodgf." in quick.output
    assert "Damaged" not in quick.output
    checked = call("physics", tmp_path, "--check")
    assert "Damaged: tables/Barklem_ABO.dat differs from the registered checksum" in checked.output
    assert f"--to {tmp_path} --role abo --role atoms" in checked.output
    shutil.copyfile(shared_data / "physics/lines/linemake/goodgf", abo.parent / "goodgf")
    optional = call("physics", tmp_path, "--check")
    assert optional.exit_code == 0  # found by name; only an optional table is damaged
    assert "All that is needed is here" in optional.output


# --- starnet download physics --------------------------------------------------------------------


def test_licences_are_shown_and_files_arrive(small, own_folder):
    url, served = small
    done = call("download", "physics", "--yes", "--base-url", url)
    assert done.exit_code == 0, done.output
    assert "people/lists" in done.output
    assert "none found" in done.output
    assert "do not pass them on" in done.output
    assert (own_folder / "lines/one").read_bytes() == served.read_bytes()
    again = call("download", "physics", "--base-url", url)
    assert "All 1 files are in" in again.output


def test_nobody_to_ask(small, own_folder):
    done = call("download", "physics", "--base-url", small[0])
    assert isinstance(done.exception, ConfigError)
    assert "add --yes" in str(done.exception)
    assert not own_folder.exists()


def test_no_is_an_answer(small, own_folder, monkeypatch):
    asked = []

    def refuse(question: str) -> None:
        asked.append(question)
        raise typer.Abort

    monkeypatch.setattr(download, "_ask", refuse)
    (own_folder / "lines").mkdir(parents=True)
    (own_folder / "lines/one").write_text("mine")
    done = call("download", "physics", "--base-url", small[0])
    assert done.exit_code == 1
    assert "1 of them are there and differ" in asked[0]
    assert (own_folder / "lines/one").read_text() == "mine"


def test_failure_is_reported(small, tmp_path):
    url, served = small
    served.write_bytes(b"something else")
    done = call("download", "physics", "--to", tmp_path / "x", "--yes", "--base-url", url)
    assert isinstance(done.exception, DownloadError)
    assert (tmp_path / "x/download.csv").is_file()
    assert not (tmp_path / "x/lines/one").exists()


def test_unknown_role(tmp_path):
    done = call("download", "physics", "--to", tmp_path, "--role", "atom")
    assert isinstance(done.exception, ConfigError)
    assert "received atom" in str(done.exception)


def test_page_of_the_documentation_is_of_this_registry():
    page = (Path(__file__).parents[2] / "docs/physics-inputs.md").read_text()
    roles = physics_roles().values()
    for role in roles:
        needed = "yes" if role.needed else "no"
        assert f"| `{role.name}` | {role.what} | {needed} | {role.size / 1e6:.1f} |" in page
    for source in {file.source for role in roles for file in role.files}:
        assert f"| [{source.repository}]({source.page}) | {source.licence} |" in page
    assert [gap for gap in known_gaps() if f"- {gap}\n" not in page] == []
    seen = Counter(file.seen for role in roles for file in role.files)
    assert f"{seen['compared']} were compared" in page
    assert f"{seen['listed']} are in its listing, and {seen['inferred']} follow" in page
    files = sum(len(role.files) for role in roles)
    assert f"{files} files ({sum(role.size for role in roles) / 1e6:.0f} MB)" in page
