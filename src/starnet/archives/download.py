"""Fetch many files of the public archives: parallel, resumable, verified, one failure at a time.

Which files: `starnet.archives.items`. How one file travels: `starnet.archives._transfer`.
"""

import queue
import threading
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from starnet.archives._http import (
    AbsentError,
    FetchError,
    Policy,
    Session,
    StoppedError,
    UnreachableError,
)
from starnet.archives._progress import Meter
from starnet.archives._report import DownloadReport, Outcome
from starnet.archives._sums import Sums
from starnet.archives._transfer import Transfer, digest, writing
from starnet.archives._unpack import unpack
from starnet.archives.items import MILES_PARAMETERS, MILES_TAR, Item, miles_items
from starnet.errors import ConfigError, DownloadError

MAX_WORKERS = 16
THREAD = "starnet download"
# After so many files in a row without any answer the rest is not tried: soon when nothing ever
# answered, later when something did and the line may come back.
GIVE_UP_AFTER, GIVE_UP_LATER = 4, 32


def download(
    items: Iterable[Item | str],
    folder: Path | str,
    *,
    base_url: str | None = None,
    workers: int = 4,
    progress: bool = True,
    timeout: float = 30.0,
    retries: int = 3,
    backoff: float = 1.0,
    checksums: bool = True,
    recheck: bool = False,
) -> DownloadReport:
    """Download the files of `items` into `folder`.

    Whole files that are there are skipped, interrupted ones continued. One failure never stops
    the others: it becomes a row of the report. Ctrl-C leaves parts that the next call continues.

    Parameters
    ----------
    items
        Items of `starnet.archives.items`, or plain http(s) addresses.
    folder
        Where the files go (below it, by telescope and field or by plate).
    base_url
        Another address with the archive's layout (a mirror); default: each item's own archive.
    workers
        Files at once, 1 to 16. The archives are shared: keep it low.
    progress
        Show a progress bar (files and bytes).
    timeout, backoff
        Seconds without an answer before an attempt ends; first pause between attempts, doubled
        after each, unless the archive asks for another one (Retry-After).
    retries
        Attempts after the first that may fail in a row.
    checksums
        Verify against the archive's ``*.sha1sum`` files where it has them.
    recheck
        Verify files that are there already, too, and fetch again those that differ.

    Raises
    ------
    ConfigError
        `workers`, `base_url` or an address is not usable.
    OutputError
        The folder cannot be written or the disk is full.
    """
    chosen = [Item.from_url(item) if isinstance(item, str) else item for item in items]
    chosen = _one_per_path(dict.fromkeys(chosen))
    if not 1 <= workers <= MAX_WORKERS:
        raise ConfigError(f"workers must be 1 to {MAX_WORKERS}; received {workers}.")
    for url in {url for item in chosen for url in item.urls(base_url)}:
        if urlsplit(url).scheme not in ("http", "https"):
            raise ConfigError(f"An address must start with http:// or https://; received {url!r}.")
    session = Session(Policy(timeout, retries, backoff))
    with Meter(len(chosen), show=progress) as meter:
        job = _Job(chosen, Path(folder), base_url, session, meter, checksums, recheck)
        return DownloadReport(job.run(min(workers, len(chosen))))


def _one_per_path(items: Iterable[Item]) -> list[Item]:
    """The items, with a problem in place of one whose file would overwrite another's."""
    taken: dict[str, Item] = {}
    kept = []
    for item in items:
        first = item if item.problem else taken.setdefault(item.path, item)
        if first is not item:
            why = f"{item.path} is already the file of {first.locations[0]}; fetch it elsewhere."
            item = Item(item.name, item.path, item.locations, problem=why)
        kept.append(item)
    return kept


class _Job:
    """The files of one download, and the threads that take them one by one."""

    def __init__(
        self,
        items: list[Item],
        folder: Path,
        base_url: str | None,
        session: Session,
        meter: Meter,
        checksums: bool,
        recheck: bool,
    ) -> None:
        self.items, self.folder, self.base_url = items, folder, base_url
        self.session, self.meter, self.recheck = session, meter, recheck
        self.sums = Sums(session) if checksums else None
        self.outcomes: dict[int, Outcome] = {}
        self.fatal: list[BaseException] = []
        self.silent = 0  # addresses in a row that gave no answer at all
        self.patience = GIVE_UP_AFTER

    def run(self, workers: int) -> tuple[Outcome, ...]:
        todo: queue.SimpleQueue[int] = queue.SimpleQueue()
        for index in range(len(self.items)):
            todo.put(index)
        # Daemons, so that a silent archive cannot hold the program back after Ctrl-C.
        threads = [
            threading.Thread(target=self._work, args=(todo,), name=f"{THREAD} {i}", daemon=True)
            for i in range(workers)
        ]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                while thread.is_alive():
                    thread.join(0.1)
        except BaseException:
            self.session.stop.set()
            for thread in threads:
                thread.join(2.0)
            raise
        if self.fatal:
            raise self.fatal[0]
        return tuple(self.outcomes[index] for index in range(len(self.items)))

    def _work(self, todo: "queue.SimpleQueue[int]") -> None:
        try:
            while not self.session.stop.is_set():
                index = todo.get_nowait()
                self.outcomes[index] = self._one(index, self.items[index])
                self.meter.done(index)
        except (queue.Empty, StoppedError):
            return
        except BaseException as error:
            self.fatal.append(error)
            self.session.stop.set()

    def _one(self, index: int, item: Item) -> Outcome:
        target = self.folder / item.path
        if item.problem:
            return Outcome(item.name, "failed", target, reason=item.problem)
        urls = item.urls(self.base_url)
        with writing(target):
            size = target.stat().st_size if target.is_file() else 0
        if size and (not self.recheck or self._same(item, urls, target)):
            return Outcome(item.name, "skipped", target, urls[0], size=size)
        reasons: list[str] = []
        for url in urls:
            by_hand = f"Fetch {url} by hand and put it at {target}."
            if self.silent >= self.patience:
                host = urlsplit(url).netloc
                reasons.append(
                    f"Not tried, since {host} answered none of the last files. {by_hand}"
                )
                break
            try:
                verified = self._fetch(index, item, url, target)
                self._answered()
                size = target.stat().st_size
                return Outcome(item.name, "downloaded", target, url, size=size, verified=verified)
            except UnreachableError as error:
                self.silent += 1
                reasons.append(f"{_sentence(error)} {by_hand}")
            except FetchError as error:
                self._answered()
                absent = isinstance(error, AbsentError)
                reasons.append(f"{_sentence(error)} {f'Asked for {url}.' if absent else by_hand}")
        return Outcome(item.name, "failed", target, urls[-1], reason=" ".join(reasons))

    def _answered(self) -> None:
        self.silent, self.patience = 0, GIVE_UP_LATER

    def _fetch(self, index: int, item: Item, url: str, target: Path) -> str:
        def report(have: int, whole: int | None) -> None:
            self.meter.bytes(index, have, whole)

        sha1 = self.sums.find(url) if self.sums and item.sums else None
        return Transfer(url, target, self.session, sha1, report, item.sha256 or None).run()

    def _same(self, item: Item, urls: tuple[str, ...], target: Path) -> bool:
        """Whether the file on disk has the known checksum (or, without one, its size)."""
        if item.sha256:
            return digest(target, "SHA-256") == item.sha256
        for url in urls:
            try:
                sha1 = self.sums.find(url) if self.sums and item.sums else None
                if sha1 is not None:
                    return digest(target) == sha1
                size = self.session.size(url)
                return size is None or size == target.stat().st_size
            except FetchError:  # no answer proves nothing against the file
                continue
        return True


def _sentence(error: Exception) -> str:
    text = str(error)
    return text[:1].upper() + text[1:] + "."


def fetch_miles(
    folder: Path | str,
    *,
    base_url: str | None = None,
    progress: bool = True,
    retries: int = 1,
    timeout: float = 30.0,
    backoff: float = 1.0,
) -> Path:
    """Fetch the MILES stellar library and its parameter table.

    Parameters
    ----------
    folder
        Gets the folder ``MILES_library_v9.1``, with the spectra and ``paramsMILES_v9.1.txt`` in
        it, once all of it is there. When it exists already nothing is fetched.
    base_url, progress, retries, timeout, backoff
        As in `download`; few retries, so that a machine without a network hears so soon.

    Returns
    -------
    Path
        The folder of the spectra and their table.

    Raises
    ------
    DownloadError
        The library cannot be fetched or unpacked; the message says how to get it by hand.
    OutputError
        The folder cannot be written.
    """
    folder = Path(folder)
    library = folder / "MILES_library_v9.1"
    if library.is_dir():
        return library
    items = miles_items()
    report = download(
        items,
        folder,
        base_url=base_url,
        progress=progress,
        retries=retries,
        timeout=timeout,
        backoff=backoff,
    )
    if report.failed:
        raise DownloadError(_miles_by_hand(report.failed[0].reason.split(". ")[0], folder))
    archive, table = (folder / item.path for item in items)
    try:
        unpack(archive, library, beside=[table])
    except DownloadError as error:
        archive.unlink(missing_ok=True)
        raise DownloadError(_miles_by_hand(str(error).rstrip("."), folder)) from error
    archive.unlink(missing_ok=True)
    table.unlink(missing_ok=True)
    return library


def _miles_by_hand(why: str, folder: Path) -> str:
    table = MILES_TAR[0].rsplit("/", 1)[0] + "/" + MILES_PARAMETERS
    return (
        f"The MILES library could not be fetched: {why}. To do it by hand, get {MILES_TAR[0]} and "
        f"{table} (or go to http://miles.iac.es), unpack the spectra of the first into {folder}, "
        f"put the second beside them, and run `make demo DATA={folder}`."
    )
