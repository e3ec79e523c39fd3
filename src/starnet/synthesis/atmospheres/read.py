"""Atmosphere files, known by what is in them and not by their names."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from starnet.errors import DataError, ReadError

from . import kurucz, marcs, pfant
from .atmosphere import Atmosphere

HEAD = 4096


class Format(NamedTuple):
    """How to know and how to read one format."""

    identify: Callable[[bytes], bool]
    read: Callable[[Path], tuple[Atmosphere, ...]]


FORMATS: Mapping[str, Format] = {
    "marcs": Format(marcs.identify, marcs.read),
    "kurucz": Format(kurucz.identify, kurucz.read),
    "pfant": Format(pfant.identify, pfant.read),
}


def identify_atmosphere(path: str | os.PathLike[str]) -> str | None:
    """The name of the format in `FORMATS`, or None for a foreign or unreadable file."""
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD)
    except OSError:
        return None
    return next((name for name, format_ in FORMATS.items() if format_.identify(head)), None)


def read_atmospheres(path: str | os.PathLike[str]) -> tuple[Atmosphere, ...]:
    """All models of one file, whatever its format.

    Raises
    ------
    ReadError
        If the file is absent, foreign, cut off or damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise ReadError(f"{path}: no such file; give a model atmosphere.")
    name = identify_atmosphere(path)
    if name is None:
        raise ReadError(
            f"{path}: not a model atmosphere that is known here; MARCS .mod, Kurucz/ATLAS text and "
            f"PFANT's binary grid are read."
        )
    try:
        return FORMATS[name].read(path)
    except ReadError:
        raise
    except DataError as error:
        raise ReadError(f"{path}: the model is damaged: {error}") from error


def read_atmosphere(path: str | os.PathLike[str]) -> Atmosphere:
    """The model of a file that holds one.

    Raises
    ------
    ReadError
        As `read_atmospheres`, and if the file holds several models.
    """
    models = read_atmospheres(path)
    if len(models) != 1:
        raise ReadError(
            f"{path}: holds {len(models)} models, not one; read them with read_atmospheres or "
            f"AtmosphereGrid.open."
        )
    return models[0]
