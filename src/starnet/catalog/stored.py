"""The spectra of a data set to one label table."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from starnet.catalog.run import CatalogReport, Tick, join_tables, summarise
from starnet.catalog.writers import check_writable, write_table
from starnet.dataset import open_dataset
from starnet.inference import Predictor


def label_dataset(
    predictor: Predictor,
    path: str | Path,
    out: str | Path,
    *,
    block: int = 2000,
    tick: Tick = lambda done, total: None,
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
    tables = []
    for start in range(0, len(dataset), block):
        stop = min(start + block, len(dataset))
        tables.append(predictor.predict(dataset.read(np.arange(start, stop))).to_table())
        tick(stop, len(dataset))
    table = join_tables(tables)
    write_table(table, out)
    return summarise(out, len(dataset.files), table)
