"""Checksum files of an archive's directories."""

import re
import threading
from pathlib import PurePosixPath
from urllib.parse import unquote, urljoin

from starnet.archives._http import FetchError, Session, UnreachableError
from starnet.archives.items import sums_names


class Sums:
    """Checksums of the archive's directories, each asked for once.

    SDSS keeps one ``*.sha1sum`` file in a directory. Its name is guessed first; the directory's
    own listing is read where the guess is wrong.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._known: dict[str, dict[str, str]] = {}

    def find(self, url: str) -> str | None:
        """SHA-1 of the file at `url`, or None where the archive has none."""
        folder, name = url.rsplit("/", 1)
        with self._lock:
            lock = self._locks.setdefault(folder, threading.Lock())
        with lock:
            if folder not in self._known:
                self._known[folder] = self._read(folder, url)
        return self._known[folder].get(unquote(name))

    def _read(self, folder: str, url: str) -> dict[str, str]:
        for name in sums_names(url):
            if (text := self._text(f"{folder}/{name}")) is not None and (sums := parse_sums(text)):
                return sums
        listing = self._text(folder + "/") or ""
        sums = {}
        for link in re.findall(r'href="([^"?#]+\.sha1sum)"', listing, re.IGNORECASE):
            address = urljoin(folder + "/", link)
            if address.rsplit("/", 1)[0] == folder:
                sums |= parse_sums(self._text(address) or "")
        return sums

    def _text(self, url: str) -> str | None:
        try:
            return self.session.text(url)
        except UnreachableError:
            raise
        except FetchError:
            return None


def parse_sums(text: str) -> dict[str, str]:
    """Checksums by file name, from the output of ``sha1sum``."""
    found = re.findall(r"^([0-9a-fA-F]{40})[ \t]+\*?(.+?)\s*$", text, re.MULTILINE)
    return {PurePosixPath(name).name: sha1.lower() for sha1, name in found}
