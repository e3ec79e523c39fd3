"""Unpacking what an archive packs, safely and all at once."""

import gzip
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterable
from pathlib import Path

from starnet.archives._transfer import writing
from starnet.errors import DownloadError

LARGEST = 2 << 30


def unpack(archive: Path, folder: Path, beside: Iterable[Path] = ()) -> None:
    """Unpack a tar file into a new folder, which appears only when all of it is there.

    Files of `beside` are copied into it. Names that leave the folder, links out of it and devices
    are refused (the data filter of `tarfile`, PEP 706).

    Raises
    ------
    DownloadError
        The archive is damaged, too large (over 2 GiB) or not safe.
    OutputError
        The folder cannot be written.
    """
    if not hasattr(tarfile, "data_filter"):
        raise DownloadError("unpacking safely needs Python 3.11.4 or newer; update Python")
    with writing(folder), tempfile.TemporaryDirectory(dir=folder.parent, prefix=".unpack") as work:
        inside = Path(work) / "library"
        try:
            with tarfile.open(archive) as tar:
                size = 0
                for member in tar:
                    size += member.size
                    if size > LARGEST:
                        raise DownloadError(f"{archive.name} unpacks to more than 2 GiB")
                    tar.extract(member, inside, filter="data")
        except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DownloadError(f"{archive.name} cannot be unpacked ({error})") from error
        if not inside.is_dir():
            raise DownloadError(f"{archive.name} is empty")
        while len(entries := list(inside.iterdir())) == 1 and entries[0].is_dir():
            inside = entries[0]  # a folder in a folder says nothing more
        for path in beside:
            shutil.copyfile(path, inside / path.name)
        inside.rename(folder)
