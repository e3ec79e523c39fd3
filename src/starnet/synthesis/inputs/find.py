"""Finding the registered files in a folder, in the registry's layout or in another."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from starnet.archives.physics import InputFile, Role

DEPTH, ENTRIES = 5, 20_000
"""Folders below the given one, and files in all, that are looked through for a file elsewhere."""


def find_files(folder: Path, roles: Iterable[Role]) -> dict[str, Path]:
    """The files that are there, by their registered path.

    A file that is not at its place is looked for by name (also the one it has in its repository)
    in the folders below, so that a clone or a flat folder will do. Of several, that of the
    registered size is taken, and none if that does not decide.
    """
    wanted = [file for role in roles for file in role.files]
    found = {f.path: folder / f.path for f in wanted if (folder / f.path).is_file()}
    astray = [file for file in wanted if file.path not in found]
    if astray and folder.is_dir():
        names = _by_name(folder)
        for file in astray:
            if place := _elsewhere(file, names):
                found[file.path] = place
    return found


def _elsewhere(file: InputFile, names: Mapping[str, list[Path]]) -> Path | None:
    mine = {PurePosixPath(path).name for path in (file.path, *(path for _, path in file.places))}
    places = [place for name in sorted(mine) for place in names.get(name, [])]
    same = [place for place in places if place.stat().st_size == file.size]
    if same or len(places) == 1:
        return (same or places)[0]
    return None


def _by_name(folder: Path) -> dict[str, list[Path]]:
    names: dict[str, list[Path]] = {}
    seen = 0
    for here, below, files in os.walk(folder):
        depth = len(Path(here).relative_to(folder).parts)
        below[:] = [] if depth >= DEPTH else sorted(n for n in below if not n.startswith("."))
        seen += len(files)
        if seen > ENTRIES:
            break
        for name in files:
            if (path := Path(here, name)).is_file():
                names.setdefault(name, []).append(path)
    return names
