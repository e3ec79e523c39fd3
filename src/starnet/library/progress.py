"""Progress of a library: a bar on a terminal, a line now and then elsewhere, or nothing."""

from __future__ import annotations

import time

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn

from starnet._progress import Bar

EVERY = 60.0
"""Seconds between lines where there is no terminal for a bar."""


class LibraryProgress(Bar):
    """Shows stars, spectra per second of this run, and the time that remains.

    Parameters
    ----------
    show : bool
        False for silence.
    total, done : int
        Stars of the library, and those that an earlier run had made.
    visits : int
        Spectra of each star.
    """

    def __init__(self, show: bool, total: int, done: int, visits: int = 1) -> None:
        note = TextColumn("{task.fields[note]}")
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), note)
        super().__init__(show, *columns, description="stars", total=total, completed=done, note="")
        self._total, self._before, self._done, self._visits = total, done, done, visits
        self._begun = self._told = time.monotonic()

    @property
    def rate(self) -> float:
        """Spectra per second of this run."""
        seconds = max(time.monotonic() - self._begun, 1e-9)
        return (self._done - self._before) * self._visits / seconds

    def add(self, stars: int) -> None:
        """So many more stars are done."""
        self._done += stars
        now = time.monotonic()
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done, note=self._note())
        elif self._show and now - self._told >= EVERY:
            self._told = now
            told = f"{self._done}/{self._total} stars  {self._note()}"
            self._console.print(told, highlight=False)

    def _note(self) -> str:
        if not self.rate > 0:
            return ""
        left = (self._total - self._done) * self._visits / self.rate
        return f"{self.rate:.3g} spectra/s  {duration(left)} left"


def duration(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3 h 20 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
