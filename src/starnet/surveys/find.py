"""From what a user names (file, folder, glob, list) to the paths of spectrum files."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from pathlib import Path

from starnet.errors import ReadError
from starnet.surveys._options import PathLike
from starnet.surveys._registry import identify

FITS_SUFFIXES = (".fits", ".fit", ".fits.gz", ".fit.gz")
LIST_SUFFIXES = (".txt", ".lst", ".list")


def find(what: PathLike | Iterable[PathLike]) -> list[Path]:
    """Paths of spectrum files, each once.

    Parameters
    ----------
    what : path, or iterable of paths
        A file; a folder (its FITS files and those of its folders, in order of name, and other
        files if a survey knows them); a glob such as ``"data/*/apStar*.fits"`` (``**`` for every
        depth); a text file (.txt, .lst, .list) that names a path on each line, relative to
        itself or to the current folder (``#`` starts a comment); or several of these. Lines of a
        list and paths of an iterable may be absent: reading them then reports it.

    Raises
    ------
    ReadError
        If there is nothing: no such path, an empty folder, a glob that nothing matches.
    """
    if not isinstance(what, (str, os.PathLike)):
        paths = [path for item in what for path in _expand(Path(item), missing=True)]
        if not paths:
            raise ReadError("There are no spectra to read: the list of paths is empty.")
        return list(dict.fromkeys(paths))
    return list(dict.fromkeys(_expand(Path(what), missing=False)))


def _expand(path: Path, *, missing: bool) -> list[Path]:
    if path.is_dir():
        return _folder(path)
    if path.exists():
        return _listed(path) if _is_list(path) else [path]
    if any(mark in str(path) for mark in "*?["):
        found = sorted(Path(match) for match in glob.glob(str(path), recursive=True))
        files = [file for match in found for file in ([match] if match.is_file() else [])]
        if not files:
            raise ReadError(f"{path}: nothing matches this pattern.")
        return files
    if missing:
        return [path]
    raise ReadError(f"{path}: there is no such file or folder; check the path.")


def _folder(folder: Path) -> list[Path]:
    files = sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
    spectra = [p for p in files if p.name.lower().endswith(FITS_SUFFIXES) or _known(p)]
    if not spectra:
        raise ReadError(
            f"{folder}: this folder holds no spectra (FITS files, or files of a known survey); "
            f"it holds {len(files)} other file(s)."
        )
    return spectra


def _known(path: Path) -> bool:

    return identify(path) is not None


def _is_list(path: Path) -> bool:
    if not path.name.lower().endswith(LIST_SUFFIXES) or _known(path):
        return False
    lines = _lines(path)
    return not path.name.lower().endswith(".txt") or any(
        candidate.exists() for line in lines[:20] for candidate in (path.parent / line, Path(line))
    )


def _lines(path: Path) -> list[str]:
    text = path.read_bytes().decode("utf-8", "replace")
    lines = (line.split("#", 1)[0].strip() for line in text.splitlines())
    return [line for line in lines if line and "\x00" not in line and len(line) < 4096]


def _listed(path: Path) -> list[Path]:
    lines = _lines(path)
    if not lines:
        raise ReadError(f"{path}: this list names no files.")
    beside = [path.parent / line for line in lines]
    return [a if a.exists() else Path(line) for a, line in zip(beside, lines, strict=True)]
