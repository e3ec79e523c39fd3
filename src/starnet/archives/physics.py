"""The public inputs of the physics: which files, from where, under which licence.

``physics.yaml`` beside this module is the registry, and the only place that knows an address. Files
come from public repositories at a pinned commit; a file is taken only if it has the registered
SHA-256, so that the address need not be trusted.
"""

import functools
import os
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

import yaml

from starnet.archives._report import DownloadReport
from starnet.archives._transfer import digest
from starnet.archives.download import download
from starnet.archives.items import Item
from starnet.errors import ConfigError

RAW = "https://raw.githubusercontent.com"
NEWEST = "HEAD"
VARIABLE = "STARNET_PHYSICS"
"""Environment variable that names the folder of the inputs."""


@dataclass(frozen=True)
class Source:
    """A public repository.

    `licence` is what the repository states ("none found" where it states none), `cite` whom to
    thank.
    """

    repository: str
    commit: str
    licence: str
    cite: str

    @property
    def page(self) -> str:
        """The repository's page, to look for a file by hand."""
        return f"https://github.com/{self.repository}"


@dataclass(frozen=True)
class InputFile:
    """One file.

    `path` is relative to the folder of the inputs; `places` are (commit, path in the repository)
    in the order in which they are tried; `seen` is how far the address is established (see the
    registry).
    """

    path: str
    source: Source
    places: tuple[tuple[str, str], ...]
    seen: str
    size: int
    sha256: str

    @property
    def urls(self) -> tuple[str, ...]:
        """Addresses in the order in which they are tried."""
        base = f"{RAW}/{self.source.repository}"
        return tuple(f"{base}/{commit}/{quote(path, safe='/+:')}" for commit, path in self.places)


@dataclass(frozen=True)
class Role:
    """What some of the files are for.

    `needed` says whether the engine cannot do without; `labels` are the ranges of a set of model
    atmospheres; `folder` is where the files lie, relative to the folder of the inputs.
    """

    name: str
    what: str
    needed: bool
    folder: str
    files: tuple[InputFile, ...]
    labels: dict[str, tuple[float, float]]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


@functools.cache
def physics_roles() -> dict[str, Role]:
    """The roles of the registry by name."""
    text = (files("starnet.archives") / "physics.yaml").read_text(encoding="utf-8")
    registry = yaml.safe_load(text)
    sources = {name: Source(**about) for name, about in registry["sources"].items()}
    return {name: _role(name, about, sources) for name, about in registry["roles"].items()}


def _role(name: str, about: dict, sources: dict[str, Source]) -> Role:
    entries = [_file(about["folder"], {**about, **entry}, sources) for entry in about["files"]]
    ranges = {label: (low, high) for label, (low, high) in about.get("labels", {}).items()}
    return Role(name, about["what"], about["needed"], about["folder"], tuple(entries), ranges)


def _file(folder: str, entry: dict, sources: dict[str, Source]) -> InputFile:
    source = sources[entry["source"]]
    paths = [entry["at"]] if isinstance(entry["at"], str) else entry["at"]
    commits = [source.commit, *([entry["commit"]] if "commit" in entry else []), NEWEST]
    places = tuple((commit, path) for commit in commits for path in paths)
    path = f"{folder}/{entry['name']}"
    return InputFile(path, source, places, entry["seen"], entry["size"], entry["sha256"])


def choose_roles(names: Iterable[str] = ()) -> tuple[Role, ...]:
    """The roles of these names, or all of them for none.

    Raises
    ------
    ConfigError
        If there is no role of a name.
    """
    known = physics_roles()
    wanted = tuple(dict.fromkeys(names)) or tuple(known)
    if unknown := [name for name in wanted if name not in known]:
        raise ConfigError(
            f"A role of the physics inputs must be one of {', '.join(known)}; received "
            f"{', '.join(unknown)}."
        )
    return tuple(known[name] for name in wanted)


def physics_items(names: Iterable[str] = ()) -> list[Item]:
    """Items of the files of these roles, or of all of them for none."""
    return [
        Item(f"{role.name}: {file.path}", file.path, file.urls, sums=False, sha256=file.sha256)
        for role in choose_roles(names)
        for file in role.files
    ]


def physics_folder(folder: Path | str | None = None) -> Path:
    """Where the inputs are: `folder`, else $STARNET_PHYSICS, else the user's data folder.

    That is ``$XDG_DATA_HOME/starnet/physics``, or ``~/.local/share/starnet/physics``. The folder
    need not exist.
    """
    if folder is not None:
        return Path(folder)
    if named := os.environ.get(VARIABLE):
        return Path(named).expanduser()
    base = os.environ.get("XDG_DATA_HOME")
    try:
        home = Path(base) if base else Path.home() / ".local" / "share"
    except RuntimeError as error:
        raise ConfigError(
            f"There is no home folder for the physics inputs ({error}); name a folder or set "
            f"{VARIABLE}."
        ) from error
    return home / "starnet" / "physics"


def is_whole(path: Path, file: InputFile) -> bool:
    """Whether the file at `path` has the registered size and SHA-256."""
    try:
        return path.stat().st_size == file.size and digest(path, "SHA-256") == file.sha256
    except OSError:
        return False


def fetch_physics(
    folder: Path | str | None = None,
    roles: Iterable[str] = (),
    *,
    base_url: str | None = None,
    workers: int = 4,
    progress: bool = True,
    timeout: float = 30.0,
    retries: int = 3,
    backoff: float = 1.0,
) -> DownloadReport:
    """Fetch the inputs of these roles (default: all) that are not there whole.

    Files that have the registered checksum are skipped; others of the same name are replaced, and
    only by a file that has it.

    Parameters
    ----------
    folder
        Default: see `physics_folder`.
    roles
        Names in `physics_roles`.
    base_url, workers, progress, timeout, retries, backoff
        As in `download`.

    Raises
    ------
    ConfigError
        Unknown role, or an address that is not usable.
    OutputError
        The folder cannot be written.
    """
    return download(
        physics_items(roles),
        physics_folder(folder),
        base_url=base_url,
        workers=workers,
        progress=progress,
        timeout=timeout,
        retries=retries,
        backoff=backoff,
        recheck=True,
    )
