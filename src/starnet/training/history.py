"""The training curve: one row per epoch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

from astropy.table import Table

_UNITS = {"seconds": "s"}


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave.

    Attributes
    ----------
    epoch : int
        Counted from 1.
    train_loss, valid_loss : float
        Mean over the labels that are there; ``valid_loss`` is NaN without validation.
    lr : float
        Learning rate of the last step.
    seconds : float
        Time of the epoch, validation included.
    """

    epoch: int
    train_loss: float
    valid_loss: float
    lr: float
    seconds: float


@dataclass(frozen=True)
class History:
    """All epochs of a run.

    Attributes
    ----------
    epochs : tuple of Epoch
    best_epoch : int
        The epoch whose weights are the best; 0 before the first.
    stopped_early : bool
        Whether training ended for lack of progress.
    """

    epochs: tuple[Epoch, ...] = ()
    best_epoch: int = 0
    stopped_early: bool = False

    def __len__(self) -> int:
        return len(self.epochs)

    def __iter__(self) -> Iterator[Epoch]:
        return iter(self.epochs)

    def to_table(self) -> Table:
        """One row per epoch, with units."""
        names = [f.name for f in dataclasses.fields(Epoch)]
        columns = {name: [getattr(e, name) for e in self.epochs] for name in names}
        meta = {"best_epoch": self.best_epoch, "stopped_early": self.stopped_early}
        return Table(columns, names=names, units=_UNITS, meta=meta)
