"""Progress of a download: bytes on the bar, files in its text."""

import threading
from types import TracebackType

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)


class Meter:
    """Progress bar over all files; sizes that are not known yet count as the mean of the others.

    Parameters
    ----------
    files
        Number of files.
    show
        False counts without drawing.
    """

    def __init__(self, files: int, show: bool = True) -> None:
        self.files, self.finished = files, 0
        self._lock = threading.Lock()
        self._sizes: dict[int, tuple[int, int]] = {}  # open files: have, whole
        self._known, self._have, self._whole = 0, 0, 0
        self._bar = Progress(
            TextColumn("[progress.description]{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            disable=not show,
        )
        self._task = self._bar.add_task(self._label(), total=None)

    def __enter__(self) -> "Meter":
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def bytes(self, index: int, have: int, whole: int | None) -> None:
        """File `index` has `have` bytes on disk of `whole`."""
        with self._lock:
            before = self._sizes.get(index)
            self._known += before is None
            old = before or (0, 0)
            new = (have, max(have, whole or 0))
            self._sizes[index] = new
            self._have += new[0] - old[0]
            self._whole += new[1] - old[1]
            mean = self._whole / self._known
            waiting = self.files - self.finished - len(self._sizes)
            total = self._whole + mean * max(waiting, 0)
            self._bar.update(self._task, completed=self._have, total=total)

    def done(self, index: int) -> None:
        """File `index` is finished, one way or another."""
        with self._lock:
            self.finished += 1
            self._sizes.pop(index, None)
            self._bar.update(self._task, description=self._label())

    def _label(self) -> str:
        return f"{self.finished} of {self.files} files"
