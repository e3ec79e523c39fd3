"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from starnet.errors import OutputError


@contextmanager
def whole_file(path: str | Path, what: str) -> Iterator[Path]:
    """A partial file beside ``path``, which takes its name when the block ends well.

    If the block ends otherwise the partial file goes, and what was at ``path`` before is left.

    Parameters
    ----------
    path : path
        Where the file shall be; missing folders are made.
    what : str
        What it is, for the message: "The table", "The figure".

    Raises
    ------
    OutputError
        If it cannot be written: no permission, no space, no such format.
    """
    path = Path(path)
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        os.replace(partial, path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(
            f"{what} {path} cannot be written: {reason}. Free some space or choose another place; "
            "nothing half-written was left."
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink()


def write_text(path: str | Path, text: str, what: str = "The file") -> Path:
    """Write a small text file whole or not at all; see `whole_file`."""
    with whole_file(path, what) as partial:
        partial.write_text(text)
    return Path(path)
