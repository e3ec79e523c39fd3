"""Progress of a run: a bar on a terminal, lines elsewhere, or nothing."""

from __future__ import annotations

import math

from rich.progress import BarColumn, TextColumn, TimeRemainingColumn

from starnet._progress import Bar
from starnet.training.history import Epoch

LINES = 40
"""Most lines of a run where there is no terminal for a bar."""


class TrainingProgress(Bar):
    """Shows epoch, losses and spectra per second.

    Parameters
    ----------
    show : bool
        False for silence.
    n_epochs, n_spectra : int
        Length of the run, and spectra in one epoch.
    """

    def __init__(self, show: bool, n_epochs: int, n_spectra: int) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
        )
        total = n_epochs * n_spectra
        super().__init__(show, *columns, description="epoch", total=total, note="")
        self._n_epochs, self._n_spectra = n_epochs, n_spectra
        self._last: Epoch | None = None

    def at(self, epoch: int, done: int, loss: float, rate: float) -> None:
        """In epoch ``epoch`` (from 1), after ``done`` spectra, at ``rate`` spectra per second."""
        if self._bar is None:
            return
        note = f"loss {loss:.4f}"
        if self._last is not None and not math.isnan(self._last.valid_loss):
            note += f"  validation {self._last.valid_loss:.4f}"
        self._bar.update(
            self._task,
            completed=(epoch - 1) * self._n_spectra + done,
            description=f"epoch {epoch}/{self._n_epochs}",
            note=f"{note}  {rate:,.0f} spectra/s",
        )

    def epoch_done(self, row: Epoch) -> None:
        """An epoch is over."""
        self._last = row
        every = -(-self._n_epochs // LINES)
        if not self._show or self._bar is not None or row.epoch % every:
            return
        judged = "" if math.isnan(row.valid_loss) else f"validation {row.valid_loss:.4f}  "
        self._console.print(
            f"epoch {row.epoch}/{self._n_epochs}  loss {row.train_loss:.4f}  {judged}"
            f"rate {row.lr:.2g}  {row.seconds:.1f} s",
            highlight=False,
        )
