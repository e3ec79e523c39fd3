"""A bar on a terminal, and elsewhere whatever the members of the family print."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import Progress, ProgressColumn, TaskID


class Bar:
    """Draws one task on the terminal of the error stream, if there is one.

    Parameters
    ----------
    show : bool
        False for silence.
    columns : ProgressColumn
        Of the bar.
    description : str
    **task
        As `rich.progress.Progress.add_task` takes them.
    """

    def __init__(self, show: bool, *columns: ProgressColumn, description: str, **task: Any) -> None:
        self._show = show
        self._console = Console(stderr=True)
        self._bar: Progress | None = None
        self._task = TaskID(0)
        if show and self._console.is_terminal:
            self._bar = Progress(*columns, console=self._console)
            self._task = self._bar.add_task(description, **task)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
