"""One file on its way: resumed, verified, and put in place whole.

A file grows as ``name.part`` beside a small note ``name.part.json`` that says which version of
which address it is. It takes its own name only when it is whole and verified.
"""

import contextlib
import errno
import hashlib
import http.client
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from starnet.archives._http import (
    CHUNK,
    FetchError,
    RetryError,
    Session,
    StoppedError,
    length_of,
    translated,
)
from starnet.errors import OutputError, StarNetError


@dataclass
class Transfer:
    """One address on its way into one file.

    Parameters
    ----------
    url, target
        From where, to where.
    session
        Shared with the other files of the download.
    sha1
        Checksum of the whole file in hexadecimal, or None where the archive has none.
    report
        Called with (bytes on disk, bytes of the whole file or None) as the file grows.
    sha256
        As `sha1`, where this is known beforehand.
    """

    url: str
    target: Path
    session: Session
    sha1: str | None = None
    report: Callable[[int, int | None], object] = lambda have, whole: None
    sha256: str | None = None

    def __post_init__(self) -> None:
        self._whole: int | None = None
        self.part = self.target.with_name(self.target.name + ".part")
        self.note = self.target.with_name(self.target.name + ".part.json")

    def run(self) -> str:
        """Fetch the file; return how it was verified: ``sha256``, ``sha1``, ``size`` or nothing.

        Raises
        ------
        FetchError, StoppedError
            The part that arrived stays for the next time.
        OutputError
            The disk is full or the folder cannot be written.
        """
        with writing(self.target):
            self.target.parent.mkdir(parents=True, exist_ok=True)
        self.session.attempts(self._attempt, self._size)
        if self.sha256 or self.sha1:
            return "sha256" if self.sha256 else "sha1"
        return "size" if self._whole is not None else ""

    def _attempt(self) -> None:
        have, note = self._resume_point()
        self._whole = note.get("size")
        if not have or have != self._whole:
            self._receive(have, note)
        size = self._size()
        if size == 0:
            raise RetryError("the archive sent an empty file")
        if self._whole is not None and size != self._whole:
            if size > self._whole:
                self._discard()
            raise RetryError(f"the connection ended after {size} of {self._whole} bytes")
        for name, known in (("SHA-1", self.sha1), ("SHA-256", self.sha256)):
            if known and digest(self.part, name) != known:
                self._discard()
                why = f"its checksum differs from the known one ({name})"
                # Nothing was spliced and the content is pinned: another attempt gives the same.
                raise FetchError(why) if known == self.sha256 and not have else RetryError(why)
        with writing(self.target):
            os.replace(self.part, self.target)
            self.note.unlink(missing_ok=True)

    def _receive(self, have: int, note: dict) -> None:
        headers = {"Range": f"bytes={have}-", "If-Range": note["version"]} if have else {}
        try:
            response = self.session.open(self.url, headers)
        except FetchError as error:
            if error.code == 416:  # the file there is shorter than our part
                self._discard()
                raise RetryError("the file changed at the archive") from error
            raise
        with response:
            if response.headers.get_content_type() == "text/html":
                raise FetchError("a web page came instead of the file")
            start = have if response.status == 206 else 0
            if start and not _continues(response, have, note["size"]):
                self._discard()
                raise RetryError("the archive continued the file at a wrong place")
            length = length_of(response)
            self._whole = note["size"] if start else length
            self._write_note(response)
            self._append(response, start)

    def _append(self, response: http.client.HTTPResponse, start: int) -> None:
        size = start
        with writing(self.target), self.part.open("ab" if start else "wb") as out:
            while True:
                with translated():
                    piece = response.read1(CHUNK)
                if self.session.stop.is_set():
                    raise StoppedError
                if not piece:
                    break
                out.write(piece)
                size += len(piece)
                self.report(size, self._whole)

    def _resume_point(self) -> tuple[int, dict]:
        """Bytes at hand and their note; nothing when the two do not belong together."""
        try:
            note = json.loads(self.note.read_text(encoding="utf-8"))
            if note["url"] == self.url and note["version"] and self._size() <= note["size"]:
                return self._size(), note
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return 0, {}

    def _write_note(self, response: http.client.HTTPResponse) -> None:
        # A weak ETag does not promise equal bytes and must not be used (RFC 9110, 13.1.5).
        tag = response.headers.get("ETag", "")
        version = response.headers.get("Last-Modified", "") if tag[:2] in ("", "W/") else tag
        with writing(self.target):
            if version and self._whole is not None:
                note = {"url": self.url, "version": version, "size": self._whole}
                self.note.write_text(json.dumps(note), encoding="utf-8")
            else:
                self.note.unlink(missing_ok=True)

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def _discard(self) -> None:
        with writing(self.target):
            self.note.unlink(missing_ok=True)
            self.part.unlink(missing_ok=True)
        self.report(0, self._whole)


def _continues(response: http.client.HTTPResponse, have: int, whole: int) -> bool:
    return response.headers.get("Content-Range", "").startswith(f"bytes {have}-") and (
        response.headers.get("Content-Range", "").endswith((f"/{whole}", "/*"))
    )


def digest(path: Path, name: str = "SHA-1") -> str:
    """Checksum of a file in hexadecimal: SHA-1, which SDSS publishes, or SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, name.replace("-", "").lower()).hexdigest()


@contextlib.contextmanager
def writing(target: Path) -> Iterator[None]:
    """Turn what the disk says into an `OutputError` of one sentence."""
    try:
        yield
    except StarNetError:  # some are OSErrors too, and say enough
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            why = "the disk is full; free some space"
        else:
            why = f"{error.strerror or error}; choose a folder that can be written"
        raise OutputError(
            f"{target} cannot be written: {why} and run the same command again "
            f"(what has arrived is kept and not fetched twice)."
        ) from error
