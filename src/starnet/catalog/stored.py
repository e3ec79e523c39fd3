"""The spectra of a data set to one label table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from starnet.catalog.run import CatalogReport, join_tables, summarise
from starnet.catalog.writers import check_writable, write_table
from starnet.dataset import open_dataset
from starnet.inference import Predictor


def label_dataset(
    predictor: Predictor,
    path: str | Path,
    out: str | Path,
    *,
    block: int = 2000,
    track: Callable[[Sequence[Any]], Iterable[Any]] = iter,
) -> CatalogReport:
    """Labels of every spectrum of a data set, as one table; memory does not grow with it.

    Raises
    ------
    DataError
        If the path is no data set.
    GridError, FrameError
        If the model reads other spectra.
    OutputError
        If the table cannot be written.
    """
    out = Path(out)
    check_writable(out)
    dataset = open_dataset(path)
    predictor.model.check(dataset.grid, dataset.frame)
    starts = range(0, len(dataset), block)
    rows = [np.arange(start, min(start + block, len(dataset))) for start in starts]
    tables = [predictor.predict(dataset.read(part)).to_table() for part in track(rows)]
    table = join_tables(tables)
    write_table(table, out)
    return summarise(out, len(dataset.files), table)
